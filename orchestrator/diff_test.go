package orchestrator_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

var update = flag.Bool("update", false, "write the golden files")

// withImages is the one-way plan with other images.
func withImages(images string) string {
	return strings.Replace(oneWay, `      - {name: vm-1, create: {size: 8MiB}}
      - glob: volume-*
`, images, 1)
}

// diffCases has one case for each way in which sites can differ from a plan.
// Each is compared with testdata/diff/NAME.txt.
var diffCases = []struct {
	name    string
	plan    string
	prune   bool
	destroy bool
	delete  bool
	// bare: begin with nothing set up, in place of the plan applied.
	bare   bool
	change func(b *bed)
}{
	{name: "nothing-to-do", plan: oneWay, change: func(*bed) {}},
	{name: "from-nothing", plan: oneWay, bare: true, change: func(b *bed) { b.image("a", ref("volume-7"), plain) }},
	{name: "from-nothing-two-way", plan: twoWay, bare: true, change: func(*bed) {}},
	{name: "from-nothing-fan-out", plan: fanOut, bare: true, change: func(*bed) {}},
	{name: "from-nothing-snapshot", plan: snapshots, bare: true, change: func(*bed) {}},
	{name: "from-nothing-pool-mode", plan: poolMode, bare: true, change: func(b *bed) { b.image("a", ref("volume-7"), plain) }},
	{name: "from-nothing-conf", plan: byConf, bare: true, change: func(*bed) {}},
	{name: "namespace-missing", plan: namespaces, bare: true, change: func(*bed) {}},
	{name: "from-nothing-namespace", plan: namespaceOnly, bare: true, change: func(*bed) {}},
	{name: "pool-missing", plan: oneWay + "  - {name: backups, images: [{glob: \"*\"}]}\n", bare: true, change: func(b *bed) {
		world := sim.Pair(sim.Options{Seed: 7, Clock: time.Now, Pace: sim.Instant}, "a", "b", "rbd")
		world.AddPool("a", "backups")
		b.world = world
	}},
	{name: "primary-refuses-writes", plan: snapshots, change: func(b *bed) {
		b.must(b.world.CutShort("a", ref("vm-1"), sim.CutMarked))
	}},
	{name: "primary-refuses-writes-site-silent", plan: snapshots, change: func(b *bed) {
		b.must(b.world.CutShort("a", ref("vm-1"), sim.CutMarked))
		b.world.Vanish("b")
	}},
	{name: "pool-mode-changed", plan: oneWay, change: func(b *bed) {
		b.must(b.world.Site("b").SetPoolMode(b.t.Context(), rbd, replay.PoolPool))
	}},
	{name: "site-name-changed", plan: oneWay, change: func(b *bed) {
		b.must(b.world.Site("b").SetSiteName(b.t.Context(), "berlin"))
	}},
	{name: "site-silent", plan: oneWay, change: func(b *bed) {
		b.image("a", ref("volume-8"), plain)
		b.world.Vanish("b")
	}},
	{name: "same-cluster", plan: oneWay, change: func(b *bed) {
		identity, err := b.world.Site("a").Identity(b.t.Context())
		b.must(err)
		b.world.SetFSID("b", identity.FSID)
	}},
	{name: "peer-missing", plan: oneWay, change: func(b *bed) {
		b.must(b.world.Site("b").RemovePeer(b.t.Context(), rbd, b.peer("b").UUID))
	}},
	{name: "peer-direction", plan: oneWay, change: func(b *bed) {
		peer := b.peer("b")
		peer.Direction = replay.RxTx
		b.must(b.world.Site("b").UpdatePeer(b.t.Context(), rbd, peer))
	}},
	{name: "peer-primary-receives", plan: oneWay, change: func(b *bed) {
		peer := b.peer("a")
		peer.Direction, peer.Client = replay.RxTx, "client.rbd-mirror-peer"
		b.must(b.world.Site("a").UpdatePeer(b.t.Context(), rbd, peer))
	}},
	{name: "peer-client", plan: byConf, change: func(b *bed) {
		peer := b.peer("lab8107")
		peer.Client = "client.someone"
		b.must(b.world.Site("lab8107").UpdatePeer(b.t.Context(), rbd, peer))
	}},
	{name: "peer-unknown", plan: oneWay, change: foreignPeer},
	{name: "peer-unknown-prune", plan: oneWay, prune: true, change: foreignPeer},
	{name: "peer-unreachable", plan: oneWay, change: func(b *bed) {
		b.world.Sever("b", "a")
		b.world.StopDaemon("b")
		b.world.StartDaemon("b")
		time.Sleep(time.Minute)
	}},
	{name: "daemon-stopped", plan: oneWay, change: func(b *bed) {
		b.world.StopDaemon("b")
		time.Sleep(time.Minute)
	}},
	{name: "daemon-outdated", plan: oneWay, change: func(b *bed) { b.outdated["b"] = true }},
	{name: "daemon-by-nobody", plan: strings.Replace(oneWay, ", daemon: {run: process}", "", 1), bare: true, change: func(*bed) {}},
	{name: "image-missing", plan: withImages("      - {name: vm-9}\n"), change: func(*bed) {}, bare: true},
	{name: "image-features", plan: withImages("      - {name: vm-1, features: [exclusive-lock, object-map, fast-diff]}\n"), bare: true, change: func(b *bed) {
		b.image("a", ref("vm-1"), replay.FeatureLayering)
	}},
	{name: "image-features-lost", plan: withImages("      - {name: vm-1, features: [exclusive-lock, object-map, fast-diff], create: {size: 8MiB}}\n"), change: func(b *bed) {
		b.must(b.world.Site("a").DisableFeatures(b.t.Context(), ref("vm-1"), replay.FeatureObjectMap|replay.FeatureFastDiff))
	}},
	{name: "image-not-mirrored", plan: oneWay, change: func(b *bed) { b.image("a", ref("volume-7"), plain) }},
	{name: "image-wrong-mode", plan: withImages("      - {name: vm-1, mode: snapshot}\n"), bare: true, change: func(b *bed) {
		b.image("a", ref("vm-1"), plain)
		b.must(b.world.Site("a").SetPoolMode(b.t.Context(), rbd, replay.PoolImage))
		b.must(b.world.Site("a").EnableMirroring(b.t.Context(), ref("vm-1"), replay.ModeJournal))
	}},
	{name: "image-dropped", plan: oneWay, change: droppedImage},
	{name: "image-dropped-prune", plan: oneWay, prune: true, change: droppedImage},
	{name: "image-unprotected", plan: oneWay, change: func(b *bed) { b.image("a", ref("scratch"), plain) }},
	{name: "image-name-taken", plan: oneWay, change: func(b *bed) {
		b.image("a", ref("volume-7"), plain)
		b.image("b", ref("volume-7"), plain)
	}},
	{name: "image-elsewhere", plan: oneWay, change: func(b *bed) { b.image("b", ref("volume-7"), plain) }},
	{name: "image-excluded", plan: poolMode + "    exclude: [scratch]\n", change: func(b *bed) {
		b.image("a", ref("scratch"), plain|replay.FeatureJournaling)
	}},
	{name: "image-excluded-image-mode", plan: oneWay + "    exclude: [old]\n", change: droppedImage},
	{name: "image-dropped-stranded", plan: oneWay, change: strandedOld},
	{name: "image-dropped-stranded-prune", plan: oneWay, prune: true, change: strandedOld},
	{name: "image-dropped-orphaned-prune", plan: oneWay, prune: true, change: func(b *bed) {
		droppedImage(b)
		b.world.StopDaemon("b")
		b.must(b.world.Site("a").DisableMirroring(b.t.Context(), ref("old"), false))
	}},
	{name: "pool-mode-catches", plan: poolMode + "    exclude: [scratch]\n", bare: true, change: func(b *bed) {
		journaled := plain | replay.FeatureJournaling
		b.image("a", ref("private"), journaled)
		b.image("b", ref("private"), journaled)
		b.image("a", ref("scratch"), journaled)
		b.image("b", ref("elsewhere"), journaled)
		b.image("a", ref("volume-7"), journaled)
	}},
	{name: "pool-mode-silent", plan: poolMode, bare: true, change: func(b *bed) {
		b.image("a", ref("volume-7"), plain|replay.FeatureJournaling)
		b.world.Vanish("b")
	}},
	{name: "pool-mode-enables", plan: poolMode, bare: true, change: func(b *bed) {
		b.image("a", ref("volume-7"), plain|replay.FeatureJournaling)
	}},
	{name: "wrong-primary-one-way", plan: oneWay, change: wrongPrimary},
	{name: "clone-parent", plan: withImages("      - {name: child}\n"), change: clone, bare: true},
	{name: "clone-order", plan: withImages("      - {name: child}\n      - {name: parent}\n"), change: clone, bare: true},
	{name: "split-brain", plan: twoWay, change: func(b *bed) {
		b.must(b.world.Site("b").Promote(b.t.Context(), ref("vm-1"), true))
	}},
	{name: "stranded", plan: oneWay, change: func(b *bed) {
		b.must(b.world.Site("a").Demote(b.t.Context(), ref("vm-1")))
	}},
	{name: "copy-orphaned", plan: oneWay, change: func(b *bed) {
		b.world.StopDaemon("b")
		b.must(b.world.Site("a").DisableMirroring(b.t.Context(), ref("vm-1"), false))
	}},
	{name: "wrong-primary", plan: twoWay, change: func(b *bed) {
		b.must(b.world.Site("a").Demote(b.t.Context(), ref("vm-1")))
		time.Sleep(time.Minute)
		b.must(b.world.Site("b").Promote(b.t.Context(), ref("vm-1"), false))
		time.Sleep(time.Minute)
	}},
	{name: "schedule-missing", plan: snapshots, change: func(b *bed) {
		b.must(b.world.Site("a").RemoveMirrorSchedule(b.t.Context(), replay.MirrorSchedule{ImageRef: ref("vm-1"), Every: "5m"}))
	}},
	{name: "schedule-unwanted", plan: snapshots, change: extraSchedule},
	{name: "schedule-unwanted-prune", plan: snapshots, prune: true, change: extraSchedule},
	{name: "schedules-unreadable", plan: snapshots, change: func(b *bed) { b.world.LoseModule("a", "rbd_support") }},
	{name: "destroy", plan: snapshotsTwoWay, destroy: true, change: func(*bed) {}},
	{name: "destroy-pool-mode", plan: poolMode, destroy: true, change: func(*bed) {}},
	{name: "destroy-delete", plan: oneWay, destroy: true, delete: true, change: func(*bed) {}},
	{name: "destroy-others-images", plan: oneWay, destroy: true, change: droppedImage},
	{name: "destroy-namespaces", plan: namespaces, destroy: true, change: func(*bed) {}},
	{name: "destroy-neighbours", plan: namespaceOnly, destroy: true, change: droppedImage},
	{name: "destroy-site-silent", plan: oneWay, destroy: true, change: func(b *bed) { b.world.Vanish("b") }},
}

