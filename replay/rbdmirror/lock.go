package rbdmirror

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/drover-io/drover/replay"
)

// lock admits one Drover at a time to the folder. It waits for another until
// ctx ends. The one before may have removed the lock file, and the folder with
// it: what is locked then locks nothing, and the next one is taken.
func (p *Process) lock(ctx context.Context) (unlock func(), err error) {
	const op = "lock run folder"
	for {
		f, err := p.tryLock()
		if err != nil {
			return nil, p.fail(op, fmt.Errorf("%w: %w", ErrFolder, err), folderHint(err))
		}
		if f != nil {
			return func() { _ = f.Close() }, nil // closing lets go of it
		}
		select {
		case <-ctx.Done():
			return nil, p.fail(op, ctx.Err(), "another drover is starting or stopping this site's rbd-mirror")
		case <-time.After(pollEvery):
		}
	}
}

// tryLock answers with nil when another holds the lock, or has just removed it.
func (p *Process) tryLock() (*os.File, error) {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(p.Dir, lockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // the folder was removed since
	}
	if err != nil {
		return nil, err
	}
	return lockOpened(f, path)
}

// lockOpened locks the file that was opened at path; it closes it unless it is
// the lock.
func lockOpened(f *os.File, path string) (_ *os.File, err error) {
	held := false
	defer func() {
		if !held {
			err = replay.OneLine(err, f.Close())
		}
	}()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	mine, err := f.Stat()
	if err != nil {
		return nil, err
	}
	there, err := os.Stat(path)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	if !os.SameFile(mine, there) {
		return nil, nil
	}
	held = true
	return f, nil
}
