package orchestrator

import (
	"context"
	"slices"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay/parallel"
)

// unopened reports whether a site could not be opened.
func (s *Sites) unopened() bool {
	return slices.ContainsFunc(s.entries, func(e siteEntry) bool { return e.site == nil })
}

// closeBut closes what others do not hold.
func (s *Sites) closeBut(others *Sites) {
	for i := range s.entries {
		if s.entries[i].site != nil && others.entries[i].site == nil {
			_ = s.entries[i].site.Close() // nothing was asked of it
		}
	}
}

// reopened tries the sites again that could not be opened. Where one opens, it
// answers with sites that hold it beside those that were open; else nil. The sites
// that it was called on stay as they are.
func (s *Sites) reopened(ctx context.Context, plan *plans.Plan) *Sites {
	out := &Sites{entries: slices.Clone(s.entries), open: s.open, hands: s.hands, clock: s.clock, hangs: s.hangs, panicked: s.panicked}
	var wg parallel.Group
	for i := range out.entries {
		if out.entries[i].site == nil {
			wg.Go(func() {
				e := &out.entries[i]
				e.err = nil
				e.open(ctx, plan, s.open, s.hands)
			})
		}
	}
	wg.Wait()
	for i := range out.entries {
		if s.entries[i].site == nil && out.entries[i].site != nil {
			return out
		}
	}
	return nil
}
