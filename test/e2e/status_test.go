package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// problem is one problem as `drover status -o json` has it.
type problem struct {
	Code     string   `json:"code"`
	Severity string   `json:"severity"`
	Site     string   `json:"site"`
	What     string   `json:"what"`
	Next     string   `json:"next"`
	Images   int      `json:"images"`
	Examples []string `json:"examples"`
}

// imageStatus is one image there.
type imageStatus struct {
	Ref struct {
		Pool  string `json:"pool"`
		Image string `json:"image"`
	} `json:"ref"`
	Mode    string            `json:"mode"`
	State   string            `json:"state"`
	Healthy bool              `json:"healthy"`
	Roles   map[string]string `json:"roles"`
	Primary string            `json:"primary"`
	RPO     *float64          `json:"rpo_seconds"`
	Met     *bool             `json:"rpo_met"`
	Copies  []struct {
		Site  string `json:"site"`
		State string `json:"state"`
		Stale bool   `json:"report_stale"`
		Lag   struct {
			Entries *int64   `json:"entries"`
			Bytes   *int64   `json:"bytes"`
			Seconds *float64 `json:"seconds"`
			Exact   bool     `json:"exact"`
		} `json:"lag"`
	} `json:"copies"`
	Problems []problem `json:"problems"`
}

// status is what scripts read of `drover status -o json`.
type status struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	At         time.Time `json:"at"`
	Summary    struct {
		Images   int      `json:"images"`
		Healthy  int      `json:"healthy"`
		Critical int      `json:"critical"`
		Silent   []string `json:"silent"`
	} `json:"summary"`
	Problems []problem `json:"problems"`
	Sites    []struct {
		Name      string  `json:"name"`
		Reachable bool    `json:"reachable"`
		Error     string  `json:"error"`
		Next      string  `json:"next"`
		Seconds   float64 `json:"seconds"`
		Daemons   []struct {
			Host    string   `json:"host"`
			Version string   `json:"version"`
			Serves  []string `json:"serves"`
		} `json:"daemons"`
	} `json:"sites"`
	Images []imageStatus `json:"images"`
}

// statusOf asks for the status; it exits 0 whatever it says.
func statusOf(t *testing.T, file string) (s status) {
	t.Helper()
	ok(t, "status", "-o", "json", file).decode(t, &s)
	return s
}

func (s *status) image(t *testing.T, name string) imageStatus {
	t.Helper()
	for _, i := range s.Images {
		if i.Ref.Image == name {
			return i
		}
	}
	t.Fatalf("no image %s in the status: %+v", name, s.Images)
	return imageStatus{}
}

// problem finds a problem by its code and its site, "" being any.
func (s *status) problem(code, site string) (problem, bool) {
	for _, p := range s.Problems {
		if p.Code == code && (site == "" || p.Site == site) {
			return p, true
		}
	}
	return problem{}, false
}

// awaitProblem waits until the status shows a problem with a next step.
func awaitProblem(t *testing.T, file string, limit time.Duration, code, site string) (found problem) {
	t.Helper()
	eventually(t, limit, "problem "+code+" of "+site, func() (bool, string) {
		s := statusOf(t, file)
		p, there := s.problem(code, site)
		found = p
		return there, fmt.Sprintf("%+v", s.Problems)
	})
	if found.Next == "" {
		t.Errorf("problem %s has no next step: %+v", code, found)
	}
	return found
}

// awaitHealthy waits until all images of the plan are well.
func awaitHealthy(t *testing.T, file string) (s status) {
	t.Helper()
	eventually(t, 3*time.Minute, "status that is all well", func() (bool, string) {
		s = statusOf(t, file)
		return s.Summary.Images > 0 && s.Summary.Healthy == s.Summary.Images, fmt.Sprintf("%+v", s.Problems)
	})
	return s
}

const bothModes = `pools:
  - name: POOL
    images:
      - name: by-journal
        create: {size: 64MiB}
      - name: by-snapshot
        mode: snapshot
        create: {size: 64MiB}
        schedules: [{every: 1m}]
`

