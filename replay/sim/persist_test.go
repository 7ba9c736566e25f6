package sim_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// lived is a world with something of everything.
func lived(t *testing.T, seed uint64) *sim.World {
	t.Helper()
	w, a, b := pair(t, sim.Options{Seed: seed})
	w.Advance(time.Second)
	for _, mode := range []replay.MirrorMode{replay.ModeJournal, replay.ModeSnapshot} {
		ref := vm.Image(string(mode))
		protect(t, a, ref, mode)
		must(t, w.Write("a", ref, 5000, []byte("first")))
		must(t, a.CreateSnapshot(t.Context(), ref, "user"))
		w.Advance(5 * time.Second)
		must(t, w.Write("a", ref, 5000, []byte("then")))
	}
	must(t, a.AddMirrorSchedule(t.Context(), replay.MirrorSchedule{ImageRef: vm.Image("snapshot"), Every: "1h"}))
	must(t, b.CreateNamespace(t.Context(), replay.Pool{Name: "rbd", Namespace: "inner"}))
	w.Inject(sim.Fault{Site: "b", Op: "Promote", Errno: 5, Count: 1})
	return w
}

func saved(t *testing.T, w *sim.World) string {
	t.Helper()
	var b bytes.Buffer
	must(t, w.Save(&b))
	return b.String()
}

func TestEqualHistoriesMakeEqualWorlds(t *testing.T) {
	first := saved(t, lived(t, 7))
	if first != saved(t, lived(t, 7)) {
		t.Fatal("one seed, one history, two worlds")
	}
	if first == saved(t, lived(t, 8)) {
		t.Fatal("two seeds, one world")
	}
}

func TestSavedWorldGoesOnLikeTheOriginal(t *testing.T) {
	w := lived(t, 1)
	again, err := sim.Load(strings.NewReader(saved(t, w)), nil)
	must(t, err)
	for _, world := range []*sim.World{w, again} {
		world.Advance(2 * time.Hour)
		if err := world.Site("b").Promote(t.Context(), vm.Image("journal"), true); err == nil {
			t.Fatal("the fault was not kept")
		}
		must(t, world.Site("a").Demote(t.Context(), vm.Image("snapshot")))
		world.Advance(time.Minute)
	}
	if saved(t, w) != saved(t, again) {
		t.Fatal("a world that was saved and read again went another way")
	}
	r, err := again.Site("b").OpenSnapshot(t.Context(), vm.Image("journal"), "user")
	must(t, err)
	got := make([]byte, 5)
	_, err = r.ReadAt(t.Context(), got, 5000)
	must(t, err)
	if string(got) != "first" {
		t.Fatalf("the snapshot at the secondary holds %q", got)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":       "",
		"no JSON":       "sites:",
		"other version": `{"version":99,"world":{}}`,
		"no world":      `{"version":1,"world":null}`,
		"lost content":  `{"version":1,"world":{"sites":[{"pools":[{"name":"p","namespaces":[{"name":"","images":[{"name":"i","content":3}]}]}]}]}}`,
		"lost block":    `{"version":1,"world":{},"contents":[{"0":0}]}`,
		"null site":     `{"version":1,"world":{"sites":[null]}}`,
		"null image":    `{"version":1,"world":{"sites":[{"pools":[{"name":"p","namespaces":[{"name":"","images":[null]}]}]}]}}`,
		"empty journal": `{"version":1,"world":{"sites":[{"pools":[{"name":"p","namespaces":[{"name":"","images":[{"name":"i","journal":{"epochs":[]}}]}]}]}]}}`,
		"no namespace":  `{"version":1,"world":{"sites":[{"pools":[{"name":"p"}]}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := sim.Load(strings.NewReader(in), nil); err == nil {
				t.Fatal("it was read")
			}
		})
	}
}

func TestFileIsSharedByTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "world.json")
	f, err := sim.OpenFile(path)
	must(t, err)
	f.AddSite("a")
	f.AddPool("a", "rbd")
	must(t, f.Site("a").CreateImage(t.Context(), vm, replay.ImageSpec{Size: 1 << 20}))
	f.Advance(time.Hour)
	ahead := f.Now()

	opened := make(chan error)
	go func() {
		g, err := sim.OpenFile(path)
		if err != nil {
			opened <- err
			return
		}
		_, err = g.Site("a").Image(t.Context(), vm)
		if g.Now().Before(ahead) {
			err = errors.Join(err, errors.New("an hour was lost"))
		}
		opened <- errors.Join(err, g.Close())
	}()
	must(t, f.Close())
	must(t, <-opened)
}
