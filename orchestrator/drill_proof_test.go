package orchestrator_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/replay/sim"
)

// fails wants a drill to fail, for a reason.
func (b *bed) fails(o orchestrator.DrillOptions, why string) *report.Report {
	b.t.Helper()
	r, err := b.immortal().drill(b.t.Context(), o)
	if !errors.Is(err, orchestrator.ErrDrillFailed) || r.Verdict != report.Failed || !strings.Contains(r.Why, why) {
		b.t.Fatalf("want %q: %v\n%s", why, err, shown(r))
	}
	return r
}

// TestDrillWithoutProof: a drill in which no check was made has not passed.
func TestDrillWithoutProof(t *testing.T) {
	bubble(t, func(t *testing.T) {
		t.Setenv("PATH", t.TempDir()) // no tools of file systems
		b := moving(t, twoWay+`
drills:
  - {name: nightly, checks: [{name: fs, builtin: filesystem}], rto: 1s}
`, 1)
		r := b.fails(orchestrator.DrillOptions{}, "no check was made")
		if m := r.Measures()[1]; m.Outcome != report.Unmeasured || !strings.Contains(r.Why, "RTO: ") {
			t.Errorf("%+v\n%s", m, shown(r))
		}
	})
}

// TestDrillRTOAllGreen: the time to the last green check is one only where all are.
func TestDrillRTOAllGreen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay+`
drills:
  - name: nightly
    user: client.drill
    keyring: /etc/ceph/client.drill.keyring
    checks: [{name: r, builtin: readable}, {name: bad, per: drill, command: [/bin/sh, -c, "exit 1"]}]
    rto: 1h
`, 1)
		if r := b.fails(orchestrator.DrillOptions{}, "1 check is not green: bad"); r.Achieved.RTOSeconds != nil {
			t.Errorf("RTO %v s", *r.Achieved.RTOSeconds)
		}
	})
}

// TestDrillLostAge: with the primary gone, the age of the data is by its clock; where
// it is not known, the objective is not met.
func TestDrillLostAge(t *testing.T) {
	t.Run("snapshot", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := moving(t, "rpo: 30m\n"+snapshotsTwoWay, 1)
			b.world.StopDaemon("b")
			_, err := b.world.Site("a").CreateMirrorSnapshot(t.Context(), ref("volume-0"))
			b.must(err)
			at := time.Now()
			time.Sleep(3 * time.Hour)
			b.world.StartDaemon("b")
			time.Sleep(2 * time.Minute)
			b.world.Vanish("a")
			r := b.fails(orchestrator.DrillOptions{Scope: orchestrator.Scope{Images: []string{"volume-0"}}}, "RPO: the data were 10")
			if got, want := r.Images[0].RPOSeconds, time.Since(at).Seconds(); got == nil || *got > want+1 || *got < want-60 {
				t.Errorf("%v s old, truly %v s", got, want)
			}
		})
	})
	t.Run("journal", func(t *testing.T) {
		for objective, verdict := range map[string]report.Verdict{"": report.Passed, "rpo: 1m\n": report.Failed} {
			bubble(t, func(t *testing.T) {
				b := moving(t, objective+twoWay, 1)
				b.world.Vanish("a")
				time.Sleep(48 * time.Hour)
				r, _ := b.immortal().drill(t.Context(), orchestrator.DrillOptions{})
				if r.Verdict != verdict || verdict == report.Failed && !strings.Contains(r.Why, "RPO: ") {
					t.Error(shown(r))
				}
				if a := r.Achieved.RPOSeconds; a != nil && *a < (47*time.Hour).Seconds() {
					t.Errorf("the data are said to be %v s old", *a)
				}
			})
		}
	})
}

// TestDrillCheckOfMissing: a check of all clones is not green where one did not come up.
func TestDrillCheckOfMissing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay+`
drills:
  - name: nightly
    user: client.drill
    keyring: /etc/ceph/client.drill.keyring
    checks: [{name: all, builtin: readable, per: drill}, {name: mine, per: drill, command: [/bin/sh, -c, "exit 0"]}]
`, 3)
		b.world.Inject(sim.Fault{Op: "CloneSnapshot", Object: "rbd/volume-1", Errno: syscall.EIO})
		r := b.fails(orchestrator.DrillOptions{}, "1 image would not serve: rbd/volume-1")
		for _, c := range r.Checks {
			if c.Verdict != report.Failed || !strings.HasPrefix(c.Why, "it is green of 3 of 4 images only") {
				t.Errorf("%+v", c)
			}
		}
		if r.Achieved.RPOSeconds != nil || r.Achieved.RTOSeconds != nil {
			t.Errorf("measured: %+v", r.Achieved)
		}
		b.wantClean()
	})
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay+"\ndrills: [{name: n, checks: [{name: all, builtin: readable, per: drill}]}]\n", 1)
		b.world.Inject(sim.Fault{Op: "CloneSnapshot", Errno: syscall.EIO})
		if r := b.fails(orchestrator.DrillOptions{}, "2 images would not serve"); r.Checks[0].Verdict != report.Skipped {
			t.Errorf("%+v", r.Checks[0])
		}
	})
}

