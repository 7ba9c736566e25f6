package orchestrator

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Runbook is a kind of run.
type Runbook string

// The runbooks.
const (
	Switchover Runbook = "switchover"
	Failover   Runbook = "failover"
	Failback   Runbook = "failback"
	Resync     Runbook = "resync"
	// Drill changes no roles and is no [Run]; hooks know it by this name.
	Drill Runbook = "drill"
)

// Run is what a run is about, fixed when it begins: the body of its first
// record. Everything else about it is in later records, and at the sites.
type Run struct {
	ID          string    `json:"id"`
	Runbook     Runbook   `json:"runbook"`
	Plan        string    `json:"plan"`
	Fingerprint string    `json:"fingerprint"` // of the plan
	From        string    `json:"from"`        // the site that is primary, or was
	To          string    `json:"to"`          // the site that shall be
	By          string    `json:"by"`
	Reason      string    `json:"reason,omitempty"`
	Began       time.Time `json:"began"`
	// Approved is the hash of the evidence that a person was shown.
	Approved string `json:"approved,omitempty"`
	// Fence: clients that hold images are shut out.
	Fence bool `json:"fence,omitempty"`
	// Unfenced: the person let it go on though the old site's clients could not
	// be shut out.
	Unfenced bool `json:"unfenced,omitempty"`
	// LeaveDaemon: the local rbd-mirror goes on while images are promoted.
	LeaveDaemon bool `json:"leave_daemon,omitempty"`
	// Answered: the old site answered when the word was given for a failover.
	Answered bool `json:"answered,omitempty"`
	// Sweep: drills had clones at the surviving site, which are removed first.
	Sweep bool `json:"sweep,omitempty"`
	// NoWayBack: nobody has to follow the new primary.
	NoWayBack bool `json:"no_way_back,omitempty"`
	// Verify: copies are compared with what they were made of, byte by byte,
	// before anything rests on them.
	Verify bool `json:"verify,omitempty"`
	// Reverse: the reverse direction is set up first.
	Reverse bool      `json:"reverse,omitempty"`
	Units   []RunUnit `json:"units"`
	// Left are images of the plan that the run leaves alone, and why.
	Left []LeftImage `json:"left,omitempty"`
	// Follows is the run that this one is a stage of.
	Follows string `json:"follows,omitempty"`
	// Drover is the version of the Drover that has begun it or, in a later record of
	// the run, that has taken it up. It is empty, and the two that follow are nil, in
	// records of a Drover that did not write them.
	Drover string `json:"drover,omitempty"`
	// Releases are those of Ceph at the sites that answered when it was prepared.
	Releases map[string]string `json:"releases,omitempty"`
	// Objectives are what the plan asked for when it began.
	Objectives *report.Objectives `json:"objectives,omitempty"`
}

// RunUnit is what moves as one: a group, or an image that is in none.
type RunUnit struct {
	Name   string     `json:"name"` // of the group, or POOL/IMAGE
	Group  string     `json:"group,omitempty"`
	Wave   string     `json:"wave,omitempty"`
	Images []RunImage `json:"images"`
}

// RunImage is one image of a run.
type RunImage struct {
	Ref  replay.ImageRef   `json:"ref"`
	Mode replay.MirrorMode `json:"mode"`
	// Loss is what a failover gives up, as it was shown; nil: nothing is.
	Loss *Loss `json:"loss,omitempty"`
	// Promote: no site is primary; the one to keep becomes so first. Resync: the
	// copy is preserved, discarded and made anew; OldID is its id.
	Promote bool   `json:"promote,omitempty"`
	Resync  bool   `json:"resync,omitempty"`
	OldID   string `json:"old_id,omitempty"`
	// Evidence is the hash of the facts by which a person chose the copy to keep.
	Evidence string `json:"evidence,omitempty"`
}

// LeftImage is an image that a run does not touch.
type LeftImage struct {
	Ref replay.ImageRef `json:"ref"`
	Why string          `json:"why"`
}

// newRunID makes a name that sorts by time and that a person can type.
func newRunID(book Runbook, now time.Time) string {
	var tail [2]byte
	_, _ = rand.Read(tail[:]) // never fails (crypto/rand)
	return fmt.Sprintf("%s-%s-%s", book, now.UTC().Format("20060102T150405Z"), hex.EncodeToString(tail[:]))
}