var rbd = replay.Pool{Name: "rbd"}

// peer is the first peer of the pool at a site.
func (b *bed) peer(site string) replay.Peer {
	b.t.Helper()
	seen, err := b.world.Site(site).PoolMirroring(b.t.Context(), rbd)
	b.must(err)
	if len(seen.Peers) == 0 {
		b.t.Fatalf("no peer at %s", site)
	}
	return seen.Peers[0]
}

func foreignPeer(b *bed) {
	b.must(b.world.Site("b").RemovePeer(b.t.Context(), rbd, b.peer("b").UUID))
	b.world.AddUser("a", "client.x")
	_, err := b.world.Site("b").AddPeer(b.t.Context(), rbd, replay.Peer{SiteName: "elsewhere", Client: "client.x", Direction: replay.RxOnly})
	b.must(err)
}

func droppedImage(b *bed) {
	b.image("a", ref("old"), plain)
	b.must(b.world.Site("a").EnableMirroring(b.t.Context(), ref("old"), replay.ModeJournal))
	time.Sleep(time.Minute)
}

func strandedOld(b *bed) {
	droppedImage(b)
	b.must(b.world.Site("a").Demote(b.t.Context(), ref("old")))
}

// wrongPrimary hands vm-1 over to b.
func wrongPrimary(b *bed) {
	b.must(b.world.Site("a").Demote(b.t.Context(), ref("vm-1")))
	time.Sleep(time.Minute)
	b.must(b.world.Site("b").Promote(b.t.Context(), ref("vm-1"), false))
	time.Sleep(time.Minute)
}

