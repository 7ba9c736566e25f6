package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// drillHooks are hooks that hold a group back and let it go, and note it in the file LOG.
const drillHooks = `
hooks:
  - {name: freeze, when: before-group, of: both, runbooks: [drill], command: [/bin/sh, -c, "echo frozen >> LOG; test -e LOG.quick || sleep 20"]}
  - {name: thaw, when: after-group, of: both, runbooks: [drill], command: [/bin/sh, -c, "echo thawed at $DROVER_FROM >> LOG"]}
`

// drillKilledWhileHeld kills a drill between the hooks around a group: the next sweep
// carries out those after it, once. A drill that goes well leaves none to be made up for.
func drillKilledWhileHeld(t *testing.T, file string, images moving, a, b *lab.Site) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	held := filepath.Join(t.TempDir(), "held.yaml")
	if err := os.WriteFile(held, []byte(string(text)+strings.ReplaceAll(drillHooks, "LOG", log)), 0o600); err != nil {
		t.Fatal(err)
	}
	said := func() string {
		lines, _ := os.ReadFile(log) // none where no hook was carried out
		return strings.ReplaceAll(string(lines), "\n", ";")
	}
	cmd := exec.CommandContext(t.Context(), drover, "drill", "--group", "both", held)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = cmd.Wait() // it is killed
	}()
	eventually(t, time.Minute, "the hook before the group", func() (bool, string) { return said() != "", said() })
	if err := cmd.Process.Kill(); err != nil {
		t.Errorf("the drill was over already: %v", err)
	}
	<-gone
	var swept string
	eventually(t, time.Minute, "sweep", func() (bool, string) { // the dead one's lease has to end
		r := call(t, "drill", "sweep", held)
		swept = r.String()
		return r.code == 0, swept
	})
	if got := said(); got != "frozen;thawed at site-a;" || !strings.Contains(swept, "hooks after group both") {
		t.Errorf("after the sweep: %q\n%s", got, swept)
	}
	if err := os.WriteFile(log+".quick", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var r struct {
		Verdict string   `json:"verdict"`
		Notes   []string `json:"notes"`
		Groups  []struct {
			Moment string `json:"moment"`
		} `json:"groups"`
	}
	ok(t, "drill", "-o", "json", "--group", "both", held).decode(t, &r)
	if r.Verdict != "passed" || len(r.Groups) != 1 || r.Groups[0].Moment != "one" || strings.Contains(fmt.Sprint(r.Notes), "owed") {
		t.Errorf("the next drill: %+v", r)
	}
	if got := said(); got != "frozen;thawed at site-a;frozen;thawed at site-a;" {
		t.Errorf("after the next drill: %q", got)
	}
	wantNoDrill(t, images, a, b)
}
