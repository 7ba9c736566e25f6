package sim

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/drover-io/drover/replay"
)

// failure is an errno with the words that librbd logs beside it.
type failure struct {
	Errno syscall.Errno
	Text  string
}

func fail(errno syscall.Errno, format string, args ...any) error {
	return &failure{Errno: errno, Text: fmt.Sprintf(format, args...)}
}

func (f *failure) Error() string {
	if f.Text == "" {
		return f.Errno.Error()
	}
	return f.Text + ": " + f.Errno.Error()
}

// ErrorCode is the negative errno, as go-ceph has it.
func (f *failure) ErrorCode() int { return -int(f.Errno) }

// Unwrap gives the sentinel that the errno stands for.
func (f *failure) Unwrap() error {
	if s, ok := sentinels[f.Errno]; ok {
		return s
	}
	return f.Errno
}

var sentinels = map[syscall.Errno]error{
	syscall.ENOENT:     replay.ErrNotFound,
	syscall.EEXIST:     replay.ErrExists,
	syscall.EBUSY:      replay.ErrBusy,
	syscall.ENOTEMPTY:  replay.ErrBusy,
	syscall.EINVAL:     replay.ErrInvalid,
	syscall.EDOM:       replay.ErrInvalid,
	syscall.EPERM:      replay.ErrPermission,
	syscall.EACCES:     replay.ErrPermission,
	syscall.EROFS:      replay.ErrReadOnly,
	syscall.ENOSPC:     replay.ErrNoSpace,
	syscall.EDQUOT:     replay.ErrNoSpace,
	syscall.ETIMEDOUT:  replay.ErrTimeout,
	syscall.EOPNOTSUPP: replay.ErrUnsupported,
	syscall.ENOSYS:     replay.ErrUnsupported,
	syscall.EAGAIN:     replay.ErrAgain,
	syscall.ESHUTDOWN:  replay.ErrShutOut,
	syscall.ENOTCONN:   replay.ErrUnreachable,
}

// retryable are the causes that may pass by themselves.
var retryable = []error{replay.ErrBusy, replay.ErrTimeout, replay.ErrUnreachable, replay.ErrAgain}

func (s *Site) wrap(op, object string, err error) error {
	e := &replay.Error{Op: op, Site: s.name, Object: object, Err: err}
	for _, r := range retryable {
		e.Retryable = e.Retryable || errors.Is(err, r)
	}
	return e
}

// ended turns the end of a context into a cause.
func ended(ctx context.Context) error {
	return fmt.Errorf("%w: %w", replay.ErrTimeout, context.Cause(ctx))
}
