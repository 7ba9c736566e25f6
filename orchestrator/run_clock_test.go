package orchestrator_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// jumps are by how much a clock is set forward or back.
var jumps = []time.Duration{time.Hour, -time.Hour, 200 * 24 * time.Hour, -200 * 24 * time.Hour}

// TestClockJumps lets the clock of a process jump in the middle of each runbook:
// the run comes to its end as if nothing had been. And it lets a process die whose
// clock is wrong: another, whose clock is right, brings the run to its end.
func TestClockJumps(t *testing.T) {
	for i := range runScenes {
		scene := &runScenes[i]
		t.Run(scene.name, func(t *testing.T) {
			t.Parallel()
			for _, jump := range jumps {
				t.Run(fmt.Sprint("jumps ", jump), func(t *testing.T) {
					bubble(t, func(t *testing.T) { scene.jumps(t, jump) })
				})
				t.Run(fmt.Sprint("dies ", jump, " off"), func(t *testing.T) {
					bubble(t, func(t *testing.T) { scene.diesOff(t, jump, int64(5+2*i)) })
				})
			}
		})
	}
}

func (s *runScene) jumps(t *testing.T, jump time.Duration) {
	st := s.stage(t)
	p := st.immortal()
	p.between = func(n int64, _ sim.Call) {
		if n%40 == 20 {
			p.skew.Store(int64(jump) - p.skew.Load()) // forth and back
		}
	}
	_, r, err := p.start(t.Context(), s.prepare, orchestrator.RunOptions{})
	if err != nil || r.Outcome != orchestrator.RunDone {
		t.Errorf("%v\n%s", err, story(r))
	}
	st.ends([]string{story(r)})
}

func (s *runScene) diesOff(t *testing.T, off time.Duration, at int64) {
	st := s.stage(t)
	p := &process{b: st.bed, at: at, death: diesAfter}
	// What precedes the first change, the look at the sites, would have been refused
	// with old reports.
	p.between = func(_ int64, c sim.Call) {
		if c.Write {
			p.skew.Store(int64(off))
		}
	}
	if _, r, err := p.start(t.Context(), s.prepare, orchestrator.RunOptions{}); !mayFail(err) || !p.dead.Load() {
		t.Errorf("the first process: %v\n%s", err, story(r))
	}
	next := st.immortal()
	next.before, next.word = st.before, true
	st.ends(st.finish(next, s.prepare, st.ask))
}

// TestWordOfAWrongClock: a word that was given by a clock far ahead would be good
// for as long as that clock was ahead; it counts as none.
func TestWordOfAWrongClock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		b.world.Vanish("a")
		p := &process{b: b, at: 9, death: diesBefore}
		p.skew.Store(int64(200 * 24 * time.Hour))
		if _, _, err := p.start(t.Context(), overToB, orchestrator.RunOptions{}); !p.dead.Load() {
			t.Fatal(err)
		}
		time.Sleep(2 * orchestrator.LeaseTTL)
		if _, err := b.immortal().resume(t.Context(), orchestrator.RunOptions{}); !errors.Is(err, orchestrator.ErrStale) {
			t.Errorf("resumed without a word: %v", err)
		}
		if _, err := b.immortal().resume(t.Context(), orchestrator.RunOptions{Word: true}); err != nil {
			t.Error(err)
		}
		b.world.Return("a")
		b.roles(ref("volume-0"), replay.RolePrimary, replay.RolePrimary)
	})
}
