package ceph

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-io/drover/replay"
)

// MgrCommand sends one command to the mgr and answers with its output.
func (s *Site) MgrCommand(ctx context.Context, command map[string]any) ([]byte, error) {
	object, _ := command["prefix"].(string)
	out, err := s.mgrCommand(ctx, opMgr, object, command)
	return out, s.explainMgr(err)
}

func (s *Site) mgrCommand(ctx context.Context, op operation, object string, command map[string]any) ([]byte, error) {
	args, err := json.Marshal(command)
	if err != nil {
		return nil, s.malformed(op, object, err)
	}
	if why := s.mgr.silent(); why != "" {
		return nil, s.refuse(op.name, object, replay.ErrTimeout, why, "see whether a mgr is active: ceph -s")
	}
	return call(ctx, s, op, object, func() ([]byte, error) {
		defer s.mgr.begin()()
		out, status, err := s.conn.MgrCommand([][]byte{args})
		return out, withStatus(err, status)
	})
}

// mgrSilence is after which time without an answer a mgr is asked nothing more
// until it answers: commands to one that is gone hang for as long as it is.
const mgrSilence = 30 * time.Second

// mgrCalls are the commands that a mgr has not answered.
type mgrCalls struct {
	mu    sync.Mutex
	next  int
	since map[int]time.Time
}

// begin notes a command; what it answers with is called at its end.
func (m *mgrCalls) begin() (end func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since == nil {
		m.since = map[int]time.Time{}
	}
	m.next++
	n := m.next
	m.since[n] = time.Now()
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.since, n)
	}
}

// silent says for how long no answer has come; "" where that is short.
func (m *mgrCalls) silent() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var longest time.Duration
	for _, at := range m.since {
		longest = max(longest, time.Since(at))
	}
	if longest < mgrSilence {
		return ""
	}
	return fmt.Sprintf("the mgr has not answered an earlier command for %s", longest.Round(time.Second))
}

// MirrorDaemons lists the rbd-mirror daemons in the cluster's service map, by
// id. A daemon that died stays there for about a minute
// (mgr_service_beacon_grace).
func (s *Site) MirrorDaemons(ctx context.Context) ([]replay.MirrorDaemon, error) {
	dump, err := s.mgrCommand(ctx, opDaemons, "", map[string]any{"prefix": "service dump", "format": "json"})
	if err != nil {
		return nil, err
	}
	status, err := s.mgrCommand(ctx, opDaemons, "", map[string]any{"prefix": "service status", "format": "json"})
	if err != nil {
		return nil, err
	}
	daemons, err := decodeDaemons(dump, status)
	if err != nil {
		return nil, s.malformed(opDaemons, "", err)
	}
	return daemons, nil
}

// serviceEntry is a daemon in `ceph service dump`.
type serviceEntry struct {
	Stamp    string `json:"start_stamp"`
	Address  string `json:"addr"`
	Metadata struct {
		ID       string `json:"id"`
		Host     string `json:"hostname"`
		Version  string `json:"ceph_version_short"`
		LongName string `json:"ceph_version"`
	} `json:"metadata"`
}

// poolStatus is a daemon's view of one pool, or of a namespace in it, in the
// JSON text that it puts into its status (tools/rbd_mirror/ServiceDaemon.cc).
type poolStatus struct {
	Name     string `json:"name"`
	Leader   bool   `json:"leader"`
	Callouts map[string]struct {
		Level string `json:"level"`
		Text  string `json:"text"`
	} `json:"callouts"`
	Assigned   int                   `json:"image_assigned_count"`
	Errors     int                   `json:"image_error_count"`
	Warnings   int                   `json:"image_warning_count"`
	Namespaces map[string]poolStatus `json:"namespaces"`
}

func decodeDaemons(dump, status []byte) ([]replay.MirrorDaemon, error) {
	var services struct {
		Services struct {
			Mirror struct {
				// One of the daemons is the text "summary".
				Daemons map[string]json.RawMessage `json:"daemons"`
			} `json:"rbd-mirror"`
		} `json:"services"`
	}
	if err := json.Unmarshal(dump, &services); err != nil {
		return nil, fmt.Errorf("service dump: %w", err)
	}
	var states struct {
		Mirror map[string]struct {
			Beacon string `json:"last_beacon"`
			Status struct {
				JSON string `json:"json"`
			} `json:"status"`
		} `json:"rbd-mirror"`
	}
	if err := json.Unmarshal(status, &states); err != nil {
		return nil, fmt.Errorf("service status: %w", err)
	}
	var daemons []replay.MirrorDaemon
	for id, raw := range services.Services.Mirror.Daemons {
		if id == "summary" {
			continue
		}
		var e serviceEntry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("service dump: daemon %s: %w", id, err)
		}
		pools, err := decodePools(states.Mirror[id].Status.JSON)
		if err != nil {
			return nil, fmt.Errorf("service status: daemon %s: %w", id, err)
		}
		daemons = append(daemons, replay.MirrorDaemon{
			ID: id, ClientID: e.Metadata.ID, Host: e.Metadata.Host, Address: e.Address, Pools: pools,
			Version: cmp.Or(e.Metadata.Version, release.FindString(e.Metadata.LongName)),
			Started: stamp(e.Stamp), Beacon: stamp(states.Mirror[id].Beacon),
		})
	}
	slices.SortFunc(daemons, func(a, b replay.MirrorDaemon) int { return cmp.Compare(a.ID, b.ID) })
	return daemons, nil
}

// stamp reads a time as Ceph prints it ("2026-11-22T16:19:56.454043+0000");
// zero when it cannot be read.
func stamp(text string) time.Time {
	for _, layout := range []string{"2006-01-02T15:04:05.999999-0700", time.RFC3339Nano, "2006-01-02 15:04:05.999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

func decodePools(text string) ([]replay.DaemonPool, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil // it has not reported yet
	}
	var byID map[string]poolStatus
	if err := json.Unmarshal([]byte(text), &byID); err != nil {
		return nil, err
	}
	var pools []replay.DaemonPool
	for id, p := range byID {
		name := cmp.Or(p.Name, id)
		pools = append(pools, daemonPool(replay.Pool{Name: name}, p, p.Leader))
		for namespace, n := range p.Namespaces {
			pools = append(pools, daemonPool(replay.Pool{Name: name, Namespace: cmp.Or(n.Name, namespace)}, n, p.Leader))
		}
	}
	slices.SortFunc(pools, func(a, b replay.DaemonPool) int { return cmp.Compare(a.Pool.String(), b.Pool.String()) })
	return pools, nil
}

func daemonPool(pool replay.Pool, p poolStatus, leader bool) replay.DaemonPool {
	d := replay.DaemonPool{Pool: pool, Leader: leader, Assigned: p.Assigned, Errors: p.Errors, Warnings: p.Warnings}
	for _, c := range p.Callouts {
		d.Callouts = append(d.Callouts, replay.Callout{Level: c.Level, Text: c.Text})
	}
	slices.SortFunc(d.Callouts, func(a, b replay.Callout) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Text, b.Text))
	})
	return d
}
