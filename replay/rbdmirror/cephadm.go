package rbdmirror

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/drover-io/drover/replay"
)

// serviceType is the orchestrator's name for rbd-mirror.
const serviceType = "rbd-mirror"

// Mgr sends one command to a site's mgr; replay.Site does.
type Mgr interface {
	MgrCommand(ctx context.Context, command map[string]any) ([]byte, error)
}

// Cephadm is an rbd-mirror run by the mgr's orchestrator as a service.
type Cephadm struct {
	Site string
	Mgr  Mgr
	// Service is the service's name; empty: rbd-mirror. One of another name is
	// steered where it exists, and never made.
	Service string
	// Placement is where the service runs when it is made, in the
	// orchestrator's words; empty: its choice.
	Placement string
}

var _ Runner = (*Cephadm)(nil)

// Ensure makes the service unless there is one, and starts it unless its
// daemons run.
func (c *Cephadm) Ensure(ctx context.Context) (Status, error) {
	service, st, err := c.look(ctx)
	switch {
	case err != nil || st.Running:
		return st, err
	case service == nil:
		err = c.apply(ctx)
	default:
		err = c.act(ctx, "start")
	}
	if err != nil {
		return st, err
	}
	// The orchestrator deploys in its own time: what it says now is what is
	// known; whether a daemon serves is for the service map to say.
	return c.Status(ctx)
}

// Stop stops the service's daemons; the service stays.
func (c *Cephadm) Stop(ctx context.Context) error {
	service, _, err := c.look(ctx)
	if err != nil || service == nil {
		return err
	}
	return c.act(ctx, "stop")
}

// Restart restarts the service's daemons.
func (c *Cephadm) Restart(ctx context.Context) (Status, error) {
	service, st, err := c.look(ctx)
	if err != nil {
		return st, err
	}
	if service == nil {
		return c.Ensure(ctx)
	}
	if err := c.act(ctx, "restart"); err != nil {
		return st, err
	}
	return c.Status(ctx)
}

// Remove removes the service with its daemons.
func (c *Cephadm) Remove(ctx context.Context) error {
	service, _, err := c.look(ctx)
	if err != nil || service == nil {
		return err
	}
	_, err = c.command(ctx, "orch rm", map[string]any{"service_name": c.service()})
	return err
}

// Status asks the orchestrator for the service and its daemons.
func (c *Cephadm) Status(ctx context.Context) (Status, error) {
	_, st, err := c.look(ctx)
	return st, err
}

func (c *Cephadm) service() string {
	if c.Service != "" {
		return c.Service
	}
	return serviceType
}

// orchService is one service in `orch ls`.
type orchService struct {
	Name   string `json:"service_name"`
	Type   string `json:"service_type"`
	Status struct {
		Running int `json:"running"`
		Size    int `json:"size"`
	} `json:"status"`
}

// orchDaemon is one daemon in `orch ps`. Releases name it in different ways.
type orchDaemon struct {
	Type       string `json:"daemon_type"`
	Name       string `json:"daemon_name"`
	ID         string `json:"daemon_id"`
	Host       string `json:"hostname"`
	Service    string `json:"service_name"`
	StatusText string `json:"status_desc"`
}

func (d orchDaemon) name() string {
	if d.Name != "" {
		return d.Name
	}
	return d.Type + "." + d.ID
}

