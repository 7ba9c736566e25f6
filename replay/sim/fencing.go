package sim

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/replay"
)

// monOps are the calls that the monitors answer, and with that also to a
// client that the OSDs take nothing from.
var monOps = map[string]bool{
	"Open": true, "Identity": true, "ListPools": true, "SiteName": true, "SetSiteName": true,
	"MirrorDaemons": true, "MgrCommand": true, "PoolSpace": true, "Blocklist": true, "Unblocklist": true,
}

// identity is the client that a handle is to its cluster, from its first use of
// one on.
func (s *Site) identity(c *cluster) replay.ImageUser {
	if s.client == 0 {
		c.Clients++
		s.client = c.Clients
	}
	return replay.ImageUser{
		Client:  fmt.Sprintf("client.%d", firstClient+s.client),
		Address: fmt.Sprintf("127.0.0.9:0/%d", firstClient+s.client),
	}
}

// firstClient keeps the numbers of handles apart from those of daemons.
const firstClient = 1_000_000

// OwnAddresses is the address of the handle.
func (s *Site) OwnAddresses(context.Context) ([]string, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	c := s.w.site(s.name)
	if c == nil {
		return nil, s.wrap("read own address", "", replay.ErrUnreachable)
	}
	return []string{s.identity(c).Address}, nil
}

// fenced reports whether the OSDs of the cluster take nothing from an address.
func (c *cluster) fenced(address string, now time.Time) bool {
	until, listed := c.Blocklist[address]
	return listed && now.Before(until)
}

// Blocklist shuts a client out.
func (s *Site) Blocklist(ctx context.Context, address string, d time.Duration) error {
	return s.do(ctx, "Blocklist", address, func(c *cluster) error {
		if err := replay.CheckFence(address, d); err != nil {
			return err
		}
		if host, _, _ := strings.Cut(address, "/"); !isAddress(host) {
			return replay.ErrInvalid
		}
		if c.Blocklist == nil {
			c.Blocklist = map[string]time.Time{}
		}
		c.Blocklist[address] = s.w.state.Now.Add(d)
		for _, p := range c.Pools {
			for _, n := range p.Spaces {
				for _, i := range n.Images {
					i.forsake(address)
				}
			}
		}
		return nil
	})
}

// isAddress reports whether the monitors can read a client's IP and port.
func isAddress(text string) bool {
	_, err := netip.ParseAddrPort(text)
	return err == nil
}

// forsake ends what a client holds of an image: the OSDs drop its watch, and
// nobody waits for it to give up the lock.
func (i *image) forsake(address string) {
	i.Users = slices.DeleteFunc(i.Users, func(u replay.ImageUser) bool { return u.Address == address })
	i.writers = slices.DeleteFunc(i.writers, func(w *writer) bool { return w.user.Address == address })
	if i.Writing && (i.Writer == address || len(i.Users) == 0) {
		i.Writing, i.Writer = false, ""
	}
}

// Unblocklist lets a client in again.
func (s *Site) Unblocklist(ctx context.Context, address string) error {
	return s.do(ctx, "Unblocklist", address, func(c *cluster) error {
		if err := replay.CheckFence(address, time.Hour); err != nil {
			return err
		}
		delete(c.Blocklist, address)
		return nil
	})
}

// Blocklisted is the addresses that a site's OSDs take nothing from, sorted.
func (w *World) Blocklisted(site string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	c := w.site(site)
	if c == nil {
		return nil
	}
	listed := slices.Sorted(maps.Keys(c.Blocklist))
	return slices.DeleteFunc(listed, func(address string) bool { return !c.fenced(address, w.state.Now) })
}
