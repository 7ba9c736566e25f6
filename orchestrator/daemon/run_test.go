package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// chosen is a daemon whose calls pass a gate, and in which somebody has just chosen
// to keep the copy at a of an image in split-brain.
func (s *stage) chosen(gate sim.Gate) (d *Daemon, end func(), ref replay.ImageRef) {
	s.t.Helper()
	o := s.options()
	o.Open = func(_ context.Context, site plans.Site) (orchestrator.Site, error) {
		return s.world.Client(site.Name, gate), nil
	}
	d, err := New([]*plans.Plan{s.plan}, o)
	s.must(err)
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Run(ctx)
	}()
	time.Sleep(time.Minute)
	ref = s.refs[1]
	s.must(s.world.Site("b").Promote(s.t.Context(), ref, true))
	s.must(s.world.Write("b", ref, 4096, []byte("written at b")))
	time.Sleep(2 * time.Minute)
	all, short := s.take()
	if short != "opened split-brain" || all[0].Asks == nil {
		s.t.Fatalf("told: %s", short)
	}
	asks := all[0].Asks
	reply, err := d.press(notify.Press{
		Plan: "shop", Channel: "oncall", IncidentID: all[0].ID, User: "U1", Action: notify.Choose,
		Kind: asks.Kind, Subject: asks.Subject, Option: "a", Evidence: asks.Evidence, At: time.Now(),
	})
	if err != nil {
		s.t.Fatalf("%q, %v", reply, err)
	}
	return d, func() {
		cancel()
		<-done
	}, ref
}

// sluggish makes each change take a while.
func sluggish(ctx context.Context, c sim.Call, do func(context.Context) error) error {
	switch c.Op {
	case "CreateImage", "Demote", "Resync", "RenameImage":
		time.Sleep(5 * time.Second)
	}
	return do(ctx)
}

// TestRunOutlivesReload: neither a reload nor the daemon's end interrupts a resync that
// was chosen by a button.
func TestRunOutlivesReload(t *testing.T) {
	for _, how := range []string{"reload", "end"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newStage(t, 3)
				d, end, ref := s.chosen(sluggish)
				time.Sleep(time.Second)
				if how == "end" {
					end()
				} else {
					other, err := plans.Parse("plan.yaml", []byte(strings.Replace(shop, "@every 10s", "@every 20s", 1)))
					s.must(err)
					s.must(d.Reload([]*plans.Plan{other}))
					time.Sleep(5 * time.Minute)
					end()
				}
				if at := s.world.Primaries(ref); len(at) != 1 || at[0] != "a" {
					t.Errorf("primary at %v", at)
				}
			})
		})
	}
}

// TestFailedRunIsTold: who has chosen hears that it has failed, and is asked again.
func TestFailedRunIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 3)
		_, end, ref := s.chosen(func(ctx context.Context, c sim.Call, do func(context.Context) error) error {
			if c.Op == "CreateImage" {
				return errors.New("no place for a copy")
			}
			return do(ctx)
		})
		defer end()
		time.Sleep(20 * time.Minute)
		all, short := s.take()
		var last *alert.Message
		for i := range all {
			if all[i].Code == orchestrator.SignalSplitBrain {
				last = &all[i]
			}
		}
		if last == nil {
			t.Fatalf("told: %s", short)
		}
		said := false
		for _, d := range last.Details {
			said = said || d.Name == "last attempt" && strings.Contains(d.Text, "no place for a copy") && strings.Contains(d.Text, "U1")
		}
		if !said || last.Asks == nil {
			t.Errorf("the last message: %+v", last)
		}
		if at := s.world.Primaries(ref); len(at) != 2 {
			t.Errorf("primary at %v", at)
		}
	})
}
