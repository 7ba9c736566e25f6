package ceph

import (
	"path/filepath"
	"strings"
	"time"
)

// Config says how to reach one cluster.
type Config struct {
	// Name is the site's name in the plan; it is in every error.
	Name string
	// Conf is the path of the ceph.conf. It is the only one read: neither the
	// default search path nor CEPH_CONF, CEPH_ARGS or CEPH_KEYRING is looked at,
	// as they would be applied to every site alike.
	Conf string
	// Cluster is the cluster's name, for $cluster in the conf file. Default:
	// the conf file's name without .conf.
	Cluster string
	// User is the cephx user, such as client.drover; "client." may be left out.
	// Default: client.admin.
	User string
	// Keyring is the path of the user's keyring. Default: what the conf says.
	Keyring string

	// ConnectTimeout bounds the wait for the monitors on Open (default 5 s),
	// MonTimeout a command to them (default 10 s), OSDTimeout one operation on
	// an object (default 30 s). They are what ends a call that was given up.
	ConnectTimeout, MonTimeout, OSDTimeout time.Duration

	// Lasting is for a process that outlives an outage of the site. It leaves
	// commands without a time limit of librados' own: what is written when the answer
	// to a mgr command comes after that limit is memory that has been given back
	// (MgrClient::handle_command_reply; seen to crash 16.2.15). Who asks gives the
	// command up all the same, and it ends when the site is back.
	Lasting bool

	// Parallel is how many calls to the cluster may be in flight at once
	// (default 32).
	Parallel int
}

func (c Config) withDefaults() Config {
	if c.Cluster == "" {
		c.Cluster = strings.TrimSuffix(filepath.Base(c.Conf), ".conf")
	}
	switch {
	case c.User == "":
		c.User = "client.admin"
	case !strings.HasPrefix(c.User, "client."):
		c.User = "client." + c.User
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	if c.MonTimeout <= 0 {
		c.MonTimeout = 10 * time.Second
	}
	if c.OSDTimeout <= 0 {
		c.OSDTimeout = 30 * time.Second
	}
	if c.Parallel <= 0 {
		c.Parallel = 32
	}
	return c
}

// options are set over what the conf file says. librados takes durations in
// whole seconds in these releases.
func (c Config) options() [][2]string {
	if c.Lasting {
		c.MonTimeout = 0 // none
	}
	options := [][2]string{
		{"client_mount_timeout", seconds(c.ConnectTimeout)},
		{"rados_mon_op_timeout", seconds(c.MonTimeout)},
		{"rados_osd_op_timeout", seconds(c.OSDTimeout)},
		// Clones without a protected snapshot: protected ones block replication.
		{"rbd_default_clone_format", "2"},
		{"rbd_concurrent_management_ops", "64"},
		// Errors are returned, not printed; nothing is left on the host.
		{"admin_socket", ""},
		{"log_file", ""},
		{"log_to_file", "false"},
		{"log_to_stderr", "false"},
		{"err_to_stderr", "false"},
		{"log_to_syslog", "false"},
		{"err_to_syslog", "false"},
		{"clog_to_syslog", "false"},
		{"log_max_recent", "1"},
	}
	for _, subsystem := range []string{"ms", "rados", "objecter", "rbd", "monc", "auth", "journaler", "objectcacher", "mgrc"} {
		options = append(options, [2]string{"debug_" + subsystem, "0/0"})
	}
	if c.Keyring != "" {
		options = append(options, [2]string{"keyring", c.Keyring})
	}
	return options
}

func seconds(d time.Duration) string {
	whole := int64((d + time.Second - 1) / time.Second)
	return itoa(whole)
}
