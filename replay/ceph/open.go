package ceph

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/ceph/go-ceph/rados"

	"github.com/drover-io/drover/replay"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// dropEnvironment takes out of this process's environment what librados reads
// whenever a handle is made, and lets override the conf files of all sites
// alike. There is no other way to keep it from doing so.
func dropEnvironment() error {
	for _, name := range []string{"CEPH_ARGS", "CEPH_KEYRING"} {
		if _, set := os.LookupEnv(name); set {
			if err := os.Unsetenv(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Open connects to a cluster. It returns when the monitors have taken the
// user's key, when they do not answer (ErrUnreachable, at the latest after
// ConnectTimeout), or when ctx ends. Besides: ErrConfig for a conf file or
// keyring that cannot be used, ErrAuth for a key that the cluster refuses.
// CEPH_ARGS and CEPH_KEYRING are removed from the process's environment.
func Open(ctx context.Context, config Config) (*Site, error) {
	config = config.withDefaults()
	s := newSite(config)
	const op = "connect"
	if err := dropEnvironment(); err != nil {
		return nil, s.refuse(op, config.Conf, replay.ErrConfig, err.Error(), "")
	}
	conn, err := s.prepare()
	if err != nil {
		return nil, err
	}
	s.conn = conn
	_, err = call(ctx, s, operation{name: op}, "", func() (struct{}, error) { return struct{}{}, conn.Connect() })
	if err != nil {
		// Calls given up may still use the handle: it is ended when they end.
		_ = s.Close()
		return nil, s.connectError(ctx, err)
	}
	return s, nil
}

// prepare makes a handle and configures it, without talking to anybody.
func (s *Site) prepare() (*rados.Conn, error) {
	const op = "read configuration"
	c := s.config
	if c.Conf == "" {
		return nil, s.refuse(op, "", replay.ErrConfig, "no ceph.conf is named", "name the site's ceph.conf in the plan")
	}
	if err := readable(c.Conf); err != nil {
		return nil, s.refuse(op, c.Conf, replay.ErrConfig, err.Error(), "check the path and that the user running drover may read it")
	}
	conn, err := rados.NewConnWithClusterAndUser(c.Cluster, c.User)
	if err != nil {
		return nil, s.refuse(op, c.Conf, replay.ErrConfig, plain(err), "")
	}
	if err := conn.ReadConfigFile(c.Conf); err != nil {
		return nil, s.refuse(op, c.Conf, replay.ErrConfig, "it is not a ceph.conf: "+plain(err), "check it with: ceph-conf -c "+c.Conf+" --lookup mon_host")
	}
	for _, option := range c.options() {
		if err := conn.SetConfigOption(option[0], option[1]); err != nil && !errors.Is(err, rados.ErrNotFound) {
			return nil, s.refuse(op, c.Conf, replay.ErrConfig, fmt.Sprintf("cannot set %s: %s", option[0], plain(err)), "")
		}
	}
	if host, err := conn.GetConfigOption("mon_host"); err != nil || strings.TrimSpace(host) == "" {
		if !hasMonSections(c.Conf) {
			return nil, s.refuse(op, c.Conf, replay.ErrConfig, "it names no monitors", `it must have a line such as "mon host = 192.0.2.10"`)
		}
	}
	return conn, s.checkKeyring(conn)
}

// checkKeyring finds out whether the user's key can be had at all, which
// librados tells no better than "permission denied".
func (s *Site) checkKeyring(conn *rados.Conn) error {
	const op = "read keyring"
	if key, err := conn.GetConfigOption("key"); err == nil && key != "" {
		return nil
	}
	if file, err := conn.GetConfigOption("keyfile"); err == nil && file != "" {
		return nil
	}
	if required, err := conn.GetConfigOption("auth_client_required"); err == nil && strings.TrimSpace(required) == "none" {
		return nil
	}
	configured, err := conn.GetConfigOption("keyring")
	if err != nil {
		return s.refuse(op, "", replay.ErrConfig, plain(err), "")
	}
	var failures []string
	for _, path := range strings.FieldsFunc(configured, func(r rune) bool { return strings.ContainsRune(",; \t", r) }) {
		text, err := os.ReadFile(path)
		if err != nil {
			failures = append(failures, err.Error())
			continue
		}
		// librados takes the first keyring that it can read.
		if !keyringHas(string(text), s.config.User) {
			return s.refuse(op, path, replay.ErrConfig, "it has no key of "+s.config.User,
				"export the key with: ceph auth get "+s.config.User+" -o "+path)
		}
		return nil
	}
	return s.refuse(op, configured, replay.ErrConfig, strings.Join(failures, ", "),
		"name the keyring in the plan, or put the key there with: ceph auth get "+s.config.User)
}

// keyringHas reports whether a keyring has a section of the user with a key.
func keyringHas(text, user string) bool {
	inSection := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			inSection = line == "["+user+"]"
			continue
		}
		if name, value, ok := strings.Cut(line, "="); ok && inSection && strings.TrimSpace(name) == "key" && strings.TrimSpace(value) != "" {
			return true
		}
	}
	return false
}

// hasMonSections reports whether a conf file names monitors the old way, each
// in a section of its own.
func hasMonSections(path string) bool {
	text, err := os.ReadFile(path)
	return err == nil && strings.Contains(string(text), "[mon.")
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory", path)
	}
	return errors.Join(err, f.Close())
}

// connectError tells a wrong key from monitors that do not answer.
func (s *Site) connectError(ctx context.Context, err error) error {
	const op = "connect"
	number, _ := errnoOf(err)
	switch {
	case number == eperm || number == eacces:
		return s.refuse(op, "", replay.ErrAuth, "the monitors refuse the key of "+s.config.User,
			"compare the keyring with: ceph auth get "+s.config.User)
	case number == enoent:
		return s.refuse(op, "", replay.ErrAuth, "no key of "+s.config.User+" was found, or the monitors do not know the user",
			"compare the keyring with: ceph auth get "+s.config.User)
	case number == eio || number == einval:
		return s.refuse(op, "", replay.ErrAuth, "the key of "+s.config.User+" cannot be read: it is damaged",
			"export it again with: ceph auth get "+s.config.User)
	case number == etimedout, ctx.Err() != nil:
		e := s.refuse(op, "", replay.ErrUnreachable, "its monitors do not answer",
			"check that the monitors in "+s.config.Conf+" run and can be reached from here")
		e.Retryable = true
		return e
	case errors.Is(err, replay.ErrTimeout):
		return err
	}
	e := s.refuse(op, "", replay.ErrUnreachable, plain(err), "check that the monitors in "+s.config.Conf+" run and can be reached from here")
	e.Retryable = true
	return e
}
