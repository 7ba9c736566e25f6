package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
	"github.com/drover-io/drover/test/slackfake"
)

// mirrorReport is what a site's rbd-mirror says of an image, and which one said it.
type mirrorReport struct {
	State       string `json:"state"`
	Description string `json:"description"`
	Daemon      struct {
		Instance string `json:"instance_id"`
	} `json:"daemon_service"`
}

func reportOf(t *testing.T, s *lab.Site, image string) (r mirrorReport, text string) {
	t.Helper()
	out := rbd(t, s, "mirror", "image", "status", "--format", "json", image)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return r, out
}

// TestDaemonKeepsHaltedStopped has a split-brain halt a group whose other image is
// well, and rbd-mirror, which knows of no halt, die: the daemon starts it, and the
// replay of that image is stopped again. Before, status tells what verify has proven.
func TestDaemonKeepsHaltedStopped(t *testing.T) {
	t.Parallel()
	l := ownLab(t, "site-a", "site-b")
	a, b := l.Site("site-a"), l.Site("site-b")
	runA, runB := runFolder(t), runFolder(t)
	const split, other = "rbd/journal-0", "rbd/snapshot-0"
	moving{split: "journal", other: "snapshot"}.make(t, a)
	file := plan(t, l, "rbd", strings.NewReplacer("RUN-A", runA, "RUN-B", runB).Replace(failoverPlan)+
		"checks: {schedule: \"@every 1s\"}\nhttp: {listen: \"127.0.0.1:0\"}\n")
	applied(t, file)
	awaitHealthy(t, file)
	if told := ok(t, "status", file); strings.Count(told.stdout, " never\n") != 2 {
		t.Errorf("before a verification\n%s", told)
	}
	ok(t, "verify", file)
	if told := ok(t, "status", file); strings.Count(told.stdout, " ago\n") != 2 {
		t.Errorf("after a verification\n%s", told)
	}

	w := watching(t, slackfake.New(t), file)
	w.awaitReady()
	if _, text := w.get("/metrics"); strings.Count(text, "\ndrover_image_last_verified_timestamp_seconds{") != 2 || !strings.Contains(text, "\ndrover_image_catch_up_seconds{") || !strings.Contains(text, `drover_site_abandoned_calls{plan="e2e",site="site-b"} 0`) {
		t.Errorf("metrics\n%s", text)
	}
	forced(t, b, split)
	eventually(t, time.Minute, "halt of the split-brain", func() (bool, string) {
		r := ok(t, "halt", "list", file)
		return strings.Contains(r.stdout, split), r.String()
	})
	var first mirrorReport
	eventually(t, time.Minute, "replay that is stopped", func() (bool, string) {
		var text string
		first, text = reportOf(t, b, other)
		return first.State == "up+stopped" && first.Daemon.Instance != "", text
	})
	kill(t, running(t, runB), runB)
	eventually(t, 3*time.Minute, "replay that is stopped again", func() (bool, string) {
		now, text := reportOf(t, b, other)
		return now.State == "up+stopped" && now.Daemon.Instance != "" && now.Daemon.Instance != first.Daemon.Instance, text
	})
	w.end()
	stopped := ok(t, "status", file, "-o", "json")
	if !strings.Contains(stopped.stdout, `"replay-stopped"`) {
		t.Errorf("status\n%s", stopped)
	}
}
