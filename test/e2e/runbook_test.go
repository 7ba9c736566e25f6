package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// moving are images of a plan that change their sites together: what they are
// called, with the pool, and how each is mirrored.
type moving map[string]string

// twelve are images in both modes, in both waves and in none, of which two make
// a group of both modes.
var twelve = func() moving {
	images := moving{}
	for i := range 7 {
		images[fmt.Sprintf("rbd/journal-%d", i)] = "journal"
	}
	for i := range 5 {
		images[fmt.Sprintf("rbd/snapshot-%d", i)] = "snapshot"
	}
	return images
}()

const twelveImages = `pools:
  - name: rbd
    images:
      - glob: journal-*
      - glob: snapshot-*
        mode: snapshot
        schedules: [{every: 1m}]
groups:
  - name: both-modes
    wave: first
    images:
      - {pool: rbd, name: journal-0}
      - {pool: rbd, name: snapshot-0}
waves:
  - name: first
    priority: 10
    images:
      - {pool: rbd, name: journal-1}
  - name: second
    priority: 20
    images:
      - {pool: rbd, glob: "*-2"}
`

// make creates the images at a site, each with some data of its own.
func (m moving) make(t *testing.T, s *lab.Site) {
	t.Helper()
	var jobs []func() error
	for image := range m {
		jobs = append(jobs, func() error {
			if _, err := s.Rbd(t.Context(), "create", image, "--size", "16M", "--image-feature", "layering,exclusive-lock"); err != nil {
				return err
			}
			return scribble(t, s, image)
		})
	}
	sideBySide(t, jobs)
}

// scribble writes 1 MiB in random places of an image.
func scribble(t *testing.T, s *lab.Site, image string) error {
	_, err := s.Rbd(t.Context(), "bench", "--io-type", "write", "--io-size", "64K", "--io-total", "1M", "--io-pattern", "rand", image)
	return err
}

