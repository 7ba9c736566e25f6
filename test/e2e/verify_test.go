package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// verification is what scripts read of `drover verify -o json`.
type verification struct {
	Kind    string `json:"kind"`
	Summary struct {
		Compared, Identical, Different, Failed int
	} `json:"summary"`
	Images []struct {
		Ref struct {
			Image string `json:"image"`
		} `json:"ref"`
		Secondary  string `json:"secondary"`
		Identical  bool   `json:"identical"`
		Next       string `json:"next"`
		Comparison struct {
			A               side    `json:"a"`
			B               side    `json:"b"`
			FirstDifference *uint64 `json:"first_difference"`
			DifferentChunks uint64  `json:"different_chunks"`
		} `json:"comparison"`
	} `json:"images"`
	Leftovers []struct {
		Snapshot string `json:"snapshot"`
		Removed  bool   `json:"removed"`
	} `json:"leftovers"`
}

type side struct {
	Size      uint64 `json:"size"`
	Allocated uint64 `json:"allocated"`
	Digest    string `json:"digest"`
}

// wantNoSnapshots waits until neither site has a snapshot of Drover's: replay
// removes those at the secondaries.
func wantNoSnapshots(t *testing.T, image string, sites ...*lab.Site) {
	t.Helper()
	for _, s := range sites {
		eventually(t, 2*time.Minute, "end of the snapshots of "+image+" at "+s.Name, func() (bool, string) {
			list := rbd(t, s, "snap", "ls", image)
			return !strings.Contains(list, "drover-verify-"), list
		})
	}
}

// writer writes to an image until the test ends it.
func writer(t *testing.T, s *lab.Site, image string) (stop func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "rbd", "-c", s.Conf(), "--name", "client.admin", "bench",
		// As fast as it goes, one small write after the other: replay has to keep up.
		"--io-type", "write", "--io-size", "4K", "--io-threads", "1", "--io-total", "100G", "--io-pattern", "rand", image)
	cmd.Env = lab.CleanEnv(os.Environ())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		_ = cmd.Process.Kill() // it may have ended, which is told next
		if err := <-done; cmd.ProcessState.Exited() {
			t.Errorf("the writer ended by itself: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestVerifyWhileWriting(t *testing.T) {
	t.Parallel()
	a, b, c := shared.Site("site-a"), shared.Site("site-b"), shared.Site("site-c")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay("  - name: site-c\n    conf: site-c.conf\n"+bothModes))
	ok(t, "plan", "apply", "--yes", file)
	for _, name := range []string{"by-journal", "by-snapshot"} {
		image := p + "/" + name
		write(t, a, image, "4M")
		stop := writer(t, a, image)
		var v verification
		ok(t, "verify", "-o", "json", "--bandwidth", "500MiB", file, name).decode(t, &v)
		stop()
		if v.Kind != "Verification" || v.Summary.Compared != 2 || v.Summary.Identical != 2 || len(v.Images) != 2 {
			t.Errorf("%s: want it identical at both secondaries: %+v", name, v)
		}
		for _, i := range v.Images {
			if i.Comparison.A.Allocated == 0 || i.Comparison.A.Size != 64<<20 {
				t.Errorf("%s: nothing was compared: %+v", name, i)
			}
		}
		if len(v.Leftovers) > 0 {
			// Replay was too far behind for the removals to be awaited, and that was
			// said; the next run sweeps them.
			ok(t, "verify", file, name)
		}
		wantNoSnapshots(t, image, a, b, c)
	}
}

// corrupt changes one byte of an image behind librbd's back, as a faulty disk
// would.
func corrupt(t *testing.T, s *lab.Site, pool, image string, offset int) {
	t.Helper()
	content, err := exported(t.Context(), s, pool+"/"+image)
	if err != nil {
		t.Fatal(err)
	}
	const object = 4 << 20
	put(t, s, pool, image, offset/object, offset%object, []byte{^content[offset]})
}

