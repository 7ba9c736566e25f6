package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
)

// at is the desk, which goes on from what was remembered last: at the sites, and
// where none of them can be asked, by this process. It is nil where another one is
// about to tell, or to be asked what was told.
func (g *guard) at(r *orchestrator.CheckResult) *alert.Desk {
	g.mu.Lock()
	desk := g.desk
	returned := slices.ContainsFunc(g.blind, func(site string) bool { return !slices.Contains(r.Blind, site) })
	g.blind = r.Blind
	if g.awaits = r.Role == orchestrator.RoleAlone && g.awaited(r); g.awaits {
		g.mu.Unlock()
		return nil
	}
	same := desk != nil && g.as == r.Role
	kept := g.kept
	var atSites map[string]bool
	doubtful := false
	g.mu.Unlock()
	if same && !returned {
		return desk
	}
	if r.Role == orchestrator.RoleActing {
		stored, err := g.memories()
		switch {
		case err != nil && same:
			g.log.Warn("what was told elsewhere cannot be read", "error", err)
			return desk
		case err != nil:
			return nil // another one acts by now, or it is read the next time
		case same:
			desk.Join(g.o.Now(), stored)
			return desk
		}
		atSites = stored.IDs()
		doubtful = len(r.Blind) > 0 && stored.Old(g.o.Now(), 2*storeEvery)
		kept = stored.Join(kept, g.o.Now())
	}
	if same {
		return desk
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept = alert.Memory{}
	g.desk, g.as = g.openDesk(kept), r.Role
	if doubtful {
		g.desk.Doubt()
	}
	g.recallFresh(g.desk.Memory())
	if r.Role == orchestrator.RoleActing {
		g.known, g.storedIDs = nil, atSites
	}
	return g.desk
}

// memories is all that is remembered at the sites.
func (g *guard) memories() (joined alert.Memory, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(g.ctx), storeTime)
	defer cancel()
	texts, err := g.watch.Memories(ctx)
	if err != nil {
		return joined, err
	}
	for i := len(texts) - 1; i >= 0; i-- {
		var m alert.Memory
		if err := json.Unmarshal(texts[i], &m); err != nil {
			g.log.Error("what was told before cannot be read: what still holds is told anew", "error", err)
			continue
		}
		if i == len(texts)-1 {
			joined = m
			continue
		}
		joined = joined.Join(m, g.o.Now())
	}
	return joined, nil
}

// awaited reports whether a site has only just begun to answer one that is alone: it
// will have the lease at once, or know who has it, and then knows what was told.
func (g *guard) awaited(r *orchestrator.CheckResult) bool {
	if len(r.Blind) == len(g.plan.Sites) {
		g.answers = time.Time{}
		return false
	}
	if g.answers.IsZero() {
		g.answers = time.Now()
	}
	return time.Since(g.answers) < orchestrator.LeaseTTL
}

func withoutClock(m alert.Memory) ([]byte, error) {
	m.Clock = time.Time{}
	return json.Marshal(m)
}

// leave puts the desk away where the watch does something else from now on. g.mu is
// held.
func (g *guard) leave(role orchestrator.Role) {
	g.answers, g.awaits = time.Time{}, false
	g.o.commons.leave(g.plan.Name)
	if g.desk != nil && g.as != role {
		g.putAway()
	}
	if role != orchestrator.RoleStandby {
		return
	}
	// Another one tells from now on, and knows all but what was told alone.
	desk := g.openDesk(g.kept)
	desk.Part(g.o.Now(), g.known)
	g.kept, g.known = alert.Memory{}, nil
	if !desk.Told() {
		g.beside(func() { g.part(desk) })
	}
}

// putAway keeps what the desk remembers for the next one. g.mu is held.
func (g *guard) putAway() {
	g.kept = g.desk.Memory()
	if g.as == orchestrator.RoleActing {
		g.known = g.storedIDs
	}
	g.desk, g.as = nil, ""
}

// partTime is for how long it is tried to tell what was left open alone.
const partTime = time.Hour

// part tells that what was told alone is over for this process.
func (g *guard) part(desk *alert.Desk) {
	tick := time.NewTicker(postEvery)
	defer tick.Stop()
	for until := time.Now().Add(partTime); !desk.Told() && time.Now().Before(until); {
		for _, d := range desk.Due(g.o.Now()) {
			g.send(g.ctx, desk, d.Channel, d)
		}
		select {
		case <-g.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// storeEvery is how often the memory is stored at least, so that whoever reads it can
// tell whether it may be out of date.
const storeEvery = 5 * time.Minute

// store stores what the desk has to remember, where it has changed, or now and then.
func (g *guard) store(desk *alert.Desk) {
	g.storing <- struct{}{}
	defer func() { <-g.storing }()
	memory := desk.Memory()
	text, err := json.Marshal(memory)
	if err != nil {
		g.log.Error("what was told cannot be stored", "error", err)
		return
	}
	timeless, err := withoutClock(memory)
	g.mu.Lock()
	same := g.storedOf == desk && bytes.Equal(timeless, g.stored) && time.Since(g.storedAt) < storeEvery
	g.mu.Unlock()
	if err != nil || same {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(g.ctx), storeTime)
	defer cancel()
	err = g.watch.Remember(ctx, text)
	switch {
	case err == nil:
		g.mu.Lock()
		g.stored, g.storedOf, g.storedAt, g.storedIDs = timeless, desk, time.Now(), memory.IDs()
		g.mu.Unlock()
	case g.watch.Standing().Role != orchestrator.RoleAlone:
		g.log.Warn("what was told could not be stored: after a restart it may be told again", "error", err)
	}
}