func extraSchedule(b *bed) {
	b.must(b.world.Site("a").AddMirrorSchedule(b.t.Context(), replay.MirrorSchedule{ImageRef: ref("vm-1"), Every: "1h"}))
}

func clone(b *bed) {
	b.image("a", ref("parent"), plain)
	b.must(b.world.Site("a").CreateSnapshot(b.t.Context(), ref("parent"), "base"))
	b.must(b.world.Clone("a", ref("parent"), "base", ref("child")))
}

func TestDiff(t *testing.T) {
	names := map[string]bool{}
	for _, c := range diffCases {
		names[c.name+".txt"] = true
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, c.plan)
				if !c.bare {
					b.applied()
				}
				c.change(b)
				d := b.diff(orchestrator.DiffOptions{Prune: c.prune})
				if c.destroy {
					d = orchestrator.DestroyDiff(b.plan, b.observe(), c.delete)
				}
				golden(t, filepath.Join("testdata", "diff", c.name+".txt"), differenceText(d))
			})
		})
	}
	files, err := os.ReadDir(filepath.Join("testdata", "diff"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !names[file.Name()] {
			t.Errorf("testdata/diff/%s belongs to no case", file.Name())
		}
	}
}

// TestDiffCasesComplete wants each kind of change and each notice in a golden.
func TestDiffCasesComplete(t *testing.T) {
	var all strings.Builder
	for _, c := range diffCases {
		text, err := os.ReadFile(filepath.Join("testdata", "diff", c.name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for _, row := range orchestrator.Kinds {
		if !strings.Contains(all.String(), "["+string(row.Kind)+"]") {
			t.Errorf("no case has the change %s", row.Kind)
		}
	}
	// Those of faults that a golden would show with addresses and the like are
	// asked for where the faults are.
	elsewhere := []orchestrator.NoticeCode{
		orchestrator.NoticePoolFault, orchestrator.NoticeImageFault, orchestrator.NoticeDaemonFault, orchestrator.NoticeDaemonComplains,
		orchestrator.NoticeJournalPool, orchestrator.NoticeCopyNotFollower, orchestrator.NoticePeerUnknown,
		orchestrator.NoticeDaemonIdle, orchestrator.NoticeCopyPending,
		orchestrator.NoticeNoRecords, orchestrator.NoticeSomeRecords,
		orchestrator.NoticeHalted, orchestrator.NoticeInRun, orchestrator.NoticeQuarantined, orchestrator.NoticeShutOut,
		orchestrator.NoticeDaemonElsewhere,
	}
	for _, row := range orchestrator.NoticeCodes {
		if !slices.Contains(elsewhere, row.Code) && !strings.Contains(all.String(), "{"+string(row.Code)+"}") {
			t.Errorf("no case has the notice %s", row.Code)
		}
	}
}

// differenceText writes a difference for comparison.
func differenceText(d *orchestrator.Difference) string {
	var b strings.Builder
	for _, c := range d.Changes {
		marks := ""
		if c.Drift {
			marks += " drift"
		}
		if c.Destructive {
			marks += " destructive"
		}
		fmt.Fprintf(&b, "[%s]%s %s\n    $ %s\n", c.Kind, marks, c.Title(), c.Command)
		for _, need := range c.Needs {
			fmt.Fprintf(&b, "    after %s\n", need)
		}
	}
	for _, n := range d.Notices {
		fmt.Fprintf(&b, "{%s} %s: %s\n", n.Code, n.Severity, n.String())
	}
	if b.Len() == 0 {
		return "nothing to do\n"
	}
	// Which peer gets which id depends on what is done first.
	return uuids.ReplaceAllString(b.String(), "UUID")
}

var uuids = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestDiffIsData wants a difference to survive its JSON form, without secrets.
func TestDiffIsData(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.applied()
		peer := b.peer("b")
		key := string(peer.Key)
		if key == "" {
			t.Fatal("the peer has no key that could leak")
		}
		peer.Direction = replay.RxOnly
		b.must(b.world.Site("b").UpdatePeer(t.Context(), rbd, peer))
		d := b.diff(orchestrator.DiffOptions{})
		if d.Empty() {
			t.Fatal("no difference")
		}
		data, err := json.Marshal(d)
		b.must(err)
		if strings.Contains(string(data), key) || strings.Contains(fmt.Sprintf("%+v", d), key) {
			t.Error("the key shows")
		}
		var again orchestrator.Difference
		b.must(json.Unmarshal(data, &again))
		if got, want := differenceText(&again), differenceText(d); got != want {
			t.Errorf("after JSON:\n%s\nbefore:\n%s", got, want)
		}
	})
}
