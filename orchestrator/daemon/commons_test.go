package daemon

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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

// TestOneLossOfManyPlans: a site that is lost to all plans of a process is told once,
// with all images, and once that it is back.
func TestOneLossOfManyPlans(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 12)
		d, err := New(s.shops(12), s.options())
		s.must(err)
		defer s.running(d)()
		time.Sleep(5 * time.Minute)
		s.take()
		s.world.Vanish("b")
		time.Sleep(3 * time.Minute)
		all, short := s.take()
		if short != "opened site-unknown" && short != "opened site-unknown, changed site-unknown" {
			t.Fatalf("told: %s", short)
		}
		m := all[len(all)-1]
		if m.Images != 12 || len(m.Worst) != 10 || !strings.Contains(m.What, "12 plans need it: shop-0, shop-1, ") || !strings.Contains(m.What, " and 2 more") {
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
		d, err := New(all, s.options())
		s.must(err)
		defer s.running(d)()
		time.Sleep(5 * time.Minute)
		s.take()
		s.world.Vanish("b")
		time.Sleep(3 * time.Minute)
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
		d, err := New(all, s.options())
		s.must(err)
		defer s.running(d)()
		time.Sleep(5 * time.Minute)
		s.take()
		s.world.Vanish("b")
		time.Sleep(3 * time.Minute)
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

// TestCommons holds what a room does against its rules.
func TestCommons(t *testing.T) {
	s, err := plans.Parse("plan.yaml", []byte(shop))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	said := func(plan string) []alert.Signal {
		return []alert.Signal{{Code: siteUnknown, Severity: alert.Critical, Site: "b", Image: "rbd/" + plan, What: "silent"}}
	}
	c := &commons{}
	desks, named := map[string]*alert.Desk{}, map[string]*plans.Plan{}
	check := func(name string, signals []alert.Signal, silences ...alert.Silence) {
		t.Helper()
		if desks[name] == nil {
			p := *s
			p.Name = name
			desk, err := alert.NewDesk(alert.DefaultOptions(name, routes(&p)), alert.Memory{})
			if err != nil {
				t.Fatal(err)
			}
			desks[name], named[name] = desk, &p
		}
		c.check(named[name], desks[name], now, time.Now().Add(time.Hour), signals, nil, silences)
	}
	tells := func(name string) bool { return opened(desks[name], "b") }
	hush := alert.Silence{From: now.Add(-time.Hour), Until: now.Add(time.Hour), Match: alert.Match{Site: "b"}}
	step := func() { now = now.Add(time.Minute) }

	for range 5 {
		check("one", said("one"), hush)
		check("two", said("two"))
		check("three", said("three"))
		step()
	}
	if tells("one") || !tells("two") || tells("three") {
		t.Fatalf("silenced %v, first %v, second %v", tells("one"), tells("two"), tells("three"))
	}
	if m := desks["two"].Open()[0]; m.Images != 2 || !strings.Contains(m.What, "2 plans need it: three, two") {
		t.Errorf("%d images: %s", m.Images, m.What)
	}
	// The site is back for the one that tells, and not yet for another.
	check("two", nil)
	check("three", said("three"))
	if !tells("two") || tells("three") {
		t.Error("told anew while it goes")
	}
	check("three", nil)
	for range 5 {
		step()
		check("two", nil)
	}
	if tells("two") || len(c.rooms) != 0 {
		t.Errorf("it is over, and still told: %v; %d rooms", tells("two"), len(c.rooms))
	}
	// One whose checks have stopped speaks for nobody.
	for range 5 {
		check("two", said("two"))
		check("three", said("three"))
		step()
	}
	r := c.room(named["two"].Sites[1], s.Notifications)
	v := r.voices["two"]
	v.until = time.Now().Add(-time.Second)
	r.voices["two"] = v
	check("three", said("three"))
	if !tells("three") {
		t.Error("all are silent because of one whose checks have stopped")
	}
}
