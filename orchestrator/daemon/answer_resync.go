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

// keep begins the resync that people have chosen by buttons: the copy at the site
// that they named stays. It is refused unless what would be lost is what they were
// shown.
//
// The run is the daemon's: it outlives a reload, and has its own time when the daemon
// ends.
func (g *guard) keep(desk *alert.Desk, p notify.Press) (string, error) {
	ctx := g.o.runs.ctx
	if !g.word.TryLock() {
		return "", errors.New("an answer is being carried out: wait until it is")
	}
	sites := orchestrator.OpenSites(ctx, g.plan, g.o.Open, g.o.Hands)
	leave := func() {
		g.closing(sites)
		g.word.Unlock()
	}
	begun := false
	defer func() {
		if !begun {
			leave()
		}
	}()
	prepared, err := g.prepare(ctx, sites, desk, p)
	if err != nil {
		return "", err
	}
	by, reply, err := g.vote(desk, p)
	if err != nil || by == "" {
		return reply, err
	}
	prepared.Run.Reason = "chosen by " + by
	begun = true
	g.o.runs.work.Go(func() {
		defer leave()
		var report *orchestrator.RunReport
		err := errors.New("a fault of the program: see the log of the daemon")
		g.contain(func() {
			report, err = orchestrator.Start(ctx, g.plan, sites, prepared, orchestrator.RunOptions{Word: true, Version: g.o.Version})
		})
		outcome := "not begun"
		if report != nil {
			outcome = string(report.Outcome)
		}
		g.log.Info("resync", "run", prepared.Run.ID, "outcome", outcome, "error", err)
		if err != nil {
			g.failed(p.Subject, fmt.Sprintf("%s, chosen by %s: %s: %v", prepared.Run.ID, by, outcome, reasonOf(report, err)))
		}
		g.watch.CheckNow()
	})
	return fmt.Sprintf("Resync %s begins: the copy at %s stays, the one at %s is kept aside and discarded. Chosen by %s. drover runs show %s %s",
		prepared.Run.ID, prepared.Run.To, prepared.Run.From, by, g.plan.File, prepared.Run.ID), nil
}

// reasonOf is why a run has failed, in the words of its first unit that has.
func reasonOf(report *orchestrator.RunReport, err error) string {
	if report != nil {
		for i := range report.Units {
			if u := &report.Units[i]; u.Why != "" {
				return u.Why
			}
		}
	}
	return err.Error()
}

// failed notes that what people have chosen for a halt has failed: the halt's message
// says so until it is over.
func (g *guard) failed(halt, how string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.attempts == nil {
		g.attempts = map[string]string{}
	}
	g.attempts[halt] = how
}

// attempted tells in the questions of halts of attempts that have failed.
func (g *guard) attempted(signals []alert.Signal) []alert.Signal {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.attempts) == 0 {
		return signals
	}
	signals = slices.Clone(signals)
	for i := range signals {
		s := &signals[i]
		if s.Asks == nil {
			continue
		}
		if how := g.attempts[s.Asks.Subject]; how != "" {
			s.Details = append(slices.Clip(s.Details), alert.Detail{Name: "last attempt", Text: how})
		}
	}
	return signals
}

// prepare prepares the resync, and refuses it where the evidence is another by now.
func (g *guard) prepare(ctx context.Context, sites *orchestrator.Sites, desk *alert.Desk, p notify.Press) (*orchestrator.Prepared, error) {
	halt, shown, err := g.asksOf(ctx, sites, p)
	if err != nil {
		return nil, err
	}
	ref := halt.Images[0]
	switch _, err := desk.Question(g.o.Now(), p.IncidentID, p.Evidence); {
	case shown.Hash != p.Evidence, errors.Is(err, alert.ErrOtherEvidence):
		return nil, stale(newerShown)
	case errors.Is(err, alert.ErrExpired):
		return nil, g.again(ctx, sites, desk, p, halt)
	case err != nil:
		return nil, stale("%v: drover halt list %s shows what is halted, drover runs list %s what is under way", err, g.plan.File, g.plan.File)
	}
	prepared, err := orchestrator.PrepareResync(ctx, g.plan, sites, orchestrator.ResyncOptions{
		Keep: p.Option, Scope: orchestrator.Scope{Images: []string{ref.String()}}, Reason: "chosen by " + p.Who(),
	})
	if err == nil {
		err = prepared.Refused
	}
	if err != nil {
		return nil, err
	}
	for _, e := range prepared.Evidence {
		if e.Image == ref && loses(e, p.Option) != "" && loses(e, p.Option) == loses(shown, p.Option) {
			return prepared, nil
		}
	}
	var now []string
	for _, e := range prepared.Evidence {
		now = append(now, e.Lines()...)
		if e.Image == ref {
			g.show(desk, halt.ID, e)
		}
	}
	return nil, stale("what would be lost is not what the message says any more. Now:\n%s\nThe message is brought up to date, and can be answered then; or: drover resync %s %s --keep %s",
		strings.Join(now, "\n"), g.plan.File, ref, p.Option)
}

