package orchestrator_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/replay"
)

// TestDrillHidesSecrets: what checks and hooks say of the plan's secrets, of the key of
// their user and of passwords in the environment is neither in the report nor recorded.
func TestDrillHidesSecrets(t *testing.T) {
	const (
		key, token, password = "AQBmZ2tqAAAAABAAd29ya2luZ29uaXQ4aGlkZQ==", "t0ken/of the pager", "pass-of-the-database"
		plain                = "said in plain"
	)
	encoded := base64.StdEncoding.EncodeToString([]byte(token))
	folder := t.TempDir()
	keyring, tokenFile := filepath.Join(folder, "keyring"), filepath.Join(folder, "token")
	for file, text := range map[string]string{keyring: "[client.drill]\n\tkey = " + key + "\n", tokenFile: token + "\n", tokenFile + "2": token} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PGPASSWORD", password)
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay+strings.NewReplacer("KEYRING", keyring, "TOKEN2", tokenFile+"2", "TOKEN", tokenFile).Replace(`
hooks:
  - {name: before, when: before-run, runbooks: [drill], command: [/bin/sh, -c, "env; cat TOKEN; echo $PGPASSWORD"]}
  - {name: other, when: before-run, runbooks: [failover], http: {url: "http://localhost/", headers: {X-Key: {file: TOKEN}}}}
drills:
  - name: nightly
    user: client.drill
    keyring: KEYRING
    checks:
      - {name: tells, per: drill, command: [/bin/sh, -c, "echo said in plain; cat $DROVER_CEPH_KEYRING TOKEN; base64 -w0 TOKEN2; echo"]}
      - {name: fails, per: drill, command: [/bin/sh, -c, "sed -n 's/.*key = //p' KEYRING >&2; exit 1"]}
`), 1)
		r, _ := b.immortal().drill(t.Context(), orchestrator.DrillOptions{})
		if len(r.Checks) != 2 || r.Checks[1].Why != "exit code 1: <secret>" || r.Checks[0].Output != plain+"\n[client.drill]\n\tkey = <secret>\n<secret>\n<secret>\n" {
			t.Error(shown(r))
		}
		said, err := json.Marshal(r)
		b.must(err)
		recorded := b.world.Ledger("a", replay.LedgerRef{Pool: "rbd", Object: "drill.shop"})
		for _, e := range recorded {
			said = append(said, e.Value...)
		}
		if len(recorded) == 0 || r.Verdict != report.Failed {
			t.Error(shown(r))
		}
		for what, secret := range map[string]string{"the key": key, "the token": token, "the token in base64": encoded, "the password": password} {
			if strings.Contains(string(said), secret) {
				t.Errorf("%s is told: %s", what, said)
			}
		}
	})
}
