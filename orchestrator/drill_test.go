package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

func (p *process) drill(ctx context.Context, o orchestrator.DrillOptions) (*report.Report, error) {
	sites := p.sites(ctx)
	defer p.b.close(sites)
	return orchestrator.RunDrill(ctx, p.b.plan, sites, o)
}

// drillThings are what drills have made and not removed: at both sites, anywhere.
func (b *bed) drillThings() (out []string) {
	b.t.Helper()
	ctx := context.Background()
	for _, s := range b.plan.Sites {
		site := b.world.Site(s.Name)
		pools, err := site.ListPools(ctx)
		b.must(err)
		for _, pool := range pools {
			spaces, err := site.Namespaces(ctx, pool)
			b.must(err)
			for _, space := range append(spaces, "") {
				images, err := site.Images(ctx, replay.Pool{Name: pool, Namespace: space}, replay.WithHeader)
				b.must(err)
				for _, i := range images {
					if strings.HasPrefix(i.Ref.Name, "drover-drill-") {
						out = append(out, s.Name+":"+i.Ref.String())
					}
					for _, snap := range i.Snapshots {
						if strings.HasPrefix(snap.Name, "drover-drill-") {
							out = append(out, s.Name+":"+i.Ref.String()+"@"+snap.Name)
						}
					}
				}
			}
		}
	}
	return out
}

func (b *bed) wantClean() {
	b.t.Helper()
	time.Sleep(time.Minute)
	if left := b.drillThings(); len(left) > 0 {
		b.t.Errorf("left behind: %v", left)
	}
}

// shown is a report in short.
func shown(r *report.Report) string {
	if r == nil {
		return "no report"
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s -> %s: %s %s\n", r.ID, r.From, r.To, r.Verdict, r.Why)
	for _, i := range r.Images {
		fmt.Fprintf(&out, "  %s %s %s\n", i.Image, i.Verdict, i.Why)
	}
	for _, c := range r.Checks {
		fmt.Fprintf(&out, "  %s %s: %s %s %s\n", c.Name, c.Of, c.Verdict, c.Why, c.Output)
	}
	for _, s := range r.Steps {
		fmt.Fprintf(&out, "  %s %s %v %s\n", s.Name, s.Of, s.OK, s.Note)
	}
	fmt.Fprintf(&out, "  notes %v\n  left %v\n", r.Notes, r.Left)
	return out.String()
}

// passes wants a drill to pass, and to leave nothing.
func (b *bed) passes(o orchestrator.DrillOptions) *report.Report {
	b.t.Helper()
	r, err := b.immortal().drill(b.t.Context(), o)
	if err != nil || r.Verdict != report.Passed {
		b.t.Fatalf("%v\n%s", err, shown(r))
	}
	if len(r.Left) > 0 {
		b.t.Errorf("left: %v", r.Left)
	}
	b.wantClean()
	return r
}

const drilled = `
drills:
  - name: nightly
    user: client.drill
    keyring: /etc/ceph/client.drill.keyring
    checks:
      - {name: readable, builtin: readable}
      - {name: same, builtin: hash}
      - {name: size, builtin: size}
      - {name: told, per: group, command: [/bin/sh, -c, "cat > FACTS; env | grep ^DROVER_ | sort >> FACTS"]}
      - {name: whole, per: drill, command: [/bin/sh, -c, "exit 0"]}
    rto: 1h
`

func TestDrill(t *testing.T) {
	for name, plan := range map[string]string{"journal": twoWay, "snapshot": snapshotsTwoWay} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				facts := filepath.Join(t.TempDir(), "facts")
				b := moving(t, plan+groupedInWaves+strings.ReplaceAll(drilled, "FACTS", facts), 3)
				k := b.ink(ref("volume-0"), ref("volume-1"))
				k.write()
				p := b.immortal()
				p.meanwhile(func(n int64, _ sim.Call) {
					if n%7 == 0 {
						k.write()
					}
				})
				r, err := p.drill(t.Context(), orchestrator.DrillOptions{Version: "test"})
				if err != nil || r.Verdict != report.Passed {
					t.Fatalf("%v\n%s", err, shown(r))
				}
				b.wantClean()
				// Four images; three checks each, one for each unit, one for all.
				if len(r.Images) != 4 || len(r.Checks) != 4*3+3+1 {
					t.Errorf("%d images, %d checks\n%s", len(r.Images), len(r.Checks), shown(r))
				}
				if r.Achieved.RPOSeconds == nil || r.Achieved.RTOSeconds == nil || r.From != "a" || r.To != "b" || r.Versions["drover"] != "test" || r.Versions["ceph at b"] == "" {
					t.Errorf("%+v", r)
				}
				told, err := os.ReadFile(facts)
				b.must(err)
				for _, want := range []string{`"runbook":"drill"`, `"name":"nightly"`, "DROVER_DRILL=nightly", "DROVER_CEPH_CONF=/etc/ceph/b.conf", "DROVER_TO=b"} {
					if !strings.Contains(string(told), want) {
						t.Errorf("%q is not in what a check is told:\n%s", want, told)
					}
				}
				stored, _, err := orchestrator.Reports(t.Context(), b.plan, b.immortal().sites(t.Context()))
				if err != nil || len(stored) != 1 || stored[0].ID != r.ID || stored[0].Verdict != report.Passed {
					t.Errorf("recorded: %v, %v", stored, err)
				}
			})
		})
	}
}

