package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// historiesShort is how many histories TestRunHistories runs by itself; the
// environment variable DROVER_HISTORIES names another number (make test-long),
// DROVER_HISTORY the seed of a single one to look at.
const historiesShort = 1000

// TestRunHistories runs random runbooks of random plans, with faults, kills and
// people who meddle at any moment. Whatever happens: an image is never primary
// twice unless somebody forced it; once all faults are over, and somebody has
// resumed what was unfinished, it has a primary; nothing that was acknowledged
// is lost but what the run had listed; and every run ends, or says what it
// waits for.
func TestRunHistories(t *testing.T) {
	if seed, err := strconv.ParseUint(os.Getenv("DROVER_HISTORY"), 10, 64); err == nil {
		synctest.Test(t, func(t *testing.T) {
			t.Log(newRunHistory(t, seed).play())
		})
		return
	}
	count := uint64(historiesShort)
	if n, err := strconv.ParseUint(os.Getenv("DROVER_HISTORIES"), 10, 64); err == nil {
		count = n
	}
	// Worlds are made and thrown away: memory is cheaper than collecting it.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	var (
		next  atomic.Uint64
		began = time.Now()
		tally sync.Map
	)
	t.Run("histories", func(t *testing.T) {
		for worker := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint("worker ", worker), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1); seed <= count && !t.Failed(); seed = next.Add(1) {
					synctest.Test(t, func(t *testing.T) {
						h := newRunHistory(t, seed)
						account := h.play()
						n, _ := tally.LoadOrStore(h.ending, new(atomic.Int64))
						n.(*atomic.Int64).Add(1)
						if t.Failed() {
							t.Logf("history %d (again: DROVER_HISTORY=%d):\n%s", seed, seed, account)
						}
					})
				}
			})
		}
	})
	took := time.Since(began)
	t.Logf("%d histories in %v, %.0f a second", min(next.Load(), count), took.Round(time.Millisecond), float64(count)/took.Seconds())
	tally.Range(func(ending, n any) bool {
		t.Logf("%8d %s", n.(*atomic.Int64).Load(), ending)
		return true
	})
}

// runHistory is one history.
type runHistory struct {
	*bed
	seed    uint64
	rng     *rand.Rand
	shape   runShape
	refs    []replay.ImageRef
	over    bool // a failover
	ink     *ink
	watch   *watch
	account strings.Builder
	ending  string

	mu      sync.Mutex
	plan    []meddling
	touched map[replay.ImageRef]bool // somebody changed its role by hand
	removes []func()
	clocks  int      // processes that were given one
	inHand  *process // that has the run
	prep    *orchestrator.Prepared
}

func newRunHistory(t *testing.T, seed uint64) *runHistory {
	rng := rand.New(rand.NewPCG(seed, 77)) //nolint:gosec // to be repeated, not to be secret
	h := &runHistory{seed: seed, rng: rng, touched: map[replay.ImageRef]bool{}, over: rng.IntN(3) == 0}
	h.shape = runShapes()[rng.IntN(len(runShapes()))]
	h.bed, h.refs = h.shape.build(t, seed, rng.IntN(8) == 0)
	h.ink = h.bed.ink(h.refs...)
	h.ink.write()
	return h
}

func (h *runHistory) notef(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(&h.account, format+"\n", args...)
}

// skews are by how much the clock of a host may be ahead.
var skews = []time.Duration{0, 0, 0, time.Minute, time.Hour, -time.Hour, 200 * 24 * time.Hour, -200 * 24 * time.Hour}

// immortal is a process that does not die, on a host whose clock may be wrong.
func (h *runHistory) immortal() *process {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.bed.immortal()
	p.skew.Store(int64(skews[(h.seed+uint64(5*h.clocks))%uint64(len(skews))]))
	h.clocks++
	return p
}

