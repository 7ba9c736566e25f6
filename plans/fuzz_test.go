package plans

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"gopkg.in/yaml.v3"
)

// FuzzParse looks for files that break the loader, for mistakes without a
// place, and for plans that are accepted once and not again.
func FuzzParse(f *testing.F) {
	seeds := goodFiles(f)
	invalid, err := filepath.Glob("testdata/invalid/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(seeds, invalid...) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		plan, err := Parse("fuzz.yaml", text)
		if err != nil {
			var errs Errors
			if !errors.As(err, &errs) || len(errs) == 0 || plan != nil {
				t.Fatalf("got %v and %v", plan, err)
			}
			for _, d := range errs {
				if d.Line < 1 || d.Column < 1 || d.File == "" || d.What == "" || d.Instead == "" || d.Code.Meaning() == "" {
					t.Fatalf("incomplete: %+v", d)
				}
			}
			return
		}
		if err := plan.Validate(); err != nil {
			t.Fatalf("accepted, but not valid:\n%v", err)
		}
		again, err := Parse("fuzz.yaml", text)
		if err != nil || again.Fingerprint() != plan.Fingerprint() {
			t.Fatalf("read again it is another: %v", err)
		}
		if _, err := yaml.Marshal(plan); err != nil {
			t.Fatalf("cannot be written: %v", err)
		}
		for i := range plan.Pools {
			plan.RPOFor(&plan.Pools[i], "image-1")
		}
		for _, line := range []struct{ schedule, zone string }{
			{plan.Checks.Schedule, plan.Checks.TimeZone}, {plan.Verification.Schedule, plan.Verification.TimeZone},
		} {
			if line.schedule == "" {
				continue
			}
			if _, err := CronSchedule(line.schedule, line.zone); err != nil {
				t.Fatalf("accepted, but no schedule: %v", err)
			}
		}
	})
}
