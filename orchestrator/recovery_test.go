package orchestrator_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

type preparing func(sites *orchestrator.Sites) (*orchestrator.Prepared, error)

// run prepares and starts a run.
func (b *bed) run(prepare preparing) (*orchestrator.Prepared, *orchestrator.RunReport, error) {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	p, err := prepare(sites)
	if err != nil {
		return nil, nil, err
	}
	r, err := orchestrator.Start(b.t.Context(), b.plan, sites, p, orchestrator.RunOptions{})
	return p, r, err
}

func (b *bed) failover(o orchestrator.FailoverOptions) (*orchestrator.Prepared, *orchestrator.RunReport, error) {
	b.t.Helper()
	return b.run(func(sites *orchestrator.Sites) (*orchestrator.Prepared, error) {
		return orchestrator.PrepareFailover(b.t.Context(), b.plan, sites, o)
	})
}

func (b *bed) failback(o orchestrator.FailbackOptions) (*orchestrator.Prepared, *orchestrator.RunReport, error) {
	b.t.Helper()
	return b.run(func(sites *orchestrator.Sites) (*orchestrator.Prepared, error) {
		return orchestrator.PrepareFailback(b.t.Context(), b.plan, sites, o)
	})
}

func (b *bed) resync(o orchestrator.ResyncOptions) (*orchestrator.Prepared, *orchestrator.RunReport, error) {
	b.t.Helper()
	return b.run(func(sites *orchestrator.Sites) (*orchestrator.Prepared, error) {
		return orchestrator.PrepareResync(b.t.Context(), b.plan, sites, o)
	})
}

// preserved names the images at a site that are kept copies.
func (b *bed) preserved(site string) []string {
	b.t.Helper()
	images, err := b.world.Site(site).Images(b.t.Context(), replay.Pool{Name: "rbd"}, 0)
	b.must(err)
	var out []string
	for _, image := range images {
		if strings.Contains(image.Ref.Name, ".preserved-") {
			out = append(out, image.Ref.Name)
		}
	}
	return out
}

// TestFailoverAndFailback loses site a with writes that b never had, goes on at
// b, and comes back: what a held is preserved, what b wrote is there.
func TestFailoverAndFailback(t *testing.T) {
	losses := map[string]func(b *bed){
		"off":        func(b *bed) { b.world.Vanish("a") },
		"frozen":     func(b *bed) { b.world.Freeze("a") },
		"half alive": func(b *bed) { b.world.Sever("b", "a") },
	}
	for _, form := range []struct{ name, plan string }{{"journal", twoWay}, {"snapshots", snapshotsTwoWay}} {
		for how, lose := range losses {
			t.Run(form.name+"/"+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := moving(t, form.plan, 3)
					b.world.Sever("b", "a")
					b.must(b.world.Write("a", ref("volume-1"), 4096, []byte("only at a")))
					lose(b)
					p, r, err := b.failover(orchestrator.FailoverOptions{To: "b", From: "a", Reason: "fire"})
					if err != nil || r.Outcome != orchestrator.RunDone {
						t.Fatalf("failover: %v\n%s", err, story(r))
					}
					if len(p.Probes) < 3 {
						t.Errorf("probes: %+v", p.Probes)
					}
					for i := range 3 {
						if role := b.role("b", ref(fmt.Sprintf("volume-%d", i))); role != replay.RolePrimary {
							t.Errorf("volume-%d is %s at b", i, role)
						}
					}
					b.must(b.world.Write("b", ref("volume-1"), 4096, []byte("after the fire")))

					b.world.Return("a")
					b.world.Thaw("a")
					b.world.Mend("b", "a")
					time.Sleep(5 * time.Minute)
					b.roles(ref("volume-1"), replay.RolePrimary, replay.RolePrimary)
					// A switchover must not even begin.
					if _, err := b.switchover(orchestrator.SwitchoverOptions{From: "b", To: "a"}, orchestrator.RunOptions{}); !errors.Is(err, orchestrator.ErrHalted) {
						t.Errorf("switchover with two primaries: %v", err)
					}
					p, r, err = b.failback(orchestrator.FailbackOptions{Reason: "a is back"})
					if err != nil || r.Outcome != orchestrator.RunDone {
						t.Fatalf("failback: %v\n%+v\n%s", err, p, story(r))
					}
					for i := range 3 {
						b.roles(ref(fmt.Sprintf("volume-%d", i)), replay.RolePrimary, replay.RoleSecondary)
					}
					if got := b.content("a", ref("volume-1")); !strings.Contains(got, "after the fire") {
						t.Errorf("a holds %q", got)
					}
					kept := b.preserved("a")
					found := false
					for _, name := range kept {
						found = found || strings.HasPrefix(name, "volume-1.") && strings.Contains(b.content("a", ref(name)), "only at a")
					}
					if !found {
						t.Errorf("what only a held is not preserved: %v", kept)
					}
				})
			})
		}
	}
}