func TestStatusOfRoles(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay("rpo: 10m\n"+bothModes+`      - name: twice
        create: {size: 64MiB}
      - name: nobody
        create: {size: 64MiB}
`))
	ok(t, "plan", "apply", "--yes", "--wait", "replaying", file)

	s := awaitHealthy(t, file)
	if s.APIVersion != "drover/v1" || s.Kind != "Status" || s.Summary.Images != 4 || len(s.Problems) != 0 {
		t.Fatalf("status of what is well: %+v", s)
	}
	for _, i := range s.Images {
		if i.State != "replaying" || i.Primary != "site-a" || i.Roles["site-a"] != "primary" || i.Roles["site-b"] != "secondary" {
			t.Errorf("want replaying from site-a to site-b: %+v", i)
		}
		if i.RPO == nil || *i.RPO != 600 || i.Met == nil || !*i.Met || len(i.Copies) != 1 || i.Copies[0].Lag.Seconds == nil {
			t.Errorf("want an objective of 600 s that is met, and a lag in seconds: %+v", i)
		}
	}
	for _, site := range s.Sites {
		if !site.Reachable || len(site.Daemons) == 0 || !slices.Contains(site.Daemons[0].Serves, p) {
			t.Errorf("want a daemon that serves %s: %+v", p, site)
		}
	}

	// Two primaries are a split-brain, though Ceph says that all is well.
	forced(t, b, p+"/twice")
	wantRole(t, a, p+"/twice", true, "journal")
	wantRole(t, b, p+"/twice", true, "journal")
	s = statusOf(t, file)
	found, there := s.problem("two-primaries", "")
	if !there || found.Severity != "critical" || found.Images != 1 || found.Examples[0] != p+"/twice" || !strings.Contains(found.Next, "drover resync "+file+" "+p+"/twice") {
		t.Fatalf("want one image with two primaries and what to do: %+v", s.Problems)
	}
	for _, i := range s.Images {
		if split := i.State == "split-brain"; split != (i.Ref.Image == "twice") {
			t.Errorf("%s: state %s", i.Ref.Image, i.State)
		}
	}
	eventually(t, 90*time.Second, "health OK from Ceph at both sites", func() (bool, string) {
		seen := rbd(t, a, "mirror", "pool", "status", p) + rbd(t, b, "mirror", "pool", "status", p)
		return strings.Count(seen, "\nhealth: OK")+strings.Count("\n"+seen, "\nhealth: OK") >= 2, seen
	})
	if s = statusOf(t, file); s.image(t, "twice").State != "split-brain" || s.Summary.Critical != 1 {
		t.Errorf("while Ceph says OK: %+v", s)
	}
	table := ok(t, "status", file)
	if !strings.Contains(table.stdout, "split-brain") || !strings.Contains(table.stdout, p+"/twice: the image is primary at site-a and site-b") {
		t.Errorf("the table says no split-brain\n%s", table)
	}
	// An apply leaves such an image alone and says so by its exit code.
	fails(t, 11, []string{"split-brain", p + "/twice", "next:"}, "plan", "apply", "--yes", file)

	// Nobody primary.
	rbd(t, a, "mirror", "image", "demote", p+"/nobody")
	s = statusOf(t, file)
	if i := s.image(t, "nobody"); i.State != "stranded" || i.Primary != "" || i.Roles["site-a"] != "secondary" {
		t.Errorf("both demoted: %+v", i)
	}
	if found, there := s.problem("no-primary", ""); !there || found.Images != 1 || found.Next == "" {
		t.Errorf("both demoted: %+v", s.Problems)
	}

	// A peer that is none of the plan's sites.
	uuid := strings.TrimSpace(rbd(t, a, "mirror", "pool", "peer", "add", p, "client.stranger@elsewhere"))
	if found := awaitProblem(t, file, time.Minute, "strange-peer", "site-a"); !strings.Contains(found.What, "elsewhere") {
		t.Errorf("the stranger is not named: %+v", found)
	}
	rbd(t, a, "mirror", "pool", "peer", "remove", p, uuid)
}

func TestStatusOfLagAndDaemon(t *testing.T) {
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(`rpo: 10s
pools:
  - name: POOL
    images:
      - name: disk
        create: {size: 64MiB}
`))
	ok(t, "plan", "apply", "--yes", "--wait", "replaying", file)
	write(t, a, p+"/disk", "1M")
	awaitHealthy(t, file)

	t.Cleanup(func() { startMirror(t, b) })
	// Ended in good order, it goes from the service map at once.
	if err := b.StopMirror(); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	write(t, a, p+"/disk", "1M")
	after := time.Now()
	// The lag is the age of the oldest write that the copy does not hold; that
	// it grows shows in its being so at any time.
	lagged := func(s status) {
		t.Helper()
		lag := s.image(t, "disk").Copies[0].Lag
		if lag.Entries == nil || *lag.Entries < 16 || lag.Bytes == nil || *lag.Bytes < 1<<20 || lag.Seconds == nil {
			t.Fatalf("want at least 16 entries, 1 MiB and some time behind: %+v", s.image(t, "disk"))
		}
		const slack = 2 // s: opening the image precedes its first write
		least, most := s.At.Sub(after).Seconds()-slack, s.At.Sub(before).Seconds()+slack
		if *lag.Seconds < least || *lag.Seconds > most {
			t.Errorf("%.1f s behind; want %.1f to %.1f", *lag.Seconds, least, most)
		}
	}
	lagged(statusOf(t, file))

	found := awaitProblem(t, file, 30*time.Second, "no-daemon", "site-b")
	if found.Severity != "critical" || !strings.Contains(found.Next, "start rbd-mirror at site-b") {
		t.Errorf("no daemon: %+v", found)
	}
	awaitProblem(t, file, 90*time.Second, "rpo-exceeded", "site-b")
	s := statusOf(t, file)
	lagged(s)
	if i := s.image(t, "disk"); !i.Copies[0].Stale || i.Met == nil || *i.Met {
		t.Errorf("want a stale report and an objective exceeded: %+v", i)
	}
	if table := ok(t, "status", file); !strings.Contains(table.stdout, "10s exceeded") {
		t.Errorf("the table shows no RPO exceeded\n%s", table)
	}
	startMirror(t, b)
	awaitHealthy(t, file)
}

