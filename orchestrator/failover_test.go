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
	"github.com/drover-io/drover/replay/sim"
)

// threeSites makes images at a with copies at b and c; those named are switched
// over to b.
func threeSites(t *testing.T, toB ...string) (*bed, []replay.ImageRef) {
	t.Helper()
	j, s := replay.ModeJournal, replay.ModeSnapshot
	shape := newRunShape([]replay.MirrorMode{j, s, j, s}, "one-way", "", []string{"a", "b", "c"})
	b, refs := shape.build(t, 3, false)
	if len(toB) > 0 {
		scope := orchestrator.Scope{Images: toB}
		if r, err := b.switchover(orchestrator.SwitchoverOptions{To: "b", Scope: scope, NoWayBack: true}, orchestrator.RunOptions{}); err != nil {
			t.Fatalf("switchover: %v\n%s", err, story(r))
		}
	}
	return b, refs
}

// primaryOnly wants images to be primary at sites, and nowhere else.
func (b *bed) primaryOnly(want string, refs ...replay.ImageRef) {
	b.t.Helper()
	for _, ref := range refs {
		if got := strings.Join(b.world.Primaries(ref), " "); got != want {
			b.t.Errorf("%s is primary at %q, want %q", ref, got, want)
		}
	}
}

// TestFailoverLeavesAThirdSiteAlone loses a, while some images are served by b:
// only those that were lost may be promoted at c.
func TestFailoverLeavesAThirdSiteAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, refs := threeSites(t, "volume-0", "volume-1")
		b.world.Vanish("a")
		b.world.ForgetCalls()
		o := orchestrator.FailoverOptions{To: "c", Reason: "fire"}
		p, _, err := b.failover(o)
		if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), "it is primary at b, which answers") {
			t.Errorf("with images that b serves: %v", err)
		}
		if p == nil || p.Run.From != "a" {
			t.Errorf("lost is %+v, want a", p)
		}
		if writes := b.world.Writes(); len(writes) > 0 {
			t.Errorf("it wrote %v", writes)
		}
		o.OnlyFit = true
		_, r, err := b.failover(o)
		if err != nil || r.Count(orchestrator.UnitMoved) != 2 || len(r.Run.Left) != 2 {
			t.Fatalf("%v\n%s", err, story(r))
		}
		b.primaryOnly("b", refs[:2]...)
		b.primaryOnly("a c", refs[2:]...)
	})
}

// TestFailoverOfWhatAThirdSiteServes has nothing to promote: a, which is lost,
// was primary of nothing any more.
func TestFailoverOfWhatAThirdSiteServes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, refs := threeSites(t, "volume-0", "volume-1", "volume-2", "volume-3")
		b.world.Vanish("a")
		for _, from := range []string{"", "a"} {
			_, r, err := b.failover(orchestrator.FailoverOptions{From: from, To: "c", Reason: "fire"})
			if !errors.Is(err, orchestrator.ErrRefused) {
				t.Errorf("from %q: %v\n%s", from, err, story(r))
			}
		}
		b.primaryOnly("b", refs...)
	})
}

// TestFailoverMeetsAThirdPrimary has somebody promote an image at b while a
// person reads what the failover to c would do.
func TestFailoverMeetsAThirdPrimary(t *testing.T) {
	for _, silent := range []bool{false, true} {
		t.Run(fmt.Sprint("silent ", silent), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b, refs := threeSites(t)
				b.world.Vanish("a")
				sites := b.sites(t.Context())
				defer b.close(sites)
				p, err := orchestrator.PrepareFailover(t.Context(), b.plan, sites, orchestrator.FailoverOptions{From: "a", To: "c", Reason: "fire"})
				if err != nil || p.Refused != nil {
					t.Fatal(err, p.Refused)
				}
				b.must(b.world.Site("b").Promote(t.Context(), refs[3], true))
				want, moved := "b", 3
				if silent {
					b.world.Freeze("b")
					want, moved = "b c", 4
				}
				began := time.Now()
				r, err := orchestrator.Start(t.Context(), b.plan, sites, p, orchestrator.RunOptions{Parallel: 1})
				if silent == (err != nil) || r.Count(orchestrator.UnitMoved) != moved {
					t.Errorf("%v\n%s", err, story(r))
				}
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("it took %v: each image waits for the silent site", took)
				}
				b.world.Thaw("b")
				b.world.Return("a")
				want = "a " + want
				b.primaryOnly(want, refs[3])
				b.primaryOnly("a c", refs[:3]...)
				if !silent {
					if n := b.read().Tombstone("a", refs[3]); n != nil {
						t.Errorf("what was not promoted is given up: %+v", n)
					}
				}
			})
		})
	}
}

