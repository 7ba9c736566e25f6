package sitetest

import (
	"errors"
	"slices"
	"testing"

	"github.com/drover-io/drover/replay"
)

var errStays = errors.New("it is still there")

func (s *suite) cloneCases(t *testing.T) {
	each(t, "Clone", s.clone)
	t.Run("CloneRefusals", func(t *testing.T) { t.Parallel(); s.cloneRefusals(t, s.pool("errors")) })
}

// clone: a secondary's copy of a user snapshot can be cloned, written to and read
// while replay goes on, even beyond the end of the snapshot; then it leaves nothing.
func (s *suite) clone(t *testing.T, mode replay.MirrorMode) {
	ctx, i := t.Context(), s.protected(t, s.pool("two-way"), "cloned", mode)
	before, after := text(300, 6<<20), text(301, 5000)
	i.write(s.A, 0, before)
	ok(t, s.A.CreateSnapshot(ctx, i.ref, "drill"))
	i.mark(s.A)
	i.awaitData(s.B, "drill", 0, before)
	place := replay.Pool{Name: i.ref.Pool.Name, Namespace: "drill-" + string(mode)}
	ok(t, s.B.CreateNamespace(ctx, place))
	c := *i
	c.ref = place.Image("copy")
	ok(t, s.B.CloneSnapshot(ctx, i.ref, "drill", c.ref))
	wants(t, s.B.CloneSnapshot(ctx, i.ref, "drill", c.ref), replay.ErrExists, s.B)

	made := c.at(s.B)
	if made.Size != imageSize || made.Mirrored() || made.Features.Has(replay.FeatureJournaling) || made.Parent == nil || *made.Parent != i.ref {
		t.Fatalf("the clone: %+v", made)
	}
	ties, err := s.B.Ties(ctx, i.ref)
	ok(t, err)
	if !slices.Equal(ties.Clones, []string{c.ref.String()}) || len(ties.Protected) > 0 {
		t.Fatalf("ties: %+v", ties)
	}
	w, err := s.B.OpenWriter(ctx, c.ref)
	ok(t, err)
	put(t, w, 4096, after)
	ok(t, w.Flush(ctx))
	ok(t, w.Close())

	if mode == replay.ModeSnapshot {
		whole, err := newestWhole(i.at(s.B))
		ok(t, err)
		i.awaitData(s.B, whole.Name, 0, before)
	}

	// Replay goes on, and takes the snapshot away under the clone.
	i.write(s.A, 20<<20, after)
	ok(t, s.A.RemoveSnapshot(ctx, i.ref, "drill"))
	i.mark(s.A)
	i.awaitData(s.B, "", 20<<20, after)
	s.eventually(t, "the snapshot goes at the secondary", func() error {
		_, err := s.B.OpenSnapshot(ctx, i.ref, "drill")
		if err == nil {
			return errStays
		}
		return nil
	})
	want := slices.Clone(before)
	copy(want[4096:], after)
	c.awaitData(s.B, "", 0, want)
	i.awaitData(s.B, "", 0, before)

	ok(t, s.B.RemoveImage(ctx, c.ref))
	ties, err = s.B.Ties(ctx, i.ref)
	ok(t, err)
	if len(ties.Clones) > 0 {
		t.Fatalf("ties: %+v", ties)
	}
}

// cloneRefusals: what cannot be cloned says so.
func (s *suite) cloneRefusals(t *testing.T, pool replay.Pool) {
	ctx := t.Context()
	i := s.made(t, pool, "uncloned", replay.ModeJournal)
	wants(t, s.A.CloneSnapshot(ctx, i.ref, "none", pool.Image("child")), replay.ErrNotFound, s.A)
	wants(t, s.A.CloneSnapshot(ctx, pool.Image("no-image"), "none", pool.Image("child")), replay.ErrNotFound, s.A)
	ok(t, s.A.CreateSnapshot(ctx, i.ref, "one"))
	wants(t, s.A.CloneSnapshot(ctx, i.ref, "one", replay.Pool{Name: pool.Name, Namespace: "nowhere"}.Image("child")), replay.ErrNotFound, s.A)
	ok(t, s.A.RemoveSnapshot(ctx, i.ref, "one"))
}
