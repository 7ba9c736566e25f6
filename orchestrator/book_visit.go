package orchestrator

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

const (
	// visitPatience is how long a session waits for visits to end by themselves
	// before it shuts the visitors out.
	visitPatience = 5 * time.Second
	// visitLook is how often it is looked whether they have, and how often a visitor
	// looks whether somebody wants to work at the plan.
	visitLook = 500 * time.Millisecond
)

// A visit is work at one site beside the plan's lease: nobody who wants to work at
// the plan waits for it, and it cannot do harm by coming late.
//
// A visitor comes by a client of its own, lists that one's addresses at the site, and
// only then looks who holds the lease there. A session takes the lease at a site
// first, and only then looks for visits there: so that at least one of the two sees
// the other. Who has seen a session keeps away from what that works at; a session
// waits a moment for the visits that it has seen to end, and shuts out the clients of
// those that do not, as it does with sessions that did not end.
//
// (A client that is stopped in the middle of taking a mirror snapshot and wakes after
// the image's demotion makes it primary again: seen on 16.2.15 in a tenth of the
// cases, whenever it had not taken the image's lock yet.)
type visit struct {
	plan *plans.Plan
	site Site // by the client of its own
	key  string
	// holder is whose lease it has seen; "": nobody's.
	holder string
}

// visitBody is the value of a visit's record.
type visitBody struct {
	What      string    `json:"what"`
	By        string    `json:"by"`
	PID       int       `json:"pid"`
	Addresses []string  `json:"addresses"`
	At        time.Time `json:"at"`
}

// visitRef is where the visits of a plan to a site are listed: there alone, and for as
// long as they last.
func visitRef(plan *plans.Plan) replay.LedgerRef {
	return replay.LedgerRef{Pool: plan.Pools[0].Name, Object: "visits." + plan.Name}
}

// errBusyPlan: somebody begins to work at the plan, and it is not known at what.
var errBusyPlan = errors.New("somebody begins to work at the plan")

// beginVisit lists a visit, and looks who works at the plan: what is recorded is
// answered, whose runs say what to keep away from. It ends by end, also where this
// fails with a visit.
func beginVisit(ctx context.Context, plan *plans.Plan, site Site, alone *Sites, what string) (*visit, *Recorded, error) {
	addresses, err := site.OwnAddresses(ctx)
	if err != nil {
		return nil, nil, err
	}
	body, err := json.Marshal(visitBody{What: what, By: whoWrites(), PID: os.Getpid(), Addresses: addresses, At: alone.now().UTC()})
	if err != nil {
		return nil, nil, err
	}
	v := &visit{plan: plan, site: site, key: rand.Text()}
	if err := site.AppendRecords(ctx, visitRef(plan), []replay.Record{{Key: v.key, Value: body}}); err != nil {
		return v, nil, err // it may be there
	}
	if v.holder, err = v.leaseholder(ctx); err != nil {
		return v, nil, err
	}
	records := readRecords(ctx, plan, alone)
	if fault := records.unreadable(); fault != nil {
		return v, nil, fault
	}
	if !records.knows(v.holder) {
		return v, nil, errBusyPlan
	}
	return v, records, nil
}

// visitMirrorSnapshot takes a mirror snapshot of an image as a visitor, by the client
// that the sites are opened with; what says who asks. Under a session there is no
// visit. It refuses what a run has in hand ([ErrRefused]) or a halt covers ([ErrHalted]):
// that may keep damage from the other sites.
func visitMirrorSnapshot(ctx context.Context, plan *plans.Plan, sites *Sites, name string, ref replay.ImageRef, what string) (id uint64, err error) {
	site, err := sites.Site(name)
	if err != nil {
		return 0, err
	}
	if _, guarded := site.(guardedSite); guarded {
		return site.CreateMirrorSnapshot(ctx, ref)
	}
	v, records, err := beginVisit(ctx, plan, site, sites.only(name), what)
	hung := false
	defer func() {
		if v == nil || hung {
			return // it stays listed: whoever comes next shuts this client out
		}
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime(plan))
		defer cancel()
		err = errors.Join(err, v.end(limited))
	}()
	if errors.Is(err, errBusyPlan) {
		return 0, refusal("try again in a moment", "somebody begins to work at the plan")
	}
	if err != nil {
		return 0, err
	}
	if run := records.moving(ref); run != nil {
		return 0, refusal("try again when it is over", "the %s %s has %s in hand", run.Runbook, run.ID, ref)
	}
	if h := records.halted(ref); h != nil {
		return 0, h.keeps(ref)
	}
	id, err = site.CreateMirrorSnapshot(ctx, ref)
	hung = silent(err)
	return id, err
}

