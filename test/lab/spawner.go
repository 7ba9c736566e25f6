package lab

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// errStopped says that the lab was stopped before a command could start.
var errStopped = errors.New("lab is stopped")

// spawner starts processes from one OS thread.
//
// Linux sends the parent-death signal when the *thread* that started the child
// exits, not when the process does, and the Go runtime ends threads at will.
// So all processes of a lab are started from one goroutine that is locked to
// its thread until the lab is stopped.
type spawner struct {
	bound    bool // processes die with this one
	requests chan spawnRequest
	once     sync.Once
	quit     chan struct{}
	done     chan struct{}
}

type spawnRequest struct {
	cmd   *exec.Cmd
	reply chan error
}

// newSpawner starts the thread. With bound set the processes that it starts
// are killed when this process ends, however that happens.
func newSpawner(bound bool) *spawner {
	s := &spawner{
		bound:    bound,
		requests: make(chan spawnRequest),
		quit:     make(chan struct{}),
		done:     make(chan struct{}),
	}
	go s.serve()
	return s
}

func (s *spawner) serve() {
	defer close(s.done)
	// Never unlocked: the thread ends with this goroutine.
	runtime.LockOSThread()
	for {
		select {
		case r := <-s.requests:
			r.reply <- r.cmd.Start()
		case <-s.quit:
			return
		}
	}
}

// start starts a command that was not started yet. The caller waits for it.
func (s *spawner) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if s.bound {
		// A group of its own: Ctrl-C at a terminal is for the holder of the
		// lab, which then stops its daemons in good order.
		cmd.SysProcAttr.Setpgid = true
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	} else {
		cmd.SysProcAttr.Setsid = true
	}
	r := spawnRequest{cmd: cmd, reply: make(chan error, 1)}
	select {
	case s.requests <- r:
		return <-r.reply
	case <-s.done:
		return errStopped
	}
}

// close ends the thread, and with it every bound process that still runs.
func (s *spawner) close() {
	s.once.Do(func() { close(s.quit) })
	<-s.done
}
