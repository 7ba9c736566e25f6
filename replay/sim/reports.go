package sim

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
)

// report is what a daemon last wrote about an image into one cluster.
type report struct {
	Site     string             `json:"site"` // whose daemon it was
	Instance uint64             `json:"instance"`
	Peer     string             `json:"peer,omitempty"` // of that daemon, as it was ([peer.spec])
	State    replay.ReportState `json:"state"`
	Text     string             `json:"text"`
	Updated  time.Time          `json:"updated"`

	progress *replay.Progress
	decoded  string // the text that progress was decoded from
}

// report writes about an image here and at the source. An empty text is that
// of replay under way.
func (r *route) report(local *image, state replay.ReportState, text string) {
	r.reportID(local.Mirror.GlobalID, state, text)
}

func (r *route) reportID(id string, state replay.ReportState, text string) {
	r.put(r.n, id, "", state, text)
	if r.f.globals[id] != nil {
		r.put(r.f, id, r.n.uuid(), state, text)
	}
}

func (r *route) put(n *namespace, id, by string, state replay.ReportState, text string) {
	reports := n.Reports[id]
	if reports == nil {
		reports = map[string]*report{}
		n.Reports[id] = reports
	}
	old := reports[by]
	via := r.n.source().spec()
	if old != nil && old.State == state && old.Instance == r.c.Daemon.Instance && old.Peer == via && (text == "" || old.Text == text) {
		return
	}
	rep := &report{Site: r.c.Name, Instance: r.c.Daemon.Instance, Peer: via, State: state, Text: text, Updated: r.w.state.Stepped}
	if text == "" {
		rep.Text = r.replayingText(id)
	}
	reports[by] = rep
}

// Reports lists what daemons wrote about each mirrored image of the pool.
func (s *Site) Reports(ctx context.Context, pool replay.Pool) (out []replay.Report, err error) {
	err = s.do(ctx, "Reports", pool.String(), func(c *cluster) error {
		n, err := c.mustSpace(pool)
		if err != nil {
			return err
		}
		for _, i := range n.byName() {
			if i.Mirror == nil {
				continue
			}
			ref, id := pool.Image(i.Name), i.Mirror.GlobalID
			by := n.Reports[id]
			if by[""] == nil {
				out = append(out, replay.Report{
					Ref: ref, GlobalID: id, State: replay.ReportStatusNotFound, Description: "status not found",
				})
			}
			for _, uuid := range slices.Sorted(maps.Keys(by)) {
				out = append(out, s.w.shownReport(pool, by[uuid], ref, id, uuid))
			}
		}
		return nil
	})
	return out, err
}

func (w *World) shownReport(pool replay.Pool, r *report, ref replay.ImageRef, id, uuid string) replay.Report {
	from := w.site(r.Site)
	up := from != nil && w.isUp(from, pool, r)
	if up && from.Daemon.Running && from.Daemon.nextCheck(r.Updated, w.pace.Check).Before(w.state.Now) {
		w.renew(from, pool, r, id)
	}
	if r.decoded != r.Text {
		r.progress, r.decoded = replay.DecodeProgress(r.Text), r.Text
	}
	return replay.Report{
		Ref: ref, GlobalID: id, MirrorUUID: uuid, State: r.State, Up: up,
		Description: r.Text, Updated: r.Updated, Progress: r.progress,
	}
}

// isUp reports whether the pool replayer that wrote a report still lives: it ends with
// the daemon, and is replaced by another when its peer changes
// (tools/rbd_mirror/Mirror.cc: update_pool_replayers).
func (w *World) isUp(c *cluster, pool replay.Pool, r *report) bool {
	n := c.space(pool)
	if n == nil || c.Daemon.Instance != r.Instance || !c.Daemon.alive(w.state.Now) {
		return false
	}
	from := n.source()
	return from != nil && from.spec() == r.Peer
}

