package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/drover-io/drover/replay"
)

// Site is one Ceph cluster of a lab.
type Site struct {
	// Name is the site's name and its Ceph cluster name.
	Name string

	lab   *Lab
	index int
	dir   string
	facts siteFacts

	frozen atomic.Int64 // when the OSD was frozen, in Unix nanoseconds; 0: it is not
}

// siteFacts are what was decided for a site when its folder was laid.
type siteFacts struct {
	FSID    string `json:"fsid"`
	OSDUUID string `json:"osd_uuid"`
	Address string `json:"address"`
	MonPort int    `json:"mon_port"`
}

// FSID returns the cluster's fsid.
func (s *Site) FSID() string { return s.facts.FSID }

// Address returns the loopback address of all the site's daemons.
func (s *Site) Address() string { return s.facts.Address }

// MonHost returns the cluster's monitors, as mon_host in ceph.conf.
func (s *Site) MonHost() string {
	return fmt.Sprintf("[v2:%s:%d/0]", s.facts.Address, s.facts.MonPort)
}

// Conf returns the path of the site's ceph.conf, which is named CLUSTER.conf
// and names every user's keyring too.
func (s *Site) Conf() string { return filepath.Join(s.dir, s.Name+".conf") }

// Keyring returns the path of a user's keyring file, such as that of
// client.drover, client.rbd-mirror.SITE or client.admin.
func (s *Site) Keyring(user string) string {
	return filepath.Join(s.dir, user+".keyring")
}

// Dir returns the site's folder.
func (s *Site) Dir() string { return s.dir }

// LogFile returns the path of a daemon's log.
func (s *Site) LogFile(d Daemon) string {
	if d == Mirror {
		return filepath.Join(s.dir, "mirror", "rbd-mirror.log") // its user may write there only
	}
	return filepath.Join(s.dir, "log", string(d)+".log")
}

// AdminSocket returns the path of a running daemon's admin socket. That of
// rbd-mirror is the one that takes `rbd mirror status` and its kind, not one of
// its connections to single clusters.
func (s *Site) AdminSocket(d Daemon) (string, error) {
	pattern := filepath.Join(s.sockets(), map[Daemon]string{
		Mon: s.Name + "-mon." + daemonID + ".asok",
		Mgr: s.Name + "-mgr." + daemonID + ".asok",
		OSD: s.Name + "-osd.0.asok",
		// $run_dir/$cluster-$name.$pid.$cctid.asok (ceph
		// src/tools/rbd_mirror/main.cc)
		Mirror: fmt.Sprintf("m/%s-%s.%d.*.asok", s.Name, s.mirrorUserName(), s.Pid(Mirror)),
	}[d])
	if err := s.running(d); err != nil {
		return "", err
	}
	found, err := filepath.Glob(pattern)
	if err != nil {
		return "", fmt.Errorf("site %s: admin socket of %s: %w", s.Name, d, err)
	}
	if len(found) != 1 {
		return "", fmt.Errorf("site %s: admin socket of %s: %d match %s", s.Name, d, len(found), pattern)
	}
	return found[0], nil
}

// MirrorUser returns the numeric user id that the lab's rbd-mirror of this site
// runs as; [Lab.Cut] tells the daemons' traffic apart by it. A test that starts
// rbd-mirror by itself joins in with the Ceph options setuser (this) and
// setgroup ([MirrorGroup]).
func (s *Site) MirrorUser() int { return MirrorGroup + 1 + s.index }

// MirrorGroup is the numeric group id of all the lab's rbd-mirror daemons, who
// may read the keyrings. It and the user ids after it lie in a range of which
// Debian gives out single ids only (64000 to 64999; Ceph has 64045).
const MirrorGroup = 64900

// mirrorUserName is the cephx user of the lab's own rbd-mirror.
func (s *Site) mirrorUserName() string { return replay.MirrorCaps(s.Name).Name }

// users are the cephx users that every site has.
func (s *Site) users() []replay.CephUser {
	return []replay.CephUser{
		{Name: adminUser, Purpose: "the administrator", Mon: "allow *", Mgr: "allow *", OSD: "allow *"},
		replay.DroverCaps(),
		replay.MirrorCaps(s.Name),
	}
}

// lay makes the site's folder: its facts, ceph.conf and keyrings.
func (s *Site) lay() error {
	address := s.lab.network.address(s.index)
	port, err := freePort(address, 3300)
	if err != nil {
		return fmt.Errorf("site %s: %w", s.Name, err)
	}
	s.facts = siteFacts{FSID: newUUID(), OSDUUID: newUUID(), Address: address, MonPort: port}
	for _, d := range []string{"", "mon", "mgr", "osd", "run", "log", "mirror"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o755); err != nil {
			return fmt.Errorf("site %s: %w", s.Name, err)
		}
	}
	if err := s.laySockets(); err != nil {
		return fmt.Errorf("site %s: folder for sockets: %w", s.Name, err)
	}
	if err := os.WriteFile(s.Conf(), s.conf(), 0o644); err != nil {
		return fmt.Errorf("site %s: %w", s.Name, err)
	}
	if err := s.layKeyrings(); err != nil {
		return fmt.Errorf("site %s: keyrings: %w", s.Name, err)
	}
	if err := s.layModules(); err != nil {
		return fmt.Errorf("site %s: mgr modules: %w", s.Name, err)
	}
	if err := s.layMirrorFolder(); err != nil {
		return fmt.Errorf("site %s: rbd-mirror's folder: %w", s.Name, err)
	}
	return nil
}

// sockets is the folder for the admin sockets of the site's daemons.
func (s *Site) sockets() string {
	return filepath.Join(s.lab.network.sockets(), strconv.Itoa(s.index))
}

// mirrorSockets is the same for rbd-mirror, whose user may write there.
func (s *Site) mirrorSockets() string { return filepath.Join(s.sockets(), "m") }

func (s *Site) laySockets() error {
	// The longest one: rbd-mirror's for its connection to one cluster,
	// NAME.PID.CLUSTER.ADDRESS.asok.
	longest := s.mirrorUserName() + ".4194304." + s.Name + ".12345678901234.asok"
	if path := filepath.Join(s.mirrorSockets(), longest); len(path) > maxSocketPath {
		return fmt.Errorf("%w: %s: %d bytes too long a path", ErrOptions, path, len(path)-maxSocketPath)
	}
	if err := os.MkdirAll(s.mirrorSockets(), 0o755); err != nil {
		return err
	}
	return s.giveToMirror(s.mirrorSockets())
}

// giveToMirror makes the user that rbd-mirror runs as the owner of a folder.
// When this process is not root, everything runs as one user, and Cut says
// that it cannot.
func (s *Site) giveToMirror(folder string) error {
	if os.Getuid() != 0 {
		return nil
	}
	return os.Chown(folder, s.MirrorUser(), MirrorGroup)
}

// layMirrorFolder makes the working directory of rbd-mirror: the conf files of
// all sites lie there under their cluster names (see startMirror).
func (s *Site) layMirrorFolder() error {
	folder := filepath.Join(s.dir, "mirror")
	for _, other := range s.lab.sites {
		err := os.Symlink(other.Conf(), filepath.Join(folder, other.Name+".conf"))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return s.giveToMirror(folder)
}
