package systemd_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/cmd/drover/systemd"
)

// manager listens as systemd does, and gives what it is told next.
func manager(t *testing.T) (next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 4096)
		n, err := conn.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(text[:n])
	}
}

func TestNotify(t *testing.T) {
	next := manager(t)
	if !systemd.Supervised() {
		t.Error("nobody supervises")
	}
	for want, tell := range map[string]func() error{
		"READY=1":                        func() error { return systemd.Ready("") },
		"READY=1\nSTATUS=1 plan, 3 held": func() error { return systemd.Ready("1 plan, 3 held") },
		"STOPPING=1\nSTATUS=2 to end":    func() error { return systemd.Stopping("2 to end") },
		"STATUS=checks":                  func() error { return systemd.Status("checks") },
		"STATUS=a STOPPING=1 b":          func() error { return systemd.Status("a\nSTOPPING=1\rb\n") },
	} {
		if err := tell(); err != nil {
			t.Errorf("%q: %v", want, err)
			continue
		}
		if got := next(); got != want {
			t.Errorf("%q was told, not %q", got, want)
		}
	}
	if err := systemd.Status(strings.Repeat("ü", 5000)); err != nil {
		t.Error(err)
	}
	if got := next(); len(got) > 300 || !strings.HasSuffix(got, "ü…") {
		t.Errorf("a long status is %d bytes: %s", len(got), got)
	}
}

func TestReloading(t *testing.T) {
	next := manager(t)
	if err := systemd.Reloading("reads the plans"); err != nil {
		t.Fatal(err)
	}
	got := next()
	m := regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=([1-9]\d*)\nSTATUS=reads the plans$`).FindStringSubmatch(got)
	if m == nil {
		t.Fatalf("%q", got)
	}
	if usec, err := strconv.ParseInt(m[1], 10, 64); err != nil || usec <= 0 {
		t.Errorf("%s: %v", m[1], err)
	}
}

// TestUnsupervised: by hand, everything does nothing.
func TestUnsupervised(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	if systemd.Supervised() {
		t.Error("somebody supervises")
	}
	for _, err := range []error{
		systemd.Ready("x"), systemd.Reloading(""), systemd.Stopping(""), systemd.Status(""),
		systemd.Watch(t.Context(), func() bool { t.Error("asked"); return true }, nil),
	} {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	if err := systemd.Ready(""); err == nil {
		t.Error("no error")
	}
}

func TestWatch(t *testing.T) {
	next := manager(t)
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("WATCHDOG_USEC", "20000")
	if limit, err := systemd.WatchdogInterval(); err != nil || limit != 20*time.Millisecond {
		t.Errorf("interval %v, %v", limit, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int32
	asking := make(chan struct{}, 100)
	done := make(chan error, 1)
	go func() {
		done <- systemd.Watch(ctx, func() bool {
			select {
			case asking <- struct{}{}:
			default:
			}
			return asked.Add(1) <= 2
		}, nil)
	}()
	for range 2 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("%q", got)
		}
	}
	for range 5 { // it is asked on, and says nothing while the daemon hangs
		<-asking
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := systemd.Status("over"); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "STATUS=over" {
		t.Errorf("a daemon that is not alive said %q", got)
	}
}

func TestWatchErrors(t *testing.T) {
	t.Setenv("WATCHDOG_PID", "")
	t.Setenv("WATCHDOG_USEC", "soon")
	if err := systemd.Watch(t.Context(), func() bool { return true }, nil); err == nil {
		t.Error("a watchdog of no time is no error")
	}
	t.Setenv("WATCHDOG_USEC", "1000000")
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	ctx, cancel := context.WithCancel(t.Context())
	var failures int
	if err := systemd.Watch(ctx, func() bool { return true }, func(error) { failures++; cancel() }); err != nil || failures != 1 {
		t.Errorf("%v, %d failures", err, failures)
	}
}
