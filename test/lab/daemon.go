package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Daemon names one of a site's daemons.
type Daemon string

// The daemons of a site.
const (
	Mon    Daemon = "mon"
	Mgr    Daemon = "mgr"
	OSD    Daemon = "osd"
	Mirror Daemon = "mirror"
)

// The orders in which a site's daemons are started and stopped.
var (
	startOrder = []Daemon{Mon, OSD, Mgr, Mirror}
	stopOrder  = []Daemon{Mirror, Mgr, OSD, Mon}
)

// daemonID is the id of each site's one mon and one mgr.
const daemonID = "a"

// ErrNotRunning is wrapped by the errors about a daemon that does not run.
var ErrNotRunning = errors.New("daemon does not run")

// Running tells whether a daemon's process exists, frozen or not.
func (s *Site) Running(d Daemon) bool { return s.process(d).alive() }

// Pid returns a daemon's process id, or 0 when it does not run.
func (s *Site) Pid(d Daemon) int {
	if p := s.process(d); p.alive() {
		return p.Pid
	}
	return 0
}

// Kill ends a daemon by SIGKILL and waits for its end. An OSD with a MemStore
// loses its data by it.
func (s *Site) Kill(d Daemon) error {
	if err := s.running(d); err != nil {
		return err
	}
	return s.end(d)
}

// StopDaemon ends a daemon in good order, by SIGTERM, and waits for its end.
// The OSD keeps its data.
func (s *Site) StopDaemon(d Daemon) error {
	const patience = 60 * time.Second // a MemStore writes all its data
	if err := s.running(d); err != nil {
		return err
	}
	p := s.process(d)
	if err := p.signal(syscall.SIGTERM); err != nil && !errors.Is(err, errGone) {
		return fmt.Errorf("site %s: stop %s: %w", s.Name, d, err)
	}
	if err := p.awaitEnd(patience); err != nil {
		return fmt.Errorf("site %s: stop %s: %w", s.Name, d, err)
	}
	return s.forget(d)
}

// Freeze stops a daemon's process by SIGSTOP and waits until it has stopped: it
// answers nothing, and its connections stay open.
func (s *Site) Freeze(d Daemon) error {
	const patience = 30 * time.Second
	if err := s.signal(d, syscall.SIGSTOP); err != nil {
		return err
	}
	// A thread that is between two moments on a processor goes on until the kernel
	// looks at it, and may answer one more call.
	for deadline := time.Now().Add(patience); !s.process(d).stopped(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("site %s: freeze %s: it has not stopped within %v", s.Name, d, patience)
		}
	}
	if d == OSD {
		s.frozen.CompareAndSwap(0, time.Now().UnixNano())
	}
	return nil
}

// Thaw lets a frozen daemon go on.
func (s *Site) Thaw(d Daemon) error {
	if err := s.goOn(d); err != nil || d != OSD {
		return err
	}
	return s.wakeOSD()
}

func (s *Site) goOn(d Daemon) error { return s.signal(d, syscall.SIGCONT) }

// leaseTime is the least time for which the read leases of an OSD last that it has just
// been frozen with: half of osd_heartbeat_grace times osd_pool_default_read_lease_ratio.
const leaseTime = 8 * time.Second

// wakeOSD has an OSD that was frozen for long peer anew, where it has to. Its read leases
// have ended meanwhile; a placement group that is asked for something before it has
// renewed its own becomes laggy, waits for word of the other OSDs that share it, and
// serves nobody any more where there are none (16.2.15).
func (s *Site) wakeOSD() error {
	since := s.frozen.Swap(0)
	if mon := s.process(Mon); since == 0 || time.Since(time.Unix(0, since)) < leaseTime || !mon.alive() || mon.stopped() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for range 2 {
		time.Sleep(time.Second) // what was waiting is asked for
		ops, err := s.Ceph(ctx, "tell", "osd.0", "dump_ops_in_flight")
		if err != nil {
			return fmt.Errorf("site %s: wake the OSD: %w", s.Name, err)
		}
		if !bytes.Contains(ops, []byte("waiting for readable")) {
			return nil
		}
	}
	s.lab.logf("%s: the OSD peers anew", s.Name)
	if _, err := s.Ceph(ctx, "osd", "down", "0"); err != nil {
		return fmt.Errorf("site %s: wake the OSD: %w", s.Name, err)
	}
	return s.awaitService(ctx, OSD)
}

// Restart starts a daemon that was killed or stopped, ends it first in good
// order when it still runs, and returns when it serves again.
func (s *Site) Restart(ctx context.Context, d Daemon) error {
	if s.Running(d) {
		if err := s.StopDaemon(d); err != nil {
			return err
		}
	}
	if err := s.start(d); err != nil {
		return err
	}
	return s.awaitService(ctx, d)
}

