package orchestrator

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
)

// buryAct records the tombstone of the old site's copies.
type buryAct struct{}

func (buryAct) book(c *crew) (*Book, error) {
	book, ok := c.records.(*Book)
	if !ok {
		return nil, errors.New("there is no book to record it in")
	}
	return book, nil
}

func (a buryAct) look(_ context.Context, c *crew) (bool, string, error) {
	book, err := a.book(c)
	if err != nil {
		return false, "", err
	}
	for _, ref := range c.run.images() {
		if t := book.Tombstone(c.run.From, ref); t == nil || t.Run != c.run.ID {
			return false, "", nil
		}
	}
	return true, "it is recorded", nil
}

func (a buryAct) do(_ context.Context, c *crew) error {
	book, err := a.book(c)
	if err != nil {
		return err
	}
	return book.Bury(context.WithoutCancel(c.hard), Tombstone{Site: c.run.From, To: c.run.To, Images: c.run.images(), Run: c.run.ID, Reason: c.run.Reason})
}

func (buryAct) patience(*crew) (time.Duration, time.Duration) { return 10 * time.Second, 0 }

// clearAct clears the halts that cover an image, and its tombstone.
type clearAct struct {
	ref        replay.ImageRef
	site, keep string
}

func (a clearAct) look(_ context.Context, c *crew) (bool, string, error) {
	book, err := buryAct{}.book(c)
	if err != nil {
		return false, "", err
	}
	if h := book.Halted(a.ref); h != nil && a.covered(c, h) {
		return false, "halt " + h.ID + " stands", nil
	}
	return book.Tombstone(a.site, a.ref) == nil && book.Tombstone(a.keep, a.ref) == nil, "nothing stands against it", nil
}

// covered reports whether all that a halt names is done with by this run: made
// anew, or left as it is because nothing is wrong with it.
func (a clearAct) covered(c *crew, h *Halt) bool {
	last := StepFollow
	if c.run.Verify {
		last = StepCompare
	}
	for _, ref := range h.Images {
		p := c.past.phase(recopyStep(last, ref))
		spared := c.run.Runbook == Resync && slices.ContainsFunc(c.run.Left, func(l LeftImage) bool { return l.Ref == ref })
		if !spared && p != PhaseDone && p != PhaseAlready {
			return false
		}
	}
	return true
}

func (a clearAct) do(_ context.Context, c *crew) error {
	book, err := buryAct{}.book(c)
	if err != nil {
		return err
	}
	ctx := context.WithoutCancel(c.hard)
	if h := book.Halted(a.ref); h != nil && a.covered(c, h) {
		restart(ctx, c.plan, c.sites, h)
		ended, err := book.endHalt(ctx, h.ID, "resynced by "+c.run.ID+", keeping "+c.run.To, func(s PausedSchedule) error {
			return c.change(s.Site, func(ctx context.Context, site Site) error { return site.AddMirrorSchedule(ctx, s.schedule()) })
		})
		if err != nil {
			return err
		}
		for _, s := range ended.Missing {
			c.tell(RunEvent{Kind: RunNotes, Note: "the schedule " + s.String() + ", which the halt had paused, could not be put back; drover plan apply FILE does, where the plan has it: " + ended.Err.Error()})
		}
	}
	for _, site := range []string{a.site, a.keep} {
		if book.Tombstone(site, a.ref) == nil {
			continue
		}
		if err := book.Lift(ctx, site, []replay.ImageRef{a.ref}, c.run.ID); err != nil {
			return err
		}
	}
	return nil
}

func (clearAct) patience(*crew) (time.Duration, time.Duration) { return 10 * time.Second, time.Second }

// liftStage lifts the tombstones of images that have one primary and one
// secondary again: a later split-brain must not be taken for a copy that a
// failover gave up.
func (w *writer) liftStage() stage {
	return stage{{
		ID: "lift", Kind: StepClear, Site: w.run.To, What: "lift the tombstones of the images that were handed over",
		Proof: "no record stands against them", act: liftAct{},
	}}
}

type liftAct struct{}

// handed are the images that this run has seen handed over and that a tombstone
// still covers at a site.
func (liftAct) handed(c *crew, book *Book, site string) []replay.ImageRef {
	var out []replay.ImageRef
	for _, ref := range c.run.images() {
		p := c.past.phase(string(StepVerify) + "/" + ref.String())
		if (p == PhaseDone || p == PhaseAlready) && book.Tombstone(site, ref) != nil {
			out = append(out, ref)
		}
	}
	return out
}

func (a liftAct) look(_ context.Context, c *crew) (bool, string, error) {
	book, err := buryAct{}.book(c)
	if err != nil {
		return false, "", err
	}
	return len(a.handed(c, book, c.run.From))+len(a.handed(c, book, c.run.To)) == 0, "none stands", nil
}

func (a liftAct) do(_ context.Context, c *crew) error {
	book, err := buryAct{}.book(c)
	if err != nil {
		return err
	}
	for _, site := range []string{c.run.From, c.run.To} {
		if refs := a.handed(c, book, site); len(refs) > 0 {
			if err := book.Lift(context.WithoutCancel(c.hard), site, refs, c.run.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (liftAct) patience(*crew) (time.Duration, time.Duration) { return 10 * time.Second, time.Second }
