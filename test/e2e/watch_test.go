package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
	"github.com/drover-io/drover/test/slackfake"
)

// watched is a plan whose daemon looks every second and tells a Slack channel.
const watched = `checks: {schedule: "@every 1s"}
http: {listen: "127.0.0.1:0"}
notifications:
  channels:
    - {name: oncall, type: slack, target: "#dr", token: {env: SLACK_TOKEN}, app_token: {env: SLACK_APP}, approvers: [U1]}
  routes:
    - {severity: [warning, critical], channels: [oncall]}
pools:
  - name: rbd
    images:
      - glob: journal-*
`

// watcher is a drover daemon that runs.
type watcher struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}
	url  string // of metrics and health

	mu  sync.Mutex
	log bytes.Buffer
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *watcher) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// watching starts a daemon, which ends with the test at the latest.
func watching(t *testing.T, slack *slackfake.Server, file string) *watcher {
	t.Helper()
	return watchingBy(t, slack, exec.Command(drover, "daemon", file, "--log-format", "json"))
}

// watchingBy is the same for a command of one's own.
func watchingBy(t *testing.T, slack *slackfake.Server, cmd *exec.Cmd) *watcher {
	t.Helper()
	w := &watcher{t: t, done: make(chan struct{}), cmd: cmd}
	w.cmd.Env = append(os.Environ(), "SLACK_TOKEN="+slackfake.Token, "SLACK_APP="+slackfake.AppToken, "DROVER_SLACK_URL="+slack.URL)
	w.cmd.Stdout, w.cmd.Stderr = w, w
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.done)
		_ = w.cmd.Wait()
	}()
	t.Cleanup(func() {
		if t.Failed() { // what it is about shows in its stacks
			_ = w.cmd.Process.Signal(syscall.SIGQUIT)
			select {
			case <-w.done:
			case <-time.After(5 * time.Second):
			}
		}
		_ = w.cmd.Process.Kill()
		<-w.done
		if t.Failed() {
			t.Logf("drover daemon, %s:\n%s", w.cmd.ProcessState, w.said())
		}
	})
	eventually(t, time.Minute, "daemon that listens", func() (bool, string) {
		for _, line := range strings.Split(w.said(), "\n") {
			var one struct {
				Listens string `json:"listens"`
			}
			if json.Unmarshal([]byte(line), &one) == nil && one.Listens != "" {
				w.url = "http://" + one.Listens
				return true, ""
			}
		}
		return false, w.said()
	})
	return w
}

