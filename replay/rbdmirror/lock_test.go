package rbdmirror

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLockWaitsNoLongerThanContext(t *testing.T) {
	p := fakeProcess(t, "run")
	c, err := p.complete()
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := c.lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	if _, err := p.Ensure(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another drover") {
		t.Errorf("error %v", err)
	}
	unlock()
}

// TestRemovedLockLocksNothing: who opened the lock before it was removed does
// not take it for the one that is there now.
func TestRemovedLockLocksNothing(t *testing.T) {
	p := fakeProcess(t, "run")
	for name, replace := range map[string]func(path string) error{
		"another lock": func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"no folder":    func(path string) error { return os.Remove(filepath.Dir(path)) },
	} {
		t.Run(name, func(t *testing.T) {
			unlock, err := p.lock(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer unlock()
			path := filepath.Join(p.Dir, lockFile)
			waiting := openElsewhere(t, path) // as a waiting drover has it
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := replace(path); err != nil {
				t.Fatal(err)
			}
			unlock()
			if f, err := lockOpened(waiting, path); err != nil || f != nil {
				t.Errorf("locked %v, %v", f, err)
			}
			again, err := p.lock(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			again()
		})
	}
}

func openElsewhere(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestRemoveHoldsTheLock: a drover that waits for one that removes the folder
// gets the lock when all is gone, and not a folder that then goes from under it.
func TestRemoveHoldsTheLock(t *testing.T) {
	p := fakeProcess(t, "run")
	c, err := p.complete()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.Dir, lockFile)
	waited := 0
	for range 50 {
		unlock, err := c.lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		waiting := openElsewhere(t, path)
		unlock()
		removed := make(chan error, 1)
		go func() { removed <- p.Remove(context.Background()) }()
		if waitBehind(t, waiting, removed) {
			waited++
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the lock was let go of before it was removed: %v", err)
			}
		}
		if err := errors.Join(waiting.Close(), <-removed); err != nil {
			t.Fatal(err)
		}
	}
	if waited == 0 {
		t.Error("never waited for a removal")
	}
	if _, err := os.Stat(c.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
}

// waitBehind lets another take the lock, then waits for it; false when the
// other was done before that could be seen.
func waitBehind(t *testing.T, f *os.File, done chan error) bool {
	t.Helper()
	flock := func(how int) error {
		for {
			if err := syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
				return err
			}
		}
	}
	for len(done) == 0 {
		switch err := flock(syscall.LOCK_EX | syscall.LOCK_NB); {
		case err == nil:
			if err := flock(syscall.LOCK_UN); err != nil {
				t.Fatal(err)
			}
			runtime.Gosched()
		case !errors.Is(err, syscall.EWOULDBLOCK):
			t.Fatal(err)
		default:
			if err := flock(syscall.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			return true
		}
	}
	return false
}
