package rbdmirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/test/lab"
)

// orchestra is an orchestrator with one service or none, that records what it
// is told.
type orchestra struct {
	service bool
	name    string // of the service; empty: rbd-mirror
	running int
	orders  []string
	fails   error
}

func (o *orchestra) MgrCommand(_ context.Context, command map[string]any) ([]byte, error) {
	if o.fails != nil {
		return nil, o.fails
	}
	switch prefix := command["prefix"]; prefix {
	case "orch ls":
		if !o.service {
			return []byte("No services reported"), nil
		}
		return fmt.Appendf(nil, `[{"service_name":%q,"service_type":"rbd-mirror","status":{"running":%d,"size":1}}]`, cmp.Or(o.name, "rbd-mirror"), o.running), nil
	case "orch ps":
		return []byte(`[{"daemon_type":"mon","daemon_id":"a","hostname":"h1"},
			{"daemon_type":"rbd-mirror","daemon_id":"h1.abcdef","hostname":"h1","status_desc":"running"}]`), nil
	case "orch apply":
		o.service, o.running = true, 1
		o.orders = append(o.orders, fmt.Sprint("apply ", command["service_type"], " ", command["placement"]))
	case "orch":
		if command["action"] != "stop" {
			o.running = 1
		} else {
			o.running = 0
		}
		o.orders = append(o.orders, fmt.Sprint(command["action"], " ", command["service_name"]))
	case "orch rm":
		o.service = false
		o.orders = append(o.orders, fmt.Sprint("rm ", command["service_name"]))
	default:
		return nil, fmt.Errorf("command %v", command)
	}
	return nil, nil
}

func TestCephadmLife(t *testing.T) {
	o := &orchestra{}
	c, ctx := &Cephadm{Site: "site-b", Mgr: o, Placement: "h1"}, t.Context()
	if st, err := c.Status(ctx); err != nil || st.Running {
		t.Errorf("before: %+v, %v", st, err)
	}
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
	for range 2 {
		st, err := c.Ensure(ctx)
		if err != nil || !st.Running || st.Detail != "1 of 1 daemons run: rbd-mirror.h1.abcdef on h1 (running)" {
			t.Errorf("ensured: %+v, %v", st, err)
		}
	}
	for _, do := range []func() error{
		func() error { return c.Stop(ctx) },
		func() error { _, err := c.Ensure(ctx); return err },
		func() error { _, err := c.Restart(ctx); return err },
		func() error { return c.Remove(ctx) },
		func() error { return c.Remove(ctx) },
	} {
		if err := do(); err != nil {
			t.Error(err)
		}
	}
	want := "apply rbd-mirror h1, stop rbd-mirror, start rbd-mirror, restart rbd-mirror, rm rbd-mirror"
	if got := strings.Join(o.orders, ", "); got != want {
		t.Errorf("orders %s", got)
	}
}

// TestCephadmOtherName: a service of another name is steered where it exists,
// and never made, since what is made has the name of its type.
func TestCephadmOtherName(t *testing.T) {
	for _, there := range []*orchestra{{}, {service: true, running: 1}} {
		c := &Cephadm{Site: "site-b", Mgr: there, Service: "mirror-2"}
		_, ensured := c.Ensure(t.Context())
		_, restarted := c.Restart(t.Context())
		for _, err := range []error{ensured, restarted} {
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "no service mirror-2") || !strings.Contains(err.Error(), "ceph orch ls rbd-mirror") {
				t.Errorf("error %v", err)
			}
		}
		if len(there.orders) > 0 {
			t.Errorf("orders %q", there.orders)
		}
	}

	o := &orchestra{service: true, name: "mirror-2"}
	st, err := (&Cephadm{Site: "site-b", Mgr: o, Service: "mirror-2"}).Ensure(t.Context())
	if err != nil || !st.Running || strings.Join(o.orders, ", ") != "start mirror-2" {
		t.Errorf("%+v, %v; orders %q", st, err, o.orders)
	}
}

