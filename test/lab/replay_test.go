package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/test/lab"
)

const droverUser = "client.drover"

// protect mirrors a new journaled image rbd/NAME from site-a to site-b, as
// Drover's user. Both pools are enabled and have their peers.
func protect(ctx context.Context, t *testing.T, l *lab.Lab, name string) {
	t.Helper()
	drover := l.Site("site-a").As(droverUser)
	must(t)(drover.Rbd(ctx, "create", "rbd/"+name, "--size", "16M", "--image-feature", "exclusive-lock,journaling"))
	must(t)(drover.Rbd(ctx, "mirror", "image", "enable", "rbd/"+name, "journal"))
}

// join enables the pool at both sites and makes them peers by token.
func join(ctx context.Context, t *testing.T, l *lab.Lab, pool, direction string) {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	a, b := l.Site("site-a").As(droverUser), l.Site("site-b").As(droverUser)
	must(t)(a.Rbd(ctx, "mirror", "pool", "enable", pool, "image"))
	must(t)(b.Rbd(ctx, "mirror", "pool", "enable", pool, "image"))
	out := must(t)(a.Rbd(ctx, "mirror", "pool", "peer", "bootstrap", "create", "--site-name", "site-a", pool))
	if err := os.WriteFile(token, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t)(b.Rbd(ctx, "mirror", "pool", "peer", "bootstrap", "import", "--site-name", "site-b",
		"--direction", direction, pool, token))
}

// content is what an image holds, without the zeros at its end.
func content(ctx context.Context, s *lab.Site, image string) string {
	out, err := s.Rbd(ctx, "export", image, "-")
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(out), "\x00")
}

// write puts text at the start of an image.
func write(ctx context.Context, t *testing.T, s *lab.Site, image, text string) {
	t.Helper()
	const block = 4096
	padded := append([]byte(text), make([]byte, block-len(text))...)
	file := filepath.Join(t.TempDir(), "block")
	if err := os.WriteFile(file, padded, 0o600); err != nil {
		t.Fatal(err)
	}
	// import-diff is the plain command that writes a given content in place.
	must(t)(s.As(droverUser).RbdInput(ctx, diff(padded), "import-diff", "-", image))
}

// diff is a version 1 diff stream that writes data at offset 0 (ceph
// doc/dev/rbd-diff.rst).
func diff(data []byte) []byte {
	out := []byte("rbd diff v1\n")
	out = append(out, 'w')
	out = append(out, make([]byte, 8)...) // offset, little-endian
	for i := range 8 {
		out = append(out, byte(len(data)>>(8*i)))
	}
	out = append(out, data...)
	return append(out, 'e')
}

func TestCutStopsReplayAndHealResumesIt(t *testing.T) {
	needsRoot(t)
	ctx, l := boot(t, lab.Options{Mirrors: []string{"site-b"}})
	a, b := l.Site("site-a"), l.Site("site-b")
	join(ctx, t, l, "rbd", "rx-only")
	protect(ctx, t, l, "image")
	arrives := func(text string) {
		t.Helper()
		since := time.Now()
		eventually(t, 90*time.Second, text+" at site-b", func() bool { return content(ctx, b, "rbd/image") == text })
		t.Logf("%q arrived after %s", text, time.Since(since))
	}
	held := "before"
	write(ctx, t, a, "rbd/image", held)
	arrives(held)
	for _, c := range []struct {
		name string
		cut  func(a, b string) error
	}{{"refused", l.Cut}, {"swallowed", l.Swallow}} {
		if err := c.cut("site-a", "site-b"); err != nil {
			t.Fatal(err)
		}
		write(ctx, t, a, "rbd/image", c.name)
		must(t)(b.Ceph(ctx, "fsid")) // this process reaches both
		// Replay looks for new events each second here (see conf).
		for until := time.Now().Add(5 * time.Second); time.Now().Before(until); {
			if got := content(ctx, b, "rbd/image"); got != held {
				t.Fatalf("%s: site-b holds %q across the cut", c.name, got)
			}
		}
		if err := l.Heal("site-a", "site-b"); err != nil {
			t.Fatal(err)
		}
		arrives(c.name)
		held = c.name
	}
}

func TestCutRefuses(t *testing.T) {
	_, l := boot(t, lab.Options{Sites: []string{"site-a"}, Pools: []string{}})
	for _, other := range []string{"site-a", "site-x"} {
		if err := l.Cut("site-a", other); !errors.Is(err, lab.ErrOptions) {
			t.Errorf("cut of site-a from %s: %v, want ErrOptions", other, err)
		}
	}
}

// The guide's way: the peer is client@cluster, and rbd-mirror finds the other
// cluster's conf and keyring beside it.
func TestPeerByConfFile(t *testing.T) {
	ctx, l := boot(t, lab.Options{Mirrors: []string{"site-b"}})
	a, b := l.Site("site-a"), l.Site("site-b")
	if err := a.Allow(ctx, replay.PeerCaps()); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*lab.Site{a, b} {
		must(t)(s.As(droverUser).Rbd(ctx, "mirror", "pool", "enable", "rbd", "image"))
	}
	peer := fmt.Sprintf("%s@%s", replay.PeerCaps().Name, a.Name)
	must(t)(b.As(droverUser).Rbd(ctx, "mirror", "pool", "peer", "add", "rbd", peer))
	protect(ctx, t, l, "image")
	write(ctx, t, a, "rbd/image", "by conf file")
	eventually(t, time.Minute, "the text at site-b", func() bool { return content(ctx, b, "rbd/image") == "by conf file" })
}

// needsRoot skips a test that cuts the network, which only root may.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("cutting the way between two sites needs root")
	}
}
