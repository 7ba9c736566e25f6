package replay

import (
	"fmt"
	"strings"
	"time"
)

// MirrorMode is how an image is mirrored.
type MirrorMode string

// The modes of an image.
const (
	ModeJournal  MirrorMode = "journal"
	ModeSnapshot MirrorMode = "snapshot"
)

// Role is an image's role at one site. It comes from the image itself (the
// owner of the journal's newest tag, or the newest mirror snapshot), never
// from a status text.
type Role string

// The roles.
const (
	RoleNone      Role = "none"      // not mirrored
	RolePrimary   Role = "primary"   // writable
	RoleSecondary Role = "secondary" // Ceph: non-primary
)

// MirrorState is the state of an image's entry in the mirroring directory.
type MirrorState string

// The states, as librbd has them (rbd_mirror_image_state_t).
const (
	StateDisabled  MirrorState = "disabled"
	StateCreating  MirrorState = "creating"
	StateEnabled   MirrorState = "enabled"
	StateDisabling MirrorState = "disabling"
)

// Image is what one site says of one image. Fields below Mirror are filled as
// far as the Detail asked for.
type Image struct {
	Ref ImageRef `json:"ref"`
	// ID is the internal id: a resync gives the copy a new one.
	ID string `json:"id"`

	// Mirroring's view. Mode, GlobalID and Demoted are empty when Role is
	// RoleNone.
	Role     Role        `json:"role"`
	Mode     MirrorMode  `json:"mode,omitempty"`
	State    MirrorState `json:"state,omitempty"`
	GlobalID string      `json:"global_id,omitempty"`
	// Demoted: this copy was primary or followed one that was, and its newest
	// tag or mirror snapshot is a demotion. Filled with WithPositions.
	Demoted bool `json:"demoted,omitempty"`
	// Unwritable: a primary that refuses every write (EROFS), because a promotion
	// or a demotion of it was cut short (see [Mirroring.FinishPromotion]). Filled
	// WithHeader and WithPositions.
	Unwritable bool `json:"unwritable,omitempty"`

	// With WithHeader.
	Size       uint64    `json:"size,omitempty"`        // bytes
	ObjectSize uint64    `json:"object_size,omitempty"` // bytes
	Features   Features  `json:"features,omitempty"`
	Parent     *ImageRef `json:"parent,omitempty"` // of a clone

	// Snapshots, oldest first, are filled WithHeader, and WithPositions in
	// snapshot mode.
	Snapshots []Snapshot `json:"snapshots,omitempty"`
	// Journal is filled WithPositions in journal mode.
	Journal *Journal `json:"journal,omitempty"`

	// Fault is why this one could not be read where [Catalog.Images] has listed
	// it. Nothing but Ref and ID is known then, not even whether it is mirrored.
	Fault error `json:"-"`
}

// Unread is an image of which nothing more is known than that it is there.
func (i Image) Unread(why error) Image { return Image{Ref: i.Ref, ID: i.ID, Fault: why} }

// Mirrored reports whether mirroring is enabled for the image.
func (i Image) Mirrored() bool { return i.Role != RoleNone && i.Role != "" }

// Features are an image's features.
type Features uint64

// The features that matter to mirroring, with librbd's bits
// (include/rbd/features.h).
const (
	FeatureLayering      Features = 1 << 0
	FeatureStriping      Features = 1 << 1
	FeatureExclusiveLock Features = 1 << 2
	FeatureObjectMap     Features = 1 << 3
	FeatureFastDiff      Features = 1 << 4
	FeatureDeepFlatten   Features = 1 << 5
	FeatureJournaling    Features = 1 << 6
	FeatureDataPool      Features = 1 << 7
	FeatureOperations    Features = 1 << 8
	FeatureMigrating     Features = 1 << 9
	FeatureNonPrimary    Features = 1 << 10
)

var featureNames = []string{
	"layering", "striping", "exclusive-lock", "object-map", "fast-diff",
	"deep-flatten", "journaling", "data-pool", "operations", "migrating", "non-primary",
}

