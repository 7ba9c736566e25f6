package orchestrator

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/drover-io/drover/replay"
)

// ownWrites is what one side wrote that others lack.
type ownWrites struct {
	by    map[string]*ownSince // by the site that is compared with
	first *ownSince            // with the one that counts for the side's evidence
	start *replay.Position     // after which its time in its role began; nil: not to be asked
	last  *replay.Position     // after which its newest write comes; nil: likewise
}

// ownSince is what a side wrote after the last point that it shares with one
// other.
type ownSince struct {
	WritesSince
	common *CommonPoint
	write  *replay.Position // in the journal; after it comes the first write that the other lacks
	// promoted: it began with the side's promotion.
	promoted bool
	until    *time.Time // in snapshot mode: when the last of it can have been written
}

// against is what the side wrote that another lacks.
func (o *ownWrites) against(site string) *ownSince {
	if o != nil && o.by[site] != nil {
		return o.by[site]
	}
	return &ownSince{WritesSince: WritesSince{Why: "the histories were not compared"}}
}

// compareHistories tells for each side what it wrote that each other lacks, as
// far as journals and mirror snapshots tell, and finds the last common point.
func (e *SplitEvidence) compareHistories() map[string]*ownWrites {
	all := make(map[string]*ownWrites)
	for i := range e.Sites {
		mine := &e.Sites[i]
		own := &ownWrites{by: make(map[string]*ownSince)}
		all[mine.Site] = own
		if !mine.mirrored() {
			continue
		}
		for k := range e.Sites {
			other := &e.Sites[k]
			if i == k || other.Reachable && !other.mirrored() {
				continue
			}
			since := mine.since(other, e.At)
			own.by[other.Site] = since
			// A primary is the rival before a copy that only follows.
			if own.first == nil || other.Role == replay.RolePrimary && e.side(own.rival()).Role != replay.RolePrimary {
				own.first = since
			}
			e.shared(since.common)
		}
		if mine.Mode == replay.ModeJournal {
			mine.journalTimes(own)
		} else {
			mine.snapshotTimes()
		}
	}
	return all
}

// rival is the site with which first compares.
func (o *ownWrites) rival() string {
	for site, since := range o.by {
		if since == o.first {
			return site
		}
	}
	return ""
}

func (e *SplitEvidence) side(site string) *SideEvidence {
	for i := range e.Sites {
		if e.Sites[i].Site == site {
			return &e.Sites[i]
		}
	}
	return &SideEvidence{}
}

// shared takes a common point into the evidence: one that names a position or
// a snapshot rather than none, and the later one of those.
func (e *SplitEvidence) shared(c *CommonPoint) {
	switch {
	case c == nil:
	case e.Common == nil,
		e.Common.Position == nil && c.Position != nil,
		e.Common.At != nil && c.At != nil && c.At.After(*e.Common.At):
		e.Common = c
	}
}

// since compares the side's history with another's.
func (s *SideEvidence) since(other *SideEvidence, now time.Time) *ownSince {
	mine, theirs := &s.copy.Image, &other.copy.Image
	if other.mirrored() {
		switch {
		case mine.GlobalID != theirs.GlobalID:
			return unknownSince("the two are not copies of one image")
		case mine.Mode != theirs.Mode:
			return unknownSince("the two are mirrored in different modes")
		}
		if proof := replay.CaughtUp(s.copy, other.copy); proof.Final {
			return &ownSince{
				WritesSince: WritesSince{None: true, Why: other.Site + " holds all that " + s.Site + " had when it was demoted"},
				common:      &CommonPoint{Site: s.Site, Position: proof.PrimaryPosition, Snapshot: proof.PrimarySnapshot, Text: "the demotion of " + s.Site + ", which " + other.Site + " holds"},
			}
		}
	}
	if mine.Mode == replay.ModeSnapshot {
		return s.sinceSnapshot(other, now)
	}
	return s.sincePosition(other)
}

func unknownSince(why string) *ownSince { return &ownSince{WritesSince: WritesSince{Why: why}} }

