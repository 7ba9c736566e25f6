package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/drover-io/drover/replay"
)

// restore makes a new image, not mirrored, of a copy that was kept, in the pool
// and namespace of the image that it is a copy of. An image that exists is
// never touched (ErrRefused). A clone is restored where it is kept, an export
// at any site.
func restore(ctx context.Context, site Preserver, p Preserved, name string, minFree int, progress func(done, total uint64)) error {
	if err := restoreFits(&p, name); err != nil {
		return err
	}
	to := p.Image.Image(name)
	_, err := site.Image(ctx, to)
	switch {
	case err == nil:
		return refusal("choose another name", "%s exists at %s: a copy is only restored to a new image", to, site.Name())
	case !errors.Is(err, replay.ErrNotFound):
		return fmt.Errorf("restore: %w", err)
	}
	if err := restoreTo(ctx, site, p, to, minFree, progress); err != nil {
		return fmt.Errorf("restore %s to %s at %s: %w", p.Place(), to, site.Name(), err)
	}
	return nil
}

func restoreFits(p *Preserved, name string) error {
	switch {
	case p.Removed != nil:
		return refusal("nothing is left to restore", "the copy %s was dropped at %s", p.ID, p.Removed.UTC().Format(evidenceTime))
	case name == "" || strings.ContainsAny(name, "/@"):
		return refusal("name a new image, without its pool", "%q is no name of an image", name)
	}
	return nil
}

func restoreTo(ctx context.Context, site Preserver, p Preserved, to replay.ImageRef, minFree int, progress func(done, total uint64)) (err error) {
	features, err := preservedFeatures(ctx, site, &p)
	if err != nil {
		return err
	}
	from, err := openPreserved(ctx, site, p)
	if err != nil {
		return err
	}
	defer func() { err = replay.OneLine(err, from.Close()) }()
	needed, err := allocated(ctx, from)
	if err != nil {
		return err
	}
	if err := roomInPool(ctx, site, to.Pool.Name, needed, minFree); err != nil {
		return err
	}
	result, err := copyToImage(ctx, site, from, newImage{
		// The run is in the name so that no image of anybody else's is taken for
		// a half copy.
		ref: to, partial: to.Image(to.Name + ".restored-" + shortRun(p.Run) + partialSuffix),
		size: from.Size(), object: from.ObjectSize(), features: features,
	}, newCopyMeter(needed, progress))
	switch {
	case err != nil:
		return err
	case !result.Identical:
		return fmt.Errorf("what was written differs from the copy at byte %d", *result.FirstDifference)
	case p.Digest != "" && result.A.Digest.String() != p.Digest:
		return refusal("do not trust "+to.String()+" before you have looked at what it holds",
			"the copy has changed since it was kept: its digest is %s, it was %s", result.A.Digest, p.Digest)
	}
	return nil
}

// preservedFeatures are those for the image that is made of a copy.
func preservedFeatures(ctx context.Context, site Preserver, p *Preserved) (replay.Features, error) {
	if ref, clone := p.Ref(); clone {
		if site.Name() != p.Site {
			return 0, refusal("name that site", "%s is kept at %s, not at %s", p.Image, p.Site, site.Name())
		}
		image, err := site.Image(ctx, ref)
		return image.Features, err
	}
	beside, err := readSidecar(sidecarPath(p.Path))
	if err != nil {
		return 0, err
	}
	features, err := replay.ParseFeatures(beside.Features)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", sidecarPath(p.Path), err)
	}
	return features, nil
}
