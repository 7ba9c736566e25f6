package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/test/slackfake"
)

// seldom is a plan whose daemon looks once in ten minutes.
const seldom = `checks: {schedule: "@every 10m"}
http: {listen: "127.0.0.1:0"}
pools:
  - name: rbd
    images:
      - glob: "*"
`

// TestDaemonHears: an image that is enabled is known to the daemon at once, though
// its next check is minutes away; and whoever enables images waits for the daemon
// only while that is stopped, for as long as the OSD keeps its watch.
func TestDaemonHears(t *testing.T) {
	t.Parallel()
	l, a, _ := mirroredBothWays(t)
	moving{"rbd/first": "journal"}.make(t, a)
	file := plan(t, l, "rbd", twoWay(seldom))
	applied(t, file)
	awaitHealthy(t, file)
	w := watching(t, slackfake.New(t), file)
	w.awaitReady()

	enable := func(image string) time.Duration {
		t.Helper()
		rbd(t, a, "create", "--size", "8M", image)
		began := time.Now()
		rbd(t, a, "mirror", "image", "enable", image, "snapshot")
		return time.Since(began)
	}
	known := func(image string) {
		t.Helper()
		eventually(t, time.Minute, "daemon that knows "+image, func() (bool, string) {
			return strings.Contains(w.said(), `"image":"`+image+`"`), w.said()
		})
	}
	took := enable("rbd/second")
	known("rbd/second")
	t.Logf("an image was enabled within %v of the daemon that listens", took)

	if err := w.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var times []string
	for i := range 6 {
		times = append(times, enable(fmt.Sprintf("rbd/while-stopped-%d", i)).Round(100*time.Millisecond).String())
	}
	t.Logf("while the daemon is stopped, images were enabled within %v", times)
	if err := w.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	known("rbd/while-stopped-5")
	enable("rbd/third")
	known("rbd/third")
	w.end()
}
