package orchestrator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/plans"
)

// httpHook is a hook that calls an address with one secret header.
func httpHook(t *testing.T, method, address, secret string) *plans.Hook {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &plans.Hook{Name: "dns", Timeout: plans.Duration(20 * time.Second), HTTP: &plans.HTTPCall{
		URL: address, Method: method,
		Headers: map[string]plans.HeaderValue{"Authorization": {Secret: plans.SecretFromFile(file)}, "X-Plain": plans.PlainHeader("p")},
	}}
}

func TestHookCall(t *testing.T) {
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "done\r\n")
	}))
	defer server.Close()
	for _, method := range []string{"", http.MethodPost, http.MethodPut, http.MethodGet} {
		h := httpHook(t, method, server.URL+"/v1", "Bearer hunter2")
		h.HTTP.Headers["Host"] = plans.PlainHeader("dns.example.org")
		result, err := runHook(t.Context(), h, someFacts)
		if err != nil || result.Status != http.StatusAccepted || result.Output != "done\n" {
			t.Fatalf("%+v, %v", result, err)
		}
		if got.Header.Get("Authorization") != "Bearer hunter2" || got.Header.Get("X-Plain") != "p" || got.Host != "dns.example.org" {
			t.Errorf("headers: %v", got.Header)
		}
		if method == http.MethodGet {
			if len(body) != 0 || got.Method != http.MethodGet {
				t.Errorf("GET with %s", body)
			}
			continue
		}
		var facts map[string]any
		if err := json.Unmarshal(body, &facts); err != nil || facts["version"] != 1.0 || facts["run"] != "r-1" || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s, %v", got.Method, body, err)
		}
	}
}

func TestHookCallStatus(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var code int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "first\nsecond\n")
	}))
	defer server.Close()
	for _, test := range []struct {
		code, expect int
		want         string
	}{
		{200, 0, ""},
		{299, 0, ""},
		{404, 404, ""},
		{500, 0, "answered 500 Internal Server Error: second"},
		{200, 201, "answered 200 OK, not 201: second"},
	} {
		h := httpHook(t, http.MethodPost, fmt.Sprintf("%s/%d?key=hunter2", server.URL, test.code), "tok")
		h.HTTP.Expect = test.expect
		result, err := runHook(t.Context(), h, someFacts)
		if result.Status != test.code {
			t.Errorf("%+v: status %d", test, result.Status)
		}
		if test.want != "" {
			test.want = fmt.Sprintf("hook dns: POST %s/%d: %s", server.URL, test.code, test.want)
		}
		if got := fmt.Sprint(err); got != test.want && (err != nil || test.want != "") {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// TestHookCallSecrets: what a server sends back shows no secret, nor does any
// error.
func TestHookCallSecrets(t *testing.T) {
	const secret = "Bearer hunter2-hunter2"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		echo := r.Header.Get("Authorization")
		_, token, _ := strings.Cut(echo, " ")
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "http://hunter2-hunter2.example.org/"+token, http.StatusTemporaryRedirect)
		case "/loop":
			http.Redirect(w, r, "/loop?"+token, http.StatusTemporaryRedirect)
		case "/broken":
			w.Header().Set("Location", "http://[::1/"+token)
			w.WriteHeader(http.StatusTemporaryRedirect)
		case "/long":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, strings.Repeat("x", maxAnswer-10)+token)
		default:
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, "no: %s, %s", echo, token)
		}
	}))
	defer server.Close()
	for _, path := range []string{"/", "/moved", "/loop", "/broken", "/long"} {
		result, err := runHook(t.Context(), httpHook(t, http.MethodPost, server.URL+path, secret), someFacts)
		if err == nil {
			t.Errorf("%s succeeds", path)
			continue
		}
		if shown := result.Output + err.Error(); strings.Contains(shown, "hunter2") {
			t.Errorf("%s shows a secret: %v, %q", path, err, result.Output)
		}
		if path == "/" && result.Output != "no: <secret>, <secret>" {
			t.Errorf("%q", result.Output)
		}
	}
	_, err := runHook(t.Context(), httpHook(t, http.MethodPost, server.URL, "hunter2\nX-Other: y"), someFacts)
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "Authorization") {
		t.Errorf("a header of two lines: %v", err)
	}
	h := httpHook(t, http.MethodPost, server.URL, "x")
	h.HTTP.Headers["Authorization"] = plans.HeaderValue{Secret: plans.SecretFromEnv("HOOK_TEST_UNSET")}
	if _, err := runHook(t.Context(), h, someFacts); !errors.Is(err, plans.ErrSecretEmpty) {
		t.Errorf("an unset secret: %v", err)
	}
	if got := (secrets{"abcdef"}).withoutBegun("xx abc"); got != "xx " {
		t.Errorf("%q", got)
	}
}

func TestHookCallRedirects(t *testing.T) {
	reached := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer other.Close()
	var last string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/other":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/307":
			http.Redirect(w, r, "/end", http.StatusTemporaryRedirect)
		case "/302":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/end":
			last = r.Method + " " + r.Header.Get("Authorization") + " " + fmt.Sprint(len(body) > 0)
		}
	}))
	defer server.Close()
	call := func(method, path string, expect int) error {
		h := httpHook(t, method, server.URL+path, "tok")
		h.HTTP.Expect = expect
		_, err := runHook(t.Context(), h, someFacts)
		return err
	}
	if err := call(http.MethodPut, "/307", 0); err != nil || last != "PUT tok true" {
		t.Errorf("on the same host: %v, %s", err, last)
	}
	if err := call(http.MethodGet, "/302", 0); err != nil || last != "GET tok false" {
		t.Errorf("a GET: %v, %s", err, last)
	}
	last = ""
	if err := call(http.MethodPost, "/302", 0); err == nil || !strings.Contains(err.Error(), "would make it a GET") || last != "" {
		t.Errorf("another method: %v, %s", err, last)
	}
	if err := call(http.MethodPost, "/302", 302); err != nil || last != "" {
		t.Errorf("the redirect is wanted: %v, %s", err, last)
	}
	if err := call(http.MethodPost, "/other", 0); err == nil || !strings.Contains(err.Error(), "another host") || reached != 0 {
		t.Errorf("another host: %v, reached %d times", err, reached)
	}
}

func TestHookCallEnds(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
		<-release
	}))
	defer server.Close()
	defer close(release)
	for _, path := range []string{"/", "/body"} {
		h := httpHook(t, http.MethodPost, server.URL+path, "tok")
		h.Timeout = plans.Duration(100 * time.Millisecond)
		if _, err := runHook(t.Context(), h, someFacts); !errors.Is(err, errHookTimeout) || !strings.Contains(err.Error(), "100ms") {
			t.Errorf("%s: %v", path, err)
		}
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	_, err := runHook(t.Context(), httpHook(t, http.MethodPost, gone.URL+"/x?key=hunter2", "tok"), someFacts)
	if err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("nobody listens: %v", err)
	}
}
