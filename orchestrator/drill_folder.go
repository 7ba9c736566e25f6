package orchestrator

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/drover-io/drover/replay"
)

// folderPrefix begins the name of a folder on this host in which a drill keeps copies of
// what it looks into. What lies there is as secret as the images are.
const folderPrefix = "drover-drill-tmp-"

// drillFolder is such a folder. It is locked (flock(2)) for as long as its drill lives:
// the kernel lets go of the lock of a process that is killed.
type drillFolder struct {
	path string
	lock *os.File
}

// newDrillFolder makes one where the system keeps temporary files, for this user alone.
func newDrillFolder(drill string) (*drillFolder, error) {
	for {
		path, err := os.MkdirTemp("", folderPrefix+shortRun(drill)+"-*") // with mode 0700
		if err != nil {
			return nil, err
		}
		lock, err := lockFolder(path)
		switch {
		case err != nil:
			return nil, errors.Join(err, os.RemoveAll(path))
		case lock != nil:
			return &drillFolder{path: path, lock: lock}, nil
		}
		// A sweep took it for one of a dead drill, before it was locked.
	}
}

// remove removes the folder with all that is in it.
func (f *drillFolder) remove() error {
	return errors.Join(os.RemoveAll(f.path), f.lock.Close())
}

// lockFolder locks a folder; nil where somebody has it locked, or it is gone.
func lockFolder(path string) (lock *os.File, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if lock == nil {
			err = replay.OneLine(err, f.Close())
		}
	}()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			return nil, nil
		}
		return nil, err
	}
	mine, err := f.Stat()
	if err != nil {
		return nil, err
	}
	there, err := os.Lstat(path)
	if err != nil || !os.SameFile(mine, there) {
		return nil, nil // it was removed since
	}
	return f, nil
}

// sweepFolders removes the folders that killed drills of this user have left on this
// host, where it keeps temporary files. Those of drills that live are locked.
func sweepFolders() (left []DrillLeft) {
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		return nil // then no drill can have left anything there
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), folderPrefix)
		if !ok || !e.IsDir() {
			continue
		}
		path := filepath.Join(os.TempDir(), e.Name())
		info, err := os.Lstat(path)
		if err != nil || !ownFolder(info) {
			continue
		}
		lock, err := lockFolder(path)
		if err == nil && lock == nil {
			continue
		}
		if err == nil {
			err = (&drillFolder{path, lock}).remove()
		}
		id, _, _ := cutLast(rest, "-")
		l := DrillLeft{Drill: string(Drill) + "-" + id, Folder: path}
		l.settle(err)
		left = append(left, l)
	}
	return left
}

// ownFolder reports whether a folder is one of this user, and of nobody else.
func ownFolder(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && int(stat.Uid) == os.Geteuid() && info.Mode().Perm() == 0o700
}

// cutLast cuts a text at the last separator.
func cutLast(text, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):], true
	}
	return text, "", false
}

// folder is the drill's folder on this host, which is made when it is wanted first.
func (d *drill) folder() (string, error) {
	d.made.Lock()
	defer d.made.Unlock()
	if d.scratch == nil {
		f, err := newDrillFolder(d.report.ID)
		if err != nil {
			return "", fmt.Errorf("there is no folder for a copy: %w", err)
		}
		d.scratch = f
	}
	return d.scratch.path, nil
}

// removeFolder removes it.
func (d *drill) removeFolder() {
	d.made.Lock()
	f := d.scratch
	d.scratch = nil
	d.made.Unlock()
	if f == nil {
		return
	}
	if err := f.remove(); err != nil {
		d.leftf("folder %s on this host: %v", f.path, err)
	}
}
