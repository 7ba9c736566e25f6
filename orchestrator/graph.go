package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/replay/parallel"
)

// graph runs changes as their needs allow: each on its own, many at once, and
// the failure of one stops only those that need it.
type graph struct {
	x        *execution
	parallel int
	progress func(Event)

	results    []ChangeResult
	dependents [][]int
	waiting    []int // needs not done yet
	joined     []int // the change that is carried out along with it; 0: none
	ready      [2][]int
	running    [2]int
	ended      int
}

// Two lanes, so that what waits for daemons holds up nothing else.
const (
	laneActs  = 0
	laneWaits = 1
)

func laneOf(k Kind) int {
	if k == KindSnapshot || k == KindSchedule {
		return laneWaits
	}
	return laneActs
}

// ending is the news that a change has ended.
type ending struct {
	index   int
	outcome Outcome
	err     error
	took    time.Duration
	also    *ending // of the change that was carried out along with it
	caught  *parallel.Panic
}

// run carries out the changes and answers with what became of each, in their
// order. All of progress is called from this goroutine.
func (g *graph) run(changes []Change) []ChangeResult {
	g.prepare(changes)
	g.progress(Event{Kind: EventPlanned, Total: len(changes)})
	news := make(chan ending)
	for {
		g.launch(news)
		if g.running[laneActs]+g.running[laneWaits] == 0 {
			break
		}
		e := <-news
		if e.caught != nil {
			panic(e.caught)
		}
		g.running[laneOf(g.results[e.index].Change.Kind)]--
		g.end(e)
	}
	return g.results
}

func (g *graph) prepare(changes []Change) {
	index := make(map[string]int, len(changes))
	for i := range changes {
		index[changes[i].ID] = i
	}
	g.results = make([]ChangeResult, len(changes))
	g.dependents = make([][]int, len(changes))
	g.waiting = make([]int, len(changes))
	for i := range changes {
		g.results[i] = ChangeResult{Change: changes[i], Outcome: OutcomeNotBegun}
		for _, id := range changes[i].Needs {
			if need, ok := index[id]; ok {
				g.dependents[need] = append(g.dependents[need], i)
				g.waiting[i]++
			}
		}
	}
	g.join()
	for i := range changes {
		if g.waiting[i] == 0 {
			g.enqueue(i)
		}
	}
}

// join finds the changes of features that are carried out along with the
// mirroring that needs them.
func (g *graph) join() {
	g.joined = make([]int, len(g.results))
	for i := range g.results {
		for _, j := range g.dependents[i] {
			if g.waiting[j] == 1 && joinable(g.results[i].Change.act, g.results[j].Change.act) {
				g.joined[i] = j
			}
		}
	}
}

func (g *graph) enqueue(i int) {
	lane := laneOf(g.results[i].Change.Kind)
	g.ready[lane] = append(g.ready[lane], i)
}

// launch starts what is ready, as long as nobody has asked to stop.
func (g *graph) launch(news chan<- ending) {
	limit := [2]int{g.parallel, 2 * g.parallel}
	for lane := range g.ready {
		for len(g.ready[lane]) > 0 && g.running[lane] < limit[lane] && g.x.stop.Err() == nil {
			i := g.ready[lane][0]
			g.ready[lane] = g.ready[lane][1:]
			g.running[lane]++
			c := &g.results[i].Change
			g.progress(Event{Kind: EventBegin, Change: c, Done: g.ended, Total: len(g.results)})
			if j := g.joined[i]; j != 0 {
				also := &g.results[j].Change
				g.progress(Event{Kind: EventBegin, Change: also, Done: g.ended, Total: len(g.results)})
				go tellEnd(news, func() ending { return g.x.carryOutBoth(i, c.act, j, also.act) })
				continue
			}
			go tellEnd(news, func() ending {
				began := time.Now()
				outcome, err := g.x.carryOut(c.act)
				return ending{index: i, outcome: outcome, err: err, took: time.Since(began)}
			})
		}
	}
}

// tellEnd carries something out, and tells how it ended.
func tellEnd(news chan<- ending, do func() ending) {
	var e ending
	caught := parallel.Catch(func() { e = do() })
	e.caught = caught
	news <- e
}

// end notes how a change ended and frees or blocks those that need it.
func (g *graph) end(e ending) {
	r := &g.results[e.index]
	r.Outcome, r.Fault, r.Took = e.outcome, faultOf(e.err), e.took
	g.ended++
	g.progress(Event{Kind: EventEnd, Change: &r.Change, Outcome: r.Outcome, Err: e.err, Done: g.ended, Total: len(g.results)})
	good := r.Outcome == OutcomeDone || r.Outcome == OutcomeAlready
	for _, i := range g.dependents[e.index] {
		switch {
		case g.results[i].Outcome != OutcomeNotBegun:
		case e.also != nil && e.also.index == i: // it has ended too
		case good:
			if g.waiting[i]--; g.waiting[i] == 0 {
				g.enqueue(i)
			}
		case r.Outcome != OutcomeNotBegun:
			g.end(ending{index: i, outcome: OutcomeBlocked, err: fmt.Errorf("needs: %s", r.Change.Title())})
		}
	}
	if e.also != nil {
		g.end(*e.also)
	}
}

// carryOut does one change. What has begun is finished even when a stop is
// asked for meanwhile: a call that is given up may take effect all the same.
func (x *execution) carryOut(a action) (Outcome, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.stop), x.callTime)
	defer cancel()
	if a.looksFirst() {
		if done, err := a.done(ctx, x); err != nil {
			return OutcomeFailed, err
		} else if done {
			return OutcomeAlready, nil
		}
	}
	err := a.do(ctx, x)
	switch {
	case err == nil:
		return OutcomeDone, nil
	case errors.Is(err, ErrInterrupted):
		return OutcomeNotBegun, err
	case errors.Is(err, ErrRefused):
		return OutcomeFailed, err
	}
	// The error may be that it was so already, or that only the answer was lost.
	again, stop := context.WithTimeout(context.WithoutCancel(x.stop), x.callTime)
	defer stop()
	if done, look := a.done(again, x); look == nil && done {
		return OutcomeAlready, nil
	}
	return OutcomeFailed, err
}
