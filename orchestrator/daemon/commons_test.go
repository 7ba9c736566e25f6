package daemon

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

// shops are n plans that differ in their names and in the images that they have.
func (s *stage) shops(n int) (all []*plans.Plan) {
	s.t.Helper()
	for i := range n {
		text := strings.ReplaceAll(shop, `glob: "volume-*"`, fmt.Sprintf("name: volume-%d", i))
		text = strings.Replace(text, "name: shop", fmt.Sprintf("name: shop-%d", i), 1)
		plan, err := plans.Parse(fmt.Sprintf("shop-%d.yaml", i), []byte(text))
		s.must(err)
		all = append(all, plan)
	}
	return all
}

// withoutB starts a daemon for plans, and has them lose the site b.
func (s *stage) withoutB(all []*plans.Plan) (d *Daemon, end func()) {
	s.t.Helper()
	d, err := New(all, s.options())
	s.must(err)
	end = s.running(d)
	time.Sleep(5 * time.Minute)
	s.take()
	s.world.Vanish("b")
	time.Sleep(3 * time.Minute)
	return d, end
}

// TestOneLossOfManyPlans: a site that is lost to all plans of a process is told once,
// with all images, and once that it is back.
func TestOneLossOfManyPlans(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 12)
		_, end := s.withoutB(s.shops(12))
		defer end()
		all, short := s.take()
		if short != "opened site-unknown" && short != "opened site-unknown, changed site-unknown" {
			t.Fatalf("told: %s", short)
		}
		m := all[len(all)-1]
		if m.Images != 12 || len(m.Worst) != 10 || !strings.Contains(m.What, "this is of 12 plans: shop-0, shop-1, ") {
			t.Errorf("%d images, worst %q, %s", m.Images, m.Worst, m.What)
		}
		if named := slices.ContainsFunc(m.Worst, func(image string) bool { return strings.Contains(image, " (plan shop-") }); !named {
			t.Errorf("no image of another plan: %q", m.Worst)
		}
		time.Sleep(time.Hour)
		if _, short := s.take(); strings.Trim(strings.ReplaceAll(short, "changed site-unknown", ""), ", ") != "" {
			t.Errorf("told in the next hour: %s", short)
		}
		s.world.Return("b")
		time.Sleep(10 * time.Minute)
		if all, short := s.take(); short != "resolved site-unknown" || all[0].ID != m.ID {
			t.Errorf("at its end: %s", short)
		}
	})
}

// TestLossOfPlansForOthers: plans that tell other people, or tell them otherwise, tell
// each for themselves.
func TestLossOfPlansForOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 2)
		all := s.shops(2)
		all[1].Notifications.Routes[0].Severity = []string{"critical"}
		_, end := s.withoutB(all)
		defer end()
		if _, short := s.take(); short != "opened site-unknown, opened site-unknown" {
			t.Errorf("told: %s", short)
		}
	})
}

// TestSpeakerOfALossGoes: where the plan that has told is taken from the daemon, another
// one tells what goes on; a plan whose loss is silenced does not speak for others.
func TestSpeakerOfALossGoes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 3)
		all := s.shops(3)
		d, end := s.withoutB(all)
		defer end()
		told, _ := s.take()
		rest := slices.DeleteFunc(slices.Clone(all), func(p *plans.Plan) bool { return p.Name == told[0].Plan })
		if len(rest) != 2 {
			t.Fatalf("told by %s", told[0].Plan)
		}
		s.must(d.Reload(rest))
		time.Sleep(3 * time.Minute)
		more, short := s.take()
		if len(more) == 0 || more[0].Kind != alert.Opened || more[0].Plan == told[0].Plan || more[len(more)-1].Images != 2 {
			t.Errorf("told without the first: %s", short)
		}
	})
}

// TestLossIsRepeatedByNoRestart: a daemon that begins anew while a site is away tells
// nothing of that again, though several plans may be the first to look.
func TestLossIsRepeatedByNoRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 6)
		all := s.shops(6)
		begin := func() (end func()) {
			d, err := New(all, s.options())
			s.must(err)
			return s.running(d)
		}
		end := begin()
		time.Sleep(5 * time.Minute)
		s.take()
		s.world.Vanish("b")
		time.Sleep(3 * time.Minute)
		told, _ := s.take()
		for range 4 {
			time.Sleep(20 * time.Minute)
			end()
			time.Sleep(time.Second)
			end = begin()
		}
		time.Sleep(20 * time.Minute)
		s.world.Return("b")
		time.Sleep(10 * time.Minute)
		end()
		for _, m := range told {
			if m.ID != told[0].ID {
				t.Errorf("told twice at once: %s of %s", m.Kind, m.Plan)
			}
		}
		if rest, short := s.take(); short != "resolved site-unknown" || rest[0].ID != told[0].ID {
			t.Errorf("told after that: %s", short)
		}
	})
}