// TestSwitchoverOfALostSite kills a switchover at its changes and then loses a
// site of it for good. Each refusal names the way out, and that way works.
func TestSwitchoverOfALostSite(t *testing.T) {
	for n, form := range []struct{ name, plan string }{{"journal", twoWay}, {"snapshots", snapshotsTwoWay}} {
		for k, lost := range []string{"a", "b"} {
			t.Run(form.name+"/"+lost+" is lost", func(t *testing.T) {
				t.Parallel()
				first, stride := sampled(n + k)
				for at, over := first, false; !over && !t.Failed(); at += stride {
					for _, manner := range deaths {
						t.Run(fmt.Sprint("change ", at, " ", manner), func(t *testing.T) {
							bubble(t, func(t *testing.T) { over = losesASite(t, form.plan, lost, manner, at) })
						})
					}
				}
			})
		}
	}
}

// losesASite is one of these switchovers; over: it had made fewer changes.
func losesASite(t *testing.T, plan, lost string, manner death, at int64) (over bool) {
	b := moving(t, plan, 2)
	survivor := map[string]string{"a": "b", "b": "a"}[lost]
	p := &process{b: b, at: at, death: manner}
	_, _, _ = p.start(t.Context(), toB, orchestrator.RunOptions{Parallel: 1})
	if !p.dead.Load() {
		return true
	}
	time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
	b.world.Vanish(lost)
	p.deliver()
	time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
	open := slices.DeleteFunc(b.runs(), func(s orchestrator.RunStory) bool { return s.End != nil })
	o := orchestrator.FailoverOptions{To: survivor, Reason: "lost for good"}
	if len(open) > 0 {
		run := open[0].Run.ID
		way := "if " + lost + " is lost: drover runs end FILE " + run + " --reason TEXT, then drover failover FILE --to " + survivor
		if s := b.status(orchestrator.StatusOptions{}); !slices.ContainsFunc(s.Problems, func(p orchestrator.StatusProblem) bool { return strings.Contains(p.Next, way) }) {
			t.Errorf("status does not name the way out: %s", problems(s))
		}
		_, err := b.immortal().resume(t.Context(), orchestrator.RunOptions{})
		if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), way) {
			t.Errorf("resumed: %v", err)
		}
		time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
		_, _, err = b.failover(o)
		if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), way) {
			t.Errorf("failover: %v", err)
		}
		sites := b.sites(t.Context())
		b.must(orchestrator.EndRun(t.Context(), b.plan, sites, run, "lost for good", func(string) {}))
		b.close(sites)
	}
	was := map[replay.ImageRef]bool{}
	refs := []replay.ImageRef{ref("volume-0"), ref("volume-1"), ref("vm-1")}
	for _, image := range refs {
		was[image] = b.role(survivor, image) == replay.RolePrimary
	}
	_, r, err := b.failover(o)
	if err != nil || r.Outcome != orchestrator.RunDone {
		t.Errorf("failover: %v\n%s", err, story(r))
		return false
	}
	for _, image := range refs {
		if role := b.role(survivor, image); role != replay.RolePrimary {
			t.Errorf("%s is %s at %s", image, role, survivor)
		}
		if given := slices.ContainsFunc(r.Discards, func(d orchestrator.Discard) bool { return d.Image == image }); given == was[image] {
			t.Errorf("%s was primary there %v, and listed as given up %v", image, was[image], given)
		}
	}
	return false
}

