package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// Prober tells whether a cluster lives and which one it is.
type Prober interface {
	Name() string
	Identity(ctx context.Context) (replay.Identity, error)
	Abandoned() int
}

// PoolObserver sees how pools are mirrored.
type PoolObserver interface {
	ListPools(ctx context.Context) ([]string, error)
	Namespaces(ctx context.Context, pool string) ([]string, error)
	SiteName(ctx context.Context) (string, error)
	PoolMirroring(ctx context.Context, pool replay.Pool) (replay.PoolMirroring, error)
}

// PoolShaper changes how pools are mirrored.
type PoolShaper interface {
	CreateNamespace(ctx context.Context, pool replay.Pool) error
	SetSiteName(ctx context.Context, name string) error
	SetPoolMode(ctx context.Context, pool replay.Pool, mode replay.PoolMode) error
	CreateBootstrapToken(ctx context.Context, pool replay.Pool) (replay.Token, error)
	ImportBootstrapToken(ctx context.Context, pool replay.Pool, direction replay.Direction, token replay.Token) error
	AddPeer(ctx context.Context, pool replay.Pool, peer replay.Peer) (string, error)
	UpdatePeer(ctx context.Context, pool replay.Pool, peer replay.Peer) error
	RemovePeer(ctx context.Context, pool replay.Pool, uuid string) error
}

// ImageObserver sees images, who uses them and how their replay goes.
type ImageObserver interface {
	Images(ctx context.Context, pool replay.Pool, detail replay.Detail) ([]replay.Image, error)
	LookAt(ctx context.Context, pool replay.Pool, names []string, detail replay.Detail, seen func(name string, image replay.Image, err error)) error
	Image(ctx context.Context, ref replay.ImageRef) (replay.Image, error)
	Users(ctx context.Context, ref replay.ImageRef) ([]replay.ImageUser, error)
	Ties(ctx context.Context, ref replay.ImageRef) (replay.Ties, error)
	Reports(ctx context.Context, pool replay.Pool) ([]replay.Report, error)
	AppendTime(ctx context.Context, ref replay.ImageRef, after replay.Position) (at time.Time, ok bool, err error)
	BytesAfter(ctx context.Context, ref replay.ImageRef, after replay.Position) (bytes uint64, ok bool, err error)
}

// ImageShaper makes images and sets their mirroring up and down.
type ImageShaper interface {
	CreateImage(ctx context.Context, ref replay.ImageRef, spec replay.ImageSpec) error
	EnableFeatures(ctx context.Context, ref replay.ImageRef, features replay.Features) error
	RemoveImage(ctx context.Context, ref replay.ImageRef) error
	EnableMirroring(ctx context.Context, ref replay.ImageRef, mode replay.MirrorMode) error
	DisableMirroring(ctx context.Context, ref replay.ImageRef, force bool) error
}

// RoleChanger changes the roles of mirrored images.
type RoleChanger interface {
	Promote(ctx context.Context, ref replay.ImageRef, force bool) error
	Demote(ctx context.Context, ref replay.ImageRef) error
	DemoteUnused(ctx context.Context, ref replay.ImageRef, allow func([]replay.ImageUser) error) error
	Resync(ctx context.Context, ref replay.ImageRef) error
	Announce(ctx context.Context, ref replay.ImageRef) error
	FinishPromotion(ctx context.Context, ref replay.ImageRef) error
}

// Fencer shuts clients out.
type Fencer interface {
	OwnAddresses(ctx context.Context) ([]string, error)
	Blocklist(ctx context.Context, address string, d time.Duration) error
	Unblocklist(ctx context.Context, address string) error
}

// Keeper makes what it takes to keep a copy of an image.
type Keeper interface {
	PoolSpace(ctx context.Context, pool string) (replay.Space, error)
	RenameImage(ctx context.Context, ref replay.ImageRef, name string) error
	OpenWriter(ctx context.Context, ref replay.ImageRef) (replay.Writer, error)
}

