package serve_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/plans"
)

// begin serves until the test ends, at any free port of loopback.
func begin(t *testing.T, o serve.Options) *serve.Server {
	t.Helper()
	if o.HTTP.Listen == "" {
		o.HTTP.Listen = "127.0.0.1:0"
	}
	o.Metrics, o.Build = filled(), build
	s, err := serve.Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return s
}

// reply is an answer but for its body.
type reply struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// ask makes one call over a connection of its own.
func ask(t *testing.T, client *http.Client, method, url, authorization string) (r reply, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, resp.Body)
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Status, resp.Header}, string(body)
}

// closed closes what has been opened.
func closed(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func url(s *serve.Server, path string) string { return "http://" + s.Addr().String() + path }

// secret is kept in a file of the test.
func secret(t *testing.T, text string) (plans.Secret, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return plans.SecretFromFile(path), path
}

func TestMetricsOverHTTP(t *testing.T) {
	resp, body := ask(t, http.DefaultClient, http.MethodGet, url(begin(t, serve.Options{}), "/metrics"), "")
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("%s %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	for _, line := range []string{
		`drover_build_info{commit="abcdef",goversion="go1.26",version="v1.2.3"} 1`,
		`drover_image_lag_seconds{image="vm-1",namespace="blue",plan="databases",pool="rbd",site="b"} 400`,
		`drover_check_duration_seconds_bucket{plan="databases",le="0.5"} 1`,
		`go_goroutines `, `process_open_fds `,
	} {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("no line %s", line)
		}
	}
}

func TestHealthz(t *testing.T) {
	s := begin(t, serve.Options{Ready: func() []serve.Condition { return []serve.Condition{{Kind: "lease"}} }})
	resp, body := ask(t, http.DefaultClient, http.MethodGet, url(s, "/healthz"), "")
	var h serve.Health
	if err := json.Unmarshal([]byte(body), &h); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || !h.Alive || h.Build != build || h.Started.IsZero() {
		t.Errorf("%s %+v", resp.Status, h)
	}
	if resp.Header.Get("Cache-Control") != "no-store" {
		t.Error("a cache may keep it")
	}
}

func TestReadyz(t *testing.T) {
	conditions := []serve.Condition{
		{Kind: "lease", Plan: "databases", OK: true, State: "standing by"},
		{Kind: "site", Plan: "databases", Name: "a", OK: true, State: "answers", At: noon},
	}
	s := begin(t, serve.Options{Ready: func() []serve.Condition { return conditions }})
	resp, body := ask(t, http.DefaultClient, http.MethodGet, url(s, "/readyz"), "")
	want := `{
  "ready": true,
  "conditions": [
    {
      "kind": "lease",
      "plan": "databases",
      "ok": true,
      "state": "standing by"
    },
    {
      "kind": "site",
      "plan": "databases",
      "name": "a",
      "ok": true,
      "state": "answers",
      "at": "2026-11-28T12:00:00Z"
    }
  ]
}
`
	if diff := cmp.Diff(want, body); diff != "" || resp.StatusCode != http.StatusOK {
		t.Errorf("%s (-want +got):\n%s", resp.Status, diff)
	}
	conditions = append(conditions, serve.Condition{Kind: "channel", Name: "chat", Why: "token refused"})
	resp, body = ask(t, http.DefaultClient, http.MethodGet, url(s, "/readyz"), "")
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, `"ready": false`) || !strings.Contains(body, "token refused") {
		t.Errorf("%s %s", resp.Status, body)
	}
}

func TestReadyzWithoutConditions(t *testing.T) {
	resp, body := ask(t, http.DefaultClient, http.MethodGet, url(begin(t, serve.Options{}), "/readyz"), "")
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, `"conditions": []`) {
		t.Errorf("%s %s", resp.Status, body)
	}
}

func TestReadOnly(t *testing.T) {
	s := begin(t, serve.Options{})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, "BREW"} {
		for _, path := range []string{"/metrics", "/healthz", "/readyz", "/"} {
			if resp, _ := ask(t, http.DefaultClient, method, url(s, path), ""); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %s", method, path, resp.Status)
			}
		}
	}
	if resp, body := ask(t, http.DefaultClient, http.MethodHead, url(s, "/healthz"), ""); resp.StatusCode != http.StatusOK || body != "" {
		t.Errorf("HEAD: %s %q", resp.Status, body)
	}
	if resp, _ := ask(t, http.DefaultClient, http.MethodGet, url(s, "/debug/pprof/"), ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("/debug/pprof/: %s", resp.Status)
	}
}