// objectives are what a plan asks of the run: the strictest RPO of its images, and how
// long it may take until they serve. A resync interrupts no service.
func (r *Run) objectives(plan *plans.Plan) *report.Objectives {
	var o report.Objectives
	for _, ref := range r.images() {
		rpo := seconds(plan.RPOFor(plan.Pool(ref.Pool.Name, ref.Namespace), ref.Name).Std())
		if rpo > 0 && (o.RPOSeconds == 0 || rpo < o.RPOSeconds) {
			o.RPOSeconds = rpo
		}
	}
	if r.Runbook != Resync {
		o.RTOSeconds = seconds(plan.Runbooks.RTO.Std())
	}
	return &o
}

// images are all images of the run.
func (r *Run) images() []replay.ImageRef {
	var out []replay.ImageRef
	for i := range r.Units {
		for j := range r.Units[i].Images {
			out = append(out, r.Units[i].Images[j].Ref)
		}
	}
	return out
}

// all are all images of the run, with what the run knows of them.
func (r *Run) all() []RunImage {
	var out []RunImage
	for i := range r.Units {
		out = append(out, r.Units[i].Images...)
	}
	return out
}

// unitsOf sorts images into the units that they move with, those of the same
// wave together, waves in the order of their priority and of the plan.
func unitsOf(plan *plans.Plan, images []RunImage) []RunUnit {
	index := map[string]int{}
	var units []RunUnit
	for _, image := range images {
		ref := image.Ref
		unit := RunUnit{Name: ref.String()}
		key := "image " + unit.Name
		if wave := plan.WaveOf(ref.Pool.Name, ref.Namespace, ref.Name); wave != nil {
			unit.Wave = wave.Name
		}
		if group := plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name); group != nil {
			unit.Name, unit.Group, key = group.Name, group.Name, "group "+group.Name
		}
		at, known := index[key]
		if !known {
			at = len(units)
			index[key] = at
			units = append(units, unit)
		}
		units[at].Images = append(units[at].Images, image)
	}
	order := func(u RunUnit) (int, int) { return wavePlace(plan, u.Wave) }
	slices.SortStableFunc(units, func(a, b RunUnit) int {
		pa, ia := order(a)
		pb, ib := order(b)
		return cmp.Or(cmp.Compare(pa, pb), cmp.Compare(ia, ib))
	})
	return units
}

// lastPriority is that of images in no wave: they move when all waves have.
const lastPriority = 1 << 30

// wavePlace is a wave's priority, and its place in the plan.
func wavePlace(plan *plans.Plan, name string) (priority, place int) {
	for i := range plan.Waves {
		if plan.Waves[i].Name == name && name != "" {
			return plan.Waves[i].Priority, i
		}
	}
	return lastPriority, len(plan.Waves)
}

// Loss is what would be lost of an image, as far as it is known.
type Loss struct {
	Entries *int64   `json:"entries,omitempty"`
	Bytes   *int64   `json:"bytes,omitempty"`
	Seconds *float64 `json:"seconds,omitempty"`
	// Ranges and RangeBytes tell in how many places, and bytes, the copies
	// differ, whoever wrote there: a bound for what is lost. Only where their
	// contents were compared for the evidence.
	Ranges     *int64 `json:"ranges,omitempty"`
	RangeBytes *int64 `json:"range_bytes,omitempty"`
	// Snapshots are the user snapshots that go with a copy that is discarded.
	Snapshots []string `json:"snapshots,omitempty"`
	// Final: nothing can be lost, whatever happens: the old primary was seen
	// demoted, and the copy has all of it. Without it the numbers are those of the
	// moment at which they were looked at.
	Final bool `json:"final,omitempty"`
	// Why says what the numbers rest on, or why they are not known.
	Why string `json:"why"`
}

// fact is the loss as far as a decision rests on it: sizes only roughly, since
// they move while a primary is still written.
func (l *Loss) fact() string {
	if l == nil {
		return "nothing"
	}
	rough := func(n *int64) string {
		if n == nil {
			return "unknown"
		}
		return fmt.Sprintf("about 2^%d", bits.Len64(uint64(max(*n, 0))))
	}
	return "entries " + rough(l.Entries) + ", bytes " + rough(l.Bytes)
}

// basis is what a person's word on the image rests on.
func (i *RunImage) basis() string {
	if i.Evidence != "" {
		return i.Evidence
	}
	return i.Loss.fact()
}
