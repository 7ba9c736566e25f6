package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// splitPause is how long a split-brain has to last before it is taken for one:
// a role is changed in a moment, but reports and journals follow.
const splitPause = 2 * time.Second

// haltsAtOnce is how many halts are set, and replays stopped, at the same time.
const haltsAtOnce = 16

// HaltSplit looks for split-brains, and halts what it finds. First all halts are
// recorded, at every site that answers; then replay of the images and of their
// groups is stopped where the daemon can be told so, schedules of their own are
// paused, and at last the evidence is gathered and added to the halts. Once
// something is halted, ctx ending only shortens what comes after: everything is
// recorded and stopped for as long as the plan's answer time lasts. What a run has
// in its hands, what is halted already, and copies that a failover gave up are left
// alone. A look that finds one is repeated after a moment before it counts.
//
// The error tells what could not be recorded or stopped; halts are those that
// were recorded, each with [Halt.Split] where it could be gathered.
func HaltSplit(ctx context.Context, plan *plans.Plan, sites *Sites) (halts []Halt, err error) {
	return haltSplit(ctx, plan, sites, splitPause, 0)
}

// haltSplit is HaltSplit with another moment between its looks, and with a limit to
// what comes after the halts are recorded and replay is stopped (0: none): schedules
// that were not paused by then go on, and evidence that is lacking is for another look
// ([explainHalts]). Of hundreds of images, with a site that has just fallen silent,
// all of it would take minutes.
func haltSplit(ctx context.Context, plan *plans.Plan, sites *Sites, pause, rest time.Duration) (halts []Halt, err error) {
	records := readRecords(ctx, plan, sites)
	if records.book == nil {
		return nil, records.Fault
	}
	first, _ := splits(ctx, plan, sites, records)
	if len(first) == 0 {
		return nil, nil
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return nil, ErrInterrupted
	}
	records = readRecords(ctx, plan, sites)
	if records.book == nil {
		return nil, records.Fault
	}
	again, obs := splits(ctx, plan, sites, records)
	maps.DeleteFunc(again, func(ref replay.ImageRef, _ string) bool { return first[ref] == "" })
	work, done := lingering(ctx, answerTime(plan))
	defer done()
	b := splitHalter{plan: plan, sites: sites, book: records.book}
	b.record(work, again)
	b.stop(work, obs)
	if rest > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, rest)
		defer end()
	}
	b.explain(ctx, work)
	if rest > 0 {
		work = ctx
	}
	b.pause(work)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime(plan))
	defer cancel()
	b.fail(records.book.Close(closing))
	return b.halts, errors.Join(b.errs...)
}

// lingering is a context that ends some time after another has.
func lingering(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(d):
		case <-longer.Done():
		}
		cancel()
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// splits are the images in split-brain that nothing recorded explains, each with
// why, and what was observed.
func splits(ctx context.Context, plan *plans.Plan, sites *Sites, records *Recorded) (map[replay.ImageRef]string, *Observation) {
	obs, stands := surveyOf(ctx, plan, sites)
	out := map[replay.ImageRef]string{}
	for i := range stands {
		s := &stands[i]
		ref := s.evidence.Ref
		if s.verdict.State != replay.SplitBrain || records.halted(ref) != nil || records.moving(ref) != nil || records.givenUp(s) {
			continue
		}
		out[ref] = splitWords(s)
	}
	return out, obs
}

// givenUp reports whether a failover explains an image as it stands: a copy that
// it gave up is still primary, or was demoted and does not follow.
func (r *Recorded) givenUp(s *stand) bool {
	var broken []string
	for i := range s.evidence.Sites {
		e := &s.evidence.Sites[i]
		if c := s.copyAt(e.Site); c != nil && unclean(c.State) && e.Image != nil && e.Image.Role == replay.RoleSecondary {
			broken = append(broken, e.Site)
		}
	}
	ref, primaries := s.evidence.Ref, s.primaries()
	return r.quarantined(ref, primaries) != nil || r.stranger(ref, primaries, broken) != nil
}

