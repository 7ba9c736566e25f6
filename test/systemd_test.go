package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/drover-io/drover/plans"
)

const unitFile = "examples/systemd/drover@.service"

// unitLines are the assignments of a unit, by section and key.
func unitLines(t *testing.T, text string) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok {
				t.Errorf("no assignment: %s", line)
			}
			found[section+"."+key] = append(found[section+"."+key], value)
		}
	}
	return found
}

// TestUnit holds the lines that others rely on: those of the daemon, and those
// that keep it in its place.
func TestUnit(t *testing.T) {
	lines := unitLines(t, document(t, unitFile))
	for key, want := range map[string]string{
		"Service.Type":                     "notify",
		"Service.NotifyAccess":             "main",
		"Service.User":                     "drover",
		"Service.ExecStartPre":             "/usr/bin/drover plan validate /etc/drover/%i.yaml",
		"Service.ExecStart":                "/usr/bin/drover daemon /etc/drover/%i.yaml",
		"Service.ExecReload":               "/bin/kill -HUP $MAINPID",
		"Service.WatchdogSec":              "60s",
		"Service.Restart":                  "on-failure",
		"Service.RestartPreventExitStatus": "3",
		"Service.TimeoutStopSec":           "2min",
		"Service.KillMode":                 "process",
		"Service.StateDirectory":           "drover",
		"Service.NoNewPrivileges":          "yes",
		"Service.ProtectSystem":            "strict",
		"Service.ProtectHome":              "yes",
		"Service.PrivateTmp":               "yes",
		"Service.PrivateDevices":           "yes",
		"Service.CapabilityBoundingSet":    "",
		"Service.AmbientCapabilities":      "",
		"Service.RestrictNamespaces":       "yes",
		"Service.MemoryDenyWriteExecute":   "yes",
		"Service.SystemCallFilter":         "@system-service",
		"Install.WantedBy":                 "multi-user.target",
	} {
		if got := lines[key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, not %q", key, got, want)
		}
	}
	// To Ceph by IPv4, IPv6 and admin sockets; librados looks at interfaces.
	for _, family := range []string{"AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"} {
		if !slices.Contains(strings.Fields(strings.Join(lines["Service.RestrictAddressFamilies"], " ")), family) {
			t.Errorf("%s is not allowed", family)
		}
	}
	for _, key := range []string{"Service.PrivateNetwork", "Service.IPAddressDeny", "Service.InaccessiblePaths", "Service.NoExecPaths"} {
		if lines[key] != nil {
			t.Errorf("%s keeps it from its clusters, from /etc/ceph or from rbd-mirror", key)
		}
	}
	if !strings.Contains(document(t, unitFile), "\n#LoadCredential=") {
		t.Error("no example of a credential")
	}
	if !strings.Contains(document(t, "examples/systemd/drover.sysusers.conf"), "\nu drover ") {
		t.Error("the user of the unit is made nowhere")
	}
}

// TestUnitMayStartMirror: the user of the unit may order what Drover orders of the units
// that plans name, and of no others.
func TestUnitMayStartMirror(t *testing.T) {
	rules := document(t, "examples/systemd/50-drover.rules")
	found := regexp.MustCompile(`(?m)/(\^ceph-rbd-mirror.*)/\.test\(action\.lookup\("unit"\)\)`).FindStringSubmatch(rules)
	if found == nil || !strings.Contains(rules, `subject.user == "drover"`) || !strings.Contains(rules, "org.freedesktop.systemd1.manage-units") {
		t.Fatalf("the rule has another form:\n%s", rules)
	}
	units := regexp.MustCompile(found[1])
	plan, err := plans.Parse("plan.yaml", []byte(`version: 1
name: databases
direction: one-way
primary: site-a
sites:
  - {name: site-a, conf: /etc/ceph/site-a.conf}
  - {name: site-b, conf: /etc/ceph/site-b.conf, daemon: {run: systemd}}
pools: [{name: rbd, images: [{name: vm-1}]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	if unit := plan.Site("site-b").Daemon.Unit; !units.MatchString(unit) {
		t.Errorf("the rule does not fit %s", unit)
	}
	for _, other := range []string{"ssh.service", "ceph-osd@0.service", "ceph-rbd-mirror@a.service.d/../ssh.service", "ceph-rbd-mirror@a.service\nssh.service"} {
		if units.MatchString(other) {
			t.Errorf("the rule fits %q", other)
		}
	}
	for _, verb := range []string{"start", "restart", "stop"} {
		if !strings.Contains(rules, `"`+verb+`"`) {
			t.Errorf("%s is not allowed", verb)
		}
	}
}

// TestUnitBySystemd has systemd itself read the unit. The program that it shall
// start need not be installed: another one stands for it.
func TestUnitBySystemd(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed (Debian's package systemd has it): the unit is not verified")
	}
	text := strings.ReplaceAll(document(t, unitFile), "/usr/bin/drover", "/bin/true")
	file := filepath.Join(t.TempDir(), "drover@databases.service")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// What it does not know it only warns of.
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", file).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte(filepath.Base(file))) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
