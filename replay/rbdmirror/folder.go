package rbdmirror

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/drover-io/drover/replay"
)

// The files of a run folder.
const (
	recordFile = "rbd-mirror.json"
	lockFile   = "lock"
	logFile    = "rbd-mirror.log"
	outputFile = "rbd-mirror.out" // what it writes to its standard output and error
	socketGlob = "*.asok"
)

// longestSocket is what Ceph adds to the folder for an admin socket's path; the
// whole must fit in 107 bytes (unix(7), sun_path).
const (
	longestSocket  = len("/12345678.123456789012345.asok")
	socketPathSize = 107
)

// systemConf is where a conf of that cluster name would be found first.
const systemConf = "/etc/ceph"

// prepare makes the run folder and what the daemon looks for in it: it opens
// its own cluster a second time, and peers added by conf file, by cluster name
// through the search path /etc/ceph/$cluster.conf, ~/.ceph/$cluster.conf,
// ./$cluster.conf, whatever -c says.
func (p *Process) prepare() error {
	if len(p.Dir)+longestSocket > socketPathSize {
		return p.fail("prepare "+p.Dir, ErrFolder, "its path is too long for an admin socket: choose a shorter one (daemon: directory: in the plan)")
	}
	if err := p.makeFolder(); err != nil {
		return err
	}
	for _, c := range p.confs() {
		if err := p.layConf(c); err != nil {
			return err
		}
	}
	return nil
}

// laidConf is a conf as the daemon reads it.
type laidConf struct {
	PeerConf
	own bool // it is the daemon's own cluster's: it gets the options
}

// confs are the confs that the daemon reads: its own cluster's, then its peers'.
func (p *Process) confs() []laidConf {
	confs := []laidConf{{PeerConf{Cluster: p.Cluster, Conf: p.Conf, Keyring: p.Keyring, User: p.User}, true}}
	for _, peer := range p.Peers {
		confs = append(confs, laidConf{PeerConf: peer})
	}
	return confs
}

// contents is one hash of all that prepare would lay: a daemon reads it once, when
// it starts.
func (p *Process) contents() (string, error) {
	sum := sha256.New()
	for _, c := range p.confs() {
		_, _ = fmt.Fprintf(sum, "%q %q\n", c.Cluster, c.User) // a hash never fails to write
		for _, path := range []string{c.Conf, c.Keyring} {
			var content []byte
			if path != "" {
				var err error
				if content, err = os.ReadFile(path); err != nil {
					return "", p.fail("read what rbd-mirror starts with", fmt.Errorf("%w: %w", ErrConf, err), "check conf: and keyring: of the plan, and that Drover's user may read them")
				}
			}
			_, _ = fmt.Fprintf(sum, "%d\n%s\n", len(content), content) // the same
		}
	}
	_, _ = fmt.Fprintf(sum, "%q\n", p.ConfLines()) // the same
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func (p *Process) makeFolder() error {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return p.fail("make run folder", fmt.Errorf("%w: %w", ErrFolder, err), folderHint(err))
	}
	info, err := os.Stat(p.Dir)
	if err != nil {
		return p.fail("make run folder", fmt.Errorf("%w: %w", ErrFolder, err), folderHint(err))
	}
	// Whoever owns it says what the daemon reads there.
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() != 0 && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return p.fail("make run folder", fmt.Errorf("%w: %s belongs to user %d", ErrFolder, p.Dir, owner.Uid), "choose another folder (daemon: directory: in the plan)")
	}
	return nil
}

func folderHint(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full: make room, then try again"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only: choose a folder elsewhere (daemon: directory: in the plan)"
	case errors.Is(err, os.ErrPermission):
		return "run Drover as a user that may write there, or choose another folder (daemon: directory: in the plan)"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, os.ErrNotExist):
		return "choose another folder (daemon: directory: in the plan)"
	}
	return ""
}

// layConf puts CLUSTER.conf into the folder: a copy of the conf with what is given
// apart for the daemon's user, or a link where that is nothing. Where the system has
// the same conf under that name, the daemon reads that one, and what is given apart
// has to be there.
func (p *Process) layConf(c laidConf) error {
	op := "lay " + c.Cluster + ".conf"
	conf, err := filepath.Abs(c.Conf)
	if err != nil {
		return p.fail(op, fmt.Errorf("%w: %w", ErrConf, err), "")
	}
	content, err := os.ReadFile(conf)
	if err != nil {
		return p.fail(op, fmt.Errorf("%w: %w", ErrConf, err), "check conf: of the plan, and that Drover's user may read it")
	}
	if err := p.shadowed(c.Cluster, conf, content); err != nil {
		return err
	}
	target := filepath.Join(p.Dir, c.Cluster+".conf")
	if err := ignoreMissing(os.Remove(target)); err != nil {
		return p.fail(op, fmt.Errorf("%w: %w", ErrFolder, err), folderHint(err))
	}
	var own []string
	if c.own {
		own = lines(p.settings(content))
	}
	if c.Keyring != "" {
		keyring, err := filepath.Abs(c.Keyring)
		if err != nil {
			return p.fail(op, fmt.Errorf("%w: %w", ErrConf, err), "")
		}
		if _, err := os.Stat(keyring); err != nil {
			return p.fail(op, fmt.Errorf("%w: %w", ErrConf, err), "check keyring: of the plan")
		}
		own = append([]string{"keyring = " + keyring}, own...)
	}
	if len(own) == 0 {
		err = os.Symlink(conf, target)
	} else {
		content = fmt.Appendf(bytes.TrimRight(content, "\n"), "\n\n[%s]\n\t%s\n", c.User, strings.Join(own, "\n\t"))
		err = os.WriteFile(target, content, 0o600)
	}
	if err != nil {
		return p.fail(op, fmt.Errorf("%w: %w", ErrFolder, err), folderHint(err))
	}
	return nil
}

// shadowed refuses a cluster name for which the system has another conf: the
// daemon would take that one.
func (p *Process) shadowed(cluster, conf string, content []byte) error {
	system := filepath.Join(systemConf, cluster+".conf")
	other, err := os.ReadFile(system)
	there := err == nil // otherwise none, or none that the daemon could read either
	if !there || bytes.Equal(other, content) {
		return nil
	}
	return p.fail("lay "+cluster+".conf", ErrConf, fmt.Sprintf(
		"rbd-mirror would read %s instead of %s, and they differ: use another site name, or the conf that is there", system, conf))
}

// sweep removes what a daemon leaves behind. Log and output stay: they tell why
// it ended.
func (p *Process) sweep() error {
	names := []string{recordFile}
	for _, pattern := range []string{socketGlob, "*.conf", "." + recordFile + ".*"} {
		found, err := filepath.Glob(filepath.Join(globEscape(p.Dir), pattern))
		if err != nil {
			return p.fail("clean run folder", err, "")
		}
		for _, path := range found {
			names = append(names, filepath.Base(path))
		}
	}
	return p.remove(names)
}

// globEscape makes a folder's name mean itself in a pattern.
func globEscape(dir string) string {
	var b bytes.Buffer
	for _, r := range dir {
		if bytes.ContainsRune([]byte(`*?[\`), r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (p *Process) remove(names []string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, ignoreMissing(os.Remove(filepath.Join(p.Dir, name))))
	}
	if err := replay.OneLine(errs...); err != nil {
		return p.fail("clean run folder", fmt.Errorf("%w: %w", ErrFolder, err), folderHint(err))
	}
	return nil
}