// renew is what a daemon does to all its reports when it checks.
func (w *World) renew(c *cluster, pool replay.Pool, r *report, id string) {
	n := c.space(pool)
	if n == nil {
		return
	}
	route := w.route(c, c.pool(pool.Name), n)
	if route == nil {
		return
	}
	// That was at the last check before now.
	r.Updated = later(r.Updated, c.Daemon.nextCheck(w.state.Now, w.pace.Check).Add(-w.pace.Check))
	if r.State == replay.ReportReplaying {
		r.Text = route.replayingText(id)
	}
}

// replayingText is the text of a daemon that replays
// (image_replayer/journal/ReplayStatusFormatter.cc,
// image_replayer/snapshot/Replayer.cc: get_replay_status).
func (r *route) replayingText(id string) string {
	local, remote := r.n.globals[id], r.f.globals[id]
	if local == nil || remote == nil || local.Mirror.Mode != remote.Mirror.Mode {
		return "replaying"
	}
	var fields map[string]any
	if local.Mirror.Mode == replay.ModeJournal {
		fields = r.journalFields(local, remote)
	} else {
		fields = r.snapshotFields(local, remote)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return "replaying"
	}
	return "replaying, " + string(text)
}

func (r *route) journalFields(local, remote *image) map[string]any {
	behind := max(remote.Journal.behind(local.Journal), 0)
	fields := map[string]any{
		"bytes_per_second": 0.0, "entries_per_second": 0.0, "entries_behind_primary": behind,
		"primary_position": map[string]any{}, "non_primary_position": map[string]any{},
	}
	if p, ok := remote.Journal.newest(); ok {
		fields["primary_position"] = p
	}
	if reader := remote.Journal.reader(r.n.uuid()); reader != nil {
		if p, ok := remote.Journal.position(reader.Epoch, reader.Entries); ok {
			fields["non_primary_position"] = p
		}
	}
	if speed := r.speed(); behind > 0 && speed > 0 {
		lag := remote.Journal.lagBytes(local.Journal)
		fields["bytes_per_second"] = float64(speed)
		fields["entries_per_second"] = float64(speed) * float64(behind) / float64(max(lag, 1))
		fields["seconds_until_synced"] = lag / speed
	}
	return fields
}

// lagBytes is the size of the events that a copy lacks.
func (j *journal) lagBytes(copied *journal) int64 {
	at, pending, held := j.after(copied)
	if !pending || !held {
		return 0
	}
	var sum int64
	for _, e := range j.Log[at:] {
		sum += e.bytes()
	}
	return sum
}

// speed is the daemon's pace in bytes per second; negative: no limit.
func (r *route) speed() int64 {
	if r.c.Daemon.Rate != 0 {
		return r.c.Daemon.Rate
	}
	return r.w.pace.Rate
}

func (r *route) snapshotFields(local, remote *image) map[string]any {
	fields := map[string]any{
		"replay_state": "idle", "bytes_per_second": 0.0, "bytes_per_snapshot": float64(local.Mirror.LastBytes),
		"last_snapshot_bytes": local.Mirror.LastBytes, "last_snapshot_sync_seconds": 0,
	}
	if sn := remote.newestMirror(); sn != nil {
		fields["remote_snapshot_timestamp"] = sn.Created.Unix()
	}
	if sn := local.newestComplete(); sn != nil {
		fields["local_snapshot_timestamp"] = sn.Mirror.RemoteAt.Unix()
	}
	if sn := local.newestMirror(); sn != nil && !sn.Mirror.Complete {
		fields["replay_state"] = "syncing"
		fields["syncing_percent"] = sn.Mirror.Copy.percent()
		fields["syncing_snapshot_timestamp"] = sn.Mirror.RemoteAt.Unix()
		if speed := r.speed(); speed > 0 {
			fields["bytes_per_second"] = float64(speed)
			fields["seconds_until_synced"] = (sn.Mirror.Copy.Total - sn.Mirror.Copy.Done) / speed
		}
	}
	return fields
}
