package orchestrator_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// move is one thing that somebody may have done to the sites. Each kind of move
// uses the fields that it needs.
type move struct {
	Do        string
	Site      int
	Image     replay.ImageRef
	Name      string
	PoolMode  replay.PoolMode
	Mode      replay.MirrorMode
	Direction replay.Direction
	Features  replay.Features
	Force     bool
}

// moves are the kinds of move; what a call refuses is left as it is.
var moves = map[string]func(b *bed, site, other string, m move) error{
	"site name": func(b *bed, site, _ string, m move) error {
		return b.world.Site(site).SetSiteName(b.t.Context(), m.Name)
	},
	"pool mode": func(b *bed, site, _ string, m move) error {
		return b.world.Site(site).SetPoolMode(b.t.Context(), rbd, m.PoolMode)
	},
	"token": func(b *bed, site, other string, m move) error {
		token, err := b.world.Site(other).CreateBootstrapToken(b.t.Context(), rbd)
		if err != nil {
			return err
		}
		return b.world.Site(site).ImportBootstrapToken(b.t.Context(), rbd, m.Direction, token)
	},
	"remove peers": func(b *bed, site, _ string, _ move) error {
		seen, err := b.world.Site(site).PoolMirroring(b.t.Context(), rbd)
		for _, p := range seen.Peers {
			err = errors.Join(err, b.world.Site(site).RemovePeer(b.t.Context(), rbd, p.UUID))
		}
		return err
	},
	"image": func(b *bed, site, _ string, m move) error {
		if err := b.world.Site(site).CreateImage(b.t.Context(), m.Image, replay.ImageSpec{Size: 8 << 20, Features: m.Features}); err != nil {
			return err
		}
		return b.world.Write(site, m.Image, 4096, []byte("data of "+m.Image.String()+" made at "+site))
	},
	"mirror": func(b *bed, site, _ string, m move) error {
		return b.world.Site(site).EnableMirroring(b.t.Context(), m.Image, m.Mode)
	},
	"unmirror": func(b *bed, site, _ string, m move) error {
		return b.world.Site(site).DisableMirroring(b.t.Context(), m.Image, m.Force)
	},
	"promote": func(b *bed, site, _ string, m move) error {
		return b.world.Site(site).Promote(b.t.Context(), m.Image, m.Force)
	},
	"demote": func(b *bed, site, _ string, m move) error {
		return b.world.Site(site).Demote(b.t.Context(), m.Image)
	},
	"start daemon": func(b *bed, site, _ string, _ move) error {
		b.world.StartDaemon(site)
		return nil
	},
	"stop daemon": func(b *bed, site, _ string, _ move) error {
		b.world.StopDaemon(site)
		return nil
	},
	"schedule": func(b *bed, site, _ string, _ move) error {
		return b.world.Site(site).AddMirrorSchedule(b.t.Context(), replay.MirrorSchedule{ImageRef: rbd.Image(""), Every: "1h"})
	},
	"wait": func(*bed, string, string, move) error {
		time.Sleep(time.Minute)
		return nil
	},
}

// histories are what may have happened to the sites of a plan before.
func histories() *rapid.Generator[[]move] {
	names := make([]string, 0, len(moves))
	for name := range moves {
		names = append(names, name)
	}
	slices.Sort(names)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) move {
		return move{
			Do:        rapid.SampledFrom(names).Draw(t, "do"),
			Site:      rapid.IntRange(0, 1).Draw(t, "site"),
			Image:     rapid.SampledFrom([]replay.ImageRef{ref("vm-1"), ref("volume-1"), ref("volume-2"), ref("other")}).Draw(t, "image"),
			Name:      rapid.SampledFrom([]string{"a", "b", "elsewhere"}).Draw(t, "name"),
			PoolMode:  rapid.SampledFrom([]replay.PoolMode{replay.PoolDisabled, replay.PoolImage, replay.PoolPool}).Draw(t, "pool mode"),
			Mode:      rapid.SampledFrom([]replay.MirrorMode{replay.ModeJournal, replay.ModeSnapshot}).Draw(t, "mode"),
			Direction: rapid.SampledFrom([]replay.Direction{replay.RxOnly, replay.RxTx}).Draw(t, "direction"),
			Features:  rapid.SampledFrom([]replay.Features{replay.FeatureLayering, plain, plain | replay.FeatureJournaling, plain | replay.FeatureObjectMap | replay.FeatureFastDiff}).Draw(t, "features"),
			Force:     rapid.Bool().Draw(t, "force"),
		}
	}), 0, 14)
}

// play plays a history, and answers with how it went, for the account of a
// failure.
func (b *bed) play(history []move) string {
	var account strings.Builder
	for _, m := range history {
		site, other := b.plan.Sites[m.Site].Name, b.plan.Sites[1-m.Site].Name
		fmt.Fprintf(&account, "%s at %s %+v: %v\n", m.Do, site, m, moves[m.Do](b, site, other, m))
	}
	return account.String()
}

// primaries counts the sites where an image can be written.
func (b *bed) primaries(r replay.ImageRef) int {
	n := 0
	for _, s := range b.plan.Sites {
		if b.role(s.Name, r) == replay.RolePrimary {
			n++
		}
	}
	return n
}

