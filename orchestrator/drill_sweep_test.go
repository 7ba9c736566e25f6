package orchestrator_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// killedDrill leaves what a drill has made that dies when it begins to clean up.
func (b *bed) killedDrill() {
	b.t.Helper()
	p := b.immortal()
	p.meanwhile(func(_ int64, c sim.Call) {
		if c.Op == "RemoveImage" {
			p.dead.Store(true)
		}
	})
	_, _ = p.drill(b.t.Context(), orchestrator.DrillOptions{})
	if len(b.drillThings()) == 0 {
		b.t.Fatal("the killed drill has left nothing")
	}
}

// drillSignals are the codes of the last check's signals of drills.
func (m *watchman) drillSignals() (out []string) {
	for _, s := range m.last().Signals {
		if strings.HasPrefix(s.Code, "drill") {
			out = append(out, s.Code)
		}
	}
	return out
}

// TestSweepUnseen: a sweep that could not look everywhere does not call it clean.
func TestSweepUnseen(t *testing.T) {
	for name, c := range map[string]struct {
		blind func(*bed) func()
		want  []string
	}{
		"pools cannot be listed": {
			func(b *bed) func() { return b.world.Inject(sim.Fault{Op: "Images", Errno: syscall.EIO}) },
			[]string{"a rbd", "b rbd", "b rbd/drover-drill"},
		},
		"a site is away": {
			func(b *bed) func() { b.world.Vanish("b"); return func() { b.world.Return("b") } },
			[]string{"b rbd", "b rbd/drover-drill"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, twoWay, 1)
				b.killedDrill()
				time.Sleep(2 * time.Minute)
				sites := b.sites(t.Context())
				defer b.close(sites)
				see := c.blind(b)
				swept, err := orchestrator.SweepDrills(t.Context(), b.plan, sites)
				b.must(err)
				var unseen []string
				for _, u := range swept.Unseen {
					unseen = append(unseen, strings.TrimSpace(u.Site+" "+u.Pool))
				}
				if !slices.Equal(unseen, c.want) {
					t.Errorf("unseen: %q, want %q", unseen, c.want)
				}
				if err := swept.Err(); !errors.Is(err, orchestrator.ErrUnswept) || !strings.Contains(err.Error(), "pool rbd at b could not be looked at") {
					t.Errorf("it says %v", err)
				}
				see()
				time.Sleep(2 * time.Minute)
				swept, err = orchestrator.SweepDrills(t.Context(), b.plan, sites)
				b.must(err)
				if swept.Err() != nil || len(swept.Left) == 0 {
					t.Errorf("%v, %v", swept.Left, swept.Err())
				}
				b.wantClean()
			})
		})
	}
}

// TestStatusDrillUnseen: a place of clones that cannot be looked into is told of.
func TestStatusDrillUnseen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		b.passes(orchestrator.DrillOptions{}) // makes the namespace
		sites := b.sites(t.Context())
		defer b.close(sites)
		defer b.world.Inject(sim.Fault{Site: "b", Op: "Images", Errno: syscall.EIO})()
		var said []string
		for _, p := range orchestrator.Status(t.Context(), b.plan, sites, orchestrator.StatusOptions{}).Problems {
			if p.Code == orchestrator.ProblemDrillUnseen {
				said = append(said, p.Site+": "+p.What)
			}
		}
		if len(said) != 1 || !strings.Contains(said[0], "b: not known whether drills have left clones in rbd/drover-drill") {
			t.Errorf("%q", said)
		}
	})
}

