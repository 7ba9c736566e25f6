package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// death is how a process dies at a call that changes a site.
type death string

const (
	diesBefore death = "before the call takes effect"
	diesAfter  death = "when the call has taken effect, before it is over"
	diesLate   death = "the call takes effect later"
)

var deaths = []death{diesBefore, diesAfter, diesLate}

// process is a drover that can die. From then on no call of it reaches a site,
// and all that it still does, it does to nobody.
type process struct {
	b     *bed
	death death
	at    int64 // the number, from 0, of the change at which it dies; negative: never
	// between, if set, is called before each of its calls with how many there
	// were, while it lives.
	between func(n int64, c sim.Call)
	// op, if set, is the call of which it dies, the first of them, instead.
	op string
	// cut, if set, is what it leaves undone at that call.
	cut sim.Cut

	before int // runs that others had made

	word bool // who runs it gives their word again when it has grown old

	skew atomic.Int64 // by how much its clock is ahead, in nanoseconds

	calls, changes atomic.Int64
	starts         atomic.Int64 // of daemons
	dead           atomic.Bool

	mu   sync.Mutex
	late []func() // what takes effect later
}

// immortal is a process that does not die.
func (b *bed) immortal() *process { return &process{b: b, at: -1} }

// gate is what the process's calls go through.
func (p *process) gate(ctx context.Context, c sim.Call, do func(context.Context) error) error {
	if p.dead.Load() {
		return errKilled
	}
	p.mu.Lock()
	between := p.between
	p.mu.Unlock()
	if n := p.calls.Add(1) - 1; between != nil {
		between(n, c)
	}
	if !c.Write {
		return do(ctx)
	}
	id := p.imageID(c)
	begun := func() {
		if c.Op == "Demote" && (p.cut == sim.CutMarked || p.changes.Load()%2 == 0) {
			_ = p.cutShort(c, sim.CutMarked)
		}
	}
	return p.change(p.op != "" && c.Op == p.op && !p.dead.Load(), begun, func() error {
		err := do(ctx)
		if err == nil && p.dead.Load() {
			err = p.cutShort(c, p.cuts(c.Op))
		}
		return err
	}, func() {
		if c.Op == "OpenWriter" || p.imageID(c) != id {
			return // the OSDs drop what a dead process has opened; and what is late for one image hits no other
		}
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // the site may have gone silent
		defer cancel()
		_ = do(late)
	})
}

// cutsOf are the ways in which calls are left undone by who dies of them.
var cutsOf = map[string][]sim.Cut{
	"Demote":               {sim.CutUntold, sim.CutUnfinished},
	"CreateMirrorSnapshot": {sim.CutUntold, sim.CutUnfinished},
	"Promote":              {sim.CutMarked, sim.CutMarked | sim.CutUnfinished},
}

// cuts chooses what the process leaves undone at the call of which it dies.
func (p *process) cuts(op string) sim.Cut {
	ways := cutsOf[op]
	if p.cut != 0 || len(ways) == 0 {
		return p.cut
	}
	return ways[int(p.changes.Load())%len(ways)]
}

func (p *process) cutShort(c sim.Call, cut sim.Cut) error {
	pool, name, ok := strings.Cut(c.Object, "/")
	if !ok || cut == 0 {
		return nil
	}
	return p.b.world.CutShort(c.Site, replay.Pool{Name: pool}.Image(name), cut)
}

// imageID is the id of the image that a call is for; "" where there is none.
// Only a process that dies of the call has to know.
func (p *process) imageID(c sim.Call) string {
	pool, name, ok := strings.Cut(c.Object, "/")
	if !ok || p.death != diesLate || p.at < 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	image, err := p.b.world.Site(c.Site).Image(ctx, replay.Pool{Name: pool}.Image(name))
	if err != nil {
		return ""
	}
	return image.ID
}

// meanwhile sets what is called before each of its calls from now on.
func (p *process) meanwhile(f func(n int64, c sim.Call)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.between = f
}