// sideBySide does several things, a few at a time, and fails the test when one
// of them does.
func sideBySide(t *testing.T, jobs []func() error) {
	t.Helper()
	const atOnce = 4
	slots, faults := make(chan struct{}, atOnce), make(chan error, len(jobs))
	for _, job := range jobs {
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			faults <- job()
		}()
	}
	for range jobs {
		if err := <-faults; err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// digest stands for what an image holds, by rbd export, which Drover has no part
// in.
func digest(t *testing.T, s *lab.Site, image string) string {
	t.Helper()
	sum, err := digestOf(t.Context(), s, image)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func digestOf(ctx context.Context, s *lab.Site, image string) (string, error) {
	sum := sha256.New()
	if err := s.Export(ctx, image, sum); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// digests are those of all images.
func (m moving) digests(t *testing.T, s *lab.Site) map[string]string {
	t.Helper()
	out := make(map[string]string, len(m))
	for image := range m {
		out[image] = digest(t, s, image)
	}
	return out
}

// want fails the test unless each image is primary at one site and secondary at
// the other, as rbd itself tells, and holds there what it shall.
func (m moving) want(t *testing.T, primary, secondary *lab.Site, digests map[string]string) {
	t.Helper()
	for image, mode := range m {
		wantRole(t, primary, image, true, mode)
		wantRole(t, secondary, image, false, mode)
		if got := digest(t, primary, image); got != digests[image] {
			t.Errorf("%s at %s holds other bytes than before", image, primary.Name)
		}
	}
}

// wantCopies is the same for the contents at the secondary, which may take their
// time to arrive.
func (m moving) wantCopies(t *testing.T, primary, secondary *lab.Site) {
	t.Helper()
	for image := range m {
		wantSame(t, primary, secondary, image)
	}
}

// carriedOut is what scripts read of a runbook's result.
type carriedOut struct {
	Kind    string `json:"kind"`
	Outcome string `json:"outcome"`
	Run     struct {
		ID string `json:"id"`
	} `json:"run"`
	Summary struct {
		Images   int `json:"images"`
		Moved    int `json:"moved"`
		Returned int `json:"returned"`
		Stuck    int `json:"stuck"`
		Left     int `json:"left"`
	} `json:"summary"`
}

func carried(t *testing.T, r result) (out carriedOut) {
	t.Helper()
	r.decode(t, &out)
	return out
}

// listed is what `drover runs list -o json` says.
type listed struct {
	Runs []struct {
		ID      string `json:"id"`
		Runbook string `json:"runbook"`
		Outcome string `json:"outcome"`
		Over    bool   `json:"over"`
	} `json:"runs"`
}

func runsOf(t *testing.T, file string) (out listed) {
	t.Helper()
	ok(t, "runs", "list", "-o", "json", file).decode(t, &out)
	return out
}

// open are the runs that are not over.
func (l listed) open() (ids []string) {
	for _, r := range l.Runs {
		if !r.Over {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// switched moves everything to a site as soon as the copies there are fit:
// rbd-mirror needs up to half a minute to report on images whose primary has
// changed.
func switched(t *testing.T, file string, to *lab.Site, more ...string) result {
	t.Helper()
	var last result
	args := append([]string{"switchover", "--yes", "-o", "json", "--to", to.Name, file}, more...)
	eventually(t, 3*time.Minute, "copies that are fit to move to "+to.Name, func() (bool, string) {
		last = call(t, args...)
		if last.code != 0 && last.code != 13 {
			t.Fatalf("want exit 0, or 13 for now\n%s", last)
		}
		return last.code == 0, last.String()
	})
	return last
}

var approval = regexp.MustCompile(`--approved ([0-9a-f]{16,})`)

// approved dry-runs a runbook that wants a person's word on what it shows, and
// answers with the hash of that, once it is not refused any more.
func approvedBy(t *testing.T, limit time.Duration, args ...string) (hash string, shown result) {
	t.Helper()
	eventually(t, limit, "a "+args[0]+" that may begin", func() (bool, string) {
		shown = call(t, append(args, "--dry-run")...)
		if shown.code != 0 && shown.code != 13 {
			t.Fatalf("want exit 0, or 13 for now\n%s", shown)
		}
		return shown.code == 0, shown.String()
	})
	found := approval.FindStringSubmatch(shown.stdout + shown.stderr)
	if found == nil {
		t.Fatalf("the dry run prints no hash\n%s", shown)
	}
	return found[1], shown
}

// carryOut does what a dry run has shown. It begins again where the facts have
// changed meanwhile (12), as a script would.
func carryOut(t *testing.T, args ...string) result {
	t.Helper()
	var r result
	for range 5 {
		hash, _ := approvedBy(t, 3*time.Minute, args...)
		r = callFor(t, 5*time.Minute, append(args, "--yes", "--approved", hash)...)
		if r.code != 12 {
			break
		}
	}
	if r.code != 0 {
		t.Fatalf("want exit 0\n%s", r)
	}
	return r
}

// busy keeps a client writing to an image, as the guests of a hypervisor do.
// ended answers, once the client is gone, with what it said.
func busy(t *testing.T, s *lab.Site, image string, options ...string) (stop func(), ended <-chan string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "rbd", append(options, "-c", s.Conf(), "bench", "--io-type", "write", "--io-size", "4K",
		"--io-threads", "1", "--io-total", "64G", "--io-pattern", "rand", image)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan string, 1)
	exited := make(chan struct{})
	go func() {
		err := cmd.Wait()
		gone <- fmt.Sprintf("%v: %s", err, said.String())
		close(exited)
	}()
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // it may have ended by itself
		<-exited
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	eventually(t, time.Minute, "a client at work on "+image, func() (bool, string) {
		out := rbd(t, s, "lock", "ls", image)
		return strings.Contains(out, "client."), out
	})
	return stop, gone
}

// schedulesOf are the mirror snapshot schedules of a pool at a site.
func schedulesOf(t *testing.T, s *lab.Site, pool string) map[string]bool {
	t.Helper()
	out, err := s.Rbd(t.Context(), "mirror", "snapshot", "schedule", "ls", "--pool", pool, "--recursive", "--format", "json")
	var none *lab.CommandError
	if errors.As(err, &none) && none.ExitCode() == 2 {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var entries []struct {
		Image string `json:"image"`
	}
	if err := json.Unmarshal(out, &entries); err != nil {
		t.Fatal(err)
	}
	images := map[string]bool{}
	for _, e := range entries {
		images[e.Image] = true
	}
	return images
}

// shown is what `drover runs show -o json` says of a run.
type shown struct {
	Steps []struct {
		Step     string `json:"step"`
		Phase    string `json:"phase"`
		Evidence string `json:"evidence"`
	} `json:"steps"`
	Discards []struct {
		Image struct {
			Pool  string `json:"pool"`
			Image string `json:"image"`
		} `json:"image"`
		Site  string `json:"site"`
		State string `json:"state"`
		Kept  *struct {
			Name string `json:"name"`
		} `json:"kept"`
	} `json:"discards"`
}

// shownRun is the newest run.
func shownRun(t *testing.T, file string) (out shown) {
	t.Helper()
	ok(t, "runs", "show", "-o", "json", file).decode(t, &out)
	return out
}

// wantStep fails the test unless a step was done, with a text in its evidence.
func (s shown) wantStep(t *testing.T, step, evidence string) {
	t.Helper()
	for _, r := range s.Steps {
		if r.Step == step && (r.Phase == "done" || r.Phase == "already") && strings.Contains(r.Evidence, evidence) {
			return
		}
	}
	t.Errorf("no record of %s has %q: %+v", step, evidence, s.Steps)
}

// wantDiscards fails the test unless the run tells of the discarded copies of
// images at a site, and of where they are kept.
func (s shown) wantDiscards(t *testing.T, at *lab.Site, images moving) {
	t.Helper()
	found := map[string]bool{}
	for _, d := range s.Discards {
		image := d.Image.Pool + "/" + d.Image.Image
		found[image] = d.Site == at.Name && d.State == "discarded" && d.Kept != nil
	}
	for image := range images {
		if !found[image] {
			t.Errorf("the discarded copy of %s is not told of: %+v", image, s.Discards)
		}
	}
}
