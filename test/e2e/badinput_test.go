package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/test/lab"
)

const oneDisk = `pools:
  - name: POOL
    images:
      - name: disk
        create: {size: 64MiB}
`

// edited is a copy of a file with some text replaced.
func edited(t *testing.T, file string, pairs ...string) string {
	t.Helper()
	text := content(t, file)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%s: no %q in it", file, pairs[i])
		}
	}
	to := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(to, []byte(strings.NewReplacer(pairs...).Replace(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func content(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wantUntouched fails the test unless nothing of a pool is mirrored.
func wantUntouched(t *testing.T, pool string, sites ...*lab.Site) {
	t.Helper()
	for _, s := range sites {
		if mode := rbd(t, s, "mirror", "pool", "info", pool); !strings.Contains(mode, "Mode: disabled") {
			t.Errorf("%s at %s: want it untouched, got %q", pool, s.Name, mode)
		}
	}
}

func TestBadPlan(t *testing.T) {
	t.Parallel()
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay("shard: 3\n"+oneDisk+"        mood: journal\n"))
	r := fails(t, 3, []string{file + ":10:1: ", file + ":16:9: ", "the plan has 2 mistakes", "next:"}, "plan", "apply", "--yes", file)
	if r.stdout != "" {
		t.Errorf("something on stdout\n%s", r)
	}
	wantUntouched(t, p, shared.Site("site-a"), shared.Site("site-b"))
	fails(t, 1, []string{"no-such.yaml", "next:"}, "plan", "apply", "no-such.yaml")
	fails(t, 1, []string{"--no-such-flag"}, "plan", "apply", "--no-such-flag", file)
	fails(t, 1, []string{"next:"}, "plan", "apply")
	fails(t, 1, []string{"paply"}, "plan", "paply", file)
	fails(t, 1, []string{"--wait", "next:"}, "plan", "apply", "--wait", "long", file)
	fails(t, 1, []string{"--bandwidth", "next:"}, "verify", "--bandwidth", "fast", file)
}

// TestBadSites gives one of two sites a fault that can be seen before anything
// is asked of it: the message says where, what and what to do, nothing is
// changed, and the next apply with the fault gone does all.
func TestBadSites(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	good := plan(t, shared, p, oneWay(oneDisk))
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wrongKey := file("wrong.keyring", "[client.drover]\n\tkey = AQBDGlpnAAAAABAAPqkOGBXkAAA6YbWD2uQ0cQ==\n")
	for _, c := range []struct {
		name  string
		code  int
		from  string // in the plan
		to    string
		words []string
	}{
		{"one cluster twice", 13, "conf: " + b.Conf(), "conf: " + file("twin.conf", content(t, a.Conf())), []string{"site-a", "site-b", a.FSID()}},
		{"wrong key", 1, "conf: " + b.Conf(), "conf: " + b.Conf() + "\n    keyring: " + wrongKey, []string{"refuse the key of client.drover", "ceph auth get client.drover"}},
		{"keyring missing", 1, "conf: " + b.Conf(), "conf: " + b.Conf() + "\n    keyring: " + folder + "/none.keyring", []string{"none.keyring", "ceph auth get client.drover"}},
		{"keyring of another user", 1, "conf: " + b.Conf(), "conf: " + b.Conf() + "\n    keyring: " + b.Keyring("client.admin"), []string{"no key of client.drover"}},
		{"keyring is garbage", 1, "conf: " + b.Conf(), "conf: " + b.Conf() + "\n    keyring: " + file("garbage.keyring", "[client.drover]\n\tkey = not-a-key\n"), []string{"client.drover", "key"}},
		{"user unknown", 1, "conf: " + b.Conf(), "conf: " + b.Conf() + "\n    user: client.nobody\n    keyring: " + file("nobody.keyring", "[client.nobody]\n\tkey = AQBDGlpnAAAAABAAPqkOGBXkAAA6YbWD2uQ0cQ==\n"), []string{"client.nobody"}},
		{"conf missing", 1, "conf: " + b.Conf(), "conf: " + folder + "/none.conf", []string{"none.conf", "no such file", "check the path"}},
		{"conf is a folder", 1, "conf: " + b.Conf(), "conf: " + folder, []string{folder, "directory"}},
		{"conf is garbage", 1, "conf: " + b.Conf(), "conf: " + file("garbage.conf", "\x00\xff}{ not a conf\n[["), []string{"garbage.conf", "not a ceph.conf"}},
		{"conf without monitors", 1, "conf: " + b.Conf(), "conf: " + file("empty.conf", "[global]\nfsid = "+b.FSID()+"\nkeyring = "+b.Keyring("client.drover")+"\n"), []string{"names no monitors", "mon host"}},
		{"nobody listens", 1, "conf: " + b.Conf(), "conf: " + file("away.conf", "[global]\nmon host = 127.0.0.1:1\nkeyring = "+b.Keyring("client.drover")+"\n"), []string{"does not answer", "monitors can be reached"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := edited(t, good, c.from, c.to)
			r := fails(t, c.code, append(c.words, "site-b", "drover: plan apply: ", "\nnext: "), "plan", "apply", "--yes", bad)
			if r.took > unreachableWithin {
				t.Errorf("it took %s", r.took)
			}
			if strings.Contains(r.stderr+r.stdout, "AQBDGlpn") {
				t.Errorf("the key is shown\n%s", r)
			}
			if _, there := lookup(t, a, p+"/disk"); there {
				t.Error("the image was created with one site out of sight")
			}
			wantUntouched(t, p, b)
		})
	}
	applied(t, good)
}

// TestBadPool: a pool that is missing at one site does not hold up the others.
func TestBadPool(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	half := p + "-half"
	if err := a.CreatePool(t.Context(), half); err != nil {
		t.Fatal(err)
	}
	file := plan(t, shared, p, oneWay(oneDisk+`  - name: POOL-half
    images:
      - name: other
        create: {size: 64MiB}
`))
	fails(t, 1, []string{half, "the pool does not exist at site-b", "next: ", "osd pool create " + half}, "plan", "apply", "--yes", file)
	wantRole(t, a, p+"/disk", true, "journal")
	wantRole(t, b, p+"/disk", false, "journal")
	wantUntouched(t, half, a)
	if err := b.CreatePool(t.Context(), half); err != nil {
		t.Fatal(err)
	}
	applied(t, file)
	wantRole(t, b, half+"/other", false, "journal")
}

func TestOddPoolNames(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	file := plan(t, shared, "", oneWay(`pools:
  - name: "my pool.1"
    images:
      - name: "disk 1"
        create: {size: 64MiB}
  - name: Größe_+=:,~
    images:
      - name: disk
        create: {size: 64MiB}
`))
	for _, s := range []*lab.Site{a, b} {
		for _, name := range []string{"my pool.1", "Größe_+=:,~"} {
			if err := s.CreatePool(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	applied(t, file)
	wantRole(t, b, "my pool.1/disk 1", false, "journal")
	ok(t, "verify", file)
	if s := awaitHealthy(t, file); s.Summary.Images != 2 {
		t.Errorf("want two images: %+v", s)
	}
	if r := call(t, "plan", "destroy", "--dry-run", file); r.code != 0 || !strings.Contains(r.stdout, "'my pool.1/disk 1'") {
		t.Errorf("want commands that a shell takes\n%s", r)
	}
}

// TestMissingCaps takes one capability after the other from client.drover at
// one site: the message names it, and with it back the next apply does all.
func TestMissingCaps(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	whole := replay.DroverCaps()
	for _, c := range []struct {
		name  string
		site  *lab.Site
		less  func(*replay.CephUser)
		words []string
	}{
		{"osd", a, func(u *replay.CephUser) { u.OSD = "" }, []string{"site-a", "osd 'profile rbd'"}},
		{"auth get-or-create", a, func(u *replay.CephUser) {
			u.Mon = strings.ReplaceAll(u.Mon, `allow command "auth get-or-create"`, `allow command "auth nothing"`)
		}, []string{"site-a", "auth get-or-create"}},
		{"config-key", b, func(u *replay.CephUser) {
			u.Mon = strings.ReplaceAll(u.Mon, `allow command "config-key set"`, `allow command "config-key nothing"`)
		}, []string{"site-b", "config-key set"}},
		{"mgr", a, func(u *replay.CephUser) { u.Mgr = "" }, []string{"site-a", "mgr 'profile rbd"}},
	} {
		u := whole
		c.less(&u)
		u.Name = "client.less"
		text := oneWay(strings.ReplaceAll(bothModes, "name: by-", "name: "+strings.ReplaceAll(c.name, " ", "-")+"-by-"))
		text = strings.Replace(text, "conf: "+c.site.Name+".conf", "conf: "+c.site.Name+".conf\n    user: client.less", 1)
		t.Run(c.name, func(t *testing.T) {
			// A pool of its own: each starts from nothing.
			own := fmt.Sprintf("%s-%s", p, strings.ReplaceAll(c.name, " ", "-"))
			for _, s := range []*lab.Site{a, b} {
				if err := s.CreatePool(t.Context(), own); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.site.Allow(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			file := plan(t, shared, own, text)
			fails(t, 1, append(c.words, "client.less", "\nnext: "), "plan", "apply", "--yes", "--wait", "none", file)
			back := whole
			back.Name = u.Name
			if err := c.site.Allow(t.Context(), back); err != nil {
				t.Fatal(err)
			}
			applied(t, file)
		})
	}
}

// TestImageInUse: an image that a client writes to without an exclusive lock
// cannot be given one; that stops only that image.
func TestImageInUse(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	var images strings.Builder
	for i := range 10 {
		fmt.Fprintf(&images, "      - name: disk-%d\n        create: {size: 16MiB}\n", i)
	}
	file := plan(t, shared, p, oneWay("pools:\n  - name: POOL\n    images:\n"+images.String()+"      - name: used\n"))
	createImage(t, a, p+"/used", "layering")
	stop := writer(t, a, p+"/used")
	var client string
	eventually(t, time.Minute, "watcher of the image", func() (bool, string) {
		seen := rbd(t, a, "status", p+"/used")
		_, after, there := strings.Cut(seen, "watcher=")
		client, _, _ = strings.Cut(after, " ")
		return there, seen
	})
	r := fails(t, 13, []string{p + "/used is in use by client.", "without exclusive-lock", "\nnext: stop that client"}, "plan", "apply", "--yes", file)
	if !strings.Contains(r.stdout, " 1 failed") {
		t.Errorf("want one failure in the summary\n%s", r)
	}
	for i := range 10 {
		wantRole(t, b, fmt.Sprintf("%s/disk-%d", p, i), false, "journal")
	}
	if i, _ := lookup(t, a, p+"/used"); len(i.Features) != 1 || i.Mirroring.State == "enabled" {
		t.Errorf("the image in use was changed: %+v", i)
	}
	stop()
	// The cluster takes a dead client for a living one for half a minute, unless
	// it is told.
	ceph(t, a, "osd", "blocklist", "add", client)
	eventually(t, 90*time.Second, "apply with the client gone", func() (bool, string) {
		r := call(t, "plan", "apply", "--yes", file)
		return r.code == 0, r.String()
	})
	unchanged(t, file)
	wantRole(t, b, p+"/used", false, "journal")
}

func TestNoSpace(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(oneDisk))
	createImage(t, a, p+"/ballast", "layering")
	ceph(t, a, "osd", "pool", "set-quota", p, "max_objects", "1")
	eventually(t, time.Minute, "full pool", func() (bool, string) {
		seen := ceph(t, a, "health", "detail")
		return strings.Contains(seen, "POOL_FULL"), seen
	})
	fails(t, 1, []string{"site-a", p, "quota", "\nnext: "}, "plan", "apply", "--yes", "--wait", "none", file)
	ceph(t, a, "osd", "pool", "set-quota", p, "max_objects", "0")
	eventually(t, time.Minute, "apply with room again", func() (bool, string) {
		r := call(t, "plan", "apply", "--yes", file)
		return r.code == 0, r.String()
	})
	unchanged(t, file)
	wantRole(t, b, p+"/disk", false, "journal")
}

// TestWrongAnswer: what cannot be undone wants the plan's name to be typed.
func TestWrongAnswer(t *testing.T) {
	t.Parallel()
	a, b := shared.Site("site-a"), shared.Site("site-b")
	p := pool(t, shared)
	file := plan(t, shared, p, oneWay(oneDisk))
	ok(t, "plan", "apply", "--yes", file)
	for _, answer := range []string{"yes\n", "\n", "", "E2E\n"} {
		cmd := exec.CommandContext(t.Context(), drover, "plan", "destroy", file)
		cmd.Stdin = strings.NewReader(answer)
		said, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 13 || !bytes.Contains(said, []byte("next: ")) {
			t.Errorf("answer %q: want exit 13 and a next step, got %v\n%s", answer, err, said)
		}
	}
	wantRole(t, a, p+"/disk", true, "journal")
	wantRole(t, b, p+"/disk", false, "journal")
	unchanged(t, file)
	cmd := exec.CommandContext(t.Context(), drover, "plan", "destroy", file)
	cmd.Stdin = strings.NewReader("e2e\n")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the right answer: %v\n%s", err, said)
	}
	wantUntouched(t, p, a, b)
}