// atFirst has f called before the first of its calls of a kind, whichever of those that
// it makes at once that is.
func (p *process) atFirst(op string, f func()) {
	var begun atomic.Bool
	p.meanwhile(func(_ int64, c sim.Call) {
		if c.Op == op && begun.CompareAndSwap(false, true) {
			f()
		}
	})
}

// change does what changes something, or dies of it: when it has only begun, when
// it has taken effect, or so that it takes effect later.
func (p *process) change(doomed bool, begun func(), now func() error, later func()) error {
	if p.changes.Add(1)-1 != p.at && !doomed {
		if p.dead.Load() {
			return errKilled
		}
		return now()
	}
	p.dead.Store(true)
	switch p.death {
	case diesAfter:
		_ = now()
	case diesLate:
		p.mu.Lock()
		p.late = append(p.late, later)
		p.mu.Unlock()
	case diesBefore:
		begun()
	}
	return errKilled
}

// deliver lets what hangs take effect.
func (p *process) deliver() {
	p.mu.Lock()
	late := p.late
	p.late = nil
	p.mu.Unlock()
	for _, f := range late {
		f()
	}
}

// processRunner runs the daemon of a site for a process.
type processRunner struct {
	simRunner
	p *process
}

func (r processRunner) State(ctx context.Context) (orchestrator.DaemonState, error) {
	if r.p.dead.Load() {
		return orchestrator.DaemonState{}, errKilled
	}
	return r.simRunner.State(ctx)
}

func (r processRunner) Start(ctx context.Context) error {
	r.p.starts.Add(1)
	start := func() error { return r.simRunner.Start(context.WithoutCancel(ctx)) }
	return r.p.change(false, func() {}, start, func() { _ = start() })
}

func (r processRunner) Stop(ctx context.Context) error {
	stop := func() error { return r.simRunner.Stop(context.WithoutCancel(ctx)) }
	return r.p.change(false, func() {}, stop, func() { _ = stop() })
}

// sites opens the plan's sites for the process.
func (p *process) sites(ctx context.Context) *orchestrator.Sites {
	open := func(_ context.Context, s plans.Site) (orchestrator.Site, error) {
		return p.b.world.Client(s.Name, p.gate), nil
	}
	hands := func(_ *plans.Plan, s plans.Site, _ orchestrator.Site) (orchestrator.Hands, error) {
		return p.b.handsOf(s, processRunner{simRunner{b: p.b, site: s.Name}, p}), nil
	}
	sites := orchestrator.OpenSites(ctx, p.b.plan, open, hands)
	sites.DateBy(func() time.Time { return time.Now().Add(time.Duration(p.skew.Load())) })
	return sites
}

// preparer is a runbook with what a person said to it.
type preparer func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites) (*orchestrator.Prepared, error)

func switchingOver(o orchestrator.SwitchoverOptions) preparer {
	return func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites) (*orchestrator.Prepared, error) {
		return orchestrator.PrepareSwitchover(ctx, plan, sites, o)
	}
}

func failingOver(o orchestrator.FailoverOptions) preparer {
	return func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites) (*orchestrator.Prepared, error) {
		return orchestrator.PrepareFailover(ctx, plan, sites, o)
	}
}

// start prepares and starts a run in the process.
func (p *process) start(ctx context.Context, prepare preparer, o orchestrator.RunOptions) (*orchestrator.Prepared, *orchestrator.RunReport, error) {
	sites := p.sites(ctx)
	defer p.b.close(sites)
	prepared, err := prepare(ctx, p.b.plan, sites)
	if err != nil {
		return nil, nil, err
	}
	r, err := orchestrator.Start(ctx, p.b.plan, sites, prepared, o)
	return prepared, r, err
}

// resume takes up the run that is not over.
func (p *process) resume(ctx context.Context, o orchestrator.RunOptions) (*orchestrator.RunReport, error) {
	sites := p.sites(ctx)
	defer p.b.close(sites)
	return orchestrator.Resume(ctx, p.b.plan, sites, "", o)
}

