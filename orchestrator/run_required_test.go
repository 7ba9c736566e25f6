package orchestrator_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// forgetfulSite takes no records that have a text in them, as if it did not answer.
type forgetfulSite struct {
	orchestrator.Site
	not *atomic.Pointer[string]
}

func (s forgetfulSite) AppendRecords(ctx context.Context, ref replay.LedgerRef, records []replay.Record) error {
	if not := s.not.Load(); not != nil && slices.ContainsFunc(records, func(r replay.Record) bool { return bytes.Contains(r.Value, []byte(*not)) }) {
		return &replay.Error{Op: "append records", Site: s.Name(), Err: replay.ErrTimeout}
	}
	return s.Site.AppendRecords(ctx, ref, records)
}

// TestRunIsKnownAtBothSites does not begin a run whose session or description only
// one of its sites has, and leaves nothing that stands in the way of the next.
func TestRunIsKnownAtBothSites(t *testing.T) {
	for what, text := range map[string]string{"session": `"addresses"`, "run": `"units"`} {
		for _, deaf := range []string{"a", "b"} {
			t.Run(what+" at "+deaf, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := moving(t, twoWay, 1)
					var not atomic.Pointer[string]
					b.open = func(_ context.Context, s plans.Site) (orchestrator.Site, error) {
						if s.Name != deaf {
							return b.world.Site(s.Name), nil
						}
						return forgetfulSite{b.world.Site(s.Name), &not}, nil
					}
					not.Store(&text)
					o := orchestrator.SwitchoverOptions{From: "a", To: "b", Scope: orchestrator.Scope{Images: []string{"volume-0"}}}
					r, err := b.switchover(o, orchestrator.RunOptions{})
					if r != nil || err == nil || !strings.Contains(err.Error(), "nothing was changed, because the "+what+" could not be recorded") {
						t.Fatalf("%v\n%s", err, story(r))
					}
					b.roles(ref("volume-0"), replay.RolePrimary, replay.RoleSecondary)
					not.Store(nil)
					if r, err = b.switchover(o, orchestrator.RunOptions{}); err != nil {
						t.Fatalf("again: %v\n%s", err, story(r))
					}
				})
			})
		}
	}
}
