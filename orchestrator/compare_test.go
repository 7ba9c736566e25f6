package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// splitBed is a bed with volume-1 primary at both sites and halted for it, each
// side with a write of its own.
func splitBed(t *testing.T, plan string) (b *bed, halt string) {
	t.Helper()
	b = moving(t, plan, 2)
	b.must(b.world.Site("b").Promote(t.Context(), ref("volume-1"), true))
	b.must(b.world.Write("a", ref("volume-1"), 4096, []byte("written at a")))
	b.must(b.world.Write("b", ref("volume-1"), 4096, []byte("written at b")))
	time.Sleep(5 * time.Minute)
	sites := b.sites(t.Context())
	defer b.close(sites)
	halts, err := orchestrator.HaltSplit(t.Context(), b.plan, sites)
	b.must(err)
	if len(halts) != 1 {
		t.Fatalf("halts: %+v", halts)
	}
	return b, halts[0].ID
}

// compared are the records of steps that compared contents.
func compared(s *orchestrator.RunStory) (out []orchestrator.StepStory) {
	for _, step := range s.Steps {
		if step.Kind == orchestrator.StepCompare && step.Phase != orchestrator.PhaseIntent {
			out = append(out, step)
		}
	}
	return out
}

// verifySnapshots are the snapshots of verifications that an image has at a
// site.
func (b *bed) verifySnapshots(site string, ref replay.ImageRef) (names []string) {
	b.t.Helper()
	image, err := b.world.Site(site).Image(b.t.Context(), ref)
	b.must(err)
	for _, s := range image.Snapshots {
		if strings.HasPrefix(s.Name, "drover-verify-") {
			names = append(names, s.Name)
		}
	}
	return names
}

// atSnapshot does something once, when a comparison takes its snapshot at b.
func atSnapshot(do func(c sim.Call)) func(int64, sim.Call) {
	var once sync.Once
	return func(_ int64, c sim.Call) {
		if c.Op == "CreateSnapshot" && c.Site == "b" {
			once.Do(func() { do(c) })
		}
	}
}

// TestResyncCompares lets the new copy differ from what it was made of: the
// halt stays, the evidence names the place, and a further resync mends it.
func TestResyncCompares(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, halt := splitBed(t, twoWay)
		p := b.immortal()
		p.between = atSnapshot(func(sim.Call) {
			b.must(b.world.Corrupt("a", ref("volume-1"), 5<<20+2, []byte("rot")))
		})
		_, r, err := p.start(t.Context(), recopying("b", "volume-1"), orchestrator.RunOptions{})
		if !errors.Is(err, orchestrator.ErrIncomplete) || r.Outcome != orchestrator.RunStuck {
			t.Fatalf("a copy that differs: %v\n%s", err, story(r))
		}
		runs := b.runs()
		last := &runs[len(runs)-1]
		for _, text := range []string{"4.0 KiB differ", "5242880+4096", "drover runs end FILE " + last.Run.ID, "--keep b --force"} {
			if !strings.Contains(r.Units[0].Why, text) {
				t.Errorf("the report does not say %q: %s", text, r.Units[0].Why)
			}
		}
		steps := compared(last)
		if len(steps) != 1 || steps[0].Phase != orchestrator.PhaseFailed || !strings.Contains(steps[0].Evidence, "5242880+4096") {
			t.Errorf("recorded: %+v", steps)
		}
		book := b.read()
		if h := book.Halted(ref("volume-1")); h == nil || h.ID != halt {
			t.Errorf("the halt is gone: %+v", h)
		}
		// Resumed, it is compared again, and differs still.
		if _, err := b.immortal().resume(t.Context(), orchestrator.RunOptions{}); !errors.Is(err, orchestrator.ErrIncomplete) {
			t.Errorf("resumed: %v", err)
		}
		sites := b.sites(t.Context())
		defer b.close(sites)
		b.must(orchestrator.EndRun(t.Context(), b.plan, sites, last.Run.ID, "the disk is replaced", func(line string) { t.Log(line) }))
		_, r, err = b.resync(orchestrator.ResyncOptions{Keep: "b", Scope: orchestrator.Scope{Images: []string{"volume-1"}}, Force: true})
		if err != nil || r.Outcome != orchestrator.RunDone {
			t.Fatalf("once more: %v\n%s", err, story(r))
		}
		if h := b.read().Halted(ref("volume-1")); h != nil {
			t.Errorf("still halted: %+v", h)
		}
		if got := b.content("a", ref("volume-1")); !strings.Contains(got, "written at b") {
			t.Errorf("a holds %q", got)
		}
		time.Sleep(time.Minute) // replay brings the removal
		for _, site := range []string{"a", "b"} {
			if left := b.verifySnapshots(site, ref("volume-1")); len(left) > 0 {
				t.Errorf("left at %s: %v", site, left)
			}
		}
	})
}

