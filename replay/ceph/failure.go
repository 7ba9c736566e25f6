package ceph

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/drover-io/drover/replay"
)

// operation is something that a site is asked for: its name in errors, the
// capabilities that it needs, and what certain errnos mean to it.
type operation struct {
	name  string
	needs string // capabilities of the asking user, for EPERM and EACCES
	hints map[syscall.Errno]string
}

const (
	eperm     = syscall.EPERM
	enoent    = syscall.ENOENT
	eagain    = syscall.EAGAIN
	eacces    = syscall.EACCES
	ebusy     = syscall.EBUSY
	eexist    = syscall.EEXIST
	einval    = syscall.EINVAL
	enospc    = syscall.ENOSPC
	erofs     = syscall.EROFS
	etimedout = syscall.ETIMEDOUT
	enotsup   = syscall.EOPNOTSUPP
	edquot    = syscall.EDQUOT
	enosys    = syscall.ENOSYS
	enotempty = syscall.ENOTEMPTY
	enotconn  = syscall.ENOTCONN
	eshutdown = syscall.ESHUTDOWN // the client is blocklisted
	edom      = syscall.EDOM
	eio       = syscall.EIO
)

// kinds is how errnos become the causes that callers tell apart.
var kinds = map[syscall.Errno]struct {
	is        error
	retryable bool
}{
	enoent:    {replay.ErrNotFound, false},
	eexist:    {replay.ErrExists, false},
	ebusy:     {replay.ErrBusy, true},
	einval:    {replay.ErrInvalid, false},
	edom:      {replay.ErrInvalid, false}, // librbd: an object size out of bounds
	eperm:     {replay.ErrPermission, false},
	eacces:    {replay.ErrPermission, false},
	erofs:     {replay.ErrReadOnly, false},
	enospc:    {replay.ErrNoSpace, false},
	edquot:    {replay.ErrNoSpace, false},
	etimedout: {replay.ErrTimeout, true},
	enotsup:   {replay.ErrUnsupported, false},
	enosys:    {replay.ErrUnsupported, false},
	eagain:    {replay.ErrAgain, true},
	enotempty: {replay.ErrBusy, false},
	enotconn:  {replay.ErrUnreachable, true},
	eshutdown: {replay.ErrShutOut, false},
}

var generalHints = map[syscall.Errno]string{
	enospc:    "the pool or the cluster is full: see ceph df and ceph osd pool get-quota",
	edquot:    "the pool's quota is used up: see ceph osd pool get-quota",
	etimedout: "see ceph -s at that site: a monitor or an OSD does not answer",
	eshutdown: "this client has been blocklisted: see ceph osd blocklist ls",
}

// cause is an errno made readable: it is one of replay's sentinels and the
// original error.
type cause struct {
	is  error
	err error
	say string
}

func (c *cause) Error() string   { return c.say }
func (c *cause) Unwrap() []error { return []error{c.is, c.err} }

// errnoOf finds the errno in an error of go-ceph.
func errnoOf(err error) (syscall.Errno, bool) {
	var coded interface{ ErrorCode() int }
	if errors.As(err, &coded) {
		n := coded.ErrorCode()
		if n < 0 {
			n = -n
		}
		return syscall.Errno(n), n != 0
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return number, true
	}
	return 0, false
}

// plain is an error of go-ceph without its "rbd: ret=-22, ".
func plain(err error) string {
	var s *statusError
	if errors.As(err, &s) {
		return s.status
	}
	if number, ok := errnoOf(err); ok {
		return number.Error()
	}
	return err.Error()
}

// statusError carries the text that a monitor or mgr sent with its errno.
type statusError struct {
	status string
	err    error
}

func (e *statusError) Error() string { return e.status }
func (e *statusError) Unwrap() error { return e.err }

func withStatus(err error, status string) error {
	status = strings.TrimSpace(status)
	if err == nil || status == "" {
		return err
	}
	return &statusError{status: status, err: err}
}

// explained is an error whose meaning and remedy are known where it arose.
type explained struct {
	is   error // one of replay's sentinels; nil: by the errno in err
	say  string
	hint string
	err  error
}

func (e *explained) Error() string { return e.say }
func (e *explained) Unwrap() error { return e.err }

// errNoPool is in the chain when it is the pool that is missing, and not the
// thing in it that was asked for.
var errNoPool = errors.New("no such pool")

func missingPool(pool string, err error) error {
	if number, ok := errnoOf(err); ok && number == enoent {
		return &explained{say: fmt.Sprintf("no pool %q", pool), hint: "list the pools with: ceph osd pool ls", err: errors.Join(err, errNoPool)}
	}
	return err
}

// gone reports whether err says that a thing in an existing pool is not there.
func gone(err error) bool { return errors.Is(err, replay.ErrNotFound) && !errors.Is(err, errNoPool) }

// isErrno reports whether err came with that errno.
func isErrno(err error, number syscall.Errno) bool {
	n, ok := errnoOf(err)
	return ok && n == number
}

// failure makes the *replay.Error of what an operation came to; nil stays nil.
func (s *Site) failure(op operation, object string, err error) error {
	if err == nil {
		return nil
	}
	var done *replay.Error
	if errors.As(err, &done) {
		return err
	}
	e := &replay.Error{Op: op.name, Site: s.config.Name, Object: object}
	number, _ := errnoOf(err)
	kind, known := kinds[number]
	e.Retryable = kind.retryable
	e.Hint = op.hints[number]
	if e.Hint == "" {
		e.Hint = generalHints[number]
	}
	if (number == eperm || number == eacces) && op.needs != "" && e.Hint == "" {
		e.Hint = fmt.Sprintf("%s needs %s: see ceph auth get %s", s.config.User, op.needs, s.config.User)
	}
	say := plain(err)
	is := kind.is
	var known2 *explained
	if errors.As(err, &known2) {
		say = known2.say
		if known2.hint != "" {
			e.Hint = known2.hint
		}
		if known2.is != nil {
			is = known2.is
		}
		known = known || known2.is != nil
	}
	if !known {
		e.Err = err
		return e
	}
	e.Err = &cause{is: is, err: err, say: say}
	e.Retryable = e.Retryable || errors.Is(is, replay.ErrAgain)
	return e
}

// gaveUp is the error of a call whose context ended first.
func (s *Site) gaveUp(op operation, object string, why error) error {
	return &replay.Error{
		Op: op.name, Site: s.config.Name, Object: object, Retryable: true,
		Err:  &cause{is: replay.ErrTimeout, err: why, say: timeoutText(why)},
		Hint: "the call was given up and may still take effect; look again before repeating it",
	}
}

func timeoutText(why error) string {
	switch {
	case errors.Is(why, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(why, context.Canceled):
		return "interrupted while waiting for an answer"
	}
	return "given up: " + why.Error()
}

// refuse is an error that needs no errno.
func (s *Site) refuse(op, object string, is error, say, hint string) *replay.Error {
	return &replay.Error{
		Op: op, Site: s.config.Name, Object: object, Hint: hint,
		Err: &cause{is: is, err: is, say: say},
	}
}

// malformed is the error of an answer that cannot be read.
func (s *Site) malformed(op operation, object string, err error) error {
	return &replay.Error{Op: op.name, Site: s.config.Name, Object: object, Err: fmt.Errorf("cannot read the cluster's answer: %w", err)}
}
