package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

const (
	// shotsAtOnce is how many mirror snapshots a watch takes at a time at one site, so
	// that a thousand images that are due together do not stop the site's clients
	// together.
	shotsAtOnce = 4
	// shotTime bounds one of them: it waits for clients to quiesce.
	shotTime = time.Minute
	// shotLook is how often it is looked at the clock, and at images that could not
	// be served.
	shotLook = 10 * time.Second
)

// shots are the mirror snapshots that a watch takes where the plan has it do so
// (snapshots: by: drover).
type shots struct {
	mu sync.Mutex
	// failed is why the last one of an image could not be taken, or (by the site's
	// name) why none could be at a site.
	failed map[string]error
}

// shooter takes the mirror snapshots of one site, while the watch acts.
type shooter struct {
	watch *Watch
	t     *tenure
	site  Site
	alone *Sites // the site and no other: what is recorded there is enough
	pools []*shotPool
	// client is the site by a client of its own, which can be shut out by itself; nil
	// until it is needed.
	client Site
}

// shotPool is one pool of the plan at that site.
type shotPool struct {
	wanted *plans.Pool
	looked time.Time // when it was looked at last, and all could be served that was due
	// waits are images that could not be served: in other hands, or unread.
	waits map[replay.ImageRef]bool
	// served is, of each image that is primary here, up to which time its schedule
	// has been followed.
	served map[string]time.Time
}

// takeSnapshots takes mirror snapshots on the schedules of the plan, for as long as
// the watch acts. What a schedule says is not remembered anywhere: an image is due
// when its newest mirror snapshot is older than the newest time that has come. So
// times that nobody was there for are made up for by one, after a restart as after
// a run, and at a new primary as at the old one.
//
// A snapshot is taken where an image is primary, as far as is known there alone,
// and not halted, given up, or in the hands of a run, which takes its own. Runs do
// not wait for it: see [visit].
func (w *Watch) takeSnapshots(t *tenure) {
	if w.plan.Snapshots.By != plans.SnapshotsByDrover {
		return
	}
	var all parallel.Group
	for i := range t.sites.entries {
		if t.sites.entries[i].site == nil {
			continue // the tenure ends when it can be opened
		}
		s := w.newShooter(t, i)
		w.beside(&all, func() {
			defer s.leave()
			for {
				pause := shotLook
				w.contain(func() { pause = s.round() })
				if !wait(t.ctx, min(max(pause, time.Second), shotLook)) {
					return
				}
			}
		})
	}
	all.Wait()
}

func (w *Watch) newShooter(t *tenure, i int) *shooter {
	e := &t.sites.entries[i]
	s := &shooter{watch: w, t: t, site: e.site, alone: t.sites.only(e.plan.Name)}
	for k := range w.plan.Pools {
		if pool := &w.plan.Pools[k]; pool.Snapshots() {
			s.pools = append(s.pools, &shotPool{wanted: pool, served: map[string]time.Time{}, waits: map[replay.ImageRef]bool{}})
		}
	}
	return s
}

// round serves the pools in which something is due, and tells how long there is
// nothing to do.
func (s *shooter) round() time.Duration {
	pause := shotLook
	report := s.t.last.Load()
	if report == nil {
		return pause // until the first check has told what is halted, and by whom moved
	}
	for _, p := range s.pools {
		now := s.watch.options.Now()
		last, next := p.times(s.watch.plan, now)
		if next.IsZero() {
			continue // it has no schedules
		}
		if last.After(p.looked) || p.looked.After(now) || p.freed(report) {
			err := s.serve(p, report, now)
			if err == nil {
				p.looked = now
			}
			s.t.shots.note(s.site.Name(), err)
		}
		pause = min(pause, next.Sub(s.watch.options.Now()))
	}
	return pause
}

