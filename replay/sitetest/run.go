package sitetest

import (
	"strconv"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
)

// Run runs the contract on two sites that open makes.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	s := &suite{Harness: open(t), name: strconv.FormatInt(time.Now().UnixNano()%1e9, 36)}
	// All pools are made at once: a daemon takes its time to see a new one.
	for _, kind := range []string{"two-way", "one-way", "whole", "peers", "modes", "errors", "events"} {
		ok(t, s.NewPool(t.Context(), s.pool(kind).Name))
	}
	t.Run("Cluster", s.cluster)
	t.Run("Modes", s.modes)
	t.Run("Peers", s.peers)
	s.join(t, s.pool("two-way"), replay.RxTx)
	s.join(t, s.pool("one-way"), replay.RxOnly)
	s.join(t, s.pool("whole"), replay.RxTx)
	spaced := replay.Pool{Name: s.pool("two-way").Name, Namespace: "inner"}
	t.Run("Namespaces", func(t *testing.T) { s.namespaces(t, spaced) })

	// Within the group the cases run at the same time, each on images of its own.
	t.Run("Images", func(t *testing.T) {
		s.catalogCases(t)
		s.lookCases(t)
		s.readerCases(t)
		s.replayCases(t, spaced)
		s.roleCases(t)
		s.resyncCases(t)
		s.scheduleCases(t)
		s.wholeCases(t)
		s.ledgerCases(t)
		s.writerCases(t)
		s.cloneCases(t)
		t.Run("Listen", func(t *testing.T) { t.Parallel(); s.listens(t) })
	})
	t.Run("CutShort", s.cutShort)
	t.Run("Daemons", s.daemons)
}

// join enables a pool for image mode at both sites and makes A the peer of B.
func (s *suite) join(t *testing.T, pool replay.Pool, direction replay.Direction) {
	t.Helper()
	for _, site := range []replay.Site{s.A, s.B} {
		ok(t, site.SetPoolMode(t.Context(), pool, replay.PoolImage))
	}
	token, err := s.A.CreateBootstrapToken(t.Context(), pool)
	ok(t, err)
	ok(t, s.B.ImportBootstrapToken(t.Context(), pool, direction, token))
	s.eventually(t, "both sites of "+pool.String()+" know each other's mirror uuid", func() error {
		return s.acquainted(t, pool)
	})
}
