package replay

import (
	"encoding/json"
	"time"
)

// Lag is how far a secondary is behind its primary. A nil number is not known.
type Lag struct {
	// Entries are journal entries (journal mode).
	Entries *int64
	// Bytes are bytes of writes that the secondary does not hold yet.
	Bytes *int64
	// Seconds is how much time of writes would be lost if the primary were lost
	// now: the RPO. Journal mode: the age of the oldest entry that the
	// secondary has not committed; zero when it has all. Snapshot mode: the age
	// of the newest snapshot that the secondary holds whole, even where nothing
	// was written since: a bound, as nobody can tell.
	Seconds *time.Duration //nolint:staticcheck // the field's word: lag is told in entries, bytes and seconds
	// CaughtUp: nothing that is known of is missing (see [CaughtUp]).
	CaughtUp bool
	// Exact: from what both images hold. Otherwise from the daemon's last
	// report: numbers as old as that, and Seconds an upper bound.
	Exact bool
}

// lagJSON is Lag as JSON: seconds as a number.
type lagJSON struct {
	Entries  *int64   `json:"entries,omitempty"`
	Bytes    *int64   `json:"bytes,omitempty"`
	Seconds  *float64 `json:"seconds,omitempty"`
	CaughtUp bool     `json:"caught_up"`
	Exact    bool     `json:"exact"`
}

