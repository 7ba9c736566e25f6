package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// TestDrillMany drills 50 images of both modes, two of which are written the whole
// time, and then finds that replication has gone on; and a drill does not begin where
// the secondary's pool is nearly full.
func TestDrillMany(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	var text strings.Builder
	text.WriteString("pools:\n  - name: POOL\n    images:\n")
	for i := range 25 {
		fmt.Fprintf(&text, "      - {name: journal-%d, create: {size: 16MiB}}\n", i)
		fmt.Fprintf(&text, "      - {name: snapshot-%d, create: {size: 16MiB}, mode: snapshot, schedules: [{every: 1h}]}\n", i)
	}
	text.WriteString("drills:\n  - name: all\n    checks: [{name: same, builtin: hash}, {name: readable, builtin: readable}]\n")
	file := plan(t, shared, p, oneWay(text.String()))
	ok(t, "plan", "apply", "--yes", "--wait", "replaying", file)

	written := []string{p + "/journal-0", p + "/snapshot-0"}
	some := moving{written[0]: "journal", written[1]: "snapshot", p + "/journal-1": "journal"}
	var stops []func()
	for _, image := range written {
		stop, ended := busy(t, a, image, steady...)
		stops = append(stops, func() { stop(); <-ended })
	}
	before := digest(t, b, written[0])
	began := time.Now()
	var r drillReport
	said := ok(t, "drill", "-o", "json", file)
	said.decode(t, &r)
	t.Logf("50 images drilled in %s", time.Since(began).Round(time.Second))
	if r.Verdict != "passed" || len(r.Images) != 50 || len(r.Checks) != 100 || len(r.Left) > 0 {
		t.Errorf("the report: %s", said)
	}
	for _, c := range r.Checks {
		if c.Verdict != "passed" {
			t.Errorf("%s of %s: %s %s", c.Name, c.Of, c.Verdict, c.Why)
		}
	}
	if digest(t, b, written[0]) == before {
		t.Errorf("nothing of what was written to %s has come to site-b", written[0])
	}
	for _, stop := range stops {
		stop()
	}
	wantNoDrill(t, some, a, b)
	rbd(t, a, "mirror", "image", "snapshot", written[1])
	for _, image := range written {
		wantSame(t, a, b, image)
	}
	drillWithoutRoom(t, p, file, some, a, b)
}

// drillWithoutRoom has the secondary's pool nearly full: a quota leaves a little, so
// that replay goes on.
func drillWithoutRoom(t *testing.T, p, file string, some moving, a, b *lab.Site) {
	t.Helper()
	const little = 1 << 20
	for _, image := range []string{p + "/journal-1", p + "/journal-2"} {
		rbd(t, a, "bench", "--io-type", "write", "--io-size", "1M", "--io-total", "16M", image)
		wantSame(t, a, b, image)
	}
	// The cluster counts what a pool holds every few seconds.
	var used uint64
	var since time.Time
	eventually(t, time.Minute, "a use of the pool that is known", func() (bool, string) {
		if now := stored(t, b, p); now != used {
			used, since = now, time.Now()
		}
		return used > 16*little && time.Since(since) > 6*time.Second, fmt.Sprint(used)
	})
	ceph(t, b, "osd", "pool", "set-quota", p, "max_bytes", fmt.Sprint(used+little))
	const image = "journal-1"
	fails(t, 13, []string{"there is no room for the drill", p + " at site-b is nearly full"}, "drill", "--image", image, file)
	wantNoDrill(t, some, a, b)
	if history := ok(t, "drill", "history", file); !strings.Contains(history.stdout, "skipped") {
		t.Errorf("the drill that was skipped is not recorded: %s", history)
	}
	ceph(t, b, "osd", "pool", "set-quota", p, "max_bytes", "0")
	eventually(t, time.Minute, "drill with room", func() (bool, string) {
		r := call(t, "drill", "--image", image, file)
		return r.code == 0, r.String()
	})
}

// stored is what a pool holds, in bytes, as the cluster has counted it.
func stored(t *testing.T, s *lab.Site, pool string) uint64 {
	t.Helper()
	var df struct {
		Pools []struct {
			Name  string `json:"name"`
			Stats struct {
				Stored uint64 `json:"stored"`
			} `json:"stats"`
		} `json:"pools"`
	}
	if err := json.Unmarshal([]byte(ceph(t, s, "df", "--format", "json")), &df); err != nil {
		t.Fatal(err)
	}
	for _, p := range df.Pools {
		if p.Name == pool {
			return p.Stats.Stored
		}
	}
	t.Fatalf("no pool %s", pool)
	return 0
}
