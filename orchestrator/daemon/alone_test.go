package daemon

import (
	"strings"
	"testing"
	"time"
)

// TestCannotAct: a daemon that sites answer and none lets act says so, also of the
// split-brain that it finds, and sends no heartbeat; where no site answers, that is
// what it tells.
func TestCannotAct(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 2)
		_, end := s.begin()
		defer end()
		time.Sleep(5 * time.Minute)
		s.world.Freeze("a")
		s.world.Freeze("b")
		time.Sleep(5 * time.Minute)
		s.world.Thaw("a")
		s.world.Thaw("b")
		time.Sleep(10 * time.Minute)
		if _, short := s.take(); strings.Contains(short, "watch-") {
			t.Errorf("told of silent sites: %s", short)
		}
		allowA, allowB := s.world.Forbid("a", "AcquireLease"), s.world.Forbid("b", "AcquireLease")
		time.Sleep(3 * time.Minute)
		all, short := s.take()
		if short != "opened watch-cannot-act" || !strings.Contains(all[0].What, "AcquireLease") && !strings.Contains(all[0].What, "permitted") {
			t.Errorf("told: %s %+v", short, all)
		}
		beats := func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.beats
		}
		before := beats()
		s.must(s.world.Site("b").Promote(t.Context(), s.refs[1], true))
		time.Sleep(5 * time.Minute)
		all, short = s.take()
		if !strings.Contains(short, "opened two-primaries") || !strings.Contains(all[0].What, "Drover cannot halt it") {
			t.Errorf("told of two primaries: %s %+v", short, all)
		}
		if n := beats() - before; n > 0 {
			t.Errorf("%d heartbeats", n)
		}
		allowA()
		allowB()
		time.Sleep(5 * time.Minute)
		if _, short = s.take(); !strings.Contains(short, "split-brain") {
			t.Errorf("told as it may act again: %s", short)
		}
		if n := beats() - before; n == 0 {
			t.Error("no heartbeat as it may act again")
		}
	})
}

// TestSilentToChecksOnly: sites that answer whether they are there, and nothing of what a
// check asks, are told of all the same, though nobody can have a lease.
func TestSilentToChecksOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 2)
		_, end := s.begin()
		defer end()
		time.Sleep(5 * time.Minute)
		s.take()
		for _, site := range []string{"a", "b"} {
			defer s.world.Forbid(site, "SiteName")()
			defer s.world.Forbid(site, "AcquireLease")()
		}
		time.Sleep(10 * time.Minute)
		all, short := s.take()
		if !strings.Contains(short, "opened site-unknown, opened site-unknown") {
			t.Errorf("told: %s %+v", short, all)
		}
	})
}