// TestDrillFindsDamage: a copy that is not what the primary has is found by its hash
// alone.
func TestDrillFindsDamage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 2)
		b.must(b.world.Write("a", ref("volume-1"), 1<<20, []byte("data")))
		time.Sleep(time.Minute)
		b.must(b.world.Corrupt("b", ref("volume-1"), 1<<20, []byte("rot")))
		r, err := b.immortal().drill(t.Context(), orchestrator.DrillOptions{})
		if !errors.Is(err, orchestrator.ErrDrillFailed) || r.Verdict != report.Failed {
			t.Fatalf("%v\n%s", err, shown(r))
		}
		for _, c := range r.Checks {
			want := report.Passed
			if c.Name == "hash" && c.Of == "rbd/volume-1" {
				want = report.Failed
			}
			if c.Verdict != want {
				t.Errorf("%s of %s: %s %s", c.Name, c.Of, c.Verdict, c.Why)
			}
		}
		b.wantClean()
	})
}

// TestDrillSkipped: it does not begin where it would be in the way, and says so.
func TestDrillSkipped(t *testing.T) {
	for name, c := range map[string]struct {
		setUp func(b *bed)
		want  error
		why   string
	}{
		"secondary gone": {func(b *bed) { b.world.Vanish("b") }, orchestrator.ErrRefused, "b does not answer"},
		"halted": {func(b *bed) {
			book, err := orchestrator.ReadBook(b.t.Context(), b.plan, b.immortal().sites(b.t.Context()))
			b.must(err)
			b.must(book.Halt(b.t.Context(), orchestrator.Halt{Images: []replay.ImageRef{ref("volume-0")}, Reason: "look here"}))
			b.must(book.Close(b.t.Context()))
		}, orchestrator.ErrHalted, "look here"},
		"full": {func(b *bed) { b.world.SetQuota("b", "rbd", 1) }, orchestrator.ErrRefused, "there is no room for the drill: pool rbd at b is nearly full"},
		"unfinished run": {func(b *bed) {
			p := b.immortal()
			p.at, p.death = 6, diesAfter
			_, _, err := p.start(b.t.Context(), toB, orchestrator.RunOptions{})
			if !p.dead.Load() {
				b.t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}, orchestrator.ErrRefused, "is not over"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, twoWay, 1)
				c.setUp(b)
				r, err := b.immortal().drill(t.Context(), orchestrator.DrillOptions{})
				if !errors.Is(err, c.want) || r == nil || r.Verdict != report.Skipped || !strings.Contains(r.Why, c.why) {
					t.Fatalf("%v\n%s", err, shown(r))
				}
				if things := b.world; things != nil && name != "secondary gone" {
					b.wantClean()
				}
			})
		})
	}
}

// TestDrillLost: with the primary gone, what the secondary holds is brought up.
func TestDrillLost(t *testing.T) {
	for name, plan := range map[string]string{"journal": twoWay, "snapshot": snapshotsTwoWay} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, plan, 2)
				b.world.Vanish("a")
				r, err := b.immortal().drill(t.Context(), orchestrator.DrillOptions{})
				if err != nil || r.Verdict != report.Passed {
					t.Fatalf("%v\n%s", err, shown(r))
				}
				b.world.Return("a")
				time.Sleep(time.Minute)
				b.wantClean()
				if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "brought up as copies") }) {
					t.Errorf("notes: %v", r.Notes)
				}
			})
		})
	}
}

// TestDrillYields: a run that begins meanwhile ends it, and finds nothing in its way.
func TestDrillYields(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 2)
		p := b.immortal()
		p.meanwhile(func(_ int64, c sim.Call) {
			if c.Op == "CloneSnapshot" {
				time.Sleep(time.Minute)
			}
		})
		ended := make(chan struct{})
		var (
			r   *report.Report
			err error
		)
		go func() {
			defer close(ended)
			r, err = p.drill(t.Context(), orchestrator.DrillOptions{})
		}()
		time.Sleep(45 * time.Second)
		if len(b.drillThings()) == 0 {
			t.Fatal("the drill is not at work")
		}
		run, failure := b.switchover(orchestrator.SwitchoverOptions{To: "b", From: "a", NoWayBack: true}, orchestrator.RunOptions{})
		if failure != nil {
			t.Fatalf("%v\n%s", failure, story(run))
		}
		<-ended
		if err == nil || r.Verdict != report.Aborted || !strings.Contains(r.Why, "switchover") {
			t.Fatalf("%v\n%s", err, shown(r))
		}
	})
}

