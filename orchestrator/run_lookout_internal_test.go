package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

const lookoutPlan = twoSites + `      - {name: vm-0}
      - {name: vm-1}
      - {name: vm-2}
      - {name: vm-3}
`

// looks counts the looks at a site.
func (s *split) looks(site string) (n int) {
	for _, c := range s.world.Calls() {
		if c.Op == "LookAt" && c.Site == site {
			n++
		}
	}
	return n
}

// TestLookoutSharesLooks has many ask while a look is under way: they share the
// next one, and each is told of its own image.
func TestLookoutSharesLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, lookoutPlan)
		sites := s.open()
		defer s.close(sites)
		s.world.ForgetCalls()
		l := newLookout(sites, "a", "b")
		remove := s.world.Inject(sim.Fault{Op: "LookAt", Object: "rbd", Hang: true, Count: 2}) // one at each site
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := l.fresh(t.Context(), s.image("vm-0")); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		for i := range 40 {
			wg.Go(func() {
				ref := s.image(fmt.Sprint("vm-", i%4))
				seen, err := l.fresh(t.Context(), ref)
				if err != nil {
					t.Error(err)
				}
				for site, role := range map[string]replay.Role{"a": replay.RolePrimary, "b": replay.RoleSecondary} {
					if c, err := seen.at(site); err != nil || c.Image.Ref != ref || c.Image.Role != role || c.Image.Journal == nil || c.MirrorUUID == "" {
						t.Errorf("%s at %s: %+v, %v", ref, site, c, err)
					}
				}
				if _, err := seen.at("c"); err == nil {
					t.Error("a site that was not asked has answered")
				}
			})
		}
		synctest.Wait()
		remove()
		wg.Wait()
		for _, site := range []string{"a", "b"} {
			if n := s.looks(site); n != 2 {
				t.Errorf("%d looks at %s", n, site)
			}
		}
		missing, err := l.fresh(t.Context(), s.image("vm-none"))
		s.must(err)
		if _, err := missing.at("a"); !errors.Is(err, replay.ErrNotFound) {
			t.Errorf("an image that there is not: %v", err)
		}
	})
}

// TestLookoutAnswersFresh changes an image between two looks: the one that is
// asked after the change tells it, although another look is under way.
func TestLookoutAnswersFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, lookoutPlan)
		sites := s.open()
		defer s.close(sites)
		l := newLookout(sites, "a")
		remove := s.world.Inject(sim.Fault{Site: "a", Op: "LookAt", Object: "rbd", Hang: true, Count: 1})
		var early, late sighting
		var wg sync.WaitGroup
		wg.Go(func() { early, _ = l.fresh(t.Context(), s.image("vm-0")) })
		synctest.Wait() // its look hangs
		s.must(s.world.Site("a").Demote(t.Context(), s.image("vm-1")))
		wg.Go(func() { late, _ = l.fresh(t.Context(), s.image("vm-1")) })
		synctest.Wait()
		remove()
		wg.Wait()
		if c, err := late.at("a"); err != nil || c.Image.Role != replay.RoleSecondary {
			t.Errorf("after its demotion it is %s, %v", c.Image.Role, err)
		}
		if c, err := early.at("a"); err != nil || c.Image.Role != replay.RolePrimary {
			t.Errorf("the one that was asked for before is %s, %v", c.Image.Role, err)
		}
	})
}

// TestHangingImageHoldsUpNobodysLook has one image that does not answer: those
// who look at others again and again are held up for half a second at most,
// and who looks at it is told at last.
func TestHangingImageHoldsUpNobodysLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, lookoutPlan)
		sites := s.open()
		defer s.close(sites)
		l := newLookout(sites, "a", "b")
		defer s.world.Inject(sim.Fault{Site: "a", Op: "LookAt", Object: "rbd/vm-1", Hang: true})()
		began := time.Now()
		hung := make(chan sighting)
		go func() {
			seen, err := l.fresh(context.WithoutCancel(t.Context()), s.image("vm-1"))
			if err != nil {
				t.Error(err)
			}
			hung <- seen
		}()
		synctest.Wait()
		for range 20 {
			for i := range 4 {
				if i == 1 {
					continue
				}
				asked := time.Now()
				seen, err := l.fresh(t.Context(), s.image(fmt.Sprint("vm-", i)))
				if _, at := seen.at("a"); err != nil || at != nil || time.Since(asked) > overdue {
					t.Errorf("vm-%d after %v: %v", i, time.Since(asked), errors.Join(err, at))
				}
			}
		}
		if took := time.Since(began); took > 2*overdue {
			t.Errorf("60 looks at images that answer took %v", took)
		}
		seen := <-hung
		if _, err := seen.at("a"); !errors.Is(err, replay.ErrTimeout) || time.Since(began) != lookTime {
			t.Errorf("the one that hangs, after %v: %v", time.Since(began), err)
		}
		if c, err := seen.at("b"); err != nil || c.Image.Role != replay.RoleSecondary {
			t.Errorf("its copy, which answers: %+v, %v", c.Image, err)
		}
	})
}

// TestUnreadableImageIsItsOwn has one image that cannot be read: those who look
// at others at the same time see them.
func TestUnreadableImageIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, lookoutPlan)
		sites := s.open()
		defer s.close(sites)
		l := newLookout(sites, "a", "b")
		defer s.world.Inject(sim.Fault{Site: "a", Op: "LookAt", Object: "rbd/vm-1", Errno: 5})()
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				seen, err := l.fresh(t.Context(), s.image(fmt.Sprint("vm-", i)))
				if _, at := seen.at("a"); err != nil || (at != nil) != (i == 1) {
					t.Errorf("vm-%d: %v", i, errors.Join(err, at))
				}
			})
		}
		wg.Wait()
	})
}
