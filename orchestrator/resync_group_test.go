package orchestrator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

const threeGrouped = twoWay + `
groups:
  - name: db
    images: [{pool: rbd, name: vm-1}, {pool: rbd, name: volume-0}, {pool: rbd, name: volume-1}]
`

// steering is the replay of single images, which can be stopped: the simulated
// daemon then reports so.
type steering struct {
	mu      sync.Mutex
	stopped map[string]bool // site and image
	calls   []string
}

func (s *steering) set(call, key string, stopped bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped[key] = stopped
	s.calls = append(s.calls, call+" "+key)
	return nil
}

func (s *steering) stands(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped[key]
}

type steered struct {
	all  *steering
	site string
}

func (s steered) StopReplay(_ context.Context, ref replay.ImageRef) error {
	return s.all.set("stop", s.site+" "+ref.String(), true)
}

func (s steered) StartReplay(_ context.Context, ref replay.ImageRef) error {
	return s.all.set("start", s.site+" "+ref.String(), false)
}

// steeredSite reports what was stopped.
type steeredSite struct {
	orchestrator.Site
	all *steering
}

func (s steeredSite) Reports(ctx context.Context, pool replay.Pool) ([]replay.Report, error) {
	reports, err := s.Site.Reports(ctx, pool)
	for i := range reports {
		if r := &reports[i]; r.MirrorUUID == "" && s.all.stands(s.Name()+" "+r.Ref.String()) {
			r.State, r.Description, r.Progress = replay.ReportStopped, "stopped", nil
		}
	}
	return reports, err
}

// steer lets the replay of single images be stopped.
func (b *bed) steer() *steering {
	all := &steering{stopped: map[string]bool{}}
	b.open = func(_ context.Context, s plans.Site) (orchestrator.Site, error) {
		return steeredSite{b.world.Site(s.Name), all}, nil
	}
	b.control = func(site string) orchestrator.ReplayControl { return steered{all, site} }
	return all
}

func (b *bed) haltSplit() ([]orchestrator.Halt, error) {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	return orchestrator.HaltSplit(b.t.Context(), b.plan, sites)
}

// ids are the ids of an image at both sites.
func (b *bed) ids(ref replay.ImageRef) (ids [2]string) {
	b.t.Helper()
	for i, site := range []string{"a", "b"} {
		image, err := b.world.Site(site).Image(b.t.Context(), ref)
		b.must(err)
		ids[i] = image.ID
	}
	return ids
}

// TestResyncOfOneInAGroup discards the copy of the member that is in split-brain,
// and leaves the others alone, however the group is named; their replay, which the
// halt had stopped, goes on.
func TestResyncOfOneInAGroup(t *testing.T) {
	for name, o := range map[string]orchestrator.ResyncOptions{
		"by image": {Scope: orchestrator.Scope{Images: []string{"volume-1"}}},
		"by group": {Scope: orchestrator.Scope{Groups: []string{"db"}}},
		"all":      {All: true},
		"by force": {Scope: orchestrator.Scope{Images: []string{"volume-1"}}, Force: true},
		"unhalted": {Scope: orchestrator.Scope{Images: []string{"volume-1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, threeGrouped, 2)
				all := b.steer()
				// One member has been handed over: its only good copy is at the loser.
				b.must(b.world.Site("a").Demote(t.Context(), ref("volume-0")))
				time.Sleep(time.Minute)
				b.must(b.world.Site("b").Promote(t.Context(), ref("volume-0"), false))
				b.must(b.world.Site("b").Promote(t.Context(), ref("volume-1"), true))
				b.must(b.world.Write("b", ref("volume-1"), 4096, []byte("written at b")))
				time.Sleep(5 * time.Minute)
				if name != "unhalted" {
					if halts, err := b.haltSplit(); err != nil || len(halts) != 1 || !all.stands("b rbd/vm-1") {
						t.Fatalf("%+v %v", halts, err)
					}
				}
				time.Sleep(5 * time.Minute)
				before, over := b.ids(ref("vm-1")), b.ids(ref("volume-0"))
				o.Keep, o.Reason = "a", "a serves"
				p, r, err := b.resync(o)
				if err != nil || r.Outcome != orchestrator.RunDone {
					t.Fatalf("%v\n%s", err, story(r))
				}
				if b.ids(ref("vm-1")) != before || b.ids(ref("volume-0")) != over || len(b.preserved("b")) != 1 {
					t.Errorf("others were touched; kept %v", b.preserved("b"))
				}
				b.roles(ref("vm-1"), replay.RolePrimary, replay.RoleSecondary)
				b.roles(ref("volume-0"), replay.RoleSecondary, replay.RolePrimary)
				b.roles(ref("volume-1"), replay.RolePrimary, replay.RoleSecondary)
				why := map[string]string{}
				for _, l := range r.Run.Left {
					why[l.Ref.Name] = l.Why
				}
				if len(why) != 2 || !strings.Contains(why["vm-1"], "nothing is wrong") || !strings.Contains(why["volume-0"], "primary at b alone") || len(p.Evidence) != 1 {
					t.Errorf("left %v", why)
				}
				sites := b.sites(t.Context())
				defer b.close(sites)
				book, err := orchestrator.ReadBook(t.Context(), b.plan, sites)
				b.must(err)
				if halts := book.Halts(); len(halts) > 0 {
					t.Errorf("halts stand: %+v", halts)
				}
				for _, key := range []string{"a rbd/volume-0", "b rbd/vm-1", "b rbd/volume-1"} {
					if all.stands(key) {
						t.Errorf("the replay of %s is stopped", key)
					}
				}
			})
		})
	}
}

