package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// sleeper is a drover that falls asleep in the middle of a call that changes a
// site, all of it, and does not know when it wakes.
type sleeper struct {
	b  *bed
	at int64 // the number, from 0, of the change in which it falls asleep

	changes atomic.Int64
	asleep  atomic.Bool
	fell    chan sim.Call // the call in which it fell asleep
	wake    chan struct{}
}

func (b *bed) sleeper(at int64) *sleeper {
	return &sleeper{b: b, at: at, fell: make(chan sim.Call, 1), wake: make(chan struct{})}
}

func (s *sleeper) gate(ctx context.Context, c sim.Call, do func(context.Context) error) error {
	switch {
	case s.asleep.Load():
		<-s.wake
	case c.Write && s.changes.Add(1)-1 == s.at:
		s.asleep.Store(true)
		s.fell <- c
		<-s.wake
		// What librbd has begun knows of no deadline.
		return do(context.WithoutCancel(ctx))
	}
	return do(ctx)
}

func (s *sleeper) sites(ctx context.Context) *orchestrator.Sites {
	open := func(_ context.Context, site plans.Site) (orchestrator.Site, error) {
		return s.b.world.Client(site.Name, s.gate), nil
	}
	hands := func(_ *plans.Plan, site plans.Site, _ orchestrator.Site) (orchestrator.Hands, error) {
		return handsOf(site, simRunner{b: s.b, site: site.Name}), nil
	}
	return orchestrator.OpenSites(ctx, s.b.plan, open, hands)
}

// start lets it prepare and start a run; the error comes when it has ended.
func (s *sleeper) start(prepare preparer) <-chan error {
	ended := make(chan error, 1)
	go func() {
		ctx := s.b.t.Context()
		sites := s.sites(ctx)
		defer s.b.close(sites)
		prepared, err := prepare(ctx, s.b.plan, sites)
		if err == nil {
			_, err = orchestrator.Start(ctx, s.b.plan, sites, prepared, orchestrator.RunOptions{})
		}
		ended <- err
	}()
	return ended
}

// fallsAsleep waits until it sleeps; false: it has ended before.
func (s *sleeper) fallsAsleep(ended <-chan error) (sim.Call, bool) {
	select {
	case c := <-s.fell:
		return c, true
	case err := <-ended:
		if err != nil {
			s.b.t.Error("not even asleep: ", err)
		}
		return sim.Call{}, false
	}
}

// wakesInVain wakes it up and wants it to come to nothing: to change no image,
// and to end in good order. done: it had completed its run before it fell asleep.
func (s *sleeper) wakesInVain(ended <-chan error, refs []replay.ImageRef, done bool) {
	t := s.b.t
	t.Helper()
	time.Sleep(time.Hour)
	before := s.standing(refs)
	s.b.world.ForgetCalls()
	close(s.wake)
	err := <-ended
	if err == nil && !done || !mayFail(err) && !errors.Is(err, orchestrator.ErrStale) && !errors.Is(err, replay.ErrTimeout) {
		t.Errorf("it woke and ended with: %v", err)
	}
	time.Sleep(5 * time.Minute)
	for _, c := range s.b.world.Writes() {
		if c.Err == nil && c.Op != "AcquireLease" && c.Op != "ReleaseLease" && c.Op != "AppendRecords" && c.Op != "Blocklist" {
			t.Errorf("it woke, and did: %s %s at %s", c.Op, c.Object, c.Site)
		}
	}
	if after := s.standing(refs); after != before {
		t.Errorf("it woke, and what was\n%s\nbecame\n%s", before, after)
	}
}

// standing is where images are primary, which images they are, and what they
// hold.
func (s *sleeper) standing(refs []replay.ImageRef) string {
	var out strings.Builder
	for _, ref := range refs {
		fmt.Fprintf(&out, "%s primary at %v", ref, s.b.world.Primaries(ref))
		for _, p := range s.b.plan.Sites {
			image, err := s.b.world.Site(p.Name).Image(s.b.t.Context(), ref)
			s.b.must(err)
			fmt.Fprintf(&out, "; at %s id %s holds %s", p.Name, image.ID, strings.TrimSpace(s.b.content(p.Name, ref)))
		}
		out.WriteString("\n")
	}
	return out.String()
}

// TestSleeperIsShutOut lets a process fall asleep in each of a runbook's calls.
// Another one completes the run; a third moves the images once more, so that
// what the sleeper was at would do harm now. Then it wakes.
func TestSleeperIsShutOut(t *testing.T) {
	asleepIn, ran := map[string]bool{}, 0
	names := []string{
		"switchover, journal", "switchover, snapshots", "switchover, groups, waves and hooks", "switchover, fence",
		"failover, site gone", "failover, site frozen, snapshots", "failover, fence of a site that answers",
		"failback, journal", "failback, snapshots", "resync, journal", "resync, snapshots",
	}
	for i, name := range names {
		scene := sceneOf(t, name)
		t.Run(name, func(t *testing.T) {
			ran++
			first, stride := sampled(i)
			for at, over := first, false; !over && !t.Failed(); at += stride {
				t.Run(fmt.Sprint("change ", at), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						var op string
						if op, over = scene.slept(t, at); !over {
							asleepIn[op] = true
						}
					})
				})
			}
		})
	}
	for _, op := range []string{"AcquireLease", "AppendRecords", "Demote", "Promote", "Resync", "CreateMirrorSnapshot", "RenameImage", "ReleaseLease"} {
		if ran == len(names) && !testing.Short() && !asleepIn[op] && !t.Failed() {
			t.Errorf("no process fell asleep in %s", op)
		}
	}
}