// play plays the history and answers with its account.
func (h *runHistory) play() string {
	for range h.rng.IntN(4) {
		h.plan = append(h.plan, h.meddling())
	}
	p := h.immortal()
	if h.rng.IntN(2) == 0 {
		p.at, p.death = int64(h.rng.IntN(60)), deaths[h.rng.IntN(len(deaths))]
	}
	prepare := toB
	if h.over {
		prepare = overToB
		switch h.rng.IntN(3) {
		case 0:
			h.world.Vanish("a")
		case 1:
			h.world.Freeze("a")
		}
	} else if h.rng.IntN(2) == 0 {
		h.ink.write() // not replayed yet
	}
	h.notef("%s, failover %v, dies at %d (%s), %+v", h.shape.name, h.over, p.at, p.death, h.plan)
	h.watch = h.bed.watch(h.refs...)
	h.inHand = p
	p.between = func(n int64, _ simCall) { h.meddle(n) }
	prepared, r, err := p.start(h.t.Context(), prepare, orchestrator.RunOptions{Parallel: h.rng.IntN(3)})
	h.prep = prepared
	h.ended("started", p, r, err)
	if h.rng.IntN(3) == 0 {
		h.tooEarly()
	}
	h.heal()
	when := int64(h.rng.IntN(40))
	next := h.immortal()
	next.between = func(n int64, _ simCall) {
		if n == when {
			p.deliver()
		}
	}
	h.resume(next)
	p.deliver()
	time.Sleep(2 * time.Minute)
	h.check()
	if h.over && h.shape.twoWay && len(h.touched) == 0 && h.ending == string(orchestrator.RunDone) && h.rng.IntN(3) == 0 {
		h.goBack()
	}
	if !h.over && len(h.shape.sites) == 2 && len(h.touched) == 0 && h.ending == string(orchestrator.RunDone) && h.rng.IntN(3) == 0 {
		h.splitAndResync()
	}
	return h.account.String()
}

// tooEarly has somebody resume the run while what was wrong still is, and the
// process that had it in hand can perhaps not be shut out.
func (h *runHistory) tooEarly() {
	time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
	m := h.meddling()
	m.what = []string{"no caps", "fence hangs"}[h.rng.IntN(2)]
	was := h.ending
	h.notef("too early: %s at %s: %v", m.what, m.site, h.does(m))
	p := h.immortal()
	r, err := p.resume(h.t.Context(), orchestrator.RunOptions{})
	h.ended("too early", p, r, err)
	if r == nil {
		h.ending = was
	}
}

// goBack plays a failback, which may be killed, after a failover.
func (h *runHistory) goBack() {
	h.ink.write() // where both sites are primary, the old one's write is given up
	time.Sleep(time.Minute)
	p := h.immortal()
	p.at, p.death = int64(h.rng.IntN(120)), deaths[h.rng.IntN(len(deaths))]
	_, r, err := p.start(h.t.Context(), goingBack, orchestrator.RunOptions{})
	h.notef("the failback dies at %d (%s)", p.at, p.death)
	h.ended("failback", p, r, err)
	h.heal()
	next := h.immortal()
	h.resume(next)
	p.deliver()
	time.Sleep(2 * time.Minute)
	story := h.runs()
	back := story[len(story)-1].Run.Runbook == orchestrator.Failback && story[len(story)-1].Outcome() == orchestrator.RunDone
	for _, ref := range h.refs {
		at := h.world.Primaries(ref)
		switch {
		case len(at) == 0:
			h.t.Errorf("after the failback %s has no primary", ref)
		case back && fmt.Sprint(at) != "[a]":
			h.t.Errorf("after the failback %s is primary at %v", ref, at)
		case back:
			if got, want := strings.TrimSpace(h.content("a", ref)), h.ink.last[ref]; got != want {
				h.t.Errorf("after the failback %s holds %q, acknowledged was %q", ref, got, want)
			}
		}
	}
	h.ending += ", failback " + h.ending
}

