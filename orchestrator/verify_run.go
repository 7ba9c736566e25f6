package orchestrator

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// verifyPrefix begins the name of every snapshot that a verification takes.
const verifyPrefix = "drover-verify-"

// verifyForeignAge is the age at which a snapshot of a run that cannot be known
// to live or not counts as left behind: one on another host, or in another
// container of this one.
const verifyForeignAge = 24 * time.Hour

// verifyTimeForm is the time in a snapshot's name, in UTC.
const verifyTimeForm = "20060102T150405Z"

// verifyRun names one verification by when, where and as which process it
// runs, so that a later one can tell whether it is still alive.
type verifyRun struct {
	at    time.Time
	host  string // the same in every boot
	boot  string // within it, start times are comparable
	space string // pid namespace: within it, pids mean something
	pid   int
	start uint64 // of the process, in clock ticks since boot
}

// sequence tells the snapshots of one run apart; the first has no number.
func (r verifyRun) sequence(n int) string {
	if n == 0 {
		return r.snapshot()
	}
	return fmt.Sprintf("%s-%d", r.snapshot(), n)
}

func newVerifyRun(now time.Time) verifyRun {
	pid := os.Getpid()
	start, _ := processStart(pid)
	r := verifyRun{at: now.UTC().Truncate(time.Second), pid: pid, start: start}
	r.host, r.boot, r.space = whereabouts("/")
	return r
}

// snapshot is the name of the run's first snapshot of each image.
func (r verifyRun) snapshot() string {
	return fmt.Sprintf("%s%s-%s-%s-%s-%d-%d", verifyPrefix, r.at.Format(verifyTimeForm), r.host, r.boot, r.space, r.pid, r.start)
}

// parseVerifyRun reads a snapshot's name; ok is false when no verification
// made it.
func parseVerifyRun(snapshot string) (r verifyRun, ok bool) {
	rest, ok := strings.CutPrefix(snapshot, verifyPrefix)
	if !ok {
		return r, false
	}
	part := strings.Split(rest, "-")
	if len(part) != 6 && len(part) != 7 {
		return r, false
	}
	var errs [4]error
	r.at, errs[0] = time.Parse(verifyTimeForm, part[0])
	r.host, r.boot, r.space = part[1], part[2], part[3]
	r.pid, errs[1] = strconv.Atoi(part[4])
	r.start, errs[2] = strconv.ParseUint(part[5], 10, 64)
	if len(part) == 7 {
		_, errs[3] = strconv.Atoi(part[6])
	}
	return r, errs == [4]error{}
}

// verifyJudge tells runs that can no longer be at work from those that may be.
type verifyJudge struct {
	self   verifyRun
	now    time.Time
	booted time.Time // when this host was started; zero when not known
	// clean: no other run is at work, says who asked for this one.
	clean bool
}

// dead tells whether a run can no longer be at work, and how that is known.
// What cannot be known is decided by age, or by who asked for a clean sweep.
func (j verifyJudge) dead(r verifyRun) (dead bool, why string) {
	here := r.host == j.self.host
	switch {
	case r == j.self:
		return false, "of this run"
	case here && r.boot == j.self.boot && r.space == j.self.space:
		start, alive := processStart(r.pid)
		if alive && start == r.start {
			return false, fmt.Sprintf("process %d is still at work", r.pid)
		}
		return true, fmt.Sprintf("process %d has ended", r.pid)
	case here && r.boot != j.self.boot && r.at.Before(j.booted):
		// A run that began later is of a host that was cloned from the same disk.
		return true, "the host has been started anew since"
	case j.now.Sub(r.at) > verifyForeignAge:
		return true, "older than a day"
	}
	where := "on another host"
	if here && r.boot == j.self.boot {
		where = "in another container of this host"
	}
	if j.clean {
		return true, "of a run " + where
	}
	return false, "a run " + where + " may be at work; if none is, drover verify --clean removes it"
}

// whereabouts are digests of the host, its boot and the pid namespace, as a
// file system with /proc shows them. A host is known by machine-id(5) and name;
// one that has no machine-id, as most containers, by its boot, so that it is
// another host in the next one: two containers of one name are not to take
// each other for dead. Where not even the boot is known, nothing else is of
// this host.
func whereabouts(root string) (host, boot, space string) {
	read := func(file string) string {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(text))
	}
	bootID := read("proc/sys/kernel/random/boot_id")
	if bootID == "" {
		bootID = rand.Text()
	}
	name, _ := os.Hostname()
	hostID := cmp.Or(read("etc/machine-id"), bootID)
	namespace, err := os.Readlink(filepath.Join(root, "proc/self/ns/pid"))
	if err != nil {
		namespace = rand.Text()
	}
	return digest(name + "\n" + hostID), digest(bootID), digest(namespace)
}

// digest stands for a text in a name: 32 bits of it.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// bootTime is when the host was started (proc(5), btime of stat), or zero.
func bootTime() time.Time {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}
	}
	for line := range strings.Lines(string(stat)) {
		if text, found := strings.CutPrefix(line, "btime "); found {
			if at, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
				return time.Unix(at, 0)
			}
		}
	}
	return time.Time{}
}

// processStart is when a process began, in clock ticks since boot (proc(5),
// field 22 of stat); alive is false where there is no such process.
func processStart(pid int) (ticks uint64, alive bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	// The name, in parentheses, may hold blanks and parentheses itself.
	end := strings.LastIndexByte(string(stat), ')')
	if end < 0 {
		return 0, false
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0, false
	}
	ticks, err = strconv.ParseUint(fields[19], 10, 64)
	return ticks, err == nil
}
