package plans

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// checker finds what is wrong with a plan beyond the form of its values. It
// goes over plans that did not decode cleanly too, and then leaves out what
// only follows from a mistake that is known already.
type checker struct {
	plan *Plan
	errs Errors
	bad  []string // paths where decoding found a mistake
	odd  []string // mappings that hold an unknown key
}

// check returns the mistakes of a plan besides those known already.
func check(p *Plan, known Errors) Errors {
	c := &checker{plan: p}
	for _, d := range known {
		c.bad = append(c.bad, d.Path)
		if d.Code == CodeUnknownKey {
			c.odd = append(c.odd, d.Path[:max(strings.LastIndexAny(d.Path, ".["), 0)])
		}
	}
	c.texts(reflect.ValueOf(p).Elem(), "")
	c.sites()
	c.peers()
	c.pools()
	c.groups()
	c.waves()
	c.hooks()
	c.runbooks()
	c.drills()
	c.background()
	c.notifications()
	c.endpoint()
	return c.errs
}

// add notes a mistake at a value, unless the value or one around it is known
// to be wrong.
func (c *checker) add(path string, code Code, what, instead string) {
	if slices.ContainsFunc(c.bad, func(bad string) bool { return bad != "" && within(path, bad) }) {
		return
	}
	at := c.place(path)
	c.errs = append(c.errs, Diagnostic{Line: at.Line, Column: at.Column, Code: code, Path: path, What: what, Instead: instead})
}

// within says whether a path is another or lies below it.
func within(path, above string) bool {
	rest, ok := strings.CutPrefix(path, above)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// unsure says whether something at or below a path did not decode, so that
// what is missing there may only be misspelt.
func (c *checker) unsure(path string) bool {
	return slices.ContainsFunc(c.bad, func(bad string) bool { return within(bad, path) })
}

// misspelt says whether a mapping holds an unknown key, which may have been
// meant to be the one that is missing.
func (c *checker) misspelt(path string) bool { return slices.Contains(c.odd, path) }

// given says whether the file gives a value at the path.
func (c *checker) given(path string) bool {
	_, ok := c.plan.Source[path]
	return ok
}

// place returns where a value, or else the nearest one around it, is written.
func (c *checker) place(path string) Pos {
	for path != "" {
		if at, ok := c.plan.Source[path]; ok {
			return at
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	if at, ok := c.plan.Source[""]; ok {
		return at
	}
	return Pos{1, 1}
}

// texts checks each text of the plan against its kind.
func (c *checker) texts(v reflect.Value, path string) {
	for _, f := range fieldsOf(v.Type()) {
		c.texts1(v.Field(f.index), join(path, f.key), f)
	}
}

func (c *checker) texts1(v reflect.Value, path string, f field) {
	switch t := v.Type(); {
	case t.Kind() == reflect.Pointer:
		if !v.IsNil() {
			c.texts1(v.Elem(), path, f)
		}
	case isMapping(t):
		c.texts(v, path)
	case f.is == "positive":
		if v.IsZero() && (c.given(path) || f.required) {
			c.add(path, CodeZero, label(path)+" is zero", "give "+article(t, f))
		}
	case f.is == "command" && v.Len() > 0:
		c.command(v.Interface().([]string), path)
	case t.Kind() == reflect.Slice:
		c.entries(v, path, f)
	case t.Kind() == reflect.Map:
		c.keys(v, path, f)
	case t.Kind() == reflect.String:
		c.text(v.String(), path, f)
	}
}

// text checks one text; one that is absent is for others to miss.
func (c *checker) text(text, path string, f field) {
	k, ok := kinds[f.is]
	if !ok || text == "" {
		return
	}
	if problem := k.check(text); problem != "" {
		c.add(path, k.code, k.describe(text, problem), k.instead)
		return
	}
	if f.is == "cron" && neverFires(text) {
		c.add(path, CodeNeverFires, k.describe(text, "never comes true"), "name a day that the month has")
	}
}

func (c *checker) command(command []string, path string) {
	k := kinds["program"]
	first := path + "[0]"
	if problem := k.check(command[0]); problem != "" {
		c.add(first, k.code, k.describe(command[0], problem), k.instead)
	}
}

// entries checks the entries of a list. Lists of words or names are sets:
// a word that stands in one twice is a slip of the pen.
func (c *checker) entries(v reflect.Value, path string, f field) {
	seen := map[string]int{}
	for i := range v.Len() {
		at := fmt.Sprintf("%s[%d]", path, i)
		c.texts1(v.Index(i), at, f)
		if v.Type().Elem().Kind() != reflect.String {
			continue
		}
		entry := v.Index(i).String()
		if before, ok := seen[entry]; ok && entry != "" {
			c.add(at, CodeDuplicateEntry, fmt.Sprintf("%s is listed twice", quote(entry)), fmt.Sprintf("it is in line %d already: keep one", c.place(fmt.Sprintf("%s[%d]", path, before)).Line))
			continue
		}
		seen[entry] = i
	}
}

// keys checks the keys of a mapping with free ones; values only where they are
// of a kind themselves.
func (c *checker) keys(v reflect.Value, path string, f field) {
	k, ok := kinds[f.is]
	if !ok {
		return
	}
	for _, key := range sortedKeys(v) {
		at := join(path, key)
		value := v.MapIndex(reflect.ValueOf(key))
		if f.is == "user" {
			c.text(value.String(), at, f)
			continue
		}
		if problem := k.check(key); problem != "" {
			c.add(at, k.code, k.describe(key, problem), k.instead)
		}
		if value.Kind() == reflect.String && strings.ContainsFunc(value.String(), isControlOrNewline) && f.is == "option" {
			c.add(at, CodeBadText, label(at)+" is not one plain line", "write one line")
		}
	}
}

func sortedKeys(v reflect.Value) []string {
	keys := make([]string, 0, v.Len())
	for _, key := range v.MapKeys() {
		keys = append(keys, key.String())
	}
	slices.Sort(keys)
	return keys
}

// names checks that no two things of one kind have the same name.
func (c *checker) names(what string, n int, at func(int) (name, path string)) {
	first := map[string]string{}
	for i := range n {
		name, path := at(i)
		if name == "" {
			continue
		}
		if before, ok := first[name]; ok {
			c.add(path, CodeDuplicateName, fmt.Sprintf("two %s have the name %s", what, quote(name)), fmt.Sprintf("the other is in line %d: rename or remove one", c.place(before).Line))
			continue
		}
		first[name] = path
	}
}

// outOfPlace refuses a key that the file gives though it means nothing there.
func (c *checker) outOfPlace(path, why, instead string) {
	if c.given(path) {
		c.add(path, CodeOutOfPlace, label(path)+" "+why, instead)
	}
}

// needs notes a key that the others make necessary.
func (c *checker) needs(path, why, instead string) {
	c.add(path, CodeMissing, fmt.Sprintf("%s is missing: %s", label(path), why), instead)
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
