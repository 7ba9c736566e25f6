package ceph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph/cls"
)

const (
	// headerLock is the name of an image's exclusive lock (RBD_LOCK_NAME).
	headerLock = "rbd_lock"
	// leaderObject lists the rbd-mirror instances that serve a pool, in keys
	// instance_<client id> (librbd's cls_client::mirror_instances_list).
	leaderObject = "rbd_mirror_leader"
	instanceKey  = "instance_"
)

// lastKernelCookie bounds the watch cookies of kernel clients: they count their
// watches (net/ceph/osd_client.c, linger_id), where librados uses the address of an
// object. That may be low, in the heap of a program at a fixed address as Go links
// them, but never below where such a program begins (0x400000 on amd64, 0x10000 on arm64).
const lastKernelCookie = 0x10000

// Users lists the clients that hold or watch the image, sorted by name; those
// of this very connection are left out.
func (s *Site) Users(ctx context.Context, ref replay.ImageRef) ([]replay.ImageUser, error) {
	return inPool(ctx, s, opUsers, ref.Pool, ref.String(), func(io *rados.IOContext) ([]replay.ImageUser, error) {
		// Opened read-only, the image is not watched by the one who asks.
		image, err := rbd.OpenImageReadOnly(io, ref.Name, rbd.NoSnapshot)
		if err != nil {
			return nil, err
		}
		users, err := s.watchers(io, image)
		if closing := image.Close(); err == nil {
			err = closing
		}
		return users, err
	})
}

// holders are those who watch an open image and those who have its lock; nil
// where nobody ever had it.
func holders(io *rados.IOContext, image *rbd.Image) ([]rbd.ImageWatcher, *rados.LockInfo, error) {
	id, err := image.GetId()
	if err != nil {
		return nil, nil, err
	}
	watchers, err := image.ListWatchers()
	if err != nil {
		return nil, nil, err
	}
	locks, err := io.ListLockers(cls.HeaderObject(strings.TrimRight(id, "\x00")), headerLock)
	if err != nil && !isErrno(err, enoent) {
		return nil, nil, err
	}
	return watchers, locks, nil
}

func (s *Site) watchers(io *rados.IOContext, image *rbd.Image) ([]replay.ImageUser, error) {
	watchers, locks, err := holders(io, image)
	if err != nil {
		return nil, err
	}
	own := fmt.Sprintf("client.%d", s.conn.GetInstanceID())
	users := make(map[string]replay.ImageUser)
	lone := false // somebody has the lock and does not watch
	for _, w := range watchers {
		client := fmt.Sprintf("client.%d", w.Id)
		users[client] = replay.ImageUser{Client: client, Address: w.Addr, Kernel: w.Cookie < lastKernelCookie}
	}
	if locks != nil {
		for i, client := range locks.Clients {
			u := users[client]
			u.Client, u.Locks = client, true
			if u.Address == "" && i < len(locks.Addrs) {
				u.Address = bareAddress(locks.Addrs[i])
				lone = true
			}
			users[client] = u
		}
	}
	if lone {
		if err := s.dropFenced(users); err != nil {
			return nil, err
		}
	}
	delete(users, own)
	delete(users, "")
	if len(users) == 0 {
		return nil, nil // as for most images, which saves asking for the daemons
	}
	mirrors, err := s.mirrorInstances(io)
	if err != nil {
		return nil, err
	}
	list := make([]replay.ImageUser, 0, len(users))
	for _, client := range slices.Sorted(maps.Keys(users)) {
		u := users[client]
		u.Mirror = mirrors[client]
		list = append(list, u)
	}
	return list, nil
}

// dropFenced leaves out those who have been blocklisted. Their watches end with
// that, but a lock stays until the next client wants it. A lock without a watch
// is not nobody's, though, before that: a client that was cut off for half a
// minute loses its watch, and may come back.
func (s *Site) dropFenced(users map[string]replay.ImageUser) error {
	out, status, err := s.conn.MonCommand([]byte(`{"prefix":"osd blocklist ls","format":"json"}`))
	if err != nil {
		return withStatus(err, status)
	}
	var fenced []struct {
		Address string `json:"addr"`
	}
	// A second list follows, of ranges of addresses (ceph src/mon/OSDMonitor.cc).
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&fenced); err != nil {
		return fmt.Errorf("cannot read the blocklist: %w", err)
	}
	for _, f := range fenced {
		maps.DeleteFunc(users, func(_ string, u replay.ImageUser) bool { return u.Address == bareAddress(f.Address) })
	}
	return nil
}

// mirrorInstances are the clients by which rbd-mirror daemons serve the pool.
// The leader keeps the list, which works without a mgr too; it is the same for
// all namespaces of the pool.
func (s *Site) mirrorInstances(io *rados.IOContext) (map[string]bool, error) {
	pool, err := io.GetPoolName()
	if err != nil {
		return nil, err
	}
	main, err := s.ioctx(replay.Pool{Name: pool})
	if err != nil {
		return nil, err
	}
	omap, err := readOmap(main, leaderObject, instanceKey)
	if err != nil && !isErrno(err, enoent) {
		return nil, err
	}
	mirrors := make(map[string]bool, len(omap))
	for key := range omap {
		mirrors["client."+key[len(instanceKey):]] = true
	}
	return mirrors, nil
}
