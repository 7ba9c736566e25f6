package orchestrator_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// noRecords are the ways in which the records of both sites cannot be read,
// though the sites answer.
var noRecords = map[string]sim.Fault{
	"I/O error": {Op: "ReadRecords", Errno: syscall.EIO},
	"no caps":   {Op: "ReadRecords", Errno: syscall.EPERM},
	"no answer": {Op: "ReadRecords", Hang: true},
}

// TestRecordsUnreadable: while it is not known what is halted, apply changes
// nothing, not even what the halt that it cannot see keeps from it, and says why.
func TestRecordsUnreadable(t *testing.T) {
	for name, fault := range noRecords {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, snapshotsGrouped)
				b.applied()
				own := replay.MirrorSchedule{ImageRef: ref("vm-1"), Every: "1h"}
				b.must(b.world.Site("a").AddMirrorSchedule(t.Context(), own))
				droppedImage(b)
				_, err := b.halt("vm-1")
				b.must(err)
				b.must(b.world.Site("a").SetSiteName(t.Context(), "elsewhere"))
				before := b.schedules("a")
				heal := b.world.Inject(fault)

				d := b.drift(orchestrator.DiffOptions{Prune: true})
				if !hasNotice(d.Notices, orchestrator.NoticeNoRecords) || !errors.Is(d.Err(), orchestrator.ErrRefused) {
					t.Errorf("diff: %v\n%s", d.Err(), differenceText(d))
				}
				r := b.status(orchestrator.StatusOptions{})
				if got := problems(r); !strings.Contains(got, "records-unreadable@×0") {
					t.Errorf("status: %s", got)
				}
				for _, o := range []orchestrator.Options{{}, {Prune: true}} {
					b.world.ForgetCalls()
					result, err := b.apply(o)
					if !errors.Is(err, orchestrator.ErrRefused) || result.Refused == nil || !strings.Contains(err.Error(), "records of plan") {
						t.Errorf("apply: %v\n%s", err, outcomes(result))
					}
					if writes := b.world.Writes(); len(writes) > 0 {
						t.Errorf("wrote %v", writes)
					}
				}
				if _, err := b.destroy(orchestrator.DestroyOptions{}); !errors.Is(err, orchestrator.ErrRefused) {
					t.Errorf("destroy: %v", err)
				}
				if got := b.schedules("a"); got != before {
					t.Errorf("schedules: %s; before %s", got, before)
				}
				if role := b.role("a", ref("old")); role != replay.RolePrimary {
					t.Errorf("the dropped image is %s", role)
				}

				heal()
				if result, err := b.apply(orchestrator.Options{Prune: true}); !errors.Is(err, orchestrator.ErrHalted) {
					t.Errorf("readable again: %v\n%s", err, outcomes(result))
				}
				if name, err := b.world.Site("a").SiteName(t.Context()); err != nil || name == "elsewhere" {
					t.Errorf("the site name was not corrected: %q, %v", name, err)
				}
			})
		})
	}
}

// TestRecordsUnreadableInBetween: they have to be known for each further round.
func TestRecordsUnreadableInBetween(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		b.applied()
		b.must(b.world.Site("a").SetSiteName(t.Context(), "elsewhere"))
		for _, site := range []string{"a", "b"} {
			// The look before the change, and the session's, pass.
			b.world.Inject(sim.Fault{Site: site, Op: "ReadRecords", Object: "rbd/drover/ledger.shop", Errno: syscall.EIO, Skip: 2})
		}
		result, err := b.apply(orchestrator.Options{})
		if !errors.Is(err, orchestrator.ErrRefused) || len(result.Changes) == 0 || result.Lost == nil {
			t.Errorf("%v\n%s", err, outcomes(result))
		}
	})
}

// TestRecordsOfOneSite: those of a site that can be read count, and the other is
// named.
func TestRecordsOfOneSite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		b.applied()
		b.must(b.world.Site("a").SetSiteName(t.Context(), "elsewhere"))
		b.world.Inject(sim.Fault{Site: "b", Op: "ReadRecords", Errno: syscall.EIO})
		result, err := b.apply(orchestrator.Options{})
		if err != nil || !hasNotice(result.Notices, orchestrator.NoticeSomeRecords) || hasNotice(result.Notices, orchestrator.NoticeNoRecords) {
			t.Errorf("%v\n%s", err, outcomes(result))
		}
		if name, err := b.world.Site("a").SiteName(t.Context()); err != nil || name != "a" {
			t.Errorf("the site name was not corrected: %q, %v", name, err)
		}
		if got := problems(b.status(orchestrator.StatusOptions{})); !strings.Contains(got, "records-unreadable@b×0") {
			t.Errorf("status: %s", got)
		}
	})
}

// TestApplyWithoutLease: an apply goes on without a lease only where none of the
// plan's pools is made; not where the lease cannot be had for another reason.
func TestApplyWithoutLease(t *testing.T) {
	second := oneWay + "  - {name: backups, images: [{name: img, create: {size: 8MiB}}]}\n"
	for name, c := range map[string]struct {
		pools  []string // that there are, at both sites
		faults []sim.Fault
		want   error
		begins bool // something is changed
		words  string
	}{
		"no pool yet":           {nil, nil, orchestrator.ErrIncomplete, true, ""},
		"only the second pool":  {[]string{"backups"}, nil, orchestrator.ErrRefused, false, "lie in the pool rbd"},
		"one site has no pools": {[]string{"rbd", "backups"}, []sim.Fault{{Site: "b", Op: "AcquireLease", Errno: syscall.ENOENT}}, nil, true, ""},
		"no caps for it":        {[]string{"rbd", "backups"}, []sim.Fault{{Op: "AcquireLease", Errno: syscall.EPERM}}, orchestrator.ErrRefused, false, "nobody else could be kept away"},
		"it does not answer":    {[]string{"rbd", "backups"}, []sim.Fault{{Op: "AcquireLease", Hang: true}}, orchestrator.ErrRefused, false, "nobody else could be kept away"},
		"the pool has gone":     {[]string{"rbd", "backups"}, []sim.Fault{{Op: "AcquireLease", Errno: syscall.ENOENT}}, orchestrator.ErrRefused, false, "lie in the pool rbd"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, second)
				b.world = sim.New(sim.Options{Seed: 7, Clock: time.Now, Pace: sim.Instant})
				for _, s := range b.plan.Sites {
					b.world.AddSite(s.Name)
					for _, p := range c.pools {
						b.world.AddPool(s.Name, p)
					}
				}
				for _, f := range c.faults {
					b.world.Inject(f)
				}
				b.world.ForgetCalls()
				result, err := b.apply(orchestrator.Options{})
				if !errors.Is(err, c.want) || c.want == nil && err != nil || err != nil && !strings.Contains(err.Error(), c.words) {
					t.Errorf("%v\n%s", err, outcomes(result))
				}
				if begins := result.Count(orchestrator.OutcomeDone) > 0; begins != c.begins {
					t.Errorf("done: %s", outcomes(result))
				}
			})
		})
	}
}