// splitAndResync has somebody force a second primary of some images, both sides
// written to, and plays the resync that keeps one of them, which may be killed
// and meet with faults.
func (h *runHistory) splitAndResync() {
	keep, loser := "a", "b"
	if h.shape.twoWay && h.rng.IntN(2) == 0 {
		keep, loser = loser, keep
	}
	wrote := map[replay.ImageRef]map[string]string{}
	var names []string
	for _, ref := range h.refs {
		if len(wrote) > 0 && h.rng.IntN(2) == 0 {
			continue
		}
		wrote[ref] = map[string]string{}
		for _, site := range h.shape.sites {
			if h.role(site, ref) != replay.RolePrimary {
				h.must(h.world.Site(site).Promote(h.t.Context(), ref, true))
			}
		}
		for _, site := range h.shape.sites {
			wrote[ref][site] = fmt.Sprintf("%s as %s has it", ref.Name, site)
			h.must(h.world.Write(site, ref, 4096, fmt.Appendf(nil, "%-63s", wrote[ref][site])))
		}
		names = append(names, ref.Name)
	}
	time.Sleep(time.Duration(h.rng.IntN(300)) * time.Second)
	p := h.immortal()
	p.at, p.death = int64(h.rng.IntN(80)), deaths[h.rng.IntN(len(deaths))]
	h.plan = nil
	for range h.rng.IntN(3) {
		m := h.meddling()
		if m.what = splitMeddles[h.rng.IntN(len(splitMeddles))]; m.what != "" {
			h.plan = append(h.plan, m)
		}
	}
	h.inHand = p
	p.between = func(n int64, _ simCall) { h.meddle(n) }
	h.notef("%s are primary twice, %s stays; the resync dies at %d (%s), %+v", names, keep, p.at, p.death, h.plan)
	prepare := func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites) (*orchestrator.Prepared, error) {
		return orchestrator.PrepareResync(ctx, plan, sites, orchestrator.ResyncOptions{
			Keep: keep, Loser: loser, Scope: orchestrator.Scope{Images: names}, Reason: keep + " serves",
		})
	}
	_, r, err := p.start(h.t.Context(), prepare, orchestrator.RunOptions{})
	h.ended("resync", p, r, err)
	h.heal()
	h.resume(h.immortal())
	p.deliver()
	time.Sleep(2 * time.Minute)
	story := h.runs()
	last := story[len(story)-1]
	done := last.Run.Runbook == orchestrator.Resync && last.Outcome() == orchestrator.RunDone
	for ref, text := range wrote {
		at := h.world.Primaries(ref)
		switch {
		case !slices.Contains(at, keep):
			h.t.Errorf("%s, to be kept at %s, is primary at %v", ref, keep, at)
		case done && len(at) > 1:
			h.t.Errorf("after the resync %s is primary at %v", ref, at)
		}
		h.holds(keep, ref, text[keep])
		if done {
			h.holds(loser, ref, text[keep])
		}
		if !h.keeps(loser, ref, text[loser]) {
			h.t.Errorf("%s: what was written at %s is neither there any more nor in a copy of it", ref, loser)
		}
	}
	for _, ref := range h.refs {
		if at := h.world.Primaries(ref); wrote[ref] == nil && len(at) != 1 {
			h.t.Errorf("%s, which the resync is not of, is primary at %v", ref, at)
		}
	}
	h.ending += ", resync " + h.ending
}

// splitMeddles is what may happen during a resync; "" is nothing.
var splitMeddles = []string{
	"", "vanish", "return", "freeze", "thaw", "sever", "mend", "kill daemon", "start daemon",
	"busy", "read-only", "lost answers", "hang", "take the lease", "no caps", "fence hangs", "clock jumps",
}

func (h *runHistory) holds(site string, ref replay.ImageRef, want string) {
	if got := strings.TrimSpace(h.content(site, ref)); got != want {
		h.t.Errorf("%s at %s holds %q, not %q", ref, site, got, want)
	}
}

// keeps reports whether a site has what was written in an image, there or in a
// kept copy.
func (h *runHistory) keeps(site string, ref replay.ImageRef, text string) bool {
	if strings.TrimSpace(h.content(site, ref)) == text {
		return true
	}
	for _, name := range h.preserved(site) {
		if strings.HasPrefix(name, ref.Name+".") && strings.TrimSpace(h.content(site, ref.Image(name))) == text {
			return true
		}
	}
	return false
}

// ended wants an attempt to have ended with a word.
func (h *runHistory) ended(what string, p *process, r *orchestrator.RunReport, err error) {
	h.notef("%s: %v\n%s", what, err, story(r))
	switch {
	case r == nil && err == nil:
		h.t.Errorf("%s: neither a report nor an error", what)
	case r == nil || p.dead.Load():
	case r.Outcome == "":
		h.t.Errorf("%s: no outcome", what)
	case r.Outcome != orchestrator.RunDone && err == nil:
		h.t.Errorf("%s: %s without an error", what, r.Outcome)
	default:
		for _, u := range r.Units {
			if u.Why == "" && (u.Outcome == orchestrator.UnitStuck || u.Outcome == orchestrator.UnitReturned || u.Outcome == orchestrator.UnitUntouched) {
				h.t.Errorf("%s: %s is %s without a word", what, u.Unit.Name, u.Outcome)
			}
		}
	}
	h.ending = "not begun"
	if r != nil {
		h.ending = string(r.Outcome)
	}
}

