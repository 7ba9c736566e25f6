package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// drillReported exports the report of a drill in all its forms, signs it, finds what was
// changed in it, and lists it.
func drillReported(t *testing.T, file, id string) {
	t.Helper()
	private, public := signingKeys(t)
	folder := t.TempDir()
	texts := map[string]string{}
	for end, form := range map[string]string{".json": "json", ".md": "markdown", ".xml": "junit", ".html": "html"} {
		to := filepath.Join(folder, "drill"+end)
		ok(t, "report", file, id, "--file", to, "--sign", private)
		data, err := os.ReadFile(to)
		if err != nil {
			t.Fatal(err)
		}
		texts[end] = string(data)
		if said := ok(t, "report", file, id, "-o", form); said.stdout != texts[end] {
			t.Errorf("-o %s says something else than the file:\n%s\n%s", form, said, data)
		}
		if said := ok(t, "report", "verify", to, "--key", public); !strings.Contains(said.stdout, "the signature holds") {
			t.Errorf("%s", said)
		}
	}

	var r struct {
		drillReport
		Outcomes map[string]string `json:"outcomes"`
		Versions map[string]string `json:"versions"`
		Exposed  []struct {
			Image string   `json:"image"`
			Age   *float64 `json:"exposure_seconds"`
		} `json:"images"`
		Groups []struct {
			Group  string   `json:"group"`
			Moment string   `json:"moment"`
			Spread *float64 `json:"spread_seconds"`
		} `json:"groups"`
	}
	if err := json.Unmarshal([]byte(texts[".json"]), &r); err != nil || r.ID != id || r.Verdict != "passed" || r.Outcomes["rpo"] != "no objective" ||
		r.Versions["drover"] == "" || r.Versions["ceph at site-a"] == "" || r.Versions["ceph at site-b"] == "" {
		t.Errorf("%v\n%s", err, texts[".json"])
	}
	if len(r.Groups) != 1 || r.Groups[0].Group != "both" || r.Groups[0].Moment != "apart" || r.Groups[0].Spread == nil {
		t.Errorf("no hook holds the writers of the group back: %+v", r.Groups)
	}
	for _, i := range r.Exposed {
		if i.Image == "rbd/by-snapshot" && (i.Age == nil || *i.Age <= 0) {
			t.Errorf("%s was as old as its newest mirror snapshot: %v", i.Image, i.Age)
		}
	}
	if !strings.Contains(texts[".md"], id) || !strings.Contains(texts[".md"], "## Objectives") {
		t.Errorf("%s", texts[".md"])
	}
	wantJUnit(t, texts[".xml"])
	wantAlone(t, texts[".html"])

	// One bit of what was signed.
	to := filepath.Join(folder, "drill.json")
	changed := []byte(texts[".json"])
	changed[strings.Index(texts[".json"], `"passed"`)+1] ^= 1
	if err := os.WriteFile(to, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, 1, []string{"verify", "drill.json"}, "report", "verify", to, "--key", public)
	_, other := signingKeys(t)
	fails(t, 1, []string{"verify", "drill.md"}, "report", "verify", filepath.Join(folder, "drill.md"), "--key", other)

	var listed struct {
		Reports []struct {
			ID      string `json:"id"`
			Verdict string `json:"verdict"`
		} `json:"reports"`
	}
	for _, args := range [][]string{{"report", "list", file, "-o", "json"}, {"drill", "history", file, "-o", "json"}} {
		said := ok(t, args...)
		said.decode(t, &listed)
		if len(listed.Reports) != 1 || listed.Reports[0].ID != id || listed.Reports[0].Verdict != "passed" {
			t.Errorf("%s", said)
		}
	}
}

// signingKeys are the files of a new pair of keys, as openssl makes them.
func signingKeys(t *testing.T) (private, public string) {
	t.Helper()
	open, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	write := func(name, kind string, data []byte, err error) string {
		file := filepath.Join(folder, name)
		if err == nil {
			err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	data, err := x509.MarshalPKCS8PrivateKey(secret)
	private = write("key.pem", "PRIVATE KEY", data, err)
	data, err = x509.MarshalPKIXPublicKey(open)
	return private, write("public.pem", "PUBLIC KEY", data, err)
}

// wantJUnit wants well-formed XML of a suite in which nothing has failed.
func wantJUnit(t *testing.T, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("no XML: %v\n%s", err, text)
		}
	}
	var suites struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []struct {
			Tests    int        `xml:"tests,attr"`
			Failures int        `xml:"failures,attr"`
			Cases    []struct{} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(text), &suites); err != nil || len(suites.Suites) != 1 || suites.Suites[0].Tests != len(suites.Suites[0].Cases) ||
		suites.Suites[0].Tests < 4 || suites.Suites[0].Failures != 0 {
		t.Errorf("%v, %+v\n%s", err, suites, text)
	}
}

// loads is what makes a browser fetch something.
var loads = regexp.MustCompile(`(?i)<(?:link|script|iframe|object|embed|base)\b|\b(?:src|srcset|poster|xlink:href)\s*=|\bhref\s*=\s*["']?[^"'#]|url\(|@import`)

// wantAlone wants a page that needs nothing else.
func wantAlone(t *testing.T, text string) {
	t.Helper()
	if found := loads.FindString(text); found != "" || !strings.HasPrefix(text, "<!DOCTYPE html>") || strings.Count(text, "<svg") < 3 {
		t.Errorf("the page loads %q\n%s", found, text)
	}
}

// runReported looks at the report of a plan's newest run, a switchover.
func runReported(t *testing.T, file string) {
	t.Helper()
	var r struct {
		Kind     string `json:"kind"`
		Verdict  string `json:"verdict"`
		Achieved struct {
			RPO *float64 `json:"rpo_seconds"`
			RTO *float64 `json:"rto_seconds"`
		} `json:"achieved"`
		Versions map[string]string `json:"versions"`
		Checks   []struct{}        `json:"checks"`
		Steps    []struct{}        `json:"steps"`
	}
	said := ok(t, "report", file, "-o", "json")
	said.decode(t, &r)
	if r.Kind != "switchover" || r.Verdict != "passed" || r.Achieved.RPO == nil || *r.Achieved.RPO != 0 || r.Achieved.RTO == nil || *r.Achieved.RTO <= 0 ||
		r.Versions["drover"] == "" || r.Versions["ceph at site-a"] == "" || r.Versions["ceph at site-b"] == "" || len(r.Checks) == 0 || len(r.Steps) == 0 {
		t.Errorf("%s", said)
	}
	wantJUnit(t, ok(t, "report", file, "-o", "junit").stdout)
}