// times are the newest time that has come, and the next, of all schedules that may
// hold for an image of the pool.
func (p *shotPool) times(plan *plans.Plan, now time.Time) (last, next time.Time) {
	all := plan.SchedulesFor(p.wanted, "")
	for i := range p.wanted.Images {
		all = append(slices.Clone(all), p.wanted.Images[i].Schedules...)
	}
	for _, s := range all {
		if at := s.Last(now); at.After(last) {
			last = at
		}
		if at := s.Next(now); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return last, next
}

// freed reports whether an image waits that nobody has in hand any more, by a check
// that is newer than the last look.
func (p *shotPool) freed(report *StatusReport) bool {
	if len(p.waits) == 0 || !report.At.After(p.looked) {
		return false
	}
	return slices.ContainsFunc(report.Images, func(i ImageStatus) bool { return p.waits[i.Ref] && !inOtherHands(&i) })
}

// inOtherHands reports whether a halt, a run or a failover that gave a copy up keeps
// a watch from taking snapshots of an image, or that it is not known which copy
// counts.
func inOtherHands(i *ImageStatus) bool {
	return i.Halt != "" || i.Run != "" || i.Quarantined != "" || i.State == replay.SplitBrain
}

// serve takes what is due in one pool. An error says that something could not be
// served, and is to be tried again.
func (s *shooter) serve(p *shotPool, report *StatusReport, now time.Time) error {
	ctx, cancel := context.WithTimeout(s.t.ctx, answerTime(s.watch.plan)*bulkTimes)
	defer cancel()
	images, err := s.site.Images(ctx, poolOf(p.wanted), 0)
	if err != nil {
		return err
	}
	p.waits = map[replay.ImageRef]bool{}
	due, err := s.due(ctx, p, images, now)
	if err != nil || len(due) == 0 {
		return err
	}
	if err := s.t.lease.confirm(ctx, report.Summary.Silent); err != nil {
		return err
	}
	err = s.visit(ctx, p, report, due)
	if errors.Is(err, replay.ErrShutOut) {
		s.leave() // the next one comes by another client
	}
	return err
}

// visitOfWatch is what a watch's visits are for. Only one watch of a plan acts.
const visitOfWatch = "mirror snapshots"

// visit takes mirror snapshots of images as a visitor of the site.
func (s *shooter) visit(ctx context.Context, p *shotPool, report *StatusReport, due []dueShot) error {
	if err := s.come(ctx); err != nil {
		return err
	}
	v, records, err := beginVisit(ctx, s.watch.plan, s.client, s.alone, visitOfWatch)
	hung := false
	if err == nil {
		due = slices.DeleteFunc(due, func(d dueShot) bool {
			kept := s.kept(records, report, d.ref)
			if kept {
				p.waits[d.ref] = true
			}
			return kept
		})
		hung, err = s.take(p, v, due)
	}
	switch {
	case hung:
		s.leave() // it stays listed, and the next visit shuts its client out
	case v != nil:
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime(s.watch.plan))
		defer cancel()
		err = errors.Join(err, v.end(limited))
	}
	return err
}

// come opens the site by a client of its own, and shuts out those of earlier visits
// that have not ended: of watches that have died, or sleep, and of calls that hang.
func (s *shooter) come(ctx context.Context) error {
	if s.client == nil {
		client, err := within(ctx, func() (Site, error) { return s.alone.open(ctx, s.alone.entries[0].plan) }, func(late Site) { _ = late.Close() })
		if err != nil {
			return unopened(s.site.Name(), err)
		}
		s.client = client
	}
	left, err := visits(ctx, s.watch.plan, s.client)
	if err != nil {
		return err
	}
	for i := range left {
		if left[i].What != visitOfWatch {
			continue // of a verification or a drill, which may be at work
		}
		for _, address := range left[i].Addresses {
			if err := s.client.Blocklist(ctx, address, shutOutFor); err != nil {
				return fmt.Errorf("shut out %s: %w", left[i].who(), err)
			}
		}
		if err := s.client.RemoveRecords(ctx, visitRef(s.watch.plan), []string{left[i].key}); err != nil {
			return err
		}
	}
	return nil
}

// leave gives up the client of its own.
func (s *shooter) leave() {
	if s.client != nil {
		_ = s.client.Close() // nothing more is asked of it
		s.client = nil
	}
}

// dueShot is an image of which a mirror snapshot is due.
type dueShot struct {
	ref replay.ImageRef
	at  time.Time // for which time of its schedule
}

