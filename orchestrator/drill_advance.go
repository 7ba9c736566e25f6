package orchestrator

import (
	"cmp"
	"fmt"

	"github.com/drover-io/drover/replay"
)

// replayPoint is how far something is: a journal's tag and entry, or (tag 0) the id at
// the primary of a mirror snapshot.
type replayPoint struct{ tag, entry uint64 }

func (p replayPoint) compare(q replayPoint) int {
	return cmp.Or(cmp.Compare(p.tag, q.tag), cmp.Compare(p.entry, q.entry))
}

// replayed is how far the primary has written an image, and how far the secondary holds
// it.
type replayed struct{ written, held replayPoint }

// howFar reads that off both copies; ok is false where they do not tell.
func howFar(primary *replay.Image, copied replay.Copy) (r replayed, ok bool) {
	if primary.Mode == replay.ModeSnapshot {
		for i := range primary.Snapshots {
			if s := &primary.Snapshots[i]; s.Mirror != nil {
				r.written.entry, ok = max(r.written.entry, s.ID), true
			}
		}
		held := false
		for i := range copied.Image.Snapshots {
			if m := copied.Image.Snapshots[i].Mirror; m != nil && m.Complete {
				r.held.entry, held = max(r.held.entry, m.PrimaryID), true
			}
		}
		return r, ok && held
	}
	if primary.Journal == nil {
		return r, false
	}
	own, _ := primary.Journal.Client("")
	peer, known := primary.Journal.Client(copied.MirrorUUID)
	if at, ok := own.Newest(); ok {
		r.written = replayPoint{at.Tag, at.Entry}
	}
	if at, ok := peer.Newest(); ok {
		r.held = replayPoint{at.Tag, at.Entry}
	}
	return r, known
}

// advance is whether replay has gone on since the clone of an image came up: not where
// the primary has written more, and nothing of that has come. idle: it wrote nothing.
func (i *drillImage) advance(s *stand, from, to string) (why string, idle bool) {
	primary, copied := s.site(from), s.site(to)
	if i.was == nil {
		return "", true // it did not come up, which is told
	}
	if primary == nil || primary.Image == nil || copied == nil || copied.Image == nil {
		return "after the drill it cannot be seen whether it is replayed", false
	}
	now, ok := howFar(primary.Image, replay.Copy{Image: *copied.Image, MirrorUUID: copied.Pool.UUID})
	switch wrote := now.written.compare(i.was.written) > 0 && now.written.compare(i.was.held) > 0; {
	case !ok:
		return "after the drill it cannot be seen how far it is replayed", false
	case wrote && now.held.compare(i.was.held) <= 0:
		return fmt.Sprintf("replay has not advanced since its clone came up, though the primary has written more (%s)", now.words(i.mode)), false
	default:
		return "", !wrote
	}
}

func (r replayed) words(mode replay.MirrorMode) string {
	if mode == replay.ModeSnapshot {
		return fmt.Sprintf("up to mirror snapshot %d, and the secondary holds %d", r.written.entry, r.held.entry)
	}
	return fmt.Sprintf("up to entry %d of tag %d, and the secondary has committed entry %d of tag %d", r.written.entry, r.written.tag, r.held.entry, r.held.tag)
}
