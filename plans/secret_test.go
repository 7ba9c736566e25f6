package plans

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const planWithSecrets = `version: 1
name: secrets
primary: a
sites: [{name: a, conf: a.conf}, {name: b, conf: b.conf}]
pools: [{name: rbd, mirror: pool}]
hooks:
  - name: tell
    when: after-run
    http:
      url: https://example.org/
      headers: {Authorization: "Bearer hunter2", X-Key: {file: hunter2.key}}
notifications:
  channels:
    - {name: page, type: pagerduty, token: {env: HUNTER2}}
`

func TestSecretsAreNeverShown(t *testing.T) {
	plan, err := Parse("/plans/p.yaml", []byte(planWithSecrets))
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	hook, channel := plan.Hooks[0].HTTP, plan.Notifications.Channels[0]
	header, err := json.Marshal(hook)
	if err != nil {
		t.Fatal(err)
	}
	headerYAML, err := yaml.Marshal(hook)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := json.Marshal(map[string]any{"s": channel.Token, "h": hook.Headers["Authorization"], "channel": channel, "keys": map[string]Secret{"k": channel.Token}})
	if err != nil {
		t.Fatal(err)
	}
	bareYAML, err := yaml.Marshal([]any{channel.Token, hook.Headers["X-Key"], channel})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []interface {
		MarshalText() ([]byte, error)
		String() string
	}{channel.Token, hook.Headers["Authorization"]} {
		if text, err := secret.MarshalText(); err != nil || string(text) != hidden || secret.String() != hidden {
			t.Errorf("as text: %s, %v", text, err)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "plan", plan, "token", channel.Token, "header", hook.Headers["Authorization"])
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "channel", channel, "headers", hook.Headers)
	shown := []string{string(bare), string(bareYAML), string(asYAML), string(asJSON), string(header), string(headerYAML), log.String(), channel.Token.GoString(), hook.Headers["Authorization"].GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		shown = append(shown, fmt.Sprintf(verb, *plan), fmt.Sprintf(verb, *hook), fmt.Sprintf(verb, channel))
	}
	for i, text := range shown {
		if i < 7 && !strings.Contains(text, hidden) && !strings.Contains(text, `\u003csecret\u003e`) {
			t.Errorf("%d shows no %s: %s", i, hidden, text)
		}
		// Neither the value nor where it is kept; %x would show its digits.
		for _, leak := range []string{"hunter2", "HUNTER2", fmt.Sprintf("%x", "hunter2")} {
			if strings.Contains(text, leak) {
				t.Errorf("%d leaks: %s", i, text)
			}
		}
	}
	if got := hook.Headers["X-Key"].Where(); got != "file /plans/hunter2.key" {
		t.Errorf("a relative path counts from the plan's folder, got %s", got)
	}
}

func TestReveal(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("DROVER_TEST_TOKEN", "from-env")
	t.Setenv("CREDENTIALS_DIRECTORY", folder)
	key := write("key", "from-file\r\n")
	write("empty", "\n")
	write("large", strings.Repeat("x", maxSecret+1))
	for _, test := range []struct {
		secret interface{ Reveal() (string, error) }
		want   string
		err    error
	}{
		{SecretFromFile(key), "from-file", nil},
		{SecretFromEnv("DROVER_TEST_TOKEN"), "from-env", nil},
		{SecretFromCredential("key"), "from-file", nil},
		{SecretFromCredential("../key"), "from-file", nil}, // cannot leave the folder
		{PlainHeader("text/plain"), "text/plain", nil},
		{HeaderValue{Secret: SecretFromFile(key)}, "from-file", nil},
		{Secret{}, "", ErrSecretUnset},
		{SecretFromEnv("DROVER_TEST_UNSET"), "", ErrSecretEmpty},
		{SecretFromFile(filepath.Join(folder, "empty")), "", ErrSecretEmpty},
		{SecretFromFile(filepath.Join(folder, "large")), "", ErrSecretLarge},
		{SecretFromFile(filepath.Join(folder, "none")), "", fs.ErrNotExist},
	} {
		got, err := test.secret.Reveal()
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("got %q, %v; want %q, %v", got, err, test.want, test.err)
		}
	}
	if _, err := SecretFromFile(folder).Reveal(); err == nil {
		t.Error("a folder is no secret")
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := SecretFromCredential("key").Reveal(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without credentials: %v", err)
	}
	if text, err := yaml.Marshal(struct {
		S Secret `yaml:"s,omitempty"`
	}{}); err != nil || string(text) != "{}\n" {
		t.Errorf("an absent secret is written as %s, %v", text, err)
	}
	if (Secret{}).Where() != "nowhere" || (Secret{}).String() != "" || (HeaderValue{}).IsSet() || !PlainHeader("x").IsSet() || !(HeaderValue{}).IsZero() {
		t.Error("an absent secret passes for one that is given")
	}
}
