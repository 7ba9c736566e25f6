package orchestrator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/drover-io/drover/plans"
)

// The schema of a saved diff.
const (
	savedVersion = "drover/v1"
	savedKind    = "Diff"
	// savedLimit bounds what LoadDiff reads.
	savedLimit = 256 << 20
)

// SavedDiff is a difference that a person can look at and approve by applying
// it. It holds what the difference rests on, so that a later apply can tell
// whether that still holds.
type SavedDiff struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// PlanFile is where the plan was read from, PlanFingerprint its meaning.
	PlanFile        string `json:"plan_file"`
	PlanFingerprint string `json:"plan_fingerprint"`
	// Facts are what the sites said; FactsFingerprint guards them.
	Facts            map[string]string `json:"facts"`
	FactsFingerprint string            `json:"facts_fingerprint"`
	Difference       Difference        `json:"diff"`
	// DiffFingerprint guards the difference: what is applied is what was shown.
	DiffFingerprint string `json:"diff_fingerprint"`
}

// ErrNotSaved says that a file is no saved diff.
var ErrNotSaved = errors.New("not a saved diff")

// NewSavedDiff makes the saved form of a difference.
func NewSavedDiff(plan *plans.Plan, d *Difference) *SavedDiff {
	return &SavedDiff{
		APIVersion: savedVersion, Kind: savedKind,
		PlanFile: plan.File, PlanFingerprint: plan.Fingerprint(),
		Facts: d.facts, FactsFingerprint: fingerprint(d.facts),
		Difference: *d, DiffFingerprint: d.fingerprint(),
	}
}

// fingerprint tells a difference from one that was changed after it was shown.
func (d *Difference) fingerprint() string {
	text, err := json.Marshal(d)
	if err != nil {
		return "" // it has nothing in it that JSON cannot hold; and no hash is empty
	}
	return fingerprint(map[string]string{"diff": string(text)})
}

// Save writes the diff as JSON. It holds no secrets.
func (s *SavedDiff) Save(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	if err := out.Encode(s); err != nil {
		return fmt.Errorf("save diff: %w", err)
	}
	return nil
}

// LoadDiff reads what [SavedDiff.Save] wrote. Anything else is [ErrNotSaved];
// a diff of a newer version says so.
func LoadDiff(r io.Reader) (*SavedDiff, error) {
	data, err := io.ReadAll(io.LimitReader(r, savedLimit+1))
	if err != nil {
		return nil, fmt.Errorf("load diff: %w", err)
	}
	if len(data) > savedLimit {
		return nil, fmt.Errorf("load diff: %w: larger than %d bytes", ErrNotSaved, savedLimit)
	}
	var head struct{ APIVersion, Kind string }
	if err := json.Unmarshal(data, &head); err != nil || head.Kind != savedKind {
		return nil, fmt.Errorf("load diff: %w", ErrNotSaved)
	}
	if head.APIVersion != savedVersion {
		return nil, fmt.Errorf("load diff: version %q is not %s; make a new diff with this drover", head.APIVersion, savedVersion)
	}
	var s SavedDiff
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("load diff: %w: %w", ErrNotSaved, err)
	}
	if fingerprint(s.Facts) != s.FactsFingerprint || s.Difference.fingerprint() != s.DiffFingerprint {
		return nil, fmt.Errorf("load diff: %w: it was changed by hand", ErrNotSaved)
	}
	return &s, nil
}

// Check tells whether the saved diff still describes the plan and what its
// sites say now: nil, or a [StaleError] that names what has changed.
func (s *SavedDiff) Check(plan *plans.Plan, now *Difference) error {
	var changed []string
	if plan.Fingerprint() != s.PlanFingerprint {
		changed = append(changed, "the plan")
	}
	changed = append(changed, changedFacts(s.Facts, now.facts)...)
	if len(changed) == 0 {
		return nil
	}
	return &StaleError{Changed: changed}
}

// sameChanges tells whether exactly the changes of the saved diff are wanted
// now: nil, or a [StaleError] that names those that came or went.
func (s *SavedDiff) sameChanges(now *Difference) error {
	var changed []string
	missing := func(from, in []Change) {
		for i := range from {
			if !slices.ContainsFunc(in, func(c Change) bool { return c.ID == from[i].ID }) {
				changed = append(changed, from[i].Title())
			}
		}
	}
	missing(s.Difference.Changes, now.Changes)
	missing(now.Changes, s.Difference.Changes)
	if len(changed) == 0 {
		return nil
	}
	return &StaleError{Changed: changed}
}
