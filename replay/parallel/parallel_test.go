package parallel_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/drover-io/drover/replay/parallel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func whereItBegan() { panic("no such case") }

// caughtOf is the panic of f, which must be the one of whereItBegan, with its stack.
func caughtOf(t *testing.T, f func()) {
	t.Helper()
	caught := parallel.Catch(f)
	if caught == nil {
		t.Fatal("it does not panic")
	}
	if text := caught.Error(); caught.Value != "no such case" || !strings.Contains(text, "whereItBegan") || !strings.Contains(text, "panic: no such case") {
		t.Errorf("%v", caught)
	}
}

func TestGroup(t *testing.T) {
	var all atomic.Int64
	caughtOf(t, func() {
		var outer parallel.Group
		outer.Go(func() {
			var inner parallel.Group
			inner.Go(whereItBegan)
			for range 9 {
				inner.Go(func() { all.Add(1) })
			}
			inner.Wait()
			t.Error("the inner one does not panic")
		})
		outer.Go(func() { all.Add(1) })
		defer func() {
			if all.Load() != 10 {
				t.Errorf("%d have ended when it panics", all.Load())
			}
		}()
		outer.Wait()
		t.Error("the outer one does not panic")
	})

	var fine parallel.Group
	fine.Go(func() { all.Add(1) })
	if caught := parallel.Catch(fine.Wait); caught != nil || all.Load() != 11 {
		t.Errorf("%v, %d", caught, all.Load())
	}
}

func TestErrGroup(t *testing.T) {
	// What waits for the one that panics is not left waiting.
	caughtOf(t, func() {
		g, ctx := parallel.WithContext(t.Context())
		g.Go(func() error {
			whereItBegan()
			return nil
		})
		g.Go(func() error {
			<-ctx.Done()
			return ctx.Err()
		})
		_ = g.Wait()
		t.Error("it does not panic")
	})

	failed := errors.New("failed")
	g, ctx := parallel.WithContext(context.Background())
	g.Go(func() error { return failed })
	if err := g.Wait(); !errors.Is(err, failed) || ctx.Err() == nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}
