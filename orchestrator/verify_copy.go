package orchestrator

import (
	"context"
	"fmt"

	"github.com/drover-io/drover/replay"
)

// verifyCopyAt verifies one image at one secondary. Only these two sites are
// looked at. The error tells why nothing could be compared; what went wrong
// with the comparison itself is in the result.
func (v *verification) verifyCopyAt(ctx context.Context, ref replay.ImageRef, primary, secondary string) (*VerifiedImage, error) {
	seen := &verifySeen{images: make(map[string]map[string]replay.Image), faults: v.faults}
	for _, name := range []string{primary, secondary} {
		site := v.sites[name]
		if site == nil {
			return nil, v.faults[name]
		}
		image, err := site.Image(ctx, ref)
		if err != nil {
			return nil, err
		}
		seen.images[name] = map[string]replay.Image{ref.Name: image}
	}
	t := v.target(ref, seen)
	switch {
	case t.fault != nil:
		return nil, advise(t.fault, t.next)
	case t.primary != primary:
		return nil, refusal("find out who changed it, and begin again", "%s is primary at %s, not at %s", ref, t.primary, primary)
	}
	t.secondaries = []string{secondary}
	swept := v.sweep(ctx, []*verifyTarget{t})
	results := v.verifyImage(ctx, t)
	v.confirm(ctx, swept)
	if r := &results[0]; r.Comparison == nil {
		return nil, advise(fmt.Errorf("%w: %w", ErrUnverified, r.cause), r.Next)
	}
	return &results[0], nil
}

// leftovers are this verification's snapshots that are still there, in words.
func (v *verification) leftovers() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []string
	for i := range v.report.Leftovers {
		if l := &v.report.Leftovers[i]; !l.Removed {
			out = append(out, fmt.Sprintf("the snapshot %s@%s is left at %s: %s", l.Ref, l.Snapshot, l.Site, l.Note))
		}
	}
	return out
}