// TestWatchSweepUnseen: what was left is told of until somebody has seen that it is gone.
func TestWatchSweepUnseen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay+"checks: {schedule: '@every 5m', timeout: 5s}\n", 1)
		b.killedDrill()
		keep := b.world.Inject(sim.Fault{Site: "b", Op: "RemoveImage", Errno: syscall.EIO})
		m := b.watchman(t, b.immortal())
		defer m.stop()
		want := func(codes ...string) {
			t.Helper()
			if got := slices.Compact(m.drillSignals()); !slices.Equal(got, codes) {
				t.Errorf("signals %v, want %v; there is %v", got, codes, b.drillThings())
			}
		}
		time.Sleep(3 * time.Hour)
		want("drill-leftover")
		see := b.world.Inject(sim.Fault{Site: "b", Op: "Images", Errno: syscall.EIO})
		keep()
		time.Sleep(time.Hour)
		want("drill-leftover")
		see()
		time.Sleep(time.Hour)
		want()
		b.wantClean()
	})
}

// TestDrillAwaitsSweep: a drill that comes during a sweep waits until that is over, and
// one that comes soon after another has died waits until that one's lease ends.
func TestDrillAwaitsSweep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		p := b.immortal()
		swept := make(chan error)
		p.atFirst("Images", func() { time.Sleep(20 * time.Second) })
		go func() {
			sites := p.sites(t.Context())
			defer b.close(sites)
			_, err := orchestrator.SweepDrills(t.Context(), b.plan, sites)
			swept <- err
		}()
		time.Sleep(5 * time.Second)
		b.passes(orchestrator.DrillOptions{Trigger: "schedule"})
		b.must(<-swept)

		b.killedDrill()
		b.passes(orchestrator.DrillOptions{})
		if len(b.world.Ledger("a", replay.LedgerRef{Pool: "rbd", Object: "drill.shop"})) == 0 {
			t.Error("no report is recorded")
		}
	})
}

// TestSweepAtSecondary: a drill's snapshot that only the copy has, and whose removal
// nothing brings any more, goes all the same once its time is over.
func TestSweepAtSecondary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		b.killedDrill()
		var name string
		for _, thing := range b.drillThings() {
			if _, snapshot, ok := strings.Cut(thing, "@"); ok {
				name = snapshot
			}
		}
		open := b.open
		b.open = func(ctx context.Context, s plans.Site) (orchestrator.Site, error) {
			site, err := open(ctx, s)
			if s.Name == "a" {
				site = forgetful{site, name}
			}
			return site, err
		}
		sites := b.sites(t.Context())
		defer b.close(sites)
		time.Sleep(2 * time.Minute)
		early, err := orchestrator.SweepDrills(t.Context(), b.plan, sites)
		b.must(err)
		for _, l := range early.Left {
			if l.Snapshot != "" && (l.Removed || !strings.Contains(l.Note, "it goes when replay brings its removal")) {
				t.Errorf("before its time: %+v", l)
			}
		}
		time.Sleep(3 * time.Hour)
		halt, err := b.halt("vm-1", "volume-0")
		b.must(err)
		swept, err := orchestrator.SweepDrills(t.Context(), b.plan, sites)
		b.must(err)
		for _, l := range swept.Left {
			if l.Removed || !strings.Contains(l.Note, "it goes when the halt ends") {
				t.Errorf("during a halt: %+v", l)
			}
		}
		b.clear(halt.ID)
		swept, err = orchestrator.SweepDrills(t.Context(), b.plan, sites)
		b.must(err)
		if len(swept.Left) == 0 {
			t.Error("the sweep has found nothing")
		}
		for _, l := range swept.Left {
			if !l.Removed {
				t.Errorf("%+v", l)
			}
		}
		b.wantClean()
	})
}

