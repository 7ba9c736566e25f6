package lab

import (
	"fmt"
	"os"
	"path/filepath"
)

// packagedModules is where the packages put the mgr's Python modules.
const packagedModules = "/usr/share/ceph/mgr"

// mgrModules are the modules that a lab's mgr has. It loads every one that it
// finds, enabled or not, each in an interpreter of its own; with all of them a
// site takes several seconds longer to boot.
var mgrModules = []string{
	"mgr_module.py", "mgr_util.py", "prometheus", "test_orchestrator",
	// Always on: the cluster's health is an error without any of these.
	"balancer", "crash", "devicehealth", "orchestrator", "pg_autoscaler", "progress", "rbd_support", "status",
	"telemetry", "volumes",
}

// layModules makes a module folder with links to those wanted.
func (s *Site) layModules() error {
	folder := filepath.Join(s.dir, "modules")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, m := range mgrModules {
		packaged := filepath.Join(packagedModules, m)
		if _, err := os.Stat(packaged); err != nil {
			return fmt.Errorf("%w (Debian package ceph-mgr)", err)
		}
		if err := os.Symlink(packaged, filepath.Join(folder, m)); err != nil {
			return err
		}
	}
	return nil
}
