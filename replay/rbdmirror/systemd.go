package rbdmirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Command runs a program and answers with its standard output; its standard
// error is in the error.
type Command func(ctx context.Context, name string, args ...string) ([]byte, error)

// RunCommand is the Command of this host.
func RunCommand(ctx context.Context, name string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return stdout.Bytes(), ctx.Err()
	}
	if err != nil {
		if text := strings.TrimSpace(stderr.String()); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return stdout.Bytes(), err
	}
	return stdout.Bytes(), nil
}

// Systemd is an rbd-mirror run as a systemd unit of this host, such as
// ceph-rbd-mirror@rbd-mirror.site-b.service.
type Systemd struct {
	Site string
	Unit string
	// Run runs systemctl; nil: RunCommand.
	Run Command
}

var _ Runner = (*Systemd)(nil)

// Ensure starts the unit unless it is active.
func (s *Systemd) Ensure(ctx context.Context) (Status, error) {
	st, err := s.Status(ctx)
	if err != nil || st.Running {
		return st, err
	}
	return s.order(ctx, "start")
}

// Restart restarts the unit.
func (s *Systemd) Restart(ctx context.Context) (Status, error) {
	if st, err := s.Status(ctx); err != nil {
		return st, err
	}
	return s.order(ctx, "restart")
}

// Stop stops the unit.
func (s *Systemd) Stop(ctx context.Context) error {
	st, err := s.Status(ctx)
	if err != nil || !st.Running && !strings.HasPrefix(st.Detail, "activating") {
		return err
	}
	_, err = s.systemctl(ctx, "stop", s.Unit)
	return err
}

func (s *Systemd) order(ctx context.Context, verb string) (Status, error) {
	if _, err := s.systemctl(ctx, verb, s.Unit); err != nil {
		return Status{Kind: KindSystemd}, err
	}
	st, err := s.Status(ctx)
	if err != nil {
		return st, err
	}
	if !st.Running {
		return st, s.fail(verb+" "+s.Unit, fmt.Errorf("%w: %s", ErrUnitFailed, st.Detail), "journalctl -u "+s.Unit+" tells why")
	}
	return st, nil
}

// shown are the properties asked of a unit.
const shown = "LoadState,ActiveState,SubState,MainPID,ActiveEnterTimestamp,Result"

// Status asks systemd for the unit.
func (s *Systemd) Status(ctx context.Context) (Status, error) {
	st := Status{Kind: KindSystemd}
	out, err := s.systemctl(ctx, "show", s.Unit, "--property="+shown)
	if err != nil {
		return st, err
	}
	unit := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			unit[key] = value
		}
	}
	if unit["LoadState"] == "not-found" || unit["ActiveState"] == "" {
		return st, s.fail("look at "+s.Unit, ErrNoUnit, "systemctl list-units 'ceph-rbd-mirror*' shows those that there are; Debian's package rbd-mirror brings ceph-rbd-mirror@ID.service")
	}
	st.Running = unit["ActiveState"] == "active" || unit["ActiveState"] == "reloading"
	st.Detail = fmt.Sprintf("%s (%s)", unit["ActiveState"], unit["SubState"])
	if result := unit["Result"]; result != "" && result != "success" {
		st.Detail += ", " + result
	}
	if pid, err := strconv.Atoi(unit["MainPID"]); err == nil && st.Running {
		st.PID = pid
	}
	if since, err := time.Parse("Mon 2006-01-02 15:04:05 MST", unit["ActiveEnterTimestamp"]); err == nil && st.Running {
		st.Since = since
	}
	return st, nil
}

func (s *Systemd) systemctl(ctx context.Context, args ...string) ([]byte, error) {
	run := s.Run
	if run == nil {
		run = RunCommand
	}
	op := "systemctl " + args[0] + " " + s.Unit
	if s.Unit == "" || strings.HasPrefix(s.Unit, "-") {
		return nil, s.fail(op, ErrNoUnit, "name the unit in the plan, such as ceph-rbd-mirror@rbd-mirror."+s.Site)
	}
	// "--" keeps a unit's name from being taken for an option.
	full := append([]string{"--no-pager", "--no-ask-password", args[0]}, append(append([]string{}, args[2:]...), "--", args[1])...)
	out, err := run(ctx, "systemctl", full...)
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, exec.ErrNotFound):
		return nil, s.fail(op, fmt.Errorf("%w: %w", ErrNoSystemd, err), "there is no systemctl on this host: run Drover where the unit is, or choose another run: for the site")
	case strings.Contains(err.Error(), "not been booted with systemd"), strings.Contains(err.Error(), "connect to bus"):
		return nil, s.fail(op, fmt.Errorf("%w: %w", ErrNoSystemd, err), "run Drover where the unit is, or choose another run: for the site")
	case strings.Contains(err.Error(), "authentication required"), strings.Contains(err.Error(), "Access denied"):
		return nil, s.fail(op, err, "run Drover as root, or give its user the polkit right org.freedesktop.systemd1.manage-units")
	}
	return nil, s.fail(op, err, "journalctl -u "+s.Unit+" tells more")
}

func (s *Systemd) fail(op string, err error, hint string) error {
	return &Error{Op: op, Site: s.Site, Err: err, Hint: hint}
}