// TestResyncOfWhatAHaltStopped takes an image that only its halt keeps from
// replaying for a healthy one.
func TestResyncOfWhatAHaltStopped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, threeGrouped, 2)
		b.steer()
		b.must(b.world.Site("b").Promote(t.Context(), ref("volume-1"), true))
		time.Sleep(5 * time.Minute)
		_, err := b.haltSplit()
		b.must(err)
		time.Sleep(5 * time.Minute)
		_, _, err = b.resync(orchestrator.ResyncOptions{Keep: "a", Scope: orchestrator.Scope{Images: []string{"vm-1", "volume-1"}}, Reason: "a serves"})
		if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), "rbd/vm-1: nothing is wrong") {
			t.Errorf("got %v", err)
		}
	})
}

// TestResyncTellsOfSnapshots names the user snapshots that go with a copy, before
// and after, and binds the word to them.
func TestResyncTellsOfSnapshots(t *testing.T) {
	for name, plan := range map[string]string{"journal": twoWay, "snapshot": snapshotsTwoWay} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, plan, 1)
				a, other := b.world.Site("a"), b.world.Site("b")
				b.must(a.CreateSnapshot(t.Context(), ref("vm-1"), "shared"))
				time.Sleep(10 * time.Minute)
				b.must(other.Promote(t.Context(), ref("vm-1"), true))
				b.must(a.CreateSnapshot(t.Context(), ref("vm-1"), "only-a"))
				b.must(other.CreateSnapshot(t.Context(), ref("vm-1"), "only-b"))
				time.Sleep(5 * time.Minute)
				prepared := func() *orchestrator.Prepared {
					sites := b.sites(t.Context())
					defer b.close(sites)
					p, err := orchestrator.PrepareResync(t.Context(), b.plan, sites, orchestrator.ResyncOptions{Keep: "a", Scope: orchestrator.Scope{Images: []string{"vm-1"}}})
					b.must(err)
					return p
				}
				first := prepared()
				b.must(other.CreateSnapshot(t.Context(), ref("vm-1"), "later"))
				second := prepared()
				if second.Hash == first.Hash {
					t.Error("a snapshot does not count")
				}
				b.must(a.RemoveSnapshot(t.Context(), ref("vm-1"), "shared")) // b alone has it now
				if prepared().Hash == second.Hash {
					t.Error("a snapshot that only the loser has left does not count")
				}
				_, r, err := b.resync(orchestrator.ResyncOptions{Keep: "a", Scope: orchestrator.Scope{Images: []string{"vm-1"}}, Reason: "a serves"})
				if err != nil {
					t.Fatalf("%v\n%s", err, story(r))
				}
				want := []string{"shared", "only-b", "later"}
				if len(r.Discards) != 1 || !slices.Equal(r.Discards[0].Held.Snapshots, want) || !strings.Contains(r.Discards[0].Held.Why, "of b also 3 snapshots: shared, only-b, later, which no kept copy holds") {
					t.Errorf("discards %+v", r.Discards)
				}
			})
		})
	}
}

// TestResyncWithClones refuses to discard a copy that clones rest on, also where
// one was made after the word.
func TestResyncWithClones(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, _ := splitBed(t, twoWay)
		b.must(b.world.Site("b").CreateSnapshot(t.Context(), ref("volume-1"), "base"))
		b.must(b.world.Clone("b", ref("volume-1"), "base", ref("drill-1")))
		o := orchestrator.ResyncOptions{Keep: "a", Scope: orchestrator.Scope{Images: []string{"volume-1"}}, Reason: "a serves"}
		if _, _, err := b.resync(o); !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), "the clones rbd/drill-1 at b rest on its snapshots") {
			t.Fatalf("got %v", err)
		}
		b.roles(ref("volume-1"), replay.RolePrimary, replay.RolePrimary)
		b.must(b.world.Site("b").RemoveImage(t.Context(), ref("drill-1")))
		sites := b.sites(t.Context())
		defer b.close(sites)
		p, err := orchestrator.PrepareResync(t.Context(), b.plan, sites, o)
		b.must(err)
		id := b.ids(ref("volume-1"))
		b.must(b.world.Clone("b", ref("volume-1"), "base", ref("drill-2")))
		r, err := orchestrator.Start(t.Context(), b.plan, sites, p, orchestrator.RunOptions{})
		if !errors.Is(err, orchestrator.ErrIncomplete) || r.Outcome != orchestrator.RunStuck || !strings.Contains(r.Units[0].Why, "rbd/drill-2") || b.ids(ref("volume-1")) != id {
			t.Fatalf("%v\n%s", err, story(r))
		}
		b.must(b.world.Site("b").RemoveImage(t.Context(), ref("drill-2")))
		if r, err = orchestrator.Resume(t.Context(), b.plan, sites, r.Run.ID, orchestrator.RunOptions{}); err != nil || b.ids(ref("volume-1")) == id {
			t.Fatalf("%v\n%s", err, story(r))
		}
	})
}
