package orchestrator_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
	"github.com/drover-io/drover/replay/sim"
)

// moving gives the plan of a bed a number of images, applied and replaying.
func moving(t *testing.T, plan string, images int) *bed {
	t.Helper()
	b := newBed(t, plan)
	for i := range images {
		b.image("a", ref(fmt.Sprintf("volume-%d", i)), plain)
	}
	b.applied()
	time.Sleep(10 * time.Minute)
	return b
}

func (b *bed) switchover(o orchestrator.SwitchoverOptions, run orchestrator.RunOptions) (*orchestrator.RunReport, error) {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	p, err := orchestrator.PrepareSwitchover(b.t.Context(), b.plan, sites, o)
	if err != nil {
		return nil, err
	}
	return orchestrator.Start(b.t.Context(), b.plan, sites, p, run)
}

// roles wants an image to have roles at a and b.
func (b *bed) roles(image replay.ImageRef, a, other replay.Role) {
	b.t.Helper()
	if gotA, gotB := b.role("a", image), b.role("b", image); gotA != a || gotB != other {
		b.t.Errorf("%s is %s at a and %s at b, want %s and %s", image, gotA, gotB, a, other)
	}
}

func story(r *orchestrator.RunReport) string {
	if r == nil {
		return "no report"
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s\n", r.Outcome, r.Why)
	for _, u := range r.Units {
		fmt.Fprintf(&out, "  %s %s %s\n", u.Unit.Name, u.Outcome, u.Why)
	}
	return out.String() + strings.Join(r.Notes, "\n")
}

// TestRefusedAnyway: a switchover that is refused for other reasons opens no image
// to look for clients, unless a person only wants to see everything.
func TestRefusedAnyway(t *testing.T) {
	for _, brief := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			b := moving(t, twoWay, 101)
			b.must(b.world.Attach("a", ref("volume-0"), client(1), true))
			b.image("a", ref("volume-late"), plain)
			b.must(b.world.Site("a").EnableMirroring(t.Context(), ref("volume-late"), replay.ModeJournal)) // it has no copy yet
			sites := b.sites(t.Context())
			defer b.close(sites)
			b.world.ForgetCalls()
			p, err := orchestrator.PrepareSwitchover(t.Context(), b.plan, sites, orchestrator.SwitchoverOptions{To: "b", Brief: brief})
			b.must(err)
			if !errors.Is(p.Refused, orchestrator.ErrRefused) {
				t.Fatalf("it is not refused: %v", p.Refused)
			}
			opened := slices.ContainsFunc(b.world.Calls(), func(c sim.Call) bool { return c.Op == "Users" })
			said := false
			for _, c := range p.Checks {
				for _, f := range c.Failures {
					said = said || f.Warning && strings.Contains(f.What, "not looked at")
				}
			}
			if opened == brief || said != brief {
				t.Errorf("brief %t: images opened %t, and that said %t", brief, opened, said)
			}
		})
	}
}

func TestSwitchoverAndBack(t *testing.T) {
	for _, form := range []struct{ name, plan string }{{"journal", twoWay}, {"snapshots", snapshotsTwoWay}} {
		t.Run(form.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, form.plan, 12)
				for round, to := range []string{"b", "a", "b"} {
					if round > 0 {
						time.Sleep(10 * time.Minute)
					}
					from := map[string]string{"a": "b", "b": "a"}[to]
					b.must(b.world.Write(from, ref("volume-3"), 4096, []byte(fmt.Sprint("round ", round))))
					r, err := b.switchover(orchestrator.SwitchoverOptions{To: to, NoWayBack: true}, orchestrator.RunOptions{})
					if err != nil || r.Count(orchestrator.UnitMoved) != 13 { // and the plan's own
						t.Fatalf("to %s: %v\n%s", to, err, story(r))
					}
					for i := range 12 {
						want := [2]replay.Role{replay.RolePrimary, replay.RoleSecondary}
						if to == "b" {
							want[0], want[1] = want[1], want[0]
						}
						b.roles(ref(fmt.Sprintf("volume-%d", i)), want[0], want[1])
					}
					if got, want := b.content(to, ref("volume-3")), fmt.Sprint("round ", round); !strings.Contains(got, want) {
						t.Errorf("%s holds %q, not %q", to, got, want)
					}
				}
			})
		})
	}
}

