package plans

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// decoder turns YAML nodes into a Plan by the fields' tags. It goes on after a
// mistake, so that all are found at once.
type decoder struct {
	errs   Errors
	source map[string]Pos

	active  map[*yaml.Node]bool // values that an alias is being followed into
	aliased int                 // values reached through aliases so far
	inAlias int                 // depth of aliases followed
	stopped bool                // an alias bomb was found
}

// maxAliased is how many values aliases may stand for in all: enough to share
// settings between a few thousand images, too little to eat memory.
const maxAliased = 20_000

func newDecoder() *decoder {
	return &decoder{source: map[string]Pos{}, active: map[*yaml.Node]bool{}}
}

// document decodes the whole file.
func (d *decoder) document(document *yaml.Node, plan *Plan) {
	d.value(document.Content[0], "", reflect.ValueOf(plan).Elem(), field{})
}

func (d *decoder) add(n *yaml.Node, path string, code Code, what, instead string) {
	if len(d.errs) > 4*maxDiagnostics {
		return
	}
	d.errs = append(d.errs, Diagnostic{
		Line: max(n.Line, 1), Column: max(n.Column, 1), Code: code, Path: path, What: what, Instead: instead,
	})
}

// value decodes a node into v, whose row of the language is f.
func (d *decoder) value(n *yaml.Node, path string, v reflect.Value, f field) {
	if d.gaveUp() {
		return
	}
	if n.Kind == yaml.AliasNode {
		d.follow(n, path, func(to *yaml.Node) { d.value(to, path, v, f) })
		return
	}
	if d.inAlias > 0 && !d.spend(n, path) {
		return
	}
	if _, ok := d.source[path]; !ok {
		d.source[path] = Pos{max(n.Line, 1), max(n.Column, 1)}
	}
	if !d.knownTag(n, path) {
		return
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		d.add(n, path, CodeNoValue, label(path)+" has no value", "give "+article(v.Type(), f)+" or remove the key")
		return
	}
	switch t := v.Type(); {
	case t.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		d.value(n, path, v.Elem(), f)
	case t == secretType, t == headerType:
		d.secret(n, path, v)
	case isMapping(t):
		d.mapping(n, path, v)
	case t.Kind() == reflect.Slice:
		d.list(n, path, v, f)
	case t.Kind() == reflect.Map:
		d.table(n, path, v, f)
	default:
		d.scalar(n, path, v, f)
	}
}

// gaveUp says whether decoding ended before the end of the file: after an alias
// bomb, or when there are more mistakes than anybody reads.
func (d *decoder) gaveUp() bool { return d.stopped || len(d.errs) > 4*maxDiagnostics }

// follow decodes what an alias stands for.
func (d *decoder) follow(n *yaml.Node, path string, decode func(*yaml.Node)) {
	if d.active[n.Alias] {
		d.add(n, path, CodeAliasCycle, fmt.Sprintf("alias *%s stands for a value that holds it", n.Value), "write the value out")
		return
	}
	d.active[n.Alias] = true
	d.inAlias++
	decode(n.Alias)
	d.inAlias--
	delete(d.active, n.Alias)
}

// spend counts a value that is reached through an alias.
func (d *decoder) spend(n *yaml.Node, path string) bool {
	d.aliased++
	if d.aliased <= maxAliased || d.stopped {
		return !d.stopped
	}
	d.stopped = true
	d.add(n, path, CodeAliasBomb, fmt.Sprintf("the file's aliases stand for more than %d values", maxAliased), "write fewer aliases, or none")
	return false
}

var knownTags = []string{"!!map", "!!seq", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!merge"}

func (d *decoder) knownTag(n *yaml.Node, path string) bool {
	if slices.Contains(knownTags, n.ShortTag()) && n.Style&yaml.TaggedStyle == 0 {
		return true
	}
	d.add(n, path, CodeBadTag, fmt.Sprintf("%s has the YAML tag %s", label(path), n.ShortTag()), "plans use no tags; remove it")
	return false
}

// mapping decodes a mapping with fixed keys and fills the defaults of those
// that it does not give.
func (d *decoder) mapping(n *yaml.Node, path string, v reflect.Value) {
	fields := fieldsOf(v.Type())
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, path, v.Type(), field{})
		setDefaults(v)
		return
	}
	given := map[string]bool{}
	for _, p := range d.pairs(n, path) {
		if d.gaveUp() {
			return
		}
		at := slices.IndexFunc(fields, func(f field) bool { return f.key == p.name })
		if at < 0 {
			d.unknownKey(p.key, join(path, p.name), p.name, fields)
			continue
		}
		given[p.name] = true
		d.value(p.value, join(path, p.name), v.Field(fields[at].index), fields[at])
	}
	for _, f := range fields {
		if given[f.key] {
			continue
		}
		if f.required {
			d.add(n, join(path, f.key), CodeMissing, fmt.Sprintf("%s has no %s", label(path), f.key), fmt.Sprintf("add \"%s: …\": %s", f.key, f.doc))
		}
		setDefault(v.Field(f.index), f)
	}
}

// list decodes a list; a single value is no list of one, because people then
// forget the second.
func (d *decoder) list(n *yaml.Node, path string, v reflect.Value, f field) {
	if n.Kind != yaml.SequenceNode {
		d.wrongType(n, path, v.Type(), f)
		return
	}
	if len(n.Content) == 0 && (f.required || f.def != "" || f.is == "command") {
		d.add(n, path, CodeNoValue, label(path)+" is an empty list", "give at least one entry")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	item := f
	item.required = false
	for i, c := range n.Content {
		d.value(c, fmt.Sprintf("%s[%d]", path, i), out.Index(i), item)
	}
	v.Set(out)
}

// table decodes a mapping with free keys.
func (d *decoder) table(n *yaml.Node, path string, v reflect.Value, f field) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, path, v.Type(), f)
		return
	}
	out := reflect.MakeMap(v.Type())
	for _, p := range d.pairs(n, path) {
		value := reflect.New(v.Type().Elem()).Elem()
		at := join(path, p.name)
		if p.value.Kind == yaml.ScalarNode && value.Kind() == reflect.String && p.value.Style&yaml.TaggedStyle == 0 {
			// Options and variables are texts whatever they look like: 4, true.
			if tag := p.value.ShortTag(); tag != "!!null" {
				d.source[at] = Pos{p.value.Line, p.value.Column}
				out.SetMapIndex(reflect.ValueOf(p.name), reflect.ValueOf(p.value.Value))
				continue
			}
		}
		d.value(p.value, at, value, field{})
		out.SetMapIndex(reflect.ValueOf(p.name), value)
	}
	v.Set(out)
}

var plainKeyRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// join writes the path of a key below another path.
func join(path, key string) string {
	switch {
	case !plainKeyRE.MatchString(key):
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// label names the value at a path for people.
func label(path string) string {
	if path == "" {
		return "the plan"
	}
	return strings.TrimPrefix(path, ".")
}
