package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"sync/atomic"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// verifyTarget is one image to be verified, as all sites see it.
type verifyTarget struct {
	ref         replay.ImageRef
	mode        replay.MirrorMode
	primary     string                  // site
	secondaries []string                // sites, in the plan's order
	at          map[string]replay.Image // by site
	unread      map[string]error        // sites that could not be read
	fault       error                   // why it cannot be verified at all
	next        string
	snapshots   atomic.Int32 // taken beside the first
}

// readHalts reads what is halted, where that keeps anything from being done.
func (v *verification) readHalts(ctx context.Context, targets []*verifyTarget) {
	if slices.ContainsFunc(targets, func(t *verifyTarget) bool { return t.mode == replay.ModeSnapshot }) {
		v.records = readRecords(ctx, v.plan, v.all)
	}
}

// halt is what keeps a verification away from an image: in snapshot mode its snapshot
// comes and goes with mirror snapshots, which carry over what a halt keeps from the
// other sites. In journal mode replay goes on all the same.
func (v *verification) halt(ref replay.ImageRef, mode replay.MirrorMode) *Halt {
	if mode != replay.ModeSnapshot {
		return nil
	}
	return v.records.halted(ref)
}

// failed is the result of a target that cannot be verified at any secondary.
func (t *verifyTarget) failed(err error, next string) []VerifiedImage {
	secondaries := t.secondaries
	if len(secondaries) == 0 {
		secondaries = []string{""}
	}
	results := make([]VerifiedImage, len(secondaries))
	for i, secondary := range secondaries {
		results[i] = t.result(secondary)
		results[i].fail(err, next)
	}
	return results
}

func (t *verifyTarget) result(secondary string) VerifiedImage {
	return VerifiedImage{Ref: t.ref, Mode: t.mode, Primary: t.primary, Secondary: secondary}
}

func (r *VerifiedImage) fail(err error, next string) {
	what := faultOf(err)
	r.cause, r.Error, r.Next = err, what.What, next
	if next == "" {
		r.Next = what.Hint
	}
}

// targets finds the images to verify and their roles. Those that cannot be
// verified are among them, with the reason.
func (v *verification) targets(ctx context.Context) ([]*verifyTarget, error) {
	var all []*verifyTarget
	for i, seen := range v.lookAll(ctx) {
		if seen != nil {
			all = append(all, v.poolTargets(&v.plan.Pools[i], seen)...)
		}
	}
	slices.SortFunc(all, func(a, b *verifyTarget) int { return a.ref.Compare(b.ref) })
	return v.selectTargets(all)
}

func (v *verification) poolTargets(pool *plans.Pool, seen *verifySeen) []*verifyTarget {
	names := make(map[string]bool)
	for _, images := range seen.images {
		for name, image := range images {
			entry, matched := pool.Match(name)
			// In pool mode, and by a glob, what is not mirrored is not meant.
			if matched && (image.Mirrored() || entry.Name == name && pool.Mirror != plans.PoolModePool) {
				names[name] = true
			}
		}
	}
	for name := range seen.unread {
		if _, matched := pool.Match(name); matched {
			names[name] = true
		}
	}
	for _, entry := range pool.Images {
		if entry.Name != "" && !pool.Excludes(entry.Name) {
			names[entry.Name] = true
		}
	}
	targets := make([]*verifyTarget, 0, len(names))
	for name := range names {
		targets = append(targets, v.target(poolOf(pool).Image(name), seen))
	}
	return targets
}

// target works out an image's roles.
func (v *verification) target(ref replay.ImageRef, seen *verifySeen) *verifyTarget {
	t := &verifyTarget{ref: ref, at: make(map[string]replay.Image), unread: seen.faultsOf(ref.Name)}
	var primaries, mirrored []string
	for _, site := range v.siteNames() {
		image, ok := seen.images[site][ref.Name]
		if !ok {
			continue
		}
		t.at[site] = image
		if !image.Mirrored() {
			continue
		}
		mirrored = append(mirrored, site)
		if image.Role == replay.RolePrimary {
			primaries = append(primaries, site)
		}
	}
	switch {
	case len(primaries) > 1:
		t.fault = fmt.Errorf("%w: %s is primary at %s", ErrHalted, ref, joinAnd(primaries))
		t.next = "find out which copy is the newest, then: drover status " + v.plan.File
		return t
	case len(primaries) == 0:
		t.next, t.fault = v.noPrimary(ref, t, mirrored)
		return t
	}
	t.primary = primaries[0]
	t.mode = t.at[t.primary].Mode
	for _, site := range v.siteNames() {
		if site != t.primary {
			t.secondaries = append(t.secondaries, site)
		}
	}
	return t
}

// noPrimary says why an image has no primary that could be read.
func (v *verification) noPrimary(ref replay.ImageRef, t *verifyTarget, mirrored []string) (next string, err error) {
	for _, site := range v.siteNames() {
		if fault := t.unread[site]; fault != nil {
			return "", fmt.Errorf("no primary was found, and %s could not be read: %w", site, fault)
		}
	}
	switch {
	case len(t.at) == 0:
		return "drover plan diff " + v.plan.File, fmt.Errorf("%s: %w", ref, replay.ErrNotFound)
	case len(mirrored) == 0:
		return "drover plan apply " + v.plan.File, fmt.Errorf("%w: the image is not mirrored", ErrRefused)
	}
	return "drover status " + v.plan.File, fmt.Errorf("%w: the image is primary nowhere", ErrRefused)
}

// selectTargets keeps those that the patterns name. A pattern that names none
// is an error: a misspelt image would else count as verified.
func (v *verification) selectTargets(all []*verifyTarget) ([]*verifyTarget, error) {
	patterns := v.options.Images
	if len(patterns) == 0 {
		return all, nil
	}
	keep := make(map[*verifyTarget]bool)
	var errs []error
	for _, pattern := range patterns {
		found := false
		for _, t := range all {
			byName, err := path.Match(pattern, t.ref.Name)
			bySpec, _ := path.Match(pattern, t.ref.String())
			if err != nil {
				errs = append(errs, refusal("write names with *, ? and [] only", "image pattern %q: %v", pattern, err))
				break
			}
			if byName || bySpec {
				keep[t], found = true, true
			}
		}
		switch {
		case found || len(errs) > 0:
		case len(v.report.Faults) > 0:
			// It may well be where nothing could be read.
			errs = append(errs, fmt.Errorf("%w: no image named %q was found where images could be read", ErrUnverified, pattern))
		default:
			errs = append(errs, refusal("name an image of the plan, as IMAGE or POOL/IMAGE", "no image of the plan is named %q", pattern))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(t *verifyTarget) bool { return !keep[t] }), nil
}

func joinAnd(words []string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		text := words[0]
		for _, w := range words[1 : n-1] {
			text += ", " + w
		}
		return text + " and " + words[n-1]
	}
}
