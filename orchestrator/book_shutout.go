package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// sessionBody is the body of the entry that begins a session.
type sessionBody struct {
	ID   string `json:"id"`
	What string `json:"what"`
	PID  int    `json:"pid"`
	// Addresses are those of its clients, by site, as the blocklist wants them.
	Addresses map[string][]string `json:"addresses"`
}

// sessionEnd is the body of the entry that ends a session.
type sessionEnd struct {
	ID string `json:"id"`
	// Open are sites at which calls of it have not come back.
	Open []string `json:"open,omitempty"`
}

// openSession is a session that has not ended everywhere.
type openSession struct {
	sessionBody
	by    string // user@host
	at    time.Time
	ended bool // it has ended, and left calls hanging
}

func (b *sessionBody) who(by string) string {
	return fmt.Sprintf("process %d of %s (%s)", b.PID, by, b.What)
}

func (s *openSession) who() string {
	return s.sessionBody.who(s.by) + " since " + s.at.UTC().Format("15:04:05 UTC")
}

// what tells why it has to be shut out.
func (s *openSession) what() string { return whatOpen(s.ended) }

func whatOpen(ended bool) string {
	if ended {
		return "which ended, but left a call hanging there"
	}
	return "which did not end its session"
}

// ShutOut is that a process which did not end its session, or left a call
// hanging when it did, was shut out of a site by one that came after it.
type ShutOut struct {
	Session   string    `json:"session"`
	Who       string    `json:"who"`             // the process, its host and what it was at
	Ended     bool      `json:"ended,omitempty"` // it had ended, and left a call hanging at the site
	Site      string    `json:"site"`
	Addresses []string  `json:"addresses"` // of its clients: the evidence
	At        time.Time `json:"at"`
	Until     time.Time `json:"until"`
	For       string    `json:"for"` // the session of the one that took over
	By        string    `json:"by"`  // and who that is
	// Unfenced: it could not be shut out, and for this reason, a person's word, the
	// one that took over went on without.
	Unfenced string `json:"unfenced,omitempty"`
}

// String is the line for people.
func (o *ShutOut) String() string {
	if o.Unfenced != "" {
		return fmt.Sprintf("%s, %s, could not be shut out at %s (%s), and need not be: %s", o.Who, whatOpen(o.Ended), o.Site, strings.Join(o.Addresses, ", "), o.Unfenced)
	}
	return fmt.Sprintf("%s, %s, is shut out at %s (%s)", o.Who, whatOpen(o.Ended), o.Site, strings.Join(o.Addresses, ", "))
}

// Said is the line for where the site is named already.
func (o *ShutOut) Said() string {
	return fmt.Sprintf("%s, %s, is shut out (%s)", o.Who, whatOpen(o.Ended), strings.Join(o.Addresses, ", "))
}

// sessions are all sessions that are recorded, by id, and who each was.
func (b *Book) sessions() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[string]string, len(b.standing[EntrySession]))
	for _, e := range b.standing[EntrySession] {
		var body sessionBody
		if decode(e, &body) == nil {
			out[body.ID] = body.who(e.By)
		}
	}
	return out
}

// sleepers are the sessions that are open at a site, but for those of this very
// process, the oldest first. b.mu is held.
func (b *Book) sleepers(site string, own []string) []openSession {
	var out []openSession
	for _, s := range b.openSessions() {
		addresses := slices.DeleteFunc(slices.Clone(s.Addresses[site]), func(a string) bool {
			// What is no address is no client's.
			return slices.Contains(own, a) || replay.CheckFence(a, shutOutFor) != nil
		})
		if len(addresses) > 0 {
			s.Addresses = map[string][]string{site: addresses}
			out = append(out, s)
		}
	}
	return out
}

