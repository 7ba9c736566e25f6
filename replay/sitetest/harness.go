package sitetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
)

// Harness is two sites to test and what the contract of replay.Site does not
// offer: the daemons, and clients that write.
type Harness struct {
	// A and B are opened sites, each with a site name set that is its Name and
	// by which the other's rbd-mirror finds it through a conf file. Both
	// daemons run when the suite begins.
	A, B replay.Site
	// Another opens a site once more, as another client; it is closed when the
	// test ends.
	Another func(t *testing.T, site replay.Site) replay.Site
	// NewPool makes a pool at both sites, initialized for rbd, not mirrored.
	NewPool func(ctx context.Context, name string) error
	// Write writes to an image as a client does that is not Drover.
	Write func(ctx context.Context, site replay.Site, ref replay.ImageRef, offset uint64, data []byte) error
	// Spoil makes the header of an image unreadable at a site until mend is
	// called.
	Spoil func(ctx context.Context, site replay.Site, ref replay.ImageRef) (mend func(context.Context) error, err error)
	// CutShort leaves an image that is mirrored by snapshots as a client does that
	// dies in the middle of a promotion or demotion: with its newest mirror snapshot
	// not complete, or as a primary that is marked as non-primary.
	CutShort func(ctx context.Context, site replay.Site, ref replay.ImageRef, unfinished, marked bool) error
	// StartDaemon starts a site's rbd-mirror; StopDaemon ends it in good order.
	StartDaemon, StopDaemon func(ctx context.Context, site replay.Site) error
	// Pause lets time pass between two looks: really, or on the clock of a
	// simulated world.
	Pause func(time.Duration)
	// Within is how long the daemons may take for anything; 0 is a minute and a
	// half: rbd-mirror looks at what it does not replay every 30 s only.
	Within time.Duration
}

// suite is one run of the contract: a harness and the names that belong to it.
type suite struct {
	Harness
	name string // unlike that of any other run
}

// image is an image of the suite at both sites, and the ways to use it in a
// test: what fails, fails the test.
type image struct {
	*suite
	t    *testing.T
	ref  replay.ImageRef
	mode replay.MirrorMode
}

const (
	imageSize = 32 << 20
	basic     = replay.FeatureLayering | replay.FeatureExclusiveLock
)

func (s *suite) pool(kind string) replay.Pool {
	return replay.Pool{Name: "contract-" + s.name + "-" + kind}
}

// eventually looks until f is content, and fails the test with f's last
// complaint.
func (s *suite) eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	within, step := s.Within, 250*time.Millisecond
	if within == 0 {
		within = 90 * time.Second
	}
	var err error
	for waited := time.Duration(0); waited < within; waited += step {
		if err = f(); err == nil {
			return
		}
		s.Pause(step)
	}
	t.Fatalf("not within %v: %s: %v", within, what, err)
}

// settle lets some time pass after which a thing that must not happen would
// have happened.
func (s *suite) settle(d time.Duration) {
	for step := 250 * time.Millisecond; d > 0; d -= step {
		s.Pause(step)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails the test unless err is an *replay.Error with the cause want and
// names the site.
func wants(t *testing.T, err, want error, site replay.Site) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
	var e *replay.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is a %T, want *replay.Error", err, err)
	}
	if e.Site != site.Name() || e.Op == "" {
		t.Fatalf("error %v names site %q and operation %q", err, e.Site, e.Op)
	}
}

// protected makes an image that is primary at A and followed at B.
func (s *suite) protected(t *testing.T, pool replay.Pool, name string, mode replay.MirrorMode) *image {
	t.Helper()
	i := s.made(t, pool, name+"-"+string(mode), mode)
	ok(t, s.A.EnableMirroring(t.Context(), i.ref, mode))
	i.awaitCopy(s.B)
	return i
}

// made is an image at A that is not mirrored.
func (s *suite) made(t *testing.T, pool replay.Pool, name string, mode replay.MirrorMode) *image {
	t.Helper()
	i := &image{suite: s, t: t, ref: pool.Image(name), mode: mode}
	ok(t, s.A.CreateImage(t.Context(), i.ref, replay.ImageSpec{Size: imageSize, Features: basic}))
	return i
}

// at reads the image at a site.
func (i *image) at(s replay.Site) replay.Image {
	i.t.Helper()
	img, err := s.Image(i.t.Context(), i.ref)
	ok(i.t, err)
	return img
}

// awaitCopy waits until the site has a whole copy.
func (i *image) awaitCopy(s replay.Site) {
	i.t.Helper()
	i.eventually(i.t, fmt.Sprintf("%s has a copy of %s", s.Name(), i.ref), func() error {
		img, err := s.Image(i.t.Context(), i.ref)
		if err != nil {
			return err
		}
		if img.Role != replay.RoleSecondary || img.State != replay.StateEnabled {
			return fmt.Errorf("role %s, state %s", img.Role, img.State)
		}
		if i.mode == replay.ModeSnapshot {
			_, err = newestWhole(img)
			return err
		}
		primary, err := i.other(s).Image(i.t.Context(), i.ref)
		if err != nil {
			return err
		}
		return caughtUp(primary, i.uuid(s))
	})
}

func (i *image) other(s replay.Site) replay.Site {
	if s == i.A {
		return i.B
	}
	return i.A
}

// uuid is the mirror uuid of the image's pool at a site.
func (i *image) uuid(s replay.Site) string {
	i.t.Helper()
	m, err := s.PoolMirroring(i.t.Context(), i.ref.Pool)
	ok(i.t, err)
	if m.UUID == "" {
		i.t.Fatalf("no mirror uuid at %s", s.Name())
	}
	return m.UUID
}