func startMirror(t *testing.T, s *lab.Site) {
	t.Helper()
	// Not the test's context, which has ended when this is its cleanup.
	if err := s.StartMirror(withoutEnd(t)); err != nil {
		t.Error(err)
	}
}

// unreachableWithin is how long a command may take that meets one silent site:
// five seconds for that site, and a margin for a busy machine.
const unreachableWithin = 8 * time.Second

func TestStatusOfSilentSite(t *testing.T) {
	l := ownLab(t, "site-a", "site-b")
	a, b := l.Site("site-a"), l.Site("site-b")
	startMirror(t, b)
	p := pool(t, l)
	file := plan(t, l, p, oneWay(bothModes))
	ok(t, "plan", "apply", "--yes", "--wait", "replaying", file)
	awaitHealthy(t, file)

	shown := func(how string, silent, other *lab.Site, role string) {
		t.Helper()
		r := ok(t, "status", "-o", "json", file)
		if r.took > unreachableWithin {
			t.Errorf("%s: status took %s", how, r.took)
		}
		var s status
		r.decode(t, &s)
		if !slices.Equal(s.Summary.Silent, []string{silent.Name}) {
			t.Fatalf("%s: want %s as the one that is silent\n%s", how, silent.Name, r)
		}
		for _, site := range s.Sites {
			if site.Reachable != (site.Name == other.Name) {
				t.Errorf("%s: site %+v", how, site)
			}
			if site.Name == silent.Name && (site.Error == "" || site.Next == "" || site.Seconds > 6) {
				t.Errorf("%s: want an error and a next step within 5 s: %+v", how, site)
			}
		}
		for _, name := range []string{"by-journal", "by-snapshot"} {
			i := s.image(t, name)
			if i.Roles[other.Name] != role || i.Roles[silent.Name] != "unknown" || i.Healthy {
				t.Errorf("%s: want the role at %s and nothing known of %s: %+v", how, other.Name, silent.Name, i)
			}
		}
		if _, there := s.problem("site-unknown", silent.Name); !there {
			t.Errorf("%s: no problem says so: %+v", how, s.Problems)
		}
		table := ok(t, "status", file)
		if !strings.Contains(table.stdout, "no answer from "+silent.Name) {
			t.Errorf("%s: the table does not say so\n%s", how, table)
		}
		// Nothing is enabled or created on half a view.
		fails(t, 1, []string{silent.Name, "next:"}, "plan", "apply", "--yes", "--wait", "none", file)
		unproven(t, file, silent)
	}

	// Killed, the daemon stays in the service map for a while, and its last
	// report says that all is well.
	if err := b.Kill(lab.Mirror); err != nil {
		t.Fatal(err)
	}
	found := awaitProblem(t, file, 90*time.Second, "report-stale", "site-b")
	if !strings.Contains(found.Next, "rbd-mirror at site-b") {
		t.Errorf("stale report: next step %q", found.Next)
	}

	if err := b.Vanish(); err != nil {
		t.Fatal(err)
	}
	shown("secondary vanished", b, a, "primary")
	if err := b.Return(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := ok(t, "status", file); strings.Contains(r.stdout, "no answer") {
		t.Errorf("both sites are back\n%s", r)
	}

	// Last, since a cluster needs a while to come to itself after it.
	frozen(t, a, func() { shown("primary frozen", a, b, "secondary") })
}

// unproven wants a verification to say soon that it could not read a site.
func unproven(t *testing.T, file string, silent *lab.Site) {
	t.Helper()
	r := fails(t, 1, []string{"could not be verified", silent.Name, "next:"}, "verify", file)
	if r.took > unreachableWithin || !strings.Contains(r.stdout, "could not be read") {
		t.Errorf("verify took %s\n%s", r.took, r)
	}
}

// frozen does something while every daemon of a site is frozen.
func frozen(t *testing.T, s *lab.Site, do func()) {
	t.Helper()
	defer func() {
		if err := s.ThawAll(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.FreezeAll(); err != nil {
		t.Fatal(err)
	}
	do()
}

func TestStatusWatch(t *testing.T) {
	t.Parallel()
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(`pools:
  - name: POOL
    images:
      - name: disk
        create: {size: 64MiB}
`))
	ok(t, "plan", "apply", "--yes", file)

	cmd := exec.CommandContext(t.Context(), drover, "status", "--watch", "--interval", "300ms", file)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "\x1b") {
			t.Errorf("an escape sequence in a pipe: %q", lines.Text())
		}
		if strings.HasPrefix(lines.Text(), "Plan e2e") {
			if seen++; seen == 3 {
				if err := cmd.Process.Signal(os.Interrupt); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("a signal is the way to end a watch: %v", err)
	}
	if seen < 3 {
		t.Errorf("the status came %d times", seen)
	}
}
