// Package memnet is a network in memory, for tests whose time is testing/synctest's:
// nothing in it waits for anything but its other end.
package memnet

import (
	"context"
	"net"
	"os"
	"sync"
	"syscall"
)

// Network is where listeners are found by their addresses. The zero value is one.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
}

// Dial calls an address. Where nobody listens the call is refused.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	if l == nil {
		return nil, refused
	}
	near, far := net.Pipe()
	select {
	case l.calls <- far:
		return near, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Listen listens at an address, host and port, until what it returns is closed.
func (n *Network) Listen(address string) net.Listener {
	l := &listener{network: n, address: address, calls: make(chan net.Conn), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	n.listeners[address] = l
	return l
}

type listener struct {
	network *Network
	address string
	calls   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.calls:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		if l.network.listeners[l.address] == l {
			delete(l.network.listeners, l.address)
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return place(l.address) }

// place is an address.
type place string

func (place) Network() string { return "memory" }

func (p place) String() string { return string(p) }