// sincePosition reads it off the side's journal: what the side appended after
// the other's commit position in it, or after the last epoch in which the side
// itself followed another, whichever is newer.
func (s *SideEvidence) sincePosition(other *SideEvidence) *ownSince {
	j := s.copy.Image.Journal
	if j == nil {
		return unknownSince("the journal of " + s.Site + " could not be read")
	}
	local, ok := j.Client("")
	if !ok {
		return unknownSince("the journal of " + s.Site + " has no local client")
	}
	newest, wrote := local.Newest()
	foreign, followed := newestForeign(j)
	if !wrote || followed && newest.Tag < foreign.TID {
		if !followed {
			return &ownSince{WritesSince: WritesSince{None: true, Why: "nothing was ever written at " + s.Site}}
		}
		return &ownSince{WritesSince: WritesSince{None: true, Why: s.Site + " has only followed"}}
	}
	var reached replay.Position
	replays := false
	if peer, registered := j.Client(other.copy.MirrorUUID); registered && other.copy.MirrorUUID != "" {
		if peer.Syncing {
			return unknownSince(other.Site + " is still in its first sync")
		}
		reached, replays = peer.Newest()
	}
	w := walkBack(j, newest, reached, replays)
	if !w.whole && w.why != "" {
		return unknownSince(w.why)
	}
	since := &ownSince{write: &w.write}
	since.Entries, since.AtLeast = &w.writes, !w.whole
	since.None = w.whole && w.writes == 0 && s.Role != replay.RolePrimary
	if w.atPeer {
		since.common = &CommonPoint{Site: s.Site, Position: &reached, Text: fmt.Sprintf("%s had replayed the journal of %s to %s", other.Site, s.Site, reached)}
		since.Why = "the journal of " + s.Site + " after what " + other.Site + " has committed of it"
	} else {
		since.common = &CommonPoint{Site: s.Site, Text: fmt.Sprintf("%s followed until it was promoted (tag %d of its journal)", s.Site, w.after.Tag)}
		since.Why = "the journal of " + s.Site + " since it was promoted"
		since.promoted = true
	}
	return since
}

// newestForeign is the newest epoch of a journal that another site wrote.
func newestForeign(j *replay.Journal) (newest replay.JournalTag, any bool) {
	for _, t := range j.Tags {
		if !writtenHere(t) && (!any || t.TID > newest.TID) {
			newest, any = t, true
		}
	}
	return newest, any
}

// writtenHere reports whether an epoch's entries were appended at the journal's
// own site: it was primary, or was demoting itself.
func writtenHere(t replay.JournalTag) bool {
	return t.Owner == "" || t.Owner == replay.OwnerOrphan && t.PredecessorOwner == ""
}

// walked is what lies between a journal's end and a point further back.
type walked struct {
	writes uint64          // entries but those that change roles
	after  replay.Position // the point
	write  replay.Position // the last position before the first write
	atPeer bool            // the point is the peer's commit position; else the end of another's epoch
	whole  bool            // the point was reached
	why    string          // why nothing can be said
}

// endOfEpoch is behind every entry of an epoch.
const endOfEpoch = math.MaxUint64 >> 1

// walkBack counts a journal's entries from its newest back to a peer's commit
// position or to an epoch that another site wrote. The first entry of a time as
// primary that follows on another's, and all of a demotion's epoch, are changes
// of role (librbd/journal/PromoteRequest.cc, DemoteRequest.cc).
func walkBack(j *replay.Journal, at, reached replay.Position, replays bool) walked {
	var w walked
	var begun *replay.JournalTag // the epoch that was counted last
	for {
		if replays && (at.Tag < reached.Tag || at.Tag == reached.Tag && at.Entry <= reached.Entry) {
			w.after, w.write, w.atPeer, w.whole = reached, reached, true, true
			return w
		}
		tag, known := journalTag(j, at.Tag)
		if !known {
			w.writes += at.Entry + 1
			return w
		}
		if !writtenHere(tag) {
			w.after = replay.Position{Tag: tag.TID, Entry: endOfEpoch}
			w.write, w.whole = w.after, true
			if begun != nil && begun.Owner == "" {
				w.write = replay.Position{Tag: begun.TID}
				w.writes -= min(w.writes, 1)
			}
			return w
		}
		first := uint64(0)
		if replays && at.Tag == reached.Tag {
			first = reached.Entry + 1
		}
		if tag.Owner == "" {
			w.writes += at.Entry + 1 - first
		}
		begun = &tag
		switch {
		case first > 0:
			at = reached
		case !tag.CommitValid && !replays:
			w.why = "the other side is not registered in the journal, so what it has of it is not known"
			return w
		case !tag.CommitValid:
			w.after, w.write, w.atPeer, w.whole = reached, reached, true, true
			return w
		case tag.PredecessorTag >= at.Tag:
			return w // no sane chain
		default:
			at = replay.Position{Tag: tag.PredecessorTag, Entry: tag.PredecessorEntry}
		}
	}
}

