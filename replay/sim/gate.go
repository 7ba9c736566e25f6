package sim

import (
	"context"

	"github.com/drover-io/drover/replay"
)

// Gate stands between one client and a site: it carries out a call by do, now,
// later or never, and answers with what the client sees. It runs on the
// caller's goroutine and outside of all locks, and must be safe for concurrent
// use. A do that is called after the gate has answered is a call that takes
// effect late: nobody sees what it answers.
type Gate func(ctx context.Context, c Call, do func(context.Context) error) error

// Client is a handle on a site of which every call goes through a gate. Err
// and At of the calls that it sees are not set.
func (w *World) Client(site string, gate Gate) *Site {
	return &Site{w: w, name: site, gate: gate}
}

// Primaries are the sites at which an image is primary, whether they answer or
// not, in the order in which they were added. It is no call to any of them.
func (w *World) Primaries(ref replay.ImageRef) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	var at []string
	for _, c := range w.state.Sites {
		n := c.space(ref.Pool)
		if n == nil {
			continue
		}
		if i := n.find(ref.Name); i != nil && i.role(n) == replay.RolePrimary {
			at = append(at, c.Name)
		}
	}
	return at
}
