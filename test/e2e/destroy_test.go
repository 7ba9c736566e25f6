package e2e

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// modesPlan is a plan of one image in each mode.
const modesPlan = `pools:
  - name: POOL
    images:
      - name: by-journal
        create: {size: 64MiB}
      - name: by-snapshot
        mode: snapshot
        create: {size: 64MiB}
        schedules: [{every: 1h}]
`

// mirroredBoth applies modesPlan and puts data at both sites.
func mirroredBoth(t *testing.T, p string) (file string) {
	t.Helper()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	file = plan(t, shared, p, oneWay(modesPlan))
	ok(t, "plan", "apply", "--yes", file)
	for _, image := range []string{p + "/by-journal", p + "/by-snapshot"} {
		write(t, a, image, "4M")
	}
	rbd(t, a, "mirror", "image", "snapshot", p+"/by-snapshot")
	for _, image := range []string{p + "/by-journal", p + "/by-snapshot"} {
		wantSame(t, a, b, image)
	}
	return file
}

func TestDestroyKeepsData(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := mirroredBoth(t, p)
	images := []string{p + "/by-journal", p + "/by-snapshot"}
	before := map[string]string{}
	for _, image := range images {
		before[image] = fingerprint(t, a, image)
	}

	// A dry run shows the way and changes nothing.
	dry := ok(t, "plan", "destroy", "--dry-run", file)
	for _, words := range []string{"by-journal", "by-snapshot", "remove the peer", "disabled", "mirror snapshot schedule"} {
		if !strings.Contains(dry.stdout, words) {
			t.Errorf("the dry run does not tell of %q\n%s", words, dry)
		}
	}
	unchanged(t, file)

	// Without the plan's name nothing is done.
	refused := answer(t, "no\n", "plan", "destroy", file)
	if refused.code != 13 {
		t.Fatalf("want exit 13\n%s", refused)
	}
	unchanged(t, file)

	if r := answer(t, "e2e\n", "plan", "destroy", file); r.code != 0 {
		t.Fatalf("the plan's name was typed\n%s", r)
	}
	for _, s := range []*lab.Site{a, b} {
		wantUnmirrored(t, s, p, images...)
		for _, image := range images {
			if after := fingerprint(t, s, image); after != before[image] {
				t.Errorf("%s at %s: its data changed", image, s.Name)
			}
		}
	}
	again := ok(t, "plan", "destroy", "--yes", file)
	if !strings.Contains(again.stdout, "No changes") {
		t.Errorf("a second destroy found something to do\n%s", again)
	}
	// The daemons of the lab have known the pool as mirrored. However late they
	// notice, the copies must stay: half a minute is their interval.
	stays(t, 35*time.Second, "the copies at site-b", func() bool {
		for _, image := range images {
			if _, there := lookup(t, b, image); !there {
				return false
			}
		}
		return true
	})
}

// stays fails the test when cond stops to hold within the time.
func stays(t *testing.T, span time.Duration, what string, cond func() bool) {
	t.Helper()
	end := time.NewTimer(span)
	defer end.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if !cond() {
			t.Fatalf("%s did not stay", what)
		}
		select {
		case <-tick.C:
		case <-end.C:
			return
		}
	}
}

// answer runs drover with an answer to what it asks.
func answer(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), drover, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{args: args, stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode(), took: time.Since(began)}
}

