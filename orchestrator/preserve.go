package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/compare"
)

// Preserver is what keeping, giving back and dropping copies of images needs of
// a site.
type Preserver interface {
	Name() string
	Image(ctx context.Context, ref replay.ImageRef) (replay.Image, error)
	CreateImage(ctx context.Context, ref replay.ImageRef, spec replay.ImageSpec) error
	RemoveImage(ctx context.Context, ref replay.ImageRef) error
	OpenSnapshot(ctx context.Context, ref replay.ImageRef, snapshot string) (replay.Reader, error)
	replay.Copying
}

// Preserved is a copy of what an image held at one site before a resync was to
// discard it.
type Preserved struct {
	ID    string          `json:"id"` // SITE:POOL/IMAGE@RUN, unique
	Site  string          `json:"site"`
	Image replay.ImageRef `json:"image"`
	As    string          `json:"as"` // plans.PreserveClone or plans.PreserveExport
	// Name is the image that the copy is, in the pool and namespace of the one
	// that it was made of (clone).
	Name string `json:"name,omitempty"`
	// Path is the file that the copy is, on the host that made it (export).
	Path  string    `json:"path,omitempty"`
	Bytes uint64    `json:"bytes"` // allocated
	Size  uint64    `json:"size"`  // bytes
	At    time.Time `json:"at"`
	Until time.Time `json:"until"` // how long it shall be kept
	Run   string    `json:"run"`
	// Digest stands for the size and content, as compare.Digest tells it; empty
	// when the copy was found complete and not read again.
	Digest string `json:"digest,omitempty"`
	// Removed is when it was dropped; nil: it is kept.
	Removed *time.Time `json:"removed,omitempty"`
}

// Ref is the image that the copy is; ok is false for an export.
func (p *Preserved) Ref() (ref replay.ImageRef, ok bool) {
	return p.Image.Image(p.Name), p.As == plans.PreserveClone && p.Name != ""
}

// Place names the copy for people: the image or the file, and the site.
func (p *Preserved) Place() string {
	if ref, ok := p.Ref(); ok {
		return ref.String() + " at " + p.Site
	}
	return p.Path
}

// preserveOrder says how copies are kept in one run.
type preserveOrder struct {
	plan    string // name of the plan
	run     string // id of the run
	how     plans.Preserve
	minFree int // percent of the pool or file system that must be left free
}

// preserveOrderOf is the plan's way to keep copies, in one run.
func preserveOrderOf(plan *plans.Plan, run string) preserveOrder {
	return preserveOrder{plan: plan.Name, run: run, how: plan.Preserve, minFree: int(plan.Runbooks.MinFree)}
}

// shortRun is the part of a run's id that tells it from others: its time and
// tail.
func shortRun(run string) string {
	if _, tail, found := strings.Cut(run, "-"); found && tail != "" {
		return tail
	}
	return run
}

// partialSuffix ends the name of a copy that is not complete.
const partialSuffix = ".partial"

// planned is the copy that the order makes of an image.
func (o preserveOrder) planned(site string, image *replay.Image) Preserved {
	p := Preserved{
		ID:   site + ":" + image.Ref.String() + "@" + shortRun(o.run),
		Site: site, Image: image.Ref, As: o.how.As, Size: image.Size, Run: o.run,
	}
	if p.As == plans.PreserveExport {
		p.Path = exportPath(o.how.Path, o.plan, site, image.Ref, o.run)
	} else {
		p.As, p.Name = plans.PreserveClone, image.Ref.Name+o.how.Suffix+"-"+shortRun(o.run)
	}
	return p
}

// kept stamps a copy that is complete.
func (o preserveOrder) kept(p Preserved, bytes uint64, digest string) Preserved {
	p.At = time.Now().UTC()
	p.Until = p.At.Add(time.Duration(o.how.Keep))
	p.Bytes, p.Digest = bytes, digest
	return p
}

// isPreserved reports whether an image of that name is a copy that a run of the
// plan keeps or was making: never one to be protected, whatever globs say.
func isPreserved(plan *plans.Plan, name string) bool {
	at := strings.LastIndex(name, plan.Preserve.Suffix+"-")
	if at <= 0 || plan.Preserve.Suffix == "" {
		return false
	}
	stamp, _, found := strings.Cut(name[at+len(plan.Preserve.Suffix)+1:], "-")
	if !found {
		return false
	}
	_, err := time.Parse(verifyTimeForm, stamp)
	return err == nil
}

