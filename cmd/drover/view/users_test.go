package view

import (
	"strings"
	"testing"

	"github.com/drover-io/drover/plans"
)

// TestUsersOfDrills: users that can touch single pools only can do all that drills need,
// and those of checks no more than that.
func TestUsersOfDrills(t *testing.T) {
	plan, err := plans.Parse("plan.yaml", []byte(`
version: 1
name: shop
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf}
  - {name: b, conf: /etc/ceph/b.conf, daemon: {run: process}}
pools:
  - {name: rbd, journal_pool: journals, images: [{name: vm-1, create: {size: 8MiB, data_pool: ec}}]}
  - {name: rbd, namespace: blue, images: [{glob: "*"}]}
  - {name: other, images: [{name: vm-2}]}
drills:
  - name: nightly
    images: [{pool: rbd, name: vm-1}]
    pool: scratch
    namespace: dr
    user: client.drill
    keyring: /etc/ceph/drill.keyring
    checks: [{name: c, command: [/bin/true]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, onlyPools := range []bool{false, true} {
		osd := map[string]string{}
		for _, u := range NewUsers(plan, onlyPools).Sites[1].Users {
			osd[u.Name] = u.OSD
		}
		want := map[string]string{
			"client.drover": "profile rbd", "client.rbd-mirror.b": "profile rbd",
			"client.drill": `profile rbd pool=scratch namespace=dr, profile rbd-read-only pool=rbd namespace="", profile rbd-read-only pool=ec namespace=""`,
		}
		if onlyPools {
			images := "profile rbd pool=rbd, profile rbd pool=journals, profile rbd pool=ec, profile rbd pool=other"
			want["client.rbd-mirror.b"] = images
			want["client.drover"] = images + ", profile rbd pool=scratch"
		}
		for name, caps := range want {
			if osd[name] != caps {
				t.Errorf("only pools %v: %s has %s, want %s", onlyPools, name, osd[name], caps)
			}
		}
		if len(osd) != len(want) || strings.Contains(osd["client.drill"], "blue") {
			t.Errorf("%v", osd)
		}
	}
}
