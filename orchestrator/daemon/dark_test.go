package daemon

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/replay/sim"
)

// TestAllSitesLost: where all sites are lost at once, people are told of each within
// the time in which they are told of one, once, and once of the return of each.
func TestAllSitesLost(t *testing.T) {
	for how, lose := range map[string]func(*sim.World, string){"gone": (*sim.World).Vanish, "frozen": (*sim.World).Freeze} {
		for _, every := range []string{"5s", "10s", "25s", "1m"} {
			for _, at := range []time.Duration{0, 4 * time.Second, 9 * time.Second} {
				t.Run(fmt.Sprintf("%s/%s/%v", how, every, at), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						s := newStageOf(t, strings.Replace(shop, "@every 10s", "@every "+every, 1), 3)
						_, end := s.begin()
						defer func() {
							end()
							time.Sleep(time.Minute) // for calls that were given up
						}()
						time.Sleep(5*time.Minute + at)
						if _, told := s.take(); told != "" {
							t.Fatalf("told: %s", told)
						}
						began := time.Now()
						lose(s.world, "a")
						lose(s.world, "b")
						time.Sleep(10 * time.Minute)
						all, told := s.take()
						var sites []string
						pace, err := time.ParseDuration(every)
						s.must(err)
						for _, m := range all {
							sites = append(sites, m.Site)
							if late := m.At.Sub(began); late > 3*pace+15*time.Second {
								t.Errorf("%s of %s is told %v after the loss", m.Code, m.Site, late)
							}
						}
						slices.Sort(sites)
						if told != "opened site-unknown, opened site-unknown" || !slices.Equal(sites, []string{"a", "b"}) {
							t.Errorf("told: %s, of %v", told, sites)
						}
						for _, site := range []string{"a", "b"} {
							s.world.Return(site)
							s.world.Thaw(site)
						}
						time.Sleep(10 * time.Minute)
						if _, told := s.take(); told != "resolved site-unknown, resolved site-unknown" {
							t.Errorf("told of the return: %s", told)
						}
					})
				})
			}
		}
	}
}

// TestDeadDaemonOfSplitImages: that an rbd-mirror is dead is told also where all images
// are halted in split-brain, and that it lives again.
func TestDeadDaemonOfSplitImages(t *testing.T) {
	for name, kept := range map[string]bool{"at both": false, "by its report": true} {
		for _, at := range []string{"a", "b"} {
			if kept && at == "a" {
				continue // who replays nothing there is no more than a standby
			}
			t.Run(name+" "+at, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					s := newStage(t, 2)
					_, end := s.begin()
					defer end()
					time.Sleep(time.Minute)
					for _, ref := range s.refs {
						s.must(s.world.Site("b").Promote(t.Context(), ref, true))
						s.must(s.world.Write("b", ref, 4096, []byte("written at b")))
						if kept {
							s.must(s.world.Site("b").Demote(t.Context(), ref))
						}
					}
					time.Sleep(5 * time.Minute)
					if _, told := s.take(); !strings.HasPrefix(told, "opened split-brain, opened split-brain") {
						t.Fatalf("told: %s", told)
					}
					s.world.StopDaemon(at)
					time.Sleep(5 * time.Minute)
					all, told := s.take()
					if i := slices.IndexFunc(all, func(m alert.Message) bool { return m.Code == "no-daemon" && m.Kind == alert.Opened }); i < 0 || all[i].Site != at {
						t.Errorf("told: %s", told)
					}
					s.world.StartDaemon(at)
					time.Sleep(10 * time.Minute)
					if _, told := s.take(); !strings.Contains(told, "resolved no-daemon") {
						t.Errorf("told then: %s", told)
					}
				})
			})
		}
	}
}
