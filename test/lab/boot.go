package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// boot brings all sites up side by side.
func (l *Lab) boot(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(l.sites))
	var wg sync.WaitGroup
	for i, s := range l.sites {
		wg.Go(func() {
			if errs[i] = s.boot(ctx); errs[i] != nil {
				cancel() // no use in a part of the lab
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *Site) boot(ctx context.Context) error {
	began := time.Now()
	step := func(what string) {
		s.lab.logf("%s: %s (%.1fs)", s.Name, what, time.Since(began).Seconds())
	}
	// The OSD's store is made while the mon comes up.
	made := make(chan error, 1)
	go func() { made <- s.makeOSD(ctx) }()
	err := s.bootMon(ctx)
	if err = errors.Join(err, <-made); err != nil {
		return err
	}
	step("mon answers")
	if _, err := s.Ceph(ctx, "osd", "new", s.facts.OSDUUID, "0"); err != nil {
		return fmt.Errorf("site %s: %w", s.Name, err)
	}
	// It would make a pool of its own, which a lab's user did not ask for. The
	// mgr that knows the option does not run yet, hence the force.
	_, err = s.Ceph(ctx, "config", "set", "mgr", "mgr/devicehealth/enable_monitoring", "false", "--force")
	if err != nil {
		return fmt.Errorf("site %s: %w", s.Name, err)
	}
	for _, d := range []Daemon{OSD, Mgr} {
		if err := s.start(d); err != nil {
			return err
		}
	}
	// Initialising a pool waits for the OSD by itself.
	for _, pool := range s.lab.opts.Pools {
		if err := s.CreatePool(ctx, pool); err != nil {
			return err
		}
	}
	step("pools are ready")
	if err := s.awaitService(ctx, Mgr); err != nil {
		return err
	}
	step("mgr serves")
	if slices.Contains(s.lab.opts.Mirrors, s.Name) {
		if err := s.StartMirror(ctx); err != nil {
			return err
		}
		step("rbd-mirror is registered")
	}
	return nil
}

func (s *Site) makeOSD(ctx context.Context) error {
	_, err := s.lab.command(ctx, nil, "ceph-osd", "-c", s.Conf(), "--cluster", s.Name, "-i", "0",
		"--mkfs", "--osd-uuid", s.facts.OSDUUID, "--no-mon-config")
	if err != nil {
		return fmt.Errorf("site %s: make the OSD: %w", s.Name, err)
	}
	return nil
}

func (s *Site) bootMon(ctx context.Context) error {
	monmap := filepath.Join(s.dir, "monmap")
	_, err := s.lab.command(ctx, nil, "monmaptool", "--create", "--clobber", "--fsid", s.facts.FSID,
		"--addv", daemonID, s.MonHost(), "--set-min-mon-release", "pacific", monmap)
	if err == nil {
		_, err = s.lab.command(ctx, nil, "ceph-mon", "-c", s.Conf(), "--cluster", s.Name, "-i", daemonID,
			"--mkfs", "--monmap", monmap, "--keyring", s.birthKeyring())
	}
	if err != nil {
		return fmt.Errorf("site %s: make the mon: %w", s.Name, err)
	}
	if err := s.start(Mon); err != nil {
		return err
	}
	return s.awaitService(ctx, Mon)
}

// CreatePool creates a pool and initialises it for RBD.
func (s *Site) CreatePool(ctx context.Context, name string) error {
	if _, err := s.Ceph(ctx, "osd", "pool", "create", name); err != nil {
		return fmt.Errorf("site %s: pool %s: %w", s.Name, name, err)
	}
	if _, err := s.Rbd(ctx, "pool", "init", name); err != nil {
		return fmt.Errorf("site %s: pool %s: %w", s.Name, name, err)
	}
	return nil
}

// awaitService waits until a daemon serves: the mon answers commands, the OSD
// is up in the map, the mgr has loaded its modules, rbd-mirror stands in the
// service map. It gives up when the daemon ends, after a minute, or with ctx.
func (s *Site) awaitService(ctx context.Context, d Daemon) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	serves := map[Daemon]func(context.Context) error{
		Mon: s.monServes, OSD: s.osdServes, Mgr: s.mgrServes, Mirror: s.mirrorServes,
	}[d]
	for {
		err := serves(ctx)
		if err == nil {
			return nil
		}
		if !s.Running(d) {
			return fmt.Errorf("site %s: %s ended: %s", s.Name, d, s.lastOutput(d))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("site %s: waiting for %s: %w: %w: %s", s.Name, d, ctx.Err(), err, s.lastOutput(d))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *Site) monServes(ctx context.Context) error {
	// rados takes a tenth of the time that the ceph program takes.
	_, err := s.Rados(ctx, "lspools")
	return err
}

func (s *Site) osdServes(ctx context.Context) error {
	// Not by the map alone: it calls an OSD up that was killed a moment ago.
	_, err := s.Ceph(ctx, "tell", "osd.0", "version")
	return err
}

func (s *Site) mgrServes(ctx context.Context) error {
	// rbd_support is the module that is ready last.
	_, err := s.Ceph(ctx, "rbd", "task", "list")
	return err
}

func (s *Site) mirrorServes(ctx context.Context) error {
	out, err := s.Ceph(ctx, "service", "dump", "-f", "json")
	if err != nil {
		return err
	}
	// The daemons' map holds one entry for each daemon, and a string "summary".
	var dump struct {
		Services map[string]struct {
			Daemons map[string]json.RawMessage `json:"daemons"`
		} `json:"services"`
	}
	if err := json.Unmarshal(out, &dump); err != nil {
		return fmt.Errorf("ceph service dump: %w", err)
	}
	// The entry carries no process id. One of an earlier daemon stays for a
	// while after its end, so ours is known by when it registered.
	started := s.process(Mirror).Seen
	for _, raw := range dump.Services["rbd-mirror"].Daemons {
		var daemon struct {
			StartStamp string `json:"start_stamp"`
		}
		if json.Unmarshal(raw, &daemon) != nil {
			continue
		}
		at, err := time.Parse("2006-01-02T15:04:05.999999-0700", daemon.StartStamp)
		if err == nil && at.After(started) {
			return nil
		}
	}
	return errors.New("not in the service map")
}
