package sim

import (
	"encoding/json"
	"slices"

	"github.com/drover-io/drover/replay"
)

// namespace is a pool's default namespace or one of its others: the unit for
// which mirroring is configured.
type namespace struct {
	Name      string          `json:"name"`
	Mode      replay.PoolMode `json:"mode"`
	UUID      string          `json:"uuid,omitempty"`
	Peers     []*peer         `json:"peers,omitempty"`
	Images    []*image        `json:"images,omitempty"`
	Schedules []*schedule     `json:"schedules,omitempty"`
	// Reports are what daemons wrote here, by global id and the mirror uuid of
	// the daemon's pool ("" for this cluster's own).
	Reports map[string]map[string]*report `json:"reports,omitempty"`

	pool    *namespace // the default one; nil: it is that
	names   map[string]*image
	globals map[string]*image
	sorted  []*image // by name; nil when it has to be made anew
	ears    []*ear   // who listens
}

// peer is another cluster in a namespace's configuration.
type peer struct {
	UUID       string           `json:"uuid"`
	SiteName   string           `json:"site_name"`
	Client     string           `json:"client,omitempty"`
	Direction  replay.Direction `json:"direction"`
	MirrorUUID string           `json:"mirror_uuid,omitempty"`
	MonHost    string           `json:"mon_host,omitempty"`
	Key        string           `json:"key,omitempty"`
}

func newNamespace(name string) *namespace {
	n := &namespace{Name: name, Mode: replay.PoolDisabled}
	n.index()
	return n
}

// outer is the pool's default namespace, whose peers and mirror uuid count for
// all others.
func (n *namespace) outer() *namespace {
	if n.pool != nil {
		return n.pool
	}
	return n
}

// uuid is the mirror uuid, which a pool has while its default namespace is
// mirrored.
func (n *namespace) uuid() string { return n.outer().UUID }

// link lets the namespaces know to whom they belong.
func (p *pool) link() {
	for _, n := range p.Spaces[1:] {
		n.pool = p.Spaces[0]
	}
}

// index builds what is found again from Images.
func (n *namespace) index() {
	n.names, n.globals, n.sorted = map[string]*image{}, map[string]*image{}, nil
	if n.Reports == nil {
		n.Reports = map[string]map[string]*report{}
	}
	for _, i := range n.Images {
		if i == nil {
			continue // Load refuses it
		}
		n.names[i.Name] = i
		if i.Mirror != nil {
			n.globals[i.Mirror.GlobalID] = i
		}
	}
}

// UnmarshalJSON reads what was saved and builds the index.
func (n *namespace) UnmarshalJSON(b []byte) error {
	type plain namespace
	if err := json.Unmarshal(b, (*plain)(n)); err != nil {
		return err
	}
	n.index()
	return nil
}

func (n *namespace) find(name string) *image { return n.names[name] }

func (n *namespace) add(i *image) {
	n.Images = append(n.Images, i)
	n.names[i.Name] = i
	n.sorted = nil
	if i.Mirror != nil {
		n.tell()
	}
}

func (n *namespace) rename(i *image, name string) {
	delete(n.names, i.Name)
	i.Name = name
	n.names[name] = i
	n.sorted = nil
}

func (n *namespace) remove(i *image) {
	n.Images = slices.DeleteFunc(n.Images, func(o *image) bool { return o == i })
	delete(n.names, i.Name)
	n.sorted = nil
	n.unmirror(i)
}

// byName are the images in the order of their names.
func (n *namespace) byName() []*image {
	if n.sorted == nil {
		n.sorted = slices.Clone(n.Images)
		slices.SortFunc(n.sorted, func(a, b *image) int {
			return replay.ImageRef{Name: a.Name}.Compare(replay.ImageRef{Name: b.Name})
		})
	}
	return n.sorted
}

// receivers are the peers that the namespace is replayed to.
func (n *namespace) receivers() []*peer {
	var out []*peer
	for _, p := range n.outer().Peers {
		if p.Direction != replay.RxOnly {
			out = append(out, p)
		}
	}
	return out
}

// source is the peer that the namespace replays from: rbd-mirror supports one
// and, listed several, uses the first.
func (n *namespace) source() *peer {
	for _, p := range n.outer().Peers {
		if p.Direction.Receives() {
			return p
		}
	}
	return nil
}

// mustPool finds a pool also where one of its namespaces is named: peers are
// the pool's.
func (c *cluster) mustPool(p replay.Pool) (*namespace, error) {
	return c.mustSpace(replay.Pool{Name: p.Name})
}

func (c *cluster) mustSpace(p replay.Pool) (*namespace, error) {
	if c.pool(p.Name) == nil {
		return nil, fail(enoent, "error opening pool '%s'", p.Name)
	}
	n := c.space(p)
	if n == nil {
		return nil, fail(enoent, "namespace '%s' does not exist", p.Namespace)
	}
	return n, nil
}
