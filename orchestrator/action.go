package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/replay"
)

// action is how a change is carried out. It is data: it holds what to do and
// nothing of how it went, so that it can be tried again.
type action interface {
	// done observes whether nothing is left to do.
	done(ctx context.Context, x *execution) (bool, error)
	// do does it. Its ctx outlives an interruption; waits go through x.
	do(ctx context.Context, x *execution) error
	// looksFirst tells whether done shall be asked before do, too, and not only
	// when do failed or as proof. Actions on single images answer false: the
	// observation that called for them is fresh, and there are thousands.
	looksFirst() bool
}

// execution is what actions work with.
type execution struct {
	sites *Sites
	// stop ends when nothing more shall be begun or waited for.
	stop context.Context
	// patience is how long an action may wait for what daemons do.
	patience time.Duration
	// callTime bounds the calls of one action.
	callTime time.Duration
	// book takes records; nil where there is no place for them. reason is why a
	// person wanted all this, where one was asked for.
	book   *Book
	reason string
}

// pollEvery is how often an action looks whether what it waits for has come.
const pollEvery = 500 * time.Millisecond

// errNotYet says that what an action waits for did not come in time.
var errNotYet = errors.New("did not happen in time")

// await polls until ready, until patience has run out, or until stopped.
func (x *execution) await(what string, ready func(ctx context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(x.stop, x.patience)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var last error
	for {
		ok, err := ready(ctx)
		if ok && err == nil {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			if x.stop.Err() != nil {
				return fmt.Errorf("waiting for %s: %w", what, ErrInterrupted)
			}
			if last != nil {
				return fmt.Errorf("waiting for %s: %w: %w", what, errNotYet, last)
			}
			return fmt.Errorf("waiting for %s: %w", what, errNotYet)
		case <-tick.C:
		}
	}
}

// fact makes an action's done of a look at a site.
func fact(x *execution, site string, look func(Site) (bool, error)) (bool, error) {
	s, err := x.sites.Site(site)
	if err != nil {
		return false, err
	}
	return look(s)
}

// deed makes an action's do of a call to a site.
func deed(x *execution, site string, call func(Site) error) error {
	s, err := x.sites.Site(site)
	if err != nil {
		return err
	}
	return call(s)
}

// absent turns "not found" into a fact.
func absent(err error) (bool, error) {
	if errors.Is(err, replay.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// looked is embedded by actions that look before they act.
type looked struct{}

func (looked) looksFirst() bool { return true }

// prompt is embedded by actions that act on the observation at hand.
type prompt struct{}

func (prompt) looksFirst() bool { return false }
