package orchestrator

import (
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/compare"
)

// VerifyReport is the outcome of a verification.
type VerifyReport struct {
	APIVersion string `json:"apiVersion"` // "drover/v1"
	Kind       string `json:"kind"`       // "Verification"

	Plan    string    `json:"plan"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`

	Summary VerifySummary   `json:"summary"`
	Images  []VerifiedImage `json:"images"` // one for each image and secondary
	// Faults are the sites and pools that could not be read.
	Faults []VerifyFault `json:"faults,omitempty"`
	// Leftovers are snapshots of earlier runs that were found, and those of
	// this run that are still there.
	Leftovers []LeftoverSnapshot `json:"leftovers,omitempty"`
}

// VerifySummary counts comparisons: one for each image and secondary.
type VerifySummary struct {
	Compared  int    `json:"compared"`
	Identical int    `json:"identical"`
	Different int    `json:"different"`
	Failed    int    `json:"failed"`     // could not be compared
	BytesRead uint64 `json:"bytes_read"` // at both sites together
}

// VerifiedImage is the outcome for one image at one secondary.
type VerifiedImage struct {
	Ref       replay.ImageRef   `json:"ref"`
	Mode      replay.MirrorMode `json:"mode,omitempty"`
	Primary   string            `json:"primary,omitempty"`   // site
	Secondary string            `json:"secondary,omitempty"` // site
	Snapshot  string            `json:"snapshot,omitempty"`
	Taken     *time.Time        `json:"taken,omitempty"` // when the snapshot was taken: what is proven is that moment

	Identical bool `json:"identical"`
	// Comparison is of the first snapshot, with the primary as side a and the
	// secondary as side b; it is nil when there was none.
	Comparison *compare.Result `json:"comparison,omitempty"`
	// Rechecks are the comparisons, by further snapshots, of what differed in
	// the one before; see [Recheck].
	Rechecks []Recheck `json:"rechecks,omitempty"`

	// Differing is in how many bytes the copies differ, in blocks of 4 KiB, and
	// Extents where, the first of them; after the last look.
	Differing uint64          `json:"differing,omitempty"`
	Extents   []replay.Extent `json:"extents,omitempty"`

	AwaitSeconds   float64 `json:"await_seconds"`   // until the snapshot was at the secondary
	CompareSeconds float64 `json:"compare_seconds"` // reading and hashing

	Error string `json:"error,omitempty"` // why there was no comparison
	Next  string `json:"next,omitempty"`  // what a person can do
	cause error
}

// Recheck is a further look at what differed. In journal mode a snapshot of an
// image that is being written is not the same moment at both sites: replay
// takes it after the writes that were journaled while it was being taken. So a
// difference counts only where it is still there in the next snapshot.
type Recheck struct {
	Snapshot  string `json:"snapshot"`
	Ranges    int    `json:"ranges"` // that were looked at again
	Bytes     uint64 `json:"bytes"`  // in them
	Different uint64 `json:"different_bytes"`
}

// LeftoverSnapshot is a snapshot that a verification has left behind. Site is
// where it still is; of a removed one, where it was found.
type LeftoverSnapshot struct {
	Ref      replay.ImageRef `json:"ref"`
	Site     string          `json:"site"`
	Snapshot string          `json:"snapshot"`
	Created  time.Time       `json:"created,omitzero"`
	Removed  bool            `json:"removed"` // and seen to be gone at every site
	// Note says why it was taken for dead, or why it is still there.
	Note string `json:"note"`
}

func newVerifyReport(plan *plans.Plan, now time.Time) *VerifyReport {
	return &VerifyReport{
		APIVersion: "drover/v1", Kind: "Verification",
		Plan: plan.Name, Started: now.UTC().Truncate(time.Millisecond), Images: []VerifiedImage{},
	}
}

func (r *VerifyReport) finish(now time.Time) {
	sortVerified(r.Images)
	r.Seconds = seconds(now.Sub(r.Started))
	r.Summary = VerifySummary{}
	for _, image := range r.Images {
		switch {
		case image.Comparison == nil:
			r.Summary.Failed++
			continue
		case image.Identical:
			r.Summary.Identical++
		default:
			r.Summary.Different++
		}
		r.Summary.Compared++
		r.Summary.BytesRead += image.Comparison.A.BytesRead + image.Comparison.B.BytesRead
	}
}

// Err is nil when every comparison was made and found both copies identical,
// and there was something to compare and nothing that could not be seen.
// Otherwise ErrDifferent, ErrUnverified and the causes are in its chain.
func (r *VerifyReport) Err() error {
	errs := r.faults()
	if len(errs) == 0 && len(r.Images) == 0 {
		return advise(fmt.Errorf("%w: the sites hold no mirrored image of the plan", ErrUnverified), "drover plan diff shows what the plan takes in and what is mirrored")
	}
	for _, image := range r.Images {
		switch {
		case image.Comparison == nil:
			errs = append(errs, advise(fmt.Errorf("%w: %s: %w", ErrUnverified, image.Ref, image.cause), image.Next))
		case !image.Identical:
			errs = append(errs, advise(fmt.Errorf("%w: %s at %s and %s", ErrDifferent, image.Ref, image.Primary, image.Secondary), image.Next))
		}
	}
	return errors.Join(errs...)
}

func (r *VerifyReport) faults() []error {
	var errs []error
	for i := range r.Faults {
		errs = append(errs, r.Faults[i].err())
	}
	return errs
}

// seconds is a length of time as reports have it: to the millisecond.
func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)) / float64(time.Second)
}