// MarshalJSON writes seconds as a number.
func (l Lag) MarshalJSON() ([]byte, error) {
	out := lagJSON{Entries: l.Entries, Bytes: l.Bytes, CaughtUp: l.CaughtUp, Exact: l.Exact}
	if l.Seconds != nil {
		s := l.Seconds.Seconds()
		out.Seconds = &s
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (l *Lag) UnmarshalJSON(data []byte) error {
	var in lagJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*l = Lag{Entries: in.Entries, Bytes: in.Bytes, CaughtUp: in.CaughtUp, Exact: in.Exact}
	if in.Seconds != nil {
		d := time.Duration(*in.Seconds * float64(time.Second))
		l.Seconds = &d
	}
	return nil
}

// LagInput is what lag is measured from.
type LagInput struct {
	// Primary and Secondary are the copies, read WithPositions; nil where the
	// site does not answer or has none.
	Primary, Secondary *Copy
	// Report is the secondary's daemon's; nil when there is none. It only counts
	// where the copies do not tell.
	Report *Report
	// Appended is [Mirroring].AppendTime's answer for the position that
	// [Uncommitted] asks for; nil when not asked or ok was false.
	Appended *time.Time
	// Bytes are the bytes behind, where somebody counted them.
	Bytes *int64
	Now   time.Time
}

// MeasureLag tells how far the secondary is behind.
func MeasureLag(in LagInput) Lag {
	if in.Primary == nil || in.Secondary == nil || notACopy(*in.Primary, *in.Secondary) != "" {
		return lagFromReport(in)
	}
	if in.Primary.Image.Mode == ModeSnapshot {
		return lagOfSnapshots(in)
	}
	return lagOfJournal(in)
}

// Uncommitted is the position at the primary after which the secondary has
// committed nothing: what [Mirroring].AppendTime is to be asked at the primary.
// ask is false where there is nothing to ask: caught up, snapshot mode,
// positions unknown.
func Uncommitted(primary, secondary Copy) (after Position, ask bool) {
	if notACopy(primary, secondary) != "" || primary.Image.Mode != ModeJournal || primary.Image.Journal == nil {
		return Position{}, false
	}
	peer, registered := primary.Image.Journal.Client(secondary.MirrorUUID)
	if !registered || peer.Syncing || CaughtUp(primary, secondary).OK {
		return Position{}, false
	}
	after, _ = peer.Newest()
	return after, true
}

func lagOfJournal(in LagInput) Lag {
	journal := in.Primary.Image.Journal
	if journal == nil {
		return lagFromReport(in)
	}
	peer, registered := journal.Client(in.Secondary.MirrorUUID)
	if !registered || peer.Syncing {
		return Lag{Exact: true} // it has no state of any time yet
	}
	lag := Lag{Exact: true, CaughtUp: CaughtUp(*in.Primary, *in.Secondary).OK}
	entries, complete := entriesBehind(journal, peer)
	lag.Entries, lag.Exact = &entries, complete
	switch {
	case lag.CaughtUp:
		lag.Seconds, lag.Bytes = new(time.Duration), new(int64)
	case in.Appended != nil:
		age := max(in.Now.Sub(*in.Appended), 0) // the writer's clock may be ahead
		lag.Seconds, lag.Bytes = &age, in.Bytes
	}
	return lag
}

// entriesBehind counts the entries from the peer's commit position to the
// primary's own. Entries are numbered from zero within each tag, so the count
// follows the tags back by their predecessors (which skips the tags that got no
// entry) until it comes to the peer's. complete is false when the tags at hand
// do not go back that far: the count is then a lower bound.
func entriesBehind(j *Journal, peer JournalClient) (count int64, complete bool) {
	local, _ := j.Client("")
	at, ok := local.Newest()
	if !ok {
		return 0, true
	}
	reached, any := peer.Newest()
	for !any || at.Tag > reached.Tag {
		tag, known := j.tag(at.Tag)
		switch {
		case !known:
			return count + int64(at.Entry) + 1, false
		case !tag.local():
			return count, true // another site's time as primary: its entries never were in this journal
		}
		count += int64(at.Entry) + 1
		if !tag.CommitValid {
			return count, true // the first entries of all
		}
		if tag.PredecessorTag >= at.Tag {
			return count, false // no sane chain: do not follow it in circles
		}
		at = Position{Tag: tag.PredecessorTag, Entry: tag.PredecessorEntry}
	}
	if at.Tag == reached.Tag && at.Entry > reached.Entry {
		count += int64(at.Entry - reached.Entry)
	}
	return count, true
}

// local reports whether the tag's entries were appended here: this site was the
// primary, or was demoting itself.
func (t JournalTag) local() bool {
	return t.Owner == "" || t.Owner == OwnerOrphan && t.PredecessorOwner == ""
}

func (j *Journal) tag(tid uint64) (JournalTag, bool) {
	for _, tag := range j.Tags {
		if tag.TID == tid {
			return tag, true
		}
	}
	return JournalTag{}, false
}

func lagOfSnapshots(in LagInput) Lag {
	proof := CaughtUp(*in.Primary, *in.Secondary)
	lag := Lag{Exact: true, CaughtUp: proof.OK}
	if proof.Final {
		lag.Seconds, lag.Bytes = new(time.Duration), new(int64)
		return lag
	}
	held, ok := newestHeld(*in.Primary, *in.Secondary)
	if ok {
		age := max(in.Now.Sub(held.Created), 0)
		lag.Seconds, lag.Bytes = &age, in.Bytes
		return lag
	}
	// The primary has removed that snapshot since the secondary was read, or
	// there is none yet: the report may know its time.
	fallback := lagFromReport(in)
	fallback.CaughtUp = false
	return fallback
}

// newestHeld is the newest of the primary's mirror snapshots of which the
// secondary has a complete copy.
func newestHeld(primary, secondary Copy) (held Snapshot, ok bool) {
	complete := map[uint64]bool{}
	for _, s := range secondary.Image.Snapshots {
		if s.Mirror != nil && s.Mirror.Complete && s.Mirror.PrimaryUUID == primary.MirrorUUID {
			complete[s.Mirror.PrimaryID] = true
		}
	}
	for _, s := range primary.Image.Snapshots {
		if s.Mirror != nil && complete[s.ID] && (!ok || s.ID > held.ID) {
			held, ok = s, true
		}
	}
	return held, ok
}

// lagFromReport is for when the primary does not answer, which is when a person
// most wants to know. What the secondary's daemon last said holds for the time
// when it said so; all later may be lost.
func lagFromReport(in LagInput) Lag {
	if in.Report == nil || in.Report.Progress == nil {
		return Lag{}
	}
	p := in.Report.Progress
	lag := Lag{Entries: p.EntriesBehind}
	switch {
	case p.LocalSnapshot != nil:
		age := max(in.Now.Sub(*p.LocalSnapshot), 0)
		lag.Seconds = &age
	case p.EntriesBehind != nil && *p.EntriesBehind == 0 && !in.Report.Updated.IsZero():
		age := max(in.Now.Sub(in.Report.Updated), 0)
		lag.Seconds = &age
	}
	return lag
}
