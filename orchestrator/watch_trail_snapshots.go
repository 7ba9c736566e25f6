package orchestrator

import (
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// stillTime is for how long a copy in snapshot mode must have come no further, in
// trailChecks checks at least, until that is told. While one is copied each object
// counts as movement, but what differs is found out first, without a sign: where the
// last sync as a whole took longer than that, as long is waited for.
const stillTime = 5 * time.Minute

// still is since when a copy in snapshot mode has come no further.
type still struct {
	mark   snapshotMark
	since  time.Time // zero: nothing waits for it
	checks int       // in which it was seen to stand still
}

// snapshotMark is all by which a copy in snapshot mode is seen to move.
type snapshotMark struct {
	id      string // of the image: a resync gives it another
	held    uint64 // newest of the primary's mirror snapshots that it holds whole
	copying uint64 // the one that is being copied; 0: none
	object  uint64 // how far that is
	percent float64
	bytes   int64 // of the last one that was copied
}

// markOf is how far a copy is.
func markOf(primary, s *replay.SiteEvidence) snapshotMark {
	m := snapshotMark{id: s.Image.ID, percent: syncPercent(s)}
	for i := range s.Image.Snapshots {
		mirror := s.Image.Snapshots[i].Mirror
		switch {
		case mirror == nil || mirror.PrimaryUUID != primary.Pool.UUID:
		case mirror.Complete:
			m.held = max(m.held, mirror.PrimaryID)
		default:
			m.copying, m.object = mirror.PrimaryID, mirror.LastCopiedObject
		}
	}
	if r := ownReport(s); r != nil && r.Progress != nil && r.Progress.LastSnapshotBytes != nil {
		m.bytes = *r.Progress.LastSnapshotBytes
	}
	return m
}

// begun reports whether a snapshot's copy has its turn: rbd-mirror makes only some
// at a time (rbd_mirror_concurrent_image_syncs).
func (m *snapshotMark) begun() bool { return m.object > 0 || m.percent > 0 }

// waiting are the primary's mirror snapshots that a copy is still to get, the oldest
// first. One that is not complete nobody ever copies, nor one that was not taken for
// this peer.
func waiting(primary, s *replay.SiteEvidence, held uint64) []replay.Snapshot {
	peer := ""
	for _, p := range primary.Pool.Peers {
		if p.MirrorUUID != "" && p.MirrorUUID == s.Pool.UUID {
			peer = p.UUID
		}
	}
	return slices.DeleteFunc(slices.Clone(primary.Image.Snapshots), func(sn replay.Snapshot) bool {
		m := sn.Mirror
		if m == nil || m.State != replay.SnapPrimary || !m.Complete || sn.ID <= held {
			return true
		}
		return len(m.Peers) == 0 || peer != "" && !slices.Contains(m.Peers, peer)
	})
}

// standsBySnapshots tells of a copy in snapshot mode that stands still although its
// daemon says that it replays, and since when; zero: it does not.
func (t *trails) standsBySnapshots(plan *plans.Plan, primary, s *replay.SiteEvidence, e *replay.Evidence) (one alert.Signal, since time.Time) {
	k := &t.of(e.Ref, s.Site).still
	report := ownReport(s)
	if s.Image == nil || s.Image.Mode != replay.ModeSnapshot || report == nil || report.State != replay.ReportReplaying {
		*k = still{}
		return one, since
	}
	mark := markOf(primary, s)
	awaited := waiting(primary, s, mark.held)
	switch {
	case len(awaited) == 0:
		*k = still{}
		return one, since
	case k.since.IsZero() || mark != k.mark:
		if !k.since.IsZero() && mark.copying != 0 {
			t.copied[s.Site] = t.check
		}
		*k = still{mark: mark, since: e.Now}
		return one, since
	case t.itsTurnComes(report, &mark, s.Site):
		k.since, k.checks = e.Now, 0
		return one, since
	}
	k.checks++
	patience := stillTime
	if p := report.Progress; p != nil && p.LastSyncSeconds != nil {
		patience = max(patience, time.Duration(*p.LastSyncSeconds*float64(time.Second)))
	}
	if k.checks < trailChecks || e.Now.Sub(k.since) < patience {
		return one, since
	}
	what := fmt.Sprintf("rbd-mirror at %s says that it replays, but has come no further for %v, and is still to take %s of %s: the oldest is %v old",
		s.Site, e.Now.Sub(k.since).Round(time.Second), plural(uint64(len(awaited)), "mirror snapshot", "mirror snapshots"),
		primary.Site, e.Now.Sub(awaited[0].Created).Round(time.Second))
	return signal(SignalReplayStuck, s.Site, what, stuckNext(plan, s.Site)), k.since
}

// itsTurnComes reports whether a copy only waits until others at its site are done,
// which move.
func (t *trails) itsTurnComes(report *replay.Report, m *snapshotMark, site string) bool {
	syncs := report.Progress != nil && report.Progress.ReplayState == "syncing"
	last, some := t.copied[site]
	return syncs && !m.begun() && some && t.check-last < trailChecks
}