// StartMirror starts the lab's own rbd-mirror of this site, as the site's user
// client.rbd-mirror.SITE. It returns when the daemon stands in the cluster's
// service map. One that runs already is no error.
func (s *Site) StartMirror(ctx context.Context) error {
	if !s.Running(Mirror) {
		if err := s.start(Mirror); err != nil {
			return err
		}
	}
	return s.awaitService(ctx, Mirror)
}

// StopMirror ends the lab's own rbd-mirror in good order.
func (s *Site) StopMirror() error { return s.StopDaemon(Mirror) }

// start starts a daemon's process.
func (s *Site) start(d Daemon) error {
	cmd := s.command(d)
	out, err := os.OpenFile(filepath.Join(s.dir, "log", string(d)+".out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("site %s: %w", s.Name, err)
	}
	defer func() { _ = out.Close() }() // the daemon has its own handle
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = CleanEnv(os.Environ())
	before := time.Now()
	if err := s.lab.spawner.start(cmd); err != nil {
		return fmt.Errorf("site %s: start %s: %w", s.Name, d, err)
	}
	p, err := describeStarted(cmd)
	// Whatever became of it, its entry in the process table must go in the end.
	go func() { _ = cmd.Wait() }()
	p.Seen = before
	if err == nil {
		err = writePidFile(s.pidFile(d), p)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("site %s: start %s: %w: %s", s.Name, d, err, s.lastOutput(d)), cmd.Process.Kill())
	}
	return nil
}

// describeStarted describes a process that was just started. Start returns
// while the kernel is still at the exec, and for a moment the command line is
// empty or the old one; whoever looked then would not know the process again.
func describeStarted(cmd *exec.Cmd) (process, error) {
	want := commandLine(cmd)
	deadline := time.Now().Add(5 * time.Second)
	for {
		p, err := describeProcess(cmd.Process.Pid)
		if errors.Is(err, errGone) {
			return p, errors.New("it ended at once")
		}
		if err != nil || p.Args == want {
			return p, err
		}
		if time.Now().After(deadline) {
			return p, fmt.Errorf("its command line is %q, want %q", p.Args, want)
		}
		time.Sleep(time.Millisecond)
	}
}

// command is how a daemon is run. None has a context: it outlives every one.
func (s *Site) command(d Daemon) *exec.Cmd {
	args := []string{"-f", "-c", s.Conf(), "--cluster", s.Name}
	switch d {
	case Mon, Mgr:
		return exec.Command("ceph-"+string(d), append(args, "-i", daemonID)...)
	case OSD:
		return exec.Command("ceph-osd", append(args, "-i", "0")...)
	case Mirror:
		return s.mirrorCommand()
	}
	return exec.Command(string(d)) // fails with the unknown name
}

func (s *Site) pidFile(d Daemon) string {
	return filepath.Join(s.dir, "run", string(d)+pidSuffix)
}

// process returns what the pid file says; a file that cannot be read names no
// process.
func (s *Site) process(d Daemon) process {
	p, err := readPidFile(s.pidFile(d))
	if err != nil {
		return process{}
	}
	return p
}

func (s *Site) running(d Daemon) error {
	if s.Running(d) {
		return nil
	}
	return fmt.Errorf("site %s: %s: %w", s.Name, d, ErrNotRunning)
}

func (s *Site) signal(d Daemon, sig syscall.Signal) error {
	err := s.process(d).signal(sig)
	if errors.Is(err, errGone) {
		return s.running(d)
	}
	if err != nil {
		return fmt.Errorf("site %s: %s: %w", s.Name, d, err)
	}
	return nil
}

// end kills a daemon if it runs and forgets it.
func (s *Site) end(d Daemon) error {
	if err := s.process(d).kill(); err != nil {
		return fmt.Errorf("site %s: %s: %w", s.Name, d, err)
	}
	return s.forget(d)
}

func (s *Site) forget(d Daemon) error {
	if d == OSD {
		s.frozen.Store(0)
	}
	if err := os.Remove(s.pidFile(d)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("site %s: %s: %w", s.Name, d, err)
	}
	return nil
}

// lastOutput is the end of what a daemon said, for errors.
func (s *Site) lastOutput(d Daemon) string {
	var text string
	for _, path := range []string{s.LogFile(d), filepath.Join(s.dir, "log", string(d)+".out")} {
		data, err := os.ReadFile(path)
		if err == nil && len(data) > 0 {
			text += lastLines(string(data), 5) + "\n"
		}
	}
	return text
}
