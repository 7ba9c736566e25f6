package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// dozing is a gate of a process that falls asleep in the middle of a mirror snapshot:
// from then on nothing of it takes effect until it is woken, and then all does.
type dozing struct {
	gate sim.Gate

	mu     sync.Mutex
	armed  bool
	asleep bool
	woken  chan struct{}
	late   sync.WaitGroup
	ends   []error // of the snapshots that took effect late, or did not
}

func (d *dozing) through(ctx context.Context, c sim.Call, do func(context.Context) error) error {
	d.mu.Lock()
	if d.armed && c.Op == "CreateMirrorSnapshot" {
		d.asleep = true
	}
	asleep := d.asleep
	d.mu.Unlock()
	if !asleep {
		return d.gate(ctx, c, do)
	}
	if !c.Write { // what is read late is read by nobody
		select {
		case <-d.woken:
			return do(ctx)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", replay.ErrTimeout, ctx.Err())
		}
	}
	ended := make(chan error, 1)
	d.late.Go(func() {
		<-d.woken
		err := do(context.WithoutCancel(ctx))
		if c.Op == "CreateMirrorSnapshot" {
			d.mu.Lock()
			d.ends = append(d.ends, err)
			d.mu.Unlock()
		}
		ended <- err
	})
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", replay.ErrTimeout, ctx.Err())
	}
}

// ousted are those whom a run has shut out.
func (b *bed) ousted(report *orchestrator.RunReport) []orchestrator.ShutOut {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	book, err := orchestrator.ReadBook(b.t.Context(), b.plan, sites)
	b.must(err)
	story, err := orchestrator.FindRun(book, report.Run.ID)
	b.must(err)
	return story.ShutOut
}

// TestVisitorSleeps: a watch that falls asleep while it takes a mirror snapshot is
// shut out by whoever works at the plan next, before an image is demoted: what it
// wakes in the middle of comes to nothing.
func TestVisitorSleeps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, s := shooting(t, 1)
		p := b.immortal()
		d := &dozing{gate: s.behind(p.gate), woken: make(chan struct{})}
		m := b.watchmanBehind(t, p, d.through)
		until(t, "01:04:30")
		d.mu.Lock()
		d.armed = true
		d.mu.Unlock()
		until(t, "01:06:00")
		report, err := b.switchover(orchestrator.SwitchoverOptions{To: "b"}, orchestrator.RunOptions{})
		if err != nil {
			t.Fatal(err)
		}
		out := b.ousted(report)
		if len(out) != 1 || out[0].Site != "a" || !strings.Contains(out[0].Who, "mirror snapshots") || len(out[0].Addresses) != 1 {
			t.Errorf("shut out: %+v", out)
		}
		close(d.woken)
		d.late.Wait()
		if len(d.ends) == 0 {
			t.Error("no snapshot was under way")
		}
		for _, err := range d.ends {
			if !errors.Is(err, replay.ErrShutOut) {
				t.Errorf("a snapshot that came late: %v", err)
			}
		}
		for _, image := range []string{"vm-1", "volume-0"} {
			b.roles(ref(image), replay.RoleSecondary, replay.RolePrimary)
		}
		d.mu.Lock()
		d.armed, d.asleep = false, false
		d.mu.Unlock()
		// It goes on by another client, at the new primary.
		until(t, "01:08:00")
		s.since()
		until(t, "01:21:00")
		if got := of(s.since(), "vm-1@b"); len(got) != 3 {
			t.Errorf("after it woke: %v", got)
		}
		m.stop()
		until(t, "01:22:00")
	})
}

// TestVisitorGivesWay: a session waits for mirror snapshots that are under way, and
// shuts nobody out who ends in time; and of what a run has in hand none is taken
// while it lasts, of others they are.
func TestVisitorGivesWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, s := shooting(t, 1)
		p := b.immortal()
		gate := s.behind(p.gate)
		m := b.watchmanBehind(t, p, func(ctx context.Context, c sim.Call, do func(context.Context) error) error {
			if c.Op == "CreateMirrorSnapshot" {
				time.Sleep(2 * time.Second)
			}
			return gate(ctx, c, do)
		})
		defer m.stop()
		until(t, "01:05:01")
		report, err := b.switchover(orchestrator.SwitchoverOptions{To: "b"}, orchestrator.RunOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if out := b.ousted(report); len(out) != 0 {
			t.Errorf("shut out: %+v", out)
		}
		if got := of(s.since(), "vm-1@a"); len(got) == 0 || got[len(got)-1] != "01:05:02" {
			t.Errorf("what was under way: %v", got)
		}
	})
}

// TestVisitorAndLease: while somebody has the lease, mirror snapshots are taken of
// what that one does not work at; and of nothing where that is not known.
func TestVisitorAndLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, s := shooting(t, 1)
		m := b.shooter(t, s)
		defer m.stop()
		until(t, "01:04:00")
		s.since()
		run := b.begin(orchestrator.Purpose{What: "switchover", Run: "run-that-nobody-has-described"})
		until(t, "01:09:00")
		if got := s.since(); len(got) > 0 {
			t.Errorf("while somebody works at nobody knows what: %v", got)
		}
		b.must(run.End(t.Context()))
		until(t, "01:09:30")
		if got := of(s.since(), "vm-1@a"); len(got) != 1 {
			t.Errorf("when that is over: %v", got)
		}
		apply := b.begin(orchestrator.Purpose{What: "apply"})
		until(t, "01:11:00")
		if got := of(s.since(), "vm-1@a"); len(got) != 1 {
			t.Errorf("during an apply: %v", got)
		}
		b.must(apply.End(t.Context()))
	})
}
