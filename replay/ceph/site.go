package ceph

import (
	"context"
	"encoding/json"
	"regexp"
	"sync"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/drover-io/drover/replay"
)

// Site is a connection to one Ceph cluster. Its methods may be called from
// several goroutines.
type Site struct {
	config Config
	conn   *rados.Conn
	calls  calls
	mgr    mgrCalls

	mu       sync.Mutex
	contexts map[replay.Pool]*rados.IOContext
}

var _ replay.Site = (*Site)(nil)

func newSite(config Config) *Site {
	s := &Site{config: config, contexts: make(map[replay.Pool]*rados.IOContext)}
	s.calls.init(config.Parallel)
	return s
}

// Name is the site's name in the plan.
func (s *Site) Name() string { return s.config.Name }

// closeGrace is how long Close waits for librados to say good-bye.
const closeGrace = 5 * time.Second

// Close ends the connection. Calls that still hang keep it until they end; no
// new ones are begun. It never takes longer than a few seconds.
func (s *Site) Close() error {
	c := &s.calls
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.conn = s.conn
	busy := c.inFlight > 0
	c.mu.Unlock()
	if busy {
		return nil
	}
	go c.end()
	select {
	case <-c.idle:
	case <-time.After(closeGrace):
	}
	return nil
}

var release = regexp.MustCompile(`\b\d+\.\d+\.\d+\S*`)

// Identity asks the monitors for fsid and release.
func (s *Site) Identity(ctx context.Context) (replay.Identity, error) {
	type answer struct {
		FSID    string `json:"fsid"`
		Version string `json:"version"`
	}
	var a answer
	for _, prefix := range []string{"fsid", "version"} {
		out, err := s.monCommand(ctx, opIdentity, map[string]any{"prefix": prefix, "format": "json"})
		if err != nil {
			return replay.Identity{}, err
		}
		if err := json.Unmarshal(out, &a); err != nil {
			return replay.Identity{}, s.malformed(opIdentity, prefix, err)
		}
	}
	return replay.Identity{FSID: a.FSID, Release: release.FindString(a.Version)}, nil
}

func (s *Site) monCommand(ctx context.Context, op operation, command map[string]any) ([]byte, error) {
	args, err := json.Marshal(command)
	if err != nil {
		return nil, s.malformed(op, "", err)
	}
	return call(ctx, s, op, "", func() ([]byte, error) {
		out, status, err := s.conn.MonCommand(args)
		return out, withStatus(err, status)
	})
}

// ioctx gives the context of a pool or of a namespace in it. The context is
// shared, and never destroyed before the connection: calls that were given up
// may still use it. A namespace need not exist.
func (s *Site) ioctx(pool replay.Pool) (*rados.IOContext, error) {
	id, err := s.conn.GetPoolByName(pool.Name)
	if err != nil {
		return nil, missingPool(pool.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// A pool deleted and made again has another id, and the old context finds
	// nothing.
	if ctx, ok := s.contexts[pool]; ok && ctx.GetPoolID() == id {
		return ctx, nil
	}
	ctx, err := s.conn.OpenIOContext(pool.Name)
	if err != nil {
		return nil, missingPool(pool.Name, err)
	}
	// Where there is no space, say so instead of waiting for it.
	if err := ctx.SetPoolFullTry(); err != nil {
		ctx.Destroy()
		return nil, err
	}
	if pool.Namespace != "" {
		ctx.SetNamespace(pool.Namespace)
	}
	s.contexts[pool] = ctx
	return ctx, nil
}

// inPool is call with the context of a pool.
func inPool[T any](ctx context.Context, s *Site, op operation, pool replay.Pool, object string, fn func(*rados.IOContext) (T, error)) (T, error) {
	return call(ctx, s, op, object, func() (T, error) {
		io, err := s.ioctx(pool)
		if err != nil {
			var zero T
			return zero, err
		}
		return fn(io)
	})
}
