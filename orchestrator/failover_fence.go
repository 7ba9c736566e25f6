package orchestrator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// fences reports whether the plan has a fence for a site.
func fences(plan *plans.Plan, site string) bool {
	s := plan.Site(site)
	return s != nil && s.Fence.Method != plans.FenceNone && s.Fence.Method != ""
}

// fenceSiteStep shuts out the clients of a site that is given up.
func (w *writer) fenceSiteStep(site *plans.Site) Step {
	s := Step{ID: string(StepFence), Kind: StepFence, Site: site.Name, What: "shut out the clients of " + site.Name}
	if site.Fence.Method == plans.FenceCommand {
		s.Command, s.Proof = shellLine(site.Fence.Command...), "the command ends well"
		s.act = fenceCommandAct{site: *site}
		return s
	}
	s.Command, s.Proof = w.at(site.Name).ceph("osd", "blocklist", "add", "ADDRESS"), "no client but rbd-mirror watches the images"
	s.act = &fenceAllAct{site: site.Name, images: w.run.all()}
	return s
}

// fenceReturnedStep shuts out the clients that still hold copies which a failover
// gave up, at the site that has returned, before anything is done to these. It is
// always the site's blocklist, and never the plan's own command: that shuts out a
// whole site, which is about to become primary again, while only these clients are
// meant. Once it is done it is not done again: images that are handed over have
// clients of their own there.
func (w *writer) fenceReturnedStep(site *plans.Site) (Step, bool) {
	var images []RunImage
	for _, image := range w.run.all() {
		if image.Resync {
			images = append(images, image)
		}
	}
	if len(images) == 0 || !fences(w.plan, site.Name) {
		return Step{}, false
	}
	s := Step{
		ID: string(StepFence), Kind: StepFence, Site: site.Name, What: "shut out the clients that still hold what was given up at " + site.Name,
		Command: w.at(site.Name).ceph("osd", "blocklist", "add", "ADDRESS"), Proof: "no client but rbd-mirror watches the images",
	}
	s.act = once{s.ID, &fenceAllAct{site: site.Name, images: images}}
	return s, true
}

// fenceFacts are what the plan's own fence is told, in a failover: From is the
// site that it shuts out.
func fenceFacts(c *crew) HookFacts {
	return HookFacts{Plan: c.run.Plan, Runbook: string(c.run.Runbook), Run: c.run.ID, When: "fence", From: c.run.From, To: c.run.To, Images: c.run.images(), hidden: planSecrets(c.plan)}
}

// fenceCommandAct runs the plan's own fence.
type fenceCommandAct struct{ site plans.Site }

func (a fenceCommandAct) look(_ context.Context, c *crew) (bool, string, error) {
	p := c.past.phase(string(StepFence))
	return p == PhaseDone || p == PhaseAlready, "the command ended well", nil
}

func (a fenceCommandAct) do(_ context.Context, c *crew) error {
	if err := runFence(context.WithoutCancel(c.hard), a.site, fenceFacts(c)); err != nil {
		return err
	}
	c.past.note(&StepRecord{Step: string(StepFence), Phase: PhaseDone})
	return nil
}

func (fenceCommandAct) patience(*crew) (time.Duration, time.Duration) { return 0, 0 }

// fenceAllAct shuts out the clients of images at a site.
type fenceAllAct struct {
	site   string
	images []RunImage

	mu   sync.Mutex
	shut []string // clients, in words
}

// each looks at all images, several at once. Those that the site does not have
// have no clients.
func (a *fenceAllAct) each(ctx context.Context, do func(i int, f fenceAct) error, c *crew) error {
	faults := make([]error, len(a.images)+1)
	forEach(ctx, len(a.images), 32, func(i int) {
		f := fenceAct{ref: a.images[i].Ref, site: a.site, followers: followersOf(c.plan, a.site, a.images[i].Mode)}
		if err := do(i, f); !errors.Is(err, replay.ErrNotFound) {
			faults[i] = err
		}
	})
	faults[len(a.images)] = ctx.Err()
	return replay.OneLine(faults...)
}

func (a *fenceAllAct) look(ctx context.Context, c *crew) (bool, string, error) {
	held := make([]string, len(a.images))
	err := a.each(ctx, func(i int, f fenceAct) error {
		done, what, err := f.look(ctx, c)
		if !done && err == nil {
			held[i] = what
		}
		return err
	}, c)
	if err != nil {
		return false, "", err
	}
	for _, what := range held {
		if what != "" {
			return false, what, nil
		}
	}
	text := "no client has any of the images at " + a.site
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.shut) > 0 {
		text = "shut out: " + strings.Join(a.shut, ", ") + "; " + text
	}
	return true, text, nil
}

func (a *fenceAllAct) do(ctx context.Context, c *crew) error {
	found := make([][]replay.ImageUser, len(a.images))
	err := a.each(ctx, func(i int, f fenceAct) (err error) {
		if found[i], err = f.users(ctx, c); err != nil {
			return err
		}
		return f.shutOut(c, found[i])
	}, c)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, users := range found {
		if len(users) == 0 {
			continue
		}
		if who := userWords(users) + " of " + a.images[i].Ref.String(); !slices.Contains(a.shut, who) {
			a.shut = append(a.shut, who)
		}
	}
	return nil
}

// A watch outlives its client by the OSD's watch timeout of 30 s.
func (*fenceAllAct) patience(*crew) (time.Duration, time.Duration) {
	return 60 * time.Second, 5 * time.Second
}
