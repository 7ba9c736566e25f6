package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/drover-io/drover/cmd/drover/exit"
)

// insistence is what a second signal means to a verb that can stop in two ways.
type insistence struct {
	wanted atomic.Bool // a verb has asked for it
	begun  chan struct{}

	reloads atomic.Bool   // SIGHUP means to read the files again
	reload  chan struct{} // it has come
}

// insistenceKey finds the insistence in the context of a command.
type insistenceKey struct{}

// insisted is closed by a second signal, which then does not quit the program;
// a third one does. Without a call of insisted the second one quits. It is nil
// where no signal ends the context.
func insisted(ctx context.Context) <-chan struct{} {
	i, ok := ctx.Value(insistenceKey{}).(*insistence)
	if !ok {
		return nil
	}
	i.wanted.Store(true)
	return i.begun
}

// hangups makes SIGHUP mean to read the files again, and no more to stop: each
// shows in the channel, several at once as one. It is nil where no signal ends the
// context.
func hangups(ctx context.Context) <-chan struct{} {
	i, ok := ctx.Value(insistenceKey{}).(*insistence)
	if !ok {
		return nil
	}
	i.reloads.Store(true)
	return i.reload
}

// next is the next signal but for those that mean to read the files again.
func (i *insistence) next(signals <-chan os.Signal) (os.Signal, bool) {
	for {
		s, ok := <-signals
		if !ok || s != syscall.SIGHUP || !i.reloads.Load() {
			return s, ok
		}
		select {
		case i.reload <- struct{}{}:
		default:
		}
	}
}

// untilSignal gives a context that SIGINT or SIGTERM ends, so that what is in
// the air is finished and cleaned up. A second signal quits at once, or see
// insisted.
func untilSignal(parent context.Context, stderr io.Writer) (context.Context, func()) {
	again := &insistence{begun: make(chan struct{}), reload: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancelCause(context.WithValue(parent, insistenceKey{}, again))
	signals := make(chan os.Signal, 3)
	// A terminal that goes away is a reason to stop softly, not to die.
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		if _, ok := again.next(signals); !ok {
			return
		}
		fmt.Fprintln(stderr, "drover: finishing what is in the air; Ctrl-C again to stop at once")
		cancel(exit.ErrInterrupted)
		if _, ok := again.next(signals); !ok {
			return
		}
		if again.wanted.Load() {
			fmt.Fprintln(stderr, "drover: nothing more is begun, and only calls that have gone out are awaited; Ctrl-C again to quit at once")
			close(again.begun)
			if _, ok := again.next(signals); !ok {
				return
			}
		}
		os.Exit(int(exit.Interrupted))
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel(nil)
	}
}
