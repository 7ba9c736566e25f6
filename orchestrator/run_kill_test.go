package orchestrator_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// runScene is a runbook to be killed at each of its changes.
type runScene struct {
	name    string
	plan    string
	images  []string // beside the plan's own
	setUp   func(st *staged)
	prepare preparer
	to      string   // where the images are primary in the end
	lost    string   // site that is gone
	hooks   []string // that are to have run once each
	split   bool     // it begins with two primaries
	// schedules are those of each site once the halt is cleared with which it
	// begins.
	schedules string
}

const groupedInWaves = `
groups:
  - name: db
    wave: first
    images:
      - {pool: rbd, name: volume-0}
      - {pool: rbd, name: volume-1}
waves:
  - {name: first, priority: 1}
  - {name: second, priority: 2, images: [{pool: rbd, name: volume-2}]}
`

// hooked is hooks that leave a line each in the file HOOKS.
const hooked = `
hooks:
  - {name: first, when: before-run, command: [/bin/sh, -c, "echo first >> HOOKS"]}
  - {name: dns, when: after-group, of: db, command: [/bin/sh, -c, "echo dns >> HOOKS"]}
  - {name: wave, when: before-wave, of: second, command: [/bin/sh, -c, "echo wave >> HOOKS"]}
  - {name: last, when: after-run, command: [/bin/sh, -c, "echo last >> HOOKS"]}
`

const fencedTwoWay = `
version: 1
name: shop
direction: two-way
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf, daemon: {run: process}, fence: {method: blocklist}}
  - {name: b, conf: /etc/ceph/b.conf, daemon: {run: process}}
pools:
  - name: rbd
    images:
      - {name: vm-1, create: {size: 8MiB}}
      - glob: volume-*
`

const reversible = oneWayReverse + `
runbooks: {reverse: allow}
`

const oneWayReverse = `
version: 1
name: shop
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf, daemon: {run: process}}
  - {name: b, conf: /etc/ceph/b.conf, daemon: {run: process}}
pools:
  - name: rbd
    images:
      - {name: vm-1, create: {size: 8MiB}}
`

func client(n int) replay.ImageUser {
	return replay.ImageUser{Client: fmt.Sprintf("client.%d", n), Address: fmt.Sprintf("127.0.0.7:0/%d", n), Locks: true}
}

var (
	toB = switchingOver(orchestrator.SwitchoverOptions{To: "b", From: "a", NoWayBack: true})
	// overToB gives a up.
	overToB = failingOver(orchestrator.FailoverOptions{To: "b", From: "a", Reason: "a is lost", Unfenced: true})
)

// runScenes are all runbooks, in all that changes what calls they make.
var runScenes = []runScene{
	{name: "switchover, journal", plan: twoWay, images: []string{"volume-0"}, prepare: toB, to: "b"},
	{name: "switchover, snapshots", plan: snapshotsTwoWay, images: []string{"volume-0"}, prepare: toB, to: "b"},
	{name: "switchover, one-way snapshots with schedules", plan: snapshots, prepare: toB, to: "b"},
	{name: "switchover, fan-out", plan: fanOut, prepare: toB, to: "b"},
	{name: "switchover, reverse direction", plan: reversible, prepare: switchingOver(orchestrator.SwitchoverOptions{To: "b"}), to: "b"},
	{
		name: "switchover, groups, waves and hooks", plan: twoWay + groupedInWaves + hooked,
		images: []string{"volume-0", "volume-1", "volume-2"}, prepare: toB, to: "b", hooks: []string{"first", "dns", "wave", "last"},
	},
	{
		name: "switchover, fence", plan: twoWay, images: []string{"volume-0"}, to: "b",
		setUp:   func(b *staged) { b.must(b.world.Attach("a", ref("volume-0"), client(1), true)) },
		prepare: switchingOver(orchestrator.SwitchoverOptions{To: "b", Fence: true}),
	},
	{name: "failover, site gone", plan: twoWay, images: []string{"volume-0"}, setUp: func(b *staged) { b.world.Vanish("a") }, prepare: overToB, to: "b", lost: "a"},
	{name: "failover, site frozen, snapshots", plan: snapshotsTwoWay, setUp: func(b *staged) { b.world.Freeze("a") }, prepare: overToB, to: "b", lost: "a"},
	{
		name: "failover, groups, waves and hooks", plan: twoWay + groupedInWaves + hooked, images: []string{"volume-0", "volume-1", "volume-2"},
		setUp: func(b *staged) { b.world.Vanish("a") }, prepare: overToB, to: "b", lost: "a", hooks: []string{"first", "dns", "wave", "last"},
	},
	{
		name: "failover, fence of a site that answers", plan: fencedTwoWay, to: "b", lost: "a",
		setUp:   func(b *staged) { b.must(b.world.Attach("a", ref("vm-1"), client(1), true)) },
		prepare: failingOver(orchestrator.FailoverOptions{To: "b", From: "a", Reason: "a is unfit"}),
	},
	{name: "failback, journal", plan: twoWay, images: []string{"volume-0"}, setUp: failedOver, prepare: goingBack, to: "a", split: true},
	{name: "failback, snapshots", plan: snapshotsTwoWay, setUp: failedOver, prepare: goingBack, to: "a", split: true},
	{
		name: "failback, contents compared", plan: twoWay, setUp: failedOver, to: "a", split: true,
		prepare: func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites) (*orchestrator.Prepared, error) {
			return orchestrator.PrepareFailback(ctx, plan, sites, orchestrator.FailbackOptions{To: "a", Reason: "a is back", Verify: true})
		},
	},
	{
		name: "failback, fence of what has returned", plan: fencedTwoWay, to: "a", split: true, prepare: goingBack,
		setUp: func(b *staged) {
			failedOver(b)
			b.must(b.world.Attach("a", ref("vm-1"), client(1), false))
		},
	},
	{name: "resync, journal", plan: twoWay, setUp: splitUp, prepare: recopying("b", "vm-1"), to: "b", split: true},
	{
		name: "resync, halted with schedules of its own", plan: snapshotsTwoWay, prepare: recopying("b", "vm-1"), to: "b", split: true,
		setUp: haltedUp, schedules: "rbd/vm-1 5m",
	},
	{name: "resync, snapshots", plan: snapshotsTwoWay, setUp: splitUp, prepare: recopying("b", "vm-1"), to: "b", split: true},
}

