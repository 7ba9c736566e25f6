package orchestrator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// preservedRecord is the body of a record of a copy: that it is kept, or, with
// Removed, that it has been dropped.
type preservedRecord struct {
	Version int `json:"v"`
	Preserved
}

// preservedVersion is the form that is written and read.
const preservedVersion = 1

// preservedEntry makes the record of a copy.
func preservedEntry(p Preserved) (Entry, error) {
	body, err := json.Marshal(preservedRecord{Version: preservedVersion, Preserved: p})
	return Entry{Kind: EntryPreserved, Run: p.Run, Body: body}, err
}

// preservedOf lists all copies that records tell of, also those that were
// dropped, the oldest first. A later record of a copy replaces an earlier one.
// Records of a form that is not known are left out.
func preservedOf(entries []Entry) []Preserved {
	index := make(map[string]int)
	var all []Preserved
	for _, e := range entries {
		if e.Kind != EntryPreserved {
			continue
		}
		var r preservedRecord
		if err := json.Unmarshal(e.Body, &r); err != nil || r.Version != preservedVersion || r.ID == "" {
			continue
		}
		if at, known := index[r.ID]; known {
			all[at] = r.Preserved
			continue
		}
		index[r.ID] = len(all)
		all = append(all, r.Preserved)
	}
	slices.SortStableFunc(all, func(a, b Preserved) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.ID, b.ID)) })
	return all
}

// expired are the copies whose time has passed and that are still kept.
func expired(all []Preserved, now time.Time) []Preserved {
	var out []Preserved
	for i := range all {
		if all[i].Removed == nil && now.After(all[i].Until) {
			out = append(out, all[i])
		}
	}
	return out
}

// removePreserved drops a copy; one that is gone is no error. It touches
// nothing but what a run has made and named: an image with the run in its name
// that is not mirrored, or an exported file and its sidecar.
func removePreserved(ctx context.Context, site Preserver, p Preserved) error {
	if p.As == plans.PreserveExport {
		return removeExport(&p)
	}
	ref, _ := p.Ref()
	if p.Name == p.Image.Name || !strings.HasSuffix(p.Name, "-"+shortRun(p.Run)) || site.Name() != p.Site {
		return refusal("remove it by hand", "%s is not named as a copy of the run %s at %s", p.Place(), p.Run, site.Name())
	}
	image, err := site.Image(ctx, ref)
	switch {
	case errors.Is(err, replay.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("drop a copy: %w", err)
	case image.Mirrored():
		return refusal("disable mirroring of it first, or keep it", "%s is mirrored: somebody wants it", p.Place())
	}
	if err := site.RemoveImage(ctx, ref); err != nil && !errors.Is(err, replay.ErrNotFound) {
		return fmt.Errorf("drop a copy: %w", err)
	}
	return nil
}

func removeExport(p *Preserved) error {
	if !strings.HasSuffix(p.Path, fileName("-"+shortRun(p.Run))+rawSuffix) {
		return refusal("remove it by hand", "%s is not named as a copy of the run %s", p.Path, p.Run)
	}
	// The image first: a sidecar alone is taken for nothing.
	for _, path := range []string{p.Path, sidecarPath(p.Path)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("drop a copy: %w", err)
		}
	}
	return nil
}