func TestToken(t *testing.T) {
	token, path := secret(t, "s3cret")
	s := begin(t, serve.Options{HTTP: plans.HTTP{Token: token}})
	status := func(authorization string) int {
		t.Helper()
		resp, body := ask(t, http.DefaultClient, http.MethodGet, url(s, "/metrics"), authorization)
		if resp.StatusCode == http.StatusUnauthorized && (resp.Header.Get("WWW-Authenticate") != "Bearer" || strings.Contains(body, "drover_")) {
			t.Errorf("%q: %v %s", authorization, resp.Header, body)
		}
		return resp.StatusCode
	}
	for _, wrong := range []string{"", "Bearer", "Bearer ", "s3cret", "Basic s3cret", "Bearer s3cre", "Bearer  s3cret", "Bearer s3crets"} {
		if got := status(wrong); got != http.StatusUnauthorized {
			t.Errorf("%q is answered with %d", wrong, got)
		}
	}
	if a, b := status("Bearer s3cret"), status("bearer s3cret"); a != http.StatusOK || b != http.StatusOK {
		t.Errorf("the token is answered with %d, %d", a, b)
	}

	if err := os.WriteFile(path, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if old, fresh := status("Bearer s3cret"), status("Bearer another"); old != http.StatusUnauthorized || fresh != http.StatusOK {
		t.Errorf("after a reload: old %d, new %d", old, fresh)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); !errors.Is(err, plans.ErrSecretEmpty) {
		t.Errorf("an empty token: %v", err)
	}
	if got := status("Bearer another"); got != http.StatusOK {
		t.Errorf("after a reload that failed: %d", got)
	}
}

func TestRefusedAddresses(t *testing.T) {
	token, _ := secret(t, "s3cret")
	cert, key := files(t)
	writePair(t, cert, key, "drover")
	for name, o := range map[string]plans.HTTP{
		"all":             {Listen: "0.0.0.0:0"},
		"all, IPv6":       {Listen: "[::]:0"},
		"no host":         {Listen: ":0"},
		"token, no TLS":   {Listen: ":0", Token: token},
		"TLS, no token":   {Listen: ":0", TLSCert: cert, TLSKey: key},
		"not this host":   {Listen: "192.0.2.1:0"},
		"mapped into IP6": {Listen: "[::ffff:192.0.2.1]:0"},
	} {
		if s, err := serve.Listen(t.Context(), serve.Options{HTTP: o, Metrics: filled()}); !errors.Is(err, serve.ErrOpen) {
			t.Errorf("%s: %v", name, err)
			if s != nil {
				closed(t, s)
			}
		}
	}
	for _, listen := range []string{"127.0.0.1:0", "localhost:0", "127.9.9.9:0"} {
		s, err := serve.Listen(t.Context(), serve.Options{HTTP: plans.HTTP{Listen: listen}, Metrics: filled()})
		if err != nil {
			t.Errorf("%s: %v", listen, err)
			continue
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, taken)
	for name, o := range map[string]plans.HTTP{
		"taken":          {Listen: taken.Addr().String()},
		"no port":        {Listen: "127.0.0.1"},
		"no certificate": {Listen: "127.0.0.1:0", TLSCert: "/none", TLSKey: "/none"},
		"no key":         {Listen: "127.0.0.1:0", TLSCert: "/none"},
		"no token":       {Listen: "127.0.0.1:0", Token: plans.SecretFromFile("/none")},
	} {
		if s, err := serve.Listen(t.Context(), serve.Options{HTTP: o, Metrics: filled()}); err == nil {
			t.Errorf("%s is no error", name)
			closed(t, s)
		}
	}
}

// TestLargeHeader: nobody can make the daemon keep much for them.
func TestLargeHeader(t *testing.T) {
	s := begin(t, serve.Options{})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url(s, "/healthz"), nil)
	req.Close = true
	req.Header.Set("X-Large", strings.Repeat("x", 64<<10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return // the connection was cut while it was being sent
	}
	defer closed(t, resp.Body)
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(resp.Status)
	}
}

// TestShutdown: what is being answered is finished, then the address is free.
func TestShutdown(t *testing.T) {
	asked, let := make(chan struct{}), make(chan struct{})
	s, err := serve.Listen(t.Context(), serve.Options{HTTP: plans.HTTP{Listen: "127.0.0.1:0"}, Metrics: filled(), Ready: func() []serve.Condition {
		close(asked)
		<-let
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, conn)
	if _, err := io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: drover\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	cancel()
	awaitRefused(t, s.Addr().String())
	close(let)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the answer: %v %v", resp, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// awaitRefused looks until nobody listens at the address any more.
func awaitRefused(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		closed(t, conn)
	}
	t.Fatal("the address is still served")
}
