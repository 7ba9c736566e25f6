package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// failoverPlan has Drover run the daemons of both sites, so that it can stop and
// start them.
const failoverPlan = `version: 1
name: e2e
direction: two-way
primary: site-a
sites:
  - name: site-a
    conf: site-a.conf
    daemon: {run: process, keyring: site-a.mirror-keyring, directory: RUN-A}
    fence: {method: blocklist}
  - name: site-b
    conf: site-b.conf
    daemon: {run: process, keyring: site-b.mirror-keyring, directory: RUN-B}
pools:
  - name: rbd
    images:
      - glob: journal-*
      - glob: snapshot-*
        mode: snapshot
        schedules: [{every: 1m}]
groups:
  - name: both-modes
    images:
      - {pool: rbd, name: journal-0}
      - {pool: rbd, name: snapshot-0}
`

// failing are the images of the failovers.
var failing = moving{
	"rbd/journal-0": "journal", "rbd/journal-1": "journal", "rbd/journal-2": "journal",
	"rbd/snapshot-0": "snapshot", "rbd/snapshot-1": "snapshot",
}

// failingLab is two sites with the images of failing, replaying from site-a.
func failingLab(t *testing.T) (a, b *lab.Site, file, runA, runB string) {
	t.Helper()
	l := ownLab(t, "site-a", "site-b")
	a, b = l.Site("site-a"), l.Site("site-b")
	runA, runB = runFolder(t), runFolder(t)
	failing.make(t, a)
	file = plan(t, l, "rbd", strings.NewReplacer("RUN-A", runA, "RUN-B", runB).Replace(failoverPlan))
	applied(t, file)
	awaitHealthy(t, file)
	return a, b, file, runA, runB
}

// prepared is what scripts read of what a failover would give up.
type prepared struct {
	Run struct {
		Units []struct {
			Images []struct {
				Ref struct {
					Image string `json:"image"`
				} `json:"ref"`
				Loss *struct {
					Entries *int64 `json:"entries"`
					Why     string `json:"why"`
				} `json:"loss"`
			} `json:"images"`
		} `json:"units"`
	} `json:"run"`
	Probes []struct {
		Answers bool `json:"answers"`
	} `json:"probes"`
}

// failedOver moves everything to site-b by force, and checks what was shown
// before and what came of it.
func failedOver(t *testing.T, b *lab.Site, file, runB string) {
	t.Helper()
	args := []string{"failover", "--to", "site-b", "--reason", "site-a is lost", "--unfenced", file}
	_, shown := approvedBy(t, time.Minute, args...)
	for image := range failing {
		if !strings.Contains(shown.stdout, image) {
			t.Errorf("%s is not shown\n%s", image, shown)
		}
	}
	var p prepared
	ok(t, append(args, "--dry-run", "-o", "json")...).decode(t, &p)
	if len(p.Probes) == 0 {
		t.Error("nothing tells how the old site was looked at")
	}
	for _, probe := range p.Probes[:min(2, len(p.Probes))] {
		if probe.Answers {
			t.Errorf("the lost site is said to answer: %+v", p.Probes)
		}
	}
	for _, u := range p.Run.Units {
		for _, i := range u.Images {
			if i.Loss == nil || i.Loss.Why == "" {
				t.Errorf("what %s would lose is not told", i.Ref.Image)
			}
		}
	}

	fails(t, 12, []string{"approved"}, append(args, "--yes", "--approved", strings.Repeat("0", 64))...)
	for image := range failing {
		wantRoleNow(t, b, image, false)
	}
	daemon := running(t, runB)
	done := carried(t, carryOut(t, append(args, "-o", "json")...))
	if done.Summary.Moved != len(failing) {
		t.Errorf("want all of them moved: %+v", done.Summary)
	}
	for image := range failing {
		wantRoleNow(t, b, image, true)
	}
	if again := running(t, runB); again == daemon {
		t.Errorf("rbd-mirror at site-b was not stopped for it: still %d", again)
	}
}

// wantRoleNow fails the test unless the image has that role at this moment.
func wantRoleNow(t *testing.T, s *lab.Site, image string, primary bool) {
	t.Helper()
	if i, there := lookup(t, s, image); !there || i.Mirroring.Primary != primary {
		t.Errorf("%s at %s: there: %t, %+v; want primary: %t", image, s.Name, there, i.Mirroring, primary)
	}
}

// quarantined waits until status knows the copies at site-a as given up.
func quarantined(t *testing.T, file string) {
	t.Helper()
	eventually(t, 2*time.Minute, "status that knows the returned copies", func() (bool, string) {
		s := statusOf(t, file)
		p, found := s.problem("returned-quarantined", "site-a")
		return found && p.Images == len(failing) && strings.Contains(p.Next, "failback") && strings.Contains(p.Next, "shuts out"), s.words()
	})
}

// words are the problems of a status, for messages.
func (s *status) words() string {
	var out strings.Builder
	for _, p := range s.Problems {
		out.WriteString(p.Code + " at " + p.Site + ": " + p.What + "\n")
	}
	return out.String()
}

