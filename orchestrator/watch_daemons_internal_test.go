package orchestrator

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestStarts: the first start comes at once, each further one waits longer, and a
// steady life forgets all.
func TestStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s starts
		s.begin(time.Now())
		var waits []time.Duration
		if s.judged(time.Now()) || s.tried() {
			t.Error("a watch that has seen nothing judges")
		}
		for range 10 {
			began := time.Now()
			for !s.due(time.Now()) {
				time.Sleep(time.Second)
			}
			waits = append(waits, time.Since(began))
			s.started(time.Now(), errors.New("no such program"))
			if flaps := len(waits) >= 5; s.flaps(time.Now()) != flaps || s.judged(time.Now()) != flaps || !s.tried() {
				t.Errorf("after %d starts: flaps %t, judged %t, tried %t", len(waits), s.flaps(time.Now()), s.judged(time.Now()), s.tried())
			}
		}
		want := []time.Duration{0, 1, 2, 4, 8, 16, 32, 64, 120, 120}
		for i := range want {
			if waits[i] != want[i]*time.Second {
				t.Errorf("wait %d: %v", i, waits[i])
			}
		}
		if s.failed == nil {
			t.Error("a failure is forgotten")
		}
		s.started(time.Now(), nil)
		for range 30 {
			time.Sleep(5 * time.Second)
			s.running(time.Now())
		}
		if !s.crashes() || s.failed != nil {
			t.Errorf("after two minutes and a half: %+v", s)
		}
		time.Sleep(steadyTime)
		s.running(time.Now())
		if s.flaps(time.Now()) || s.count != 0 || !s.due(time.Now()) || s.judged(time.Now()) {
			t.Errorf("after a steady time: %+v", s)
		}
		time.Sleep(flapWindow)
		if s.running(time.Now()); s.flaps(time.Now()) || !s.judged(time.Now()) {
			t.Errorf("after a day: %+v", s)
		}
	})
}

// TestStartsInADay: a daemon that ends now and then, and runs steadily between, is
// flapping all the same, until there were fewer ends within a day.
func TestStartsInADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s starts
		s.begin(time.Now())
		for n := range 5 {
			if n == 3 {
				s.begin(time.Now()) // the watch has lost the lease meanwhile
			}
			s.started(time.Now(), nil)
			time.Sleep(steadyTime)
			s.running(time.Now())
			if want := n == 4; s.flaps(time.Now()) != want || s.judged(time.Now()) != want || s.crashes() {
				t.Errorf("after %d starts: flaps %t, judged %t", n+1, s.flaps(time.Now()), s.judged(time.Now()))
			}
			time.Sleep(2 * time.Hour)
			s.running(time.Now())
		}
		time.Sleep(13 * time.Hour)
		if !s.flaps(time.Now()) {
			t.Error("it is forgotten within the day")
		}
		time.Sleep(2 * time.Hour)
		if s.flaps(time.Now()) {
			t.Error("the first start is a day ago, and counts still")
		}
	})
}
