package rbdmirror

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// stop ends the daemon: asked first, killed if it does not. All is done on a
// handle of the very process, so that no other can be hit that gets its pid.
func (p *Process) stop(ctx context.Context) error {
	_, facts, err := p.look()
	if err != nil {
		return err
	}
	if facts.pid != 0 {
		if err := p.end(ctx, facts); err != nil {
			return err
		}
	}
	return p.sweep()
}

func (p *Process) end(ctx context.Context, facts processFacts) error {
	const op = "stop rbd-mirror"
	handle, err := os.FindProcess(facts.pid)
	if err != nil {
		return p.fail(op, err, "")
	}
	defer handle.Release() //nolint:errcheck // a handle that is not held is let go of already
	if gone, err := ended(facts); err != nil || gone {
		return err
	}
	for _, attempt := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, p.StopTimeout}, {syscall.SIGKILL, p.StopTimeout}} {
		err := handle.Signal(attempt.signal)
		if errors.Is(err, os.ErrProcessDone) {
			return nil
		}
		if err != nil {
			return p.fail(op, fmt.Errorf("process %d: %w", facts.pid, err), "run Drover as the user that started it, or as root")
		}
		gone, err := awaitEnd(ctx, facts, attempt.wait)
		if err != nil {
			return p.fail(op, err, "")
		}
		if gone {
			return nil
		}
	}
	return p.fail(op, ErrWontStop, fmt.Sprintf("process %d survives SIGKILL: it hangs in the kernel (see its state in ps)", facts.pid))
}

// awaitEnd waits for the process to be gone.
func awaitEnd(ctx context.Context, facts processFacts, wait time.Duration) (bool, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		if gone, err := ended(facts); err != nil || gone {
			return gone, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-deadline.C:
			return false, nil
		case <-poll.C:
		}
	}
}

// ended reports whether the process is gone, or only awaits its parent's notice.
func ended(facts processFacts) (bool, error) {
	now, err := inspect(facts.pid)
	if errors.Is(err, errGone) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return now.zombie || now.start != facts.start, nil
}
