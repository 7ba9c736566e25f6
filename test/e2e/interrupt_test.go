package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// interruptSeed chooses the moments at which applies are cut short; a failing
// run names the moment, which says more than the seed.
const interruptSeed = 20170824

// fifteen is a plan of 15 images, in both modes, none of which exists yet but
// three that hold data and lack the features.
func fifteen(name string) string {
	var b strings.Builder
	b.WriteString(strings.Replace(oneWay(""), "name: e2e", "name: "+name, 1))
	b.WriteString("pools:\n  - name: POOL\n    images:\n")
	for i := range 12 {
		mode := "journal"
		if i%2 == 1 {
			mode = "snapshot\n        schedules: [{every: 1h}]"
		}
		fmt.Fprintf(&b, "      - name: new-%d\n        create: {size: 16MiB}\n        mode: %s\n", i, mode)
	}
	b.WriteString("      - glob: old-*\n        features: [object-map, fast-diff]\n")
	return b.String()
}

// TestApplyInterrupted ends applies at random moments, by SIGKILL and by
// SIGINT, and has the next one finish.
func TestApplyInterrupted(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	moments := rand.New(rand.NewPCG(interruptSeed, 1))
	whole := uninterrupted(t)
	p := pool(t, shared)
	file := plan(t, shared, p, fifteen("interrupted"))
	prepareOld(t, a, p)
	begun(t, a, p, "new-5")
	for i := range 8 {
		sig := syscall.SIGKILL
		if i%2 == 1 {
			sig = syscall.SIGINT
		}
		// Half of what a whole apply took: an apply that goes on from another has
		// less to do.
		after := time.Duration(moments.Int64N(int64(whole) / 2))
		r := cut(t, sig, after, "plan", "apply", "--yes", "-o", "json", file)
		t.Logf("%s after %s: exit %d", sig, after.Round(time.Millisecond), r.code)
		switch {
		case sig == syscall.SIGKILL && r.code == 137, r.code == 0:
		case r.code == 10: // a killed one's lease lasts half a minute
		case r.code == 130:
			wantSummary(t, r)
		default:
			t.Fatalf("%s after %s\n%s", sig, after, r)
		}
	}
	eventually(t, time.Minute, "end of a killed apply's lease", func() (bool, string) {
		r := call(t, "plan", "apply", "--yes", file)
		return r.code != 10, r.String()
	})
	applied(t, file)
	for _, image := range []string{"new-0", "new-10", "old-0", "old-2"} {
		wantRole(t, a, p+"/"+image, true, "journal")
		wantRole(t, b, p+"/"+image, false, "journal")
	}
	for _, image := range []string{"new-1", "new-11"} {
		wantRole(t, a, p+"/"+image, true, "snapshot")
		wantRole(t, b, p+"/"+image, false, "snapshot")
	}
	for _, image := range []string{"old-0", "old-1", "old-2"} {
		wantSame(t, a, b, p+"/"+image)
	}
	ok(t, "verify", file)
}

// begun leaves what a client leaves that is killed as it begins to make an image.
func begun(t *testing.T, s *lab.Site, pool, image string) {
	t.Helper()
	id := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(id, []byte("\x0c\x00\x00\x001f2e3d4c5b6a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rados(t.Context(), "--pool", pool, "put", "rbd_id."+image, id); err != nil {
		t.Fatal(err)
	}
}

func prepareOld(t *testing.T, s *lab.Site, pool string) {
	t.Helper()
	for i := range 3 {
		image := fmt.Sprintf("%s/old-%d", pool, i)
		createImage(t, s, image, "layering")
		write(t, s, image, "4M")
	}
}

// uninterrupted applies the plan to a pool of its own and answers with the
// time that it took: the span in which interrupting makes sense.
func uninterrupted(t *testing.T) time.Duration {
	t.Helper()
	const name = "uninterrupted"
	for _, s := range shared.Sites() {
		if err := s.CreatePool(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	prepareOld(t, shared.Site("site-a"), name)
	file := plan(t, shared, name, fifteen("uninterrupted"))
	r := ok(t, "plan", "apply", "--yes", "--wait", "none", file)
	ok(t, "plan", "destroy", "--yes", "--delete-secondary-data", "--reason", "not needed", file)
	return r.took
}

// cut runs drover and sends it a signal after a time, unless it has ended. The
// exit code of one that was killed is 137, as a shell says it.
func cut(t *testing.T, sig syscall.Signal, after time.Duration, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, drover, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() {
		if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("send %s: %v", sig, err)
		}
	})
	err := cmd.Wait()
	timer.Stop()
	r := result{args: args, stdout: stdout.String(), stderr: stderr.String(), took: time.Since(began), code: cmd.ProcessState.ExitCode()}
	if ctx.Err() != nil {
		t.Fatalf("still running long after %s\n%s", sig, r)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		r.code = 128 + int(status.Signal())
	}
	return r
}

// wantSummary fails the test unless an interrupted apply says what it did and
// what it did not.
func wantSummary(t *testing.T, r result) {
	t.Helper()
	if r.stdout == "" && r.stderr == "" { // before it had begun to listen for signals
		return
	}
	if !strings.Contains(r.stderr, "interrupted") {
		t.Errorf("stderr does not say that it was interrupted\n%s", r)
	}
	if r.stdout == "" { // before there was anything to tell
		return
	}
	var said struct {
		Interrupted bool `json:"interrupted"`
		Changes     []struct {
			Outcome string `json:"outcome"`
		} `json:"changes"`
		Summary struct {
			Done    int `json:"done"`
			Failed  int `json:"failed"`
			NotDone int `json:"not_done"`
		} `json:"summary"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &said); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	if !said.Interrupted || said.Summary.Failed > 0 || said.Summary.Done+said.Summary.NotDone != len(said.Changes) {
		t.Errorf("the summary does not add up\n%s", r)
	}
}
