package replay

// PoolMode is what is mirrored of a pool.
type PoolMode string

// The modes of a pool, in the words of `rbd mirror pool info`.
const (
	PoolDisabled PoolMode = "disabled"
	PoolImage    PoolMode = "image"
	PoolPool     PoolMode = "pool"
)

// PoolMirroring is a pool's mirroring configuration at one site.
type PoolMirroring struct {
	Mode  PoolMode `json:"mode"`
	UUID  string   `json:"mirror_uuid,omitempty"` // by which peers' journals and snapshots know this pool
	Peers []Peer   `json:"peers,omitempty"`
}

// Direction says which way a peer is replayed, seen from the site that lists
// it.
type Direction string

// The directions of a peer, in the words of `rbd mirror pool peer`.
const (
	RxOnly Direction = "rx-only" // we replay from it
	TxOnly Direction = "tx-only" // it replays from us
	RxTx   Direction = "rx-tx"
)

// Receives reports whether the site replays from the peer.
func (d Direction) Receives() bool { return d == RxOnly || d == RxTx }

// Peer is another cluster as listed in a pool's mirroring configuration.
type Peer struct {
	UUID       string    `json:"uuid"`
	SiteName   string    `json:"site_name"`
	Client     string    `json:"client"` // such as client.rbd-mirror-peer; empty for a TX-only peer by token
	Direction  Direction `json:"direction"`
	MirrorUUID string    `json:"mirror_uuid,omitempty"`
	FSID       string    `json:"fsid,omitempty"`     // of the peer, where the listing knows it
	MonHost    string    `json:"mon_host,omitempty"` // stored address; empty: taken from SITE.conf
	Key        Token     `json:"key,omitempty"`      // stored key; empty: taken from the keyring
}

// Token is a secret of Ceph's: a bootstrap token or a cephx key. It prints as
// <secret>.
type Token string

// String hides the token.
func (Token) String() string { return "<secret>" }

// GoString hides the token.
func (Token) GoString() string { return "<secret>" }

// MarshalText hides the token.
func (Token) MarshalText() ([]byte, error) { return []byte("<secret>"), nil }

// MirrorSchedule is one mirror snapshot schedule. With an empty image name it
// is the pool's.
type MirrorSchedule struct {
	ImageRef
	Every string `json:"every"`           // such as "5m"
	Start string `json:"start,omitempty"` // ISO 8601
}