// Snapshotter takes, clones, reads and removes snapshots.
type Snapshotter interface {
	CreateMirrorSnapshot(ctx context.Context, ref replay.ImageRef) (uint64, error)
	CreateSnapshot(ctx context.Context, ref replay.ImageRef, name string) error
	RemoveSnapshot(ctx context.Context, ref replay.ImageRef, name string) error
	CloneSnapshot(ctx context.Context, ref replay.ImageRef, snapshot string, clone replay.ImageRef) error
	OpenSnapshot(ctx context.Context, ref replay.ImageRef, snapshot string) (replay.Reader, error)
}

// Scheduler keeps mirror snapshot schedules.
type Scheduler interface {
	MirrorSchedules(ctx context.Context, pool replay.Pool) ([]replay.MirrorSchedule, error)
	AddMirrorSchedule(ctx context.Context, s replay.MirrorSchedule) error
	RemoveMirrorSchedule(ctx context.Context, s replay.MirrorSchedule) error
}

// Listener hears of changes of which images are mirrored, as they come.
type Listener interface {
	Listen(ctx context.Context, pool replay.Pool, heard func()) error
}

// DaemonObserver sees the rbd-mirror daemons that a cluster knows of.
type DaemonObserver interface {
	MirrorDaemons(ctx context.Context) ([]replay.MirrorDaemon, error)
}

// Site is one opened cluster: all that observing, applying, destroying and
// verifying need of it. A replay.Site is one.
type Site interface {
	Prober
	PoolObserver
	PoolShaper
	ImageObserver
	ImageShaper
	RoleChanger
	Snapshotter
	Fencer
	Keeper
	Scheduler
	DaemonObserver
	Listener
	Ledger
	io.Closer
}

// Opener opens a site of a plan.
type Opener func(ctx context.Context, site plans.Site) (Site, error)

// Runner runs rbd-mirror at one site, in the way that the plan names.
type Runner interface {
	// State tells whether it runs, where or why not, in words, and whether it runs
	// as the plan says.
	State(ctx context.Context) (DaemonState, error)
	// Start starts it; one that runs is no error.
	Start(ctx context.Context) error
	// Restart ends and starts it, as the plan says now.
	Restart(ctx context.Context) error
	// Stop stops it and leaves nothing behind; one that does not run is no
	// error.
	Stop(ctx context.Context) error
	// Command is the equivalent command line for starting or stopping it.
	Command(start bool) string
	// RestartCommand is the equivalent command line for restarting it.
	RestartCommand() string
}

// DaemonState is how a daemon is that Drover runs.
type DaemonState struct {
	Running bool   `json:"running"`
	Detail  string `json:"detail,omitempty"` // where, or why not
	// Outdated: it runs with other options, or with another conf, key or program,
	// than it would be started with now.
	Outdated bool `json:"outdated,omitempty"`
	// Died: it was started from here, nobody has stopped it, and it does not run.
	Died bool `json:"died,omitempty"`
}

// Hands is how Drover reaches the rbd-mirror daemon of a site.
type Hands struct {
	Runner Runner        // nil when others run it
	Replay ReplayControl // nil when its admin socket is out of reach
}

// HandsFor says how the daemon of a site is reached.
type HandsFor func(plan *plans.Plan, site plans.Site, opened Site) (Hands, error)

// Sites are the sites of a plan, each opened or known not to be.
type Sites struct {
	entries []siteEntry
	open    Opener // by which they were opened
	hands   HandsFor
	clock   func() time.Time
	hangs   *hangs // nil: each look is one by itself
	// panicked is told of a panic in what nobody waits for; nil: who ends it panics.
	panicked func(value any, stack []byte)
}

// DateBy has records dated by a clock; without, by the host's. Wall clocks jump
// and differ between hosts, so that nothing else goes by it: deadlines and leases
// go by the monotonic clock, and what came first by the order of the records. Call
// it before the sites are used.
func (s *Sites) DateBy(clock func() time.Time) { s.clock = clock }

func (s *Sites) now() time.Time { return s.clock() }

type siteEntry struct {
	plan  plans.Site
	site  Site // nil when err is set
	hands Hands
	err   error
}

