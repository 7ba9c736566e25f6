package sim_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// callouts are what the daemon of a site complains about.
func callouts(t *testing.T, s *sim.Site) (texts []string) {
	t.Helper()
	daemons, err := s.MirrorDaemons(t.Context())
	must(t, err)
	if len(daemons) != 1 || len(daemons[0].Pools) != 1 {
		t.Fatalf("daemons %+v", daemons)
	}
	for _, c := range daemons[0].Pools[0].Callouts {
		texts = append(texts, c.Text)
	}
	return texts
}

// The guide's way: conf files and client@cluster. The daemon finds the peer
// only under a name that its conf files know, and as a user that exists there.
func TestPeersByConfFile(t *testing.T) {
	for name, c := range map[string]struct {
		peer  replay.Peer
		conf  string // name of a conf file at b that leads to a
		works bool
	}{
		"by the site's name":   {replay.Peer{SiteName: "a", Client: "client.admin"}, "", true},
		"by a conf's name":     {replay.Peer{SiteName: "remote", Client: "client.admin"}, "remote", true},
		"no such conf":         {replay.Peer{SiteName: "remote", Client: "client.admin"}, "", false},
		"no such user":         {replay.Peer{SiteName: "a", Client: "client.nobody"}, "", false},
		"a key of one's own":   {replay.Peer{SiteName: "a", Client: "client.admin", Key: "wrong"}, "", false},
		"an address to nobody": {replay.Peer{SiteName: "a", Client: "client.admin", MonHost: "192.0.2.1"}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := sim.Pair(sim.Options{}, "a", "b", "rbd")
			for _, site := range w.Sites() {
				must(t, w.Site(site).SetPoolMode(t.Context(), vm.Pool, replay.PoolImage))
			}
			if c.conf != "" {
				w.AddConf("b", c.conf, "a")
			}
			c.peer.Direction = replay.RxOnly
			_, err := w.Site("b").AddPeer(t.Context(), vm.Pool, c.peer)
			must(t, err)
			w.StartDaemon("b")
			w.Advance(time.Second)
			protect(t, w.Site("a"), vm, replay.ModeJournal)
			w.Advance(10 * time.Second)
			_, err = w.Site("b").Image(t.Context(), vm)
			if works := err == nil; works != c.works {
				t.Fatalf("copied: %v", err)
			}
			if complains := len(callouts(t, w.Site("b"))) > 0; complains == c.works {
				t.Fatalf("callouts %q", callouts(t, w.Site("b")))
			}
		})
	}
}

func TestSeveredWayIsCalledOut(t *testing.T) {
	w, a, b := pair(t, sim.Options{})
	protect(t, a, vm, replay.ModeJournal)
	w.Advance(10 * time.Second)
	w.Sever("b", "a")
	must(t, w.Write("a", vm, 0, []byte("late")))
	w.Advance(time.Minute)
	if got := callouts(t, b); len(got) != 0 {
		t.Fatalf("a daemon that was connected complains: %q", got)
	}
	w.StopDaemon("b")
	w.StartDaemon("b")
	w.Advance(time.Minute)
	if len(callouts(t, b)) == 0 {
		t.Fatal("no callout")
	}
	holds := func() string {
		t.Helper()
		r, err := b.OpenSnapshot(t.Context(), vm, "")
		must(t, err)
		got := make([]byte, 4)
		_, err = r.ReadAt(t.Context(), got, 0)
		must(t, err)
		return string(got)
	}
	if holds() == "late" {
		t.Fatal("replayed over a way that was cut")
	}
	w.Mend("b", "a")
	w.Advance(time.Minute)
	if holds() != "late" || len(callouts(t, b)) != 0 {
		t.Fatalf("mended: %q, callouts %q", holds(), callouts(t, b))
	}
}

func TestTokenOfOneself(t *testing.T) {
	w, a, b := pair(t, sim.Options{})
	id, err := a.Identity(t.Context())
	must(t, err)
	w.SetFSID("b", id.FSID)
	token, err := a.CreateBootstrapToken(t.Context(), vm.Pool)
	must(t, err)
	if err := b.ImportBootstrapToken(t.Context(), vm.Pool, replay.RxOnly, token); !errors.Is(err, replay.ErrInvalid) {
		t.Fatalf("two clusters with one fsid: %v", err)
	}
}

// In a bubble the world follows the bubble's clock: whoever waits in it lets
// the daemons work.
func TestWorldFollowsTheClockOfABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := pair(t, sim.Options{Clock: time.Now})
		protect(t, a, vm, replay.ModeJournal)
		<-time.After(10 * time.Second)
		_, err := b.Image(t.Context(), vm)
		must(t, err)
		w.Freeze("b")
		go func() {
			<-time.After(time.Minute)
			w.Thaw("b")
		}()
		before := time.Now()
		_, err = b.Image(t.Context(), vm)
		must(t, err)
		if waited := time.Since(before); waited != time.Minute {
			t.Fatalf("a frozen site answered after %v", waited)
		}
	})
}