// TestResyncComparesWhatIsWritten compares while the side that stays is written
// to at every call.
func TestResyncComparesWhatIsWritten(t *testing.T) {
	for _, form := range []struct{ name, plan string }{{"journal", twoWay}, {"snapshots", snapshotsTwoWay}} {
		t.Run(form.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b, _ := splitBed(t, form.plan)
				p := b.immortal()
				writes := 0
				var mu sync.Mutex
				p.between = func(_ int64, c sim.Call) {
					mu.Lock()
					defer mu.Unlock()
					writes++
					b.must(b.world.Write("b", ref("volume-1"), uint64(writes%1000)*4096, []byte{byte(writes)}))
				}
				_, r, err := p.start(t.Context(), recopying("b", "volume-1"), orchestrator.RunOptions{})
				if err != nil || r.Outcome != orchestrator.RunDone {
					t.Fatalf("%v\n%s", err, story(r))
				}
				runs := b.runs()
				if steps := compared(&runs[len(runs)-1]); len(steps) != 1 || steps[0].Phase != orchestrator.PhaseDone || !strings.Contains(steps[0].Evidence, "identical at ") {
					t.Errorf("recorded: %+v", steps)
				}
			})
		})
	}
}

// TestCompareIsAsked compares where it is asked for, and nowhere else: a resync
// unless told not to, a failback when told to, and then also what is handed
// over as it is.
func TestCompareIsAsked(t *testing.T) {
	resync := func(no bool) preparer {
		return func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites) (*orchestrator.Prepared, error) {
			return orchestrator.PrepareResync(ctx, plan, sites, orchestrator.ResyncOptions{Keep: "b", Scope: orchestrator.Scope{Images: []string{"volume-1"}}, NoVerify: no})
		}
	}
	failback := func(verify bool) preparer {
		return func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites) (*orchestrator.Prepared, error) {
			return orchestrator.PrepareFailback(ctx, plan, sites, orchestrator.FailbackOptions{To: "a", Verify: verify})
		}
	}
	split := func(b *bed) { b.must(b.world.Site("b").Promote(b.t.Context(), ref("volume-1"), true)) }
	moved := func(b *bed) {
		_, err := b.switchover(orchestrator.SwitchoverOptions{To: "b"}, orchestrator.RunOptions{})
		b.must(err)
	}
	for _, c := range []struct {
		name    string
		make    func(b *bed)
		prepare preparer
		want    int
	}{
		{"resync", split, resync(false), 1},
		{"resync, told not to", split, resync(true), 0},
		{"failback", moved, failback(false), 0},
		{"failback, told to", moved, failback(true), 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, twoWay, 2)
				c.make(b)
				time.Sleep(5 * time.Minute)
				b.world.ForgetCalls()
				_, r, err := b.immortal().start(t.Context(), c.prepare, orchestrator.RunOptions{})
				if err != nil || r.Outcome != orchestrator.RunDone {
					t.Fatalf("%v\n%s", err, story(r))
				}
				runs := b.runs()
				if steps := compared(&runs[len(runs)-1]); len(steps) != c.want {
					t.Errorf("%d compared, want %d", len(steps), c.want)
				}
				snapshots := 0
				for _, call := range b.world.Writes() {
					if call.Op == "CreateSnapshot" && call.Site == "b" {
						snapshots++
					}
				}
				if snapshots != c.want {
					t.Errorf("%d snapshots were taken, want %d", snapshots, c.want)
				}
			})
		})
	}
}

// TestFailbackStopsAtADifference does not hand an image over to a copy that
// differs, and leaves it where it is.
func TestFailbackStopsAtADifference(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 2)
		_, err := b.switchover(orchestrator.SwitchoverOptions{To: "b"}, orchestrator.RunOptions{})
		b.must(err)
		time.Sleep(5 * time.Minute)
		b.must(b.world.Corrupt("a", ref("volume-1"), 1<<20, []byte("rot")))
		_, r, err := b.failback(orchestrator.FailbackOptions{To: "a", Verify: true})
		if !errors.Is(err, orchestrator.ErrIncomplete) || r.Count(orchestrator.UnitUntouched) != 1 || r.Count(orchestrator.UnitMoved) != 2 {
			t.Fatalf("%v\n%s", err, story(r))
		}
		b.roles(ref("volume-1"), replay.RoleSecondary, replay.RolePrimary)
		b.roles(ref("volume-0"), replay.RolePrimary, replay.RoleSecondary)
	})
}

// TestCompareIsLeft stops a run in the middle of a comparison: it does not wait
// for it, and whoever resumes makes it.
func TestCompareIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, _ := splitBed(t, twoWay)
		ctx, stop := context.WithCancel(t.Context())
		p := b.immortal()
		p.between = atSnapshot(func(sim.Call) {
			b.world.Sever("a", "b") // the snapshot will not come
			stop()
		})
		began := time.Now()
		_, r, err := p.start(ctx, recopying("b", "volume-1"), orchestrator.RunOptions{})
		if !errors.Is(err, orchestrator.ErrInterrupted) || r.Outcome != orchestrator.RunInterrupted {
			t.Fatalf("%v\n%s", err, story(r))
		}
		if took := time.Since(began); took > 5*time.Minute {
			t.Errorf("it stopped after %v", took)
		}
		b.world.Mend("a", "b")
		b.finish(b.immortal(), recopying("b", "volume-1"), nil)
		runs := b.runs()
		if steps := compared(&runs[len(runs)-1]); len(steps) < 2 || steps[len(steps)-1].Phase != orchestrator.PhaseDone {
			t.Errorf("recorded: %+v", steps)
		}
		if h := b.read().Halted(ref("volume-1")); h != nil {
			t.Errorf("still halted: %+v", h)
		}
	})
}
