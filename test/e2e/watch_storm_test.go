package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
	"github.com/drover-io/drover/test/slackfake"
)

// posts collects what Slack has taken of a channel.
type posts struct {
	slack *slackfake.Server
	all   []url.Values
}

// openings are the first messages of incidents that say some words.
func (p *posts) openings(words string) (n int) {
	for _, c := range p.slack.Calls() {
		if c.Method == "chat.postMessage" {
			p.all = append(p.all, c.Values)
		}
	}
	for _, v := range p.all {
		if v.Get("thread_ts") == "" && strings.Contains(v.Get("blocks"), words) {
			n++
		}
	}
	return n
}

// over reports whether all that was told is over by what was told since.
func (p *posts) over() (bool, string) {
	opened, resolved := p.openings(""), 0
	for _, v := range p.all {
		if v.Get("thread_ts") != "" && strings.HasPrefix(v.Get("text"), "RESOLVED") {
			resolved++
		}
	}
	return opened == resolved, p.String()
}

func (p *posts) String() string {
	var all []string
	for _, v := range p.all {
		all = append(all, v.Get("thread_ts")+" "+v.Get("text"))
	}
	return strings.Join(all, "\n")
}

// acts reports whether a daemon is the one that acts, and what it says of itself.
func (w *watcher) acts() (bool, string) {
	w.t.Helper()
	_, text := w.get("/readyz")
	return strings.Contains(strings.ReplaceAll(text, " ", ""), `"state":"acting"`), text
}

func (w *watcher) awaitStandby() {
	w.t.Helper()
	eventually(w.t, time.Minute, "daemon that stands by", func() (bool, string) {
		_, text := w.get("/readyz")
		return strings.Contains(text, "standby"), text
	})
}

func (w *watcher) signal(sig syscall.Signal) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(sig); err != nil {
		w.t.Fatal(err)
	}
}

// TestDaemonsInTurn has two daemons for one plan. The one that acts goes through a
// Slack outage, in which nothing is lost or told twice, and through a storm of checks
// and reloads; it is stopped, and the other takes over in less than three times the
// lease; when it goes on it stands by, and says nothing.
func TestDaemonsInTurn(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	moving{"rbd/journal-a": "journal", "rbd/journal-b": "journal"}.make(t, a)
	file := plan(t, l, "rbd", twoWay(watched))
	applied(t, file)
	awaitHealthy(t, file)
	slack := slackfake.New(t)
	told := &posts{slack: slack}
	first := watching(t, slack, file)
	first.awaitReady()
	second := watching(t, slack, file)
	second.awaitStandby()

	// Slack takes nothing, while there is something to tell.
	slack.Fail("chat.postMessage", "internal_error")
	forced(t, b, "rbd/journal-a")
	eventually(t, time.Minute, "halt", func() (bool, string) {
		list := call(t, "halt", "list", file)
		return strings.Contains(list.stdout, "rbd/journal-a"), list.String()
	})
	for range 10 { // a storm of reloads, while checks come every second
		first.signal(syscall.SIGHUP)
		pause(t, 500*time.Millisecond)
	}
	pause(t, 10*time.Second)
	slack.Calls() // what was refused is not told
	slack.Fail("chat.postMessage", "")
	eventually(t, 2*time.Minute, "message after the outage", func() (bool, string) {
		return told.openings("rbd/journal-a") > 0, told.String()
	})
	if acts, text := first.acts(); !acts {
		t.Errorf("the first does not act any more: %s", text)
	}

	first.signal(syscall.SIGSTOP)
	stopped := time.Now()
	eventually(t, 3*leaseTTL, "take-over", func() (bool, string) { return second.acts() })
	t.Logf("taken over after %v", time.Since(stopped).Round(time.Second))
	forced(t, b, "rbd/journal-b")
	eventually(t, time.Minute, "message by the second", func() (bool, string) {
		return told.openings("rbd/journal-b") > 0, told.String()
	})
	first.signal(syscall.SIGCONT)
	first.awaitStandby()
	pause(t, 5*time.Second)
	if acts, text := second.acts(); !acts {
		t.Errorf("the second does not act any more: %s", text)
	}
	for _, image := range []string{"rbd/journal-a", "rbd/journal-b"} {
		if n := told.openings(image); n != 1 {
			t.Errorf("%s was told %d times\n%s", image, n, told)
		}
	}
	first.end()
	second.end()
}

// leaseTTL is how long the lease of a process that has died is waited for.
const leaseTTL = 30 * time.Second

