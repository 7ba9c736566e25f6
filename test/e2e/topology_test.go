package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// head is the part of a plan that most tests share: two sites whose daemons
// are the lab's own.
const head = `version: 1
name: e2e
direction: DIRECTION
primary: site-a
sites:
  - name: site-a
    conf: site-a.conf
  - name: site-b
    conf: site-b.conf
`

func oneWay(rest string) string { return strings.Replace(head, "DIRECTION", "one-way", 1) + rest }
func twoWay(rest string) string { return strings.Replace(head, "DIRECTION", "two-way", 1) + rest }

// applied applies the plan twice: the first time it must make the sites match
// and the second time find nothing to do.
func applied(t *testing.T, file string) {
	t.Helper()
	ok(t, "plan", "apply", "--yes", file)
	unchanged(t, file)
}

func unchanged(t *testing.T, file string) {
	t.Helper()
	again := ok(t, "plan", "apply", "--yes", file)
	if !strings.Contains(again.stdout+again.stderr, "No changes") {
		t.Fatalf("a second apply found something to do\n%s", again)
	}
	if r := call(t, "plan", "diff", "--detailed-exitcode", file); r.code != 0 {
		t.Fatalf("changes pending after apply\n%s", r)
	}
}

// replicates writes at the primary, has Drover prove the copies identical, and
// checks that proof by other means.
func replicates(t *testing.T, file string, from *lab.Site, image string, to ...*lab.Site) {
	t.Helper()
	write(t, from, image, "8M")
	ok(t, "verify", file)
	for _, s := range to {
		wantSame(t, from, s, image)
	}
}

func TestOneWayJournalByToken(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(`pools:
  - name: POOL
    images:
      - name: made
        create: {size: 64MiB}
      - name: holds-data
        features: [object-map, fast-diff]
`))
	createImage(t, a, p+"/holds-data", "layering")
	write(t, a, p+"/holds-data", "16M")
	if r := call(t, "plan", "diff", "--detailed-exitcode", file); r.code != 2 {
		t.Fatalf("want exit 2\n%s", r)
	}
	applied(t, file)
	for _, image := range []string{p + "/made", p + "/holds-data"} {
		wantRole(t, a, image, true, "journal")
		wantRole(t, b, image, false, "journal")
		wantSame(t, a, b, image)
	}
	replicates(t, file, a, p+"/made", b)
}

func TestTwoWayBothModes(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := plan(t, shared, p, twoWay(`pools:
  - name: POOL
    images:
      - name: by-journal
        create: {size: 64MiB}
      - name: by-snapshot
        mode: snapshot
        create: {size: 64MiB}
        schedules: [{every: 1m}]
`))
	applied(t, file)
	for image, mode := range map[string]string{p + "/by-journal": "journal", p + "/by-snapshot": "snapshot"} {
		wantRole(t, a, image, true, mode)
		wantRole(t, b, image, false, mode)
		replicates(t, file, a, image, b)
	}
	if list := rbd(t, a, "mirror", "snapshot", "schedule", "ls", "--pool", p, "--image", "by-snapshot"); !strings.Contains(list, "1m") {
		t.Fatalf("schedule of by-snapshot at site-a: %q", list)
	}

	// Two-way means that the other site can take over with everything in place.
	// The demoted side must first have linked to the other one: Ceph 16 finds a
	// split-brain where there is none when the promotion comes before that.
	rbd(t, a, "mirror", "image", "demote", p+"/by-journal")
	eventually(t, 2*time.Minute, "link of the demoted side", func() (bool, string) {
		status := rbd(t, a, "mirror", "image", "status", p+"/by-journal")
		return strings.Contains(status, "remote image is not primary"), status
	})
	eventually(t, time.Minute, "promotion at site-b", func() (bool, string) {
		_, err := b.Rbd(t.Context(), "mirror", "image", "promote", p+"/by-journal")
		if err != nil {
			return false, err.Error()
		}
		return true, ""
	})
	write(t, b, p+"/by-journal", "4M")
	wantSame(t, b, a, p+"/by-journal")
}

func TestPoolMode(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	createImage(t, a, p+"/one", "layering,exclusive-lock")
	createImage(t, a, p+"/two", "layering,exclusive-lock,journaling")
	file := plan(t, shared, p, oneWay(`pools:
  - name: POOL
    mirror: pool
`))
	applied(t, file)
	for _, image := range []string{p + "/one", p + "/two"} {
		wantRole(t, a, image, true, "journal")
		wantRole(t, b, image, false, "journal")
		replicates(t, file, a, image, b)
	}
}

func TestNamespaces(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(`pools:
  - name: POOL
    namespace: tenant-1
    images:
      - name: disk
        create: {size: 64MiB}
  - name: POOL
    namespace: tenant-2
    mode: snapshot
    images:
      - name: disk
        create: {size: 64MiB}
        schedules: [{every: 1m}]
`))
	applied(t, file)
	wantRole(t, b, p+"/tenant-1/disk", false, "journal")
	wantRole(t, b, p+"/tenant-2/disk", false, "snapshot")
	replicates(t, file, a, p+"/tenant-1/disk", b)
	replicates(t, file, a, p+"/tenant-2/disk", b)
}

func TestGlobs(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(`pools:
  - name: POOL
    images:
      - glob: volume-*
    exclude: ["*-scratch"]
`))
	for _, name := range []string{"volume-1", "volume-2", "volume-scratch", "other"} {
		createImage(t, a, p+"/"+name, "layering,exclusive-lock")
	}
	applied(t, file)
	wantRole(t, b, p+"/volume-1", false, "journal")
	wantRole(t, b, p+"/volume-2", false, "journal")
	for _, name := range []string{"volume-scratch", "other"} {
		if _, there := lookup(t, b, p+"/"+name); there {
			t.Errorf("%s was mirrored", name)
		}
	}

	// An image made later is one that no plan protected until the next apply.
	createImage(t, a, p+"/volume-3", "layering,exclusive-lock")
	if r := ok(t, "plan", "diff", file); !strings.Contains(r.stdout, "volume-3") || !strings.Contains(r.stdout, "other") {
		t.Fatalf("want volume-3 as a change and other as unprotected\n%s", r)
	}
	applied(t, file)
	wantRole(t, b, p+"/volume-3", false, "journal")
}

func TestFanOut(t *testing.T) {
	t.Parallel()
	a, b, c := shared.Site("site-a"), shared.Site("site-b"), shared.Site("site-c")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(`  - name: site-c
    conf: site-c.conf
pools:
  - name: POOL
    images:
      - name: by-journal
        create: {size: 64MiB}
      - name: by-snapshot
        mode: snapshot
        create: {size: 64MiB}
        schedules: [{every: 1m}]
`))
	applied(t, file)
	for image, mode := range map[string]string{p + "/by-journal": "journal", p + "/by-snapshot": "snapshot"} {
		wantRole(t, a, image, true, mode)
		wantRole(t, b, image, false, mode)
		wantRole(t, c, image, false, mode)
		replicates(t, file, a, image, b, c)
	}
}
