package daemon

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-io/drover/test/memnet"
)

// village is the services of leakyPlan, which say again all that they hear, and fail
// in whatever way is the fashion.
type village struct {
	t   *testing.T
	net memnet.Network

	mu      sync.Mutex
	fashion string
	heard   map[string][]string // by host: all that was said to it
	bodies  map[string][]string // and what came in bodies
	mails   []string
}

// fashions are the ways to fail; "" is to do as one is told.
var fashions = []string{"", "400", "401", "403", "404", "429", "500", "503", "silent", "hang up", "no json", "refusing", "redirect", "bad redirect", "no http", "status line"}

func newVillage(t *testing.T) *village {
	v := &village{t: t, heard: map[string][]string{}, bodies: map[string][]string{}}
	for _, host := range []string{"slack.test", "hook.test", "incoming.test", "pager.test", "pulse.test", "ntfy.test", "matrix.test"} {
		server := &http.Server{Handler: http.HandlerFunc(v.answer), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo), ReadHeaderTimeout: time.Minute}
		listener := v.net.Listen(host + ":80")
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { _ = server.Close() })
	}
	listener := v.net.Listen("127.0.0.1:25")
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go v.post(conn)
		}
	}()
	return v
}

func (v *village) follow(fashion string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fashion = fashion
}

func (v *village) hears(host, text string) (fashion string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.heard[host] = append(v.heard[host], text)
	return v.fashion
}

func (v *village) answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Host = strings.TrimSuffix(r.Host, ":80")
	echo := fmt.Sprintf("%s %s %v %s", r.Method, r.URL, r.Header, body)
	fashion := v.hears(r.Host, echo)
	v.mu.Lock()
	v.bodies[r.Host] = append(v.bodies[r.Host], string(body))
	v.mu.Unlock()
	// The host knows its own secrets in full, however they were sent.
	for name, host := range secretNames {
		if host == r.Host {
			echo += " " + secretOf(name)
		}
	}
	raw := func(text string) {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}
	var status int
	switch _, err := fmt.Sscan(fashion, &status); {
	case err == nil:
		http.Error(w, echo, status)
	case fashion == "silent":
		<-r.Context().Done()
	case fashion == "hang up":
		panic(http.ErrAbortHandler)
	case fashion == "no json":
		_, _ = io.WriteString(w, "<"+echo)
	case fashion == "refusing":
		_, _ = fmt.Fprintf(w, `{"ok":false,"error":%q,"response_metadata":{"messages":[%q]}}`, "no_such_thing "+echo, echo)
	case fashion == "redirect":
		http.Redirect(w, r, "http://elsewhere.test/"+url.PathEscape(echo), http.StatusTemporaryRedirect)
	case fashion == "bad redirect":
		w.Header().Set("Location", "http://[::"+url.PathEscape(echo)+"/%zz")
		w.WriteHeader(http.StatusFound)
	case fashion == "no http":
		raw(echo + "\r\n")
	case fashion == "status line":
		raw("HTTP/1.1 400 " + echo + "\r\n\r\n")
	case strings.HasSuffix(r.URL.Path, "apps.connections.open"):
		_, _ = fmt.Fprintf(w, `{"ok":true,"url":"ws://slack.test:80/%s"}`, url.PathEscape(secretOf("app")))
	case strings.HasSuffix(r.URL.Path, "/login"):
		_, _ = fmt.Fprintf(w, `{"flows":[{"type":"m.login.password"}],"access_token":%q}`, secretOf("room"))
	default:
		_, _ = io.WriteString(w, `{"ok":true,"channel":"C0","ts":"1.000001","room_id":"!room:matrix.test"}`)
	}
}

// post is a mail server that says again what it hears.
func (v *village) post(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(conn, format+"\r\n", args...) }
	say("220 here")
	for {
		text, err := in.ReadString('\n')
		if err != nil {
			return
		}
		text = strings.TrimSpace(text)
		fashion := v.hears("127.0.0.1", text)
		verb := strings.ToUpper(strings.SplitN(text, " ", 2)[0])
		switch {
		case fashion == "silent":
			_, _ = io.Copy(io.Discard, in)
			return
		case fashion == "hang up":
			return
		case verb == "EHLO":
			say("250-here\r\n250 AUTH PLAIN")
		case fashion != "" && verb == "AUTH":
			say("535 not you: %s %s", text, secretOf("mailword"))
		case verb == "AUTH":
			say("235 welcome")
		case verb == "DATA":
			say("354 go on")
			var text strings.Builder
			for line, err := in.ReadString('\n'); err == nil && line != ".\r\n"; line, err = in.ReadString('\n') {
				text.WriteString(line)
			}
			v.mu.Lock()
			v.mails = append(v.mails, text.String())
			v.mu.Unlock()
			say("250 taken")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 well")
		}
	}
}
