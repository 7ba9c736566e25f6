package plans

import (
	"fmt"
	"math/bits"
	"slices"
)

func (c *checker) pools() {
	p := c.plan
	c.names("pools", len(p.Pools), func(i int) (string, string) {
		path := fmt.Sprintf("pools[%d].name", i)
		if p.Pools[i].Namespace != "" {
			path = fmt.Sprintf("pools[%d].namespace", i)
		}
		return p.Pools[i].Spec(), path
	})
	for i := range p.Pools {
		c.pool(&p.Pools[i], fmt.Sprintf("pools[%d]", i))
	}
}

// stateNamespace is the RADOS namespace in which Drover keeps its own records.
const stateNamespace = "drover"

func (c *checker) pool(pool *Pool, path string) {
	if pool.Namespace == stateNamespace {
		c.add(path+".namespace", CodeReserved, fmt.Sprintf("namespace %q holds Drover's own records", stateNamespace), "mirror another namespace")
	}
	if pool.Mirror == PoolModePool && pool.Mode == ModeSnapshot {
		c.add(path+".mode", CodeSnapshotPoolMode, "snapshot mode in a pool with mirror: pool", "pool mode mirrors journaled images only: write mode: journal, or mirror: image")
	}
	if pool.Mirror == PoolModeImage && len(pool.Images) == 0 && !c.unsure(path+".images") && !c.misspelt(path) {
		c.add(path, CodeNoImages, fmt.Sprintf("pool %s lists no images", quote(pool.Spec())), "list images, or write mirror: pool")
	}
	c.images(pool, path)
	if !c.unsure(path) {
		journal, snapshot := pool.modes()
		if !journal {
			c.outOfPlace(path+".journal_pool", "means nothing without an image in journal mode", "write mode: journal or remove it")
		}
		if !snapshot {
			c.outOfPlace(path+".schedules", "means nothing without an image in snapshot mode", "write mode: snapshot or remove it")
		}
	}
	c.schedules(pool.Schedules, path+".schedules")
}

// modes says in which modes images of the pool can be mirrored.
func (p *Pool) modes() (journal, snapshot bool) {
	note := func(m MirrorMode) {
		journal = journal || m == ModeJournal
		snapshot = snapshot || m == ModeSnapshot
	}
	if p.Mirror == PoolModePool || len(p.Images) == 0 {
		note(p.Mode)
	}
	for _, image := range p.Images {
		note(image.Mode)
	}
	return journal, snapshot
}

func (c *checker) images(pool *Pool, path string) {
	c.names("image entries", len(pool.Images), func(i int) (string, string) {
		image := &pool.Images[i]
		if image.Name != "" {
			return image.Name, fmt.Sprintf("%s.images[%d].name", path, i)
		}
		return image.Glob, fmt.Sprintf("%s.images[%d].glob", path, i)
	})
	for i := range pool.Images {
		c.image(pool, path, &pool.Images[i], fmt.Sprintf("%s.images[%d]", path, i))
	}
}

func (c *checker) image(pool *Pool, poolPath string, image *Image, path string) {
	c.nameOrGlob(image.Name, image.Glob, path)
	if image.Name != "" && pool.Excludes(image.Name) {
		c.add(path+".name", CodeExcluded, fmt.Sprintf("image %s is listed and excluded", quote(image.Name)), "remove it from images or from exclude")
	}
	if image.Mode == ModeSnapshot && pool.Mirror == PoolModePool && pool.Mode != ModeSnapshot {
		c.add(path+".mode", CodeSnapshotPoolMode, "snapshot mode in a pool with mirror: pool", "pool mode mirrors journaled images only: write mode: journal, or mirror: image")
	}
	if image.Mode == ModeJournal {
		c.outOfPlace(path+".schedules", "means nothing in journal mode", "write mode: snapshot or remove it")
	}
	c.schedules(image.Schedules, path+".schedules")
	c.features(image, path+".features")
	if image.Create != nil {
		if image.Glob != "" {
			c.add(path+".create", CodeCreateGlob, "images of a glob cannot be created", "give the image's name")
		}
		c.objectSize(image.Create.ObjectSize, path+".create.object_size")
	}
	c.objective(pool, poolPath, image, path)
}

