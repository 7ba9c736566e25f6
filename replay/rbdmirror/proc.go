package rbdmirror

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// procRoot is where the kernel tells of processes.
const procRoot = "/proc"

// clockTick is the unit of start times in /proc/PID/stat: USER_HZ, which is 100
// on every architecture that Ceph runs on.
const clockTick = time.Second / 100

// errGone: there is no such process (any more).
var errGone = errors.New("no such process")

// processFacts tell one process from another that has its pid later.
type processFacts struct {
	pid     int
	start   uint64 // clock ticks after boot
	zombie  bool
	command []string
	laid    string // see record; empty: not known
}

// inspect reads what the kernel says of a process; errGone if there is none.
func inspect(pid int) (processFacts, error) {
	stat, err := os.ReadFile(filepath.Join(procRoot, strconv.Itoa(pid), "stat"))
	if err != nil {
		return processFacts{}, goneOr(err)
	}
	facts, err := parseStat(pid, string(stat))
	if err != nil {
		return processFacts{}, err
	}
	line, err := os.ReadFile(filepath.Join(procRoot, strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return processFacts{}, goneOr(err)
	}
	for arg := range bytes.SplitSeq(bytes.TrimSuffix(line, []byte{0}), []byte{0}) {
		facts.command = append(facts.command, string(arg))
	}
	return facts, nil
}

// goneOr tells a process that has ended (the files vanish, or reading them
// answers ESRCH) from a failure to look.
func goneOr(err error) error {
	if errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "no such process") {
		return errGone
	}
	return err
}

// parseStat reads state and start time (proc(5): fields 3 and 22). The second
// field, the name in parentheses, may hold anything: counting begins behind it.
func parseStat(pid int, stat string) (processFacts, error) {
	_, rest, ok := cutLast(stat, ")")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return processFacts{}, fmt.Errorf("%s/%d/stat: not understood", procRoot, pid)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return processFacts{}, fmt.Errorf("%s/%d/stat: start time: %w", procRoot, pid, err)
	}
	return processFacts{pid: pid, start: start, zombie: fields[0] == "Z" || fields[0] == "X"}, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// bootID tells one life of the machine from the next, in which start times
// begin anew.
func bootID() (string, error) {
	id, err := os.ReadFile(filepath.Join(procRoot, "sys/kernel/random/boot_id"))
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(id)), nil
}

// startedAt is the start as a time of day.
func startedAt(start uint64) (time.Time, error) {
	stat, err := os.ReadFile(filepath.Join(procRoot, "stat"))
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(stat)) {
		if text, ok := strings.CutPrefix(line, "btime "); ok {
			boot, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			if err != nil {
				return time.Time{}, err
			}
			return time.Unix(boot, 0).Add(time.Duration(start) * clockTick), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s/stat: no btime", procRoot)
}

// processesIn lists the processes whose working directory is the folder, also where
// somebody has removed it under them.
func processesIn(folder string) ([]processFacts, error) {
	entries, err := os.ReadDir(procRoot)
	if err != nil {
		return nil, err
	}
	var found []processFacts
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cwd, err := os.Readlink(filepath.Join(procRoot, e.Name(), "cwd"))
		if err != nil || strings.TrimSuffix(cwd, " (deleted)") != folder {
			continue // ended since, or not ours to look at
		}
		facts, err := inspect(pid)
		if err != nil {
			continue
		}
		found = append(found, facts)
	}
	return found, nil
}
