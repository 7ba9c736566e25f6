package rbdmirror

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
)

// record is the pid file: enough to find the daemon again, and to know for
// certain that a process with that pid is it.
type record struct {
	PID     int       `json:"pid"`
	Start   uint64    `json:"start_ticks"` // field 22 of /proc/PID/stat
	Boot    string    `json:"boot_id"`
	Binary  string    `json:"binary"`
	Args    []string  `json:"args"`
	Laid    string    `json:"laid,omitempty"` // hash of the confs and keyrings that it started with
	Plan    string    `json:"plan"`
	Site    string    `json:"site"`
	Started time.Time `json:"started"`
}

// writeRecord replaces the pid file in one step, so that nobody reads half.
func writeRecord(path string, r record) (err error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFileAtomic(path, append(data, '\n'))
}

func writeFileAtomic(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = replay.OneLine(err, ignoreMissing(os.Remove(f.Name())))
		}
	}()
	if _, err := f.Write(data); err != nil {
		return replay.OneLine(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return replay.OneLine(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// readRecord answers with nil where there is none. A pid file that cannot be
// understood is treated alike: the daemon is then found by its folder.
func readRecord(path string) (*record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	r := &record{}
	understood := json.Unmarshal(data, r) == nil && r.PID > 1
	if !understood {
		return nil, nil
	}
	return r, nil
}

// alive finds the recorded process: same pid, same start, same boot, same
// command. Anything else with that pid is a stranger.
func (r record) alive() (bool, error) {
	boot, err := bootID()
	if err != nil {
		return false, err
	}
	facts, err := inspect(r.PID)
	switch {
	case errors.Is(err, errGone):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("process %d: %w", r.PID, err)
	}
	same := facts.start == r.Start && boot == r.Boot && slices.Equal(facts.command, append([]string{r.Binary}, r.Args...))
	return same && !facts.zombie, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