func TestDestroyDeletesCopies(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := mirroredBoth(t, p)
	images := []string{p + "/by-journal", p + "/by-snapshot"}
	// A snapshot of a person's is no reason to stop half-way.
	rbd(t, a, "snap", "create", p+"/by-journal@before")
	eventually(t, time.Minute, "snapshot at site-b", func() (bool, string) {
		list := rbd(t, b, "snap", "ls", p+"/by-journal")
		return strings.Contains(list, "before"), list
	})
	before := map[string]string{}
	for _, image := range images {
		before[image] = fingerprint(t, a, image)
	}

	if r := answer(t, "", "plan", "destroy", "--delete-secondary-data", "--reason", "not needed", file); r.code != 13 || !strings.Contains(r.stderr, "data of 2 secondary copies will be deleted") {
		t.Fatalf("want the question and exit 13\n%s", r)
	}
	unchanged(t, file)

	ok(t, "plan", "destroy", "--delete-secondary-data", "--reason", "not needed", "--yes", file)
	wantUnmirrored(t, a, p, images...)
	for _, image := range images {
		if _, there := lookup(t, b, image); there {
			t.Errorf("the copy of %s is still at site-b", image)
		}
		if after := fingerprint(t, a, image); after != before[image] {
			t.Errorf("%s at site-a: its data changed", image)
		}
	}
	if again := ok(t, "plan", "destroy", "--delete-secondary-data", "--reason", "not needed", "--yes", file); !strings.Contains(again.stdout, "No changes") {
		t.Errorf("a second destroy found something to do\n%s", again)
	}
}

// TestDestroyKeepsClonedCopy: what somebody has cloned from a copy is found
// before the copy is taken out of mirroring, and so is a protected snapshot.
func TestDestroyKeepsClonedCopy(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := mirroredBoth(t, p)
	for _, image := range []string{"by-journal", "by-snapshot"} {
		rbd(t, a, "snap", "create", p+"/"+image+"@base")
	}
	rbd(t, a, "snap", "protect", p+"/by-journal@base")
	rbd(t, a, "mirror", "image", "snapshot", p+"/by-snapshot")
	for _, image := range []string{"by-journal", "by-snapshot"} {
		eventually(t, time.Minute, "snapshot of "+image+" at site-b", func() (bool, string) {
			list := rbd(t, b, "snap", "ls", p+"/"+image)
			return strings.Contains(list, "base") && (image != "by-journal" || strings.Contains(list, "yes")), list
		})
	}
	rbd(t, b, "clone", "--rbd-default-clone-format", "2", p+"/by-snapshot@base", p+"/mine")

	fails(t, 13, []string{"has clones: " + p + "/mine", "has protected snapshots: base"},
		"plan", "destroy", "--yes", "--delete-secondary-data", "--reason", "not needed", file)
	wantRole(t, b, p+"/by-journal", false, "journal")
	wantRole(t, b, p+"/by-snapshot", false, "snapshot")

	rbd(t, b, "rm", p+"/mine")
	rbd(t, a, "snap", "unprotect", p+"/by-journal@base")
	eventually(t, time.Minute, "the snapshot at site-b unprotected", func() (bool, string) {
		list := rbd(t, b, "snap", "ls", p+"/by-journal")
		return !strings.Contains(list, "yes"), list
	})
	ok(t, "plan", "destroy", "--yes", "--delete-secondary-data", "--reason", "not needed", file)
	for _, image := range []string{p + "/by-journal", p + "/by-snapshot"} {
		wantUnmirrored(t, a, p, image)
		if _, there := lookup(t, b, image); there {
			t.Errorf("the copy of %s is still at site-b", image)
		}
	}
}

// TestDestroyFindsDaemonElsewhere: under another name the plan's rbd-mirror is
// nobody's here, though it runs; and once it is stopped nobody speaks of it.
func TestDestroyFindsDaemonElsewhere(t *testing.T) {
	t.Parallel()
	l := ownLab(t, "site-a", "site-b")
	folder := runFolder(t)
	file := plan(t, l, "rbd", strings.ReplaceAll(processPlan, "RUN", folder))
	ok(t, "plan", "apply", "--yes", file)
	renamed := plan(t, l, "rbd", strings.Replace(strings.ReplaceAll(processPlan, "RUN", runFolder(t)), "name: e2e", "name: renamed", 1))

	// The service map learns of a daemon some seconds after its start.
	eventually(t, time.Minute, "the daemon that runs seen", func() (bool, string) {
		diff := ok(t, "plan", "diff", renamed)
		return strings.Contains(diff.stdout, "runs at") && !strings.Contains(diff.stdout, "start rbd-mirror"), diff.String()
	})
	fails(t, 13, []string{"rbd-mirror of site-b runs at", "stop it there"}, "plan", "destroy", "--yes", renamed)
	running(t, folder)
	ok(t, "plan", "destroy", "--yes", file)
	ok(t, "plan", "destroy", "--yes", renamed)
	for _, s := range l.Sites() {
		wantUnmirrored(t, s, "rbd", "rbd/disk")
	}
}

