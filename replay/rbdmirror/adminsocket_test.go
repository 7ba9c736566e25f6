package rbdmirror

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serveSocket answers each request with what answer makes of its prefix: the
// bytes as they go over the wire. hang keeps the connection open without one.
func serveSocket(t *testing.T, path string, answer func(prefix string) (wire []byte, hang bool)) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			request, err := bufio.NewReader(conn).ReadBytes(0)
			var command struct{ Prefix, Format string }
			if err == nil {
				err = json.Unmarshal(request[:len(request)-1], &command)
			}
			if err != nil || command.Format != "json" {
				t.Errorf("request %q: %v", request, err)
			}
			wire, hang := answer(command.Prefix)
			if hang {
				<-done
			}
			if _, err := conn.Write(wire); err != nil {
				t.Logf("write: %v", err) // the client may have gone
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() {
		close(done)
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		<-finished
	})
}

func framed(answer string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)
}

func TestAdminSocketCommands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.asok")
	var asked []string
	serveSocket(t, path, func(prefix string) ([]byte, bool) {
		asked = append(asked, prefix)
		return framed(`{"pool_replayers":[]}`), false
	})
	a, ctx := AdminSocket{path}, t.Context()
	if out, err := a.Status(ctx, Target{}); err != nil || string(out) != `{"pool_replayers":[]}` {
		t.Errorf("%s, %v", out, err)
	}
	for _, do := range []func() error{
		func() error { return a.Start(ctx, Target{}) },
		func() error { return a.Stop(ctx, ImageTarget("rbd/vm")) },
		func() error { return a.Restart(ctx, PoolTarget("rbd", "site-a")) },
		func() error { return a.Flush(ctx, ImageTarget("rbd/ns/vm")) },
	} {
		if err := do(); err != nil {
			t.Error(err)
		}
	}
	want := "rbd mirror status, rbd mirror start, rbd mirror stop rbd/vm, rbd mirror restart rbd site-a, rbd mirror flush rbd/ns/vm"
	if got := strings.Join(asked, ", "); got != want {
		t.Errorf("asked %s", got)
	}
}

func TestAdminSocketFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		wire []byte
		hang bool
		want error
		text string
	}{
		{"hangs", nil, true, context.DeadlineExceeded, ""},
		{"hangs within the answer", []byte{0, 0}, true, context.DeadlineExceeded, ""},
		{"ends without an answer", nil, false, ErrRefused, "no such command"},
		{"half a length", []byte{0, 0}, false, nil, "unexpected EOF"},
		{"answer cut short", append(framed("abcdef")[:4], "abc"...), false, nil, "cut short"},
		{"an absurd length", []byte("HTTP/1.1 400 Bad Request"), false, nil, "this is no admin socket"},
		{"no JSON", framed("Hello\x00"), false, nil, "no JSON"},
		{"an error", framed("ERROR: (22) Invalid argument"), false, ErrRefused, "Invalid argument"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.asok")
			serveSocket(t, path, func(string) ([]byte, bool) { return c.wire, c.hang })
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := AdminSocket{path}.Status(ctx, Target{})
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestFindAdminSocket(t *testing.T) {
	dir := t.TempDir()
	if _, err := FindAdminSocket(t.Context(), dir); !errors.Is(err, ErrNoSocket) {
		t.Errorf("empty folder: %v", err)
	}
	writeFile(t, filepath.Join(dir, "dead.asok"), "")
	serveSocket(t, filepath.Join(dir, "peer.asok"), func(string) ([]byte, bool) {
		return framed(`{"perf dump": "dump perfcounters value"}`), false
	})
	if _, err := FindAdminSocket(t.Context(), dir); !errors.Is(err, ErrNoSocket) {
		t.Errorf("sockets of others: %v", err)
	}
	right := filepath.Join(dir, "1.2.asok")
	serveSocket(t, right, func(string) ([]byte, bool) {
		return framed(`{"rbd mirror status": "get status for rbd mirror"}`), false
	})
	if a, err := FindAdminSocket(t.Context(), dir); err != nil || a.Path != right {
		t.Errorf("%+v, %v", a, err)
	}
}

func FuzzAdminSocketAnswer(f *testing.F) {
	f.Add(framed(`{"a":1}`))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, wire []byte) {
		path := filepath.Join(t.TempDir(), "x.asok")
		serveSocket(t, path, func(string) ([]byte, bool) { return wire, false })
		out, err := AdminSocket{path}.Status(t.Context(), Target{})
		if err == nil && !json.Valid(out) {
			t.Errorf("%q taken for a status", out)
		}
	})
}