// splitHalter halts what was found in split-brain.
type splitHalter struct {
	plan  *plans.Plan
	sites *Sites
	book  *Book

	mu    sync.Mutex
	halts []Halt
	errs  []error
}

func (b *splitHalter) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.errs = append(b.errs, err)
}

// record halts the images, without anything else that could take its time.
func (b *splitHalter) record(ctx context.Context, found map[replay.ImageRef]string) {
	refs := slices.SortedFunc(maps.Keys(found), replay.ImageRef.Compare)
	set := make([]*Halt, len(refs))
	forEach(ctx, len(refs), haltsAtOnce, func(i int) {
		h := Halt{Images: []replay.ImageRef{refs[i]}, Reason: splitWord + found[refs[i]]}
		if group := b.plan.GroupOf(refs[i].Pool.Name, refs[i].Namespace, refs[i].Name); group != nil {
			h.Group = group.Name
		}
		if err := b.book.Halt(ctx, h); err != nil {
			b.fail(fmt.Errorf("halt %s: %w", refs[i], err))
			return
		}
		set[i] = b.book.named(h)
	})
	for _, h := range set {
		if h != nil {
			b.halts = append(b.halts, *h)
		}
	}
}

// stop stops the replay of all that the halts cover, as it was observed.
func (b *splitHalter) stop(ctx context.Context, obs *Observation) {
	covered := map[replay.ImageRef]bool{}
	groups := map[string]bool{}
	for i := range b.halts {
		covered[b.halts[i].Images[0]] = true
		groups[b.halts[i].Group] = b.halts[i].Group != ""
	}
	obs.eachImage(func(_ string, image *replay.Image) {
		if g := b.plan.GroupOf(image.Ref.Pool.Name, image.Ref.Namespace, image.Ref.Name); g != nil && groups[g.Name] {
			covered[image.Ref] = true
		}
	})
	refs := slices.SortedFunc(maps.Keys(covered), replay.ImageRef.Compare)
	forEach(ctx, len(refs), haltsAtOnce, func(i int) {
		if err := stopReplay(ctx, b.plan, b.sites, refs[i]); err != nil {
			b.fail(err)
		}
	})
}

// pause pauses the schedules that halted images have of their own.
func (b *splitHalter) pause(ctx context.Context) {
	forEach(ctx, len(b.halts), haltsAtOnce, func(i int) {
		set, err := SetHalt(ctx, b.plan, b.sites, b.book, b.halts[i])
		if err != nil && ctx.Err() == nil {
			b.fail(fmt.Errorf("halt %s: %w", b.halts[i].Images[0], err))
		}
		if set != nil {
			set.Split = b.halts[i].Split
			b.halts[i] = *set
		}
	})
}

// explainHalts adds the evidence to halts of split-brains that were recorded without.
func explainHalts(ctx context.Context, plan *plans.Plan, sites *Sites, halts []Halt) error {
	records := readRecords(ctx, plan, sites)
	if records.book == nil {
		return records.Fault
	}
	b := splitHalter{plan: plan, sites: sites, book: records.book, halts: halts}
	b.explain(ctx, ctx)
	b.fail(records.book.Close(ctx))
	return errors.Join(b.errs...)
}

// explain adds the evidence to the halts, for as long as anybody waits for it.
func (b *splitHalter) explain(ctx, record context.Context) {
	forEach(ctx, len(b.halts), haltsAtOnce/2, func(i int) {
		h := &b.halts[i]
		e, err := splitEvidence(ctx, b.plan, b.sites, h.Images[0], false)
		if err != nil || ctx.Err() != nil {
			return // what could not be looked at is no evidence
		}
		h.Split = e
		if h.Evidence, err = json.Marshal(e); err == nil {
			err = b.book.testify(record, *h)
		}
		if err != nil {
			b.fail(err)
		}
	})
}