func sceneOf(t *testing.T, name string) *runScene {
	t.Helper()
	for i := range runScenes {
		if runScenes[i].name == name {
			return &runScenes[i]
		}
	}
	t.Fatalf("no scene %q", name)
	return nil
}

// slept runs a scene in which the first process falls asleep in a change; over:
// it made fewer.
func (s *runScene) slept(t *testing.T, at int64) (op string, over bool) {
	st := s.stage(t)
	first := st.sleeper(at)
	ended := first.start(s.prepare)
	call, sleeps := first.fallsAsleep(ended)
	if !sleeps {
		return "", true
	}
	time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
	runs := st.runs()[st.before:]
	done := len(runs) > 0 && runs[len(runs)-1].End != nil
	next := st.immortal()
	next.before = st.before
	account := st.finish(next, s.prepare, st.ask)
	st.ends(account)

	back := switchingOver(orchestrator.SwitchoverOptions{To: "a", From: "b", NoWayBack: true})
	switch {
	case s.lost != "":
		st.world.Return(s.lost)
		st.world.Thaw(s.lost)
		back = goingBack
	case s.to == "a":
		back = switchingOver(orchestrator.SwitchoverOptions{To: "b", From: "a", NoWayBack: true})
	}
	time.Sleep(5 * time.Minute)
	third := st.immortal()
	third.before = len(st.runs())
	account = append(account, st.finish(third, back, st.ask)...)
	st.ink.write()
	first.wakesInVain(ended, st.refs, done)
	if t.Failed() {
		t.Logf("it had fallen asleep in %s %s at %s; then:\n%s", call.Op, call.Object, call.Site, strings.Join(account, "\n"))
	}
	return call.Op, false
}

// TestApplyThatSleptIsShutOut lets an apply fall asleep in each of its calls.
// Another one completes what it was at, and all is taken down; then it wakes.
func TestApplyThatSleptIsShutOut(t *testing.T) {
	for at, over := int64(0), false; !over && !t.Failed(); at++ {
		bubble(t, func(t *testing.T) {
			b := newBed(t, snapshots)
			first := b.sleeper(at)
			ended := make(chan error, 1)
			go func() {
				sites := first.sites(t.Context())
				defer b.close(sites)
				_, err := orchestrator.Apply(t.Context(), b.plan, sites, orchestrator.Options{})
				ended <- err
			}()
			call, sleeps := first.fallsAsleep(ended)
			if !sleeps {
				if over = true; at < 15 {
					t.Errorf("only %d changes", at)
				}
				return
			}
			time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
			result, err := b.apply(orchestrator.Options{Wait: orchestrator.WaitReplaying})
			// Asleep before its session was recorded, it had done nothing; and one that
			// had done everything leaves nothing to take over.
			out := slices.ContainsFunc(result.Notices, func(n orchestrator.Notice) bool { return n.Code == orchestrator.NoticeShutOut })
			if ledgers := call.Op == "AcquireLease" || call.Op == "AppendRecords" || call.Op == "ReleaseLease"; err != nil || !out && !ledgers && !result.Unchanged() {
				t.Errorf("the second apply: %v\n%s\n%+v", err, outcomes(result), result.Notices)
			}
			if result, err := b.destroy(orchestrator.DestroyOptions{}); err != nil {
				t.Errorf("destroy: %v\n%s", err, outcomes(result))
			}
			time.Sleep(time.Hour)
			before := first.set(t)
			close(first.wake)
			if err := <-ended; err != nil && !mayFail(err) && !errors.Is(err, orchestrator.ErrStale) {
				t.Errorf("it woke and ended with: %v", err)
			}
			time.Sleep(5 * time.Minute)
			if after := first.set(t); after != before {
				t.Errorf("asleep in %s %s at %s it woke, and what was\n%s\nbecame\n%s", call.Op, call.Object, call.Site, before, after)
			}
		})
	}
}

// set is what is set up at the sites.
func (s *sleeper) set(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, p := range s.b.plan.Sites {
		site := s.b.world.Site(p.Name)
		pool := ref("").Pool
		mirroring, err := site.PoolMirroring(t.Context(), pool)
		s.b.must(err)
		images, err := site.Images(t.Context(), pool, replay.WithHeader)
		s.b.must(err)
		schedules, err := site.MirrorSchedules(t.Context(), pool)
		s.b.must(err)
		fmt.Fprintf(&out, "%s: %+v %+v %+v\n", p.Name, mirroring, images, schedules)
	}
	return out.String()
}