// reviving loses a, then, after it is back as it was, b: a is all that is left,
// and lacks what b wrote.
// told: somebody worked at the plan between, so that a's records tell of it.
func reviving(t *testing.T, plan string, told bool) *bed {
	t.Helper()
	b := moving(t, plan, 2)
	b.world.Vanish("a")
	if _, r, err := b.failover(orchestrator.FailoverOptions{To: "b", Reason: "fire"}); err != nil {
		t.Fatalf("%v\n%s", err, story(r))
	}
	b.must(b.world.Write("b", ref("volume-1"), 4096, []byte("since the fire")))
	b.world.Return("a")
	time.Sleep(5 * time.Minute)
	if told {
		b.must(b.read().Reconcile(t.Context()))
	}
	b.world.Vanish("b")
	time.Sleep(time.Minute)
	return b
}

// TestFailoverToWhatWasGivenUp takes a copy into service that lacks what was
// written since: a loss that is shown, wants a word, and turns the tombstones.
func TestFailoverToWhatWasGivenUp(t *testing.T) {
	for _, form := range []struct {
		name, plan string
		told       bool
		why        string
	}{
		{"journal", twoWay, true, "it lacks all that b wrote since"},
		{"snapshots", snapshotsTwoWay, true, "it lacks all that b wrote since"},
		{"journal, of which a's records do not tell", twoWay, false, "reported that the image was primary there"},
		{"snapshots, of which a's records do not tell", snapshotsTwoWay, false, "reported that the image was primary there"},
	} {
		t.Run(form.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := reviving(t, form.plan, form.told)
				p, r, err := b.failover(orchestrator.FailoverOptions{To: "a", Reason: "flood"})
				if err != nil || r.Outcome != orchestrator.RunDone || r.Count(orchestrator.UnitMoved) != 3 {
					t.Fatalf("%v\n%s", err, story(r))
				}
				for _, u := range p.Run.Units {
					l := u.Images[0].Loss
					if l == nil || l.Entries != nil || l.Bytes != nil || l.Final || !strings.Contains(l.Why, form.why) {
						t.Errorf("%s loses %+v", u.Name, l)
					}
				}
				if len(r.Discards) != 3 || r.Discards[0].Site != "b" || r.Discards[0].State != orchestrator.DiscardGivenUp {
					t.Errorf("given up: %+v", r.Discards)
				}
				book := b.read()
				for _, name := range []string{"vm-1", "volume-0", "volume-1"} {
					if t1, t2 := book.Tombstone("a", ref(name)), book.Tombstone("b", ref(name)); t1 != nil || t2 == nil || t2.Run != r.Run.ID {
						t.Errorf("%s: tombstones %+v at a, %+v at b", name, t1, t2)
					}
				}
				// It is where it shall be now.
				if p, _, err := b.failover(orchestrator.FailoverOptions{To: "a", Reason: "flood"}); err != nil || len(p.Run.Units) > 0 {
					t.Errorf("once more: %v, %+v", err, p)
				}
				b.world.Return("b")
				time.Sleep(5 * time.Minute)
				status := b.status(orchestrator.StatusOptions{})
				for _, image := range status.Images {
					if image.Quarantined != "b" || image.Primary != "a" {
						t.Errorf("%s: primary at %q, quarantined at %q", image.Ref, image.Primary, image.Quarantined)
					}
				}
				if _, _, err := b.failback(orchestrator.FailbackOptions{Reason: "both are back"}); !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), "--keep a") {
					t.Errorf("failback: %v", err)
				}
				scope := orchestrator.Scope{Images: []string{"vm-1", "volume-0", "volume-1"}}
				if _, r, err = b.resync(orchestrator.ResyncOptions{Keep: "a", Scope: scope, Reason: "b was given up"}); err != nil {
					t.Fatalf("resync: %v\n%s", err, story(r))
				}
				for _, image := range []string{"vm-1", "volume-0", "volume-1"} {
					b.roles(ref(image), replay.RolePrimary, replay.RoleSecondary)
				}
				if kept := b.preserved("b"); !slices.ContainsFunc(kept, func(name string) bool { return strings.Contains(b.content("b", ref(name)), "since the fire") }) {
					t.Errorf("what b wrote is not kept: %v", kept)
				}
			})
		})
	}
}

