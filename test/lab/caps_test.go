package lab_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/test/lab"
)

// Everything that Drover does at a site, as plain commands in an order in which
// they work. The first word is the program.
var droverMay = []string{
	// what is there
	"ceph fsid",
	"ceph status",
	"ceph health detail",
	"ceph versions",
	"ceph mon dump",
	"ceph osd dump",
	"ceph osd pool ls",
	"ceph service dump",
	"ceph service status",
	// pools and peers
	"rbd mirror pool enable free image",
	"rbd mirror pool enable free/tenant image",
	"rbd mirror pool info free --all",
	"rbd mirror pool status free --verbose",
	"rbd mirror pool peer bootstrap create --site-name here free",
	"rbd mirror pool peer add free client.rbd-mirror-peer@other --remote-mon-host 127.0.0.1 --remote-key-file KEY",
	// images
	"rbd create free/journal --size 16M --image-feature layering",
	"rbd feature enable free/journal exclusive-lock",
	"rbd feature enable free/journal journaling",
	"rbd mirror image enable free/journal journal",
	"rbd mirror image demote free/journal",
	"rbd mirror image promote free/journal",
	"rbd mirror image status free/journal",
	"rbd journal status --pool free --image journal",
	"rbd create free/snapshot --size 16M",
	"rbd mirror image enable free/snapshot snapshot",
	"rbd mirror image snapshot free/snapshot",
	"rbd snap ls --all free/snapshot",
	// schedules
	"rbd mirror snapshot schedule add --pool free 5m",
	"rbd mirror snapshot schedule add --pool free --image snapshot 10m",
	"rbd mirror snapshot schedule ls --pool free --recursive",
	"rbd mirror snapshot schedule status",
	"rbd mirror snapshot schedule remove --pool free --image snapshot",
	"rbd mirror snapshot schedule remove --pool free",
	// clones of user snapshots, in a namespace
	"rbd namespace create free/clones",
	"rbd snap create free/journal@drill",
	"rbd clone --rbd-default-clone-format=2 free/journal@drill free/clones/journal",
	"rbd children free/journal@drill",
	"rbd rm free/clones/journal",
	"rbd snap rm free/journal@drill",
	"rbd namespace rm free/clones",
	// clients and fences
	"rbd status free/journal",
	"rbd lock ls free/journal",
	"ceph osd blocklist add 127.9.9.9:0/123",
	"ceph osd blocklist ls",
	"ceph osd blocklist rm 127.9.9.9:0/123",
	// Drover's own records
	"rados -p free -N drover create state",
	"rados -p free -N drover setomapval state key value",
	"rados -p free -N drover lock get state lease",
	"rados -p free -N drover lock info state lease",
	"rados -p free -N drover listomapvals state",
	"rados -p free -N drover rmomapkey state key",
	"rados -p free -N drover rm state",
	"ceph df detail",
	// and back
	"rbd mirror image disable free/snapshot",
	"rbd mirror image disable free/journal",
	"rbd rename free/snapshot free/kept",
	"rbd rm free/kept",
	"rbd rm free/journal",
	"rbd mirror pool peer remove free PEER",
	"rbd mirror pool disable free/tenant",
	"rbd mirror pool disable free",
}

// What a user that leaks must not be good for.
var droverMayNot = []string{
	"ceph osd pool create mine",
	"ceph osd pool delete free free --yes-i-really-really-mean-it",
	"ceph osd down 0",
	"ceph osd blocklist clear",
	"ceph auth ls",
	"ceph auth get client.admin",
	"ceph auth get-or-create client.admin",
	"ceph auth get-or-create client.mine mon profile-rbd",
	"ceph auth caps client.drover mon allow-*",
	"ceph auth get-or-create client.rbd-mirror-peer mon profile-rbd",
	"ceph config set global debug_ms 1",
	"ceph config-key ls",
	"ceph config-key get mgr/devicehealth/last_scrape",
	"ceph config-key set mgr/prometheus/server_addr 127.0.0.1",
	"ceph mgr module enable prometheus",
	"ceph orch ps",
}

func TestDroverCapsAreEnoughAndNoMore(t *testing.T) {
	ctx, l := boot(t, lab.Options{Sites: []string{"site-a"}, Pools: []string{"free"}})
	site := l.Site("site-a")
	must(t)(site.Rbd(ctx, "namespace", "create", "free/tenant"))
	run := runner(ctx, t, site, droverUser)
	for _, line := range droverMay {
		if err := run(line); err != nil {
			t.Errorf("refused: %v", err)
		}
	}
	for _, line := range droverMayNot {
		denied(t, line, run(line))
	}
}

func TestDroverCapsOfOnePool(t *testing.T) {
	odd := "pool of §1" // a name that the grammar of caps wants quoted
	ctx, l := boot(t, lab.Options{Sites: []string{"site-a"}, Pools: []string{"ours", "theirs", odd}})
	site := l.Site("site-a")
	if err := site.Allow(ctx, replay.DroverCaps("ours", odd)); err != nil {
		t.Fatal(err)
	}
	drover := site.As(droverUser)
	for _, pool := range []string{"ours", odd} {
		must(t)(drover.Rbd(ctx, "mirror", "pool", "enable", pool, "image"))
		must(t)(drover.Rbd(ctx, "mirror", "snapshot", "schedule", "add", "--pool", pool, "5m"))
	}
	run := runner(ctx, t, site, droverUser)
	denied(t, "other pool", run("rbd create theirs/image --size 1M"))
	denied(t, "other pool", run("rbd mirror pool enable theirs image"))
}

