package orchestrator

import (
	"context"
	"time"

	"github.com/drover-io/drover/replay"
)

// A look at an image in the making is misleading: rbd-mirror makes the copy
// first and puts it into the mirroring directory a moment later (observed on
// 16.2.15: well below 200 ms). In between it looks like an image of its own
// that has taken the copy's name.
var settleLooks = []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond}

// settleLimit is how many images are looked at again. More than a daemon makes
// at once are no images in the making.
const settleLimit = 64

// settle looks again at images that are mirrored at one site and not at
// another, until they are mirrored at both or have had the time for it.
func settle(ctx context.Context, sites *Sites, obs *Observation) {
	doubtful := unsettled(obs)
	if len(doubtful) > settleLimit {
		return
	}
	for _, pause := range settleLooks {
		if len(doubtful) == 0 {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		look, cancel := context.WithTimeout(ctx, settleLooks[len(settleLooks)-1])
		forEach(look, len(doubtful), 8, func(i int) { doubtful[i].again(look, sites) })
		cancel()
		doubtful = unsettled(obs)
	}
}

// doubt is one image as one site shows it.
type doubt struct {
	site string
	seen *replay.Image
}

// again looks at one image again. What cannot be read stays as it was.
func (d doubt) again(ctx context.Context, sites *Sites) {
	site, err := sites.Site(d.site)
	if err != nil {
		return
	}
	if image, err := site.Image(ctx, d.seen.Ref); err == nil {
		*d.seen = image
	}
}

// unsettled lists images that are mirrored at one site and not at another.
func unsettled(obs *Observation) []doubt {
	mirrored := map[replay.ImageRef]bool{}
	obs.eachImage(func(_ string, image *replay.Image) {
		if image.Mirrored() {
			mirrored[image.Ref] = true
		}
	})
	var out []doubt
	obs.eachImage(func(site string, image *replay.Image) {
		if !image.Mirrored() && mirrored[image.Ref] {
			out = append(out, doubt{site: site, seen: image})
		}
	})
	return out
}

// eachImage visits all images, site by site.
func (o *Observation) eachImage(visit func(site string, image *replay.Image)) {
	for i := range o.Sites {
		for j := range o.Sites[i].Pools {
			images := o.Sites[i].Pools[j].Images
			for k := range images {
				visit(o.Sites[i].Name, &images[k])
			}
		}
	}
}
