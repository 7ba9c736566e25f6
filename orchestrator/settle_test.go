package orchestrator_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// inTheMaking is a secondary that shows its copies, for so many looks, as they
// are before they have been put into the mirroring directory.
type inTheMaking struct {
	orchestrator.Site
	looks *atomic.Int64
}

func (s inTheMaking) unmade(image replay.Image) replay.Image {
	if s.looks.Add(-1) >= 0 {
		image.Role, image.Mode, image.State, image.GlobalID = replay.RoleNone, "", replay.StateDisabled, ""
	}
	return image
}

func (s inTheMaking) Images(ctx context.Context, p replay.Pool, d replay.Detail) ([]replay.Image, error) {
	images, err := s.Site.Images(ctx, p, d)
	for i := range images {
		images[i] = s.unmade(images[i])
	}
	return images, err
}

func (s inTheMaking) Image(ctx context.Context, r replay.ImageRef) (replay.Image, error) {
	image, err := s.Site.Image(ctx, r)
	return s.unmade(image), err
}

// TestCopyInTheMaking wants a copy that is just being made not to be taken for
// an image that has its name.
func TestCopyInTheMaking(t *testing.T) {
	for _, c := range []struct {
		looks int64
		taken bool
	}{{0, false}, {1, false}, {3, false}, {4, true}} {
		bubble(t, func(t *testing.T) {
			b := newBed(t, oneWay)
			b.applied()
			var looks atomic.Int64
			looks.Store(c.looks)
			open := b.open
			b.open = func(ctx context.Context, s plans.Site) (orchestrator.Site, error) {
				site, err := open(ctx, s)
				if s.Name == "b" {
					return inTheMaking{Site: site, looks: &looks}, err
				}
				return site, err
			}
			began := time.Now()
			d := b.diff(orchestrator.DiffOptions{})
			if got := hasNotice(d.Notices, orchestrator.NoticeNameConflict); got != c.taken {
				t.Errorf("seen in the making %d times: taken for another image: %v", c.looks, got)
			}
			if took := time.Since(began); c.looks == 0 && took > 0 || took > 2*time.Second {
				t.Errorf("seen in the making %d times: took %v", c.looks, took)
			}
		})
	}
}