// TestDrillScope: what a person has chosen is in the report, which does not stand for
// the plan's drill then.
func TestDrillScope(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay+groupedInWaves+"\ndrills: [{name: nightly}]\n", 3)
		for want, o := range map[string]orchestrator.DrillOptions{
			"":                         {Site: "b"},
			"image volume-2, group db": {Scope: orchestrator.Scope{Images: []string{"volume-2"}, Groups: []string{"db"}}},
			"wave first":               {Scope: orchestrator.Scope{Waves: []string{"first"}}},
		} {
			if s := report.Summarize(b.passes(o)); s.Scope != want || s.Whole() != (want == "") {
				t.Errorf("scope %q, want %q", s.Scope, want)
			}
		}
	})
}

// TestDrillTearDown: the removal takes the time that it takes; what is left after that is
// told, all of it, and fails the drill.
func TestDrillTearDown(t *testing.T) {
	for name, c := range map[string]struct {
		each time.Duration
		want report.Verdict
	}{"slow": {50 * time.Second, report.Passed}, "far too slow": {5 * time.Minute, report.Failed}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, twoWay+"\ndrills: [{name: n, checks: [{name: size, builtin: size}]}]\n", 40)
				p := b.immortal()
				p.meanwhile(func(_ int64, call sim.Call) {
					if call.Op == "RemoveImage" {
						time.Sleep(c.each)
					}
				})
				r, err := p.drill(t.Context(), orchestrator.DrillOptions{})
				if r.Verdict != c.want || (err == nil) != (c.want == report.Passed) {
					t.Errorf("%v\n%s", err, shown(r))
				}
				told := strings.Join(r.Left, "\n")
				there := b.drillThings()
				for _, thing := range there {
					if _, what, _ := strings.Cut(thing, ":"); !strings.Contains(told, what+" at ") {
						t.Errorf("%s is there, and not told", thing)
					}
				}
				if (len(there) > 0) != (c.want == report.Failed) {
					t.Errorf("%d things are there", len(there))
				}
				for _, s := range r.Steps {
					if s.Name == "remove" && s.OK != (len(r.Left) == 0) {
						t.Errorf("%+v", s)
					}
				}
			})
		})
	}
}

// TestDrillReplayStops: replay that ends while the clones are up is no replication that
// went on, and is told of every image that it concerns.
func TestDrillReplayStops(t *testing.T) {
	for name, plan := range map[string]string{"journal": twoWay, "snapshot": snapshotsTwoWay} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, plan+"\ndrills: [{name: n, checks: [{name: size, builtin: size}, {name: r, per: drill, builtin: readable}]}]\n", 2)
				p := b.immortal()
				p.atFirst("RemoveImage", func() { b.world.StopDaemon("b") })
				r, err := p.drill(t.Context(), orchestrator.DrillOptions{})
				if !errors.Is(err, orchestrator.ErrDrillFailed) {
					t.Fatalf("%v\n%s", err, shown(r))
				}
				last := r.Steps[len(r.Steps)-1]
				if last.Name != "replication" || last.OK {
					t.Errorf("%+v", last)
				}
				for _, i := range r.Images {
					if i.Verdict != report.Failed || !strings.Contains(i.Why, "after the drill") && !strings.Contains(i.Why, "not advanced") {
						t.Errorf("%+v", i)
					}
				}
			})
		})
	}
}

// TestDrillAdvance: that replay has advanced is said of what was written, and of nothing
// else.
func TestDrillAdvance(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 2)
		r := b.passes(orchestrator.DrillOptions{})
		last := r.Steps[len(r.Steps)-1]
		if last.Name != "replication" || !last.OK || !strings.Contains(last.Note, "replay has advanced since the clones came up") {
			t.Errorf("%+v", last)
		}
	})
}

