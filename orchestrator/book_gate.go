package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// faultStands is how long the failure to open a gate counts for all who want to
// pass it: each for itself would wait for the same site in turn.
const faultStands = 3 * time.Second

// gate is whether a session may act at a site. One at a time sees to that: it
// holds the place.
type gate struct {
	place  chan struct{}
	open   bool
	fault  error // why it could not be opened last
	failed time.Time
}

// enter takes the place, unless ctx ends first.
func (g *gate) enter(ctx context.Context) error {
	select {
	case g.place <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) leave() { <-g.place }

// notAdmitted is why a call was not made. Whatever its cause says, of a call
// that hung too: nothing was done.
type notAdmitted struct{ error }

func (e notAdmitted) Unwrap() error { return e.error }

// notMade reports whether an error says that a call was not made at all.
func notMade(err error) bool { return errors.As(err, new(notAdmitted)) }

// needs reports whether the session cannot do without a site.
func (s *Session) needs(site string) bool {
	return slices.Contains(s.purpose.Sites, site) && site != s.purpose.Lost
}

// matters reports whether what a site answers may keep the session from
// beginning.
func (s *Session) matters(site string) bool {
	return !s.purpose.RecordsOnly && site != s.purpose.Lost && (len(s.purpose.Sites) == 0 || s.needs(site))
}

// openGates opens all gates that can be opened now. It fails where one stays
// closed that has to be open.
func (s *Session) openGates(ctx context.Context) error {
	var (
		b    = s.book
		wg   parallel.Group
		errs = make([]error, len(b.shelves))
	)
	for i, shelf := range b.shelves {
		b.mu.Lock()
		away := shelf.readFault
		b.mu.Unlock()
		switch {
		case shelf.site == nil:
			errs[i] = away
		case away == nil && s.held(i):
			wg.Go(func() { errs[i] = s.open(ctx, shelf) })
		case s.needs(shelf.name):
			wg.Go(func() { errs[i] = s.admit(ctx, shelf) })
		default:
			s.owe(shelf, away)
		}
	}
	wg.Wait()
	for i, err := range errs {
		shelf := b.shelves[i]
		switch {
		case err == nil:
		case s.needs(shelf.name), s.matters(shelf.name) && !silent(err):
			return s.cannot(shelf, err)
		case shelf.site != nil:
			s.owe(shelf, err)
		}
	}
	return nil
}

// cannot words why a session is not begun because of a site.
func (s *Session) cannot(shelf *shelf, err error) error {
	if s.Err() != nil || !s.needs(shelf.name) || errors.Is(err, ErrRefused) {
		return shelf.named(err)
	}
	next := "drover status shows how " + shelf.name + " is; give the same command again once it answers"
	if story, err := story(s.book, s.purpose.Run); err == nil && s.purpose.Run != "" {
		next += "; " + wayOut(&story.Run, cmpOr(silentOf(s.book, &story.Run), shelf.name))
	}
	return advise(fmt.Errorf("%w: nothing was changed: %w", ErrRefused, asUnreachable(shelf.named(err))), next)
}

// owe says that a site is passed over for now, where somebody is to be shut out
// there.
func (s *Session) owe(shelf *shelf, why error) {
	s.book.mu.Lock()
	open := s.book.sleepers(shelf.name, s.body.Addresses[shelf.name])
	s.book.mu.Unlock()
	passed := shelf.name + " does not answer"
	if why != nil && !silent(why) {
		passed = fmt.Sprintf("%s is passed over (%v)", shelf.name, why)
	}
	for i := range open {
		s.say(fmt.Sprintf("%s: %s, %s, is shut out there before anything is done there", passed, open[i].who(), open[i].what()))
	}
}

// leaveTo says whom the next one has to shut out that acts.
func (s *Session) leaveTo() {
	own := map[string]bool{}
	for _, addresses := range s.body.Addresses {
		for _, a := range addresses {
			own[a] = true
		}
	}
	s.book.mu.Lock()
	open := s.book.openSessions()
	s.book.mu.Unlock()
	for i := range open {
		for _, addresses := range open[i].Addresses {
			if !slices.ContainsFunc(addresses, func(a string) bool { return own[a] }) {
				s.say(fmt.Sprintf("%s, %s; whoever acts at the sites next shuts it out there first", open[i].who(), open[i].what()))
				break
			}
		}
	}
}

// Admit has to be called before anything is done at a site. It fails while the
// lease is lost, and while it cannot be taken there or whoever left a session
// open cannot be shut out there. Of a failure all hear who ask within three
// seconds.
func (s *Session) Admit(ctx context.Context, site string) error {
	if s.lost.Err() != nil {
		if cause := s.Err(); cause != nil {
			return cause
		}
		return context.Cause(s.lost)
	}
	i := slices.IndexFunc(s.book.shelves, func(shelf *shelf) bool { return shelf.name == site })
	if i < 0 || s.book.shelves[i].site == nil {
		return refusal("name a site of the plan", "no site %q", site)
	}
	return s.admit(ctx, s.book.shelves[i])
}

func (s *Session) admit(ctx context.Context, shelf *shelf) error {
	gate := &s.gates[shelf.index]
	if err := gate.enter(ctx); err != nil {
		return err
	}
	defer gate.leave()
	switch {
	case gate.open:
		return nil
	case gate.fault != nil && time.Since(gate.failed) < faultStands:
		return gate.fault
	}
	gate.fault = nil
	err := s.prepareGate(ctx, shelf)
	if err == nil {
		err = s.openGate(ctx, shelf, gate)
	}
	if err != nil && ctx.Err() == nil { // else it says nothing of the site
		gate.fault, gate.failed = err, time.Now()
	}
	return err
}

// prepareGate takes the lease at a site where it is not held yet, and learns
// what is recorded there. Neither has more time than a site has for it that
// answers: the first the answer time, the other what a long book takes.
func (s *Session) prepareGate(ctx context.Context, shelf *shelf) error {
	if s.body.Addresses[shelf.name] == nil {
		return fmt.Errorf("nothing is done at %s: by which address it knows this process could not be found out, so that nobody could shut it out", shelf.name)
	}
	if !s.held(shelf.index) {
		taken, err := s.attempt(ctx, shelf)
		switch {
		case taken:
			s.end(shelf.named(err))
			return s.Err()
		case err != nil && (silent(err) || s.needs(shelf.name)):
			return fmt.Errorf("nothing is done at %s before the lease is held there: %w", shelf.name, shelf.named(err))
		}
		// Otherwise a site that answers and has no room for a lease, or no pool yet,
		// has no other holder of it either.
	}
	records, err := shelf.read(ctx, "")
	if err != nil && !errors.Is(err, replay.ErrNotFound) {
		return fmt.Errorf("nothing is done at %s before its records have been read: %w", shelf.name, shelf.named(err))
	}
	s.book.mu.Lock()
	s.book.list(records, s.book.now())
	s.book.mu.Unlock()
	return nil
}

// open shuts out whom the book knows of at a site, and opens it.
func (s *Session) open(ctx context.Context, shelf *shelf) error {
	gate := &s.gates[shelf.index]
	if err := gate.enter(ctx); err != nil {
		return err
	}
	defer gate.leave()
	return s.openGate(ctx, shelf, gate)
}

func (s *Session) openGate(ctx context.Context, shelf *shelf, gate *gate) error {
	b := s.book
	b.mu.Lock()
	sleepers := b.sleepers(shelf.name, s.body.Addresses[shelf.name])
	b.mu.Unlock()
	if len(sleepers) == 0 && s.needs(shelf.name) {
		if err := s.couldShutOut(ctx, shelf); err != nil {
			return err
		}
	}
	for i := range sleepers {
		if err := s.shutOut(ctx, shelf, &sleepers[i]); err != nil {
			return err
		}
	}
	if err := s.endVisits(ctx, shelf); err != nil {
		return err
	}
	gate.open = true
	return nil
}

// nobody is no client's address, but looks like one to the caps of the profile
// rbd (mon/MonCap.cc). The monitors look at the caps first and read the address
// then (Monitor::handle_command, OSDMonitor::prepare_command_impl), so that who
// may use the blocklist learns that it is invalid, and nothing is changed
// (observed on 16.2.15: EINVAL or EACCES within 2 ms, the map's epoch as before).
const nobody = "nobody/1"

// couldShutOut sees to it before anything is changed that whoever may have to
// take over from this process can shut it out: without the caps nobody could act
// any more. A failover does not wait for an administrator, and says it.
func (s *Session) couldShutOut(ctx context.Context, shelf *shelf) error {
	ctx, cancel := context.WithTimeout(ctx, s.book.answer)
	defer cancel()
	const hint = "drover plan users FILE prints the caps that Drover needs"
	switch err := shelf.site.Blocklist(ctx, nobody, time.Second); {
	case !errors.Is(err, replay.ErrPermission), errors.Is(err, replay.ErrShutOut):
		return nil // no answer tells nothing of the caps
	case s.purpose.Lost != "", s.purpose.Unfenced != "":
		s.say(fmt.Sprintf("nobody will be able to take over from this process if it dies, for want of caps to shut it out at %s: %s", shelf.name, hint))
		return nil
	default:
		return advise(fmt.Errorf("%w: nothing was changed: nobody could take over from this process if it died, for want of caps to shut it out: %w", ErrRefused, shelf.named(err)), hint)
	}
}

// shutOut shuts out one process at a site, and records it.
func (s *Session) shutOut(ctx context.Context, shelf *shelf, sleeper *openSession) error {
	ctx, cancel := context.WithTimeout(ctx, s.book.answer)
	defer cancel()
	addresses := sleeper.Addresses[shelf.name]
	lasts, instead := shutOutFor, ""
	for _, address := range addresses {
		err := shelf.site.Blocklist(ctx, address, shutOutFor)
		switch {
		case errors.Is(err, replay.ErrShutOut) && shelf.name != s.purpose.Lost:
			s.end(shelf.named(err))
			return s.Err()
		case err != nil && s.purpose.Unfenced != "":
			lasts, instead = 0, s.purpose.Unfenced
		case errors.Is(err, replay.ErrPermission):
			return &Hinted{
				Err:  fmt.Errorf("%w: nothing may be done while %s, %s, cannot be shut out: %w", ErrRefused, sleeper.who(), sleeper.what(), shelf.named(err)),
				Hint: s.withoutCaps(),
			}
		case err != nil:
			return fmt.Errorf("nothing is done at %s before %s, %s, is shut out: %w", shelf.name, sleeper.who(), sleeper.what(), shelf.named(err))
		}
	}
	out := ShutOut{
		Session: sleeper.ID, Who: sleeper.who(), Ended: sleeper.ended, Site: shelf.name, Addresses: addresses, Unfenced: instead,
		At: s.book.now().UTC(), Until: s.book.now().Add(lasts).UTC(), For: s.body.ID, By: s.body.who(s.book.by),
	}
	if err := s.book.appendBody(ctx, Entry{Kind: EntryShutOut, Run: s.purpose.Run, At: out.At}, out); err != nil {
		return fmt.Errorf("%s is shut out at %s, which could not be recorded: %w", sleeper.who(), shelf.name, err)
	}
	s.mu.Lock()
	s.out = append(s.out, out)
	s.mu.Unlock()
	s.say(out.String())
	return nil
}

// withoutCaps is what to do where somebody cannot be shut out for want of caps.
func (s *Session) withoutCaps() string {
	hint := "drover plan users FILE prints the caps that Drover needs"
	if s.purpose.Run != "" {
		hint += "; whoever has seen that process dead can do without: drover runs resume FILE " + s.purpose.Run + " --unfenced-predecessor --reason TEXT"
	}
	return hint
}
