package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// termGrace is how long a command that is to stop has for it.
	termGrace = 5 * time.Second
	// drainTime is how long the output of a command that has ended is waited
	// for: a process that it left behind may keep the pipe open for ever.
	drainTime = time.Second
	// groupPoll is how often it is looked whether a process group is gone.
	groupPoll = 10 * time.Millisecond
)

// errand is one command of the plan's author.
type errand struct {
	argv    []string
	env     []string // beside Drover's own environment, and before it
	bare    bool     // of Drover's own environment it gets only what bareEnv names
	hidden  secrets  // of what it writes
	input   []byte   // for its standard input, which is then closed
	timeout time.Duration
	grace   time.Duration // 0: termGrace
}

// run starts the command in a process group of its own, so that a Ctrl-C at the
// terminal is Drover's to deal with, and waits for it. When its time is up or
// the context ends the whole group is told to terminate, and killed when it has
// not within the grace. What a command that ends by itself leaves running is
// left alone: it may be what the command is for. But its output is read no
// longer than a moment after the command's end, and then breaks off.
func (e *errand) run(ctx context.Context) (HookResult, error) {
	failed := HookResult{Code: -1}
	if ctx.Err() != nil {
		return failed, contextCause(ctx)
	}
	pipes, err := openPipes(e.hidden)
	if err != nil {
		return failed, err
	}
	defer pipes.close()
	cmd := exec.Command(e.argv[0], e.argv[1:]...) // #nosec G204 -- the plan's author names the program
	cmd.Env = append(e.inherited(), e.env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = pipes.theirIn, pipes.theirOut, pipes.theirOut
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return failed, startError(e.argv[0], err)
	}
	pipes.begin(e.input)
	var exit error // once it has ended
	ended := make(chan struct{})
	go func() {
		exit = cmd.Wait()
		close(ended)
	}()

	timer := time.NewTimer(e.timeout)
	defer timer.Stop()
	var why error
	select {
	case <-ended:
	case <-timer.C:
		why = fmt.Errorf("%w (%s)", errHookTimeout, e.timeout)
	case <-ctx.Done():
		why = contextCause(ctx)
	}
	if why != nil {
		select {
		case <-ended: // in the same moment
			why = nil
		default:
		}
	}
	if why != nil {
		e.endGroup(cmd.Process.Pid, ended)
		return HookResult{Code: -1, Output: pipes.output()}, withLastLine(why, pipes.output())
	}
	result := HookResult{Code: cmd.ProcessState.ExitCode(), Output: pipes.output()}
	return result, exitError(exit, result.Output)
}

// bareEnv is what a command needs of Drover's environment, in which secrets may be.
var bareEnv = []string{"PATH", "HOME", "LANG", "TMPDIR"}

// inherited is what the command gets of Drover's own environment.
func (e *errand) inherited() (env []string) {
	if !e.bare {
		return os.Environ()
	}
	for _, name := range bareEnv {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// endGroup ends a process group, and returns when it is gone.
func (e *errand) endGroup(group int, ended <-chan struct{}) {
	grace := e.grace
	if grace == 0 {
		grace = termGrace
	}
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	_ = signalGroup(group, syscall.SIGTERM) // one that is gone is what is wanted
	if awaitGroup(group, ended, deadline.C) {
		return
	}
	_ = signalGroup(group, syscall.SIGKILL)
	// A process can outlive that only in a call that the kernel cannot break off,
	// as on a dead NFS mount; whoever waits for us must not wait for it.
	stuck := time.NewTimer(grace)
	defer stuck.Stop()
	awaitGroup(group, ended, stuck.C)
}

// awaitGroup waits until nothing is left of a process group, or for the limit.
func awaitGroup(group int, ended <-chan struct{}, limit <-chan time.Time) bool {
	poll := time.NewTicker(groupPoll)
	defer poll.Stop()
	for {
		// While any process is in the group the kernel gives its number to no
		// other, so that what is signalled next is still this group.
		if errors.Is(signalGroup(group, 0), syscall.ESRCH) {
			return true
		}
		select {
		case <-ended:
			ended = nil
		case <-poll.C:
		case <-limit:
			return false
		}
	}
}

func signalGroup(group int, signal syscall.Signal) error { return syscall.Kill(-group, signal) }

// startError says why a program could not be started.
func startError(program string, err error) error {
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("cannot start %s: it is not in PATH: %w", program, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot start it: %w", err)
	}
	return fmt.Errorf("cannot start %s: %w", program, err)
}

// exitError says how a command failed, or nothing.
func exitError(err error, output string) error {
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return withLastLine(fmt.Errorf("waiting for it: %w", err), output)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return withLastLine(fmt.Errorf("ended by signal %d (%s)", int(status.Signal()), status.Signal()), output)
	}
	return withLastLine(fmt.Errorf("exit code %d", exit.ExitCode()), output)
}
