package orchestrator

import (
	"context"
	"fmt"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

const (
	// trailChecks is over how many checks, and trailTime for how long, a reader must
	// stand still while the journal grows until that is told. rbd-mirror polls, and
	// commits what it has read, every 5 s.
	trailChecks = 3
	trailTime   = 30 * time.Second
)

// trailKey is one copy of one image.
type trailKey struct {
	ref  replay.ImageRef
	site string
}

// trail is how a copy has moved over the last checks.
type trail struct {
	check int // in which it was seen last

	written, read replay.Position // by the primary; by the copy
	since         time.Time       // since when read is what it is
	grown         int             // in how many checks written has risen since

	percent float64 // of the first sync
	stuck   time.Time

	still still // in snapshot mode
}

// trails are those of all copies. They are kept in memory only: whoever begins to
// watch learns them anew within a few checks.
type trails struct {
	check  int
	copies map[trailKey]*trail
	uuids  map[trailKey]string // of a site's pool, for while it is silent; without image
	copied map[string]int      // the check in which a snapshot's copy last moved at a site
	hoards map[trailKey]*hoard // of the primaries' journals
}

// of is the trail of a copy, marked as seen.
func (t *trails) of(ref replay.ImageRef, site string) *trail {
	if t.copies == nil {
		t.copies, t.uuids, t.copied, t.hoards = map[trailKey]*trail{}, map[trailKey]string{}, map[string]int{}, map[trailKey]*hoard{}
	}
	key := trailKey{ref, site}
	k := t.copies[key]
	if k == nil {
		k = &trail{percent: -1}
		t.copies[key] = k
	}
	k.check = t.check
	return k
}

// recall begins a check, and tells the evidence since when first syncs have come no
// further; the verdict says when that is too long.
func (t *trails) recall(evidence []replay.Evidence) {
	t.check++
	for i := range evidence {
		e := &evidence[i]
		for j := range e.Sites {
			s := &e.Sites[j]
			k := t.of(e.Ref, s.Site)
			percent := syncPercent(s)
			if percent < 0 || percent != k.percent {
				k.percent, k.stuck = percent, e.Now
			}
			if percent >= 0 {
				s.SyncStuckSince = k.stuck
			}
		}
	}
	for key, k := range t.copies {
		if k.check != t.check {
			delete(t.copies, key)
		}
	}
	for key, h := range t.hoards {
		if h.check < t.check-1 {
			delete(t.hoards, key)
		}
	}
}

// syncPercent is how far the site's own daemon says that a copy is; negative where it
// says nothing of the kind.
func syncPercent(s *replay.SiteEvidence) float64 {
	if r := ownReport(s); r != nil && r.Progress != nil && r.Progress.SyncPercent != nil {
		return *r.Progress.SyncPercent
	}
	return -1
}

// ownReport is what the site's own daemon says, which is alive; nil: nothing.
func ownReport(s *replay.SiteEvidence) *replay.Report {
	for i := range s.Reports {
		if r := &s.Reports[i]; (r.MirrorUUID == "" || r.MirrorUUID == s.Pool.UUID) && r.Up {
			return r
		}
	}
	return nil
}

// look ends a check: it tells of copies that do not move while their primary is
// written to, and of the pools that fill up for it.
func (t *trails) look(ctx context.Context, plan *plans.Plan, sites *Sites, seen *sight) []alert.Signal {
	statuses := make(map[replay.ImageRef]*ImageStatus, len(seen.report.Images))
	for i := range seen.report.Images {
		statuses[seen.report.Images[i].Ref] = &seen.report.Images[i]
	}
	var out []alert.Signal
	full, held := newFilling(plan), map[int]fillingKey{}
	for i := range seen.evidence {
		e := &seen.evidence[i]
		t.learn(e)
		status := statuses[e.Ref]
		primary := onePrimary(e)
		if primary == nil || status == nil || status.Run != "" {
			continue
		}
		hoard := t.hoard(e, primary)
		counted := false
		for j := range e.Sites {
			s := &e.Sites[j]
			if s == primary {
				continue
			}
			one, since := t.stands(plan, primary, s, e)
			if !since.IsZero() {
				one.Image, one.Details, one.Rank = e.Ref.String(), roleDetails(plan, status.Roles), e.Now.Sub(since).Seconds()
				out = append(out, one)
			}
			if !since.IsZero() && hoard != nil {
				held[len(out)-1] = full.keyOf(e.Ref, primary.Site)
				if !counted {
					full.add(e.Ref, primary.Site, primary.Image.Journal, hoard, e.Now)
				}
				counted = true
			}
		}
	}
	full.measure(ctx, sites, seen.report)
	for i, key := range held {
		if out[i].Code == SignalJournalHeld {
			out[i].What += full.pools[key].words(key.site)
		}
	}
	return out
}

// hoard is what is known of the primary's journal, this check included; nil: it has
// none.
func (t *trails) hoard(e *replay.Evidence, primary *replay.SiteEvidence) *hoard {
	if primary.Image.Journal == nil {
		return nil
	}
	key := trailKey{e.Ref, primary.Site}
	h := t.hoards[key]
	if h == nil {
		h = &hoard{}
		t.hoards[key] = h
	}
	h.check = t.check
	h.note(primary.Image.Journal, e.Now)
	return h
}

// stands tells of one copy that stands still, and since when; zero: it does not, or
// not for long enough.
func (t *trails) stands(plan *plans.Plan, primary, s *replay.SiteEvidence, e *replay.Evidence) (one alert.Signal, since time.Time) {
	k := t.of(e.Ref, s.Site)
	switch {
	case primary.Image.Journal != nil:
		if k.follow(primary.Image.Journal, t.uuid(e, s), e.Now) && e.Now.Sub(k.since) >= trailTime && k.grown >= trailChecks {
			return k.signal(plan, primary, s, e), k.since
		}
	case primary.Image.Mode == replay.ModeSnapshot && s.Err == nil:
		return t.standsBySnapshots(plan, primary, s, e)
	}
	return one, since
}

// learn keeps the mirror uuids by which journals name the sites.
func (t *trails) learn(e *replay.Evidence) {
	for i := range e.Sites {
		if s := &e.Sites[i]; s.Err == nil && s.Pool.UUID != "" {
			t.uuids[trailKey{replay.ImageRef{Pool: e.Ref.Pool}, s.Site}] = s.Pool.UUID
		}
	}
}

// uuid is that of a site's pool; of two sites, a silent one is the other's only
// reader.
func (t *trails) uuid(e *replay.Evidence, s *replay.SiteEvidence) string {
	uuid := t.uuids[trailKey{replay.ImageRef{Pool: e.Ref.Pool}, s.Site}]
	if primary := onePrimary(e); uuid == "" && len(e.Sites) == 2 {
		if only, ok := onlyPeer(primary.Image); ok {
			return only
		}
	}
	return uuid
}

// onePrimary is what the only primary's site says; nil where there is no such.
func onePrimary(e *replay.Evidence) (primary *replay.SiteEvidence) {
	for i := range e.Sites {
		if s := &e.Sites[i]; s.Err == nil && s.Image != nil && s.Image.Role == replay.RolePrimary {
			if primary != nil {
				return nil
			}
			primary = s
		}
	}
	return primary
}

// follow notes how far journal and reader are, and reports whether the reader is
// behind and stands still.
func (k *trail) follow(journal *replay.Journal, uuid string, now time.Time) bool {
	reader, known := journal.Client(uuid)
	own, _ := journal.Client("")
	written, any := own.Newest()
	if uuid == "" || !known || !any || reader.Syncing || reader.Disconnected {
		k.since, k.grown = time.Time{}, 0
		return false
	}
	read, _ := reader.Newest()
	if k.since.IsZero() || read != k.read || sameEntry(read, written) {
		k.since, k.grown = now, 0
	} else if !sameEntry(written, k.written) {
		k.grown++
	}
	k.written, k.read = written, read
	return !sameEntry(read, written)
}

func sameEntry(a, b replay.Position) bool { return a.Tag == b.Tag && a.Entry == b.Entry }

func stuckNext(plan *plans.Plan, site string) string {
	return "read rbd-mirror's log at " + site + "; restart it there; drover status " + plan.File
}

// signal tells of a copy that stands still: as one that says that it replays, or as
// one that is gone.
func (k *trail) signal(plan *plans.Plan, primary, s *replay.SiteEvidence, e *replay.Evidence) alert.Signal {
	since := e.Now.Sub(k.since).Round(time.Second)
	behind := "an unknown number of entries"
	if k.written.Tag == k.read.Tag && k.written.Entry > k.read.Entry {
		behind = plural(k.written.Entry-k.read.Entry, "entry", "entries")
	}
	if r := ownReport(s); s.Err == nil && r != nil && r.State == replay.ReportReplaying {
		return signal(SignalReplayStuck, s.Site,
			fmt.Sprintf("rbd-mirror at %s says that it replays, but has come no further for %v, while %s is being written: %s behind", s.Site, since, primary.Site, behind),
			stuckNext(plan, s.Site))
	}
	held := heldSets(primary.Image.Journal) * setSize(primary.Image.Journal)
	return signal(SignalJournalHeld, primary.Site,
		fmt.Sprintf("the journal at %s grows: %s has read nothing of it for %v and is %s behind; up to %s are held", primary.Site, s.Site, since, behind, sizeText(held)),
		"bring "+s.Site+" back; see that the pool at "+primary.Site+" does not fill up (ceph df); rbd journal client disconnect there gives the copy up, which wants a resync")
}