func (c *Cephadm) look(ctx context.Context) (*orchService, Status, error) {
	st := Status{Kind: KindCephadm, Detail: "no service " + c.service()}
	var services []orchService
	if err := c.list(ctx, "orch ls", map[string]any{"service_type": serviceType}, &services); err != nil {
		return nil, st, err
	}
	var service *orchService
	for i := range services {
		if services[i].Name == c.service() {
			service = &services[i]
		}
	}
	if service == nil {
		return nil, st, nil
	}
	var daemons []orchDaemon
	// All of them: some orchestrators refuse to list a type that they do not know.
	if err := c.list(ctx, "orch ps", nil, &daemons); err != nil {
		return nil, st, err
	}
	st.Running = service.Status.Running > 0
	st.Detail = fmt.Sprintf("%d of %d daemons run", service.Status.Running, service.Status.Size)
	var where []string
	for _, d := range daemons {
		if d.Type == serviceType && (d.Service == "" || d.Service == c.service()) {
			text := d.name() + " on " + d.Host
			if d.StatusText != "" {
				text += " (" + d.StatusText + ")"
			}
			where = append(where, text)
		}
	}
	if len(where) > 0 {
		st.Detail += ": " + strings.Join(where, ", ")
	}
	return service, st, nil
}

// list sends a command that answers with a JSON list; "No services reported"
// is an empty one.
func (c *Cephadm) list(ctx context.Context, prefix string, args map[string]any, into any) error {
	with := map[string]any{"format": "json"}
	for key, value := range args {
		with[key] = value
	}
	out, err := c.command(ctx, prefix, with)
	if err != nil {
		return err
	}
	out = bytes.TrimSpace(out)
	if len(out) == 0 || bytes.HasPrefix(out, []byte("No ")) {
		return nil
	}
	if err := json.Unmarshal(out, into); err != nil {
		return c.fail(prefix, fmt.Errorf("answer not understood: %w", err), "")
	}
	return nil
}

// Makes reports whether the service is one that Ensure can make. That is
// rbd-mirror alone: a spec of that type must have no id (Ceph 16, python-common,
// ServiceSpec.validate), and the service is named after its type then. Applied
// for another name it would run daemons that are not those the plan means.
func (c *Cephadm) Makes() bool { return c.service() == serviceType }

func (c *Cephadm) apply(ctx context.Context) error {
	if !c.Makes() {
		return c.fail("orch apply", fmt.Errorf("%w: there is no service %s, and one that is made is named %s", ErrUnsupported, c.service(), serviceType),
			"leave daemon: service: out of the plan, or name a service that ceph orch ls "+serviceType+" lists")
	}
	args := map[string]any{"service_type": serviceType}
	if c.Placement != "" {
		args["placement"] = c.Placement
	}
	_, err := c.command(ctx, "orch apply", args)
	return err
}

// act is `ceph orch start|stop|restart SERVICE`, whose prefix is just "orch".
func (c *Cephadm) act(ctx context.Context, action string) error {
	_, err := c.command(ctx, "orch", map[string]any{"action": action, "service_name": c.service()})
	return err
}

func (c *Cephadm) command(ctx context.Context, prefix string, args map[string]any) ([]byte, error) {
	command := map[string]any{"prefix": prefix}
	for key, value := range args {
		command[key] = value
	}
	out, err := c.Mgr.MgrCommand(ctx, command)
	if err == nil {
		return out, nil
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "No orchestrator configured"), strings.Contains(text, "no such command"), strings.Contains(text, "command not known"):
		return nil, c.fail(prefix, fmt.Errorf("%w: %w", ErrUnsupported, err), "the site has no orchestrator (ceph orch status): choose another run: for it")
	case strings.Contains(text, "does not support"), errors.Is(err, replay.ErrUnsupported):
		return nil, c.fail(prefix, fmt.Errorf("%w: %w", ErrUnsupported, err), "make the service by hand, then Drover finds it")
	case errors.Is(err, replay.ErrPermission):
		// The cause alone: what hangs on it knows of no orchestrator.
		return nil, c.fail(prefix, replay.ErrPermission, fmt.Sprintf(
			"Drover's user needs mgr caps: allow command %q, and more to change the service: drover plan users FILE prints them all", prefix))
	}
	return nil, c.fail(prefix, err, "")
}

func (c *Cephadm) fail(op string, err error, hint string) error {
	return &Error{Op: "ceph " + op + " " + c.service(), Site: c.Site, Err: err, Hint: hint}
}