// put writes into one data object of an image, behind librbd's back.
func put(t *testing.T, s *lab.Site, pool, image string, number, offset int, content []byte) {
	t.Helper()
	i, there := lookup(t, s, pool+"/"+image)
	if !there {
		t.Fatalf("no image %s at %s", image, s.Name)
	}
	file := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s.%016x", i.Prefix, number)
	if _, err := s.Rados(t.Context(), "-p", pool, "put", name, file, "--offset", fmt.Sprint(offset)); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyFindsTheFirstDifference(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(bothModes))
	ok(t, "plan", "apply", "--yes", file)
	for _, name := range []string{"by-journal", "by-snapshot"} {
		write(t, a, p+"/"+name, "16M")
	}
	var v verification
	ok(t, "verify", "-o", "json", file).decode(t, &v)
	for _, i := range v.Images {
		if i.Comparison.A.Digest != i.Comparison.B.Digest || i.Comparison.A.Allocated < 16<<20 {
			t.Errorf("%s: identical, but %+v", i.Ref.Image, i.Comparison)
		}
	}
	const first, second = 3*(4<<20) + 12345, 9*(4<<20) + 7
	for _, name := range []string{"by-journal", "by-snapshot"} {
		corrupt(t, b, p, name, second)
		corrupt(t, b, p, name, first)
	}
	r := fails(t, 1, []string{"copies differ", p + "/by-journal", p + "/by-snapshot", "site-a and site-b"}, "verify", "-o", "json", file)
	v = verification{}
	r.decode(t, &v)
	if v.Summary.Different != 2 || len(v.Images) != 2 {
		t.Fatalf("want two that differ\n%s", r)
	}
	for _, i := range v.Images {
		found := i.Comparison
		if i.Identical || found.FirstDifference == nil || *found.FirstDifference != first || found.DifferentChunks != 2 || found.A.Digest == found.B.Digest || i.Next == "" {
			t.Errorf("%s: want the first of two differences at byte %d: %+v", i.Ref.Image, first, i)
		}
	}
	if table := call(t, "verify", file, "by-snapshot"); table.code != 1 || !strings.Contains(table.stdout, fmt.Sprintf("first difference at byte %d", first)) {
		t.Errorf("the table does not tell where\n%s", table)
	}
	wantNoSnapshots(t, p+"/by-journal", a, b)
	wantNoSnapshots(t, p+"/by-snapshot", a, b)
}

func TestVerifyHoleEqualsZeros(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(`pools:
  - name: POOL
    images:
      - name: disk
`))
	// Without an object map, librbd sees an object that was put there by hand.
	createImage(t, a, p+"/disk", "layering,exclusive-lock,journaling")
	ok(t, "plan", "apply", "--yes", file)
	put(t, b, p, "disk", 3, 0, make([]byte, 4<<20))
	var v verification
	ok(t, "verify", "-o", "json", file).decode(t, &v)
	if len(v.Images) != 1 || v.Images[0].Comparison.A.Allocated != 0 || v.Images[0].Comparison.B.Allocated != 4<<20 {
		t.Errorf("want a hole against 4 MiB of zeros: %+v", v.Images)
	}
}

// TestVerifyKilled ends a verification by SIGKILL while it waits for the
// snapshot: what it leaves behind, the next one finds and removes.
func TestVerifyKilled(t *testing.T) {
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(bothModes))
	ok(t, "plan", "apply", "--yes", file)
	images := []string{p + "/by-journal", p + "/by-snapshot"}
	for _, image := range images {
		write(t, a, image, "1M")
	}
	t.Cleanup(func() { startMirror(t, b) })
	if err := b.StopMirror(); err != nil {
		t.Fatal(err)
	}

	// Nothing brings the snapshot over: an error within its time, and nothing
	// stays.
	r := fails(t, 1, []string{"has not come to site-b within 2s", "\nnext: see why replay does not get on: drover status"}, "verify", "--wait", "2s", file)
	if !strings.Contains(r.stdout, "not compared") {
		t.Errorf("the table does not say so\n%s", r)
	}
	for _, image := range images {
		wantNoSnapshots(t, image, a)
	}

	// SIGINT: cleaned up, exit code 130.
	if code := signalled(t, file, a, images, os.Interrupt); code != 130 {
		t.Errorf("interrupted: exit %d, want 130", code)
	}
	for _, image := range images {
		wantNoSnapshots(t, image, a)
	}

	// SIGKILL: nobody cleans up but the next one, which says so.
	signalled(t, file, a, images, syscall.SIGKILL)
	for _, image := range images {
		if list := rbd(t, a, "snap", "ls", image); !strings.Contains(list, "drover-verify-") {
			t.Fatalf("%s: the killed verification left no snapshot to be found: %q", image, list)
		}
	}
	startMirror(t, b)
	var v verification
	ok(t, "verify", "-o", "json", file).decode(t, &v)
	if v.Summary.Identical != 2 || len(v.Leftovers) != 2 || !v.Leftovers[0].Removed || !v.Leftovers[1].Removed {
		t.Errorf("want two identical and two leftovers removed: %+v", v)
	}
	for _, image := range images {
		wantNoSnapshots(t, image, a, b)
	}
}

// signalled starts a verification, sends it a signal once its snapshots are
// there, and tells its exit code.
func signalled(t *testing.T, file string, primary *lab.Site, images []string, signal os.Signal) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), drover, "verify", file)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, image := range images {
		eventually(t, time.Minute, "snapshot of "+image, func() (bool, string) {
			list := rbd(t, primary, "snap", "ls", image)
			return strings.Contains(list, "drover-verify-"), list
		})
	}
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the exit code tells
	return cmd.ProcessState.ExitCode()
}
