package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// edit changes a plan file and gives the way back.
func edit(t *testing.T, file, from, to string) (undo func()) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		t.Fatalf("the plan does not say %q", from)
	}
	put := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(strings.ReplaceAll(string(text), from, to))
	return func() { put(string(text)) }
}

// shows fails the test unless the diff of the plan tells all of the words, and
// answers with the diff.
func shows(t *testing.T, file string, words []string, flags ...string) result {
	t.Helper()
	r := ok(t, append([]string{"plan", "diff", file}, flags...)...)
	for _, w := range words {
		if !strings.Contains(r.stdout, w) {
			t.Fatalf("want %q in the diff\n%s", w, r)
		}
	}
	return r
}

func TestSavedDiff(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(`pools:
  - name: POOL
    images:
      - name: disk
        create: {size: 64MiB}
      - glob: volume-*
`))
	saved := filepath.Join(t.TempDir(), "changes.json")
	ok(t, "plan", "diff", "--out", saved, file)

	// The plan has changed since.
	undo := edit(t, file, "64MiB", "128MiB")
	fails(t, 12, []string{"the plan"}, "plan", "apply", "--yes", saved)
	undo()

	// A site has changed since.
	createImage(t, a, p+"/volume-1", "layering")
	r := fails(t, 12, []string{"site-a", "volume-1"}, "plan", "apply", "--yes", saved)
	if !strings.Contains(r.stdout, "Nothing was done") {
		t.Errorf("the summary does not say that nothing was done\n%s", r)
	}
	if info := mirrorInfo(t, a, p); info.Mode != "disabled" {
		t.Errorf("a stale diff was applied: %+v", info)
	}

	// Made by hand: no diff that Drover has shown.
	ok(t, "plan", "diff", "--out", saved, file)
	undo = edit(t, saved, `"volume-1"`, `"volume-2"`)
	fails(t, 1, []string{"changed by hand"}, "plan", "apply", "--yes", saved)
	undo()

	// Unchanged, it does what was shown; and then describes the sites no more.
	ok(t, "plan", "apply", "--yes", saved)
	wantRole(t, a, p+"/disk", true, "journal")
	wantRole(t, b, p+"/volume-1", false, "journal")
	unchanged(t, file)
	fails(t, 12, []string{"disk"}, "plan", "apply", "--yes", saved)
}

func TestDiffPrune(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := mirroredBoth(t, p)
	before := fingerprint(t, a, p+"/by-snapshot")
	edit(t, file, `      - name: by-snapshot
        mode: snapshot
        create: {size: 64MiB}
        schedules: [{every: 1h}]
`, "")

	// Dropped from the plan: shown, and never stopped silently.
	shows(t, file, []string{"by-snapshot", "not in the plan any more", "--prune"})
	r := ok(t, "plan", "apply", "--yes", file)
	if !strings.Contains(r.stdout, "by-snapshot") {
		t.Errorf("apply does not tell of the dropped image\n%s", r)
	}
	wantRole(t, a, p+"/by-snapshot", true, "snapshot")

	// With --prune it is asked for.
	shows(t, file, []string{"stop mirroring an image that was dropped", "mirror image disable", "schedule remove", "destructive"}, "--prune")
	if r := answer(t, "", "plan", "apply", "--prune", file); r.code != 13 {
		t.Fatalf("want exit 13\n%s", r)
	}
	wantRole(t, a, p+"/by-snapshot", true, "snapshot")
	ok(t, "plan", "apply", "--prune", "--yes", file)
	if i, there := lookup(t, a, p+"/by-snapshot"); !there || i.Mirroring.State == "enabled" {
		t.Errorf("by-snapshot at site-a: there %t, %+v", there, i.Mirroring)
	}
	if after := fingerprint(t, a, p+"/by-snapshot"); after != before {
		t.Error("the data at site-a changed")
	}
	wantRole(t, b, p+"/by-journal", false, "journal")
	if list := rbd(t, a, "mirror", "snapshot", "schedule", "ls", "--pool", p, "--recursive"); strings.Contains(list, "by-snapshot") {
		t.Errorf("its schedule is left: %s", list)
	}
}

func TestDiffClones(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	createImage(t, a, p+"/base", "layering,exclusive-lock")
	write(t, a, p+"/base", "1M")
	rbd(t, a, "snap", "create", p+"/base@golden")
	rbd(t, a, "clone", "--rbd-default-clone-format", "2", p+"/base@golden", p+"/clone")
	file := plan(t, shared, p, oneWay(`pools:
  - name: POOL
    images:
      - name: clone
`))
	shows(t, file, []string{"it is a clone of " + p + "/base, which is not mirrored", "flatten", "no plan protects it"})
	fails(t, 13, []string{"clone of " + p + "/base"}, "plan", "apply", "--yes", file)
	if i, _ := lookup(t, a, p+"/clone"); i.Mirroring.State == "enabled" {
		t.Error("the clone was mirrored without its parent")
	}

	// With the parent in the plan, parent first.
	edit(t, file, "      - name: clone\n", "      - name: clone\n      - name: base\n")
	applied(t, file)
	for _, image := range []string{p + "/base", p + "/clone"} {
		wantRole(t, b, image, false, "journal")
		wantSame(t, a, b, image)
	}
	// And the way back children first.
	ok(t, "plan", "destroy", "--yes", file)
	wantUnmirrored(t, a, p, p+"/base", p+"/clone")
	wantUnmirrored(t, b, p, p+"/base", p+"/clone")
}