// TestDaemonAndRestarts restarts both clusters under a daemon: it goes on, and what it
// has told is over in the end.
func TestDaemonAndRestarts(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	moving{"rbd/journal-a": "journal"}.make(t, a)
	file := plan(t, l, "rbd", twoWay(watched))
	applied(t, file)
	awaitHealthy(t, file)
	slack := slackfake.New(t)
	told := &posts{slack: slack}
	w := watching(t, slack, file)
	w.awaitReady()
	for _, s := range []*lab.Site{a, b} { // while it can still end in good order
		if err := s.StopMirror(); err != nil {
			t.Fatal(err)
		}
	}
	vanished(t, a)
	vanished(t, b)
	eventually(t, 2*time.Minute, "messages of both sites", func() (bool, string) {
		return told.openings("site-a") > 0 && told.openings("site-b") > 0, told.String()
	})
	if code, text := w.get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d %s", code, text)
	}
	for _, s := range []*lab.Site{a, b} {
		if err := s.Return(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !s.Running(lab.Mirror) {
			startMirror(t, s)
		}
	}
	eventually(t, 2*time.Minute, "daemon that acts again", func() (bool, string) { return w.acts() })
	eventually(t, 3*time.Minute, "end of all that was told", told.over)
	w.awaitReady()
	w.end()
}

// kills is how often rbd-mirror is killed under each of two daemons: as often as it
// takes to be called flapping. Each start waits twice as long as the one before.
const kills = 5

// TestDaemonKeepsMirror has the daemon keep an rbd-mirror running that is killed ten
// times, half of them after the daemon was started anew: it is started each time, that
// it flaps is told once, and replay goes on.
func TestDaemonKeepsMirror(t *testing.T) {
	t.Parallel()
	l := ownLab(t, "site-a", "site-b")
	a, b := l.Site("site-a"), l.Site("site-b")
	folder := runFolder(t)
	text := strings.ReplaceAll(processPlan, "RUN", folder) + `checks: {schedule: "@every 1s"}
http: {listen: "127.0.0.1:0"}
notifications:
  channels:
    - {name: oncall, type: slack, target: "#dr", token: {env: SLACK_TOKEN}}
`
	file := plan(t, l, "rbd", text)
	applied(t, file)
	slack := slackfake.New(t)
	told := &posts{slack: slack}
	w := watching(t, slack, file)
	w.awaitReady()
	pid := running(t, folder)
	flaps := func() {
		for range kills {
			kill(t, pid, folder)
			eventually(t, 2*time.Minute, "rbd-mirror that runs again", func() (bool, string) {
				r, there := daemonIn(t, folder)
				return there && r.PID != pid && runsIn(r.PID, folder), fmt.Sprint(r.PID)
			})
			pid = running(t, folder)
		}
		eventually(t, time.Minute, "message of the flapping", func() (bool, string) {
			return told.openings("was started") > 0, told.String()
		})
	}
	flaps()
	w.end()
	w = watching(t, slack, file)
	w.awaitReady()
	flaps()
	replicates(t, file, a, "rbd/disk", b)
	if again := running(t, folder); again != pid {
		t.Errorf("it was started again: %d, was %d", again, pid)
	}
	if n := told.openings("was started"); n != 1 {
		t.Errorf("told %d times that it flaps\n%s", n, told)
	}
	w.end()
}

// TestDaemonsAcrossCut has one daemon at each of two sites that cannot reach each
// other any more: each tells that the other site is silent; when the way is open again
// one of them acts, and what both have told is over.
func TestDaemonsAcrossCut(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	moving{"rbd/journal-a": "journal"}.make(t, a)
	file := plan(t, l, "rbd", twoWay(watched))
	applied(t, file)
	awaitHealthy(t, file)
	if err := l.Swallow("site-a", "site-b"); errors.Is(err, lab.ErrCannotCut) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := l.Heal("site-a", "site-b"); err != nil {
		t.Fatal(err)
	}
	slack := slackfake.New(t)
	told := &posts{slack: slack}
	first := watchingBy(t, slack, beside(a, file))
	first.awaitReady()
	second := watchingBy(t, slack, beside(b, file))
	second.awaitStandby()
	if err := l.Swallow("site-a", "site-b"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Minute, "two that each miss the other's site", func() (bool, string) {
		_, one := first.get("/readyz")
		_, other := second.get("/readyz")
		return told.openings("nothing is known of site-a") > 0 && told.openings("nothing is known of site-b") > 0, told.String() + one + other
	})
	if err := l.Heal("site-a", "site-b"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Minute, "one that acts and one that stands by", func() (bool, string) {
		one, said := first.acts()
		other, more := second.acts()
		return one != other, said + more
	})
	eventually(t, 4*time.Minute, "end of all that was told", told.over)
	first.end()
	second.end()
}

// capDACOverride has a process read what is its user's only by right of root.
const capDACOverride = 1

// beside is a daemon that runs at a site: what cuts that site's rbd-mirror off cuts it
// off as well.
func beside(s *lab.Site, file string) *exec.Cmd {
	cmd := exec.Command("env", drover, "daemon", file, "--log-format", "json")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: uint32(s.MirrorUser()), Gid: lab.MirrorGroup},
		AmbientCaps: []uintptr{capDACOverride},
	}
	return cmd
}
