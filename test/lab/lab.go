package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Store is the kind of an OSD's object store.
type Store string

// The object stores of a lab.
const (
	// MemStore keeps the data in memory. It is the fastest; the data outlive a
	// clean stop of the OSD (it saves when it unmounts) but not its SIGKILL.
	MemStore Store = "memstore"
	// BlueStore keeps the data in a sparse file in the lab's folder; they
	// outlive a SIGKILL of the OSD.
	BlueStore Store = "bluestore"
)

// Options say what lab to boot. The zero value is a lab of two sites, site-a
// and site-b, with a pool rbd and no rbd-mirror.
type Options struct {
	// Sites are the sites' names, which are also the Ceph cluster names.
	// Default: site-a and site-b; at most four. Keep them short: they are in
	// the paths of Unix sockets, which cannot exceed 107 bytes.
	Sites []string
	// Pools are created and initialised for RBD at every site. Default: rbd.
	Pools []string
	// Mirrors are the sites where the lab itself runs an rbd-mirror daemon.
	Mirrors []string
	// CephPace lets rbd-mirror look for journal events, and at images that it does
	// not replay, as seldom as it does by default, every 5 s and every 30 s. Default:
	// every second and every 5 s, so that no test waits.
	CephPace bool
	// Store is the OSDs' object store. Default: MemStore.
	Store Store
	// Dir is the lab's folder; it must be new or empty. Default: a new folder
	// under os.TempDir().
	Dir string
	// Log gets one line for each step, and the tail of a daemon's output when
	// it failed. Default: io.Discard.
	Log io.Writer
	// Detached daemons outlive the process that started them; end them with
	// Open and Stop. Default: they die with it.
	Detached bool
}

// Lab is a set of running Ceph clusters. Its methods may be called from
// several goroutines.
type Lab struct {
	opts    Options
	dir     string
	network network
	sites   []*Site
	spawner *spawner

	logMu sync.Mutex

	cutMu sync.Mutex
	cuts  []cut
}

// Limits of what a lab can be asked for.
const (
	maxSites      = 4
	maxSocketPath = 107 // sizeof(sockaddr_un.sun_path) - 1
)

var siteName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// ErrOptions is wrapped by Start's errors about its options.
var ErrOptions = errors.New("lab options")

// Start boots a lab and returns when every site answers, its OSD is up, its
// pools are ready, its mgr serves commands and the rbd-mirror daemons asked
// for run. Leftovers of labs whose process died are swept first. On an error
// nothing is left behind.
func Start(ctx context.Context, o Options) (*Lab, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := Sweep(); err != nil {
		return nil, err
	}
	began := time.Now()
	l, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if err := l.boot(ctx); err != nil {
		l.logf("boot failed: %v", err)
		return nil, errors.Join(err, l.Stop())
	}
	l.logf("lab ready in %.1fs: %s", time.Since(began).Seconds(), l.dir)
	return l, nil
}

// complete fills the defaults and refuses what cannot be.
func (o *Options) complete() error {
	if len(o.Sites) == 0 {
		o.Sites = []string{"site-a", "site-b"}
	}
	if o.Pools == nil {
		o.Pools = []string{"rbd"}
	}
	if o.Store == "" {
		o.Store = MemStore
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if len(o.Sites) > maxSites {
		return fmt.Errorf("%w: %d sites; a lab has at most %d", ErrOptions, len(o.Sites), maxSites)
	}
	for i, s := range o.Sites {
		if !siteName.MatchString(s) {
			return fmt.Errorf("%w: site name %q: want lower-case letters, digits and '-'", ErrOptions, s)
		}
		if slices.Contains(o.Sites[:i], s) {
			return fmt.Errorf("%w: site %q named twice", ErrOptions, s)
		}
	}
	for _, s := range o.Mirrors {
		if !slices.Contains(o.Sites, s) {
			return fmt.Errorf("%w: rbd-mirror wanted at %q, which is no site", ErrOptions, s)
		}
	}
	if o.Store != MemStore && o.Store != BlueStore {
		return fmt.Errorf("%w: store %q: want %s or %s", ErrOptions, o.Store, MemStore, BlueStore)
	}
	return nil
}

// prepare claims a network and lays the lab's folder, without starting
// anything.
func prepare(o Options) (*Lab, error) {
	dir, err := labFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	n, err := claimNetwork(dir, o.Detached)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	l := &Lab{opts: o, dir: dir, network: n, spawner: newSpawner(!o.Detached)}
	for i, name := range o.Sites {
		s := &Site{Name: name, lab: l, index: i, dir: filepath.Join(dir, name)}
		l.sites = append(l.sites, s)
	}
	for _, s := range l.sites {
		if err := s.lay(); err != nil {
			return nil, errors.Join(err, l.Stop())
		}
	}
	if err := l.writeRecord(); err != nil {
		return nil, errors.Join(err, l.Stop())
	}
	return l, nil
}

// labFolder makes the lab's folder and returns its absolute path without
// symbolic links.
func labFolder(dir string) (string, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "drover-lab-")
		if err != nil {
			return "", fmt.Errorf("lab folder: %w", err)
		}
		dir = made
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("lab folder: %w", err)
	}
	// The rbd-mirror daemons run as users of their own and must get in.
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", fmt.Errorf("lab folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("lab folder: %w", err)
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("%w: folder %s is not empty (a lab may be up there: labctl down)", ErrOptions, dir)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("lab folder: %w", err)
	}
	abs, err = filepath.EvalSymlinks(abs)
	if err != nil {
		return "", fmt.Errorf("lab folder: %w", err)
	}
	return abs, nil
}

// Dir returns the lab's folder.
func (l *Lab) Dir() string { return l.dir }

// Sites returns the lab's sites in the order of Options.Sites.
func (l *Lab) Sites() []*Site { return slices.Clone(l.sites) }

// Site returns the site of that name, or nil when the lab has none.
func (l *Lab) Site(name string) *Site {
	for _, s := range l.sites {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Stop ends every daemon of the lab (by SIGKILL: its data are thrown away with
// it), heals every cut, removes the folder and gives the network back. It can
// be called again.
func (l *Lab) Stop() error {
	var errs []error
	for _, s := range l.sites {
		for _, d := range stopOrder {
			errs = append(errs, s.end(d))
		}
	}
	errs = append(errs, deleteTable(l.network.table()))
	l.spawner.close()
	errs = append(errs, os.RemoveAll(l.dir), l.network.release())
	return errors.Join(errs...)
}

// logf writes one line to the lab's log.
func (l *Lab) logf(format string, args ...any) {
	l.logMu.Lock()
	defer l.logMu.Unlock()
	// A log that cannot be written must not fail the lab.
	_, _ = fmt.Fprintf(l.opts.Log, "lab: "+format+"\n", args...)
}