// TestLossOfLateIsToldAnew: a plan that loses the site long after another one has told of
// it tells people itself: they may have taken on what was less.
func TestLossOfLateIsToldAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 2)
		all := s.shops(2)
		d, err := New(all[:1], s.options())
		s.must(err)
		defer s.running(d)()
		time.Sleep(5 * time.Minute)
		s.world.Vanish("b")
		time.Sleep(time.Hour)
		s.take()
		s.must(d.Reload(all))
		time.Sleep(5 * time.Minute)
		if told, short := s.take(); len(told) != 1 || told[0].Kind != alert.Opened || told[0].Plan != "shop-1" {
			t.Errorf("told: %s", short)
		}
	})
}

// TestCommons holds what a room does against its rules.
func TestCommons(t *testing.T) { bubble(t, holdCommons) }

func holdCommons(t *testing.T) {
	s, err := plans.Parse("plan.yaml", []byte(shop))
	if err != nil {
		t.Fatal(err)
	}
	c := &commons{}
	desks, all := map[string]*alert.Desk{}, map[string]*plans.Plan{}
	check := func(lost bool, blind []string, silences []alert.Silence, names ...string) {
		t.Helper()
		for _, name := range names {
			if desks[name] == nil {
				p := *s
				p.Name = name
				desk, err := alert.NewDesk(alert.DefaultOptions(name, routes(&p)), alert.Memory{})
				if err != nil {
					t.Fatal(err)
				}
				desks[name], all[name] = desk, &p
			}
			var signals []alert.Signal
			if lost {
				signals = []alert.Signal{{Code: siteUnknown, Severity: alert.Critical, Site: "b", Image: "rbd/" + name, What: "silent"}}
			}
			r := &orchestrator.CheckResult{Blind: blind, Silences: silences}
			c.check(all[name], desks[name], time.Now(), time.Now().Add(time.Hour), r, signals)
		}
	}
	minutes := func(n int, look func()) {
		for range n {
			look()
			time.Sleep(time.Minute)
		}
	}
	wants := func(what string, tellers ...string) {
		t.Helper()
		var got []string
		for name, desk := range desks {
			if _, open := opened(desk, "b"); open {
				got = append(got, name)
			}
		}
		if slices.Sort(got); !slices.Equal(got, tellers) {
			t.Fatalf("%s: told by %q, not %q", what, got, tellers)
		}
	}
	b := []string{"b"}
	hush := []alert.Silence{{From: time.Now().Add(-time.Hour), Until: time.Now().Add(24 * time.Hour), Match: alert.Match{Site: "b"}}}

	// One whose loss somebody has silenced speaks for nobody; nor does one that cannot
	// read a pool at a site that answers.
	minutes(5, func() { check(true, b, hush, "hushed"); check(true, nil, nil, "partly") })
	wants("before the loss", "partly")
	minutes(5, func() {
		check(true, b, hush, "hushed")
		check(true, nil, nil, "partly")
		check(true, b, nil, "two", "three")
	})
	wants("the loss", "partly", "two")
	m, _ := opened(desks["two"], "b")
	if m.Images != 2 || !strings.Contains(m.What, "this is of 2 plans: three, two") {
		t.Errorf("%d images: %s", m.Images, m.What)
	}

	// The one that has told is away for a moment, and for good.
	c.leave("two")
	check(true, b, nil, "three")
	wants("the first is away for a moment", "partly", "two")
	check(true, b, nil, "two")
	if r := c.room(all["two"].Sites[1], s.Notifications); !r.gone.IsZero() || r.speaker.Incident != m.ID {
		t.Errorf("the first goes on: %+v", r.speaker)
	}
	c.leave("two")
	minutes(5, func() { check(true, b, nil, "three") })
	wants("the first is gone", "partly", "three", "two")

	// Over.
	minutes(30, func() { check(false, nil, nil, "two", "three", "hushed", "partly") })
	wants("the end")
	if len(c.rooms) != 0 {
		t.Errorf("%d rooms are left", len(c.rooms))
	}
}
