package replay

import (
	"errors"
	"fmt"
	"strings"
)

// Error is what went wrong in one call to one site: which operation, where, of
// what, why, and what to do next.
type Error struct {
	Op        string // such as "enable mirroring"
	Site      string // name of the site in the plan
	Object    string // pool or image as rbd writes it; may be empty
	Err       error  // the cause; one of the sentinels below is in its chain where one fits
	Hint      string // what a person can do; may be empty
	Retryable bool   // it may pass by itself
}

// Error is one line: site, operation, object, cause; then the hint.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Site != "" {
		fmt.Fprintf(&b, "site %s: ", e.Site)
	}
	b.WriteString(e.Op)
	if e.Object != "" {
		b.WriteString(" " + e.Object)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// The causes that callers tell apart, in the chain of an *Error.
var (
	ErrNotFound    = errors.New("not found")                     // ENOENT
	ErrExists      = errors.New("exists already")                // EEXIST
	ErrBusy        = errors.New("busy")                          // EBUSY
	ErrInvalid     = errors.New("refused as invalid")            // EINVAL
	ErrPermission  = errors.New("permission denied")             // EPERM, EACCES
	ErrReadOnly    = errors.New("read-only")                     // EROFS
	ErrNoSpace     = errors.New("no space")                      // ENOSPC, EDQUOT
	ErrTimeout     = errors.New("no answer in time")             // ETIMEDOUT, or ctx ended
	ErrUnreachable = errors.New("site does not answer")          // no connection could be made
	ErrAuth        = errors.New("authentication failed")         // wrong or missing key
	ErrConfig      = errors.New("cannot read configuration")     // conf or keyring unreadable
	ErrUnsupported = errors.New("not supported by this cluster") // EOPNOTSUPP, no such mgr module
	ErrAgain       = errors.New("not ready yet")                 // EAGAIN
	ErrHeld        = errors.New("held by another")               // a lease that somebody else has
	// ErrShutOut is an ErrPermission that no caps will cure: this client instance
	// is on the blocklist (ESHUTDOWN, which Ceph calls EBLOCKLISTED).
	ErrShutOut = fmt.Errorf("shut out: %w", ErrPermission)
)

// OneLine is errors.Join with a text of one line, for errors that become part
// of another's text; nil when all are.
func OneLine(errs ...error) error {
	var joined error
	for _, err := range errs {
		switch {
		case err == nil:
		case joined == nil:
			joined = err
		default:
			joined = fmt.Errorf("%w; %w", joined, err)
		}
	}
	return joined
}

// WithoutSite is the text of an error for a place that names its site already.
func WithoutSite(site, text string) string {
	return strings.TrimPrefix(text, "site "+site+": ")
}
