package rbdmirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// lives is a runner whose daemon lives for the given times, one after another;
// a life of zero is a start that fails. After the last one it lives for ever.
type lives struct {
	left    []time.Duration
	running bool
	diesAt  time.Time
	starts  []time.Duration // since the beginning
	begin   time.Time
	blind   error
}

func (l *lives) Status(context.Context) (Status, error) {
	if l.blind != nil {
		return Status{}, l.blind
	}
	if l.running && !l.diesAt.IsZero() && !time.Now().Before(l.diesAt) {
		l.running = false
	}
	return Status{Kind: KindProcess, Running: l.running}, nil
}

func (l *lives) Ensure(ctx context.Context) (Status, error) {
	l.starts = append(l.starts, time.Since(l.begin))
	l.running, l.diesAt = true, time.Time{}
	if len(l.left) > 0 {
		life := l.left[0]
		l.left = l.left[1:]
		l.diesAt = time.Now().Add(life)
		if life == 0 {
			l.running = false
			return Status{}, ErrDied
		}
	}
	return l.Status(ctx)
}

func (l *lives) Stop(context.Context) error              { return nil }
func (l *lives) Restart(context.Context) (Status, error) { return Status{}, nil }

// supervise watches the lives for a time of the fake clock.
func supervise(t *testing.T, l *lives, during time.Duration) (events string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), during)
		defer cancel()
		l.begin = time.Now()
		var told []string
		s := Supervisor{Runner: l, Tell: func(e Event) { told = append(told, fmt.Sprintf("%s(%d)", e.Kind, e.Starts)) }}
		if err := s.Supervise(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
		events = strings.Join(told, " ")
	})
	return events
}

func TestSuperviseStartsAndRestarts(t *testing.T) {
	l := &lives{left: []time.Duration{time.Hour}}
	if got := supervise(t, l, 2*time.Hour); got != "started(1) steady(1) started(1) steady(1)" {
		t.Error(got)
	}
	if len(l.starts) != 2 || l.starts[0] != 0 || l.starts[1] < time.Hour || l.starts[1] > time.Hour+6*time.Second {
		t.Errorf("starts at %v", l.starts)
	}
}

func TestSuperviseBacksOffAndTellsFlapping(t *testing.T) {
	l := &lives{left: make([]time.Duration, 12)}
	got := supervise(t, l, 30*time.Minute)
	if !strings.HasPrefix(got, "start-failed(1) start-failed(2) start-failed(3) start-failed(4) start-failed(5) flapping(5) start-failed(6)") ||
		!strings.HasSuffix(got, "start-failed(12) started(13) steady(13)") || strings.Count(got, "flapping") != 1 {
		t.Error(got)
	}
	want := []time.Duration{0, 1, 2, 4, 8, 16, 32, 64, 120, 120, 120, 120, 120}
	for i := 1; i < len(l.starts); i++ {
		if gap := l.starts[i] - l.starts[i-1]; gap != want[i]*time.Second {
			t.Errorf("start %d came %v after the one before, want %v", i+1, gap, want[i]*time.Second)
		}
	}
}

func TestSuperviseTakesOverARunningDaemon(t *testing.T) {
	l := &lives{running: true}
	if got := supervise(t, l, time.Hour); got != "" || len(l.starts) != 0 {
		t.Errorf("%s, starts %v", got, l.starts)
	}
}

// TestSuperviseBlind: who cannot look does not start a second daemon.
func TestSuperviseBlind(t *testing.T) {
	l := &lives{blind: errors.New("input/output error")}
	if got := supervise(t, l, 11*time.Second); got != "unknown(0) unknown(0) unknown(0)" || len(l.starts) != 0 {
		t.Errorf("%s, starts %v", got, l.starts)
	}
}
