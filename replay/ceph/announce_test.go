package ceph_test

import (
	"bufio"
	"os/exec"
	"strings"
	"testing"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph/cls"
)

// TestAnnounceIsHeard watches an image's header as librbd does.
func TestAnnounceIsHeard(t *testing.T) {
	s, admin, pool := open(t, "site-a"), world.Site("site-a"), newPool(t)
	ref := pool.Image("announced")
	must(t, s.CreateImage(t.Context(), ref, replay.ImageSpec{Size: 8 << 20, Features: replay.FeatureLayering}))
	image, err := s.Image(t.Context(), ref)
	must(t, err)

	watch := exec.CommandContext(t.Context(), "rados", "-c", admin.Conf(), "-p", pool.Name, "watch", cls.HeaderObject(image.ID))
	in, err := watch.StdinPipe() // it watches until that ends
	must(t, err)
	out, err := watch.StdoutPipe()
	must(t, err)
	must(t, watch.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = watch.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "press enter") {
		continue
	}
	must(t, s.Announce(t.Context(), ref))
	if !lines.Scan() || !strings.Contains(lines.Text(), "NOTIFY") {
		t.Errorf("the watcher says %q, %v", lines.Text(), lines.Err())
	}
}
