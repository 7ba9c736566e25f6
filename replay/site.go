package replay

import (
	"context"
	"io"
	"time"
)

// Site is one Ceph cluster: what can be seen of mirroring there and what can
// be done to it. It is the whole contract that replay/ceph and replay/sim
// both keep; users take the small part that they need as an interface of their
// own.
//
// Every method returns promptly once ctx ends, even where the underlying
// librados or librbd call cannot be cancelled: such a call is abandoned, and
// counted (see Abandoned). Every error is an *Error.
type Site interface {
	Cluster
	Pools
	Catalog
	Mirroring
	Snapshots
	Schedules
	Events
	Daemons
	Ledger
	Fencing
	Copying
	io.Closer
}

// Cluster is the cluster as such.
type Cluster interface {
	// Name is the site's name in the plan.
	Name() string
	// Identity asks the monitors who they are. It is the cheapest proof of life.
	Identity(ctx context.Context) (Identity, error)
	// Abandoned is the number of calls that have been given up but still hang.
	Abandoned() int
}

// Identity tells one cluster from another.
type Identity struct {
	FSID    string `json:"fsid"`
	Release string `json:"release"` // such as "16.2.15", as the monitors say
}

// Pools is the mirroring configuration of pools.
type Pools interface {
	// ListPools names all pools of the cluster.
	ListPools(ctx context.Context) ([]string, error)
	// Namespaces names the RADOS namespaces of a pool (never the default one).
	Namespaces(ctx context.Context, pool string) ([]string, error)
	// CreateNamespace makes a namespace; one that exists is no error.
	CreateNamespace(ctx context.Context, pool Pool) error

	// SiteName is the name by which mirroring knows this cluster; Ceph answers
	// with the fsid while none is set.
	SiteName(ctx context.Context) (string, error)
	SetSiteName(ctx context.Context, name string) error

	// PoolMirroring reads mode, mirror uuid and peers.
	PoolMirroring(ctx context.Context, pool Pool) (PoolMirroring, error)
	// SetPoolMode enables, changes or (PoolDisabled) disables mirroring.
	SetPoolMode(ctx context.Context, pool Pool, mode PoolMode) error
	// CreateBootstrapToken makes the token by which another site can import
	// this one as its peer, and with it the user client.rbd-mirror-peer.
	CreateBootstrapToken(ctx context.Context, pool Pool) (Token, error)
	// ImportBootstrapToken adds the token's cluster as peer (and adds this
	// cluster there as tx-only peer).
	ImportBootstrapToken(ctx context.Context, pool Pool, direction Direction, token Token) error
	// AddPeer adds a peer by cluster name and client, the way of conf files,
	// and answers with its uuid.
	AddPeer(ctx context.Context, pool Pool, peer Peer) (string, error)
	// UpdatePeer sets site name, client, direction and (where given) mon host
	// and key of the peer with that UUID.
	UpdatePeer(ctx context.Context, pool Pool, peer Peer) error
	// RemovePeer removes a peer; one that is gone is no error.
	RemovePeer(ctx context.Context, pool Pool, uuid string) error
}

// Detail says how much [Catalog.Images] and [Catalog.LookAt] shall find out of
// each image.
type Detail uint

// The details, to be or-ed. Without any: name, id, and mirroring's mode, state
// and role, at a cost that allows thousands of images.
const (
	// WithHeader adds size, features, parent and snapshots (one read an image).
	WithHeader Detail = 1 << iota
	// WithPositions adds what tells how far copies are: journal positions in
	// journal mode, snapshots in snapshot mode. By itself it is one read a
	// mirrored image.
	WithPositions
)

// ImageTime is how long [Catalog.Images] waits for one image. A busy OSD
// answers within it; one that is gone does not within any time.
const ImageTime = 5 * time.Second