// runs are the runs that the sites know of.
func (b *bed) runs() []orchestrator.RunStory {
	b.t.Helper()
	sites := b.immortal().sites(b.t.Context())
	defer b.close(sites)
	book, err := orchestrator.ReadBook(b.t.Context(), b.plan, sites)
	b.must(err)
	return orchestrator.Runs(book)
}

// finish is what a person does until the images are where they shall be: wait
// for the lease, resume the run that is not over, find out how a hook ended that
// nobody knows of (ask), begin a run where none is. It answers with what the
// attempts came to.
func (b *bed) finish(p *process, prepare preparer, ask func(why string) orchestrator.UnfinishedHooks) (account []string) {
	b.t.Helper()
	const attempts = 8
	var o orchestrator.RunOptions
	for range attempts {
		runs := b.runs()[p.before:]
		var (
			r   *orchestrator.RunReport
			err error
		)
		switch {
		case slices.ContainsFunc(runs, func(s orchestrator.RunStory) bool { return s.End == nil }):
			r, err = p.resume(b.t.Context(), o)
		case len(runs) > 0 && runs[len(runs)-1].Outcome() == orchestrator.RunDone:
			return account
		default:
			_, r, err = p.start(b.t.Context(), prepare, o)
		}
		account = append(account, fmt.Sprintf("%v\n%s", err, story(r)))
		o.Hooks = orchestrator.HooksAsk
		switch {
		case err == nil:
		case p.word && errors.Is(err, orchestrator.ErrStale):
			o.Word = true
		case ask != nil && strings.Contains(err.Error(), "how it ended is not known"):
			o.Hooks = ask(err.Error())
			account = append(account, fmt.Sprint("answer: ", o.Hooks))
		default:
			time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
		}
	}
	b.t.Errorf("not finished after %d attempts:\n%s", attempts, strings.Join(account, "\n"))
	return account
}

// ink writes to images as the application does: wherever it is let to. What a
// site has acknowledged must not get lost.
type ink struct {
	b    *bed
	refs []replay.ImageRef

	mu    sync.Mutex
	count int
	last  map[replay.ImageRef]string // acknowledged
	at    map[replay.ImageRef]string // where
}

func (b *bed) ink(refs ...replay.ImageRef) *ink {
	return &ink{b: b, refs: refs, last: map[replay.ImageRef]string{}, at: map[replay.ImageRef]string{}}
}

// write writes to each image once, at each site that takes it.
func (k *ink) write() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, ref := range k.refs {
		for _, site := range k.b.world.Primaries(ref) {
			k.count++
			text := fmt.Sprintf("%s at %s, %d", ref.Name, site, k.count)
			if err := k.b.world.Write(site, ref, 4096, []byte(fmt.Sprintf("%-63s", text))); err == nil {
				k.last[ref], k.at[ref] = text, site
			}
		}
	}
}

// watch notes whenever an image is primary at more than one site.
type watch struct {
	mu    sync.Mutex
	twice map[replay.ImageRef]string
}

func (b *bed) watch(refs ...replay.ImageRef) *watch {
	w := &watch{twice: map[replay.ImageRef]string{}}
	b.world.Observe(func(c sim.Call) {
		if !c.Write {
			return
		}
		for _, ref := range refs {
			if at := b.world.Primaries(ref); len(at) > 1 {
				w.mu.Lock()
				if w.twice[ref] == "" {
					w.twice[ref] = fmt.Sprintf("%s is primary at %v after %s at %s", ref, at, c.Op, c.Site)
				}
				w.mu.Unlock()
			}
		}
	})
	return w
}

func (w *watch) nowhereTwo(t testing.TB) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, what := range w.twice {
		t.Error(what)
	}
}

// mayFail are errors that the end of a process or of a lease explains.
func mayFail(err error) bool {
	return err == nil || errors.Is(err, errKilled) || errors.Is(err, orchestrator.ErrLeased) ||
		errors.Is(err, orchestrator.ErrLeaseLost) || errors.Is(err, orchestrator.ErrIncomplete) || errors.Is(err, orchestrator.ErrInterrupted)
}