func TestDroverCapsWithOrchestrator(t *testing.T) {
	ctx, l := boot(t, lab.Options{Sites: []string{"site-a"}, Pools: []string{}})
	site := l.Site("site-a")
	if err := site.Allow(ctx, replay.DroverCaps().WithOrchestrator()); err != nil {
		t.Fatal(err)
	}
	must(t)(site.Ceph(ctx, "mgr", "module", "enable", "test_orchestrator"))
	eventually(t, 30*time.Second, "test_orchestrator is the backend", func() bool {
		_, err := site.Ceph(ctx, "orch", "set", "backend", "test_orchestrator")
		return err == nil
	})
	run := runner(ctx, t, site, droverUser)
	for _, line := range []string{"ceph orch status", "ceph orch ls", "ceph orch ps"} {
		if err := run(line); err != nil {
			t.Errorf("refused: %v", err)
		}
	}
	// The backend knows no rbd-mirror and says so; what counts is that it was
	// asked at all.
	for _, line := range []string{
		"ceph orch ps --daemon_type rbd-mirror",
		"ceph orch apply rbd-mirror --placement=1",
		"ceph orch daemon start rbd-mirror.x",
		"ceph orch daemon stop rbd-mirror.x",
		"ceph orch daemon restart rbd-mirror.x",
		"ceph orch start rbd-mirror",
		"ceph orch stop rbd-mirror",
		"ceph orch restart rbd-mirror",
		"ceph orch rm rbd-mirror",
	} {
		if err := run(line); isDenied(err) {
			t.Errorf("refused: %v", err)
		}
	}
	for _, line := range []string{
		"ceph orch apply mon --placement=1",
		"ceph orch daemon stop mon.a",
		"ceph orch stop mon",
		"ceph orch rm mon",
		"ceph orch host add elsewhere",
		"ceph orch set backend cephadm",
	} {
		denied(t, line, run(line))
	}
}

// The command that the README gives to administrators makes that very user.
func TestCreateCommandMakesTheUser(t *testing.T) {
	ctx, l := boot(t, lab.Options{Sites: []string{"site-a"}, Pools: []string{}})
	site := l.Site("site-a")
	for _, u := range []replay.CephUser{
		replay.DroverCaps().WithOrchestrator(), replay.MirrorCaps(site.Name, "rbd", "o'clock"), replay.PeerCaps(),
	} {
		u.Name += ".by-hand"
		if _, err := shell(ctx, site, replay.CreateCommand(u)); err != nil {
			t.Error(err)
			continue
		}
		got := must(t)(site.Ceph(ctx, "auth", "get", u.Name))
		for service, caps := range map[string]string{"mon": u.Mon, "mgr": u.Mgr, "osd": u.OSD} {
			// The keyring format escapes the quotes inside.
			line := `caps ` + service + ` = "` + strings.ReplaceAll(caps, `"`, `\"`) + `"`
			if has := strings.Contains(got, line); has != (caps != "") {
				t.Errorf("%s: caps %s: want %q in\n%s", u.Name, service, caps, got)
			}
		}
	}
}

// runner runs a line as a user, with the words KEY and PEER replaced by a key
// file and by the uuid that the latest command printed on its last line.
func runner(ctx context.Context, t *testing.T, site *lab.Site, user string) func(string) error {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("AQDMb9hlAAAAABAAAAAAAAAAAAAAAAAAAAAAAA=="), 0o600); err != nil {
		t.Fatal(err)
	}
	var peer string
	return func(line string) error {
		words := strings.Fields(line)
		for i, w := range words {
			switch w {
			case "KEY":
				words[i] = key
			case "PEER":
				words[i] = peer
			}
		}
		as := site.As(user)
		run := map[string]func(context.Context, ...string) ([]byte, error){
			"ceph": as.Ceph, "rbd": as.Rbd, "rados": as.Rados,
		}[words[0]]
		out, err := run(ctx, words[1:]...)
		if strings.HasPrefix(line, "rbd mirror pool peer add") {
			peer = strings.TrimSpace(string(out))
		}
		return err
	}
}

// denied demands that the cluster itself refused a command.
func denied(t *testing.T, line string, err error) {
	t.Helper()
	if !isDenied(err) {
		t.Errorf("%s: %v; want it denied", line, err)
	}
}

// isDenied tells whether capabilities were missing: most programs exit with
// the errno, EACCES from the mon and the mgr, EPERM from the OSD.
func isDenied(err error) bool {
	const eperm, eacces = 1, 13
	var failed *lab.CommandError
	return errors.As(err, &failed) && (failed.ExitCode() == eacces || failed.ExitCode() == eperm)
}