// TestResyncAfterSplitBrain keeps either side's copy.
func TestResyncAfterSplitBrain(t *testing.T) {
	for _, form := range []struct{ name, plan string }{{"journal", twoWay}, {"snapshots", snapshotsTwoWay}} {
		for _, keep := range []string{"a", "b"} {
			t.Run(form.name+"/keep "+keep, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := moving(t, form.plan, 2)
					b.must(b.world.Site("b").Promote(t.Context(), ref("volume-1"), true))
					b.must(b.world.Write("a", ref("volume-1"), 4096, []byte("written at a")))
					b.must(b.world.Write("b", ref("volume-1"), 4096, []byte("written at b")))
					time.Sleep(5 * time.Minute)
					loser := map[string]string{"a": "b", "b": "a"}[keep]
					p, r, err := b.resync(orchestrator.ResyncOptions{Keep: keep, Scope: orchestrator.Scope{Images: []string{"volume-1"}}})
					if err != nil || r.Outcome != orchestrator.RunDone {
						t.Fatalf("%v\n%+v\n%s", err, p, story(r))
					}
					want := "written at " + keep
					for _, site := range []string{"a", "b"} {
						if got := b.content(site, ref("volume-1")); !strings.Contains(got, want) {
							t.Errorf("%s holds %q, not %q", site, got, want)
						}
					}
					if kept := b.preserved(loser); len(kept) != 1 || !strings.Contains(b.content(loser, ref(kept[0])), "written at "+loser) {
						t.Errorf("preserved: %v", kept)
					}
					if b.role(keep, ref("volume-1")) != replay.RolePrimary || b.role(loser, ref("volume-1")) != replay.RoleSecondary {
						t.Error("the roles are wrong")
					}
				})
			})
		}
	}
}

// TestResyncOfAll takes what needs it, and leaves the rest alone.
func TestResyncOfAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 3)
		all := orchestrator.ResyncOptions{Keep: "a", All: true}
		if _, _, err := b.resync(all); !errors.Is(err, orchestrator.ErrRefused) {
			t.Errorf("where nothing is wrong: %v", err)
		}
		b.must(b.world.Site("b").Promote(t.Context(), ref("volume-1"), true))
		b.must(b.world.Write("b", ref("volume-1"), 4096, []byte("written at b")))
		b.must(b.world.Site("a").Demote(t.Context(), ref("volume-2")))
		time.Sleep(5 * time.Minute)
		p, r, err := b.resync(all)
		if err != nil || r.Outcome != orchestrator.RunDone {
			t.Fatalf("%v\n%+v\n%s", err, p, story(r))
		}
		if len(r.Units) != 2 {
			t.Errorf("want two images resynced\n%s", story(r))
		}
		for _, name := range []string{"volume-0", "volume-1", "volume-2"} {
			b.roles(ref(name), replay.RolePrimary, replay.RoleSecondary)
		}
	})
}

// TestResyncOfStranded makes an image primary again that was demoted at both
// sides.
func TestResyncOfStranded(t *testing.T) {
	for _, form := range []struct{ name, plan string }{{"journal", twoWay}, {"snapshots", snapshotsTwoWay}} {
		t.Run(form.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, form.plan, 2)
				b.must(b.world.Site("a").Demote(t.Context(), ref("volume-1")))
				time.Sleep(5 * time.Minute)
				_, r, err := b.resync(orchestrator.ResyncOptions{Keep: "a", Scope: orchestrator.Scope{Images: []string{"volume-1"}}})
				if err != nil || r.Outcome != orchestrator.RunDone {
					t.Fatalf("%v\n%s", err, story(r))
				}
				b.roles(ref("volume-1"), replay.RolePrimary, replay.RoleSecondary)
				if kept := append(b.preserved("a"), b.preserved("b")...); len(kept) > 0 {
					t.Errorf("nothing was lost, and yet preserved: %v", kept)
				}
			})
		})
	}
}
