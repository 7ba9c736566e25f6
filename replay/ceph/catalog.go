package ceph

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ceph/go-ceph/rados"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph/cls"
	"github.com/drover-io/drover/replay/parallel"
)

// Images lists all images of a pool, sorted by name. Nothing is opened: names
// come from the directory, mirroring's view from the mirroring directory, and
// each mirrored image's role from one read of its journal or header, as librbd
// does it (librbd/mirror/GetInfoRequest.cc). Demoted is filled whatever the
// detail.
func (s *Site) Images(ctx context.Context, pool replay.Pool, detail replay.Detail) ([]replay.Image, error) {
	listing, err := s.list(ctx, pool)
	if err != nil {
		return nil, err
	}
	images := listing.images
	gone := make([]bool, len(images))
	var reads parallel.Group
	for i := range images {
		image := images[i]
		if image.Fault != nil || !image.Mirrored() && detail&replay.WithHeader == 0 {
			continue
		}
		free, err := s.glance(ctx, image.Ref)
		if err != nil {
			images[i] = image.Unread(err)
			continue
		}
		reads.Go(func() {
			defer free()
			found, err := s.listed(ctx, pool, image, detail, listing.names)
			if err != nil {
				images[i] = image.Unread(err)
				return
			}
			images[i], gone[i] = found.image, !found.present
		})
	}
	reads.Wait()
	kept := images[:0]
	for i, image := range images {
		if !gone[i] {
			kept = append(kept, image)
		}
	}
	return kept, nil
}

// hangingReads is how many calls may hang until images are listed without
// having been read. The rest of what may hang at all is left for others.
const hangingReads = maxAbandoned / 2

// listed reads an image that the directories have named, within its own time.
func (s *Site) listed(ctx context.Context, pool replay.Pool, image replay.Image, detail replay.Detail, names map[string]string) (described, error) {
	if s.Abandoned() >= hangingReads {
		return described{}, s.refuse(opImage.name, image.Ref.String(), replay.ErrTimeout, "too many earlier calls still hang", "")
	}
	ctx, cancel := context.WithTimeout(ctx, replay.ImageTime)
	defer cancel()
	return s.read(ctx, pool, image, detail, names)
}

// read describes one image. Who calls it has a slot.
func (s *Site) read(ctx context.Context, pool replay.Pool, image replay.Image, detail replay.Detail, names map[string]string) (described, error) {
	return admitted(ctx, s, opImage, image.Ref.String(), func() (described, error) {
		io, err := s.ioctx(pool)
		if err != nil {
			return described{}, err
		}
		return s.describe(io, image, detail, names)
	})
}

// listing is the directories of a pool.
type listing struct {
	images []replay.Image    // as far as the directories know them, sorted by name
	names  map[string]string // names by id
}

func (s *Site) list(ctx context.Context, pool replay.Pool) (listing, error) {
	return inPool(ctx, s, opImages, pool, pool.String(), func(io *rados.IOContext) (listing, error) {
		var l listing
		directory, err := readOmap(io, cls.DirectoryObject, cls.NameKey)
		if isErrno(err, enoent) {
			return l, missingNamespace(s, pool)
		}
		if err != nil {
			return l, err
		}
		ids, err := cls.DecodeNames(directory)
		if err != nil {
			return l, err
		}
		mirroring, err := readOmap(io, cls.MirroringObject, cls.MirrorImageKey)
		if err != nil && !isErrno(err, enoent) {
			return l, err
		}
		l.names = make(map[string]string, len(ids))
		l.images = make([]replay.Image, 0, len(ids))
		for _, name := range slices.Sorted(maps.Keys(ids)) {
			l.names[ids[name]] = name
			image := replay.Image{Ref: pool.Image(name), ID: ids[name], Role: replay.RoleNone}
			if value, ok := mirroring[cls.MirrorImageKey+image.ID]; ok {
				image = s.enrolled(image, value)
			}
			l.images = append(l.images, image)
		}
		return l, nil
	})
}

// enrolled is an image with what its entry in the mirroring directory says.
func (s *Site) enrolled(image replay.Image, value []byte) replay.Image {
	m, err := cls.DecodeMirrorImage(value)
	if err != nil {
		return image.Unread(s.failure(opImage, image.Ref.String(), fmt.Errorf("its mirroring entry: %w", err)))
	}
	enrol(&image, m)
	return image
}

// enrol fills in what the mirroring directory says; the role is yet to come.
func enrol(image *replay.Image, m cls.MirrorImage) {
	image.Mode, image.State, image.GlobalID = m.Mode, m.State, m.GlobalID
	image.Role = replay.RoleSecondary
}

// missingNamespace tells a pool without images from one that has no such
// namespace.
func missingNamespace(s *Site, pool replay.Pool) error {
	if pool.Namespace == "" {
		return nil
	}
	io, err := s.ioctx(replay.Pool{Name: pool.Name})
	if err != nil {
		return err
	}
	if _, err := readOmapKey(io, "rbd_namespace", "name_"+pool.Namespace); err != nil {
		if isErrno(err, enoent) {
			return &explained{
				say: fmt.Sprintf("pool %s has no namespace %q", pool.Name, pool.Namespace), err: err,
				hint: "list them with: rbd namespace ls " + pool.Name,
			}
		}
		return err
	}
	return nil
}

// described is an image in as much detail as was asked for; it is not present
// when it has gone since it was listed.
type described struct {
	image   replay.Image
	present bool
}

