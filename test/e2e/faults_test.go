package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// withoutEnd is the test's context, but one that goes on in its cleanups.
func withoutEnd(t *testing.T) context.Context { return context.WithoutCancel(t.Context()) }

// TestApplyThroughFaults breaks one thing after the other while plans are being
// applied. Each apply tells what it could not do, and once the fault is gone
// the next one does it.
func TestApplyThroughFaults(t *testing.T) {
	l := ownLab(t, "site-a", "site-b")
	a, b := l.Site("site-a"), l.Site("site-b")
	startMirror(t, b)
	many := func(prefix string) string {
		var images strings.Builder
		for i := range 12 {
			fmt.Fprintf(&images, "      - name: %s-%d\n        create: {size: 16MiB}\n", prefix, i)
		}
		return oneWay("pools:\n  - name: POOL\n    images:\n" + images.String())
	}
	healed := func(t *testing.T, file, pool, prefix string) {
		t.Helper()
		eventually(t, 2*time.Minute, "apply with the fault gone", func() (bool, string) {
			r := call(t, "plan", "apply", "--yes", file)
			return r.code == 0, r.String()
		})
		unchanged(t, file)
		// rbd-mirror makes a copy anew whose making was cut short.
		awaitHealthy(t, file)
		for i := range 12 {
			wantRole(t, a, fmt.Sprintf("%s/%s-%d", pool, prefix, i), true, "journal")
			wantRole(t, b, fmt.Sprintf("%s/%s-%d", pool, prefix, i), false, "journal")
		}
	}

	t.Run("secondary frozen in the middle", func(t *testing.T) {
		p := pool(t, l)
		file := plan(t, l, p, many("disk"))
		inTheMiddle(t, file, func() {
			if err := b.FreezeAll(); err != nil {
				t.Error(err)
			}
		}, func(code int, said string) {
			if err := b.ThawAll(); err != nil {
				t.Fatal(err)
			}
			if code != 1 || !strings.Contains(said, "site-b") || !strings.Contains(said, "next: ") {
				t.Errorf("want exit 1, the site and a next step; got %d\n%s", code, said)
			}
		})
		healed(t, file, p, "disk")
	})
	t.Run("primary's OSD away", func(t *testing.T) {
		p := pool(t, l)
		file := plan(t, l, p, many("disk"))
		if err := a.Freeze(lab.OSD); err != nil {
			t.Fatal(err)
		}
		r := callFor(t, 3*time.Minute, "plan", "apply", "--yes", file)
		if err := a.Thaw(lab.OSD); err != nil {
			t.Fatal(err)
		}
		if r.code != 1 || !strings.Contains(r.stderr, "site-a") || !strings.Contains(r.stderr, "next: ") {
			t.Errorf("want exit 1, the site and a next step\n%s", r)
		}
		healed(t, file, p, "disk")
	})
	t.Run("way between the sites cut", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("cutting the way between two sites needs root")
		}
		p := pool(t, l)
		file := plan(t, l, p, many("disk"))
		if err := l.Cut("site-a", "site-b"); err != nil {
			t.Fatal(err)
		}
		fails(t, 1, []string{"12 images were waited for in vain", "/disk-0 at site-b", "next: drover status"}, "plan", "apply", "--yes", "--wait-time", "5s", file)
		for i := range 12 {
			wantRole(t, a, fmt.Sprintf("%s/disk-%d", p, i), true, "journal")
		}
		if s := statusOf(t, file); s.Summary.Healthy != 0 || len(s.Problems) == 0 {
			t.Errorf("no copy exists, and yet: %+v", s)
		}
		if err := l.Heal("site-a", "site-b"); err != nil {
			t.Fatal(err)
		}
		healed(t, file, p, "disk")
	})
}

// inTheMiddle runs an apply, breaks something as soon as it begins with its
// first image, and hands over what it said in the end.
func inTheMiddle(t *testing.T, file string, broken func(), ended func(code int, said string)) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), drover, "plan", "apply", "--yes", "--wait-time", "10s", "--log-level", "debug", file)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	begun := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if !begun && strings.Contains(lines.Text(), "kind=begin") && strings.Contains(lines.Text(), "create the image") {
			begun = true
			broken()
		}
		if !strings.Contains(lines.Text(), "level=DEBUG") {
			said.WriteString(lines.Text() + "\n")
		}
	}
	_ = cmd.Wait() // the exit code tells
	if !begun {
		t.Error("the apply never came to the first image")
	}
	ended(cmd.ProcessState.ExitCode(), said.String())
}