// TestFailoverAndFailback loses a site with writes in it that never left, goes
// on at the other one, and takes everything back without losing those out of
// sight.
func TestFailoverAndFailback(t *testing.T) {
	t.Parallel()
	a, b, file, runA, runB := failingLab(t)

	// Writes that never reach site-b: its daemon does not run while they come.
	send(t, runB, syscall.SIGSTOP)
	only := map[string]string{}
	for _, image := range []string{"rbd/journal-0", "rbd/snapshot-1"} {
		if err := scribble(t, a, image); err != nil {
			t.Fatal(err)
		}
		only[image] = digest(t, a, image)
	}
	send(t, runA, syscall.SIGKILL)
	if err := a.Vanish(); err != nil {
		t.Fatal(err)
	}
	send(t, runB, syscall.SIGCONT)
	fails(t, 13, []string{"site-a", "nothing was changed"}, "switchover", "--yes", "--to", "site-b", file)
	failedOver(t, b, file, runB)
	kept := scribbledAll(t, b, failing)

	if err := a.Return(t.Context()); err != nil {
		t.Fatal(err)
	}
	startedAgain(t, file, runA)
	quarantined(t, file)
	// A guest that nobody has told goes on at site-a; the plan's fence ends that.
	_, ended := busy(t, a, "rbd/journal-1")
	args := []string{"failback", "--verify", "--reason", "site-a is back", file}
	hash, shown := approvedBy(t, 3*time.Minute, args...)
	if !strings.Contains(shown.stdout, "their clients will be shut out: rbd/journal-1 by client.") {
		t.Errorf("the client is not shown\n%s", shown)
	}
	r := callFor(t, 5*time.Minute, append(args, "--yes", "--approved", hash)...)
	for range 3 {
		// A site that has just come back does not answer everything in time; who
		// resumes goes on from there. What the guest has written meanwhile may be
		// twice as much as was approved.
		if r.code == 0 {
			break
		}
		t.Logf("failback: %s", r)
		if r.code == 12 {
			hash, _ = approvedBy(t, 3*time.Minute, args...)
			r = callFor(t, 5*time.Minute, append(args, "--yes", "--approved", hash)...)
			continue
		}
		r = callFor(t, 5*time.Minute, "runs", "resume", "--yes", file)
	}
	if r.code != 0 {
		t.Fatalf("want it completed\n%s", r)
	}
	select {
	case said := <-ended:
		t.Logf("the guest: %s", said)
	case <-time.After(time.Minute):
		t.Error("the guest at site-a still writes")
	}
	recopied := shownRun(t, file)
	recopied.wantStep(t, "fence", "shut out: client.")
	for image := range failing {
		recopied.wantStep(t, "recopy-compare/"+image, "identical at ")
	}
	recopied.wantDiscards(t, a, failing)
	failing.want(t, a, b, kept)
	failing.wantCopies(t, a, b)
	wantPreserved(t, file, only, a)
}

// send signals the daemon that Drover runs in a folder.
func send(t *testing.T, folder string, sig syscall.Signal) {
	t.Helper()
	pid := running(t, folder)
	if sig == syscall.SIGSTOP {
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) }) // it may be gone by then
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

// startedAgain has an apply start the daemon of a folder.
func startedAgain(t *testing.T, file, folder string) {
	t.Helper()
	eventually(t, time.Minute, "apply that starts the daemon again", func() (bool, string) {
		r := call(t, "plan", "apply", "--yes", "--wait", "none", file)
		d, there := daemonIn(t, folder)
		return there && runsIn(d.PID, folder), r.String()
	})
}

// scribbledAll writes to all images and answers with what they hold.
func scribbledAll(t *testing.T, s *lab.Site, images moving) map[string]string {
	t.Helper()
	var jobs []func() error
	for image := range images {
		jobs = append(jobs, func() error { return scribble(t, s, image) })
	}
	sideBySide(t, jobs)
	return images.digests(t, s)
}

// dropPreserved removes all kept copies.
func dropPreserved(t *testing.T, file string) {
	t.Helper()
	var kept struct {
		Copies []struct {
			ID string `json:"id"`
		} `json:"copies"`
	}
	ok(t, "preserved", "list", "-o", "json", file).decode(t, &kept)
	args := []string{"preserved", "drop", "--yes", file}
	for _, c := range kept.Copies {
		args = append(args, c.ID)
	}
	ok(t, args...)
}

// wantPreserved fails the test unless copies are kept at a site that hold what
// is wanted of each image.
func wantPreserved(t *testing.T, file string, want map[string]string, s *lab.Site) {
	t.Helper()
	var kept struct {
		Copies []struct {
			Site  string `json:"site"`
			Name  string `json:"name"`
			Image struct {
				Pool  string `json:"pool"`
				Image string `json:"image"`
			} `json:"image"`
		} `json:"copies"`
	}
	ok(t, "preserved", "list", "-o", "json", file).decode(t, &kept)
	found := map[string]bool{}
	for _, c := range kept.Copies {
		image := c.Image.Pool + "/" + c.Image.Image
		if wanted, known := want[image]; known && c.Site == s.Name {
			found[image] = true
			if got := digest(t, s, c.Image.Pool+"/"+c.Name); got != wanted {
				t.Errorf("%s, kept of %s, holds other bytes than that did", c.Name, image)
			}
		}
	}
	for image := range want {
		if !found[image] {
			t.Errorf("nothing is kept of %s at %s: %+v", image, s.Name, kept.Copies)
		}
	}
}