// failedOver is a runbook's beginning after a failover from a, which is back
// with writes that nobody else ever had.
func failedOver(b *staged) {
	b.world.Sever("b", "a")
	b.ink.write()
	b.world.Vanish("a")
	if _, r, err := b.immortal().start(b.t.Context(), overToB, orchestrator.RunOptions{}); err != nil {
		b.t.Fatalf("%v\n%s", err, story(r))
	}
	b.world.Return("a")
	b.world.Mend("b", "a")
	b.ink.write()
	time.Sleep(5 * time.Minute)
}

// splitUp is a runbook's beginning with two primaries, both written to.
func splitUp(b *staged) {
	for _, ref := range b.refs {
		b.must(b.world.Site("b").Promote(b.t.Context(), ref, true))
	}
	b.ink.write()
	time.Sleep(5 * time.Minute)
}

// haltedUp is splitUp, and what was found halted.
func haltedUp(b *staged) {
	splitUp(b)
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	halts, err := orchestrator.HaltSplit(b.t.Context(), b.plan, sites)
	if b.must(err); len(halts) != 1 || len(halts[0].Paused) != 2 {
		b.t.Fatalf("halts: %+v", halts)
	}
}

// recopying is a resync of images over what a site holds.
func recopying(keep string, images ...string) preparer {
	return func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites) (*orchestrator.Prepared, error) {
		return orchestrator.PrepareResync(ctx, plan, sites, orchestrator.ResyncOptions{Keep: keep, Scope: orchestrator.Scope{Images: images}, Reason: "seen"})
	}
}

func goingBack(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites) (*orchestrator.Prepared, error) {
	return orchestrator.PrepareFailback(ctx, plan, sites, orchestrator.FailbackOptions{To: "a", Reason: "a is back"})
}

// staged is a scene, ready to begin.
type staged struct {
	*bed
	scene *runScene
	refs  []replay.ImageRef
	ink   *ink
	watch *watch
	lines string // file of the hooks
	// before are the runs that its beginning took.
	before int
	// ordered: one run did it all, wave by wave.
	ordered bool
}

// stage makes the world of a scene, everything replaying.
func (s *runScene) stage(t *testing.T) *staged {
	t.Helper()
	st := &staged{scene: s, lines: filepath.Join(t.TempDir(), "hooks")}
	st.bed = newBed(t, strings.ReplaceAll(s.plan, "HOOKS", st.lines))
	for _, name := range s.images {
		st.image("a", ref(name), plain)
	}
	st.applied()
	time.Sleep(10 * time.Minute)
	images, err := st.world.Site("a").Images(t.Context(), ref("").Pool, 0)
	st.must(err)
	for i := range images {
		st.refs = append(st.refs, images[i].Ref)
	}
	st.ink = st.bed.ink(st.refs...)
	st.ink.write()
	for i := range images {
		if images[i].Mode == replay.ModeSnapshot {
			_, err := st.world.Site("a").CreateMirrorSnapshot(t.Context(), images[i].Ref)
			st.must(err)
		}
	}
	time.Sleep(time.Minute)
	if s.setUp != nil {
		s.setUp(st)
		st.before = len(st.runs())
	}
	st.watch = st.bed.watch(st.refs...)
	return st
}

