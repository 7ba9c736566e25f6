package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// shutOutFor is how long the client of a dead process stays shut out: longer
// than a paused machine goes unnoticed. Its address is never used again.
const shutOutFor = 7 * 24 * time.Hour

// bookSite is what a site has to be able to do for the book and its sessions.
type bookSite interface {
	Ledger
	Fencer
	Abandoned() int
}

// Purpose says what a process takes the plan's lease for.
type Purpose struct {
	What string // for people, such as "switchover"
	Run  string // the run that it works at; may be empty
	// Sites are those that it changes and cannot do without: it is not begun
	// unless it may act at each. None: it changes any, and those that do not
	// answer it can do without.
	Sites []string
	// Lost is a site that the process gives up: whatever goes wrong there is
	// said, and stops nothing.
	Lost string
	// Unfenced is why a process that cannot be shut out need not be: the word of a
	// person who has seen it dead. It is recorded; without, nothing is done where
	// somebody cannot be shut out.
	Unfenced string
	// RecordsOnly: it writes records and acts at no site, so that nobody has to be
	// shut out before it.
	RecordsOnly bool
	// Partial: that records cannot be copied to a site that can be read is no
	// reason to stop.
	Partial bool
}

// Session is the time in which a process works at a plan under its lease.
//
// A lease ends by itself, and what its holder had under way does not: a process
// that slept longer than its lease lasts, on a paused machine say, wakes in the
// middle of a demotion that somebody else has completed and overtaken meanwhile.
// So a session records the addresses of its clients before it changes anything,
// and that it has ended; and whoever takes the lease over shuts those out, at
// each site before it acts there, that have not ended.
type Session struct {
	*Lease
	book    *Book
	body    sessionBody
	purpose Purpose
	gates   []gate // one for each shelf
	ending  sync.Once

	mu    sync.Mutex
	said  []string
	tell  func(string)
	out   []ShutOut
	isOut bool            // this process has been shut out itself
	risky map[string]bool // sites at which a change of it may still take effect
}

// Begin takes the plan's lease as [Book.Lease] does, brings the book up to date
// as [Book.Reconcile] does, and shuts out the clients of processes that have not
// ended their sessions, at each site that answers. One that does not is passed
// over, unless the purpose needs it; [Session.Admit] has it done before anything
// is done there.
//
// It fails with [ErrLeased], and with [ErrRefused] where a process cannot be
// shut out for want of caps, or where a site that the purpose needs is not open
// to it; nothing has been changed then, and the book is closed.
func (b *Book) Begin(ctx context.Context, p Purpose) (s *Session, err error) {
	text := strings.TrimSpace(p.What + " " + p.Run)
	begun := false
	defer func() {
		if !begun {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*b.answer)
			defer cancel()
			_ = b.Close(closing) // what could not be given back ends by itself
		}
	}()
	lease, err := b.lease(context.WithoutCancel(ctx), text, p.Lost)
	if err != nil {
		return nil, err
	}
	s = &Session{
		Lease: lease, book: b, purpose: p, gates: make([]gate, len(b.shelves)),
		body: sessionBody{ID: lease.claim.Cookie, What: text, PID: os.Getpid(), Addresses: map[string][]string{}},
	}
	for i := range s.gates {
		s.gates[i].place = make(chan struct{}, 1)
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	begun = true
	return s, nil
}

func (s *Session) begin(ctx context.Context) error {
	b := s.book
	for _, shelf := range b.shelves {
		if shelf.site == nil {
			continue
		}
		own, err := shelf.site.OwnAddresses(ctx)
		if err == nil {
			s.body.Addresses[shelf.name] = own
		} else if s.matters(shelf.name) {
			return s.cannot(shelf, err)
		}
	}
	if err := b.Reconcile(ctx); err != nil && s.purpose.Lost == "" && !s.purpose.Partial && s.behind() {
		return err
	}
	if s.purpose.RecordsOnly {
		s.leaveTo()
	} else if err := s.openGates(ctx); err != nil {
		return err
	}
	// The order matters: whoever takes over has to find this before anything that
	// it speaks of.
	if err := b.appendBody(ctx, Entry{Kind: EntrySession, Run: s.purpose.Run}, s.body); err != nil {
		if lost := s.Err(); lost != nil {
			return fmt.Errorf("nothing was changed: %w", lost) // it slept over it
		}
		return fmt.Errorf("nothing was changed, because the session could not be recorded: %w", err)
	}
	return nil
}

// behind reports whether a site that counts could not be brought up to date.
func (s *Session) behind() bool {
	if len(s.purpose.Sites) == 0 {
		return true
	}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	return slices.ContainsFunc(s.book.shelves, func(shelf *shelf) bool { return s.needs(shelf.name) && shelf.fault() != nil })
}

// held reports whether the lease is held at a site.
func (s *Session) held(shelf int) bool {
	s.Lease.mu.Lock()
	defer s.Lease.mu.Unlock()
	return s.holds[shelf].held
}

// ShutOut lists whom the session has shut out so far.
func (s *Session) ShutOut() []ShutOut {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.out)
}

// Tell has f told what people should know, and what they should have known so
// far, one line each. It may be called from several goroutines, one at a time.
func (s *Session) Tell(f func(line string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell = f
	for _, line := range s.said {
		f(line)
	}
	s.said = nil
}

func (s *Session) say(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tell != nil {
		s.tell(line)
		return
	}
	s.said = append(s.said, line)
}

// saw ends the session when an error says that this process has been shut out,
// anywhere but at the site that is given up: there its own fence may do so.
func (s *Session) saw(err error) {
	if out := shutOutOf(err); len(out) == 0 || !slices.ContainsFunc(out, func(site string) bool { return site == "" || site != s.purpose.Lost }) {
		return
	}
	s.mu.Lock()
	s.isOut = true
	s.mu.Unlock()
	if s.Err() == nil {
		s.end(err)
	}
}

// hangs notes that a change at a site may still take effect.
func (s *Session) hangs(site string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.risky == nil {
		s.risky = map[string]bool{}
	}
	s.risky[site] = true
}

// End records that the session has ended and gives the lease back. Sites where
// a change has not come back it leaves open: what hangs there may still take
// effect, and whoever comes next shuts it out. Calls that only read do no harm.
// It does so even where ctx has ended; a further one does nothing. After the
// lease has been lost it records nothing: somebody else may be at it.
func (s *Session) End(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var err error
	s.ending.Do(func() {
		if s.Err() != nil {
			return
		}
		body := sessionEnd{ID: s.body.ID}
		s.mu.Lock()
		for _, shelf := range s.book.shelves {
			if shelf.site != nil && s.risky[shelf.name] && shelf.site.Abandoned() > 0 {
				body.Open = append(body.Open, shelf.name)
			}
		}
		s.mu.Unlock()
		err = s.book.appendBody(ctx, Entry{Kind: EntrySessionEnd, Run: s.purpose.Run}, body)
	})
	return errors.Join(err, s.Release(ctx))
}

// overtaken is an [ErrStale] when others than those that were known have worked
// at the plan by now.
func (s *Session) overtaken(known map[string]string) error {
	for id, who := range s.book.sessions() {
		if _, old := known[id]; !old && id != s.body.ID {
			return advise(fmt.Errorf("%w: since the sites were looked at, %s has worked at the plan", ErrStale, who), "run the same command again: it looks again")
		}
	}
	return nil
}
