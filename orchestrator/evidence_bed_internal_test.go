package orchestrator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// split is a world with images that are mirrored both ways, for tests that need
// what only runbooks use.
type split struct {
	t     testing.TB
	world *sim.World
	plan  *plans.Plan
}

// twoSites begins a plan; what follows are its images.
const twoSites = `version: 1
name: shop
direction: two-way
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf}
  - {name: b, conf: /etc/ceph/b.conf}
pools:
  - name: rbd
    images:
`

const splitPlan = twoSites + `      - {name: vm, mode: journal}
      - {name: snap, mode: snapshot}
`

// newSplit applies the plan in a synctest bubble; all images are 8 MiB.
func newSplit(t testing.TB, text string) *split {
	t.Helper()
	plan, err := plans.Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := &split{t: t, plan: plan, world: sim.New(sim.Options{Seed: 11, Clock: time.Now, Pace: sim.Instant})}
	for _, site := range plan.Sites {
		s.world.AddSite(site.Name)
		s.world.AddPool(site.Name, "rbd")
		s.world.StartDaemon(site.Name)
	}
	primary := s.world.Site(plan.Primary)
	for _, image := range plan.Pools[0].Images {
		ref := replay.Pool{Name: "rbd"}.Image(image.Name)
		s.must(primary.CreateImage(t.Context(), ref, replay.ImageSpec{Size: 8 << 20, Features: replay.FeatureLayering | replay.FeatureExclusiveLock | replay.FeatureObjectMap | replay.FeatureFastDiff}))
		s.write(plan.Primary, ref, 4096, "first")
	}
	sites := s.open()
	defer s.close(sites)
	if _, err := Apply(t.Context(), plan, sites, Options{Wait: WaitReplaying}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *split) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *split) open() *Sites {
	return OpenSites(s.t.Context(), s.plan, func(_ context.Context, site plans.Site) (Site, error) {
		return s.world.Site(site.Name), nil
	}, nil)
}

func (s *split) close(sites *Sites) { s.must(sites.Close()) }

func (s *split) image(name string) replay.ImageRef { return replay.Pool{Name: "rbd"}.Image(name) }

func (s *split) write(site string, ref replay.ImageRef, offset uint64, text string) {
	s.t.Helper()
	s.must(s.world.Write(site, ref, offset, []byte(text)))
}

// promote makes both sites primary; what site b had not replayed by then it
// will never have.
func (s *split) promote(ref replay.ImageRef) {
	s.t.Helper()
	s.must(s.world.Site("b").Promote(s.t.Context(), ref, true))
}

func (s *split) evidence(ref replay.ImageRef, deep bool) *SplitEvidence {
	s.t.Helper()
	sites := s.open()
	defer s.close(sites)
	e, err := splitEvidence(s.t.Context(), s.plan, sites, ref, deep)
	s.must(err)
	return e
}

// digest is the SHA-256 of all of an image's bytes.
func (s *split) digest(site string, ref replay.ImageRef) string {
	s.t.Helper()
	reader, err := s.world.Site(site).OpenSnapshot(s.t.Context(), ref, "")
	s.must(err)
	data := make([]byte, reader.Size())
	if n, err := reader.ReadAt(s.t.Context(), data, 0); n != len(data) || err != nil && !errors.Is(err, io.EOF) {
		s.t.Fatal(n, err)
	}
	s.must(reader.Close())
	sum := sha256.Sum256(data)
	return fmt.Sprintf("%d %s", len(data), hex.EncodeToString(sum[:]))
}

func (s *split) names(site string) (names []string) {
	s.t.Helper()
	images, err := s.world.Site(site).Images(s.t.Context(), replay.Pool{Name: "rbd"}, 0)
	s.must(err)
	for _, i := range images {
		names = append(names, i.Ref.Name)
	}
	return names
}
