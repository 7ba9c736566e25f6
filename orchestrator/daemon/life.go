package daemon

import (
	"cmp"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

// aliveMargin is what a check may take beyond its answer times.
const aliveMargin = 2 * time.Minute

// life is what a guard's life is told from: that checks come to their ends. Whatever
// the watch says that it does, who stands by alone need not check. That one acts is no
// sign of life: a watch that loses its lease again and again acts each time, and may
// see nothing.
type life struct {
	last  time.Time // a sign of life
	idle  bool      // it stands by
	again bool      // a check has ended since the watch acts
}

// stood is told what the watch does from now on.
func (l *life) stood(role orchestrator.Role, now time.Time) {
	if l.idle {
		l.last = now // nothing was due before
	}
	l.idle, l.again = role == orchestrator.RoleStandby, false
}

// checked is told of each check that has ended. The first of those who act counts for
// nothing, since that is all that one sees who loses the lease again and again.
func (l *life) checked(role orchestrator.Role, now time.Time) {
	if l.again || role == orchestrator.RoleAlone {
		l.last = now
	}
	l.again = true
}

// alive reports whether checks come to their ends, where this process makes them.
func (g *guard) alive() bool {
	g.mu.Lock()
	life := g.life
	g.mu.Unlock()
	if life.idle || life.last.IsZero() {
		return true
	}
	late := time.Since(g.times.Next(life.last))
	return late < cmp.Or(g.plan.Checks.Timeout.Std(), 5*time.Second)*10+aliveMargin
}
