package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// watchRetry is how often who stands by tries to take the lease.
const watchRetry = LeaseTTL / 3

// tenure is the time for which a watch acts: while it holds the lease of the
// plan's watch, by the sites that are open.
type tenure struct {
	sites   *Sites
	ledger  *Book // for its lease
	lease   *Lease
	history *Book
	ctx     context.Context // ends with the lease
	cancel  context.CancelFunc
	work    parallel.Group // whatever goes on in it

	guard      *guard
	trails     trails
	stillness  stillness
	drift      drift
	unrecorded error // why the last transitions could not be recorded
	tidying    atomic.Bool
	explaining atomic.Bool
	tidied     time.Time
	last       atomic.Pointer[StatusReport]
	keepers    []*keeper
	drills     drillLog
	taken      sync.Map // keys of memories that the watch's owner has read
	shots      shots
	mu         sync.Mutex // guards what follows
	proofs     *proofs
	news       []VerifiedCopy // since the last check
	verifying  slotRun        // the last verification of the schedule
}

// seekTenure takes the lease whenever it can be had, and acts while it lasts.
func (w *Watch) seekTenure(ctx context.Context) {
	for ctx.Err() == nil {
		t, err := w.admit(ctx)
		if errors.Is(err, replay.ErrShutOut) {
			w.lose(ctx, err)
		}
		switch {
		case err == nil:
			w.act(ctx, t)
			if w.sites.Load() != t.sites && t.lease.Err() == nil {
				continue // there are more of them
			}
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrLeased) && !errors.Is(err, replay.ErrShutOut):
			w.stand(Standing{Role: RoleStandby, Why: err.Error()}, nil)
		default:
			w.stand(Standing{Role: RoleAlone, Why: err.Error()}, nil)
		}
		pause := time.NewTimer(watchRetry)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// admit takes the lease, and reads what has happened so far.
func (w *Watch) admit(ctx context.Context) (*tenure, error) {
	t := &tenure{sites: w.sites.Load(), proofs: newProofs(), tidied: time.Now()}
	var err error
	if t.ledger, err = readLedger(ctx, w.plan, t.sites, "watch"); err != nil {
		return nil, err
	}
	admitted := false
	defer func() {
		if admitted {
			return
		}
		if t.history != nil {
			_ = t.history.Close(ctx)
		}
		_ = t.ledger.Close(ctx) // gives the lease back
	}()
	t.ledger.outdated = t.oldMemories
	if t.lease, err = t.ledger.Lease(ctx, "watch"); err == nil {
		t.history, err = openHistory(ctx, w.plan, t.sites)
	}
	if err == nil {
		// What could not be recorded came before what is seen next.
		err = w.record(ctx, t, nil)
	}
	if err != nil {
		return nil, err
	}
	t.ctx, t.cancel = context.WithCancel(t.lease.Context())
	t.guard = newGuard(w.plan, t.history.Entries())
	t.recall()
	t.drills.began = w.options.Now()
	t.keepers = w.keepers
	for _, k := range t.keepers {
		k.note(func(s *starts) { s.begin(time.Now()) })
	}
	admitted = true
	return t, nil
}

// act acts until the lease is lost, or the sites are opened anew.
func (w *Watch) act(ctx context.Context, t *tenure) {
	defer w.depart(ctx, t)
	for _, k := range t.keepers {
		w.always(t, func() { w.keep(t, k) })
	}
	w.always(t, func() { w.verifyOnSchedule(t) })
	w.always(t, func() { w.drillOnSchedule(t) })
	w.always(t, func() { w.listen(t) })
	w.always(t, func() { w.takeSnapshots(t) })
	w.stand(Standing{Role: RoleActing}, t)
	<-t.ctx.Done()
}

// depart ends a tenure in good order, each part of it whatever becomes of the others.
func (w *Watch) depart(ctx context.Context, t *tenure) {
	t.cancel()
	next := Standing{Role: RoleStarting, Why: "stopped"}
	if err := t.lease.Err(); err != nil {
		next.Why = err.Error()
		if t.lease.unanswered() {
			// To leave sites that are silent takes a while, in which checks go on.
			next.Role = RoleAlone
		}
	}
	defer func() { w.lose(ctx, t.lease.Err()) }()
	defer func() { _ = t.ledger.Close(ctx) }()  // gives the lease back; where it cannot, that ends by itself
	defer func() { _ = t.history.Close(ctx) }() // what a site lacks is copied by a later watch
	defer t.work.Wait()
	w.stand(next, nil)
}

// always does something for as long as the watch acts.
func (w *Watch) always(t *tenure, f func()) {
	t.work.Go(func() { w.lasting(t.ctx, f) })
}

// enter is the tenure in which something begins, which ends with leave; nil when
// the watch does not act.
func (w *Watch) enter() (t *tenure, s Standing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tenure != nil {
		w.tenure.work.Add(1)
	}
	return w.tenure, w.standing
}

// record adds to the history. What no site takes is tried again the next time.
func (w *Watch) record(ctx context.Context, t *tenure, entries []Entry) error {
	w.mu.Lock()
	entries = append(w.pending, entries...)
	w.pending = nil
	w.mu.Unlock()
	err := t.history.Append(ctx, entries...)
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.keepPending(append(entries, w.pending...))
	}
	return err
}

// pend keeps entries until the next time that something is recorded.
func (w *Watch) pend(entries []Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keepPending(append(w.pending, entries...))
}

// keepPending keeps the newest of those that no site has. w.mu is held.
func (w *Watch) keepPending(entries []Entry) {
	w.pending = entries[max(0, len(entries)-historyLimit):]
}

// tidyEvery is how often the history is made equal at all sites, and bounded.
const tidyEvery = 10 * time.Minute // a tenth of it where it is full

// tidy copies history to where it is lacking and removes what is too old, beside
// the checks.
func (w *Watch) tidy(t *tenure) {
	every := tidyEvery
	if t.history.full(historyLimit) {
		every /= 10
	}
	if time.Since(t.tidied) < every || !t.tidying.CompareAndSwap(false, true) {
		return
	}
	t.tidied = time.Now()
	w.beside(&t.work, func() {
		defer t.tidying.Store(false)
		_ = t.history.Reconcile(t.ctx) // what fails is tried again the next time
		t.recall()
	})
}

// recorded are the last recorded states of the images.
func recorded(entries []Entry) map[replay.ImageRef]Protection {
	out := map[replay.ImageRef]Protection{}
	for i := range entries {
		var c ProtectionChange
		if entries[i].Kind == EntryTransition && json.Unmarshal(entries[i].Body, &c) == nil {
			out[c.Image] = c.To
		}
	}
	return out
}
