package daemon

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/replay/sim"
)

// TestPartlyBlind: what a site that answers cannot tell any more is not told to be
// over; it is once the site tells that it is.
func TestPartlyBlind(t *testing.T) {
	for name, c := range map[string]struct {
		code  string
		begin func(s *stage)
		end   func(s *stage)
		blind []sim.Fault
		tells string // that it cannot be seen
	}{
		"mgr": {
			code:  "no-daemon",
			begin: func(s *stage) { s.world.StopDaemon("b") },
			end:   func(s *stage) { s.world.StartDaemon("b") },
			blind: []sim.Fault{{Site: "b", Op: "MirrorDaemons", Errno: syscall.ETIMEDOUT}}, tells: "daemons-unknown",
		},
		"pool": {
			code:  "no-daemon",
			begin: func(s *stage) { s.world.StopDaemon("b") },
			end:   func(s *stage) { s.world.StartDaemon("b") },
			blind: []sim.Fault{{Site: "b", Op: "PoolMirroring", Hang: true}}, tells: "site-unknown",
		},
		"image": {
			code:  "replay-stopped",
			begin: func(s *stage) { s.must(s.world.HaltReplay("b", s.refs[1])) },
			end:   func(s *stage) { s.must(s.world.ResumeReplay("b", s.refs[1])) },
			blind: []sim.Fault{{Site: "b", Op: "Images", Object: "rbd/volume-1", Errno: syscall.EIO}}, tells: "image-unknown",
		},
		"records": {
			code:  "split-brain",
			begin: func(s *stage) { s.must(s.world.Site("b").Promote(s.t.Context(), s.refs[1], true)) },
			blind: []sim.Fault{{Op: "ReadRecords", Errno: syscall.EIO}}, tells: "records-unreadable",
		},
		"reports": {
			code:  "replay-stopped",
			begin: func(s *stage) { s.must(s.world.HaltReplay("b", s.refs[1])) },
			end:   func(s *stage) { s.must(s.world.ResumeReplay("b", s.refs[1])) },
			blind: []sim.Fault{{Site: "b", Op: "Reports", Errno: syscall.ETIMEDOUT}}, tells: "reports-unknown",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newStage(t, 3)
				_, end := s.begin()
				defer end()
				time.Sleep(time.Minute)
				c.begin(s)
				time.Sleep(10 * time.Minute)
				if _, short := s.take(); !strings.Contains(short, "opened "+c.code) || strings.Contains(short, "resolved "+c.code) {
					t.Fatalf("told: %s", short)
				}
				var mend []func()
				for _, f := range c.blind {
					mend = append(mend, s.world.Inject(f))
				}
				time.Sleep(20 * time.Minute)
				if all, short := s.take(); !strings.Contains(short, "opened "+c.tells) || strings.Contains(short, "resolved") {
					t.Errorf("told as it cannot be seen: %s %v", short, all)
				}
				for _, f := range mend {
					f()
				}
				time.Sleep(20 * time.Minute)
				_, short := s.take()
				if words := strings.Split(short, ", "); !slices.Contains(words, "resolved "+c.tells) || slices.Contains(words, "resolved "+c.code) {
					t.Errorf("told as it can be seen again: %s", short)
				}
				if c.end == nil {
					return // it takes a person
				}
				c.end(s)
				time.Sleep(20 * time.Minute)
				if _, short := s.take(); !strings.Contains(short, "resolved "+c.code) {
					t.Errorf("told in the end: %s", short)
				}
			})
		})
	}
}