// due are the images that are primary at the site and whose schedule has had a time
// since their newest mirror snapshot.
func (s *shooter) due(ctx context.Context, p *shotPool, images []replay.Image, now time.Time) ([]dueShot, error) {
	var all []dueShot
	var unknown []string
	primary := map[string]bool{}
	for i := range images {
		image := &images[i]
		if image.Fault != nil || image.Mode != replay.ModeSnapshot || image.Role != replay.RolePrimary || image.State != replay.StateEnabled {
			continue
		}
		match, ok := p.wanted.Match(image.Ref.Name)
		if !ok || match.Mode != plans.ModeSnapshot {
			continue
		}
		var last time.Time
		for _, schedule := range s.watch.plan.SchedulesFor(p.wanted, image.Ref.Name) {
			if at := schedule.Last(now); at.After(last) {
				last = at
			}
		}
		if last.IsZero() {
			continue
		}
		primary[image.Ref.Name] = true
		if _, known := p.served[image.Ref.Name]; !known {
			unknown = append(unknown, image.Ref.Name)
		}
		all = append(all, dueShot{image.Ref, last})
	}
	// One that comes back as primary has a mirror snapshot of its promotion.
	maps.DeleteFunc(p.served, func(name string, _ time.Time) bool { return !primary[name] })
	err := s.learn(ctx, p, unknown, now)
	return slices.DeleteFunc(all, func(d dueShot) bool {
		served, known := p.served[d.ref.Name]
		return !known || !d.at.After(served)
	}), err
}

// learn finds out when the newest mirror snapshot of images was taken. That goes by
// the clock of the site's OSDs; afterwards it is remembered, so that a clock that is
// wrong costs or doubles one snapshot at most.
func (s *shooter) learn(ctx context.Context, p *shotPool, names []string, now time.Time) error {
	if len(names) == 0 {
		return nil
	}
	return s.site.LookAt(ctx, poolOf(p.wanted), names, replay.WithPositions, func(name string, image replay.Image, err error) {
		if err != nil {
			p.waits[poolOf(p.wanted).Image(name)] = true
			return
		}
		var newest time.Time
		for i := range image.Snapshots {
			if sn := &image.Snapshots[i]; sn.Mirror != nil && sn.Mirror.Complete && sn.Created.After(newest) {
				newest = sn.Created
			}
		}
		if newest.After(now) {
			newest = now
		}
		p.served[name] = newest
	})
}

// kept reports whether an image is in other hands, by the records of the site or by
// the last check, which also knows whether it is primary elsewhere.
func (s *shooter) kept(records *Recorded, report *StatusReport, ref replay.ImageRef) bool {
	if records.halted(ref) != nil || records.moving(ref) != nil || records.gaveUp(ref, s.site.Name()) {
		return true
	}
	at := slices.IndexFunc(report.Images, func(i ImageStatus) bool { return i.Ref == ref })
	return at >= 0 && inOtherHands(&report.Images[at])
}

// take takes mirror snapshots, a few at a time, for as long as nobody comes to work at
// the plan. A site that falls silent is asked for no more; hung tells that a call has
// not come back.
func (s *shooter) take(p *shotPool, v *visit, due []dueShot) (hung bool, err error) {
	var mu sync.Mutex
	var errs []error
	work, going := parallel.WithContext(s.t.ctx)
	work.SetLimit(shotsAtOnce)
	for _, d := range due {
		work.Go(func() error {
			if going.Err() != nil {
				return going.Err()
			}
			if !v.welcome(going) {
				return errBusyPlan
			}
			// What is under way when the watch stops is not left hanging.
			lasting, stop := lingering(s.t.ctx, answerTime(s.watch.plan))
			defer stop()
			ctx, cancel := context.WithTimeout(lasting, shotTime)
			defer cancel()
			_, err := s.client.CreateMirrorSnapshot(ctx, d.ref)
			if errors.Is(err, replay.ErrNotFound) {
				err = nil // it was removed meanwhile
			}
			s.t.shots.note(d.ref.String(), err)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				p.served[d.ref.Name] = d.at
				return nil
			}
			errs = append(errs, err)
			if silent(err) {
				hung = true
				return err // no more are begun
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		errs = append(errs, err)
	}
	return hung, errors.Join(errs...)
}

// note remembers how the last mirror snapshot of an image went, or the last ones of
// a site.
func (s *shots) note(of string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.failed, of)
		return
	}
	if s.failed == nil {
		s.failed = map[string]error{}
	}
	s.failed[of] = err
}

// explain adds to signals of schedules that fell silent why the last snapshot could
// not be taken.
func (s *shots) explain(signals []alert.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range signals {
		if signals[i].Code != string(replay.ProblemScheduleDead) {
			continue
		}
		why := s.failed[signals[i].Image]
		if why == nil {
			why = s.failed[signals[i].Site]
		}
		if why != nil {
			signals[i].What += "; the last one could not be taken: " + oneLine(why.Error())
		}
	}
}
