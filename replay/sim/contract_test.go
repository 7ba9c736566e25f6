package sim_test

import (
	"context"
	"syscall"
	"testing"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
	"github.com/drover-io/drover/replay/sitetest"
)

func TestContract(t *testing.T) {
	sitetest.Run(t, func(t *testing.T) sitetest.Harness {
		w := sim.Pair(sim.Options{}, "a", "b")
		for _, name := range w.Sites() {
			must(t, w.Site(name).SetSiteName(t.Context(), name))
			w.StartDaemon(name)
		}
		return sitetest.Harness{
			A: w.Site("a"), B: w.Site("b"),
			Another: func(_ *testing.T, site replay.Site) replay.Site { return w.Site(site.Name()) },
			NewPool: func(_ context.Context, name string) error {
				w.AddPool("a", name)
				w.AddPool("b", name)
				return nil
			},
			Write: func(_ context.Context, site replay.Site, ref replay.ImageRef, offset uint64, data []byte) error {
				return w.Write(site.Name(), ref, offset, data)
			},
			Spoil: func(_ context.Context, site replay.Site, ref replay.ImageRef) (func(context.Context) error, error) {
				look := w.Inject(sim.Fault{Site: site.Name(), Op: "LookAt", Object: ref.String(), Errno: syscall.EIO})
				list := w.Inject(sim.Fault{Site: site.Name(), Op: "Images", Object: ref.String(), Errno: syscall.EIO})
				return func(context.Context) error { look(); list(); return nil }, nil
			},
			CutShort: func(_ context.Context, site replay.Site, ref replay.ImageRef, unfinished, marked bool) error {
				var cut sim.Cut
				if unfinished {
					cut |= sim.CutUnfinished
				}
				if marked {
					cut |= sim.CutMarked
				}
				return w.CutShort(site.Name(), ref, cut)
			},
			StartDaemon: func(_ context.Context, site replay.Site) error { w.StartDaemon(site.Name()); return nil },
			StopDaemon:  func(_ context.Context, site replay.Site) error { w.StopDaemon(site.Name()); return nil },
			Pause:       w.Advance,
		}
	})
}
