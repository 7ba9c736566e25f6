package rbdmirror

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Runner is a way in which a site's rbd-mirror is run.
type Runner interface {
	// Ensure starts the daemon unless it runs already, and answers with what
	// runs then.
	Ensure(ctx context.Context) (Status, error)
	// Stop ends the daemon; one that does not run is no error.
	Stop(ctx context.Context) error
	// Restart ends and starts the daemon.
	Restart(ctx context.Context) (Status, error)
	// Status looks, and changes nothing.
	Status(ctx context.Context) (Status, error)
}

// Kind names the way in which a daemon is run, in the words of a plan.
type Kind string

// The ways.
const (
	KindProcess Kind = "process"
	KindSystemd Kind = "systemd"
	KindCephadm Kind = "cephadm"
	KindNone    Kind = "none"
)

// Status is what runs.
type Status struct {
	Kind    Kind `json:"kind"`
	Running bool `json:"running"`
	// Detail says more, in the words of who runs it: "active (running)", "1 of 1
	// daemons run".
	Detail string    `json:"detail,omitempty"`
	PID    int       `json:"pid,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Log    string    `json:"log,omitempty"`    // path of its log
	Folder string    `json:"folder,omitempty"` // its run folder, where its admin sockets are
	// Outdated: it runs with other options than it would be started with now; a
	// restart makes them current.
	Outdated bool `json:"outdated,omitempty"`
	// Died: it was started here, nobody has stopped it, and it does not run.
	Died bool `json:"died,omitempty"`
}

// Error is what went wrong in running a site's daemon, and what to do next.
type Error struct {
	Op   string // such as "start rbd-mirror"
	Site string
	Err  error
	Hint string
}

// Error is one line: site, operation, cause; then the hint.
func (e *Error) Error() string {
	text := fmt.Sprintf("site %s: %s: %v", e.Site, e.Op, e.Err)
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// The causes that callers tell apart, in the chain of an *Error.
var (
	ErrNoBinary    = errors.New("rbd-mirror is not installed")
	ErrDied        = errors.New("rbd-mirror ended at once")
	ErrFolder      = errors.New("run folder cannot be used")
	ErrConf        = errors.New("ceph conf cannot be used")
	ErrNotOurs     = errors.New("not run by Drover")
	ErrNoSystemd   = errors.New("systemd does not run here")
	ErrNoUnit      = errors.New("no such systemd unit")
	ErrUnitFailed  = errors.New("systemd unit is not active")
	ErrUnsupported = errors.New("not supported by this orchestrator")
	ErrWontStop    = errors.New("the process does not end")
)

// Observed is the daemon of a site where others run it (run: none): Drover only
// looks, in the cluster's service map.
type Observed struct{ Site string }

// Ensure refuses: somebody else must start it.
func (o Observed) Ensure(context.Context) (Status, error) {
	return Status{Kind: KindNone}, o.refuse("start rbd-mirror")
}

// Stop refuses: somebody else must stop it.
func (o Observed) Stop(context.Context) error { return o.refuse("stop rbd-mirror") }

// Restart refuses: somebody else must restart it.
func (o Observed) Restart(context.Context) (Status, error) {
	return Status{Kind: KindNone}, o.refuse("restart rbd-mirror")
}

// Status knows nothing of the process, and says so without an error.
func (o Observed) Status(context.Context) (Status, error) {
	return Status{Kind: KindNone, Detail: "run by others: see the cluster's service map"}, nil
}

func (o Observed) refuse(op string) error {
	return &Error{
		Op: op, Site: o.Site, Err: ErrNotOurs,
		Hint: "the plan says run: none for this site: do it where the daemon is run (systemctl, cephadm, Rook), or set run: to process, systemd or cephadm",
	}
}