func TestSwitchoverRefusesAndTouchesNothing(t *testing.T) {
	cases := []struct {
		name string
		make func(b *bed)
		want error
		text string
	}{
		{"other site gone", func(b *bed) { b.world.Vanish("b") }, orchestrator.ErrRefused, "b does not answer"},
		{"two primaries", func(b *bed) {
			b.world.StopDaemon("a")
			b.world.StopDaemon("b")
			b.must(b.world.Site("b").Promote(b.t.Context(), ref("volume-1"), true))
		}, orchestrator.ErrHalted, "split-brain"},
		{"stranded", func(b *bed) { b.must(b.world.Site("a").Demote(b.t.Context(), ref("volume-1"))) }, orchestrator.ErrRefused, "primary nowhere"},
		{"no daemon", func(b *bed) { b.world.StopDaemon("b"); time.Sleep(5 * time.Minute) }, orchestrator.ErrRefused, "rbd-mirror"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, twoWay, 3)
				c.make(b)
				b.world.ForgetCalls()
				r, err := b.switchover(orchestrator.SwitchoverOptions{To: "b"}, orchestrator.RunOptions{})
				if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
					t.Errorf("want %v with %q: %v\n%s", c.want, c.text, err, story(r))
				}
				if writes := b.world.Writes(); len(writes) > 0 {
					t.Errorf("wrote %v", writes)
				}
			})
		})
	}
}

// TestSwitchoverWithoutProofGoesBack cuts replay between the checks and the
// demotion: the proof cannot come, so the image goes back, and the others move.
func TestSwitchoverWithoutProofGoesBack(t *testing.T) {
	for _, form := range []struct{ name, plan string }{{"journal", twoWay}, {"snapshots", snapshots}} {
		t.Run(form.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, form.plan, 3)
				sites := b.sites(t.Context())
				defer b.close(sites)
				p, err := orchestrator.PrepareSwitchover(t.Context(), b.plan, sites, orchestrator.SwitchoverOptions{To: "b", NoWayBack: true})
				if err != nil || p.Refused != nil {
					t.Fatal(err, p.Refused)
				}
				b.world.Sever("b", "a")
				r, err := orchestrator.Start(t.Context(), b.plan, sites, p, orchestrator.RunOptions{})
				// In snapshot mode the last snapshot is awaited before anything changes.
				want := map[string]orchestrator.UnitOutcome{"journal": orchestrator.UnitReturned, "snapshots": orchestrator.UnitUntouched}[form.name]
				if !errors.Is(err, orchestrator.ErrIncomplete) || r.Count(want) != len(r.Units) {
					t.Fatalf("%v\n%s", err, story(r))
				}
				b.world.Mend("b", "a")
				time.Sleep(5 * time.Minute)
				for i := range 3 {
					b.roles(ref(fmt.Sprintf("volume-%d", i)), replay.RolePrimary, replay.RoleSecondary)
				}
			})
		})
	}
}

// TestPanicEndsTheRun: a panic in a step of a run is not swallowed: who runs it panics,
// with where it began, and the run is not over.
func TestPanicEndsTheRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 3)
		p := b.immortal()
		p.meanwhile(func(_ int64, c sim.Call) {
			if c.Op == "Demote" {
				panic("no such role")
			}
		})
		sites := p.sites(t.Context())
		defer b.close(sites)
		prepared, err := orchestrator.PrepareSwitchover(t.Context(), b.plan, sites, orchestrator.SwitchoverOptions{})
		if err != nil {
			t.Fatal(err)
		}
		caught := parallel.Catch(func() {
			r, err := orchestrator.Start(t.Context(), b.plan, sites, prepared, orchestrator.RunOptions{})
			t.Errorf("it ends: %s, %v", story(r), err)
		})
		if caught == nil || caught.Value != "no such role" || !strings.Contains(string(caught.Stack), "TestPanicEndsTheRun") {
			t.Errorf("%v", caught)
		}
		if runs := b.runs(); len(runs) != 1 || runs[0].End != nil {
			t.Errorf("the runs: %+v", runs)
		}
	})
}