// leaseholder is whose lease of the plan is at the site.
func (v *visit) leaseholder(ctx context.Context) (string, error) {
	holder, held, err := v.site.LeaseHolder(ctx, replay.LedgerRef{Pool: v.plan.Pools[0].Name, Object: "ledger." + v.plan.Name})
	if err != nil || !held {
		return "", err
	}
	return holder.Cookie, nil
}

// knows reports whether it is recorded at what the holder of a lease works: its
// session, and the run that this is for. A session that is for no run changes no
// roles.
func (r *Recorded) knows(holder string) bool {
	if holder == "" {
		return true
	}
	if r.book == nil {
		return false
	}
	for _, e := range r.book.Entries() {
		var body sessionBody
		if e.Kind != EntrySession || decode(e, &body) != nil || body.ID != holder {
			continue
		}
		if e.Run == "" {
			return true
		}
		for i := range r.Unfinished {
			if r.Unfinished[i].ID == e.Run {
				return true
			}
		}
	}
	return false
}

// welcome reports whether nobody has come to work at the plan since.
func (v *visit) welcome(ctx context.Context) bool {
	holder, err := v.leaseholder(ctx)
	return err == nil && (holder == "" || holder == v.holder)
}

// end takes the visit off the list. One that has left a call hanging is never ended:
// whoever comes next shuts its client out.
func (v *visit) end(ctx context.Context) error {
	return v.site.RemoveRecords(ctx, visitRef(v.plan), []string{v.key})
}

// listedVisit is a visit that is listed at a site.
type listedVisit struct {
	visitBody
	key string
}

func (v *listedVisit) who() string {
	return fmt.Sprintf("process %d of %s (%s) since %s", v.PID, v.By, v.What, v.At.UTC().Format("15:04:05 UTC"))
}

// visits are those that are listed at a site.
func visits(ctx context.Context, plan *plans.Plan, site Ledger) ([]listedVisit, error) {
	records, err := site.ReadRecords(ctx, visitRef(plan), "")
	if errors.Is(err, replay.ErrNotFound) {
		return nil, nil
	}
	var out []listedVisit
	for _, r := range records {
		v := listedVisit{key: r.Key}
		// One that cannot be read has no address that could be shut out.
		if json.Unmarshal(r.Value, &v.visitBody) == nil {
			out = append(out, v)
		}
	}
	return out, err
}

// visitors are the addresses of those who visit a site, as far as they are known.
func visitors(ctx context.Context, plan *plans.Plan, site Ledger) (addresses []string) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	listed, _ := visits(ctx, plan, site) // who is not known counts as a client
	for i := range listed {
		addresses = append(addresses, listed[i].Addresses...)
	}
	return addresses
}

// endVisits sees to it that no visit to a site goes on: it waits a moment, and then
// shuts out who is still there.
func (s *Session) endVisits(ctx context.Context, shelf *shelf) error {
	for began := time.Now(); ; {
		limited, cancel := context.WithTimeout(ctx, s.book.answer)
		left, err := visits(limited, s.book.plan, shelf.site)
		cancel()
		if err != nil {
			return fmt.Errorf("nothing is done at %s before it is known who else works there: %w", shelf.name, shelf.named(err))
		}
		if len(left) == 0 {
			return nil
		}
		if time.Since(began) >= visitPatience {
			return s.shutOutVisitors(ctx, shelf, left)
		}
		if !wait(ctx, visitLook) {
			return ctx.Err()
		}
	}
}

func (s *Session) shutOutVisitors(ctx context.Context, shelf *shelf, left []listedVisit) error {
	for i := range left {
		v := &left[i]
		sleeper := openSession{
			sessionBody: sessionBody{ID: v.key, What: v.What, PID: v.PID, Addresses: map[string][]string{shelf.name: v.Addresses}},
			by:          v.By, at: v.At,
		}
		if err := s.shutOut(ctx, shelf, &sleeper); err != nil {
			return err
		}
		if err := shelf.site.RemoveRecords(ctx, visitRef(s.book.plan), []string{v.key}); err != nil {
			return fmt.Errorf("%s is shut out at %s, and still listed there: %w", v.who(), shelf.name, shelf.named(err))
		}
	}
	return nil
}
