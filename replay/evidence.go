package replay

import "time"

// Evidence is all that is known of one image at all its sites at one time.
type Evidence struct {
	Ref   ImageRef
	Sites []SiteEvidence // every site that should hold the image
	Now   time.Time
	// Objective is the greatest loss that is allowed (RPO); 0: none is set.
	Objective time.Duration
	// HandingOver: a run is changing the primary right now. Then roles and
	// reports contradict each other for a while, and only two primaries count.
	HandingOver bool
	// Resyncing: a run is copying a secondary anew right now.
	Resyncing bool
	// Retired: nobody wants the image protected any more.
	Retired bool
	Limits  Limits
}

// SiteEvidence is what one site says.
type SiteEvidence struct {
	Site string
	// Names are the other names by which peers may list this site: its
	// mirroring site name, its cluster name in conf files.
	Names []string
	// Err: the site, the pool at it, or (ImageUnread) this image alone could not
	// be observed. All else is unknown then.
	Err         error
	ImageUnread bool
	// PoolMissing: the site answers, but has no such pool or namespace, and so
	// not the image either.
	PoolMissing bool

	Pool    PoolMirroring
	Image   *Image   // read WithPositions; nil: there is none
	Reports []Report // of this image (where it is missing: of the primary's), as held by this site
	// ReportsErr: the reports could not be read.
	ReportsErr error

	// Daemons are the site's rbd-mirror daemons; DaemonsErr: they could not be
	// listed.
	Daemons    []MirrorDaemon
	DaemonsErr error
	// DaemonWanted: a daemon shall run here even while this site is primary
	// (two-way).
	DaemonWanted bool

	// ScheduleEvery is the interval of the mirror snapshot schedule that covers
	// the image here; 0: none. With SchedulesErr the schedules could not be
	// read, and it is the interval that is wanted.
	ScheduleEvery time.Duration
	SchedulesErr  error
	// Appended answers, at the primary, for each secondary by its site's name,
	// what [Uncommitted] asks for.
	Appended map[string]time.Time
	// BytesBehind are, at the primary, the bytes of journal after that same
	// position.
	BytesBehind map[string]int64
	// SyncStuckSince is since when a first sync to here has come no further, for
	// who keeps watch; zero: not known.
	SyncStuckSince time.Time
}

// Limits are the thresholds of a verdict; a zero one takes its default.
type Limits struct {
	ReportAge     time.Duration // a report older than this is stale; default 3 min (daemons refresh them every 30 s)
	JournalLag    time.Duration // lagging in journal mode when no objective is set; default 5 min
	ScheduleGrace time.Duration // beyond two intervals; default 2 min
	SnapshotSync  time.Duration // how long the sync of a scheduled mirror snapshot may take, beyond its grace; default 5 min
	SnapshotLag   time.Duration // how long a mirror snapshot may wait for its sync where no schedule tells; default 30 min
	DaemonStart   time.Duration // how long a daemon that has just started may take to report; default 1 min
	SyncStalled   time.Duration // a first sync that comes no further; default 15 min
	Appearing     time.Duration // how long a secondary may take to appear, in snapshot mode; default 10 min
	Snapshots     int           // mirror snapshots of an image at one site; default 8 (three are normal, and up to five more pending)
	JournalSets   uint64        // object sets that a journal holds back; default 16 (1 GiB as Ceph lays journals out)
}

// reportAge is from when on a report is stale: daemons refresh them every 30 s.
const reportAge = 3 * time.Minute

func (l Limits) complete() Limits {
	setDuration(&l.ReportAge, reportAge)
	setDuration(&l.JournalLag, 5*time.Minute)
	setDuration(&l.ScheduleGrace, 2*time.Minute)
	setDuration(&l.SnapshotSync, 5*time.Minute)
	setDuration(&l.SnapshotLag, 30*time.Minute)
	setDuration(&l.DaemonStart, time.Minute)
	setDuration(&l.SyncStalled, 15*time.Minute)
	setDuration(&l.Appearing, 10*time.Minute)
	if l.Snapshots <= 0 {
		l.Snapshots = 8
	}
	if l.JournalSets == 0 {
		l.JournalSets = 16
	}
	return l
}

func setDuration(d *time.Duration, fallback time.Duration) {
	if *d <= 0 {
		*d = fallback
	}
}

// State is an image's protection state.
type State string

// The protection states.
const (
	Unprotected State = "unprotected"
	Enabling    State = "enabling"
	Syncing     State = "syncing"
	Replaying   State = "replaying"
	Lagging     State = "lagging"
	Degraded    State = "degraded"
	HandingOver State = "handing-over"
	SplitBrain  State = "split-brain"
	Stranded    State = "stranded"
	Resyncing   State = "resyncing"
	Retired     State = "retired"
	Unknown     State = "unknown"
)

// badness orders states for who has several secondaries: the worst counts.
var badness = map[State]int{
	Replaying: 1, Lagging: 2, Syncing: 3, Enabling: 4, Resyncing: 5, Unknown: 6,
	Degraded: 7, Unprotected: 8, Stranded: 9, SplitBrain: 10,
}

func worse(a, b State) State {
	if badness[b] > badness[a] {
		return b
	}
	return a
}
