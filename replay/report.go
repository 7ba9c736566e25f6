package replay

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// ReportState is the state in an rbd-mirror daemon's report of an image
// (mirror_image_status_state_t).
type ReportState string

// The states, in the words of `rbd mirror image status`.
const (
	ReportUnknown        ReportState = "unknown"
	ReportError          ReportState = "error"
	ReportSyncing        ReportState = "syncing"
	ReportStartingReplay ReportState = "starting_replay"
	ReportReplaying      ReportState = "replaying"
	ReportStoppingReplay ReportState = "stopping_replay"
	ReportStopped        ReportState = "stopped"
	ReportStatusNotFound ReportState = "not found" // no report at all
)

// Report is what one daemon last wrote about one image. It lags, its text
// varies by version, and it may be older than the daemon: never take a role or
// a success from it.
type Report struct {
	Ref      ImageRef `json:"ref"`
	GlobalID string   `json:"global_id"`
	// MirrorUUID names the reporting site's pool; "" is the site asked.
	MirrorUUID  string      `json:"mirror_uuid,omitempty"`
	State       ReportState `json:"state"`
	Up          bool        `json:"up"` // the reporting daemon is alive
	Description string      `json:"description"`
	Updated     time.Time   `json:"updated"`
	Progress    *Progress   `json:"progress,omitempty"` // decoded from Description
}

// Watched reports whether a daemon of the site that was asked wrote the report and still
// watches the pool, though it may hang. The watch of one that was killed lasts for another
// 30 s (cls_rbd: image_status_get; osd_client_watch_timeout).
func (r Report) Watched() bool { return r.Up && r.MirrorUUID == "" }

// Alive reports whether the report proves that a daemon served the pool at the site that
// was asked a moment ago: it is watched, and was written not long before, as they are
// anew every 30 s.
func (r Report) Alive(now time.Time) bool {
	return r.Watched() && !olderThan(r.Updated, now, reportAge)
}

// Progress is how far replay is, of either mode; a nil number was not told.
type Progress struct {
	Mode MirrorMode `json:"mode"`

	// Journal mode.
	EntriesBehind    *int64    `json:"entries_behind,omitempty"`
	EntriesPerSecond *float64  `json:"entries_per_second,omitempty"`
	Primary          *Position `json:"primary_position,omitempty"`
	Secondary        *Position `json:"secondary_position,omitempty"`

	// Snapshot mode.
	ReplayState       string     `json:"replay_state,omitempty"` // idle, syncing
	LocalSnapshot     *time.Time `json:"local_snapshot,omitempty"`
	RemoteSnapshot    *time.Time `json:"remote_snapshot,omitempty"`
	BytesPerSnapshot  *float64   `json:"bytes_per_snapshot,omitempty"`
	LastSnapshotBytes *int64     `json:"last_snapshot_bytes,omitempty"`
	LastSyncSeconds   *float64   `json:"last_sync_seconds,omitempty"`

	// Both.
	BytesPerSecond     *float64 `json:"bytes_per_second,omitempty"`
	SecondsUntilSynced *float64 `json:"seconds_until_synced,omitempty"`
	SyncPercent        *float64 `json:"sync_percent,omitempty"` // of a first sync or of the snapshot in the air
	Step               string   `json:"step,omitempty"`         // of a first sync, such as IMAGE_SYNC/COPY_IMAGE

	// Unknown are fields of the report that Drover does not know.
	Unknown map[string]json.RawMessage `json:"unknown,omitempty"`
}

// MirrorDaemon is one rbd-mirror daemon in a cluster's service map.
type MirrorDaemon struct {
	ID       string    `json:"id"`      // its instance id, such as "4152"
	ClientID string    `json:"client"`  // its cephx id without "rbd-mirror.", such as site-b
	Host     string    `json:"host"`    // hostname
	Version  string    `json:"version"` // such as 16.2.15
	Started  time.Time `json:"started"` // start of this life
	Address  string    `json:"address"`
	// Beacon is when it was heard of last; zero where the cluster does not say.
	Beacon time.Time    `json:"beacon,omitzero"`
	Pools  []DaemonPool `json:"pools"` // what it serves
}

// DaemonPool is a daemon's own view of one pool that it serves.
type DaemonPool struct {
	Pool     Pool      `json:"pool"`
	Leader   bool      `json:"leader"`
	Callouts []Callout `json:"callouts,omitempty"`
	// Images are counts by the daemon: total, in warning, in error, replayed
	// from and to.
	Assigned int `json:"assigned"`
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
}

// Callout is a complaint that a daemon has put into the service map.
type Callout struct {
	Level string `json:"level"` // info, warning, error
	Text  string `json:"text"`
}

// Complaints are the callouts of level warning and error of one of a site's daemons about
// a pool that still mean something, given what is reported there of the pool's images.
//
// A pool replayer that finds no way to its peer puts a callout into the service map,
// and takes it away when it gets through. One that is replaced before that, as when
// the peer's key comes a moment after the peer, leaves it there for as long as the
// daemon lives (tools/rbd_mirror/PoolReplayer.cc: init, shut_down). Reports are up
// only of one that got through, so they disprove it; of several daemons that serve the
// pool nobody can tell whose they are.
func Complaints(daemons []MirrorDaemon, daemon, pool int, reports []Report) (out []Callout) {
	d := &daemons[daemon]
	p := &d.Pools[pool]
	through := slices.ContainsFunc(reports, func(r Report) bool {
		return r.Watched() && r.Ref.Pool.Name == p.Pool.Name && !r.Updated.Before(d.Started)
	})
	for i := range daemons {
		if i != daemon && slices.ContainsFunc(daemons[i].Pools, func(o DaemonPool) bool { return o.Pool.Name == p.Pool.Name }) {
			through = false
		}
	}
	for _, c := range p.Callouts {
		if (c.Level == "warning" || c.Level == "error") && (!through || !c.Unconnected()) {
			out = append(out, c)
		}
	}
	return out
}

// Unconnected reports whether a callout says that the peer's cluster cannot be reached
// (tools/rbd_mirror/PoolReplayer.cc: init).
func (c Callout) Unconnected() bool { return strings.Contains(c.Text, "unable to connect to remote") }