// heal ends all faults, and waits until the sites are well and leases have
// ended.
func (h *runHistory) heal() {
	for _, remove := range h.removes {
		remove()
	}
	for _, site := range h.world.Sites() {
		h.world.Return(site)
		h.world.Thaw(site)
		for _, other := range h.world.Sites() {
			h.world.Mend(site, other)
		}
		if h.shape.receives(site) {
			h.world.StartDaemon(site)
		}
	}
	time.Sleep(2 * orchestrator.LeaseTTL)
}

// resume does what a person does: clear halts, resume what is not over, and give
// the word again when it has grown old.
func (h *runHistory) resume(p *process) {
	sites := p.sites(h.t.Context())
	defer h.close(sites)
	var options orchestrator.RunOptions
	for range 5 {
		book, err := orchestrator.ReadBook(h.t.Context(), h.bed.plan, sites)
		h.must(err)
		for _, halt := range book.Halts() {
			h.must(book.ClearHalt(h.t.Context(), halt.ID, "it was nothing"))
		}
		runs := orchestrator.Runs(book)
		h.must(book.Close(h.t.Context()))
		if !slices.ContainsFunc(runs, func(s orchestrator.RunStory) bool { return s.End == nil }) {
			return
		}
		r, err := orchestrator.Resume(h.t.Context(), h.bed.plan, sites, "", options)
		h.ended("resumed", p, r, err)
		options.Word = errors.Is(err, orchestrator.ErrStale)
		if err != nil {
			time.Sleep(time.Minute)
		}
	}
	if len(h.touched) == 0 {
		h.t.Error("the run does not come to its end")
	}
	h.ending += ", to be ended by hand"
}

// check checks what has to hold in the end.
func (h *runHistory) check() {
	h.watch.mu.Lock()
	defer h.watch.mu.Unlock()
	for _, ref := range h.refs {
		at := h.world.Primaries(ref)
		if h.touched[ref] {
			continue // its roles are somebody's own doing
		}
		forced := h.over && slices.Contains(at, "b")
		switch {
		case h.watch.twice[ref] != "" && !h.over:
			h.t.Error(h.watch.twice[ref])
		case len(at) == 0 && !h.owned(ref):
			h.t.Errorf("%s has no primary", ref)
		case len(at) == 0:
		case len(at) > 1 && !forced:
			h.t.Errorf("%s is primary at %v", ref, at)
		case forced && h.loses(ref):
		default:
			serves := at[len(at)-1]
			if got, want := strings.TrimSpace(h.content(serves, ref)), h.ink.last[ref]; got != want {
				h.t.Errorf("%s at %v holds %q, acknowledged was %q", ref, at, got, want)
			}
			if err := h.world.Write(serves, ref, 0, []byte("end")); errors.Is(err, replay.ErrReadOnly) {
				h.t.Errorf("nobody can write to %s at %s: %v", ref, serves, err)
			}
		}
	}
}

// owned reports whether an unfinished run has the image in hand, and has to wait
// because somebody changed the role of another of its unit.
func (h *runHistory) owned(ref replay.ImageRef) bool {
	for _, story := range h.runs() {
		if story.End != nil {
			continue
		}
		for _, u := range story.Run.Units {
			mine := slices.ContainsFunc(u.Images, func(i orchestrator.RunImage) bool { return i.Ref == ref })
			if mine && slices.ContainsFunc(u.Images, func(i orchestrator.RunImage) bool { return h.touched[i.Ref] }) {
				return true
			}
		}
	}
	return false
}

// loses reports whether the failover had listed a loss of the image, or said
// that it is not known.
func (h *runHistory) loses(ref replay.ImageRef) bool {
	if h.prep == nil {
		return false
	}
	for _, u := range h.prep.Run.Units {
		for _, i := range u.Images {
			if i.Ref == ref {
				return i.Loss == nil || i.Loss.Bytes == nil || *i.Loss.Bytes > 0 || i.Loss.Entries == nil || *i.Loss.Entries > 0
			}
		}
	}
	return false
}
