package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const dashboardFile = "examples/grafana/drover.json"

// dashboard is what is checked of Grafana's model.
type dashboard struct {
	Title, UID string
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Panels []struct {
		ID          int
		Type, Title string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct {
			Expr, RefID string
			Datasource  struct{ UID string }
		}
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(document(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// queries are all queries by the title of their panel.
func (d dashboard) queries() map[string][]string {
	all := make(map[string][]string)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], target.Expr)
		}
	}
	return all
}

// TestDashboard: it asks for what is exported, from whatever data source is
// chosen, and no panel lies upon another.
func TestDashboard(t *testing.T) {
	d, metrics := readDashboard(t), exported(t)
	if d.Title == "" || d.UID == "" {
		t.Error("it has no title or no uid")
	}
	ids := make(map[int]bool)
	taken := make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("panel %s has an id that another one has", p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok || x >= 24 {
					t.Fatalf("panel %s lies upon %q or outside", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("panel %s asks data source %q", p.Title, target.Datasource.UID)
			}
		}
	}
	queries := d.queries()
	for title, all := range queries {
		for _, query := range all {
			checkQuery(t, metrics, "panel "+title, query)
		}
	}
	if len(queries) < 10 {
		t.Errorf("only %d panels ask anything", len(queries))
	}
	for _, v := range d.Templating.List {
		if v.Definition != "" { // the data source has none
			checkQuery(t, metrics, "variable "+v.Name, v.Definition)
		}
	}
}

// TestDashboardByPromtool: each query is one for Prometheus.
func TestDashboardByPromtool(t *testing.T) {
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	variables := strings.NewReplacer("$plan", ".*", "$__rate_interval", "5m")
	for _, queries := range readDashboard(t).queries() {
		for _, query := range queries {
			rules = append(rules, rule{fmt.Sprintf("panel:%d", len(rules)), variables.Replace(query)})
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}