// openSessions are the sessions that have not ended everywhere, with the
// addresses where they have not. b.mu is held.
func (b *Book) openSessions() []openSession {
	var order []string
	sessions := map[string]openSession{}
	for _, e := range b.standing[EntrySession] {
		var body sessionBody
		if decode(e, &body) == nil && body.ID != "" && body.Addresses != nil {
			sessions[body.ID] = openSession{sessionBody: body, by: e.By, at: e.At}
			order = append(order, body.ID)
		}
	}
	for _, e := range b.standing[EntrySessionEnd] {
		var body sessionEnd
		if decode(e, &body) != nil {
			continue
		}
		if s, known := sessions[body.ID]; known {
			maps.DeleteFunc(s.Addresses, func(site string, _ []string) bool { return !slices.Contains(body.Open, site) })
			s.ended = true
			sessions[body.ID] = s
		}
	}
	for _, e := range b.standing[EntryShutOut] {
		var out ShutOut
		if decode(e, &out) == nil {
			delete(sessions[out.Session].Addresses, out.Site)
		}
	}
	var open []openSession
	for _, id := range order {
		if len(sessions[id].Addresses) > 0 {
			open = append(open, sessions[id])
		}
	}
	return open
}

// decode reads the body of an entry.
func decode(e Entry, into any) error { return json.Unmarshal(e.Body, into) }

// TakenOver is the error of a process whose lease is lost because it has been
// shut out: by another one that has taken over, and then it says who that is, or
// by whatever else put its client on a site's blocklist; nil where that is not so. To find out it has to open the sites once more: as the client that it was
// it may not be able to read any more.
func (s *Session) TakenOver(ctx context.Context, plan *plans.Plan, sites *Sites) error {
	s.mu.Lock()
	isOut := s.isOut
	s.mu.Unlock()
	if s.Err() == nil && !isOut {
		return nil
	}
	by := s.successor(context.WithoutCancel(ctx), plan, sites)
	out := shutOutOf(s.Err())
	var err error
	switch {
	case by != "":
		err = fmt.Errorf("%w: %s has taken over, and has shut this process out; it does nothing more", ErrLeaseLost, by)
	case len(out) > 0 && out[0] != "":
		// Whose doing that is nobody has recorded: a fence's, perhaps.
		err = fmt.Errorf("%w: this client is on the blocklist of %s; it does nothing more", ErrLeaseLost, out[0])
	case isOut || len(out) > 0:
		err = fmt.Errorf("%w: this client is on the blocklist of a site; it does nothing more", ErrLeaseLost)
	default:
		return nil
	}
	if s.purpose.Run != "" {
		return advise(err, "drover runs show FILE "+s.purpose.Run)
	}
	return advise(err, "drover status FILE")
}

// shutOutOf are the sites that an error says this client is shut out of; "" for
// one that it does not name.
func shutOutOf(err error) []string {
	if !errors.Is(err, replay.ErrShutOut) {
		return nil
	}
	switch e := err.(type) { //nolint:errorlint // each link of the chain is looked at by itself
	case *replay.Error:
		return []string{e.Site}
	case interface{ Unwrap() []error }:
		var out []string
		for _, one := range e.Unwrap() {
			out = append(out, shutOutOf(one)...)
		}
		return out
	}
	if next := errors.Unwrap(err); errors.Is(next, replay.ErrShutOut) {
		return shutOutOf(next)
	}
	return []string{""}
}

// successor tells who has shut this process out; "" when it cannot be told.
func (s *Session) successor(ctx context.Context, plan *plans.Plan, sites *Sites) string {
	if sites.open == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 2*answerTime(plan))
	defer cancel()
	again := OpenSites(ctx, plan, sites.open, nil)
	defer func() { _ = again.Close() }() // nothing was done by them
	book, err := ReadBook(ctx, plan, again)
	if err != nil {
		return ""
	}
	for _, e := range book.Entries() {
		var out ShutOut
		if e.Kind == EntryShutOut && decode(e, &out) == nil && out.Session == s.body.ID {
			return out.By
		}
	}
	return ""
}