func TestCephadmErrors(t *testing.T) {
	for _, c := range []struct {
		answer error
		want   error
		text   string
	}{
		{errors.New("ENOENT: No orchestrator configured (try `ceph orch set backend`)"), ErrUnsupported, "ceph orch status"},
		{errors.New("This Orchestrator does not support `orch apply`"), ErrUnsupported, "by hand"},
		{replay.ErrPermission, replay.ErrPermission, "caps"},
		{replay.ErrTimeout, replay.ErrTimeout, "site site-b: ceph orch ls rbd-mirror"},
	} {
		_, err := (&Cephadm{Site: "site-b", Mgr: &orchestra{fails: c.answer}}).Ensure(t.Context())
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %q", c.answer, err)
		}
	}
}

// commandLine sends mgr commands as the ceph program does, which builds the
// same JSON from them.
type commandLine struct{ *lab.Site }

func (c commandLine) MgrCommand(ctx context.Context, command map[string]any) ([]byte, error) {
	args := strings.Fields(fmt.Sprint(command["prefix"]))
	if action, ok := command["action"]; ok {
		args = append(args, fmt.Sprint(action))
	}
	for _, key := range []string{"service_type", "service_name", "placement"} {
		value, ok := command[key]
		switch {
		case !ok:
		case args[len(args)-1] == "ls":
			args = append(args, "--"+key, fmt.Sprint(value))
		default:
			args = append(args, fmt.Sprint(value))
		}
	}
	if format, ok := command["format"]; ok {
		args = append(args, "--format", fmt.Sprint(format))
	}
	return c.Ceph(ctx, args...)
}

// TestCephadmOnTestOrchestrator speaks to the mgr's own orchestrator for tests,
// which takes services from a file and says "done" to all orders.
func TestCephadmOnTestOrchestrator(t *testing.T) {
	site := realLab(t).Site("site-a")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ceph := func(args ...string) error { _, err := site.Ceph(ctx, args...); return err }
	c := &Cephadm{Site: "site-a", Mgr: commandLine{site}}

	if _, err := c.Status(ctx); !errors.Is(err, ErrUnsupported) {
		t.Errorf("without an orchestrator: %v", err)
	}
	if err := ceph("mgr", "module", "enable", "test_orchestrator"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the test orchestrator is there", func() bool {
		return ceph("orch", "set", "backend", "test_orchestrator") == nil
	})
	if _, err := c.Ensure(ctx); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "orch apply") {
		t.Errorf("an orchestrator that cannot make services: %v", err)
	}
	load := func(running string) {
		t.Helper()
		data := writeFile(t, filepath.Join(t.TempDir(), "services.json"), strings.ReplaceAll(`{
			"services": [{"service_name": "rbd-mirror", "service_type": "rbd-mirror", "placement": {"count": 1},
				"status": {"running": RUNNING, "size": 1}}],
			"daemons": [{"daemon_type": "rbd-mirror", "daemon_id": "h1.abcdef", "hostname": "h1", "status": RUNNING, "status_desc": "running"}]
		}`, "RUNNING", running))
		if err := ceph("test_orchestrator", "load_data", "-i", data); err != nil {
			t.Fatal(err)
		}
	}
	load("0")
	if st, err := c.Ensure(ctx); err != nil || st.Running {
		t.Errorf("start of a stopped service: %+v, %v", st, err)
	}
	load("1")
	st, err := c.Ensure(ctx)
	if err != nil || !st.Running || !strings.HasPrefix(st.Detail, "1 of 1 daemons run: rbd-mirror.h1.abcdef on h1") {
		t.Errorf("a running service: %+v, %v", st, err)
	}
	if _, err := c.Restart(ctx); err != nil {
		t.Error(err)
	}
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
	if err := c.Remove(ctx); err != nil {
		t.Error(err)
	}
}