// TestDrillPrimaryLost: by schedule nothing is copied while the primary is away, unless
// the plan says so; by hand it is.
func TestDrillPrimaryLost(t *testing.T) {
	for _, c := range []struct{ says, trigger, want string }{
		{"", "schedule", "skipped"},
		{", primary_lost: skip", "schedule", "skipped"},
		{", primary_lost: copy", "schedule", "passed"},
		{"", "person", "passed"},
	} {
		t.Run(c.trigger+c.says, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, twoWay+"drills: [{name: nightly"+c.says+"}]\n", 1)
				b.world.Vanish("a")
				time.Sleep(2 * time.Minute)
				r, err := b.immortal().drill(t.Context(), orchestrator.DrillOptions{Trigger: c.trigger})
				if r == nil || string(r.Verdict) != c.want {
					t.Fatalf("%v\n%s", err, shown(r))
				}
				if skipped := c.want == "skipped"; skipped && (!errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(r.Why, "are not copied during an outage")) {
					t.Errorf("%v; %s", err, r.Why)
				}
			})
		})
	}
}

// TestDrillCheckEnvironment: a check is given nothing of Drover's environment but what
// any command needs; a hook of the plan's author is.
func TestDrillCheckEnvironment(t *testing.T) {
	t.Setenv("PAGER_TOKEN", "hunter2hunter2")
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay+`
drills:
  - name: nightly
    user: client.drill
    keyring: /etc/ceph/client.drill.keyring
    checks: [{name: env, per: drill, command: [/usr/bin/env]}]
`, 1)
		r := b.passes(orchestrator.DrillOptions{})
		var names []string
		for line := range strings.Lines(r.Checks[0].Output) {
			name, _, _ := strings.Cut(line, "=")
			if !strings.HasPrefix(name, "DROVER_") {
				names = append(names, name)
			}
		}
		for _, name := range names {
			if !slices.Contains([]string{"PATH", "HOME", "LANG", "TMPDIR"}, name) {
				t.Errorf("it is given %s", name)
			}
		}
		if !slices.Contains(names, "PATH") || !strings.Contains(r.Checks[0].Output, "DROVER_CEPH_USER=client.drill") {
			t.Errorf("it is given too little: %q", r.Checks[0].Output)
		}
	})
}

// TestFailoverSweepsDrills: with the primary gone, clones that a drill has left are removed
// before anything is promoted, and a drill that is at work makes room. What cannot be
// removed, or not be looked for, holds nothing up.
func TestFailoverSweepsDrills(t *testing.T) {
	for name, plan := range map[string]string{"journal": twoWay, "snapshot": snapshotsTwoWay} {
		for _, how := range []string{"killed", "at work", "stuck", "unseen once", "unseen"} {
			t.Run(name+", "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := moving(t, plan, 2)
					p, ended := b.immortal(), make(chan struct{})
					var r *report.Report
					p.meanwhile(func(_ int64, c sim.Call) {
						switch {
						case how != "at work" && c.Op == "RemoveImage":
							p.dead.Store(true)
						case how == "at work" && c.Op == "OpenSnapshot":
							time.Sleep(15 * time.Second)
						}
					})
					go func() {
						defer close(ended)
						r, _ = p.drill(t.Context(), orchestrator.DrillOptions{})
					}()
					time.Sleep(40 * time.Second)
					if how != "at work" {
						<-ended
						time.Sleep(2 * time.Minute) // its lease ends
					}
					if len(b.clones("b")) == 0 {
						t.Fatal("there is no drill")
					}
					if how == "stuck" {
						b.world.Inject(sim.Fault{Site: "b", Op: "RemoveImage", Errno: syscall.EBUSY})
					}
					see, list := func() {}, sim.Fault{Site: "b", Op: "Images", Object: "rbd/drover-drill", Errno: syscall.EIO}
					switch how {
					case "unseen once": // between the looks before and behind the removal
						list.Skip, list.Count = 2, 1
						see = b.world.Inject(list)
					case "unseen":
						list.Skip = 2
						see = b.world.Inject(list)
					}
					b.world.Vanish("a")
					q, swept := b.immortal(), true
					q.meanwhile(func(_ int64, c sim.Call) {
						if c.Op != "Promote" {
							return
						}
						if see(); len(b.clones("b")) > 0 {
							swept = false
						}
					})
					var notes strings.Builder
					sites := q.sites(t.Context())
					defer b.close(sites)
					prepared, err := orchestrator.PrepareFailover(t.Context(), b.plan, sites, orchestrator.FailoverOptions{To: "b", From: "a", Reason: "fire"})
					b.must(err)
					done, err := orchestrator.Start(t.Context(), b.plan, sites, prepared, orchestrator.RunOptions{Progress: func(e orchestrator.RunEvent) { notes.WriteString(e.Note + "\n") }})
					if err != nil || done.Outcome != orchestrator.RunDone {
						t.Fatalf("%v\n%s", err, story(done))
					}
					<-ended
					b.primaryOnly("a b", ref("volume-0"), ref("vm-1"))
					told := strings.Contains(notes.String(), "clones of drills may be left at b")
					if left := how == "stuck" || how == "unseen"; swept == left || told != left {
						t.Errorf("swept before: %v, told: %v\n%s", swept, told, story(done))
					}
					if how == "at work" && (r.Verdict != report.Aborted || !strings.Contains(r.Why, "the failover ")) {
						t.Error(shown(r))
					}
				})
			})
		}
	}
}

