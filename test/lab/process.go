package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process names one process beyond doubt: process ids are used again, so the
// start time goes with the id, and the command line is checked too.
type process struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start"` // in clock ticks since boot, field 22 of /proc/PID/stat
	Args  string `json:"args"`  // the command line, separated by blanks

	// Seen is when the lab started the process, by the clock on the wall.
	Seen time.Time `json:"seen,omitzero"`
}

// errGone says that a process has ended.
var errGone = errors.New("process has ended")

// describeProcess reads what names the running process pid. It returns errGone
// for one that does not exist or is a zombie.
func describeProcess(pid int) (process, error) {
	fields, err := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("/proc/%d/stat: start time: %w", pid, err)
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return process{}, errGone
	}
	args := string(bytes.ReplaceAll(bytes.TrimRight(cmdline, "\x00"), []byte{0}, []byte{' '}))
	return process{Pid: pid, Start: start, Args: args}, nil
}

// readStat reads what a stat file of a process or thread says from its state on
// (proc_pid_stat(5), field 3). It returns errGone for one that has ended.
func readStat(path string) ([]string, error) {
	stat, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	// The second field is the program's name in brackets and may hold
	// anything, so the fields are counted from the last bracket on.
	_, rest, found := cutLast(string(stat), ")")
	fields := strings.Fields(rest)
	if !found || len(fields) < 20 {
		return nil, fmt.Errorf("%s: unexpected content", path)
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return nil, errGone
	}
	return fields, nil
}

// stopped tells whether no thread of the process runs any more.
func (p process) stopped() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Pid))
	if err != nil {
		return false
	}
	for _, thread := range threads {
		if fields, err := readStat(thread); err == nil && fields[0] != "T" && fields[0] != "t" {
			return false
		}
	}
	return true
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// alive tells whether this very process still runs (a stopped one does).
func (p process) alive() bool {
	if p.Pid <= 0 {
		return false
	}
	now, err := describeProcess(p.Pid)
	// A process in the middle of an exec has no command line for a moment; the
	// mgr does that to itself when a module is enabled.
	return err == nil && now.Start == p.Start && (now.Args == p.Args || now.Args == "")
}

// signal sends a signal to this very process, or returns errGone.
func (p process) signal(sig syscall.Signal) error {
	// os.FindProcess holds a pidfd, so what is checked is what is signalled.
	handle, err := os.FindProcess(p.Pid)
	if err != nil {
		return errGone
	}
	defer func() { _ = handle.Release() }()
	if !p.alive() {
		return errGone
	}
	err = handle.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
		return errGone
	}
	return err
}

// awaitEnd waits until the process has ended.
func (p process) awaitEnd(within time.Duration) error {
	deadline := time.Now().Add(within)
	for p.alive() {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d (%s) still runs after %s", p.Pid, p.Args, within)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// kill ends the process at once and waits for its end; a process that has
// ended already is no error.
func (p process) kill() error {
	// SIGKILL ends stopped processes too.
	err := p.signal(syscall.SIGKILL)
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("kill process %d: %w", p.Pid, err)
	}
	return p.awaitEnd(10 * time.Second)
}

const pidSuffix = ".pid.json"

// writePidFile records p at path.
func writePidFile(path string, p process) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return writeWhole(path, data, 0o644)
}

// readPidFile reads what writePidFile wrote. A missing file gives the zero
// process, which is not alive.
func readPidFile(path string) (process, error) {
	var p process
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// pidFiles lists the pid files of all daemons of the lab in dir.
func pidFiles(dir string) ([]string, error) {
	return filepath.Glob(filepath.Join(dir, "*", "run", "*"+pidSuffix))
}

// writeWhole writes a file so that a reader sees all of it or nothing.
func writeWhole(path string, data []byte, mode fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, werr := tmp.Write(data)
	err = errors.Join(werr, tmp.Chmod(mode), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