// TestDrillMissesObjectives: a drill of which every check is green has failed all the
// same where it took longer, or its data were older, than the plan asks for.
func TestDrillMissesObjectives(t *testing.T) {
	for name, c := range map[string]struct{ plan, why string }{
		"rpo": {"rpo: 2s\n" + twoWay, "RPO: the data were "},
		"rto": {twoWay + "\ndrills: [{name: nightly, rto: 2s}]\n", "RTO: the last check was green after "},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, c.plan, 1)
				p := b.immortal()
				p.meanwhile(func(int64, sim.Call) { time.Sleep(time.Second) })
				r, err := p.drill(t.Context(), orchestrator.DrillOptions{})
				if !errors.Is(err, orchestrator.ErrDrillFailed) || r.Verdict != report.Failed || !strings.HasPrefix(r.Why, c.why) {
					t.Fatalf("%v\n%s", err, shown(r))
				}
				missed := map[string]report.Outcome{"rpo": r.Outcomes.RPO, "rto": r.Outcomes.RTO}[name]
				if green := report.Summarize(r); missed != report.Missed || green.Checks.Failed+green.Images.Failed > 0 {
					t.Errorf("%+v\n%s", r.Outcomes, shown(r))
				}
			})
		})
	}
}

// TestDrillBandwidth: what a drill reads of clones keeps within the plan's bandwidth, over
// all images and checks together; a check whose time is too short for that says so.
func TestDrillBandwidth(t *testing.T) {
	for name, c := range map[string]struct {
		checks string
		lost   bool
	}{
		"readable": {"{name: r, builtin: readable}, {name: again, builtin: readable}", false},
		"hash":     {"{name: h, builtin: hash}, {name: again, builtin: readable}", false},
		"copies":   {"{name: r, builtin: readable}", true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, twoWay+"\nverification: {bandwidth: 1MiB}\ndrills: [{name: n, checks: ["+c.checks+"]}]\n", 0)
				b.must(b.world.Write("a", ref("vm-1"), 0, []byte(strings.Repeat("data", 2<<20))))
				time.Sleep(time.Minute)
				if c.lost {
					b.world.Vanish("a")
				}
				began := time.Now()
				r, err := b.immortal().drill(t.Context(), orchestrator.DrillOptions{})
				if err != nil {
					t.Fatalf("%v\n%s", err, shown(r))
				}
				// 8 MiB at the secondary, twice; 4 MiB of them at once.
				if took := time.Since(began); took < 12*time.Second || took > time.Minute {
					t.Errorf("took %s\n%s", took, shown(r))
				}
			})
		})
	}
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay+"\nverification: {bandwidth: 64KiB}\ndrills: [{name: n, checks: [{name: r, builtin: readable, timeout: 10s}]}]\n", 0)
		b.must(b.world.Write("a", ref("vm-1"), 0, []byte(strings.Repeat("data", 2<<20))))
		time.Sleep(time.Minute)
		b.fails(orchestrator.DrillOptions{}, "the plan's verification.bandwidth lets it not be read in the time that it has")
	})
}

// TestDrillCheckPartlyLeftOut: a check of several clones looks into all of them, though
// one has to be left out: what is wrong with another is found.
func TestDrillCheckPartlyLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		tools := t.TempDir()
		b := moving(t, twoWay+"\ndrills: [{name: n, checks: [{name: fs, builtin: filesystem, per: drill}, {name: r, builtin: readable}]}]\n", 3)
		b.must(b.world.Write("a", ref("vm-1"), 512, []byte("LABELONE")))
		b.must(b.world.Write("a", ref("volume-2"), 1080, []byte("\x53\xef")))
		time.Sleep(time.Minute)
		tool := func(code string) {
			b.must(os.WriteFile(tools+"/e2fsck", []byte("#!/bin/sh\necho looked\nexit "+code+"\n"), 0o700))
		}
		t.Setenv("PATH", tools+":/usr/bin:/bin")
		t.Setenv("TMPDIR", t.TempDir())
		tool("4")
		if r := b.fails(orchestrator.DrillOptions{}, "1 check is not green: fs"); !strings.Contains(r.Why, "rbd/volume-2: ext2, ext3 or ext4, by e2fsck") {
			t.Error(shown(r))
		}
		tool("0")
		checks := b.passes(orchestrator.DrillOptions{}).Checks
		if c := checks[len(checks)-1]; c.Verdict != report.Skipped || !strings.Contains(c.Why, "rbd/volume-0: no file system is recognised") &&
			!strings.Contains(c.Why, "rbd/vm-1: it holds an LVM") || !strings.Contains(c.Output, "rbd/volume-2: ext2") {
			t.Errorf("%+v", c)
		}
	})
}