// asksOf is the halt that a button is of, and the evidence on which people are asked
// about it.
func (g *guard) asksOf(ctx context.Context, sites *orchestrator.Sites, p notify.Press) (*orchestrator.Halt, *orchestrator.SplitEvidence, error) {
	var halts []orchestrator.Halt
	err := g.read(ctx, sites, func(book *orchestrator.Book) error {
		halts = book.Halts()
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	at := slices.IndexFunc(halts, func(h orchestrator.Halt) bool { return h.ID == p.Subject })
	if at < 0 {
		return nil, nil, stale("the halt %s is cleared already", p.Subject)
	}
	shown := g.shown(&halts[at])
	if shown == nil {
		return nil, nil, fmt.Errorf("%w: the halt is of several images, or was set without evidence: decide with drover resync %s IMAGE --keep SITE", orchestrator.ErrRefused, g.plan.File)
	}
	return &halts[at], shown, nil
}

// again looks once more, has the message ask on what holds now, and says so.
func (g *guard) again(ctx context.Context, sites *orchestrator.Sites, desk *alert.Desk, p notify.Press, halt *orchestrator.Halt) error {
	e, err := orchestrator.LookAtSplit(ctx, g.plan, sites, halt.Images[0])
	if err != nil {
		return fmt.Errorf("the question was asked too long ago for an answer to count, and what holds now could not be looked at: %w", err)
	}
	if e.Hash != p.Evidence {
		g.show(desk, halt.ID, e)
		return stale(askedAgain)
	}
	if err := desk.AskAgain(g.o.Now(), p.IncidentID, p.Evidence); err != nil {
		return stale("%v", err)
	}
	g.told(desk)
	return stale(askedAgain)
}

// freshNote begins the name under which the desk remembers newer evidence of a halt.
const freshNote = "evidence/"

// show has the message of a halt ask on newer evidence, from the next check on.
func (g *guard) show(desk *alert.Desk, halt string, e *orchestrator.SplitEvidence) {
	g.mu.Lock()
	g.fresh[halt] = e
	g.mu.Unlock()
	if text, err := json.Marshal(e); err == nil { // it was read from JSON, or could be
		desk.Note(freshNote+halt, text)
	}
	g.watch.CheckNow()
}

// recallFresh reads the newer evidence that a desk remembers. g.mu is held.
func (g *guard) recallFresh(memory alert.Memory) {
	g.fresh = map[string]*orchestrator.SplitEvidence{}
	for name, text := range memory.Notes {
		halt, ok := strings.CutPrefix(name, freshNote)
		var e orchestrator.SplitEvidence
		if ok && json.Unmarshal(text, &e) == nil {
			g.fresh[halt] = &e
		}
	}
}

// forgetFresh drops the newer evidence of halts that are no more.
func (g *guard) forgetFresh(desk *alert.Desk, halts []orchestrator.Halt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range g.fresh {
		if !slices.ContainsFunc(halts, func(h orchestrator.Halt) bool { return h.ID == id }) {
			delete(g.fresh, id)
			desk.Note(freshNote+id, nil)
		}
	}
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

// newer is the evidence on which people are asked about a halt, where it is newer than
// that of its record.
func (g *guard) newer(check *orchestrator.CheckResult, halt string) *orchestrator.SplitEvidence {
	if g.at(check) == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fresh[halt]
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
