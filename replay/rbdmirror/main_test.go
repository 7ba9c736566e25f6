package rbdmirror

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/drover-io/drover/test/lab"
)

// fakeMode in the environment makes the test binary play rbd-mirror.
const fakeMode = "DROVER_TEST_FAKE_RBD_MIRROR"

func TestMain(m *testing.M) {
	if mode := os.Getenv(fakeMode); mode != "" {
		os.Exit(playDaemon(mode))
	}
	code := m.Run()
	if err := stopLab(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// playDaemon is a daemon without a cluster: "run" ends when asked, "stubborn"
// only when killed, "die" at once.
func playDaemon(mode string) int {
	if mode == "die" {
		fmt.Println("unable to connect to local cluster")
		return 3
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	// What a real one would have: seen by a test that looks into its folder.
	note := strings.Join([]string{os.Getenv("HOME"), os.Getenv("CEPH_CONF"), strings.Join(os.Args[1:], " ")}, "\n")
	if err := os.WriteFile("note", []byte(note), 0o600); err != nil {
		return 4
	}
	for range asked {
		if mode == "run" {
			return 0
		}
	}
	return 0
}

// theLab is one lab for all tests that want real daemons.
var theLab struct {
	sync.Mutex
	*lab.Lab
}

func realLab(t *testing.T) *lab.Lab {
	t.Helper()
	theLab.Lock()
	defer theLab.Unlock()
	if theLab.Lab == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		l, err := lab.Start(ctx, lab.Options{Sites: []string{"site-a", "site-b"}, Pools: []string{"rbd"}})
		if err != nil {
			t.Fatal(err)
		}
		theLab.Lab = l
	}
	return theLab.Lab
}

func stopLab() error {
	theLab.Lock()
	defer theLab.Unlock()
	if theLab.Lab == nil {
		return nil
	}
	return theLab.Stop()
}

// eventually polls a real thing until it is so, or the test has failed.
func eventually(t *testing.T, within time.Duration, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", within, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func writeFile(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
