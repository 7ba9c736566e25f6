package orchestrator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// mirroredBed is a bed whose pool is mirrored already, so that new images want
// nothing but journaling and mirroring.
func mirroredBed(t *testing.T, images ...string) *bed {
	t.Helper()
	b := newBed(t, oneWay)
	b.applied()
	for _, name := range images {
		b.image("a", ref(name), plain)
	}
	b.world.ForgetCalls()
	return b
}

// TestJournalingAndMirroringInOneCall wants both changes of an image made by a
// single call, and both told.
func TestJournalingAndMirroringInOneCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := mirroredBed(t, "volume-1", "volume-2")
		var begun, ended int
		result, err := b.apply(orchestrator.Options{Progress: func(e orchestrator.Event) {
			switch e.Kind {
			case orchestrator.EventBegin:
				begun++
			case orchestrator.EventEnd:
				ended++
			}
		}})
		if err != nil {
			t.Fatalf("%v\n%s", err, outcomes(result))
		}
		writes := slices.DeleteFunc(b.world.Writes(), func(c sim.Call) bool { return strings.HasSuffix(c.Op, "Lease") || c.Op == "AppendRecords" })
		if len(writes) != 2 || writes[0].Op != "EnableMirroring" || writes[1].Op != "EnableMirroring" {
			t.Errorf("want one call an image: %v", writes)
		}
		if begun != 4 || ended != 4 {
			t.Errorf("%d changes begun and %d ended, want 4", begun, ended)
		}
		for _, name := range []string{"volume-1", "volume-2"} {
			for _, kind := range []orchestrator.Kind{orchestrator.KindFeatures, orchestrator.KindMirror} {
				if got := outcomeOf(result, kind, name); got != orchestrator.OutcomeDone {
					t.Errorf("%s of %s: %q", kind, name, got)
				}
			}
		}
		b.settled()
	})
}

// TestJoinedFails wants the error of the one call to be told of the change that
// did not take effect, and the next apply to heal it.
func TestJoinedFails(t *testing.T) {
	cases := []struct {
		name             string
		fault            sim.Fault
		partly           bool // journaling is on when the call fails
		features, mirror orchestrator.Outcome
	}{
		{"neither done", sim.Fault{Errno: syscall.EIO}, false, orchestrator.OutcomeFailed, orchestrator.OutcomeBlocked},
		{"busy", sim.Fault{Errno: syscall.EBUSY}, false, orchestrator.OutcomeFailed, orchestrator.OutcomeBlocked},
		{"features done", sim.Fault{Errno: syscall.EPERM}, true, orchestrator.OutcomeAlready, orchestrator.OutcomeFailed},
		{"answer lost", sim.Fault{Lost: true, Count: 1}, false, orchestrator.OutcomeAlready, orchestrator.OutcomeAlready},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := mirroredBed(t, "volume-1", "volume-2")
				c.fault.Op, c.fault.Site, c.fault.Object = "EnableMirroring", "a", "rbd/volume-2"
				heal := b.world.Inject(c.fault)
				whole := b.open
				if c.partly {
					b.open = func(ctx context.Context, s plans.Site) (orchestrator.Site, error) {
						site, err := whole(ctx, s)
						return halfDone{site}, err
					}
				}
				result, err := b.apply(orchestrator.Options{})
				if failed := c.mirror != orchestrator.OutcomeAlready; failed != (err != nil) {
					t.Errorf("got %v", err)
				}
				if got := outcomeOf(result, orchestrator.KindFeatures, "volume-2"); got != c.features {
					t.Errorf("features: %q, want %q", got, c.features)
				}
				if got := outcomeOf(result, orchestrator.KindMirror, "volume-2"); got != c.mirror {
					t.Errorf("mirroring: %q, want %q", got, c.mirror)
				}
				if role := b.role("b", ref("volume-1")); role != replay.RoleSecondary {
					t.Errorf("the other image is %s", role)
				}
				heal()
				b.open = whole
				b.applied()
				b.settled()
			})
		})
	}
}

// halfDone is a site that switches journaling on before it fails to mirror.
type halfDone struct{ orchestrator.Site }

func (s halfDone) EnableMirroring(ctx context.Context, ref replay.ImageRef, mode replay.MirrorMode) error {
	if err := s.EnableFeatures(ctx, ref, replay.FeatureJournaling); err != nil {
		return err
	}
	return s.Site.EnableMirroring(ctx, ref, mode)
}

// TestJoinedInUse wants a client that could not bear journaling to be named.
func TestJoinedInUse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := mirroredBed(t, "volume-1", "volume-2")
		b.must(b.world.Attach("a", ref("volume-1"), replay.ImageUser{Client: "client.88", Kernel: true}, false))
		result, err := b.apply(orchestrator.Options{})
		if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), "mapped by the kernel client client.88") {
			t.Fatalf("got %v", err)
		}
		if got := outcomeOf(result, orchestrator.KindMirror, "volume-1"); got != orchestrator.OutcomeBlocked {
			t.Errorf("mirroring: %q", got)
		}
		if role := b.role("b", ref("volume-2")); role != replay.RoleSecondary {
			t.Errorf("the other image is %s", role)
		}
		b.must(b.world.Detach("a", ref("volume-1")))
		b.applied()
		b.settled()
	})
}
