package orchestrator_test

import (
	"encoding/json"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// split makes an image primary at both sites, by force.
func split(b *bed, image replay.ImageRef) {
	b.t.Helper()
	b.must(b.world.Site("b").Promote(b.t.Context(), image, true))
	b.must(b.world.Write("b", image, 4096, []byte("only at b")))
	time.Sleep(time.Minute)
}

// TestDestroyLeavesAlone wants a destroy to keep its hands off an image that a
// person or a run has to see to, to keep what its pool needs for that, and to take
// the pool's other images down.
func TestDestroyLeavesAlone(t *testing.T) {
	image := ref("volume-7")
	cases := []struct {
		name   string
		plan   string
		change func(b *bed)
		notice orchestrator.NoticeCode
		says   string
		fails  error
	}{
		{"halted", twoWay, func(b *bed) {
			b.must(b.read().Halt(b.t.Context(), orchestrator.Halt{Images: []replay.ImageRef{image}, Reason: "under investigation"}))
		}, orchestrator.NoticeHalted, "under investigation", orchestrator.ErrHalted},
		{"group halted", grouped, func(b *bed) {
			b.must(b.read().Halt(b.t.Context(), orchestrator.Halt{Group: "db", Images: []replay.ImageRef{ref("volume-1")}, Reason: "odd"}))
		}, orchestrator.NoticeHalted, "odd", orchestrator.ErrHalted},
		{"in a run", twoWay, func(b *bed) {
			body, err := json.Marshal(orchestrator.Run{
				ID: "switchover-1", Runbook: orchestrator.Switchover, From: "a", To: "b",
				Units: []orchestrator.RunUnit{{Name: image.String(), Images: []orchestrator.RunImage{{Ref: image}}}},
			})
			b.must(err)
			b.must(b.read().Append(b.t.Context(), orchestrator.Entry{Kind: orchestrator.EntryRun, Run: "switchover-1", Body: body}))
		}, orchestrator.NoticeInRun, "switchover-1 is not over", orchestrator.ErrRefused},
		{"two primaries", twoWay, func(b *bed) { split(b, image) }, orchestrator.NoticeSplitBrain, "primary at a and b", orchestrator.ErrHalted},
		{"split-brain reported", twoWay, func(b *bed) {
			split(b, image)
			b.must(b.world.Write("a", image, 8192, []byte("only at a")))
			b.must(b.world.Site("b").Demote(b.t.Context(), image))
			time.Sleep(time.Minute)
			if role := b.role("b", image); role != replay.RoleSecondary {
				b.t.Fatalf("the copy is %s", role)
			}
		}, orchestrator.NoticeSplitBrain, "went apart", orchestrator.ErrHalted},
		{
			"stranded", twoWay, func(b *bed) { b.must(b.world.Site("a").Demote(b.t.Context(), image)) },
			orchestrator.NoticeStranded, "secondary at a and b", orchestrator.ErrRefused,
		},
		{"given up by a failover", twoWay, func(b *bed) {
			split(b, image)
			b.must(b.read().Bury(b.t.Context(), orchestrator.Tombstone{Site: "a", Images: []replay.ImageRef{image}, Run: "failover-1"}))
		}, orchestrator.NoticeQuarantined, "rbd/volume-7 (quarantined)", orchestrator.ErrRefused},
		{"snapshots, halted", snapshots, func(b *bed) {
			b.must(b.read().Halt(b.t.Context(), orchestrator.Halt{Images: []replay.ImageRef{image}, Reason: "under investigation"}))
		}, orchestrator.NoticeHalted, "under investigation", orchestrator.ErrHalted},
		{"pool mode, halted", poolMode, func(b *bed) {
			b.must(b.read().Halt(b.t.Context(), orchestrator.Halt{Images: []replay.ImageRef{image}, Reason: "under investigation"}))
		}, orchestrator.NoticeHalted, "under investigation", orchestrator.ErrHalted},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				image := image
				if c.plan == grouped {
					image = ref("volume-2")
					b := newBed(t, c.plan)
					b.image("a", ref("volume-1"), plain|replay.FeatureJournaling)
					b.image("a", image, plain|replay.FeatureJournaling)
					leaves(b, image, c.change, c.notice, c.says, c.fails)
					return
				}
				b := newBed(t, c.plan)
				b.image("a", image, plain|replay.FeatureJournaling)
				leaves(b, image, c.change, c.notice, c.says, c.fails)
			})
		})
	}
}

