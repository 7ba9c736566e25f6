package serve

import (
	"errors"
	"net"
	"testing"
	"time"
)

// TestLimited: a connection beyond the limit is accepted when another one has
// ended, and a closed listener lets nobody wait.
func TestLimited(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newLimited(inner, 2)
	accepted := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- conn
		}
	}()
	for range 4 {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	first, second := <-accepted, <-accepted
	select {
	case <-accepted:
		t.Fatal("a third one was accepted")
	default:
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	_ = first.Close() // a second time makes no more room
	var third net.Conn
	select {
	case third = <-accepted:
	case <-time.After(10 * time.Second):
		t.Fatal("the room that one has left is given to nobody")
	}
	if len(l.slots) != 2 {
		t.Errorf("%d slots are taken", len(l.slots))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ended with %v", err)
	}
	_, _ = second.Close(), third.Close()
}
