// Package parallel runs things side by side, and brings a panic in one of them to who
// waits for it. In Go a panic in any goroutine ends the whole process. Here it ends
// what waits: a command as ever, and in a daemon the one check, drill or verification
// that has met it.
//
// It knows nothing of what is run. It swallows no panic: whoever waits panics in turn,
// with the stack of where it began.
package parallel

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Panic is a panic that has been caught, with where it began.
type Panic struct {
	Value any
	Stack []byte
}

// Error tells all of it: it is what a process that ends by it leaves behind.
func (p *Panic) Error() string { return fmt.Sprintf("panic: %v\n\n%s", p.Value, p.Stack) }

// Unawaited logs a panic in what nobody waits for any more: a call that was given up.
func (p *Panic) Unawaited(what string) {
	slog.Default().Error("a call that was given up has failed for a fault of the program",
		"call", what, "panic", p.Value, "stack", string(p.Stack))
}

// Catch runs f, and answers with its panic; nil: there was none. One that has come
// from another goroutine keeps the stack that it had there.
func Catch(f func()) (caught *Panic) {
	defer func() {
		switch value := recover().(type) {
		case nil:
		case *Panic:
			caught = value
		default:
			caught = &Panic{Value: value, Stack: debug.Stack()}
		}
	}()
	f()
	return nil
}

// Group is a [sync.WaitGroup] whose Wait panics, once all have ended, with the first
// panic of what was run. The zero value is ready.
type Group struct {
	sync.WaitGroup
	first
}

// Go runs f on a goroutine of its own.
func (g *Group) Go(f func()) {
	g.WaitGroup.Go(func() { g.note(Catch(f)) })
}

// Wait waits until all have ended.
func (g *Group) Wait() {
	g.WaitGroup.Wait()
	g.raise()
}

// ErrGroup is an [errgroup.Group] whose Wait panics, once all have ended, with the
// first panic of what was run. Until then that counts as an error.
type ErrGroup struct {
	*errgroup.Group
	first
}

// WithContext makes a group, and a context that ends with the first error or panic.
func WithContext(ctx context.Context) (*ErrGroup, context.Context) {
	group, ctx := errgroup.WithContext(ctx)
	return &ErrGroup{Group: group}, ctx
}

// Go runs f on a goroutine of its own.
func (g *ErrGroup) Go(f func() error) {
	g.Group.Go(func() (err error) {
		if caught := Catch(func() { err = f() }); caught != nil {
			g.note(caught)
			return caught
		}
		return err
	})
}

// Wait waits until all have ended, and answers with the first error.
func (g *ErrGroup) Wait() error {
	err := g.Group.Wait()
	g.raise()
	return err
}

// first is the first panic of several.
type first struct {
	mu     sync.Mutex
	caught *Panic
}

func (f *first) note(p *Panic) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.caught == nil {
		f.caught = p
	}
}

func (f *first) raise() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.caught != nil {
		panic(f.caught)
	}
}
