package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay/sim"
)

// paused is the process of a daemon that a message finds in the middle of sending, and
// that goes on long after.
type paused struct {
	taker
	once  sync.Once
	until chan struct{}
	sent  []string // to people, and when it went on
}

func (p *paused) Send(ctx context.Context, m alert.Message, last alert.Receipt) (alert.Receipt, error) {
	if m.Kind == alert.Beat {
		return "", nil
	}
	var err error
	p.once.Do(func() {
		time.Sleep(3 * time.Minute)
		close(p.until)
		err = errors.New("no answer in time")
	})
	if err != nil {
		return "", err
	}
	p.sent = append(p.sent, string(m.Kind)+" "+m.Code)
	return p.taker.Send(ctx, m, last)
}

// TestPausedWhileSending: of several messages for one channel, who was stopped at the
// first sends no more of them once another one has told all.
func TestPausedWhileSending(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 3)
		p := &paused{taker: taker{s, "oncall"}, until: make(chan struct{})}
		sending := make(chan struct{})
		o := s.options()
		o.Channel = func(c plans.Channel, _ notify.Options) (alert.Channel, error) { return p, nil }
		o.Open = func(_ context.Context, site plans.Site) (orchestrator.Site, error) {
			return s.world.Client(site.Name, func(ctx context.Context, _ sim.Call, do func(context.Context) error) error {
				select {
				case <-sending: // stopped
					<-p.until
				default:
				}
				return do(ctx)
			}), nil
		}
		_, end := s.beginWith(o)
		defer end()
		time.Sleep(time.Minute)
		_, endOther := s.begin()
		defer endOther()
		time.Sleep(time.Minute)
		s.split(0)
		s.split(1)
		time.Sleep(15 * time.Second)
		close(sending)
		time.Sleep(10 * time.Minute)
		_, short := s.take()
		if words := strings.Split(short, ", "); !slices.Equal(words, []string{"opened split-brain", "opened split-brain"}) || len(p.sent) > 0 {
			t.Errorf("told: %s; by who was stopped: %v", short, p.sent)
		}
	})
}
