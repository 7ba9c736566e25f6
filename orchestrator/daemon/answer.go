package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/plans"
)

// errNotMine is of a press that came just as another daemon has taken over.
var errNotMine = errors.New("another Drover looks after the plan by now: press once more")

// press answers a button that somebody has pressed who may do so.
func (g *guard) press(p notify.Press) (string, error) {
	g.mu.Lock()
	desk := g.desk
	g.mu.Unlock()
	if desk == nil {
		return "", errNotMine
	}
	switch {
	case p.Action == notify.Acknowledge:
		return g.acknowledge(desk, p)
	case p.Action == notify.Choose && p.Kind == alert.AskResync:
		return g.keep(desk, p)
	case p.Action == notify.Choose && p.Kind == alert.AskApprove:
		return g.approve(g.ctx, desk, p)
	}
	return "", fmt.Errorf("this button means nothing to this Drover: %s %s", p.Action, p.Kind)
}

func (g *guard) acknowledge(desk *alert.Desk, p notify.Press) (string, error) {
	if err := desk.Acknowledge(g.o.Now(), p.IncidentID, p.Who()); err != nil {
		return "", err
	}
	g.told(desk)
	return "Taken on by " + p.Who() + ".", nil
}

// told stores and sends what an answer has changed.
func (g *guard) told(desk *alert.Desk) {
	g.store(desk)
	g.poke()
}

// opened runs f with the sites of the plan, opened for it alone.
func (g *guard) opened(ctx context.Context, f func(*orchestrator.Sites) error) error {
	sites := orchestrator.OpenSites(ctx, g.plan, g.o.Open, g.o.Hands)
	defer g.closing(sites)
	return f(sites)
}

func (g *guard) closing(sites *orchestrator.Sites) {
	if err := sites.Close(); err != nil {
		g.log.Warn("sites could not be closed", "error", err)
	}
}

// read runs f with what is recorded.
func (g *guard) read(ctx context.Context, sites *orchestrator.Sites, f func(*orchestrator.Book) error) error {
	book, err := orchestrator.ReadBook(ctx, g.plan, sites)
	if err != nil {
		return err
	}
	err = f(book)
	return errors.Join(err, book.Close(ctx))
}

// stale refuses an answer, and says what holds now.
func stale(format string, args ...any) error {
	return fmt.Errorf("%w: %s", orchestrator.ErrStale, fmt.Sprintf(format, args...))
}

// The reasons for which an answer does not count though its button was there.
const (
	newerShown = "the message shows newer evidence by now: read it, and press there"
	askedAgain = "the question was asked too long ago for an answer to count. It was looked again, and the message asks anew on what holds now: read it, and press there"
)

// rule is who may choose at a channel, and how many of them have to.
func (g *guard) rule(channel string) alert.Rule {
	at := slices.IndexFunc(g.plan.Notifications.Channels, func(c plans.Channel) bool { return c.Name == channel })
	if at < 0 {
		return alert.Rule{Needed: 1}
	}
	c := &g.plan.Notifications.Channels[at]
	return alert.Rule{Listed: c.Approve, Needed: c.Needed()}
}

// vote notes what a person has chosen. by are all who have chosen the same, where
// that is enough; else reply says what is missing.
func (g *guard) vote(desk *alert.Desk, p notify.Press) (by, reply string, err error) {
	rule := g.rule(p.Channel)
	choice := alert.Choice{Who: p.User, Name: p.Name, Channel: p.Channel, Option: p.Option}
	all, agreed, err := desk.Choose(g.o.Now(), p.IncidentID, p.Evidence, choice, rule)
	if err != nil {
		return "", "", stale("%v: read the message, and press there", err)
	}
	g.told(desk)
	if agreed {
		return whoOf(all), "", nil
	}
	for _, other := range all {
		if other.Option != p.Option {
			return "", fmt.Sprintf("Nothing is done: %s has chosen %s, and %s has chosen %s. Agree, and choose the same.",
				p.Who(), p.Option, whoOf([]alert.Choice{other}), other.Option), nil
		}
	}
	return "", fmt.Sprintf("%s has chosen %s. Nothing is done before %d approvers have chosen the same: %d more.",
		p.Who(), p.Option, rule.Needed, rule.Needed-len(all)), nil
}

// whoOf names who has made choices.
func whoOf(choices []alert.Choice) string {
	var names []string
	for _, c := range choices {
		names = append(names, notify.Press{User: c.Who, Name: c.Name}.Who())
	}
	return strings.Join(names, " and ")
}
