package report_test

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/drover-io/drover/orchestrator/report"
)

// The elements and attributes of which a page is made: none of them runs, loads or
// leads anywhere.
var (
	pageElements = strings.Fields(`html head meta title style body header main section h1 h2 h3 p span ul li table thead tbody tr th td
		figure figcaption br div details summary pre svg desc line text rect circle polyline`)
	pageAttributes = strings.Fields(`lang charset http-equiv content name class scope open viewBox role aria-labelledby id
		x y x1 y1 x2 y2 dy cx cy r width height points text-anchor`)
	loads = regexp.MustCompile(`(?i)url\(|@import|https?:|src=|href=|expression\(`)
)

// checkPage holds a page to what it is made of, and its drawings to their frames.
func checkPage(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	var open []string
	var frame [2]float64
	named := map[string]bool{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page is not well formed: %v", err)
		}
		switch e := token.(type) {
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 && open[len(open)-1] == "style" && loads.Match(e) {
				t.Errorf("the style loads something: %s", loads.Find(e))
			}
		case xml.StartElement:
			open = append(open, e.Name.Local)
			if !slices.Contains(pageElements, e.Name.Local) {
				t.Errorf("element %v", open)
			}
			at := map[string]string{}
			for _, a := range e.Attr {
				at[a.Name.Local] = a.Value
				if !slices.Contains(pageAttributes, a.Name.Local) || loads.MatchString(a.Value) {
					t.Errorf("%s has %s=%q", e.Name.Local, a.Name.Local, a.Value)
				}
			}
			if id := at["id"]; id != "" {
				if named[id] {
					t.Errorf("two are %s", id)
				}
				named[id] = true
			}
			if e.Name.Local == "svg" {
				box := numbers(t, at["viewBox"])
				frame = [2]float64{box[2], box[3]}
				if at["role"] != "img" || len(strings.Fields(at["aria-labelledby"])) != 2 {
					t.Errorf("a drawing that nobody is told of: %v", at)
				}
			}
			if slices.Contains(open, "svg") {
				checkShape(t, e.Name.Local, at, frame)
			}
		}
	}
}

func numbers(t *testing.T, text string) []float64 {
	t.Helper()
	var all []float64
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil || n != n || n < 0 {
			t.Fatalf("coordinate %q", field)
		}
		all = append(all, n)
	}
	return all
}

// checkShape finds what does not lie within its drawing.
func checkShape(t *testing.T, element string, at map[string]string, frame [2]float64) {
	t.Helper()
	end := [2]float64{}
	for axis, names := range [2][]string{{"x", "x1", "x2", "cx", "width"}, {"y", "y1", "y2", "cy", "height"}} {
		for _, name := range names {
			if at[name] == "" {
				continue
			}
			n := numbers(t, at[name])[0]
			if name == "width" || name == "height" {
				n += end[axis]
			}
			end[axis] = max(end[axis], n)
		}
	}
	points := numbers(t, at["points"])
	for i := 0; i+1 < len(points); i += 2 {
		end = [2]float64{max(end[0], points[i]), max(end[1], points[i+1])}
	}
	if end[0] > frame[0] || end[1] > frame[1] {
		t.Errorf("%s %v reaches %v, beyond %v", element, at, end, frame)
	}
}

func TestPagesAreInert(t *testing.T) {
	for _, s := range scenarios {
		text := rendered(t, report.FormatHTML, s.of(), pastDrills(s.past))
		checkPage(t, text)
		if found := loads.FindString(text); found != "" {
			t.Errorf("%s: %q", s.name, found)
		}
	}
	r := hostile()
	past := pastDrills(2)
	past[0].ID, past[0].Plan, past[0].Kind, past[0].Name, past[0].Why, past[0].Verdict = r.ID+"2", r.Plan, r.Kind, r.Name, r.Why, report.Verdict(r.Why)
	text := rendered(t, report.FormatHTML, r, past)
	checkPage(t, text)
	if strings.Contains(text, "<script") || strings.Contains(text, "<img") || strings.Count(text, "</title>") != strings.Count(text, "<title") {
		t.Error("a name has got out of its place")
	}
	if !strings.Contains(text, "&lt;script&gt;alert(1)&lt;/script&gt;") {
		t.Error("the name is not shown")
	}
}

func TestPageOfMany(t *testing.T) {
	r := large(500)
	r.Images[333].Verdict, r.Checks[3*333].Verdict, r.Checks[3*333].Output = report.Failed, report.Failed, "what it said"
	text := rendered(t, report.FormatHTML, r, pastDrills(100))
	checkPage(t, text)
	drawing := text[strings.Index(text, "<svg"):strings.Index(text, "</svg>")]
	if first, second := strings.Index(drawing, "vm-0333"), strings.Index(drawing, ">rbd/tenant"); first < 0 || first > second+40 {
		t.Error("the image that failed is not the first that is drawn")
	}
	if n := strings.Count(drawing, "<rect"); n > 400 {
		t.Errorf("%d bars", n)
	}
	height := numbers(t, regexp.MustCompile(`viewBox="([^"]*)"`).FindStringSubmatch(drawing)[1])[3]
	if height > 1600 {
		t.Errorf("the drawing is %v high", height)
	}
	for _, want := range []string{"Not drawn: 470 more images", "Images that passed: 499 images", "what it said"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	if n := strings.Count(text, "<circle") + strings.Count(text, ">×<title>"); n != 2*60 {
		t.Errorf("the trends take in %d points, want the newest 60 each", n)
	}
}

func TestPageTellsTheVerdictFirst(t *testing.T) {
	text := rendered(t, report.FormatHTML, failedDrill(), nil)
	body := text[strings.Index(text, "<body>"):]
	last := 0
	for _, want := range []string{"✗ failed", "Left behind", "<h2>Objectives", "✗ missed", "<h2>Timeline", "<h2>Checks", "block 17", "<h2>Images", "<h2>Trend", "<h2>Versions"} {
		i := strings.Index(body, want)
		if i < last {
			t.Errorf("%q is not there, or too early", want)
		}
		last = i
	}
}
