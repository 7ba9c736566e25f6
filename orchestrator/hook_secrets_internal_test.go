package orchestrator

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drover-io/drover/plans"
)

// TestPlanSecrets: the keys that are hidden are those in the files that the plan names,
// and in those that its confs name.
func TestPlanSecrets(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file("north.client.drover.keyring", "[client.drover]\nkey=key-by-the-conf==\n")
	plan := &plans.Plan{
		Drills: []plans.Drill{{User: "client.drill", Keyring: file("drill", "[client.drill]\n\tkey = \"key-of-the-drill==\"\n\tcaps mon = \"profile rbd\"\n")}},
		Sites: []plans.Site{
			{Name: "n", User: "client.drover", Conf: file("north.conf", "[global]\nfsid = x\nkeyring = "+folder+"/$cluster.$name.keyring\n[client.x]\n key = key-in-the-conf==\n")},
			{Name: "s", User: "client.drover", Conf: filepath.Join(folder, "none"), Keyring: folder},
		},
		Hooks: []plans.Hook{{HTTP: &plans.HTTPCall{Headers: map[string]plans.HeaderValue{
			"A": {Secret: plans.SecretFromFile(file("token", "-----BEGIN KEY-----\nline-one\n"))}, "B": plans.PlainHeader("application/json"), "C": {Secret: plans.SecretFromFile(folder + "/none")},
		}}}},
	}
	s := planSecrets(plan)
	for _, want := range []string{"key-by-the-conf==", "key-of-the-drill==", "key-in-the-conf==", "line-one"} {
		if !slices.Contains(s, want) {
			t.Errorf("%s is shown", want)
		}
	}
	for _, shown := range []string{"application/json", "profile", "x", "-----BEGIN KEY-----"} {
		if slices.Contains(s, shown) {
			t.Errorf("%s is hidden", shown)
		}
	}
}

// TestHookSecretsOfOthers: neither a command nor an HTTP call shows a secret of another
// part of the plan, nor what is left of one where the output is cut.
func TestHookSecretsOfOthers(t *testing.T) {
	const secret = "0123456789abcdefghijklmnopqrstuv"
	facts := someFacts
	facts.hidden.addForms(secret)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "it is "+secret)
	}))
	defer server.Close()
	if result, err := runHook(t.Context(), httpHook(t, http.MethodPost, server.URL, "other"), facts); err == nil || result.Output != "it is <secret>" || !strings.HasSuffix(err.Error(), ": it is <secret>") {
		t.Errorf("%+v, %v", result, err)
	}
	for before := range len(secret) + 2 {
		out := &tail{limit: 100, hidden: facts.hidden}
		// What is kept begins in the middle of the secret.
		_, _ = io.WriteString(out, strings.Repeat("x", 300)+secret[:before%len(secret)])
		_, _ = io.WriteString(out, secret[before%len(secret):]+strings.Repeat("y", 200-before%len(secret)))
		if text := out.text(); strings.Contains(text, "stuv") {
			t.Fatalf("cut after %d: %q", before, text)
		}
	}
	begun := &tail{limit: 100, hidden: facts.hidden, cut: true, kept: []byte(secret[10:] + " and more")}
	if text := begun.text(); text != " and more" {
		t.Errorf("%q", text)
	}
}

// TestHookSecretsOfEnvironment: passwords that a hook is given are hidden.
func TestHookSecretsOfEnvironment(t *testing.T) {
	t.Setenv("SHOP_API_KEY", "inherited-key")
	h := shellHook(`echo "$SHOP_API_KEY $PGPASSWORD $COLOUR $TOKEN_FILE"`)
	h.Env = map[string]string{"PGPASSWORD": "given-password", "COLOUR": "blue-as-the-sea", "TOKEN_FILE": "/etc/shop/token"}
	if result, err := runHook(t.Context(), h, someFacts); err != nil || result.Output != "<secret> <secret> blue-as-the-sea /etc/shop/token\n" {
		t.Errorf("%+v, %v", result, err)
	}
}
