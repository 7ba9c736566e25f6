package ceph_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph"
)

// refused checks that an error is of the kind, and that it names the site and
// all of the words.
func refused(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	var e *replay.Error
	if !errors.As(err, &e) || !errors.Is(err, kind) {
		t.Errorf("got %v; want a *replay.Error that is: %v", err, kind)
		return
	}
	for _, word := range append(words, "site "+e.Site, e.Op) {
		if e.Site == "" || e.Op == "" || !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const strangerKey = "AQAPFgNrBB7WDRAAOL1P+nGwrytmYeFheZZtaA=="

// TestOpenRefusals opens a site with everything that can be wrong about how to
// reach it.
func TestOpenRefusals(t *testing.T) {
	conf := world.Site("site-a").Conf()
	keyring := func(text string) string { return file(t, "keyring", text) }
	dead := "[global]\nfsid = 7f3d5bb0-0000-4000-8000-000000000000\nmon host = 127.99.99.99:6789\n"
	for _, c := range []struct {
		name   string
		config ceph.Config
		kind   error
		words  []string
	}{
		{"no conf named", ceph.Config{}, replay.ErrConfig, []string{"no ceph.conf"}},
		{"conf missing", ceph.Config{Conf: "/nonexistent/a.conf"}, replay.ErrConfig, []string{"/nonexistent/a.conf", "check the path"}},
		{"conf is a folder", ceph.Config{Conf: t.TempDir()}, replay.ErrConfig, []string{"directory"}},
		{"conf malformed", ceph.Config{Conf: file(t, "a.conf", "this is [ no conf\n = =\n")}, replay.ErrConfig, []string{"not a ceph.conf"}},
		{"conf without monitors", ceph.Config{Conf: file(t, "a.conf", "[global]\n")}, replay.ErrConfig, []string{"no monitors", "mon host"}},
		{"keyring missing", ceph.Config{Conf: conf, Keyring: "/nonexistent/keyring"}, replay.ErrConfig, []string{"/nonexistent/keyring", "ceph auth get"}},
		{"user not in keyring", ceph.Config{Conf: conf, Keyring: keyring("[client.other]\nkey = " + strangerKey + "\n")}, replay.ErrConfig, []string{"no key of client.drover"}},
		{"key damaged", ceph.Config{Conf: conf, Keyring: keyring("[client.drover]\nkey = abc\n")}, replay.ErrAuth, []string{"damaged"}},
		{"key wrong", ceph.Config{Conf: conf, Keyring: keyring("[client.drover]\nkey = " + strangerKey + "\n")}, replay.ErrAuth, []string{"refuse the key of client.drover"}},
		{"user unknown", ceph.Config{Conf: conf, User: "nobody", Keyring: keyring("[client.nobody]\nkey = " + strangerKey + "\n")}, replay.ErrAuth, []string{"client.nobody"}},
		{
			"monitors dead",
			ceph.Config{Conf: file(t, "a.conf", dead), Keyring: world.Site("site-a").Keyring("client.drover"), ConnectTimeout: 2 * time.Second},
			replay.ErrUnreachable,
			[]string{"do not answer"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.config.Name = "site-a"
			if c.config.User == "" {
				c.config.User = "client.drover"
			}
			began := time.Now()
			s, err := ceph.Open(t.Context(), c.config)
			if err == nil {
				_ = s.Close()
			}
			refused(t, err, c.kind, c.words...)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if strings.Contains(err.Error(), strangerKey) {
				t.Errorf("%q tells the key", err)
			}
		})
	}
}

// TestOpenIgnoresEnvironment opens both sites while the environment points
// elsewhere.
func TestOpenIgnoresEnvironment(t *testing.T) {
	t.Setenv("CEPH_CONF", "/nonexistent.conf")
	t.Setenv("CEPH_ARGS", "--mon-host 127.99.99.99 --id nobody")
	t.Setenv("CEPH_KEYRING", "/nonexistent.keyring")
	seen := make(map[string]bool)
	for _, name := range []string{"site-a", "site-b"} {
		identity, err := open(t, name).Identity(t.Context())
		must(t, err)
		if identity.FSID != world.Site(name).FSID() || !strings.Contains(identity.Release, ".") {
			t.Errorf("%s is %+v", name, identity)
		}
		seen[identity.FSID] = true
	}
	if len(seen) != 2 {
		t.Errorf("the sites seen are %v", seen)
	}
}

// TestMissingCapabilities works as a user who may do nothing but connect: each
// refusal names the capability that is missing.
func TestMissingCapabilities(t *testing.T) {
	admin := world.Site("site-a")
	out, err := admin.Ceph(t.Context(), "auth", "get-or-create", "client.onlooker", "mon", "allow r")
	must(t, err)
	s := openAs(t, "site-a", ceph.Config{User: "client.onlooker", Keyring: file(t, "keyring", string(out))})
	ctx, pool := t.Context(), replay.Pool{Name: "rbd"}
	ref := pool.Image("x")
	for _, c := range []struct {
		name string
		does func() error
		word string
	}{
		{"images", func() error { _, err := s.Images(ctx, pool, 0); return err }, "osd 'profile rbd'"},
		{"image", func() error { _, err := s.Image(ctx, ref); return err }, "osd 'profile rbd'"},
		{"pool mode", func() error { return s.SetPoolMode(ctx, pool, replay.PoolImage) }, "osd 'profile rbd'"},
		{"create", func() error { return s.CreateImage(ctx, ref, replay.ImageSpec{Size: 1 << 20}) }, "osd 'profile rbd'"},
		{"daemons", func() error { _, err := s.MirrorDaemons(ctx); return err }, "service dump"},
		{"schedules", func() error { _, err := s.MirrorSchedules(ctx, pool); return err }, "mgr 'profile rbd'"},
		{"site name", func() error { return s.SetSiteName(ctx, "x") }, "config-key set"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, c.does(), replay.ErrPermission, "client.onlooker needs", c.word) })
	}
}

