package orchestrator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// demoted are the images that anybody tried to demote.
func (b *bed) demoted() (refs []string) {
	for _, c := range b.world.Writes() {
		if c.Op == "Demote" {
			refs = append(refs, c.Object)
		}
	}
	return refs
}

// TestClientAfterTheChecks: a client that comes when the checks are over holds up
// its image, and that alone, before it is demoted: where a person has thought about
// what the checks have shown, and where the image is demoted at once.
func TestClientAfterTheChecks(t *testing.T) {
	for _, form := range []struct {
		name, plan string
		thinks     time.Duration
		want       orchestrator.UnitOutcome
	}{
		{"journal", twoWay, time.Minute, orchestrator.UnitUntouched},
		{"snapshots", snapshotsTwoWay, time.Minute, orchestrator.UnitUntouched},
		{"journal, at once", twoWay, 0, orchestrator.UnitReturned},
		{"snapshots, at once", snapshotsTwoWay, 0, orchestrator.UnitReturned},
	} {
		t.Run(form.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, form.plan, 2)
				sites := b.sites(t.Context())
				defer b.close(sites)
				p, err := orchestrator.PrepareSwitchover(t.Context(), b.plan, sites, orchestrator.SwitchoverOptions{To: "b"})
				b.must(err)
				b.must(b.world.Attach("a", ref("volume-0"), client(1), false))
				b.world.ForgetCalls()
				time.Sleep(form.thinks)
				r, err := orchestrator.Start(t.Context(), b.plan, sites, p, orchestrator.RunOptions{})
				if !errors.Is(err, orchestrator.ErrIncomplete) {
					t.Errorf("%v\n%s", err, story(r))
				}
				for _, u := range r.Units {
					want := orchestrator.UnitMoved
					if u.Unit.Name == "rbd/volume-0" {
						want = form.want
						if !strings.Contains(u.Why, client(1).Client) {
							t.Errorf("who has it is not said: %s", u.Why)
						}
					}
					if u.Outcome != want {
						t.Errorf("%s is %s (%s), want %s", u.Unit.Name, u.Outcome, u.Why, want)
					}
				}
				if form.thinks > 0 && slices.Contains(b.demoted(), "rbd/volume-0") {
					t.Error("an image in use was to be demoted")
				}
				at, err := b.world.Site("a").Image(t.Context(), ref("volume-0"))
				b.must(err)
				if at.Demoted || slices.ContainsFunc(at.Snapshots, func(s replay.Snapshot) bool { return s.Mirror != nil && s.Mirror.State == replay.SnapPrimaryDemoted }) {
					t.Error("an image in use was demoted")
				}
				b.roles(ref("volume-0"), replay.RolePrimary, replay.RoleSecondary)
			})
		})
	}
}

// TestHookStopsClients: where a hook comes first, clients do not stand in the way
// of the run; the image is demoted once they have gone.
func TestHookStopsClients(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay+`
hooks:
  - {name: stop-writers, when: before-run, runbooks: [switchover], command: ["true"]}
`, 1)
		b.must(b.world.Attach("a", ref("volume-0"), client(1), true))
		p := b.immortal()
		p.between = func(_ int64, c sim.Call) {
			if c.Op == "LookAt" { // the hook's work takes its time to be seen
				time.Sleep(10 * time.Second)
				b.must(b.world.Detach("a", ref("volume-0")))
			}
		}
		prepared, r, err := p.start(t.Context(), toB, orchestrator.RunOptions{})
		if err != nil || r.Outcome != orchestrator.RunDone {
			t.Fatalf("%v\n%s", err, story(r))
		}
		said := false
		for _, c := range prepared.Checks {
			for _, f := range c.Failures {
				said = said || f.Warning && strings.Contains(f.What, "hook stop-writers")
			}
		}
		if !said {
			t.Error("the client is not mentioned in the checks")
		}
		b.roles(ref("volume-0"), replay.RoleSecondary, replay.RolePrimary)
	})
}

// TestStopBeforeTheFirstChange: who stops a run while it waits for something that
// has to be there before an image is changed, finds all images as they were.
func TestStopBeforeTheFirstChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 2)
		sites := b.sites(t.Context())
		defer b.close(sites)
		p, err := orchestrator.PrepareSwitchover(t.Context(), b.plan, sites, orchestrator.SwitchoverOptions{To: "b"})
		b.must(err)
		for _, name := range []string{"vm-1", "volume-0", "volume-1"} {
			b.must(b.world.Attach("a", ref(name), client(1), false)) // it waits for their clients to go
		}
		b.world.ForgetCalls()
		time.Sleep(time.Minute) // a person thinks
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, stop)
		r, err := orchestrator.Start(ctx, b.plan, sites, p, orchestrator.RunOptions{})
		if !errors.Is(err, orchestrator.ErrInterrupted) || r.Outcome != orchestrator.RunInterrupted {
			t.Errorf("%v\n%s", err, story(r))
		}
		for _, u := range r.Units {
			if u.Outcome != orchestrator.UnitNotBegun {
				t.Errorf("%s is %s", u.Unit.Name, u.Outcome)
			}
		}
		if got := b.demoted(); len(got) > 0 {
			t.Errorf("demoted after all: %v", got)
		}
		for _, name := range []string{"vm-1", "volume-0", "volume-1"} {
			b.must(b.world.Detach("a", ref(name)))
		}
		b.finish(b.immortal(), toB, nil)
		b.roles(ref("volume-0"), replay.RoleSecondary, replay.RolePrimary)
	})
}

// TestFailbackCopiesWhileClientsGoOn: images are copied back while their clients go
// on, also more of them than move at a time, and handed over once the clients have
// gone.
func TestFailbackCopiesWhileClientsGoOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 3)
		failedOver(&staged{bed: b, ink: b.ink(ref("vm-1"), ref("volume-0"), ref("volume-1"), ref("volume-2"))})
		refs := []replay.ImageRef{ref("vm-1"), ref("volume-0"), ref("volume-1"), ref("volume-2")}
		ids := map[replay.ImageRef]string{}
		for _, image := range refs {
			b.must(b.world.Attach("b", image, client(1), false))
			seen, err := b.world.Site("a").Image(t.Context(), image)
			b.must(err)
			ids[image] = seen.ID
		}
		go func() {
			time.Sleep(time.Hour)
			for _, image := range refs {
				seen, err := b.world.Site("a").Image(t.Context(), image)
				if err != nil || seen.ID == ids[image] {
					t.Errorf("%s was not copied while its client went on: %v", image, err)
				}
				if got := b.role("b", image); got != replay.RolePrimary {
					t.Errorf("%s is %s at b, and in use there", image, got)
				}
				b.must(b.world.Detach("b", image))
			}
		}()
		_, r, err := b.immortal().start(t.Context(), goingBack, orchestrator.RunOptions{Parallel: 2})
		if err != nil || r.Outcome != orchestrator.RunDone {
			t.Fatalf("%v\n%s", err, story(r))
		}
		for _, image := range refs {
			b.roles(image, replay.RolePrimary, replay.RoleSecondary)
		}
	})
}