// OpenSites opens all sites of the plan at once. A site that does not open
// within the plan's check timeout is an error of that site alone; it shows in
// observations. OpenSites itself never fails.
func OpenSites(ctx context.Context, plan *plans.Plan, open Opener, hands HandsFor) *Sites {
	s := &Sites{entries: make([]siteEntry, len(plan.Sites)), open: open, hands: hands, clock: time.Now}
	var wg parallel.Group
	for i, site := range plan.Sites {
		s.entries[i].plan = site
		wg.Go(func() { s.entries[i].open(ctx, plan, open, hands) })
	}
	wg.Wait()
	return s
}

func (e *siteEntry) open(ctx context.Context, plan *plans.Plan, open Opener, hands HandsFor) {
	ctx, cancel := context.WithTimeout(ctx, answerTime(plan))
	defer cancel()
	opened, err := within(ctx, func() (Site, error) { return open(ctx, e.plan) }, func(late Site) { _ = late.Close() })
	if err != nil {
		e.err = unopened(e.plan.Name, err)
		return
	}
	e.site = opened
	if hands == nil {
		return
	}
	e.hands, e.err = hands(plan, e.plan, opened)
	if e.err != nil {
		_ = opened.Close()
		e.site = nil
	}
}

// unopened makes sure that the error of a site names the site.
func unopened(site string, err error) error {
	var known *replay.Error
	if errors.As(err, &known) {
		return err
	}
	cause := err
	if errors.Is(err, context.DeadlineExceeded) {
		cause = fmt.Errorf("%w (%w)", replay.ErrTimeout, err)
	}
	return &replay.Error{Op: "open", Site: site, Err: cause, Hint: "check that the cluster is up and that its monitors can be reached from here"}
}

// within runs f, which may not heed ctx, and stops waiting when ctx ends; what
// f answers after that goes to late. A panic in f is one of who waits.
func within[T any](ctx context.Context, f func() (T, error), late func(T)) (T, error) {
	type answer struct {
		value  T
		err    error
		caught *parallel.Panic
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		a.caught = parallel.Catch(func() { a.value, a.err = f() })
		done <- a
	}()
	select {
	case a := <-done:
		if a.caught != nil {
			panic(a.caught)
		}
		return a.value, a.err
	case <-ctx.Done():
		go func() {
			switch a := <-done; {
			case a.caught != nil:
				a.caught.Unawaited("to a site")
			case a.err == nil:
				late(a.value)
			}
		}()
		var none T
		return none, ctx.Err()
	}
}

// answerTime is how long a site may take to answer.
func answerTime(plan *plans.Plan) time.Duration {
	if d := time.Duration(plan.Checks.Timeout); d > 0 {
		return d
	}
	return 5 * time.Second
}

// Site returns an opened site, or the error why it is not.
func (s *Sites) Site(name string) (Site, error) {
	for _, e := range s.entries {
		if e.plan.Name == name {
			return e.site, e.err
		}
	}
	return nil, refusal("name a site of the plan", "no site %q", name)
}

// only are the sites without all but one.
func (s *Sites) only(name string) *Sites {
	alone := *s
	alone.entries = nil
	for i := range s.entries {
		if s.entries[i].plan.Name == name {
			alone.entries = s.entries[i : i+1]
		}
	}
	return &alone
}

// Runner returns who looks after the daemon at a site; nil: nobody.
func (s *Sites) Runner(name string) Runner {
	for _, e := range s.entries {
		if e.plan.Name == name {
			return e.hands.Runner
		}
	}
	return nil
}

// Replay returns who steers the replay of single images at a site; nil: nobody
// can.
func (s *Sites) Replay(name string) ReplayControl {
	for _, e := range s.entries {
		if e.plan.Name == name {
			return e.hands.Replay
		}
	}
	return nil
}

// abandoned is how many calls to each open site hang that were given up.
func (s *Sites) abandoned() map[string]int {
	out := make(map[string]int, len(s.entries))
	for _, e := range s.entries {
		if e.site != nil {
			out[e.plan.Name] = e.site.Abandoned()
		}
	}
	return out
}

// Close closes all sites.
func (s *Sites) Close() error {
	var errs []error
	for _, e := range s.entries {
		if e.site != nil {
			errs = append(errs, e.site.Close())
		}
	}
	return errors.Join(errs...)
}
