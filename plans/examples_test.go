package plans

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

func TestExamples(t *testing.T) {
	files := goodFiles(t)
	schema := compiledSchema(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			plan, err := Load(file)
			if err != nil {
				t.Fatalf("\n%v", err)
			}
			if err := plan.Validate(); err != nil {
				t.Errorf("a loaded plan is not valid:\n%v", err)
			}
			if err := schema.Validate(asJSON(t, file)); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
		})
	}
}

func TestGuideExample(t *testing.T) {
	plan, err := Load("../examples/guide-lab8106-lab8107.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := plan.Peers.ClientAt("remote") + "@" + plan.Site("remote").Cluster; got != "client.admin@remote" {
		t.Errorf("the local site's peer is %s", got)
	}
	if sites := plan.MirrorSites(); len(sites) != 1 || sites[0].Name != "remote" || sites[0].Daemon.User != "client.admin" {
		t.Errorf("rbd-mirror runs at %+v", sites)
	}
}

// TestFullExample keeps full.yaml what it says it is.
func TestFullExample(t *testing.T) {
	plan, err := Load("../examples/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	index := regexp.MustCompile(`\[\d+\]`)
	used := map[string]bool{}
	for path := range plan.Source {
		used[index.ReplaceAllString(path, "[]")] = true
	}
	for _, key := range referenceKeys() {
		if !used[key] {
			t.Errorf("full.yaml does not use %s", key)
		}
	}
}

func referenceKeys() []string {
	var keys []string
	for line := range strings.Lines(Reference()) {
		if parts := strings.Split(line, "`"); len(parts) > 1 && strings.HasPrefix(line, "| `") {
			keys = append(keys, parts[1])
		}
	}
	return keys
}

func TestReference(t *testing.T) {
	if keys := referenceKeys(); len(keys) < 100 {
		t.Errorf("only %d keys", len(keys))
	}
	golden(t, "testdata/reference.md", Reference())
}

func TestSchemaGolden(t *testing.T) {
	schema, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/schema.json", string(schema))
}

func TestSchemaRefuses(t *testing.T) {
	schema := compiledSchema(t)
	for _, mapping := range []string{"", "sites/0", "sites/0/daemon", "pools/0", "pools/0/images/0", "pools/0/images/0/create"} {
		document := asJSON(t, "../examples/one-way.yaml")
		at := document
		if mapping != "" {
			for step := range strings.SplitSeq(mapping, "/") {
				switch v := at.(type) {
				case []any:
					at = v[0]
				case map[string]any:
					if v[step] == nil {
						v[step] = map[string]any{}
					}
					at = v[step]
				}
			}
		}
		at.(map[string]any)["surprise"] = "x"
		if schema.Validate(document) == nil {
			t.Errorf("an unknown key at %q passes", mapping)
		}
	}
	// What is wrong with each value by itself, an editor shows too.
	for _, code := range []Code{
		CodeUnknownKey, CodeMissing, CodeWrongType, CodeBadWord, CodeBadSize, CodeOpenSecret, CodeBadSecret,
		CodeBadDuration, CodeNegative, CodeBadUser, CodeBadInterval, CodeBadStart, CodeDuplicateEntry, CodeBadURL,
	} {
		text, err := os.ReadFile(filepath.Join("testdata/invalid", string(code)+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if code == CodeWrongType { // has a key that JSON cannot have
			text = []byte(strings.Replace(string(text), "? [a]\n: b\n", "", 1))
		}
		if schema.Validate(decodeJSON(t, text)) == nil {
			t.Errorf("the schema passes %s", code)
		}
	}
}

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("plan.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("plan.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// goodFiles are the plans that must load: the examples and testdata/valid.
func goodFiles(t testing.TB) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"../examples/*.yaml", "testdata/valid/*.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	return files
}

// asJSON reads a YAML file as an editor with the schema sees it.
func asJSON(t *testing.T, file string) any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return decodeJSON(t, text)
}

func decodeJSON(t *testing.T, text []byte) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// TestTags keeps the table of the language sound: every default is well-formed
// and one of the words, every kind of text is known, every key explained.
func TestTags(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		if seen[typ] || !isMapping(typ) {
			return
		}
		seen[typ] = true
		for _, f := range fieldsOf(typ) {
			name := typ.Name() + "." + f.key
			if f.doc == "" {
				t.Errorf("%s is not explained", name)
			}
			if _, ok := kinds[f.is]; !ok && f.is != "" && f.is != "positive" && f.is != "command" {
				t.Errorf("%s: unknown kind %q", name, f.is)
			}
			if f.required && f.def != "" {
				t.Errorf("%s is required and has a default", name)
			}
			for word := range strings.SplitSeq(f.def, ",") {
				v := reflect.New(f.typ).Elem()
				switch {
				case f.def == "":
				case f.typ == durationType && setDuration(v, word) != nil, f.typ == sizeType && setSize(v, word) != nil,
					f.typ == percentType && setPercent(v, word) != nil, f.typ != percentType && f.typ.Kind() == reflect.Int && setInt(v, word) != nil:
					t.Errorf("%s: malformed default %q", name, word)
				case len(f.enum) > 0 && !containsWord(f.enum, word):
					t.Errorf("%s: default %q is no word", name, word)
				case kinds[f.is].check != nil && kinds[f.is].check(word) != "":
					t.Errorf("%s: default %q is not %s", name, word, f.is)
				}
			}
			visit(innermost(f.typ))
		}
	}
	visit(planType)
	if len(seen) < 20 {
		t.Errorf("only %d types", len(seen))
	}
}

func containsWord(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}
