// Package test holds the tests of the documents: what they say about the
// program, its users, its modules and its files is true. It needs neither Ceph
// nor cgo, and knows nothing of how the program works.
package test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/cmd/drover/exit"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// root is the folder of the module.
const root = ".."

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documents are the Markdown files of the module.
func documents(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && len(e.Name()) > 2 && strings.HasPrefix(e.Name(), "."): // .git, .cache
			return fs.SkipDir
		case filepath.Ext(path) == ".md":
			found = append(found, strings.TrimPrefix(path, root+"/"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(found, "README.md") {
		t.Fatalf("no README.md among %v", found)
	}
	return found
}

// blocks are the fenced blocks of a document in that language.
func blocks(text, language string) []string {
	var found []string
	fence := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$")
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

func TestPlansInDocuments(t *testing.T) {
	count := 0
	for _, name := range documents(t) {
		for i, block := range blocks(document(t, name), "yaml") {
			count++
			if _, err := plans.Parse(fmt.Sprintf("%s-%d.yaml", name, i+1), []byte(block)); err != nil {
				t.Errorf("plan %d of %s: %v", i+1, name, err)
			}
		}
	}
	if count == 0 {
		t.Error("no document shows a plan")
	}
}

// TestUsers: the users that the README has people create are those of the
// table that everything else works as.
func TestUsers(t *testing.T) {
	var shown []string
	for line := range strings.Lines(document(t, "README.md")) {
		if strings.HasPrefix(line, "ceph auth ") {
			shown = append(shown, strings.TrimSpace(line))
		}
	}
	want := []string{replay.CreateCommand(replay.DroverCaps()), replay.CreateCommand(replay.MirrorCaps("site-b"))}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("the ceph auth lines of README.md (-table +README):\n%s", diff)
	}
}

func TestExitCodes(t *testing.T) {
	_, section, found := strings.Cut(document(t, "README.md"), "### Exit codes\n")
	if !found {
		t.Fatal("README.md has no section on exit codes")
	}
	section, _, _ = strings.Cut(section, "\n#")
	row := regexp.MustCompile(`(?m)^\| (\d+) \| (.+) \|$`)
	var shown, want []string
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		shown = append(shown, m[1]+" "+m[2])
	}
	for _, m := range exit.Meanings() {
		want = append(want, fmt.Sprintf("%d %s", m.Code, m.Name))
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("the exit codes of README.md (-table +README):\n%s", diff)
	}
}

// TestLinks: what the documents link to in the tree is there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, name := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(document(t, name), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), target)); err != nil {
				t.Errorf("%s links to %s: %v", name, target, err)
			}
		}
	}
}

// TestExamplesAreListed: each example has its row in the README.
func TestExamplesAreListed(t *testing.T) {
	found, err := filepath.Glob(filepath.Join(root, "examples", "*.yaml"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	readme := document(t, "README.md")
	for _, path := range found {
		if file := filepath.Base(path); !strings.Contains(readme, "]("+filepath.Join("examples", file)+")") {
			t.Errorf("README.md does not link to examples/%s", file)
		}
	}
}

// TestModules: ARCHITECTURE.md gives a reason for each module that is required
// directly, and for no other.
func TestModules(t *testing.T) {
	var required, explained []string
	line := regexp.MustCompile(`(?m)^(?:require )?\t?(\S+\.\S+/\S+|\S+\.\S+) v\S+$`) // an indirect one has a comment
	for _, m := range line.FindAllStringSubmatch(document(t, "go.mod"), -1) {
		required = append(required, m[1])
	}
	row := regexp.MustCompile(`(?m)^\| ([a-z0-9.-]+\.[a-z]+/\S+) \| .+ \|$`)
	for _, m := range row.FindAllStringSubmatch(document(t, "ARCHITECTURE.md"), -1) {
		explained = append(explained, m[1])
	}
	slices.Sort(required)
	slices.Sort(explained)
	if len(required) == 0 {
		t.Fatal("no requirement was read from go.mod")
	}
	if diff := cmp.Diff(required, explained); diff != "" {
		t.Errorf("modules (-go.mod +ARCHITECTURE.md):\n%s", diff)
	}
}

// TestMakeTargets: each `make X` that a document tells people to run exists.
func TestMakeTargets(t *testing.T) {
	makefile := document(t, "Makefile")
	call := regexp.MustCompile("(?m)(?:^|`)make ([a-z][a-z-]*)")
	for _, name := range documents(t) {
		for _, m := range call.FindAllStringSubmatch(document(t, name), -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
				t.Errorf("%s says make %s, which is no target", name, m[1])
			}
		}
	}
}

// TestVerbs: the README names every verb that there is, no other, and only
// flags that its verb has.
func TestVerbs(t *testing.T) {
	drover := buildSim(t)
	readme := document(t, "README.md")
	row := regexp.MustCompile("(?m)^\\| `drover ([a-z]+(?: [a-z]+)*)[^`]*` \\| (.+) \\|$")
	flag := regexp.MustCompile("`(--[a-z-]+)")
	var named []string
	for _, m := range row.FindAllStringSubmatch(readme, -1) {
		named = append(named, m[1])
		help := output(t, drover, append(strings.Fields(m[1]), "--help")...)
		for _, f := range flag.FindAllStringSubmatch(m[2], -1) {
			if !strings.Contains(help, f[1]) {
				t.Errorf("README.md gives %s to drover %s, which has no such flag", f[1], m[1])
			}
		}
	}
	slices.Sort(named)
	if diff := cmp.Diff(verbs(t, drover), named); diff != "" {
		t.Errorf("verbs (-program +README.md):\n%s", diff)
	}
}

// buildSim builds the program over simulated clusters, whose command line is
// the same.
func buildSim(t *testing.T) string {
	t.Helper()
	drover := filepath.Join(t.TempDir(), "drover")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-tags", "sim", "-o", drover, "./cmd/drover")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return drover
}

// verbs asks the program for all its verbs, as a shell's completion does.
// Those that every cobra program has, and that are no verbs of Drover's own,
// count where they have no verbs below them.
func verbs(t *testing.T, drover string) []string {
	t.Helper()
	var all []string
	for _, verb := range completions(t, drover) {
		below := completions(t, drover, verb)
		switch {
		case verb == "help":
		case verb == "completion" || len(below) == 0 || strings.Contains(output(t, drover, verb, "--help"), "drover "+verb+" FILE"):
			all = append(all, verb)
		}
		for _, sub := range below {
			if verb != "help" && verb != "completion" {
				all = append(all, verb+" "+sub)
			}
		}
	}
	slices.Sort(all)
	return all
}

// completions are the verbs below a verb.
func completions(t *testing.T, drover string, verb ...string) []string {
	t.Helper()
	args := append([]string{"__complete"}, verb...)
	var words []string
	for line := range strings.Lines(output(t, drover, append(args, "")...)) {
		// "VERB\tWHAT IT DOES"; files that may follow are told in other ways.
		if word, _, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			words = append(words, word)
		}
	}
	return words
}

func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).Output()
	if err != nil {
		t.Fatalf("%s %s: %v", filepath.Base(program), strings.Join(args, " "), err)
	}
	return string(out)
}
