package plans

import (
	"path"
	"slices"
	"strings"
)

// PoolMode is what is mirrored of a pool.
type PoolMode string

// The modes of a mirrored pool.
const (
	PoolModeImage PoolMode = "image"
	PoolModePool  PoolMode = "pool"
)

// MirrorMode is how an image is mirrored.
type MirrorMode string

// The modes of a mirrored image.
const (
	ModeJournal  MirrorMode = "journal"
	ModeSnapshot MirrorMode = "snapshot"
)

// Pool is a mirrored pool, or one RADOS namespace in it.
type Pool struct {
	Name        string     `yaml:"name" required:"true" is:"pool" doc:"name of the pool, the same at every site"`
	Namespace   string     `yaml:"namespace" is:"namespace" doc:"RADOS namespace in the pool; created when missing"`
	Mirror      PoolMode   `yaml:"mirror" enum:"image,pool" default:"image" doc:"image: the images listed; pool: every image with journaling"`
	Mode        MirrorMode `yaml:"mode" enum:"journal,snapshot" default:"journal" doc:"how images are mirrored unless they say otherwise"`
	JournalPool string     `yaml:"journal_pool" is:"pool" doc:"pool that holds the journals' data objects (journal mode)"`
	Schedules   []Schedule `yaml:"schedules" doc:"mirror snapshot schedules of the whole pool (snapshot mode)"`
	RPO         *Duration  `yaml:"rpo" doc:"objective for this pool's images, in place of the plan's"`
	Images      []Image    `yaml:"images" doc:"the images; not needed with mirror: pool"`
	// preserved is what the names of copies have that were kept before a resync:
	// they are never the plan's own, whatever its globs say.
	preserved string

	Exclude []string `yaml:"exclude" is:"image-or-glob" doc:"names or globs that the plan leaves alone"`
}

// Image is one image, or all those whose name matches a glob. Either Name or
// Glob is set, never both.
type Image struct {
	Name      string     `yaml:"name" is:"image" doc:"name of one image (or give glob)"`
	Glob      string     `yaml:"glob" is:"glob" doc:"shell pattern over image names, such as volume-*"`
	Mode      MirrorMode `yaml:"mode" enum:"journal,snapshot" doc:"how it is mirrored (default: the pool's mode)"`
	Features  []string   `yaml:"features" enum:"layering,exclusive-lock,object-map,fast-diff,deep-flatten,journaling" doc:"features to switch on besides those that mirroring needs"`
	Create    *Create    `yaml:"create" doc:"create the image at the primary when it is missing"`
	Schedules []Schedule `yaml:"schedules" doc:"mirror snapshot schedules of this image (snapshot mode)"`
	RPO       *Duration  `yaml:"rpo" doc:"objective for this image, in place of the pool's"`
}

// Create says how a missing image is made.
type Create struct {
	Size       Size   `yaml:"size" required:"true" is:"positive" doc:"size, such as 10GiB"`
	ObjectSize Size   `yaml:"object_size" doc:"object size, a power of two from 4KiB to 32MiB (default: Ceph's, 4MiB)"`
	DataPool   string `yaml:"data_pool" is:"pool" doc:"pool for the data objects, such as an erasure-coded one"`
}

// The image features that a plan can ask for, as Ceph spells them.
const (
	FeatureLayering      = "layering"
	FeatureExclusiveLock = "exclusive-lock"
	FeatureObjectMap     = "object-map"
	FeatureFastDiff      = "fast-diff"
	FeatureDeepFlatten   = "deep-flatten"
	FeatureJournaling    = "journaling"
)

// featureOrder is the order in which features can be switched on: each comes
// after those that it depends on (librbd/operation/EnableFeaturesRequest.cc).
var featureOrder = []string{
	FeatureLayering, FeatureExclusiveLock, FeatureObjectMap,
	FeatureFastDiff, FeatureDeepFlatten, FeatureJournaling,
}

// FeaturesWanted returns the features that the image shall have: those that
// the plan lists and those that its mirroring mode needs, in the order in
// which they can be switched on.
func (i *Image) FeaturesWanted() []string {
	var out []string
	for _, feature := range featureOrder {
		mirrored := i.Mode == ModeJournal && (feature == FeatureExclusiveLock || feature == FeatureJournaling)
		if mirrored || slices.Contains(i.Features, feature) {
			out = append(out, feature)
		}
	}
	return out
}

// Matches says whether the entry covers an image of that name.
func (i *Image) Matches(name string) bool {
	return matches(i.Name, i.Glob, name)
}

// Match returns the entry of the pool that covers an image of that name: an
// entry by exact name before the first glob that matches. Excluded names
// match nothing. With mirror: pool every other name matches; one that no
// entry covers gets an entry of its own with the pool's mode.
func (p *Pool) Match(name string) (*Image, bool) {
	if name == "" || p.Excludes(name) {
		return nil, false
	}
	for i := range p.Images {
		if p.Images[i].Name == name {
			return &p.Images[i], true
		}
	}
	for i := range p.Images {
		if p.Images[i].Glob != "" && p.Images[i].Matches(name) {
			return &p.Images[i], true
		}
	}
	if p.Mirror == PoolModePool {
		return &Image{Name: name, Mode: p.Mode}, true
	}
	return nil, false
}

// Excludes says whether the plan leaves an image of that name alone.
func (p *Pool) Excludes(name string) bool {
	if p.preserved != "" && strings.LastIndex(name, p.preserved) > 0 {
		return true
	}
	for _, pattern := range p.Exclude {
		if pattern == name || matches("", pattern, name) {
			return true
		}
	}
	return false
}

// Snapshots says whether images of the pool can be mirrored by snapshots.
func (p *Pool) Snapshots() bool {
	_, snapshot := p.modes()
	return snapshot
}

// Spec returns the pool as the rbd command names it: POOL or POOL/NAMESPACE.
func (p *Pool) Spec() string {
	if p.Namespace == "" {
		return p.Name
	}
	return p.Name + "/" + p.Namespace
}

// matches compares an image's name with an exact name or a glob. Names hold no
// slash, so that * stands for any run of characters.
func matches(exact, glob, name string) bool {
	if exact != "" {
		return exact == name
	}
	if glob == "" {
		return false
	}
	ok, err := path.Match(glob, name)
	return err == nil && ok
}