// TestApplyConverges wants an apply, from whatever state, either to bring the
// sites to the plan or to name what it leaves to a person; a further one to
// write nothing; and none to make a second primary or to lose data.
func TestApplyConverges(t *testing.T) {
	forms := []string{oneWay, twoWay, snapshots, snapshotsTwoWay, poolMode}
	rapid.Check(t, func(rt *rapid.T) {
		form := rapid.SampledFrom(forms).Draw(rt, "plan")
		history := histories().Draw(rt, "history")
		applied := rapid.Bool().Draw(rt, "applied")
		failure := ""
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, form)
			account := b.play(history)
			if applied {
				// Somebody went on after an earlier apply.
				_, err := b.apply(orchestrator.Options{WaitTime: 2 * time.Minute})
				account += fmt.Sprintf("apply: %v\n", err) + b.play(history)
			}
			time.Sleep(time.Minute) // until the daemons have done what they were about to do
			defer func() {
				if failure != "" {
					failure += "\nafter:\n" + account
				}
			}()
			before := b.ledger()
			result, err := b.apply(orchestrator.Options{WaitTime: 2 * time.Minute})
			switch {
			case err != nil && !blocked(result):
				failure = fmt.Sprintf("apply: %v\n%s", err, outcomes(result))
				return
			case err == nil && b.plan.Pools[0].Mirror == plans.PoolModeImage:
				for _, image := range result.Images {
					if image.State == replay.Enabling || image.State == replay.Unprotected {
						failure = fmt.Sprintf("%s is %s after an apply without error\n%s", image.Ref, image.State, outcomes(result))
						return
					}
				}
			}
			if lost := before.lost(b); lost != "" {
				failure = lost + "\n" + outcomes(result)
				return
			}
			// It says to apply again once the daemons have done what they are at.
			for range 3 {
				if !hasNotice(result.Notices, orchestrator.NoticeInTransition) {
					break
				}
				time.Sleep(time.Minute)
				result, _ = b.apply(orchestrator.Options{WaitTime: 2 * time.Minute})
			}
			b.world.ForgetCalls()
			again, _ := b.apply(orchestrator.Options{WaitTime: time.Second})
			if writes := b.world.Writes(); !again.Unchanged() || len(writes) > 0 {
				failure = fmt.Sprintf("a further apply: %v\n%s\nthe first was:\n%s", writes, outcomes(again), outcomes(result))
			}
		})
		if failure != "" {
			rt.Fatal(failure)
		}
	})
}

// blocked reports whether all that failed has a notice that says so.
func blocked(r *orchestrator.Result) bool {
	for i := range r.Changes {
		if o := r.Changes[i].Outcome; o != orchestrator.OutcomeDone && o != orchestrator.OutcomeAlready {
			return false
		}
	}
	if r.Pending() > 0 && (hasNotice(r.Notices, orchestrator.NoticeDaemonComplains) || hasNotice(r.Notices, orchestrator.NoticeWrongPrimary)) {
		return true
	}
	for i := range r.Notices {
		if r.Notices[i].Fails() != nil {
			return true
		}
	}
	return false
}

// ledger is what images there were: how often primary, and their data.
type ledger map[string]string

func (b *bed) ledger() ledger {
	l := ledger{}
	for _, s := range b.plan.Sites {
		images, err := b.world.Site(s.Name).Images(b.t.Context(), rbd, 0)
		b.must(err)
		for _, image := range images {
			if image.Role != replay.RoleSecondary {
				l[s.Name+" "+image.Ref.Name] = b.content(s.Name, image.Ref)
			}
		}
	}
	return l
}

// lost tells what has been lost since: data of an image that was no copy.
func (l ledger) lost(b *bed) string {
	for key, data := range l {
		site, name, _ := strings.Cut(key, " ")
		if b.role(site, ref(name)) == "absent" {
			return key + " is gone"
		}
		if now := b.content(site, ref(name)); now != data {
			return fmt.Sprintf("%s held %q and now %q", key, data, now)
		}
	}
	return ""
}

// TestDestroyKeepsData wants a destroy, from whatever state, never to lose
// data of any image, nor of any copy that it leaves.
func TestDestroyKeepsData(t *testing.T) {
	forms := []string{oneWay, twoWay, snapshots, poolMode}
	rapid.Check(t, func(rt *rapid.T) {
		form := rapid.SampledFrom(forms).Draw(rt, "plan")
		history := histories().Draw(rt, "history")
		applied := rapid.Bool().Draw(rt, "applied")
		failure := ""
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, form)
			account := b.play(history)
			if applied {
				_, err := b.apply(orchestrator.Options{WaitTime: 2 * time.Minute})
				account += fmt.Sprintf("apply: %v\n", err)
			}
			defer func() {
				if failure != "" {
					failure += "\nafter:\n" + account
				}
			}()
			before := b.ledger()
			copies := map[string]string{}
			for _, s := range b.plan.Sites {
				images, err := b.world.Site(s.Name).Images(t.Context(), rbd, 0)
				b.must(err)
				for _, image := range images {
					if _, ours := b.plan.Pools[0].Match(image.Ref.Name); ours && image.Role == replay.RoleSecondary && b.primaries(image.Ref) == 1 {
						copies[s.Name+" "+image.Ref.Name] = b.content(s.Name, image.Ref)
					}
				}
			}
			result, err := b.destroy(orchestrator.DestroyOptions{})
			if err != nil && !blocked(result) {
				failure = fmt.Sprintf("destroy: %v\n%s", err, outcomes(result))
				return
			}
			time.Sleep(time.Minute)
			for _, l := range []ledger{before, copies} {
				if lost := l.lost(b); lost != "" {
					failure = lost + "\n" + outcomes(result)
					return
				}
			}
		})
		if failure != "" {
			rt.Fatal(failure)
		}
	})
}
