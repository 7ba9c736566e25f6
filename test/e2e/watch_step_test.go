package e2e

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/test/slackfake"
)

// TestManualStepByButton has a switchover wait for a person, who is asked in Slack:
// it goes on once two of those who are listed have pressed, and the record of their
// word is that of drover runs approve.
func TestManualStepByButton(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	const image = "rbd/journal-a"
	moving{image: "journal"}.make(t, a)
	text := strings.Replace(watched, "approvers: [U1]", "approvers: [U1, U2], approvals: 2", 1)
	file := plan(t, l, "rbd", twoWay(text)+"hooks:\n  - {name: users, when: before-run, manual: tell the users}\n")
	applied(t, file)
	awaitHealthy(t, file)
	slack := slackfake.New(t)
	w := watching(t, slack, file)
	w.awaitReady()
	socket := slack.Connected()
	// The mgr may have lost sight of a daemon for a moment.
	eventually(t, 2*time.Minute, "image that is fit to move", func() (bool, string) {
		r := call(t, "switchover", file, "--dry-run")
		return r.code == 0, r.String()
	})

	ended := make(chan result, 1)
	go func() { ended <- call(t, "switchover", file, "--yes") }()
	t.Cleanup(func() {
		select {
		case r := <-ended:
			t.Logf("the switchover has not waited\n%s", r)
		default:
		}
	})
	asked := awaitPost(t, slack, func(v url.Values) bool { return strings.Contains(v.Get("blocks"), "tell the users") })
	_, plain := slackfake.Blocks(t, asked.Get("blocks"))
	command := regexp.MustCompile(`drover runs approve (\S+) (\S+) hook/before-run/users`).FindStringSubmatch(plain)
	if command == nil || command[1] != file || !strings.Contains(plain, "2 approvers have to choose the same") {
		t.Fatalf("the message: %s", plain)
	}
	press := func(user, want string) {
		t.Helper()
		slack.Press(socket, user, keeping(t, asked, "approve"), slack.LastTS())
		awaitPost(t, slack, func(v url.Values) bool { return v.Get("thread_ts") != "" && strings.Contains(v.Get("text"), want) })
	}
	press("U1", "Nothing is done before 2 approvers have chosen the same: 1 more.")
	select {
	case r := <-ended:
		t.Fatalf("one was enough\n%s", r)
	case <-time.After(3 * time.Second): // the run looks every second
	}
	wantRole(t, a, image, true, "journal")
	press("U2", "Approved by Slack user U1 and Slack user U2: hook/before-run/users.")
	if r := <-ended; r.code != 0 {
		t.Fatalf("switchover\n%s", r)
	}
	wantRole(t, b, image, true, "journal")
	if r := ok(t, "runs", "show", file, command[2]); !strings.Contains(r.stdout, "approved by Slack user U1 and Slack user U2") {
		t.Errorf("the record\n%s", r)
	}
	eventually(t, time.Minute, "thread that says it is over", func() (bool, string) {
		for _, thread := range slack.Threads() {
			for _, v := range thread.Replies {
				if strings.HasPrefix(v.Get("text"), "RESOLVED: plan e2e: manual-step\n") {
					return true, ""
				}
			}
		}
		return false, ""
	})
	press("U1", "it was approved by Slack user U1 and Slack user U2")
	w.end()
}
