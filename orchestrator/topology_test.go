package orchestrator_test

import (
	"testing"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

const oneWay = `
version: 1
name: shop
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf}
  - {name: b, conf: /etc/ceph/b.conf, daemon: {run: process}}
pools:
  - name: rbd
    images:
      - {name: vm-1, create: {size: 8MiB}}
      - glob: volume-*
`

const twoWay = `
version: 1
name: shop
direction: two-way
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf, daemon: {run: process}}
  - {name: b, conf: /etc/ceph/b.conf, daemon: {run: process}}
pools:
  - name: rbd
    images:
      - {name: vm-1, create: {size: 8MiB}}
      - glob: volume-*
`

const fanOut = `
version: 1
name: shop
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf}
  - {name: b, conf: /etc/ceph/b.conf, daemon: {run: process}}
  - {name: c, conf: /etc/ceph/c.conf, daemon: {run: process}}
pools:
  - name: rbd
    images:
      - {name: vm-1, create: {size: 8MiB}}
      - {name: snap-1, mode: snapshot, create: {size: 8MiB}}
      - glob: volume-*
`

const snapshots = `
version: 1
name: shop
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf}
  - {name: b, conf: /etc/ceph/b.conf, daemon: {run: process}}
pools:
  - name: rbd
    mode: snapshot
    schedules: [{every: 60m}]
    images:
      - {name: vm-1, create: {size: 8MiB}, schedules: [{every: 5m}]}
      - glob: volume-*
`

const snapshotsTwoWay = `
version: 1
name: shop
direction: two-way
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf, daemon: {run: process}}
  - {name: b, conf: /etc/ceph/b.conf, daemon: {run: process}}
pools:
  - name: rbd
    mode: snapshot
    images:
      - {name: vm-1, create: {size: 8MiB}, schedules: [{every: 5m}]}
      - glob: volume-*
`

const poolMode = `
version: 1
name: shop
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf}
  - {name: b, conf: /etc/ceph/b.conf, daemon: {run: process}}
pools:
  - name: rbd
    mirror: pool
    images:
      - {name: vm-1, create: {size: 8MiB}}
`

const namespaces = `
version: 1
name: shop
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf}
  - {name: b, conf: /etc/ceph/b.conf, daemon: {run: process}}
pools:
  - name: rbd
    images:
      - {name: vm-1, create: {size: 8MiB}}
      - glob: volume-*
  - name: rbd
    namespace: tenant
    images:
      - {name: vm-1, create: {size: 8MiB}}
`

const namespaceOnly = `
version: 1
name: shop
direction: two-way
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf, daemon: {run: process}}
  - {name: b, conf: /etc/ceph/b.conf, daemon: {run: process}}
pools:
  - name: rbd
    namespace: tenant
    images:
      - {name: vm-1, create: {size: 8MiB}}
      - glob: volume-*
`

const byConf = `
version: 1
name: guide
primary: lab8106
sites:
  - {name: lab8106, conf: /etc/ceph/local.conf, cluster: local, user: client.admin}
  - {name: lab8107, conf: /etc/ceph/remote.conf, cluster: remote, user: client.admin, daemon: {run: process}}
peers: {by: conf, client: client.admin}
pools:
  - name: rbd
    images:
      - {name: vm-1, create: {size: 8MiB}}
      - glob: volume-*
`

const byConfTwoWay = `
version: 1
name: guide
direction: two-way
primary: lab8106
sites:
  - {name: lab8106, conf: /etc/ceph/local.conf, cluster: local, user: client.admin, daemon: {run: process}}
  - {name: lab8107, conf: /etc/ceph/remote.conf, cluster: remote, user: client.admin, daemon: {run: process}}
peers: {by: conf, client: client.admin}
pools:
  - name: rbd
    images:
      - {name: vm-1, create: {size: 8MiB}}
      - glob: volume-*
`

var topologies = []struct{ name, plan string }{
	{"one-way", oneWay},
	{"two-way", twoWay},
	{"fan-out", fanOut},
	{"snapshot", snapshots},
	{"snapshot two-way", snapshotsTwoWay},
	{"pool mode", poolMode},
	{"namespaces", namespaces},
	{"namespace only", namespaceOnly},
	{"conf peers", byConf},
	{"conf peers two-way", byConfTwoWay},
}

// ref is an image in the first pool of the plan.
func (b *bed) ref(name string) replay.ImageRef {
	return replay.Pool{Name: b.plan.Pools[0].Name, Namespace: b.plan.Pools[0].Namespace}.Image(name)
}

// plain is what an image had before anyone thought of mirroring.
const plain = replay.FeatureLayering | replay.FeatureExclusiveLock

// TestTopologies takes each topology from nothing to replaying images and
// back.
func TestTopologies(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, topology.plan)
				b.image(b.plan.Primary, b.ref("volume-7"), plain)
				result := b.applied()
				if result.Unchanged() {
					t.Fatal("an apply from nothing changed nothing")
				}
				for _, image := range result.Images {
					if image.State != replay.Replaying {
						t.Errorf("%s is %s", image.Ref, image.State)
					}
				}
				for _, s := range b.plan.Secondaries() {
					for _, name := range []string{"vm-1", "volume-7"} {
						if role := b.role(s.Name, b.ref(name)); role != replay.RoleSecondary {
							t.Errorf("%s at %s is %s", name, s.Name, role)
						}
					}
					if got, want := b.content(s.Name, b.ref("volume-7")), "data of "+b.ref("volume-7").String(); got != want {
						t.Errorf("content at %s: %q", s.Name, got)
					}
				}
				b.settled()
				b.destroyed(orchestrator.DestroyOptions{})
				for _, s := range b.plan.Sites {
					if role := b.role(s.Name, b.ref("volume-7")); role != replay.RoleNone {
						t.Errorf("after destroy volume-7 at %s is %s", s.Name, role)
					}
					if got, want := b.content(s.Name, b.ref("volume-7")), "data of "+b.ref("volume-7").String(); got != want {
						t.Errorf("after destroy content at %s: %q", s.Name, got)
					}
				}
			})
		})
	}
}

// destroyed destroys and wants nothing left of the plan's mirroring.
func (b *bed) destroyed(o orchestrator.DestroyOptions) {
	b.t.Helper()
	result, err := b.destroy(o)
	if err != nil {
		b.t.Fatalf("destroy: %v\n%s", err, outcomes(result))
	}
	for _, site := range b.observe().Sites {
		if b.world.DaemonRuns(site.Name) {
			b.t.Errorf("rbd-mirror still runs at %s", site.Name)
		}
		for _, pool := range site.Pools {
			if pool.Mirroring.Mode != replay.PoolDisabled || pool.Whole.Mode != replay.PoolDisabled || len(pool.Whole.Peers) > 0 || len(pool.Schedules) > 0 {
				b.t.Errorf("left at %s: %+v, schedules %v", site.Name, pool.Mirroring, pool.Schedules)
			}
			for _, image := range pool.Images {
				if image.Mirrored() {
					b.t.Errorf("%s still mirrored at %s", image.Ref, site.Name)
				}
			}
		}
	}
	b.world.ForgetCalls()
	again, err := b.destroy(o)
	if err != nil || !again.Unchanged() || len(b.world.Writes()) > 0 {
		b.t.Errorf("a further destroy: %v, %v\n%s", err, b.world.Writes(), outcomes(again))
	}
}