// newestWhole is the newest mirror snapshot that is complete.
func newestWhole(img replay.Image) (replay.Snapshot, error) {
	for k := len(img.Snapshots) - 1; k >= 0; k-- {
		if sn := img.Snapshots[k]; sn.Mirror != nil && sn.Mirror.Complete {
			return sn, nil
		}
	}
	return replay.Snapshot{}, fmt.Errorf("no complete mirror snapshot among %d", len(img.Snapshots))
}

// caughtUp reads in the primary's journal whether a peer has committed all
// that the primary has.
func caughtUp(primary replay.Image, uuid string) error {
	if primary.Journal == nil {
		return errors.New("no journal")
	}
	peer, found := primary.Journal.Client(uuid)
	if !found {
		return fmt.Errorf("no client %s in the journal", uuid)
	}
	if peer.Syncing {
		return errors.New("first sync is not done")
	}
	local, _ := primary.Journal.Client("")
	want, any := local.Newest()
	if got, _ := peer.Newest(); any && (got.Tag != want.Tag || got.Entry != want.Entry) {
		return fmt.Errorf("peer stands at %+v, primary at %+v", got, want)
	}
	return nil
}

// write writes at a site and, in snapshot mode, takes a mirror snapshot.
func (i *image) write(s replay.Site, offset uint64, data []byte) {
	i.t.Helper()
	ok(i.t, i.Write(i.t.Context(), s, i.ref, offset, data))
	i.mark(s)
}

// mark takes a mirror snapshot where that is how changes travel.
func (i *image) mark(s replay.Site) {
	i.t.Helper()
	if i.mode == replay.ModeSnapshot {
		_, err := s.CreateMirrorSnapshot(i.t.Context(), i.ref)
		ok(i.t, err)
	}
}

// awaitData waits until a site's copy holds data at the offset.
func (i *image) awaitData(s replay.Site, snapshot string, offset uint64, data []byte) {
	i.t.Helper()
	i.eventually(i.t, fmt.Sprintf("%s holds what was written to %s@%s", s.Name(), i.ref, snapshot), func() error {
		got, err := i.read(s, snapshot, offset, len(data))
		if err != nil {
			return err
		}
		if string(got) != string(data) {
			return fmt.Errorf("it holds %q…", got[:min(16, len(got))])
		}
		return nil
	})
}

func (i *image) read(s replay.Site, snapshot string, offset uint64, n int) (got []byte, err error) {
	r, err := s.OpenSnapshot(i.t.Context(), i.ref, snapshot)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	got = make([]byte, n)
	if _, err := r.ReadAt(i.t.Context(), got, offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return got, nil
}

// awaitRole waits until the image has a role at a site.
func (i *image) awaitRole(s replay.Site, role replay.Role) {
	i.t.Helper()
	i.eventually(i.t, fmt.Sprintf("%s is %s at %s", i.ref, role, s.Name()), func() error {
		img, err := s.Image(i.t.Context(), i.ref)
		if err == nil && img.Role != role {
			err = fmt.Errorf("it is %s", img.Role)
		}
		return err
	})
}

// promote promotes without force, which has to wait for the demotion (EBUSY)
// and for the site's own daemon to let go of the lock (EROFS).
func (i *image) promote(s replay.Site) {
	i.t.Helper()
	i.eventually(i.t, fmt.Sprintf("%s can be promoted at %s", i.ref, s.Name()), func() error {
		err := s.Promote(i.t.Context(), i.ref, false)
		if err != nil && !errors.Is(err, replay.ErrBusy) && !errors.Is(err, replay.ErrReadOnly) {
			i.t.Fatalf("promote: %v", err)
		}
		return err
	})
}

// report is what a site holds of the daemon with that mirror uuid; "" is its own.
func (i *image) report(s replay.Site, uuid string) (replay.Report, error) {
	reports, err := s.Reports(i.t.Context(), i.ref.Pool)
	if err != nil {
		return replay.Report{}, err
	}
	for _, r := range reports {
		if r.Ref == i.ref && r.MirrorUUID == uuid && r.State != replay.ReportStatusNotFound {
			return r, nil
		}
	}
	return replay.Report{}, fmt.Errorf("no report by %q of %s at %s", uuid, i.ref, s.Name())
}

// awaitReport waits until the site's own daemon reports as good asks.
func (i *image) awaitReport(s replay.Site, what string, good func(replay.Report) bool) replay.Report {
	i.t.Helper()
	var got replay.Report
	i.eventually(i.t, fmt.Sprintf("%s reports %s of %s", s.Name(), what, i.ref), func() (err error) {
		if got, err = i.report(s, ""); err == nil && !good(got) {
			err = fmt.Errorf("it reports up=%v %s: %s", got.Up, got.State, got.Description)
		}
		return err
	})
	return got
}

// text is n bytes that compress badly and repeat nowhere.
func text(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 7))
	for k := range b {
		b[k] = byte(r.Uint32() | 1)
	}
	return b
}

var modes = []replay.MirrorMode{replay.ModeJournal, replay.ModeSnapshot}

// each runs f as parallel subtests, one for each mode.
func each(t *testing.T, name string, f func(t *testing.T, mode replay.MirrorMode)) {
	for _, mode := range modes {
		t.Run(name+"/"+string(mode), func(t *testing.T) {
			t.Parallel()
			f(t, mode)
		})
	}
}