// TestFailoverToWhereARunPutIt has nothing to do: what the rbd-mirror of b said,
// before it ended, is older than the switchover that made a primary again.
func TestFailoverToWhereARunPutIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		if r, err := b.switchover(orchestrator.SwitchoverOptions{To: "b"}, orchestrator.RunOptions{}); err != nil {
			t.Fatalf("%v\n%s", err, story(r))
		}
		time.Sleep(5 * time.Minute)
		b.world.StopDaemon("b")
		if r, err := b.switchover(orchestrator.SwitchoverOptions{To: "a", NoWayBack: true}, orchestrator.RunOptions{}); err != nil {
			t.Fatalf("%v\n%s", err, story(r))
		}
		b.world.Vanish("b")
		p, _, err := b.failover(orchestrator.FailoverOptions{To: "a", Reason: "flood"})
		if err != nil || len(p.Run.Units) > 0 {
			t.Errorf("%v, %+v", err, p)
		}
	})
}

// TestFailoverToWhatWasGivenUpKilled kills that failover at each of its changes.
func TestFailoverToWhatWasGivenUpKilled(t *testing.T) {
	for at, over := int64(0), false; !over && !t.Failed(); at++ {
		t.Run(fmt.Sprint("change ", at), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := reviving(t, twoWay, at%2 == 0)
				back := failingOver(orchestrator.FailoverOptions{To: "a", Reason: "flood"})
				p := &process{b: b, at: at, death: diesAfter}
				before := len(b.runs())
				_, _, _ = p.start(t.Context(), back, orchestrator.RunOptions{})
				over = !p.dead.Load()
				next := b.immortal()
				next.before = before
				b.finish(next, back, nil)
				book := b.read()
				for _, name := range []string{"vm-1", "volume-0", "volume-1"} {
					if book.Tombstone("a", ref(name)) != nil || book.Tombstone("b", ref(name)) == nil {
						t.Errorf("%s: tombstones %+v at a, %+v at b", name, book.Tombstone("a", ref(name)), book.Tombstone("b", ref(name)))
					}
				}
			})
		})
	}
}

// TestFailoverResumedAfterTheReturn has the old site come back between the
// waves: what is not promoted yet is not forced without another word, and can be
// moved without loss.
func TestFailoverResumedAfterTheReturn(t *testing.T) {
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprint("word ", again), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, twoWay+groupedInWaves, 3)
				b.world.Vanish("a")
				p := &process{b: b, op: "Promote", at: -1, death: diesAfter}
				_, _, _ = p.start(t.Context(), overToB, orchestrator.RunOptions{Parallel: 1})
				if !p.dead.Load() {
					t.Fatal("it did not die")
				}
				time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
				b.world.Return("a")
				b.world.StartDaemon("b")
				time.Sleep(5 * time.Minute)
				b.world.ForgetCalls()
				r, err := b.immortal().resume(t.Context(), orchestrator.RunOptions{Word: again})
				if again {
					if err != nil || r.Outcome != orchestrator.RunDone {
						t.Fatalf("%v\n%s", err, story(r))
					}
					return
				}
				if !errors.Is(err, orchestrator.ErrStale) || !strings.Contains(err.Error(), "a answers again, and 2 images") {
					t.Fatalf("%v\n%s", err, story(r))
				}
				if slices.ContainsFunc(b.world.Writes(), func(c sim.Call) bool { return c.Op == "Promote" }) {
					t.Error("it has promoted")
				}
				sites := b.sites(t.Context())
				b.must(orchestrator.EndRun(t.Context(), b.plan, sites, "", "a is back", func(string) {}))
				b.close(sites)
				book := b.read()
				if book.Tombstone("a", ref("volume-2")) != nil || book.Tombstone("a", ref("volume-0")) == nil && book.Tombstone("a", ref("volume-1")) == nil {
					t.Error("what was not promoted is given up, or what was is not")
				}
				scope := orchestrator.Scope{Images: []string{"vm-1", "volume-2"}}
				if r, err := b.switchover(orchestrator.SwitchoverOptions{To: "b", Scope: scope}, orchestrator.RunOptions{}); err != nil {
					t.Fatalf("switchover: %v\n%s", err, story(r))
				}
				b.primaryOnly("b", ref("volume-2"), ref("vm-1"))
			})
		})
	}
}