// Catalog is the images of a pool.
type Catalog interface {
	// Images lists all images of a pool (those in the trash left out), sorted
	// by name, in bulk. One that cannot be read, or not in ImageTime, has a Fault
	// and holds up none of the others; an error is one of the pool or the site.
	Images(ctx context.Context, pool Pool, detail Detail) ([]Image, error)
	// LookAt reads the images of a pool that are named, as Images would answer,
	// and nothing of the others. It calls seen once for each name as soon as that
	// one is known: with the image, or with why it cannot be told. A missing one
	// is ErrNotFound; one that cannot be read has its own error, at the latest
	// when ctx ends (ErrTimeout), and holds up none of the others. seen is called
	// by one goroutine at a time, in any order, and never after LookAt has
	// returned. An error of LookAt itself is one of the pool or the site: seen
	// has then been called for none.
	LookAt(ctx context.Context, pool Pool, names []string, detail Detail, seen func(name string, image Image, err error)) error
	// Image reads one image, all details, by opening it. A missing one is
	// ErrNotFound.
	Image(ctx context.Context, ref ImageRef) (Image, error)
	// Users lists the clients that hold or watch the image, the asking one and
	// those that have been shut out (see [Fencing]) left out.
	Users(ctx context.Context, ref ImageRef) ([]ImageUser, error)
	// Ties lists what keeps the image from being removed even where nobody uses it
	// and its user snapshots may go.
	Ties(ctx context.Context, ref ImageRef) (Ties, error)
	// CreateImage makes an image; ErrExists when there is one.
	CreateImage(ctx context.Context, ref ImageRef, spec ImageSpec) error
	// EnableFeatures switches features on, those they depend on first. It refuses
	// (ErrBusy) an exclusive lock while a client uses the image without one, and
	// journaling while a kernel client has it mapped.
	EnableFeatures(ctx context.Context, ref ImageRef, features Features) error
	// DisableFeatures switches features off, those that depend on them first.
	DisableFeatures(ctx context.Context, ref ImageRef, features Features) error
	// RemoveImage removes an image that has no snapshots and no users.
	RemoveImage(ctx context.Context, ref ImageRef) error
}

// Mirroring is what is done to single images, and what the daemons report.
type Mirroring interface {
	// EnableMirroring makes an image primary and lets it be mirrored. Journal
	// mode switches on the features that it needs, as EnableFeatures does.
	EnableMirroring(ctx context.Context, ref ImageRef, mode MirrorMode) error
	// DisableMirroring stops mirroring of an image. At the primary rbd-mirror
	// then deletes the secondaries' copies; force is for a copy that is not
	// primary.
	DisableMirroring(ctx context.Context, ref ImageRef, force bool) error
	Promote(ctx context.Context, ref ImageRef, force bool) error
	Demote(ctx context.Context, ref ImageRef) error
	// DemoteUnused is Demote for who must leave no client behind: allow is asked
	// right before, with those who hold or watch the image (see Users), and where it
	// refuses, nothing has been changed. Users has to open the image, as this does:
	// the one call costs half of the two.
	DemoteUnused(ctx context.Context, ref ImageRef, allow func([]ImageUser) error) error
	Resync(ctx context.Context, ref ImageRef) error
	// CreateMirrorSnapshot takes a mirror snapshot and answers with its id.
	CreateMirrorSnapshot(ctx context.Context, ref ImageRef) (uint64, error)
	// Announce tells all who watch the image that it has changed, so that they
	// read it again. rbd-mirror looks for new mirror snapshots at no other time,
	// and a client that dies between taking one and telling of it leaves it
	// waiting for ever (observed on 16.2.15).
	Announce(ctx context.Context, ref ImageRef) error
	// FinishPromotion lets clients write to a primary that refuses it: in snapshot
	// mode librbd marks an image as non-primary beside its snapshots, before it
	// demotes it and until it has promoted it, and who dies in between leaves the
	// mark, which no promotion removes any more (observed on 16.2.15). It takes a
	// mirror snapshot where that was cut short too. A primary without the mark is no
	// error; an image that is not primary is ErrReadOnly.
	FinishPromotion(ctx context.Context, ref ImageRef) error

	// Reports lists what daemons wrote about each mirrored image of the pool:
	// the local daemon's report and those of peers, as held by this cluster.
	Reports(ctx context.Context, pool Pool) ([]Report, error)
	// AppendTime tells when the primary appended the first journal entry after
	// the position, by reading the journal; ok is false when there is none yet
	// or it has been trimmed. The time is the writing client's clock.
	AppendTime(ctx context.Context, ref ImageRef, after Position) (at time.Time, ok bool, err error)
	// BytesAfter tells how many bytes of journal the primary has appended after
	// the position: the data written and some 70 bytes for each event. ok is
	// false when the position has been trimmed or cannot be found.
	BytesAfter(ctx context.Context, ref ImageRef, after Position) (bytes uint64, ok bool, err error)
}

