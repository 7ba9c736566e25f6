package rbdmirror

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const testUnit = "ceph-rbd-mirror@rbd-mirror.site-b.service"

// fakeSystemctl puts a systemctl into PATH that keeps one unit's state in a
// file and records how it was called.
func fakeSystemctl(t *testing.T, state string) (calls func() string) {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "state"), state)
	script := writeFile(t, filepath.Join(dir, "systemctl"), `#!/bin/sh
cd "`+dir+`" && echo "$*" >> calls
state=$(cat state)
case "$*" in
*" show "*)
	case "$state" in
	absent) printf 'LoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0\n' ;;
	active) printf 'LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=4711\nActiveEnterTimestamp=Sun 2026-11-22 16:17:17 UTC\nResult=success\n' ;;
	broken) printf 'LoadState=loaded\nActiveState=failed\nSubState=failed\nMainPID=0\nResult=exit-code\n' ;;
	nobus) echo 'System has not been booted with systemd as init system (PID 1). Can'\''t operate.' >&2; exit 1 ;;
	*) printf 'LoadState=loaded\nActiveState=inactive\nSubState=dead\nMainPID=0\nResult=success\n' ;;
	esac ;;
*" start "*|*" restart "*)
	[ "$state" = denied ] && { echo "Failed to start: Interactive authentication required." >&2; exit 1; }
	[ "$state" = broken ] || echo active > state ;;
*" stop "*) echo inactive > state ;;
*) exit 64 ;;
esac
`)
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		data, err := os.ReadFile(filepath.Join(dir, "calls"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
}

func TestSystemdLife(t *testing.T) {
	calls := fakeSystemctl(t, "inactive")
	s, ctx := &Systemd{Site: "site-b", Unit: testUnit}, t.Context()
	if st, err := s.Status(ctx); err != nil || st.Running || st.Detail != "inactive (dead)" {
		t.Errorf("before: %+v, %v", st, err)
	}
	st, err := s.Ensure(ctx)
	if err != nil || !st.Running || st.PID != 4711 || !st.Since.Equal(time.Date(2026, 11, 22, 16, 17, 17, 0, time.UTC)) {
		t.Errorf("started: %+v, %v", st, err)
	}
	if _, err := s.Ensure(ctx); err != nil {
		t.Error(err)
	}
	if _, err := s.Restart(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	var verbs []string
	for line := range strings.Lines(calls()) {
		fields := strings.Fields(line)
		if fields[len(fields)-1] != testUnit || fields[len(fields)-2] != "--" {
			t.Errorf("call %q", line)
		}
		if fields[2] != "show" {
			verbs = append(verbs, fields[2])
		}
	}
	if got := strings.Join(verbs, " "); got != "start restart stop" {
		t.Errorf("orders: %s", got)
	}
}

func TestSystemdErrors(t *testing.T) {
	for _, c := range []struct {
		state, unit string
		want        error
		text        string
	}{
		{"absent", testUnit, ErrNoUnit, "list-units"},
		{"nobus", testUnit, ErrNoSystemd, "choose another run:"},
		{"broken", testUnit, ErrUnitFailed, "failed (failed), exit-code; journalctl"},
		{"denied", testUnit, nil, "polkit"},
		{"inactive", "--now", ErrNoUnit, "name the unit"},
		{"inactive", "", ErrNoUnit, "name the unit"},
	} {
		t.Run(c.state+" "+c.unit, func(t *testing.T) {
			fakeSystemctl(t, c.state)
			_, err := (&Systemd{Site: "site-b", Unit: c.unit}).Ensure(t.Context())
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "site site-b") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestSystemctlMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := (&Systemd{Site: "site-b", Unit: testUnit}).Status(t.Context())
	if !errors.Is(err, ErrNoSystemd) || !strings.Contains(err.Error(), "no systemctl on this host") {
		t.Errorf("error %v", err)
	}
}

func TestRunCommandEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := RunCommand(ctx, "sleep", "60"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