func TestDestroyKeepsWhatOthersNeed(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := mirroredBoth(t, p)
	createImage(t, a, p+"/foreign", "layering,exclusive-lock,journaling")
	rbd(t, a, "mirror", "image", "enable", p+"/foreign", "journal")
	wantReplaying(t, b, p+"/foreign")

	fails(t, 13, []string{"stays mirrored", "foreign"}, "plan", "destroy", "--yes", file)
	for _, s := range []*lab.Site{a, b} {
		if info := mirrorInfo(t, s, p); info.Mode != "image" || len(info.Peers) != 1 {
			t.Errorf("the pool at %s: %+v", s.Name, info)
		}
		for _, image := range []string{p + "/by-journal", p + "/by-snapshot"} {
			if i, there := lookup(t, s, image); !there || i.Mirroring.State == "enabled" {
				t.Errorf("%s at %s: there %t, %+v", image, s.Name, there, i.Mirroring)
			}
		}
	}
	wantReplaying(t, b, p+"/foreign")

	rbd(t, a, "mirror", "image", "disable", p+"/foreign")
	eventually(t, 2*time.Minute, "end of the foreign copy", func() (bool, string) {
		_, there := lookup(t, b, p+"/foreign")
		return !there, "it is there"
	})
	ok(t, "plan", "destroy", "--yes", file)
	for _, s := range []*lab.Site{a, b} {
		wantUnmirrored(t, s, p, p+"/by-journal", p+"/by-snapshot")
	}
}

// TestDestroyWithoutPrimary: while the primary's site is away nothing is taken
// down, since its return would undo half of it and cost the copies.
func TestDestroyWithoutPrimary(t *testing.T) {
	t.Parallel()
	l := ownLab(t, "site-a", "site-b")
	a, b := l.Site("site-a"), l.Site("site-b")
	folder := runFolder(t)
	file := plan(t, l, "rbd", strings.ReplaceAll(processPlan, "RUN", folder))
	ok(t, "plan", "apply", "--yes", file)
	write(t, a, "rbd/disk", "4M")
	wantSame(t, a, b, "rbd/disk")
	before := fingerprint(t, a, "rbd/disk")

	if err := a.Vanish(); err != nil {
		t.Fatal(err)
	}
	r := fails(t, 13, []string{"site-a", "does not answer"}, "plan", "destroy", "--yes", "--delete-secondary-data", "--reason", "not needed", file)
	if r.took > 30*time.Second {
		t.Errorf("it took %s to say so", r.took)
	}
	running(t, folder)
	wantRole(t, b, "rbd/disk", false, "journal")
	if at := fingerprint(t, b, "rbd/disk"); at != before {
		t.Error("the copy changed")
	}
	// What is known of the other site is still told, within the promised time.
	status := call(t, "status", "-o", "json", file)
	if status.code == 130 || !strings.Contains(status.stdout, `"disk"`) || status.took > 8*time.Second {
		t.Errorf("status with one site away\n%s", status)
	}

	if err := a.Return(t.Context()); err != nil {
		t.Fatal(err)
	}
	ok(t, "plan", "destroy", "--yes", file)
	for _, s := range l.Sites() {
		wantUnmirrored(t, s, "rbd", "rbd/disk")
		if at := fingerprint(t, s, "rbd/disk"); at != before {
			t.Errorf("the data at %s changed", s.Name)
		}
	}
}