// TestDrillAlone: two drills of a plan never meet.
func TestDrillAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		p := b.immortal()
		var second error
		p.atFirst("CloneSnapshot", func() {
			_, second = b.immortal().drill(t.Context(), orchestrator.DrillOptions{})
		})
		if _, err := p.drill(t.Context(), orchestrator.DrillOptions{}); err != nil {
			t.Error(err)
		}
		if !errors.Is(second, orchestrator.ErrLeased) {
			t.Errorf("the second drill: %v", second)
		}
		b.wantClean()
	})
}

// TestDrillKilled: killed at each of its changes, a drill is swept by the next.
func TestDrillKilled(t *testing.T) {
	for name, plan := range map[string]string{"journal": twoWay, "snapshot": snapshotsTwoWay} {
		for _, how := range deaths {
			t.Run(name+", "+string(how), func(t *testing.T) {
				for at, died := int64(0), true; died; at++ {
					if testing.Short() && at%5 != 0 {
						continue
					}
					bubble(t, func(t *testing.T) {
						b := moving(t, plan, 2)
						p := b.immortal()
						p.at, p.death = at, how
						_, err := p.drill(t.Context(), orchestrator.DrillOptions{})
						if died = p.dead.Load(); !died {
							b.must(err)
							return
						}
						time.Sleep(time.Minute)
						p.deliver()
						time.Sleep(time.Minute)
						b.passes(orchestrator.DrillOptions{})
						for _, image := range []string{"volume-0", "volume-1", "vm-1"} {
							b.roles(ref(image), replay.RolePrimary, replay.RoleSecondary)
						}
						if t.Failed() {
							t.Logf("killed at change %d", at)
						}
					})
				}
			})
		}
	}
}

// TestResyncSweepsDrills: neither a drill that is at work nor the clones of a dead one
// keep a copy from being discarded.
func TestResyncSweepsDrills(t *testing.T) {
	for _, dead := range []bool{true, false} {
		t.Run(fmt.Sprint("dead: ", dead), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, twoWay, 2)
				p := b.immortal()
				ended := make(chan struct{})
				p.meanwhile(func(_ int64, c sim.Call) {
					switch {
					case dead && c.Op == "RemoveImage":
						p.dead.Store(true)
					case !dead && (c.Op == "RemoveImage" || c.Op == "OpenSnapshot"):
						time.Sleep(time.Minute)
					}
				})
				go func() {
					defer close(ended)
					_, _ = p.drill(t.Context(), orchestrator.DrillOptions{})
				}()
				time.Sleep(40 * time.Second)
				if len(b.drillThings()) == 0 {
					t.Fatal("there is no drill")
				}
				b.must(b.world.Site("b").Promote(t.Context(), ref("volume-1"), true))
				time.Sleep(time.Minute)
				id := b.ids(ref("volume-1"))
				q := b.immortal()
				q.meanwhile(func(_ int64, c sim.Call) {
					if c.Op != "Resync" {
						return
					}
					if ties, err := b.world.Site("b").Ties(t.Context(), ref("volume-1")); err != nil || len(ties.Clones) > 0 {
						t.Errorf("a copy is discarded on which there rests %v, %v", ties, err)
					}
				})
				_, r, err := q.start(t.Context(), recopying("a", "volume-1"), orchestrator.RunOptions{})
				if err != nil || b.ids(ref("volume-1")) == id {
					t.Fatalf("%v\n%s", err, story(r))
				}
				<-ended
				b.passes(orchestrator.DrillOptions{})
			})
		})
	}
}

// TestDrillVisits: a mirror snapshot of a drill or a verification, which would make a
// demoted image primary again if its process slept in the middle, is listed at the site
// for as long as it lasts.
func TestDrillVisits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsTwoWay, 1)
		visits := func() int { return len(b.world.Ledger("a", replay.LedgerRef{Pool: "rbd", Object: "visits.shop"})) }
		for name, do := range map[string]func(p *process) error{
			"drill": func(p *process) error {
				_, err := p.drill(t.Context(), orchestrator.DrillOptions{})
				return err
			},
			"verify": func(p *process) error {
				sites := p.sites(t.Context())
				defer b.close(sites)
				_, err := orchestrator.Verify(t.Context(), b.plan, sites, orchestrator.VerifyOptions{})
				return err
			},
		} {
			var taken atomic.Int64
			p := b.immortal()
			p.meanwhile(func(_ int64, c sim.Call) {
				if c.Op == "CreateMirrorSnapshot" {
					if taken.Add(1); visits() == 0 {
						t.Errorf("%s: a mirror snapshot without a visit", name)
					}
				}
			})
			if err := do(p); err != nil || taken.Load() == 0 || visits() != 0 {
				t.Errorf("%s: %v, %d mirror snapshots, %d visits left", name, err, taken.Load(), visits())
			}
		}
	})
}