// ran are the hooks that ran, in order.
func (st *staged) ran() []string {
	text, err := os.ReadFile(st.lines)
	if err != nil && !os.IsNotExist(err) {
		st.t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// ask answers for a hook of which nobody knows how it ended: by its line.
func (st *staged) ask(why string) orchestrator.UnfinishedHooks {
	for _, name := range st.ran() {
		if strings.Contains(why, "hook "+name+" ") {
			return orchestrator.HooksDone
		}
	}
	return orchestrator.HooksAgain
}

// ends wants what every scene shall come to.
func (st *staged) ends(account []string) {
	t := st.t
	t.Helper()
	s := st.scene
	for _, ref := range st.refs {
		want := []string{s.to}
		if s.lost != "" {
			want = []string{s.lost, s.to} // the lost site's is given up, and quarantined
		}
		if at := st.world.Primaries(ref); fmt.Sprint(at) != fmt.Sprint(want) {
			t.Errorf("%s is primary at %v, want %v", ref, at, want)
			continue
		}
		if got, want := strings.TrimSpace(st.content(s.to, ref)), st.ink.last[ref]; got != want {
			t.Errorf("%s at %s holds %q, acknowledged was %q", ref, s.to, got, want)
		}
		if err := st.world.Write(s.to, ref, 0, []byte("end")); err != nil {
			t.Errorf("nobody can write to %s at %s: %v", ref, s.to, err)
		}
	}
	if s.lost == "" && !s.split {
		st.watch.nowhereTwo(t)
	}
	if s.schedules != "" {
		if open := st.read().Halts(); len(open) > 0 {
			t.Errorf("still halted: %+v", open)
		}
		for _, site := range []string{"a", "b"} {
			if got := st.schedules(site); got != s.schedules {
				t.Errorf("schedules of %s: %q, want %q", site, got, s.schedules)
			}
		}
	}
	runs := st.runs()[st.before:]
	if n := len(runs); n == 0 || runs[n-1].Outcome() != orchestrator.RunDone {
		t.Errorf("the records do not say that it is done: %+v", runs)
	}
	for i := range runs {
		if runs[i].End == nil {
			t.Errorf("run %s is not over", runs[i].Run.ID)
		}
	}
	got := st.ran()
	if st.ordered && strings.Join(got, " ") != strings.Join(s.hooks, " ") {
		t.Errorf("hooks ran: %v, want %v", got, s.hooks)
	}
	for _, name := range s.hooks {
		// Once in each run at most, and in one of them.
		n := 0
		for _, ran := range got {
			if ran == name {
				n++
			}
		}
		if n == 0 || n > len(runs) {
			t.Errorf("hook %s ran %d times in %d runs: %v", name, n, len(runs), got)
		}
	}
	if t.Failed() {
		t.Logf("attempts:\n%s", strings.Join(account, "\n"))
	}
}

// sampled is which of all moments a test takes: each, or with -short, which is for
// the slow race detector, some that differ from case to case.
func sampled(n int) (first, stride int64) {
	const some = 11
	if testing.Short() {
		return int64(n % some), some
	}
	return 0, 1
}

// TestRunKilled kills each runbook at each of its changes, in each manner;
// another process takes it up.
func TestRunKilled(t *testing.T) {
	for i := range runScenes {
		scene := &runScenes[i]
		t.Run(scene.name, func(t *testing.T) {
			t.Parallel()
			for k, manner := range deaths {
				t.Run(string(manner), func(t *testing.T) {
					first, stride := sampled(i + k)
					for at := first; !t.Failed(); at += stride {
						over := false
						t.Run(fmt.Sprint("change ", at), func(t *testing.T) {
							bubble(t, func(t *testing.T) { over = scene.killed(t, manner, at) })
						})
						if over {
							if at < 10 {
								t.Errorf("only %d changes", at)
							}
							return
						}
					}
				})
			}
		})
	}
}

// killed runs a scene with one kill. over is true when the run made fewer
// changes.
func (s *runScene) killed(t *testing.T, manner death, at int64) (over bool) {
	st := s.stage(t)
	p := &process{b: st.bed, at: at, death: manner}
	_, r, err := p.start(t.Context(), s.prepare, orchestrator.RunOptions{})
	over = !p.dead.Load()
	if !over && !mayFail(err) || over && err != nil {
		t.Errorf("the first process: %v\n%s", err, story(r))
	}
	// What still hangs takes effect before another process begins, in the middle
	// of its work, or when that is done.
	next := st.immortal()
	next.before = st.before
	when := (at % 7) * 4
	next.between = func(n int64, _ sim.Call) {
		if n == when {
			p.deliver()
		}
	}
	account := st.finish(next, s.prepare, st.ask)
	p.deliver()
	st.ordered = true
	st.ends(account)
	return over
}