// get reads from the daemon's endpoint.
func (w *watcher) get(path string) (code int, text string) {
	w.t.Helper()
	response, err := http.Get(w.url + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func (w *watcher) awaitReady() {
	w.t.Helper()
	eventually(w.t, time.Minute, "daemon that is ready", func() (bool, string) {
		code, text := w.get("/readyz")
		return code == http.StatusOK, text
	})
}

// end tells the daemon to stop, and wants it to end in good order.
func (w *watcher) end() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	select {
	case <-w.done:
	case <-time.After(time.Minute):
		w.t.Fatal("the daemon does not end")
	}
	if code := w.cmd.ProcessState.ExitCode(); code != 0 {
		w.t.Errorf("the daemon has ended with %d", code)
	}
}

// TestDaemonAndSecondPrimary has a person force a second primary, which Ceph calls
// healthy: the daemon halts the image and tells Slack once; the resync that a
// listed person chooses by a button is carried out, the loser is kept, and the
// incident ends in the same thread.
func TestDaemonAndSecondPrimary(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	const image = "rbd/journal-a"
	moving{image: "journal", "rbd/journal-b": "journal"}.make(t, a)
	file := plan(t, l, "rbd", twoWay(watched))
	applied(t, file)
	awaitHealthy(t, file)
	slack := slackfake.New(t)
	w := watching(t, slack, file)
	w.awaitReady()
	if code, text := w.get("/metrics"); code != http.StatusOK || !strings.Contains(text, `drover_image_state{`) {
		t.Errorf("metrics: %d\n%s", code, text)
	}
	socket := slack.Connected()

	forced(t, b, image)
	lost := map[string]string{}
	for _, s := range l.Sites() {
		if err := scribble(t, s, image); err != nil {
			t.Fatal(err)
		}
	}
	lost[image] = digest(t, b, image)
	want := digest(t, a, image)
	first := awaitPost(t, slack, func(v url.Values) bool {
		return v.Get("thread_ts") == "" && strings.Contains(v.Get("blocks"), "drover resync")
	})
	if _, plain := slackfake.Blocks(t, first.Get("blocks")); !strings.Contains(plain, image) || !strings.Contains(plain, "--keep site-a") {
		t.Errorf("the message: %s", plain)
	}
	for _, s := range l.Sites() {
		if health, err := s.Ceph(t.Context(), "health"); err != nil || !strings.HasPrefix(string(health), "HEALTH_OK") {
			t.Errorf("Ceph at %s, which notices nothing of this: %s, %v", s.Name, health, err)
		}
	}
	if list := ok(t, "halt", "list", file); !strings.Contains(list.stdout, image) {
		t.Errorf("nothing is halted\n%s", list)
	}
	// Somebody who is not listed presses first. Where the press of one who is comes
	// too late (the other side has been written to since the evidence was taken) or
	// too early (rbd-mirror serves nothing a moment after a promotion by force) the
	// reply says so, and the newest message is answered.
	slack.Press(socket, "U666", keeping(t, first, "site-a"), slack.LastTS())
	newest := first
	for range 6 {
		slack.Press(socket, "U1", keeping(t, newest, "site-a"), slack.LastTS())
		reply := awaitPost(t, slack, func(v url.Values) bool {
			return strings.Contains(v.Get("text"), "begins: the copy at site-a stays") || strings.Contains(v.Get("text"), "Not done")
		})
		if strings.Contains(reply.Get("text"), "begins") {
			if !strings.Contains(reply.Get("text"), "Chosen by Slack user U1") {
				t.Errorf("who is not listed has chosen: %s", reply.Get("text"))
			}
			break
		}
		t.Log(reply.Get("text"))
		time.Sleep(10 * time.Second)
		for _, c := range slack.Calls() {
			if c.Method == "chat.update" && keeping(t, c.Values, "site-a") != "" {
				newest = c.Values
			}
		}
	}
	eventually(t, 4*time.Minute, "resync that was chosen", func() (bool, string) {
		r := call(t, "runs", "list", file)
		return strings.Contains(r.stdout, "resync") && strings.Contains(r.stdout, "done"), r.String()
	})
	wantRole(t, a, image, true, "journal")
	wantRole(t, b, image, false, "journal")
	if got := digest(t, a, image); got != want {
		t.Error("the copy that was kept has changed")
	}
	wantSame(t, a, b, image)
	wantPreserved(t, file, lost, b)
	awaitPost(t, slack, func(v url.Values) bool {
		return v.Get("thread_ts") != "" && strings.HasPrefix(v.Get("text"), "RESOLVED")
	})
	wantThreads(t, slack, "split-brain", 1)
	history := ok(t, "history", file, image)
	if !strings.Contains(history.stdout, "split-brain") || !strings.Contains(history.stdout, "replaying") {
		t.Errorf("history\n%s", history)
	}
	reloads(t, w, file)
	w.end()
}

// wantThreads wants so many threads on Slack whose first message tells of something.
func wantThreads(t *testing.T, slack *slackfake.Server, words string, want int) {
	t.Helper()
	n := 0
	for _, thread := range slack.Threads() {
		if strings.Contains(thread.Root.Get("text"), words) {
			n++
		}
	}
	if n != want {
		t.Errorf("%d threads tell of %s, want %d", n, words, want)
	}
}

// keeping is the value of the button by which a site's copy stays; "" where a
// message has none.
func keeping(t *testing.T, message url.Values, site string) string {
	t.Helper()
	for _, value := range slackfake.Buttons(t, message.Get("blocks")) {
		if strings.Contains(value, `"o":"`+site+`"`) {
			return value
		}
	}
	return ""
}

// awaitPost waits for a new message that fits.
func awaitPost(t *testing.T, slack *slackfake.Server, fits func(url.Values) bool) url.Values {
	t.Helper()
	return awaitCall(t, slack, "chat.postMessage", fits)
}

func awaitCall(t *testing.T, slack *slackfake.Server, method string, fits func(url.Values) bool) (found url.Values) {
	t.Helper()
	var seen []string
	eventually(t, 2*time.Minute, "message on Slack", func() (bool, string) {
		for _, c := range slack.Calls() {
			seen = append(seen, fmt.Sprint(c.Method, " ", c.Values))
			if c.Method == method && fits(c.Values) {
				found = c.Values
				return true, ""
			}
		}
		return false, strings.Join(seen, "\n")
	})
	return found
}

// reloads has the daemon read a plan with a mistake, which must change nothing.
func reloads(t *testing.T, w *watcher, file string) {
	t.Helper()
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ text, says string }{{"version: 7\n", "the plans stay as they were"}, {string(good), "the plans were read again"}} {
		if err := os.WriteFile(filepath.Clean(file), []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, step.says, func() (bool, string) { return strings.Contains(w.said(), step.says), w.said() })
		w.awaitReady()
	}
}

// TestDaemonAndSiteLoss has a site vanish under 20 images and come back: one
// message of each, and the daemon lives.
func TestDaemonAndSiteLoss(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	images := moving{}
	for i := range 20 {
		images[fmt.Sprintf("rbd/journal-%d", i)] = "journal"
	}
	images.make(t, a)
	file := plan(t, l, "rbd", twoWay(watched))
	applied(t, file)
	awaitHealthy(t, file)
	slack := slackfake.New(t)
	w := watching(t, slack, file)
	w.awaitReady()
	vanished(t, b)
	lost := awaitPost(t, slack, func(v url.Values) bool { return v.Get("thread_ts") == "" })
	if _, plain := slackfake.Blocks(t, lost.Get("blocks")); !strings.Contains(plain, "site-b") || !strings.Contains(plain, "Images: 20") {
		t.Errorf("the message: %s", plain)
	}
	if code, text := w.get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d %s", code, text)
	}
	if code, text := w.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "site-b") {
		t.Errorf("readyz: %d %s", code, text)
	}
	if err := b.Return(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.Running(lab.Mirror) {
		t.Log("rbd-mirror has come back with its site")
	} else if err := b.StartMirror(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitPost(t, slack, func(v url.Values) bool {
		return v.Get("thread_ts") != "" && strings.HasPrefix(v.Get("text"), "RESOLVED")
	})
	wantThreads(t, slack, "site-unknown", 1)
	w.end()
}

func vanished(t *testing.T, s *lab.Site) {
	t.Helper()
	if err := s.Vanish(); err != nil {
		t.Fatal(err)
	}
}