// clones are those of drills at a site.
func (b *bed) clones(site string) (out []string) {
	images, err := b.world.Site(site).Images(context.Background(), replay.Pool{Name: "rbd", Namespace: "drover-drill"}, 0)
	if err != nil {
		b.t.Error(err)
	}
	for _, i := range images {
		out = append(out, i.Ref.Name)
	}
	return out
}

// TestDrillFolders: a drill that was killed while it looked into a file system leaves a
// copy of it on its host, which the next drill or a sweep there removes; one that comes to
// its end leaves none.
func TestDrillFolders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		folder, tools := t.TempDir(), t.TempDir()
		b := moving(t, twoWay+"\ndrills: [{name: n, checks: [{name: fs, builtin: filesystem}, {name: r, builtin: readable}]}]\n", 1)
		for _, image := range []string{"volume-0", "vm-1"} {
			b.must(b.world.Write("a", ref(image), 1080, []byte("\x53\xef")))
		}
		time.Sleep(time.Minute)
		b.must(os.WriteFile(tools+"/e2fsck", []byte("#!/bin/sh\nls -d $TMPDIR/drover-drill-tmp-*/image-*/image >> "+tools+"/seen\necho clean\n"), 0o700))
		t.Setenv("PATH", tools+":/usr/bin:/bin")
		t.Setenv("TMPDIR", folder)
		left := func() []os.DirEntry {
			entries, err := os.ReadDir(folder)
			b.must(err)
			return entries
		}
		b.passes(orchestrator.DrillOptions{})
		if seen, err := os.ReadFile(tools + "/seen"); err != nil || len(left()) > 0 {
			t.Fatalf("%s, %v; left: %v", seen, err, left())
		}
		for _, sweep := range []func() string{
			func() string {
				return strings.Join(b.passes(orchestrator.DrillOptions{}).Notes, "\n")
			},
			func() string {
				sites := b.sites(t.Context())
				defer b.close(sites)
				swept, err := orchestrator.SweepDrills(t.Context(), b.plan, sites)
				b.must(err)
				if len(swept.Left) != 1 || !swept.Left[0].Removed {
					t.Errorf("%+v", swept.Left)
				}
				return swept.Left[0].Drill + " had left on this host: " + swept.Left[0].What()
			},
		} {
			dead := folder + "/drover-drill-tmp-20261129T020000Z-ab12-1"
			b.must(os.Mkdir(dead, 0o700))
			b.must(os.WriteFile(dead+"/image", []byte("secret"), 0o600))
			if said := sweep(); !strings.Contains(said, "drill-20261129T020000Z-ab12 had left on this host: folder "+dead) || len(left()) > 0 {
				t.Errorf("%q; left: %v", said, left())
			}
		}
	})
}
