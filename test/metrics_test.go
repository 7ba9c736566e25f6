package test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// exported are the labels of each metric, as the golden file of the exporter
// lists them.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	row := regexp.MustCompile(`(?m)^(drover_\w+) (\w+) \{(.*)\}$`)
	for _, m := range row.FindAllStringSubmatch(document(t, "orchestrator/serve/testdata/metrics.golden"), -1) {
		labels := strings.Split(m[3], ", ")
		if m[2] != "histogram" {
			found[m[1]] = labels
			continue
		}
		found[m[1]+"_bucket"] = append(labels, "le")
		found[m[1]+"_count"], found[m[1]+"_sum"] = labels, labels
	}
	if len(found) < 20 {
		t.Fatalf("only %d metrics in the golden file", len(found))
	}
	return found
}

var (
	metricName = regexp.MustCompile(`\bdrover_\w+`)
	selector   = regexp.MustCompile(`\b(drover_\w+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
)

// faults are the metrics and labels of a query that nobody exports; names are
// all its metrics.
func faults(metrics map[string][]string, query string) (names, wrong []string) {
	names = metricName.FindAllString(query, -1)
	for _, name := range names {
		if _, ok := metrics[name]; !ok {
			wrong = append(wrong, "there is no metric "+name)
		}
	}
	for _, s := range selector.FindAllStringSubmatch(query, -1) {
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			if !slices.Contains(metrics[s[1]], m[1]) && m[1] != "instance" && m[1] != "job" {
				wrong = append(wrong, s[1]+" has no label "+m[1])
			}
		}
	}
	return names, wrong
}

// checkQuery fails the test for each fault of a query, and for one that asks
// for nothing of Drover's.
func checkQuery(t *testing.T, metrics map[string][]string, where, query string) {
	t.Helper()
	names, wrong := faults(metrics, query)
	for _, what := range wrong {
		t.Errorf("%s: %s", where, what)
	}
	if len(names) == 0 {
		t.Errorf("%s asks for no metric of Drover", where)
	}
}

// TestFaults: the check finds what is wrong.
func TestFaults(t *testing.T) {
	metrics := exported(t)
	for query, bad := range map[string]bool{
		`max by (plan) (drover_site_up{plan=~"$plan", site!="a"})`: false,
		`rate(drover_check_duration_seconds_bucket{le="1"}[5m])`:   false,
		`drover_check_duration_seconds`:                            true,
		`drover_no_such_thing > 0`:                                 true,
		`drover_site_up{pool="rbd"}`:                               true,
	} {
		if _, wrong := faults(metrics, query); (len(wrong) > 0) != bad {
			t.Errorf("%s: %v", query, wrong)
		}
	}
}