// describe reads an image's header and journal, as far as they are needed.
// names are the names by id of the image's own pool.
func (s *Site) describe(io *rados.IOContext, image replay.Image, detail replay.Detail, names map[string]string) (described, error) {
	bySnapshot := image.Mirrored() && image.Mode == replay.ModeSnapshot
	byJournal := image.Mirrored() && image.Mode == replay.ModeJournal
	if detail&replay.WithHeader != 0 || bySnapshot {
		prefix := ""
		if detail&(replay.WithHeader|replay.WithPositions) == 0 {
			prefix = cls.SnapshotKey
		}
		omap, err := readOmap(io, cls.HeaderObject(image.ID), prefix)
		if isErrno(err, enoent) {
			return described{}, nil
		}
		if err != nil {
			return described{}, err
		}
		snaps, err := s.takeHeader(&image, omap, detail, names)
		if err != nil {
			return described{}, err
		}
		if bySnapshot {
			image.Role, image.Demoted = cls.SnapshotRole(snaps)
			image.Unwritable, err = unwritable(image, omap, detail)
			if err != nil {
				return described{}, err
			}
		}
	}
	if byJournal {
		if err := takeJournal(io, &image, detail); err != nil {
			return described{}, err
		}
	}
	return described{image: image, present: true}, nil
}

func (s *Site) takeHeader(image *replay.Image, omap map[string][]byte, detail replay.Detail, names map[string]string) ([]replay.Snapshot, error) {
	if detail&replay.WithHeader == 0 {
		snaps, err := cls.DecodeSnapshots(omap)
		if detail&replay.WithPositions != 0 {
			image.Snapshots = snaps
		}
		return snaps, err
	}
	header, err := cls.DecodeHeader(omap)
	if err != nil {
		return nil, err
	}
	image.Size, image.ObjectSize, image.Features = header.Size, header.ObjectSize, header.Features
	image.Snapshots = header.Snapshots
	if header.Parent != nil {
		image.Parent, err = s.parent(image.Ref.Pool, *header.Parent, names)
	}
	return header.Snapshots, err
}

// unwritable reads whether a primary is still marked as one that is not.
func unwritable(image replay.Image, omap map[string][]byte, detail replay.Detail) (bool, error) {
	if image.Role != replay.RolePrimary || detail&(replay.WithHeader|replay.WithPositions) == 0 {
		return false, nil
	}
	features, err := cls.DecodeFeatures(omap)
	return features.Has(replay.FeatureNonPrimary), err
}

func takeJournal(io *rados.IOContext, image *replay.Image, detail replay.Detail) error {
	omap, err := readOmap(io, cls.JournalObject(image.ID), "")
	if isErrno(err, enoent) {
		return nil // it is being made or taken down: nobody's primary
	}
	if err != nil {
		return err
	}
	head, err := cls.DecodeJournal(omap)
	if err != nil {
		return err
	}
	image.Role, image.Demoted = cls.JournalRole(head.Journal)
	if detail&replay.WithPositions != 0 {
		image.Journal = &head.Journal
	}
	return nil
}

// parent names the image that a clone reads through to. One that is in the
// trash has no name any more and goes by its id; so does one in a pool that
// this user's caps do not let it look into.
func (s *Site) parent(own replay.Pool, p cls.Parent, names map[string]string) (*replay.ImageRef, error) {
	pool, err := s.conn.GetPoolByID(p.PoolID)
	if isErrno(err, enoent) {
		// It is the parent that is not found, and not the clone.
		return nil, fmt.Errorf("its parent is lost: there is no pool %d any more", p.PoolID)
	}
	if err != nil {
		return nil, fmt.Errorf("pool %d of the parent: %w", p.PoolID, err)
	}
	ref := replay.ImageRef{Pool: replay.Pool{Name: strings.TrimRight(pool, "\x00"), Namespace: p.Namespace}, Name: p.ImageID}
	if ref.Pool == own {
		if name, ok := names[p.ImageID]; ok {
			ref.Name = name
			return &ref, nil
		}
	}
	io, err := s.ioctx(ref.Pool)
	if err != nil {
		return nil, err
	}
	value, err := readOmapKey(io, cls.DirectoryObject, cls.IDKey+p.ImageID)
	if isErrno(err, enoent) || isErrno(err, eperm) || isErrno(err, eacces) {
		return &ref, nil
	}
	if err != nil {
		return nil, fmt.Errorf("name of the parent: %w", err)
	}
	ref.Name, err = cls.DecodeString(value)
	return &ref, err
}

// maxName bounds the object that holds an image's id.
const maxName = 4096

// Image reads one image in all details. A missing one is ErrNotFound.
func (s *Site) Image(ctx context.Context, ref replay.ImageRef) (replay.Image, error) {
	return inPool(ctx, s, opImage, ref.Pool, ref.String(), func(io *rados.IOContext) (replay.Image, error) {
		image := replay.Image{Ref: ref, Role: replay.RoleNone}
		id, err := imageID(io, ref.Name)
		if err != nil {
			return image, err
		}
		image.ID = id
		entry, err := readOmapKey(io, cls.MirroringObject, cls.MirrorImageKey+id)
		switch {
		case err == nil:
			m, err := cls.DecodeMirrorImage(entry)
			if err != nil {
				return image, err
			}
			enrol(&image, m)
		case !isErrno(err, enoent):
			return image, err
		}
		d, err := s.describe(io, image, replay.WithHeader|replay.WithPositions, nil)
		if err == nil && !d.present {
			err = enoent
		}
		return d.image, err
	})
}

// idObject is the object that holds the id of an image.
func idObject(name string) string { return "rbd_id." + name }

// imageID reads the id of an image.
func imageID(io *rados.IOContext, name string) (string, error) {
	value, err := readObject(io, idObject(name), make([]byte, maxName), 0)
	if err != nil {
		return "", err
	}
	return cls.DecodeString(value)
}