func TestDiffPeers(t *testing.T) {
	t.Parallel()
	b := shared.Site("site-b")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(`pools:
  - name: POOL
    images:
      - name: disk
        create: {size: 16MiB}
`))
	applied(t, file)
	wantPeer(t, b, p, "site-a", "client.rbd-mirror-peer", "rx-only")
	uuid := func() string { return mirrorInfo(t, b, p).Peers[0].UUID }

	for _, wrong := range []struct{ key, value string }{
		{"direction", "rx-tx"},
		{"client", "client.nobody"},
	} {
		rbd(t, b, "mirror", "pool", "peer", "set", p, uuid(), wrong.key, wrong.value)
		shows(t, file, []string{"Changed behind the plan's back", "site-b " + p + ": receive from site-a", wrong.value})
		applied(t, file)
		wantPeer(t, b, p, "site-a", "client.rbd-mirror-peer", "rx-only")
	}

	// A peer that the plan does not know takes the only place that there is.
	rbd(t, b, "mirror", "pool", "peer", "remove", p, uuid())
	rbd(t, b, "mirror", "pool", "peer", "add", p, "client.stranger@elsewhere")
	shows(t, file, []string{"peer elsewhere", "is no site of the plan", "--prune"})
	fails(t, 1, []string{"elsewhere", "is no site of the plan"}, "plan", "apply", "--yes", file)
	ok(t, "plan", "apply", "--yes", "--prune", file)
	unchanged(t, file)
	wantPeer(t, b, p, "site-a", "client.rbd-mirror-peer", "rx-only")
	wantReplaying(t, b, p+"/disk")
}

func TestDiffSchedules(t *testing.T) {
	t.Parallel()
	a := shared.Site("site-a")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(`pools:
  - name: POOL
    images:
      - name: disk
        mode: snapshot
        create: {size: 16MiB}
        schedules: [{every: 5m}]
`))
	applied(t, file)
	schedule := func(args ...string) string {
		t.Helper()
		return rbd(t, a, append([]string{"mirror", "snapshot", "schedule"}, args...)...)
	}
	at := []string{"--pool", p, "--image", "disk"}

	// Taken away and replaced behind the plan's back.
	schedule(append([]string{"remove"}, append(at, "5m")...)...)
	schedule(append([]string{"add"}, append(at, "7h")...)...)
	shows(t, file, []string{"add a mirror snapshot schedule: every 5m", "the schedule every 7h is not in the plan"})
	r := ok(t, "plan", "apply", "--yes", file)
	if !strings.Contains(r.stdout, "every 7h") {
		t.Errorf("apply does not tell of the other schedule\n%s", r)
	}
	if list := schedule(append([]string{"ls"}, at...)...); !strings.Contains(list, "5m") || !strings.Contains(list, "7h") {
		t.Errorf("schedules: %s", list)
	}
	ok(t, "plan", "apply", "--yes", "--prune", file)
	if list := schedule(append([]string{"ls"}, at...)...); !strings.Contains(list, "5m") || strings.Contains(list, "7h") {
		t.Errorf("schedules: %s", list)
	}
	unchanged(t, file)
}

// TestApplyWritesNothing: an apply that finds nothing to do, a diff and a status
// write not one object at either site.
func TestApplyWritesNothing(t *testing.T) {
	t.Parallel()
	l := mirroredLab(t)
	prepareOld(t, l.Site("site-a"), "rbd")
	file := plan(t, l, "rbd", fifteen("quiet"))
	applied(t, file)
	// What the daemon itself writes is none of Drover's.
	if err := l.Site("site-b").StopMirror(); err != nil {
		t.Fatal(err)
	}
	// Neither are the managers' rare writes: so one window without any proves it.
	eventually(t, 90*time.Second, "window without a write", func() (bool, string) {
		before := written(t, l)
		unchanged(t, file)
		call(t, "status", file) // it finds the stopped daemon
		after := written(t, l)
		t.Logf("before: %s\nafter: %s", before, after)
		return before == after, fmt.Sprintf("before: %s after: %s", before, after)
	})
}

// written sums up what has been written to the clusters: the storage daemons'
// count of writes, and all keys that mirroring keeps at the monitors.
func written(t *testing.T, l *lab.Lab) string {
	t.Helper()
	var sum []string
	for _, s := range l.Sites() {
		var counters struct {
			OSD struct {
				Writes int64 `json:"op_w"`
				Both   int64 `json:"op_rw"`
			} `json:"osd"`
		}
		if err := json.Unmarshal([]byte(ceph(t, s, "tell", "osd.0", "perf", "dump")), &counters); err != nil {
			t.Fatal(err)
		}
		if counters.OSD.Writes == 0 {
			t.Fatalf("the OSD of %s counts no writes at all", s.Name)
		}
		var keys map[string]string
		if err := json.Unmarshal([]byte(ceph(t, s, "config-key", "dump", "rbd/mirror/")), &keys); err != nil {
			t.Fatal(err)
		}
		sum = append(sum, fmt.Sprintf("%s: %d writes, %d both, keys %v", s.Name, counters.OSD.Writes, counters.OSD.Both, keys))
	}
	return strings.Join(sum, "; ")
}
