package orchestrator

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/drover-io/drover/replay"
)

const (
	// leasePatience is how long a drill waits for the lease of one that is over soon.
	leasePatience = time.Minute
	leaseAgain    = 3 * time.Second
)

// drillLease takes the lease of the plan's drills. A sweep is over soon, and a dead
// drill renews its lease no more, so that both are waited for; a drill at work is not.
func drillLease(ctx context.Context, ledger *Book, id string) (*Lease, error) {
	began := time.Now()
	seen := map[string]leaseSeen{}
	for {
		lease, err := ledger.Lease(ctx, id)
		if !errors.Is(err, ErrLeased) || time.Since(began) > leasePatience || !ledger.endsSoon(ctx, seen) {
			return lease, err
		}
		pause(ctx, leaseAgain)
		if ctx.Err() != nil {
			return nil, err
		}
	}
}

// leaseSeen is a lease of another one as it was found first.
type leaseSeen struct {
	cookie string
	ends   time.Time // unless it is renewed
}

// endsSoon reports whether nobody holds the lease who is seen to be a drill at work:
// one whose lease ends later than it did.
func (b *Book) endsSoon(ctx context.Context, seen map[string]leaseSeen) bool {
	for _, s := range b.answering() {
		if s.site == nil {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, shortAnswer)
		holder, held, err := s.site.LeaseHolder(ask, b.ref)
		cancel()
		if err != nil || !held || isSweep(holder) {
			continue
		}
		ends := time.Now().Add(holder.TTL)
		first, known := seen[s.name]
		if !known || first.cookie != holder.Cookie {
			seen[s.name] = leaseSeen{cookie: holder.Cookie, ends: ends}
			continue
		}
		if ends.Sub(first.ends) > leaseAgain {
			return false // it was renewed
		}
	}
	return true
}

func isSweep(holder replay.Lease) bool { return strings.HasSuffix(holder.Holder, ": "+sweepPurpose) }