// preserve copies an image's head, whatever its role, and proves that the copy
// holds the same. It is named as incomplete until then: what a killed run left
// is made anew, what it completed is compared with the image once more and
// kept. progress is told of bytes, reading back included.
//
// An image that is written meanwhile is refused (ErrRefused), as is one whose
// copy would leave too little room.
func preserve(ctx context.Context, site Preserver, ref replay.ImageRef, o preserveOrder, progress func(done, total uint64)) (Preserved, error) {
	image, err := site.Image(ctx, ref)
	if err != nil {
		return Preserved{}, fmt.Errorf("preserve: %w", err)
	}
	p := o.planned(site.Name(), &image)
	found, err := findPreserved(ctx, site, p)
	if err != nil {
		return Preserved{}, fmt.Errorf("preserve: %w", err)
	}
	var result compare.Result
	switch {
	case found:
		result, err = comparePreserved(ctx, site, p, progress)
	case p.As == plans.PreserveExport:
		result, err = exportImage(ctx, site, &image, p, o, progress)
	default:
		result, err = cloneImage(ctx, site, &image, p, o, progress)
	}
	if err != nil {
		return Preserved{}, fmt.Errorf("preserve %s at %s: %w", ref, site.Name(), err)
	}
	if !result.Identical {
		return Preserved{}, preserveDiffers(&p, &result)
	}
	after, err := site.Image(ctx, ref)
	if err != nil {
		return Preserved{}, fmt.Errorf("preserve: look again: %w", err)
	}
	if after.ID != image.ID || after.Size != image.Size {
		return Preserved{}, refusal("find out who did it, and begin again",
			"%s at %s was made anew or resized while it was copied to %s", ref, site.Name(), p.Place())
	}
	return o.kept(p, result.A.Allocated, result.A.Digest.String()), nil
}

func preserveDiffers(p *Preserved, result *compare.Result) error {
	return refusal("stop its writers (drover names the clients), then drover runs end FILE "+p.Run+" --reason TEXT, and begin again; the copy that is complete stays where it is",
		"%s at %s does not hold what its copy %s holds: first at byte %d", p.Image, p.Site, p.Place(), *result.FirstDifference)
}

// findPreserved tells whether the copy is there already, whole: what is
// incomplete has another name.
func findPreserved(ctx context.Context, site Preserver, p Preserved) (bool, error) {
	var size uint64
	if ref, clone := p.Ref(); clone {
		image, err := site.Image(ctx, ref)
		if errors.Is(err, replay.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if image.Mirrored() {
			return false, refusal("disable mirroring of that image, or rename it", "%s, which keeps a copy, is mirrored", p.Place())
		}
		size = image.Size
	} else {
		length, found, err := exportSize(p.Path)
		if err != nil || !found {
			return false, err
		}
		size = length
	}
	if size != p.Size {
		return false, refusal("rename it, or remove it, and begin again",
			"%s exists and has %s, but %s has %s", p.Place(), sizeText(size), p.Image, sizeText(p.Size))
	}
	return true, nil
}

// comparePreserved compares an image's head with a copy that is kept of it. To
// do so once the image has been demoted proves that nothing was written after
// the copy was made.
func comparePreserved(ctx context.Context, site Preserver, p Preserved, progress func(done, total uint64)) (compare.Result, error) {
	head, err := site.OpenSnapshot(ctx, p.Image, "")
	if err != nil {
		return compare.Result{}, err
	}
	kept, err := openPreserved(ctx, site, p)
	if err != nil {
		return compare.Result{}, replay.OneLine(err, head.Close())
	}
	result, err := compare.Compare(ctx, head, kept, compare.Options{NameA: p.Image.String(), NameB: p.Place(), Progress: progress})
	return result, replay.OneLine(err, head.Close(), kept.Close())
}

// openPreserved opens a copy for reading.
func openPreserved(ctx context.Context, site Preserver, p Preserved) (replay.Reader, error) {
	if ref, clone := p.Ref(); clone {
		if site.Name() != p.Site {
			return nil, refusal("name that site", "%s is kept at %s, not at %s", p.Image, p.Site, site.Name())
		}
		return site.OpenSnapshot(ctx, ref, "")
	}
	return openExport(p.Path)
}