func (c *checker) nameOrGlob(name, glob, path string) {
	switch {
	case name != "" && glob != "":
		c.add(path+".glob", CodeExactlyOne, label(path)+" has both name and glob", "keep one")
	case name == "" && glob == "" && !c.unsure(path+".name") && !c.unsure(path+".glob") && !c.misspelt(path):
		c.add(path, CodeExactlyOne, label(path)+" has neither name nor glob", "add name for one image, or glob for several")
	}
}

func (c *checker) schedules(schedules []Schedule, path string) {
	seen := map[Schedule]bool{}
	for i, s := range schedules {
		if seen[s.Canonical()] && s.Every != "" {
			c.add(fmt.Sprintf("%s[%d]", path, i), CodeDuplicateEntry, fmt.Sprintf("schedule %s is listed twice", quote(s.Every)), "keep one")
		}
		seen[s.Canonical()] = true
	}
}

// featureNeeds is what Ceph refuses to switch on alone
// (librbd/operation/EnableFeaturesRequest.cc).
var featureNeeds = []struct{ feature, needs string }{
	{FeatureObjectMap, FeatureExclusiveLock},
	{FeatureFastDiff, FeatureObjectMap},
	{FeatureJournaling, FeatureExclusiveLock},
}

func (c *checker) features(image *Image, path string) {
	wanted := image.FeaturesWanted()
	for i, feature := range image.Features {
		at := fmt.Sprintf("%s[%d]", path, i)
		if feature == FeatureJournaling && image.Mode == ModeSnapshot {
			c.add(at, CodeFeatures, "journaling on an image in snapshot mode", "every write would be made twice for nothing: remove it, or write mode: journal")
			continue
		}
		for _, n := range featureNeeds {
			if n.feature == feature && !slices.Contains(wanted, n.needs) {
				c.add(at, CodeFeatures, fmt.Sprintf("%s needs %s", feature, n.needs), fmt.Sprintf("add %s", n.needs))
			}
		}
	}
}

// The bounds of an image's object size: librbd takes orders 12 to 25
// (librbd/internal.cc, create).
const (
	minObjectSize = 4 << 10
	maxObjectSize = 32 << 20
)

func (c *checker) objectSize(size Size, path string) {
	if size == 0 && !c.given(path) {
		return
	}
	if size < minObjectSize || size > maxObjectSize || bits.OnesCount64(uint64(size)) != 1 {
		c.add(path, CodeObjectSize, fmt.Sprintf("object size %s", size), "give a power of two from 4KiB to 32MiB, such as 4MiB")
	}
}

// objective refuses an RPO that the image's own schedules can never meet: a
// copy is at times as old as the shortest interval.
func (c *checker) objective(pool *Pool, poolPath string, image *Image, path string) {
	if image.Mode != ModeSnapshot {
		return
	}
	schedules := image.Schedules
	if len(schedules) == 0 {
		schedules = pool.Schedules
	}
	rpo, at := c.plan.RPO, "rpo"
	if pool.RPO != nil {
		rpo, at = *pool.RPO, poolPath+".rpo"
	}
	if image.RPO != nil {
		rpo, at = *image.RPO, path+".rpo"
	}
	var shortest Duration
	for _, s := range schedules {
		if every := s.Interval(); every > 0 && (shortest == 0 || every < shortest) {
			shortest = every
		}
	}
	if rpo > 0 && shortest > rpo {
		c.add(at, CodeImpossibleRPO, fmt.Sprintf("an objective of %s, but a mirror snapshot only every %s", rpo, shortest), "schedule snapshots more often, or give a longer rpo")
	}
}