// Has reports whether all of the wanted features are on.
func (f Features) Has(want Features) bool { return f&want == want }

// Names are the features in the words of `rbd info`.
func (f Features) Names() []string {
	var names []string
	for bit, name := range featureNames {
		if f&(1<<bit) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String is the features separated by commas.
func (f Features) String() string { return strings.Join(f.Names(), ",") }

// ParseFeatures reads feature names.
func ParseFeatures(names []string) (Features, error) {
	var f Features
next:
	for _, name := range names {
		for bit, known := range featureNames {
			if name == known {
				f |= 1 << bit
				continue next
			}
		}
		return 0, fmt.Errorf("unknown image feature %q", name)
	}
	return f, nil
}

// ImageSpec says how to make an image.
type ImageSpec struct {
	Size        uint64 // bytes
	ObjectSize  uint64 // bytes; 0: the cluster's default
	Features    Features
	DataPool    string
	JournalPool string
}

// ImageUser is a client that holds or watches an image.
type ImageUser struct {
	Client  string `json:"client"`  // such as client.4151
	Address string `json:"address"` // as the OSD saw it
	Locks   bool   `json:"locks"`   // owns the exclusive lock
	// Mirror: it is an rbd-mirror daemon (it is in the service map).
	Mirror bool `json:"mirror"`
	// Kernel: it is a krbd mapping, as far as can be told (a watcher cookie of
	// the kernel's kind).
	Kernel bool `json:"kernel"`
}

// Ties are what an image cannot be removed for.
type Ties struct {
	// Clones are the images made of its snapshots, wherever they are, in the trash
	// too.
	Clones []string `json:"clones,omitempty"`
	// Protected are the names of its snapshots that must be unprotected first.
	Protected []string `json:"protected,omitempty"`
}

// SnapshotKind tells user snapshots from mirroring's own.
type SnapshotKind string

// The kinds of snapshot (cls_rbd snapshot namespaces).
const (
	SnapshotUser   SnapshotKind = "user"
	SnapshotMirror SnapshotKind = "mirror"
	SnapshotOther  SnapshotKind = "other" // group, trash
)

// MirrorSnapshotState is the state of a mirror snapshot
// (cls::rbd::MirrorSnapshotState).
type MirrorSnapshotState string

// The states of a mirror snapshot, in the words of `rbd snap ls --all`.
const (
	SnapPrimary           MirrorSnapshotState = "primary"
	SnapPrimaryDemoted    MirrorSnapshotState = "demoted"
	SnapNonPrimary        MirrorSnapshotState = "non-primary"
	SnapNonPrimaryDemoted MirrorSnapshotState = "non-primary demoted"
)

// Snapshot is one snapshot of an image.
type Snapshot struct {
	ID      uint64       `json:"id"`
	Name    string       `json:"name"`
	Kind    SnapshotKind `json:"kind"`
	Created time.Time    `json:"created"`
	Size    uint64       `json:"size"`

	// Mirror is set for SnapshotMirror.
	Mirror *MirrorSnapshot `json:"mirror,omitempty"`
}

// MirrorSnapshot is what mirroring keeps with its own snapshots.
type MirrorSnapshot struct {
	State MirrorSnapshotState `json:"state"`
	// Complete: the whole content has arrived. At the primary: the client that took
	// it has not died in the middle; nobody ever copies one that is not complete
	// (tools/rbd_mirror/image_replayer/snapshot/Replayer.cc:
	// scan_remote_mirror_snapshots), and librbd drops it when it takes the next one.
	Complete bool `json:"complete"`
	// PrimaryUUID and PrimaryID name the snapshot at the primary that this one
	// is the copy of (on secondaries).
	PrimaryUUID string `json:"primary_mirror_uuid,omitempty"`
	PrimaryID   uint64 `json:"primary_snap_id,omitempty"`
	// Peers are the mirror uuids that still have to sync it (on the primary).
	Peers []string `json:"mirror_peer_uuids,omitempty"`
	// LastCopiedObject is how far the copy has come, in objects.
	LastCopiedObject uint64 `json:"last_copied_object_number,omitempty"`
}
