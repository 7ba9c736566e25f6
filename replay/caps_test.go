package replay_test

import (
	"strings"
	"testing"

	"github.com/drover-io/drover/replay"
)

func TestCapsOfPools(t *testing.T) {
	for _, c := range []struct {
		pools []string
		want  string
	}{
		{nil, `profile rbd`},
		{[]string{"rbd"}, `profile rbd pool=rbd`},
		{[]string{"volumes", ".mgr"}, `profile rbd pool=volumes, profile rbd pool=.mgr`},
		{[]string{"two words"}, `profile rbd pool="two words"`},
		{[]string{`5" disks`}, `profile rbd pool='5" disks'`},
	} {
		if got := replay.MirrorCaps("here", c.pools...).OSD; got != c.want {
			t.Errorf("pools %q: %s, want %s", c.pools, got, c.want)
		}
		if got := replay.DroverCaps(c.pools...).Mgr; !strings.HasPrefix(got, c.want+", ") {
			t.Errorf("pools %q: mgr caps %s, want first %s", c.pools, got, c.want)
		}
	}
}

func TestCreateCommand(t *testing.T) {
	got := replay.CreateCommand(replay.MirrorCaps("here", `5" disks`))
	want := `ceph auth get-or-create client.rbd-mirror.here mon 'profile rbd-mirror' ` +
		`osd 'profile rbd pool='\''5" disks'\'''`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestOrchestratorCapsComeOnTop(t *testing.T) {
	plain, more := replay.DroverCaps("rbd"), replay.DroverCaps("rbd").WithOrchestrator()
	if !strings.HasPrefix(more.Mgr, plain.Mgr+", ") || strings.Contains(plain.Mgr, "orch") {
		t.Errorf("without: %s\nwith: %s", plain.Mgr, more.Mgr)
	}
	if more.Mon != plain.Mon || more.OSD != plain.OSD || more.Name != plain.Name {
		t.Errorf("more than the mgr's caps changed: %+v", more)
	}
}

// TestDrillCaps: the checks' user is kept to one namespace by each of its grants, the
// default one too, and shuts nobody out.
func TestDrillCaps(t *testing.T) {
	got := replay.DrillCaps("client.drill", []replay.Pool{{Name: "rbd", Namespace: "drover-drill"}}, []replay.Pool{{Name: "rbd"}, {Name: "two words", Namespace: "blue"}})
	want := `profile rbd pool=rbd namespace=drover-drill, profile rbd-read-only pool=rbd namespace="", profile rbd-read-only pool="two words" namespace=blue`
	if got.OSD != want || got.Mon != "profile simple-rados-client" || got.Mgr != "" {
		t.Errorf("%+v", got)
	}
}
