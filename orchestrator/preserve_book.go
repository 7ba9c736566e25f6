package orchestrator

import (
	"context"
	"slices"
	"time"

	"github.com/drover-io/drover/plans"
)

// PreservedCopies lists the copies that runs have kept before they discarded
// an image, those that were dropped since left out; the oldest first.
func PreservedCopies(book *Book) []Preserved {
	var out []Preserved
	for _, p := range preservedOf(book.Entries()) {
		if p.Removed == nil {
			out = append(out, p)
		}
	}
	return out
}

// HaltedCopies lists the kept copies of the images that a halt covers, by
// themselves or by their group; the oldest first. One that cannot be read covers
// all images.
func HaltedCopies(book *Book, h *Halt) []Preserved {
	if len(h.Images) == 0 && h.Group == "" {
		return PreservedCopies(book)
	}
	groups := h.groups(book.plan)
	return slices.DeleteFunc(PreservedCopies(book), func(p Preserved) bool {
		if slices.Contains(h.Images, p.Image) {
			return false
		}
		g := book.plan.GroupOf(p.Image.Pool.Name, p.Image.Namespace, p.Image.Name)
		return g == nil || !slices.Contains(groups, g.Name)
	})
}

// preservedCopy finds a kept copy by its id.
func preservedCopy(book *Book, id string) (Preserved, error) {
	for _, p := range PreservedCopies(book) {
		if p.ID == id {
			return p, nil
		}
	}
	return Preserved{}, refusal("drover preserved list FILE shows them", "no copy %q is kept", id)
}

// RestorePreserved makes a new image, not mirrored, of a kept copy, at the site
// where it is kept.
func RestorePreserved(ctx context.Context, plan *plans.Plan, sites *Sites, book *Book, id, name string, progress func(done, total uint64)) error {
	p, err := preservedCopy(book, id)
	if err != nil {
		return err
	}
	site, err := sites.Site(p.Site)
	if err != nil {
		return err
	}
	return restore(ctx, site, p, name, int(plan.Runbooks.MinFree), progress)
}

// ExpiredCopies are the kept copies whose time is over.
func ExpiredCopies(book *Book, now time.Time) []Preserved {
	return expired(preservedOf(book.Entries()), now)
}

// DropPreserved removes a kept copy for good, and records that.
func DropPreserved(ctx context.Context, sites *Sites, book *Book, id string) error {
	p, err := preservedCopy(book, id)
	if err != nil {
		return err
	}
	site, err := sites.Site(p.Site)
	if err != nil {
		return err
	}
	if err := removePreserved(ctx, site, p); err != nil {
		return err
	}
	now := book.now().UTC()
	p.Removed = &now
	entry, err := preservedEntry(p)
	if err != nil {
		return err
	}
	return book.Append(ctx, entry)
}
