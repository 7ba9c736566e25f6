package sim

import "github.com/drover-io/drover/replay"

// Corrupt overwrites bytes of an image behind Ceph's back, whatever its role:
// neither journal nor mirroring learns of it. It is what a failing disk or an
// operator's dd to the wrong place does.
func (w *World) Corrupt(site string, ref replay.ImageRef, offset uint64, data []byte) error {
	return w.Site(site).outside(ref, func(_ *cluster, _ *namespace, i *image) error {
		if offset > i.Size || uint64(len(data)) > i.Size-offset {
			return fail(einval, "write beyond the end of the image")
		}
		i.Content = i.Content.write(offset, data)
		return nil
	})
}

// Resize gives an image another size, whatever its role, as `rbd resize` does at the
// primary. Replay of a journal does not bring sizes over here: whoever resizes such an image
// does so at each site.
func (w *World) Resize(site string, ref replay.ImageRef, size uint64) error {
	return w.Site(site).outside(ref, func(_ *cluster, _ *namespace, i *image) error {
		i.Size = size
		return nil
	})
}
