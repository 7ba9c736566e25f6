package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
)

// press answers a button that somebody has pressed who may do so.
func (g *guard) press(p notify.Press) (string, error) {
	switch {
	case p.Action == notify.Acknowledge:
		return g.acknowledge(p)
	case p.Action == notify.Choose && p.Kind == "resync":
		return g.keep(g.ctx, p)
	}
	return "", fmt.Errorf("this button means nothing to this Drover: %s %s", p.Action, p.Kind)
}

func (g *guard) acknowledge(p notify.Press) (string, error) {
	g.mu.Lock()
	desk := g.desk
	g.mu.Unlock()
	if desk == nil {
		return "", errors.New("another Drover looks after the plan by now: press once more")
	}
	if err := desk.Acknowledge(g.o.Now(), p.IncidentID, "<@"+p.User+">"); err != nil {
		return "", err
	}
	g.store(desk)
	g.poke()
	return "Taken on by <@" + p.User + ">.", nil
}

// keep begins the resync that a person has chosen by a button: the copy at the site
// that they named stays. It is refused unless what would be lost is what they were
// shown.
func (g *guard) keep(ctx context.Context, p notify.Press) (string, error) {
	if !g.word.TryLock() {
		return "", errors.New("an answer is being carried out: wait until it is")
	}
	begun := false
	defer func() {
		if !begun {
			g.word.Unlock()
		}
	}()
	sites := orchestrator.OpenSites(ctx, g.plan, g.o.Open, g.o.Hands)
	closing := func() {
		if err := sites.Close(); err != nil {
			g.log.Warn("sites could not be closed", "error", err)
		}
	}
	prepared, err := g.prepare(ctx, sites, p)
	if err != nil {
		closing()
		return "", err
	}
	begun = true
	g.sending.Go(func() {
		defer g.word.Unlock()
		defer closing()
		report, err := orchestrator.Start(ctx, g.plan, sites, prepared, orchestrator.RunOptions{Word: true})
		outcome := "not begun"
		if report != nil {
			outcome = string(report.Outcome)
			g.o.Metrics.RunSeen(g.plan.Name, prepared.Run.Runbook, report.Outcome)
		}
		g.log.Info("resync", "run", prepared.Run.ID, "outcome", outcome, "error", err)
		g.watch.CheckNow()
	})
	return fmt.Sprintf("Resync %s begins: the copy at %s stays, the one at %s is kept aside and discarded. drover runs show %s %s",
		prepared.Run.ID, prepared.Run.To, prepared.Run.From, g.plan.File, prepared.Run.ID), nil
}

// prepare prepares the resync, and refuses it where the evidence is another by now.
func (g *guard) prepare(ctx context.Context, sites *orchestrator.Sites, p notify.Press) (*orchestrator.Prepared, error) {
	book, err := orchestrator.ReadBook(ctx, g.plan, sites)
	if err != nil {
		return nil, err
	}
	halts := book.Halts()
	if err := book.Close(ctx); err != nil {
		return nil, err
	}
	at := slices.IndexFunc(halts, func(h orchestrator.Halt) bool { return h.ID == p.Subject })
	if at < 0 {
		return nil, fmt.Errorf("%w: the halt %s is cleared already", orchestrator.ErrStale, p.Subject)
	}
	halt := &halts[at]
	shown := g.shown(halt)
	if shown == nil {
		return nil, fmt.Errorf("%w: the halt is of several images, or was set without evidence: decide with drover resync %s IMAGE --keep SITE", orchestrator.ErrRefused, g.plan.File)
	}
	if shown.Hash != p.Evidence {
		return nil, fmt.Errorf("%w: the message shows newer evidence by now: read it, and press there", orchestrator.ErrStale)
	}
	prepared, err := orchestrator.PrepareResync(ctx, g.plan, sites, orchestrator.ResyncOptions{
		Keep: p.Option, Scope: orchestrator.Scope{Images: []string{halt.Images[0].String()}}, Reason: "chosen by Slack user " + p.User,
	})
	if err == nil {
		err = prepared.Refused
	}
	if err != nil {
		return nil, err
	}
	for _, e := range prepared.Evidence {
		if e.Image == halt.Images[0] && loses(e, p.Option) != "" && loses(e, p.Option) == loses(shown, p.Option) {
			return prepared, nil
		}
	}
	var now []string
	for _, e := range prepared.Evidence {
		now = append(now, e.Lines()...)
		if e.Image == halt.Images[0] {
			g.mu.Lock()
			g.fresh[halt.ID] = e
			g.mu.Unlock()
			g.watch.CheckNow() // and the message asks anew
		}
	}
	return nil, fmt.Errorf("%w: what would be lost is not what the message says any more. Now:\n%s\nThe message is brought up to date, and can be answered then; or: drover resync %s %s --keep %s",
		orchestrator.ErrStale, strings.Join(now, "\n"), g.plan.File, halt.Images[0], p.Option)
}

// shown is the evidence on which people are asked about a halt; nil where it is of
// several images, or was set in a hurry: then nobody is asked by a button.
func (g *guard) shown(halt *orchestrator.Halt) *orchestrator.SplitEvidence {
	g.mu.Lock()
	fresh := g.fresh[halt.ID]
	g.mu.Unlock()
	if fresh != nil {
		return fresh
	}
	var e orchestrator.SplitEvidence
	if len(halt.Images) != 1 || json.Unmarshal(halt.Evidence, &e) != nil {
		return nil
	}
	return &e
}

// asked has signals ask on the newest evidence.
func (g *guard) asked(signals []alert.Signal) []alert.Signal {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.fresh) == 0 {
		return signals
	}
	signals = slices.Clone(signals)
	for i := range signals {
		s := &signals[i]
		if s.Asks == nil || g.fresh[s.Asks.Subject] == nil {
			continue
		}
		e := g.fresh[s.Asks.Subject]
		asks := *s.Asks
		asks.Evidence, s.Asks = e.Hash, &asks
		s.Details = orchestrator.EvidenceDetails(e)
	}
	return signals
}

// loses stands for what the choice of a site's copy loses; "" where it cannot be
// chosen.
func loses(e *orchestrator.SplitEvidence, keep string) string {
	for i := range e.Choices {
		if c := &e.Choices[i]; c.Keep == keep && c.Refused == "" {
			return c.Hash
		}
	}
	return ""
}
