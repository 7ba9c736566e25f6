package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// capDACOverride is CAP_DAC_OVERRIDE of linux/capability.h.
const capDACOverride = 1

// mirrorCommand is how the lab runs rbd-mirror.
//
// The daemon opens its local cluster a second time, and a peer that was added
// by conf file, by cluster name through the default search path
// ($data_dir/config, /etc/ceph/$cluster.conf, ~/.ceph/$cluster.conf and
// $cluster.conf in the working directory), whatever -c says. So it gets a
// working directory that holds the conf of every site under its cluster name,
// and no CEPH_CONF, which would send it to one conf for both clusters.
func (s *Site) mirrorCommand() *exec.Cmd {
	id := strings.TrimPrefix(s.mirrorUserName(), "client.")
	folder := filepath.Join(s.dir, "mirror")
	// Not by exec.Cmd's Dir: it changes to the folder as the user but before the
	// capability below counts.
	cmd := exec.Command("env", "--chdir="+folder, "rbd-mirror", "-f", "--cluster", s.Name, "--id", id)
	if os.Getuid() == 0 {
		user := uint32(s.MirrorUser())
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: user, Gid: MirrorGroup},
			// The lab's folder may lie where that user cannot go, such as /root.
			AmbientCaps: []uintptr{capDACOverride},
		}
	}
	return cmd
}

// commandLine is what /proc shows of a command once it runs: env becomes the
// program that it was given.
func commandLine(cmd *exec.Cmd) string {
	args := cmd.Args
	if args[0] == "env" {
		args = args[2:]
	}
	return strings.Join(args, " ")
}