// leaves destroys with and without the copies' data and wants the image, and all
// that it needs, as it was.
func leaves(b *bed, image replay.ImageRef, change func(*bed), notice orchestrator.NoticeCode, says string, fails error) {
	b.t.Helper()
	b.applied()
	change(b)
	type state struct {
		role    replay.Role
		content string
	}
	look := func() map[string]state {
		out := map[string]state{}
		for _, site := range []string{"a", "b"} {
			out[site] = state{b.role(site, image), b.content(site, image)}
		}
		return out
	}
	before := look()
	for _, remove := range []bool{true, false} {
		result, err := b.destroy(orchestrator.DestroyOptions{DeleteSecondaryData: remove, Reason: "not needed"})
		if !errors.Is(err, fails) || !strings.Contains(err.Error(), says) || !hasNotice(result.Notices, notice) || !hasNotice(result.Notices, orchestrator.NoticeDestroyKeeps) {
			b.t.Errorf("want %s, %q, %v: %v\n%s", notice, says, fails, err, outcomes(result))
		}
		for i := range result.Changes {
			if name := result.Changes[i].Change.Image; name == image.Name {
				b.t.Errorf("changed: %s", result.Changes[i].Change.Title())
			}
		}
	}
	if after := look(); after["a"] != before["a"] || after["b"] != before["b"] {
		b.t.Errorf("it was %v and is %v", before, after)
	}
	if role := b.role("a", ref("vm-1")); b.plan.Pools[0].Mirror != "pool" && role != replay.RoleNone {
		b.t.Errorf("vm-1 is still %s", role)
	}
	for _, site := range []string{"a", "b"} {
		seen, err := b.world.Site(site).PoolMirroring(b.t.Context(), rbd)
		b.must(err)
		if seen.Mode == replay.PoolDisabled || len(seen.Peers) == 0 {
			b.t.Errorf("the pool at %s: %+v", site, seen)
		}
	}
	if !b.world.DaemonRuns("b") {
		b.t.Error("rbd-mirror was stopped")
	}
}

// TestDestroyKeepsParentOfHeld wants the parent of a clone that is left alone
// left alone with it: Ceph refuses to end its mirroring first.
func TestDestroyKeepsParentOfHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.image("a", ref("volume-1"), plain)
		b.must(b.world.Site("a").CreateSnapshot(t.Context(), ref("volume-1"), "base"))
		b.must(b.world.Clone("a", ref("volume-1"), "base", ref("volume-2")))
		b.applied()
		b.must(b.read().Halt(t.Context(), orchestrator.Halt{Images: []replay.ImageRef{ref("volume-2")}, Reason: "odd"}))
		result, err := b.destroy(orchestrator.DestroyOptions{})
		if !errors.Is(err, orchestrator.ErrHalted) || !strings.Contains(err.Error(), "rbd/volume-1 (the parent of rbd/volume-2)") {
			t.Errorf("%v\n%s", err, outcomes(result))
		}
		if result.Count(orchestrator.OutcomeDone) != len(result.Changes) {
			t.Errorf("not all was done\n%s", outcomes(result))
		}
		for _, name := range []string{"volume-1", "volume-2"} {
			if role := b.role("a", ref(name)); role != replay.RolePrimary {
				t.Errorf("%s is %s", name, role)
			}
		}
	})
}

// TestDestroyWithoutRecords wants nothing taken down where a site has the pool
// but does not let its records be read: what is halted may be known there only.
func TestDestroyWithoutRecords(t *testing.T) {
	for name, at := range map[string][]string{"at one site": {"b"}, "at both": {"a", "b"}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, twoWay)
				b.applied()
				for _, site := range at {
					defer b.world.Inject(sim.Fault{Site: site, Op: "ReadRecords", Errno: syscall.EIO})()
				}
				b.world.ForgetCalls()
				result, err := b.destroy(orchestrator.DestroyOptions{})
				if !errors.Is(err, orchestrator.ErrRefused) || !hasNotice(result.Notices, orchestrator.NoticeDestroyUnsure) || !strings.Contains(err.Error(), "records cannot be read") {
					t.Errorf("%v\n%s", err, outcomes(result))
				}
				if writes := b.world.Writes(); len(writes) > 0 {
					t.Errorf("wrote %v", writes)
				}
			})
		})
	}
	t.Run("no pool anywhere", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBed(t, twoWay)
			b.plan.Pools[0].Name = "gone"
			result, err := b.destroy(orchestrator.DestroyOptions{})
			if hasNotice(result.Notices, orchestrator.NoticeDestroyUnsure) || !hasNotice(result.Notices, orchestrator.NoticePoolMissing) {
				t.Errorf("%v\n%s", err, outcomes(result))
			}
		})
	})
}
