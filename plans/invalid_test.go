package plans

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a file of testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and look at the change\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

// codeOf returns the code that an invalid file is about: NAME.yaml or
// NAME--VARIANT.yaml.
func codeOf(file string) Code {
	name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".yaml"), "--")
	return Code(name)
}

func TestInvalidFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			plan, err := Load(file)
			var errs Errors
			if !errors.As(err, &errs) || plan != nil {
				t.Fatalf("Load gave %v and %v, want Errors and no plan", plan, err)
			}
			code := codeOf(file)
			if !slices.ContainsFunc(errs, func(d Diagnostic) bool { return d.Code == code }) {
				t.Errorf("no diagnostic has the code %s", code)
			}
			var got strings.Builder
			for i, d := range errs {
				if d.Line < 1 || d.Column < 1 || d.What == "" || d.Instead == "" || d.Code.Meaning() == "" {
					t.Errorf("incomplete: %+v", d)
				}
				if i > 0 && (d.Line < errs[i-1].Line || d.Line == errs[i-1].Line && d.Column < errs[i-1].Column) {
					t.Errorf("out of order: %v after %v", d, errs[i-1])
				}
				d.File = filepath.Base(d.File)
				got.WriteString(d.String() + " [" + string(d.Code) + "]\n")
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".want", got.String())
		})
	}
}

// generated are the codes whose files would be too large to keep.
var generated = map[Code]func() string{
	CodeTooLarge: func() string { return strings.Repeat("# long\n", maxValues+1) },
}

func TestEveryCodeHasItsFile(t *testing.T) {
	for _, code := range Codes() {
		if build := generated[code]; build != nil {
			_, err := Parse("plan.yaml", []byte(build()))
			var errs Errors
			if !errors.As(err, &errs) || errs[0].Code != code {
				t.Errorf("%s: got %v", code, err)
			}
			continue
		}
		if _, err := os.Stat(filepath.Join("testdata/invalid", string(code)+".yaml")); err != nil {
			t.Errorf("no file shows %s: %v", code, err)
		}
	}
	files, err := filepath.Glob("testdata/invalid/*.yaml")
	if err != nil || len(files) < len(Codes())-len(generated) {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if codeOf(file).Meaning() == "" {
			t.Errorf("%s is about no code", file)
		}
	}
}
