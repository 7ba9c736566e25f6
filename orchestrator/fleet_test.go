package orchestrator_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

// byNobody is the one-way plan whose daemon others run.
var byNobody = strings.Replace(oneWay, ", daemon: {run: process}", "", 1)

// TestWaitWithoutDaemon wants an apply that sees no daemon to give up soon, to
// say so and not to succeed.
func TestWaitWithoutDaemon(t *testing.T) {
	for _, wait := range []orchestrator.Wait{orchestrator.WaitCopies, orchestrator.WaitReplaying} {
		t.Run(string(wait), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, byNobody)
				began := time.Now()
				result, err := b.apply(orchestrator.Options{Wait: wait})
				if !errors.Is(err, orchestrator.ErrIncomplete) || result.Pending() != 1 {
					t.Errorf("%v\n%s", err, outcomes(result))
				}
				if took := time.Since(began); took > 20*time.Second {
					t.Errorf("took %v", took)
				}
				if result, err := b.apply(orchestrator.Options{Wait: orchestrator.WaitNone}); err != nil || result.Pending() > 0 {
					t.Errorf("waiting for nothing: %v\n%s", err, outcomes(result))
				}
			})
		})
	}
}

// TestWaitForForeignDaemon wants a daemon that others run to be given the time
// that it needs to notice a pool.
func TestWaitForForeignDaemon(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, byNobody)
		b.world.StartDaemon("b")
		time.Sleep(time.Minute)
		result, err := b.apply(orchestrator.Options{Wait: orchestrator.WaitReplaying})
		if err != nil || result.Pending() > 0 {
			t.Errorf("%v\n%s", err, outcomes(result))
		}
	})
}

// TestWaitForNewDaemon wants the same of one that is not in the service map yet.
func TestWaitForNewDaemon(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, byNobody)
		time.AfterFunc(10*time.Second, func() { b.world.StartDaemon("b") })
		result, err := b.apply(orchestrator.Options{Wait: orchestrator.WaitReplaying})
		if err != nil || result.Pending() > 0 {
			t.Errorf("%v\n%s", err, outcomes(result))
		}
	})
}

// TestNobodyFollows wants an image that is primary where a one-way plan has no
// site receive from to count as neither replaying nor protected.
func TestNobodyFollows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		b.applied()
		wrongPrimary(b)
		result, err := b.apply(orchestrator.Options{})
		if !errors.Is(err, orchestrator.ErrIncomplete) || result.Pending() != 1 {
			t.Errorf("%v\n%s", err, outcomes(result))
		}
		if len(result.Images) != 1 || result.Images[0].State != replay.Degraded || !slices.Equal(result.Images[0].Pending, []string{"a"}) {
			t.Errorf("images: %+v", result.Images)
		}
		for _, p := range b.status(orchestrator.StatusOptions{}).Problems {
			if p.Code == replay.ProblemNoPeer {
				if strings.Contains(p.Next, "adds the primary as a peer") || !strings.Contains(p.Next, "two-way") {
					t.Errorf("next step: %s", p.Next)
				}
				return
			}
		}
		t.Error("status does not say that a has no peer")
	})
}

// TestPoolModeCatches wants pool mode not set where it would make images
// primary behind the plan's back, and set where it does what was shown.
func TestPoolModeCatches(t *testing.T) {
	journaled := plain | replay.FeatureJournaling
	bubble(t, func(t *testing.T) {
		b := newBed(t, poolMode)
		b.image("a", ref("private"), journaled)
		b.image("b", ref("private"), journaled)
		result, err := b.apply(orchestrator.Options{})
		if !errors.Is(err, orchestrator.ErrRefused) {
			t.Errorf("%v\n%s", err, outcomes(result))
		}
		for _, site := range []string{"a", "b"} {
			if role := b.role(site, ref("private")); role != replay.RoleNone {
				t.Errorf("private at %s is %s", site, role)
			}
		}
		b.must(b.world.Site("b").DisableFeatures(t.Context(), ref("private"), replay.FeatureJournaling))
		b.must(b.world.Site("b").RemoveImage(t.Context(), ref("private")))
		result = b.applied()
		if got := outcomeOf(result, orchestrator.KindMirror, "private"); got != orchestrator.OutcomeDone {
			t.Errorf("private: %s\n%s", got, outcomes(result))
		}
		b.settled()
	})
}

// TestPruneStranded wants a prune that cannot take an image down to say so.
func TestPruneStranded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		b.applied()
		strandedOld(b)
		if result, err := b.apply(orchestrator.Options{Prune: true}); !errors.Is(err, orchestrator.ErrRefused) {
			t.Errorf("%v\n%s", err, outcomes(result))
		}
	})
}
