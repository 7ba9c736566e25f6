package orchestrator

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// clientsAct sees, right before an image is demoted, that no client holds it: the
// checks of the run may be long past, and a client that stays open across the
// demotion may write once more behind it.
type clientsAct struct {
	fenceAct
	// checked: the checks of the run found none, and no other image has to be taken
	// back where the demotion finds one.
	checked bool
}

// justNow is for how long what the checks of a run have found is good enough for
// those images that it begins with. The demotion itself refuses who has come since;
// this looks again so that images which wait for long are not even begun.
const justNow = 10 * time.Second

func (a clientsAct) look(ctx context.Context, c *crew) (bool, string, error) {
	if ago := c.sites.now().Sub(c.run.Began); a.checked && !c.resumed && ago >= 0 && ago < justNow {
		return true, fmt.Sprintf("not looked again: no client had %s at %s when that was checked, less than %s ago, and the demotion refuses one", a.ref, a.site, justNow), nil
	}
	users, err := a.users(ctx, c)
	switch {
	case err != nil:
		return false, "", err
	case len(users) > 0:
		return false, fmt.Sprintf("%s is in use at %s by %s: stop the client, then resume", a.ref, a.site, userWords(users)), nil
	}
	return true, fmt.Sprintf("no client has %s at %s", a.ref, a.site), nil
}

func (a clientsAct) do(_ context.Context, c *crew) error {
	if c.run.Runbook == Failback {
		c.tell(RunEvent{Kind: RunWaits, Note: fmt.Sprintf("until no client holds %s at %s: stop it there", a.ref, a.site)})
	}
	return nil
}

// A client that was stopped is seen until the OSD's watch timeout of 30 s has
// passed. In a failback it goes on while the image is copied back, and a person
// stops it when that is done.
func (clientsAct) patience(c *crew) (time.Duration, time.Duration) {
	if c.run.Runbook == Failback {
		return followTime, 0
	}
	return 45 * time.Second, 0
}

// clientsStep words it.
func (w *writer) clientsStep(unit *RunUnit, i *RunImage) Step {
	from := w.run.From
	return w.step(StepClients, unit, i, from, "see that no client holds it at "+from,
		w.at(from).rbd("status", i.Ref.String()), "rbd status at "+from+" lists no watcher but rbd-mirror",
		clientsAct{
			fenceAct{ref: i.Ref, site: from, followers: followersOf(w.plan, from, i.Mode)},
			len(unit.Images) == 1 && w.run.Runbook == Switchover && !w.run.Fence && stopsClients(w.plan, Switchover, i.Ref) == "",
		})
}

// stopsClients names a hook that comes before an image is handed over, and may
// stop its clients; "" where there is none.
func stopsClients(plan *plans.Plan, runbook Runbook, ref replay.ImageRef) string {
	group, wave := "", ""
	if g := plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name); g != nil {
		group = g.Name
	}
	if w := plan.WaveOf(ref.Pool.Name, ref.Namespace, ref.Name); w != nil {
		wave = w.Name
	}
	for i := range plan.Hooks {
		h := &plan.Hooks[i]
		of := map[string]string{"before-run": "", "before-wave": wave, "before-group": group}
		at, before := of[h.When]
		if !before || h.When != "before-run" && at == "" {
			continue
		}
		for _, due := range selectHooks(plan, string(runbook), h.When, at) {
			if due == h {
				return strings.TrimSpace("hook " + h.Name)
			}
		}
	}
	return ""
}
