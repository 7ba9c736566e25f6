package test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const (
	rulesFile     = "examples/prometheus/drover.rules.yaml"
	ruleTestsFile = "examples/prometheus/drover.rules.test.yaml"
	runbookBase   = "https://github.com/drover-io/drover/blob/main/"
)

// alertRule is one alert of the rules file.
type alertRule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func alertRules(t *testing.T) []alertRule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []alertRule
		}
	}
	if err := yaml.Unmarshal([]byte(document(t, rulesFile)), &file); err != nil {
		t.Fatal(err)
	}
	var all []alertRule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("no rules")
	}
	return all
}

// TestAlerts: each alert asks for what is exported, says how bad it is, is
// tested, and links to a page that is shipped and that names it.
func TestAlerts(t *testing.T) {
	metrics := exported(t)
	tests := document(t, ruleTestsFile)
	index := document(t, "examples/runbooks/README.md")
	known := make(map[string]bool)
	for _, rule := range alertRules(t) {
		if known[rule.Alert] {
			t.Errorf("there are two of %s", rule.Alert)
		}
		known[rule.Alert] = true
		checkQuery(t, metrics, rule.Alert, rule.Expr)
		if s := rule.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s has severity %q", rule.Alert, s)
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s does not say what it is", rule.Alert)
		}
		page, ours := strings.CutPrefix(rule.Annotations["runbook_url"], runbookBase)
		if !ours || !strings.HasPrefix(page, "examples/runbooks/") {
			t.Errorf("%s has the runbook %q", rule.Alert, rule.Annotations["runbook_url"])
			continue
		}
		if first, _, _ := strings.Cut(document(t, page), "\n##"); !regexp.MustCompile(`(?m)^Alerts: .*\b` + rule.Alert + `\b`).MatchString(first) {
			t.Errorf("%s is not named at the head of %s", rule.Alert, page)
		}
		if !strings.Contains(index, "| "+rule.Alert+" |") {
			t.Errorf("examples/runbooks/README.md does not list %s", rule.Alert)
		}
		if !regexp.MustCompile(`alertname: ` + rule.Alert + `\n\s+exp_alerts:`).MatchString(tests) {
			t.Errorf("%s shows no case in which %s alerts", ruleTestsFile, rule.Alert)
		}
		if !strings.Contains(tests, "alertname: "+rule.Alert+"}") {
			t.Errorf("%s shows no case in which %s is silent", ruleTestsFile, rule.Alert)
		}
	}
	checkQuery(t, metrics, ruleTestsFile, tests)
	for _, m := range regexp.MustCompile(`\bDrover[A-Z]\w+`).FindAllString(index, -1) {
		if !known[m] {
			t.Errorf("examples/runbooks/README.md lists %s, which is no alert", m)
		}
	}
}

// TestRunbookCommands: the verbs and flags that the pages tell people to call
// are those that the README lists, and so those of the program.
func TestRunbookCommands(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "examples", "runbooks", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	readme := document(t, "README.md")
	row := regexp.MustCompile("(?m)^\\| `drover ([a-z]+(?: [a-z]+)*)[^`]*` \\| ")
	verbs := make(map[string]bool)
	for _, m := range row.FindAllStringSubmatch(readme, -1) {
		verbs[m[1]] = true
	}
	call := regexp.MustCompile("(?m)(?:^|`)drover ([a-z]+(?: [a-z]+)?)\\s([^`\n]*)")
	flag := regexp.MustCompile(`--[a-z-]+`)
	calls := 0
	for _, page := range pages {
		name := strings.TrimPrefix(page, root+"/")
		for _, m := range call.FindAllStringSubmatch(document(t, name), -1) {
			calls++
			if !verbs[m[1]] {
				t.Errorf("%s calls drover %s, which is no verb", name, m[1])
			}
			for _, f := range flag.FindAllString(m[2], -1) {
				if !strings.Contains(readme, f) {
					t.Errorf("%s calls drover %s with %s, of which the README knows nothing", name, m[1], f)
				}
			}
		}
	}
	if calls < 20 {
		t.Errorf("only %d calls were found", calls)
	}
}

// promtool runs Prometheus' own checks.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		path, err = exec.LookPath(filepath.Join(root, ".cache", "bin", "promtool"))
	}
	if err != nil {
		t.Skip("promtool is not here (sh test/setup/promtool.sh .cache/bin gets it from Debian's package prometheus): what it would check is NOT CHECKED")
	}
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRulesByPromtool(t *testing.T) {
	promtool(t, "check", "rules", filepath.Join(root, rulesFile))
	promtool(t, "test", "rules", filepath.Join(root, ruleTestsFile))
}