// Snapshots is user snapshots and what they hold.
type Snapshots interface {
	CreateSnapshot(ctx context.Context, ref ImageRef, name string) error
	// RemoveSnapshot removes a user snapshot; one that is gone is no error.
	RemoveSnapshot(ctx context.Context, ref ImageRef, name string) error
	// CloneSnapshot makes an image that begins as a user snapshot of another one, in
	// any pool: a clone of format 2, without journaling, which takes what is written
	// to it to itself. The snapshot need not be protected, and its image neither
	// primary nor idle: replay goes on, and may remove the snapshot, which then stays,
	// hidden, until the clone has gone. While there are clones, the image itself
	// cannot be removed, and so not copied anew by a resync (see [Catalog.Ties]).
	// ErrNotFound without such a snapshot, ErrExists where the clone's name is taken.
	CloneSnapshot(ctx context.Context, ref ImageRef, snapshot string, clone ImageRef) error
	// OpenSnapshot opens a snapshot for reading, one of mirroring's own too; "" is the
	// image's head.
	OpenSnapshot(ctx context.Context, ref ImageRef, snapshot string) (Reader, error)
}

// Reader reads one image or snapshot. It is safe for concurrent use.
type Reader interface {
	Size() uint64
	// ObjectSize is the size of the RADOS objects that the image is cut into.
	ObjectSize() uint64
	// Extents calls fn for each allocated extent, in order; what lies between
	// is a hole and reads as zeros.
	Extents(ctx context.Context, fn func(Extent) error) error
	ReadAt(ctx context.Context, p []byte, offset uint64) (int, error)
	io.Closer
}

// Extent is a range of bytes of an image.
type Extent struct{ Offset, Length uint64 }

// Schedules is mirror snapshot schedules, kept by the mgr module rbd_support.
type Schedules interface {
	// MirrorSchedules lists the schedules of the pool and of its images.
	// ErrUnsupported where the mgr has no such module.
	MirrorSchedules(ctx context.Context, pool Pool) ([]MirrorSchedule, error)
	AddMirrorSchedule(ctx context.Context, s MirrorSchedule) error
	RemoveMirrorSchedule(ctx context.Context, s MirrorSchedule) error
}

// Events is what a cluster tells without being asked.
type Events interface {
	// Listen calls heard once it listens, and then whenever librbd tells that
	// images of a pool were enabled or disabled for mirroring, copies made by
	// rbd-mirror among them, or that the pool's mode has changed; of many such
	// messages at once some may be one call. Changes of roles are told to nobody
	// (observed on 16.2.15). It returns when ctx ends (ErrTimeout, with the
	// context's own error), or with why it hears nothing any more: ErrNotFound
	// where the pool is not mirrored. While heard runs nothing is missed. Where a
	// site falls silent it may take until that is back to notice.
	Listen(ctx context.Context, pool Pool, heard func()) error
}

// Daemons is what the cluster says of rbd-mirror, and the way to its
// orchestrator.
type Daemons interface {
	// MirrorDaemons lists the rbd-mirror daemons in the cluster's service map.
	MirrorDaemons(ctx context.Context) ([]MirrorDaemon, error)
	// MgrCommand sends one command to the mgr ("prefix" and its arguments) and
	// answers with its output.
	MgrCommand(ctx context.Context, command map[string]any) ([]byte, error)
}