func journalTag(j *replay.Journal, tid uint64) (replay.JournalTag, bool) {
	for _, t := range j.Tags {
		if t.TID == tid {
			return t, true
		}
	}
	return replay.JournalTag{}, false
}

// journalTimes finds where to look for the times at which the side took its
// role, and was last written.
func (s *SideEvidence) journalTimes(own *ownWrites) {
	j := s.copy.Image.Journal
	if j == nil {
		return
	}
	foreign, followed := newestForeign(j)
	switch {
	case s.Role == replay.RolePrimary && followed:
		own.start = &replay.Position{Tag: foreign.TID, Entry: endOfEpoch}
	case s.Role == replay.RolePrimary && j.MinimumSet == 0:
		own.start, s.SinceBefore = &replay.Position{}, true // from its first entry on
	case s.Demoted:
		if tag, ok := newestTag(j); ok && tag.Owner == replay.OwnerOrphan && writtenHere(tag) && tag.CommitValid {
			own.start = &replay.Position{Tag: tag.PredecessorTag, Entry: tag.PredecessorEntry}
		}
	}
	local, _ := j.Client("")
	newest, wrote := local.Newest()
	if !wrote || followed && newest.Tag < foreign.TID {
		return
	}
	tag, known := journalTag(j, newest.Tag)
	if known && tag.Owner == replay.OwnerOrphan {
		// Its newest entry is the demotion: the last write is the one before that.
		if !tag.CommitValid || j.MinimumSet > 0 {
			return
		}
		newest = replay.Position{Tag: tag.PredecessorTag, Entry: tag.PredecessorEntry}
		if followed && newest.Tag <= foreign.TID {
			return
		}
		tag, known = journalTag(j, newest.Tag)
	}
	switch {
	case newest.Entry > 0:
		own.last = &replay.Position{Object: newest.Object, Tag: newest.Tag, Entry: newest.Entry - 1}
	case known && tag.CommitValid && tag.PredecessorTag < newest.Tag:
		own.last = &replay.Position{Object: newest.Object, Tag: tag.PredecessorTag, Entry: endOfEpoch}
	}
}

func newestTag(j *replay.Journal) (newest replay.JournalTag, any bool) {
	for _, t := range j.Tags {
		if !any || t.TID > newest.TID {
			newest, any = t, true
		}
	}
	return newest, any
}

// measure asks the side's journal for times and bytes.
func (s *SideEvidence) measure(ctx context.Context, ref replay.ImageRef, own *ownWrites) {
	if !s.mirrored() || own == nil {
		return
	}
	if s.Mode == replay.ModeJournal {
		if s.Since = s.appended(ctx, ref, own.start); s.Since == nil {
			s.SinceBefore = false
		}
		s.LastWrite = s.appended(ctx, ref, own.last)
		for _, since := range own.by {
			s.weigh(ctx, ref, since)
		}
		if own.first != nil && s.Since == nil && s.Role == replay.RolePrimary && own.first.promoted {
			// librbd leaves the time out of the entry for a promotion
			// (librbd/journal/PromoteRequest.cc); the first write came after it.
			s.Since, s.SinceBefore = own.first.First, own.first.First != nil
		}
	}
	if own.first != nil {
		s.Writes = own.first.WritesSince
	}
}

// appended is when the first entry after a position was; nil when that is not
// known.
func (s *SideEvidence) appended(ctx context.Context, ref replay.ImageRef, after *replay.Position) *time.Time {
	if after == nil {
		return nil
	}
	at, ok, err := s.site.AppendTime(ctx, ref, *after)
	if err != nil || !ok {
		return nil
	}
	at = at.UTC()
	return &at
}

// weigh measures the bytes and the time of what the journal tells.
func (s *SideEvidence) weigh(ctx context.Context, ref replay.ImageRef, since *ownSince) {
	switch {
	case since.write == nil:
		return
	case since.None:
		since.Bytes, since.Seconds = new(uint64), new(float64)
		return
	}
	if n, ok, err := s.site.BytesAfter(ctx, ref, *since.write); err == nil && ok {
		since.Bytes = &n
	}
	since.First = s.appended(ctx, ref, since.write)
	if since.First != nil && s.LastWrite != nil {
		span := max(s.LastWrite.Sub(*since.First), 0).Seconds()
		since.Seconds = &span
	}
	if !since.AtLeast && *since.Entries == 0 && since.Bytes != nil && *since.Bytes == 0 {
		// Not even what the client has yet to commit.
		since.None, since.Seconds = true, new(float64)
		since.Why = "its journal holds no write after the last common point"
	}
}
