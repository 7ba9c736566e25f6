package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// JUnit writes a report as JUnit XML, of the form that Jenkins, GitLab and others load
// (Jenkins' junit-10.xsd): one suite, with a test case for the verdict, the RPO, the
// RTO, each image and each check. The suite fails exactly where the verdict is failed
// or aborted, or a part says so by itself.
func JUnit(w io.Writer, r *Report) error {
	suite := newJUnitSuite(r)
	root := junitSuites{
		Name: suite.Name, Time: suite.Time, Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors,
		Suites: []junitSuite{suite},
	}
	data, err := xml.MarshalIndent(root, "", "  ")
	if err != nil {
		return fmt.Errorf("write report %s as JUnit XML: %w", r.ID, err)
	}
	_, err = io.WriteString(w, xml.Header+string(data)+"\n")
	return err
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Time     string       `xml:"time,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr,omitempty"`
	ID         string          `xml:"id,attr,omitempty"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Name    string     `xml:"name,attr"`
	Class   string     `xml:"classname,attr"`
	Time    string     `xml:"time,attr"`
	Skipped *junitWhy  `xml:"skipped"`
	Error   *junitWhy  `xml:"error"`
	Failure *junitWhy  `xml:"failure"`
	Out     *junitText `xml:"system-out"`
}

type junitWhy struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",cdata"`
}

type junitText struct {
	Text string `xml:",cdata"`
}

func newJUnitSuite(r *Report) junitSuite {
	class := junitClass(r)
	suite := junitSuite{
		Name: r.title(), ID: line(r.ID), Time: junitTime(took(r.Began, r.Ended)), Properties: junitProperties(r),
	}
	if !r.Began.IsZero() {
		suite.Timestamp = r.Began.UTC().Format("2006-01-02T15:04:05")
	}
	suite.add(junitCase{Name: "verdict", Class: class, Time: suite.Time}, r.Verdict, r.Why, "")
	for _, m := range r.Measures() {
		suite.add(junitCase{Name: m.Name, Class: class + ".objectives", Time: junitTime(0)}, m.verdict(), m.words(), "")
	}
	for i := range r.Images {
		image := &r.Images[i]
		one := junitCase{Name: line(image.Image), Class: class + ".images", Time: junitTime(0)}
		if image.Up != nil {
			one.Time = junitTime(took(r.Began, *image.Up))
		}
		suite.add(one, image.Verdict, image.reason(), "")
	}
	for i := range r.Checks {
		c := &r.Checks[i]
		name := strings.TrimSuffix(line(c.Name)+" of "+c.ofText(), " of ")
		suite.add(junitCase{Name: name, Class: class + ".checks", Time: junitTime(c.Seconds)}, c.Verdict, c.Why, c.Output)
	}
	return suite
}

// junitClass groups the cases by kind and name, in the dotted way that CI systems
// make folders of.
func junitClass(r *Report) string {
	parts := []string{"drover", line(r.Plan), line(r.Kind), line(r.Name)}
	for i := range parts {
		parts[i] = strings.ReplaceAll(parts[i], ".", "_")
	}
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ".")
}

// add takes a case in, by its verdict: skipped is skipped, aborted an error.
func (s *junitSuite) add(c junitCase, v Verdict, why, output string) {
	s.Tests++
	why, output = line(why), lines(output)
	told := &junitWhy{Type: v.word(), Message: why, Text: why}
	if why == "" {
		told.Message = v.word()
	}
	if output != "" && (v == Failed || v == Aborted) {
		told.Text = strings.TrimPrefix(why+"\n\n"+output, "\n\n")
	} else if output != "" {
		c.Out = &junitText{Text: output}
	}
	switch v {
	case Passed:
	case Failed:
		s.Failures++
		c.Failure = told
	case Aborted:
		s.Errors++
		c.Error = told
	default:
		s.Skipped++
		c.Skipped = told
	}
	s.Cases = append(s.Cases, c)
}

// verdict of an objective: none is skipped, and so is one that was not measured,
// because the report's own verdict tells what that comes to.
func (m *Measure) verdict() Verdict {
	switch m.Outcome {
	case Met:
		return Passed
	case Missed:
		return Failed
	case Within:
		return Passed
	case Beyond:
		return Aborted
	case Unmeasured, Unasked:
	}
	return Skipped
}

// words tell the outcome in one line.
func (m *Measure) words() string {
	switch m.Outcome {
	case Unasked:
		return "the plan asks for none; " + spanOf(m.Achieved)
	case Unmeasured:
		return "it was not measured; the objective is " + m.asked()
	}
	return spanOf(m.Achieved) + "; the objective is " + m.asked()
}

func junitProperties(r *Report) []junitProperty {
	var all []junitProperty
	add := func(name, value string) {
		if value != "" {
			all = append(all, junitProperty{Name: line(name), Value: line(value)})
		}
	}
	add("verdict", string(r.Verdict))
	for _, f := range r.facts() {
		add(f.name, f.value)
	}
	for _, m := range r.Measures() {
		if m.Objective > 0 {
			add(m.Name+" objective in seconds", junitTime(m.Objective))
		}
		if m.Achieved != nil {
			add(m.Name+" achieved in seconds", junitTime(*m.Achieved))
		}
	}
	if m, ok := r.exposure(); ok {
		add("exposure in seconds", junitTime(*m.Achieved))
		add("exposure", m.words()+": "+string(m.Outcome))
	}
	for i := range r.Groups {
		add("group "+line(r.Groups[i].Group), r.Groups[i].Words())
	}
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		add("version of "+name, r.Versions[name])
	}
	for _, left := range r.Left {
		add("left behind", left)
	}
	for _, note := range r.Notes {
		add("note", note)
	}
	if r.MoreImages.All() > 0 {
		add("images that are not listed", r.MoreImages.words())
	}
	return all
}

// junitTime is a length of time in seconds, as Surefire writes it.
func junitTime(seconds float64) string { return fmt.Sprintf("%.3f", length(seconds)) }
