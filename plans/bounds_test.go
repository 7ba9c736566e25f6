package plans

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// allocated returns how many bytes a call allocates in all, freed or not.
func allocated(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

const head = "version: 1\nname: x\nprimary: a\nsites: [{name: a, conf: a}, {name: b, conf: b}]\n"

// TestHostileFiles gives the loader files that are made to exhaust it. What is
// measured is memory: time follows it, and does not hang on the machine.
func TestHostileFiles(t *testing.T) {
	many := func(unit string, n int) string { return strings.Repeat(unit, n) }
	merges := func() string {
		var b strings.Builder
		b.WriteString(head + "pools:\n- name: p\n  images:\n  - &i0 {name: n}\n")
		for i := 1; i < 30; i++ {
			fmt.Fprintf(&b, "  - &i%d {<<: [%s]}\n", i, strings.TrimSuffix(many(fmt.Sprintf("*i%d, ", i-1), 10), ", "))
		}
		return b.String()
	}
	for name, test := range map[string]struct {
		text string
		code Code
		most uint64
	}{
		"10 MB":                 {many("x", 10<<20), CodeTooLarge, 64 << 10},
		"10 MB plan":            {head + many("# comment\n", 1<<20), CodeTooLarge, 64 << 10},
		"a million lines":       {head + many("\n", 1<<20), CodeTooLarge, 64 << 10},
		"a million commas":      {head + "pools: [" + many("a,", 1<<20), CodeTooLarge, 64 << 10},
		"a million brackets":    {head + "pools: " + many("[", 1<<20), CodeTooDeep, 64 << 10},
		"half a million braces": {head + "pools: " + many("{a: ", 1<<19), CodeTooDeep, 64 << 10},
		"deep brackets":         {head + "pools: " + many("[\n", 1<<17), CodeTooDeep, 64 << 10},
		"a million dashes":      {head + "pools:\n" + many("- ", 1<<20), CodeTooDeep, 64 << 10},
		"deep indentation":      {head + "pools:\n" + indented(2000), CodeTooDeep, 64 << 10},
		"behind anchors":        {head + "pools: " + many("&a [", 1000), CodeTooDeep, 64 << 10},
		"behind tags":           {head + "pools: " + many("!!seq [", 1000), CodeTooDeep, 64 << 10},
		"behind a comment":      {head + "pools:\t# |\n  " + many("[", 100_000), CodeTooDeep, 64 << 10},
		"behind a quote":        {head + "pools: [\n#, \"\n" + many("[", 100_000), CodeTooDeep, 64 << 10},
		"merges of merges":      {merges(), CodeAliasBomb, 64 << 20},
		"one long text":         {head + "description: " + many("x", maxFile), CodeTooLarge, 64 << 10},
		"one long key":          {head + many("x", 1<<20) + ": 1\n", CodeSyntax, 64 << 20},
		"many unknown keys":     {head + unknownKeys(100_000), CodeTooMany, 256 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			used := allocated(func() { _, err = Parse("x.yaml", []byte(test.text)) })
			used -= min(used, uint64(len(test.text))) // the copy of the text itself
			var errs Errors
			if !errors.As(err, &errs) || !hasCode(errs, test.code) {
				t.Errorf("got %.500v, want %s", err, test.code)
			}
			if used > test.most {
				t.Errorf("allocates %d KiB, more than %d", used>>10, test.most>>10)
			}
			if len(errs.Error()) > 1<<20 {
				t.Errorf("the message has %d bytes", len(errs.Error()))
			}
		})
	}
}

// TestSecondFence gives the YAML parser what scan would have refused: should a
// text ever mislead scan, the parser's own bound holds.
func TestSecondFence(t *testing.T) {
	for _, text := range []string{strings.Repeat("[", 1<<20), strings.Repeat("- ", 1<<20), strings.Repeat("{a: ", 1<<20)} {
		used := allocated(func() {
			if document, errs := parseYAML([]byte(text)); document != nil || !hasCode(errs, CodeSyntax) {
				t.Errorf("%.9s: got %v", text, errs)
			}
		})
		if used > 128<<20 {
			t.Errorf("%.9s: allocates %d KiB", text, used>>10)
		}
	}
}

func hasCode(errs Errors, code Code) bool {
	for _, d := range errs {
		if d.Code == code {
			return true
		}
	}
	return false
}

func indented(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "- a:\n")
	}
	return b.String()
}

func unknownKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

func TestLoadOfLargeFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(file, make([]byte, 10<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	used := allocated(func() { _, err = Load(file) })
	var errs Errors
	if !errors.As(err, &errs) || errs[0].Code != CodeTooLarge {
		t.Errorf("got %v", err)
	}
	if used > maxFile+1<<20 {
		t.Errorf("allocates %d KiB", used>>10)
	}
}

// TestLargePlan keeps the bounds wide enough for real plans.
func TestLargePlan(t *testing.T) {
	var b strings.Builder
	b.WriteString(head + "pools:\n  - name: rbd\n    images:\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "      - name: image-%d\n        create: {size: 10GiB}\n        rpo: 5m\n", i)
	}
	plan, err := Parse("x.yaml", []byte(b.String()))
	if err != nil || len(plan.Pools[0].Images) != 10_000 {
		t.Fatalf("%.300v", err)
	}
	texts := head + "pools: [{name: p, mirror: pool}]\ndescription: |\n" + strings.Repeat("  [[[[ {{{{ \"'\n", 100)
	if _, err := Parse("x.yaml", []byte(texts)); err != nil {
		t.Errorf("brackets in a text are no nesting: %v", err)
	}
	plain := head + "pools: [{name: p, mirror: pool}]\nhooks:\n" + strings.Repeat("  - {name: a, when: before-run, manual: \"[{\"}\n", 1) +
		strings.Repeat("  # [ { ' \"\n", 100) + "description: it's {not [a 'list # [\n"
	if _, err := Parse("x.yaml", []byte(plain)); err != nil {
		t.Errorf("brackets in plain texts are no nesting: %v", err)
	}
}

func TestPlainTextProblems(t *testing.T) {
	for text, want := range map[string]string{
		"\xef\xbb\xbfnam: x\n":             "x:1:1: unknown key \"nam\"",
		"a: 1\r\nb: \x00\r\n":              "x:2:4: control character U+0000",
		"a: 1\rb: 2\n":                     "x:1:5: a carriage return inside a line",
		"name: é\u2028x\n":                 "x:1:8: control character U+2028",
		"\xff\xfev\x00e\x00":               "x:1:1: byte 0xff is not UTF-8",
		"":                                 "x:1:1: the file says nothing",
		"---\n":                            "x:1:1: the file says nothing",
		"[1, 2]\n":                         "x:1:1: the plan is a list",
		"just text\n":                      "x:1:1: the plan is a text",
		"a: [1\nb: 2\n":                    "x:1:1: not YAML",
		"name: x\nsites:\n  - a\n b: 1\n":  "x:4:2: not YAML",
		"name: x\nsites:\n\t- name: a\n":   "x:3:1: the line is indented with a tab",
		"name: x\n...\nname: y\n":          "x:3:1: a second document begins",
		"name: x\n---\n[\n":                "x:3:1: not YAML",
		"&a : x\n? *b\n: 1\n":              "x:2:3: alias *b stands for nothing",
		"a: 'x\n":                          "x:1:1: not YAML",
		"- - -\n":                          "x:1:1: the plan is a list",
		strings.Repeat("a: [\n", 5) + "]]": "x:1:1: not YAML",
	} {
		_, err := Parse("x", []byte(text))
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}
