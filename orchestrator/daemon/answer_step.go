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
)

// approve records that a person says of a manual step that it is done, as drover runs
// approve does; where the step waits still, and is the one that they were shown.
func (g *guard) approve(ctx context.Context, desk *alert.Desk, p notify.Press) (reply string, err error) {
	// A resync that was chosen by a button may wait for this very word.
	g.steps.Lock()
	defer g.steps.Unlock()
	err = g.opened(ctx, func(sites *orchestrator.Sites) error {
		return g.read(ctx, sites, func(book *orchestrator.Book) error {
			reply, err = g.approveIn(ctx, desk, p, sites, book)
			return err
		})
	})
	g.watch.CheckNow() // whatever holds now, the message shall say it
	return reply, err
}

func (g *guard) approveIn(ctx context.Context, desk *alert.Desk, p notify.Press, sites *orchestrator.Sites, book *orchestrator.Book) (string, error) {
	run, step, ok := strings.Cut(p.Subject, " ")
	if !ok {
		return "", fmt.Errorf("this button means nothing to this Drover: %s", p.Subject)
	}
	waiting := orchestrator.WaitingSteps(g.plan, sites, book, g.o.Now())
	at := slices.IndexFunc(waiting, func(w orchestrator.Waiting) bool { return w.Run.ID == run && w.Step == step })
	switch _, err := desk.Question(g.o.Now(), p.IncidentID, p.Evidence); {
	case at < 0:
		return "", stale("run %s does not wait for this step any more: %s", run, orchestrator.StepState(book, run, step, g.o.Now()))
	case waiting[at].Evidence != p.Evidence, errors.Is(err, alert.ErrOtherEvidence):
		return "", stale(newerShown)
	case errors.Is(err, alert.ErrExpired):
		if err := desk.AskAgain(g.o.Now(), p.IncidentID, p.Evidence); err != nil {
			return "", stale("%v", err)
		}
		g.told(desk)
		return "", stale(askedAgain)
	}
	by, reply, err := g.vote(desk, p)
	if err != nil || by == "" {
		return reply, err
	}
	err = orchestrator.ApproveStep(ctx, g.plan, sites, book, orchestrator.Approval{
		Run: run, Step: step, By: by, At: g.o.Now().UTC(), Reason: "by a button of the channel " + p.Channel,
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Approved by %s: %s. The run goes on: drover runs show %s %s", by, step, g.plan.File, run), nil
}
