package notify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

// maxError is how long an error's text may be, in bytes.
const maxError = 1000

// Failure is why a channel has not taken a message. Its text holds no secret, and
// it wraps nothing that does: of the cause only a context's end can be asked for.
type Failure struct {
	Channel string // name in the plan
	Type    string // of the channel
	// After is how long the service asks to be left alone; 0 is that it does not
	// say.
	After time.Duration

	text    string
	ends    []error
	receipt alert.Receipt
}

// Error says which channel has failed, why, and what to do.
func (f *Failure) Error() string { return f.text }

// Unwrap is the end of a context, if that was the cause.
func (f *Failure) Unwrap() []error { return f.ends }

// RetryAfter is how long the service asks to be left alone, or 0.
func (f *Failure) RetryAfter() time.Duration { return f.After }

// Receipt is what the next try is to be given instead of the incident's last receipt:
// that the message may be there, though nobody said so. "" is that there is none.
func (f *Failure) Receipt() alert.Receipt { return f.receipt }

// failure makes of an error one that can be shown.
func (k *keys) failure(c plans.Channel, err error) error {
	f := &Failure{Channel: c.Name, Type: c.Type}
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, end) {
			f.ends = append(f.ends, end)
		}
	}
	var busy *busyError
	if errors.As(err, &busy) {
		f.After = busy.after
	}
	if doubt, ok := errors.AsType[*doubtError](err); ok {
		f.receipt = doubt.receipt
	}
	text := k.hide(lines(k.hide(bare(err).Error())))
	f.text = cut(fmt.Sprintf("%s channel %s: %s", c.Type, c.Name, text), maxError)
	var lasting *lastingError
	if errors.As(err, &lasting) {
		return alert.Permanent(f)
	}
	return f
}

// lastingError marks what trying again does not mend.
type lastingError struct{ error }

func (e *lastingError) Unwrap() error { return e.error }

func lasting(format string, args ...any) error {
	return &lastingError{fmt.Errorf(format, args...)}
}

// busyError is a service that asks to be called later.
type busyError struct{ after time.Duration }

func (e *busyError) Error() string {
	if e.after <= 0 {
		return "too many messages: the service takes no more for now"
	}
	return fmt.Sprintf("too many messages: the service takes no more for %s", e.after)
}

// bare is an error without what net/http puts around it: that holds the address,
// and after a redirect one that the server has chosen. What stands before it is
// lost too, so errors around calls are made with bare ones.
func bare(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return bare(outer.Err)
	}
	return err
}

// bareTimeout is what else there is to say of a call that a context has ended.
func bareTimeout(err error) error {
	err = bare(err)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return errors.New("the call was ended")
	}
	return err
}
