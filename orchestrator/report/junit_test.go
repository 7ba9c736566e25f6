package report_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/drover-io/drover/orchestrator/report"
)

// junitForm is Jenkins' junit-10.xsd as far as a report uses it: of each element the
// attributes that it may and must have, and the elements that it may hold.
var junitForm = map[string]struct{ may, must, holds []string }{
	"testsuites": {may: []string{"name", "time", "tests", "failures", "errors"}, holds: []string{"testsuite"}},
	"testsuite": {
		may:   []string{"group", "time", "skipped", "timestamp", "hostname", "id", "package"},
		must:  []string{"name", "tests", "failures", "errors"},
		holds: []string{"testsuite", "properties", "testcase", "system-out", "system-err"},
	},
	"properties": {holds: []string{"property"}},
	"property":   {must: []string{"name", "value"}},
	"testcase":   {may: []string{"time", "classname", "group"}, must: []string{"name"}, holds: []string{"skipped", "error", "failure", "system-out"}},
	"skipped":    {may: []string{"type", "message"}},
	"error":      {may: []string{"type", "message"}},
	"failure":    {may: []string{"type", "message"}},
	"system-out": {},
}

var junitNumber = regexp.MustCompile(`^[0-9]+\.[0-9]{3}$`)

// checkJUnit holds a file to the form, and its counts to its cases.
func checkJUnit(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	var open []string
	seen := map[string]int{}
	said := map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("no XML: %v\n%s", err, text)
		}
		switch e := token.(type) {
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.StartElement:
			name := e.Name.Local
			form, known := junitForm[name]
			if !known || len(open) == 0 && name != "testsuites" || len(open) > 0 && !slices.Contains(junitForm[open[len(open)-1]].holds, name) {
				t.Fatalf("%s within %v", name, open)
			}
			open = append(open, name)
			seen[name]++
			var has []string
			for _, a := range e.Attr {
				has = append(has, a.Name.Local)
				if !slices.Contains(form.may, a.Name.Local) && !slices.Contains(form.must, a.Name.Local) {
					t.Errorf("%s has no attribute %s", name, a.Name.Local)
				}
				if a.Name.Local == "time" && !junitNumber.MatchString(a.Value) {
					t.Errorf("%s takes %q", name, a.Value)
				}
				if n, err := strconv.Atoi(a.Value); err == nil && name == "testsuite" {
					said[a.Name.Local] = n
				}
			}
			for _, must := range form.must {
				if !slices.Contains(has, must) {
					t.Errorf("%s lacks %s", name, must)
				}
			}
		}
	}
	if seen["testsuite"] != 1 || said["tests"] != seen["testcase"] || said["failures"] != seen["failure"] || said["errors"] != seen["error"] || said["skipped"] != seen["skipped"] {
		t.Errorf("said %v, has %v", said, seen)
	}
}

func TestJUnitForm(t *testing.T) {
	for _, s := range scenarios {
		checkJUnit(t, rendered(t, report.FormatJUnit, s.of(), nil))
	}
	text := rendered(t, report.FormatJUnit, hostile(), nil)
	checkJUnit(t, text)
	if strings.ContainsAny(text, "\x00\x1b\ufffe\u202e") || !strings.Contains(text, "\ufffd") {
		t.Error("what XML cannot hold, or nobody sees, is still there")
	}
}

type loadedCase struct {
	Name    string     `xml:"name,attr"`
	Class   string     `xml:"classname,attr"`
	Time    float64    `xml:"time,attr"`
	Failure *loadedWhy `xml:"failure"`
	Error   *loadedWhy `xml:"error"`
	Skipped *loadedWhy `xml:"skipped"`
	Out     string     `xml:"system-out"`
}

type loadedWhy struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// load reads the cases of a file as a CI system does.
func load(t *testing.T, text string) map[string]loadedCase {
	t.Helper()
	var root struct {
		Cases []loadedCase `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	cases := map[string]loadedCase{}
	for _, c := range root.Cases {
		cases[strings.TrimPrefix(c.Class, "drover.shop.drill.nightly")+" "+c.Name] = c
	}
	return cases
}

func TestJUnitSaysWhy(t *testing.T) {
	r := failedDrill()
	cases := load(t, rendered(t, report.FormatJUnit, r, nil))
	if want := 3 + len(r.Images) + len(r.Checks); len(cases) != want {
		t.Errorf("%d cases, want %d", len(cases), want)
	}
	c := cases[".checks content of rbd/web-2"]
	if c.Failure == nil || c.Failure.Message != "3 of 16384 blocks differ" || c.Time != 220 ||
		!strings.Contains(c.Failure.Text, "block 18: <differs>\n```\n") {
		t.Errorf("the failed check: %+v %+v", c, c.Failure)
	}
	if c := cases[".checks query of the drill"]; c.Skipped == nil || c.Skipped.Message != "not made: an earlier check failed" {
		t.Errorf("the skipped check: %+v", c)
	}
	if c := cases[".checks fsck of rbd/web-2"]; c.Failure != nil || !strings.Contains(c.Out, "/dev/nbd3: clean") {
		t.Errorf("the green check: %+v", c)
	}
	if c := cases[".objectives RTO"]; c.Failure == nil || c.Failure.Message != "5 min 12 s; the objective is 4 min" {
		t.Errorf("RTO: %+v", c)
	}
	if c := cases[".objectives RPO"]; c.Failure != nil || c.Skipped != nil {
		t.Errorf("RPO: %+v", c)
	}
	if c := cases[".images rbd/web-2"]; c.Failure == nil || c.Time != 67.5 {
		t.Errorf("the image: %+v", c)
	}
	aborted := load(t, rendered(t, report.FormatJUnit, abortedDrill(), nil))
	if c := aborted[" verdict"]; c.Error == nil || c.Error.Message != "failover run-9c began: the drill was swept" {
		t.Errorf("an aborted drill: %+v", c)
	}
	if c := aborted[".objectives RPO"]; c.Skipped == nil {
		t.Errorf("what was not measured: %+v", c)
	}
}

func TestJUnitEndsNoCDATAEarly(t *testing.T) {
	r := failedDrill()
	r.Checks[6].Output = "a ]]> b <![CDATA[ c & d\ttab\r\nend"
	c := load(t, rendered(t, report.FormatJUnit, r, nil))[".checks content of rbd/web-2"]
	if want := "3 of 16384 blocks differ\n\na ]]> b <![CDATA[ c & d\ttab\nend"; c.Failure == nil || c.Failure.Text != want {
		t.Errorf("got %+v", c.Failure)
	}
}

func TestJUnitHasProperties(t *testing.T) {
	text := rendered(t, report.FormatJUnit, drill(), nil)
	for name, value := range map[string]string{
		"plan": "shop", "fingerprint of the plan": "sha256:4be1f2", "version of drover": "0.6.0", "version of lyon": "ceph 17.2.7 quincy",
		"RPO achieved in seconds": "41.200", "RTO objective in seconds": "240.000", "verdict": "passed",
	} {
		if !strings.Contains(text, fmt.Sprintf(`<property name=%q value=%q>`, name, value)) {
			t.Errorf("no property %s = %s", name, value)
		}
	}
}