// TestRefusals provokes what the cluster refuses, and reads the reason.
func TestRefusals(t *testing.T) {
	s := open(t, "site-a")
	ctx, pool := t.Context(), newPool(t)
	nowhere := replay.Pool{Name: "nowhere"}
	_, err := s.Images(ctx, nowhere, 0)
	refused(t, err, replay.ErrNotFound, `no pool "nowhere"`)
	_, err = s.Images(ctx, replay.Pool{Name: pool.Name, Namespace: "nowhere"}, 0)
	refused(t, err, replay.ErrNotFound, `no namespace "nowhere"`)
	if images, err := s.Images(ctx, pool, 0); err != nil || len(images) != 0 {
		t.Errorf("an empty pool has %v; %v", images, err)
	}
	_, err = s.Image(ctx, pool.Image("nowhere"))
	refused(t, err, replay.ErrNotFound, pool.Name+"/nowhere")
	_, err = s.CreateBootstrapToken(ctx, pool)
	refused(t, err, replay.ErrInvalid, "mirroring must be enabled")

	plain := pool.Image("plain")
	must(t, s.CreateImage(ctx, plain, replay.ImageSpec{Size: 8 << 20, Features: replay.FeatureLayering}))
	refused(t, s.CreateImage(ctx, plain, replay.ImageSpec{Size: 8 << 20}), replay.ErrExists)
	refused(t, s.CreateImage(ctx, pool.Image("x"), replay.ImageSpec{Size: 8 << 20, DataPool: "nowhere"}), replay.ErrNotFound, "nowhere")
	refused(t, s.EnableMirroring(ctx, plain, replay.ModeJournal), replay.ErrInvalid, "not enabled on the pool")
	must(t, s.SetPoolMode(ctx, pool, replay.PoolImage))
	refused(t, s.Demote(ctx, plain), replay.ErrInvalid, "not mirrored")
	refused(t, s.Promote(ctx, plain, false), replay.ErrInvalid, "not mirrored")
	refused(t, s.Resync(ctx, plain), replay.ErrInvalid, "not mirrored")
	must(t, s.DisableMirroring(ctx, plain, false))

	must(t, s.EnableMirroring(ctx, plain, replay.ModeSnapshot))
	must(t, s.EnableMirroring(ctx, plain, replay.ModeSnapshot)) // again is no error
	refused(t, s.EnableMirroring(ctx, plain, replay.ModeJournal), replay.ErrInvalid, "already, in snapshot mode")
	_, err = s.CreateMirrorSnapshot(ctx, plain)
	refused(t, err, replay.ErrInvalid, "no peer replays")
	refused(t, s.Resync(ctx, plain), replay.ErrInvalid, "primary here")
	refused(t, s.SetPoolMode(ctx, pool, replay.PoolDisabled), replay.ErrInvalid, "still mirrored")
	must(t, s.CreateSnapshot(ctx, plain, "s"))
	refused(t, s.CreateSnapshot(ctx, plain, "s"), replay.ErrExists)
	clone := pool.Image("clone")
	rbd(t, "site-a", "clone --rbd-default-clone-format 2 "+plain.String()+"@s "+clone.String())
	must(t, s.DisableMirroring(ctx, plain, false))
	refused(t, s.EnableMirroring(ctx, clone, replay.ModeSnapshot), replay.ErrInvalid, "parent", plain.String())
	refused(t, s.RemoveImage(ctx, plain), replay.ErrBusy, "snapshots")
	refused(t, s.ImportBootstrapToken(ctx, pool, replay.RxTx, "garbage"), replay.ErrInvalid, "token")
	_, err = s.AddPeer(ctx, pool, replay.Peer{SiteName: "z", Client: "client.z", Direction: replay.TxOnly})
	refused(t, err, replay.ErrInvalid, "tx-only")
	refused(t, s.AddMirrorSchedule(ctx, replay.MirrorSchedule{ImageRef: pool.Image(""), Every: "5x"}), replay.ErrInvalid, "5x")
	_, err = s.MgrCommand(ctx, map[string]any{"prefix": "no such command"})
	refused(t, err, replay.ErrUnsupported, "module")
}

// TestNoSpace fills a pool's quota.
func TestNoSpace(t *testing.T) {
	s := open(t, "site-a")
	pool := newPool(t)
	must(t, s.CreateImage(t.Context(), pool.Image("first"), replay.ImageSpec{Size: 8 << 20}))
	if _, err := world.Site("site-a").Ceph(t.Context(), "osd", "pool", "set-quota", pool.Name, "max_objects", "1"); err != nil {
		t.Fatal(err)
	}
	await(t, "the pool is full", func() (bool, error) {
		err := s.CreateImage(t.Context(), pool.Image("second"), replay.ImageSpec{Size: 8 << 20})
		if errors.Is(err, replay.ErrNoSpace) {
			refused(t, err, replay.ErrNoSpace, "quota")
			return true, nil
		}
		if err == nil {
			err = s.RemoveImage(t.Context(), pool.Image("second"))
		}
		return false, err
	})
}
