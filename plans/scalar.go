package plans

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// scalar decodes a single value.
func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value, f field) {
	if n.Kind != yaml.ScalarNode {
		d.wrongType(n, path, v.Type(), f)
		return
	}
	tag := n.ShortTag()
	switch t := v.Type(); {
	case t == durationType:
		if tag == "!!int" || tag == "!!str" || tag == "!!float" {
			d.parsed(n, path, setDuration(v, n.Value))
			return
		}
	case t == sizeType:
		if tag == "!!int" || tag == "!!str" || tag == "!!float" {
			d.parsed(n, path, setSize(v, n.Value))
			return
		}
	case t == percentType:
		if tag == "!!int" || tag == "!!str" || tag == "!!float" {
			d.parsed(n, path, setPercent(v, n.Value))
			return
		}
	case t.Kind() == reflect.Int:
		if tag == "!!int" || tag == "!!float" {
			d.number(n, path, v, f)
			return
		}
	case t.Kind() == reflect.String:
		// Dates are texts to a plan, whatever YAML makes of them.
		if tag == "!!str" || tag == "!!timestamp" {
			d.text(n, path, v, f)
			return
		}
		d.add(n, path, CodeWrongType, fmt.Sprintf("%s is %s where a text is wanted", label(path), kindOf(n)), fmt.Sprintf("put it in quotes: %q", n.Value))
		return
	}
	d.wrongType(n, path, v.Type(), f)
}

// malformed is why a text is not a value of its type.
type malformed struct {
	code          Code
	what, instead string
}

func (d *decoder) parsed(n *yaml.Node, path string, problem *malformed) {
	if problem != nil {
		d.add(n, path, problem.code, problem.what, problem.instead)
	}
}

func setDuration(v reflect.Value, text string) *malformed {
	parsed, err := ParseDuration(text)
	switch {
	case errors.Is(err, errDurationNegative):
		return &malformed{CodeNegative, fmt.Sprintf("%s is negative", quote(text)), "write " + durationForm}
	case errors.Is(err, errDurationLong):
		return &malformed{CodeBadDuration, fmt.Sprintf("%s is longer than 292 years", quote(text)), "write a shorter time"}
	case err != nil:
		return &malformed{CodeBadDuration, fmt.Sprintf("%s is not a length of time", quote(text)), "write " + durationForm}
	}
	v.SetInt(int64(parsed))
	return nil
}

func setSize(v reflect.Value, text string) *malformed {
	parsed, err := ParseSize(text)
	switch {
	case errors.Is(err, errSizeLarge):
		return &malformed{CodeBadSize, fmt.Sprintf("%s is larger than Ceph can take", quote(text)), "write at most 8191PiB"}
	case err != nil:
		return &malformed{CodeBadSize, fmt.Sprintf("%s is not a size", quote(text)), "write " + sizeForm}
	}
	v.SetUint(uint64(parsed))
	return nil
}

func setPercent(v reflect.Value, text string) *malformed {
	parsed, err := ParsePercent(text)
	if err != nil {
		return &malformed{CodeBadNumber, fmt.Sprintf("%s is not a percentage from 0%% to 90%%", quote(text)), "write " + percentForm}
	}
	v.SetInt(int64(parsed))
	return nil
}

func setInt(v reflect.Value, text string) *malformed {
	number, err := strconv.Atoi(text)
	if err != nil {
		return &malformed{CodeBadNumber, fmt.Sprintf("%s is not a whole decimal number", quote(text)), "write digits only"}
	}
	v.SetInt(int64(number))
	return nil
}

func (d *decoder) number(n *yaml.Node, path string, v reflect.Value, f field) {
	number := reflect.New(v.Type()).Elem()
	if problem := setInt(number, n.Value); problem != nil {
		d.parsed(n, path, problem)
		return
	}
	if word := strconv.FormatInt(number.Int(), 10); len(f.enum) > 0 && !slices.Contains(f.enum, word) {
		d.add(n, path, CodeBadWord, fmt.Sprintf("%s cannot be %s", label(path), word), oneOf(f.enum))
		return
	}
	v.Set(number)
}

func (d *decoder) text(n *yaml.Node, path string, v reflect.Value, f field) {
	if n.Value == "" && f.is != "command" {
		d.add(n, path, CodeNoValue, label(path)+" is empty", "give "+article(v.Type(), f)+" or remove it")
		return
	}
	if len(f.enum) > 0 && !slices.Contains(f.enum, n.Value) {
		d.add(n, path, CodeBadWord, fmt.Sprintf("%s cannot be %s", label(path), quote(n.Value)), suggest(n.Value, f.enum))
		return
	}
	v.SetString(n.Value)
}

// secret decodes where a secret is kept; a header may also be a plain text.
func (d *decoder) secret(n *yaml.Node, path string, v reflect.Value) {
	header := v.Type() == headerType
	if n.Kind == yaml.ScalarNode && header {
		if n.Value == "" {
			d.add(n, path, CodeNoValue, label(path)+" is empty", "give a text or remove it")
			return
		}
		v.Set(reflect.ValueOf(PlainHeader(n.Value)))
		return
	}
	const forms = "{file: PATH}, {env: NAME} or {credential: NAME}"
	switch {
	case n.Kind == yaml.ScalarNode:
		// The value itself stays out of the message: it may be the secret.
		d.add(n, path, CodeOpenSecret, label(path)+" is written in the plan", "put it into a file or the environment and write "+forms)
		return
	case n.Kind != yaml.MappingNode:
		d.add(n, path, CodeBadSecret, label(path)+" is "+kindOf(n), "write "+forms)
		return
	}
	pairs := d.pairs(n, path)
	if len(pairs) != 1 || !slices.Contains(secretSources, secretSource(pairs[0].name)) {
		d.add(n, path, CodeBadSecret, label(path)+" does not say where the secret is kept", "write one of "+forms)
		return
	}
	from, value := secretSource(pairs[0].name), pairs[0].value
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	problem := "is not a text"
	if value.Kind == yaml.ScalarNode && value.ShortTag() != "!!null" {
		problem = secretPlace(from, value.Value)
	}
	if problem != "" {
		d.add(value, path, CodeBadSecret, fmt.Sprintf("%s: the %s %s", label(path), from, problem), "write "+forms)
		return
	}
	secret := Secret{&place{from, value.Value}}
	if header {
		v.Set(reflect.ValueOf(HeaderValue{Secret: secret}))
		return
	}
	v.Set(reflect.ValueOf(secret))
}

// secretPlace says why a secret cannot be kept at a place, or nothing.
func secretPlace(from secretSource, where string) string {
	switch {
	case where == "" || strings.TrimSpace(where) != where || strings.ContainsFunc(where, isControlOrNewline):
		return "has an unusable name"
	case from == secretEnv && !envRE.MatchString(where):
		return "is not the name of a variable"
	case from == secretCredential && !nameRE.MatchString(where):
		return "is not the name of a credential"
	}
	return ""
}

func (d *decoder) wrongType(n *yaml.Node, path string, t reflect.Type, f field) {
	d.add(n, path, CodeWrongType, fmt.Sprintf("%s is %s", label(path), kindOf(n)), "give "+article(t, f))
}

// kindOf names what a node is.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "nothing"
	}
	return "a text"
}

// article names what a value of the type is.
func article(t reflect.Type, f field) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return article(t.Elem(), f)
	case t == durationType:
		return "a length of time: " + durationForm
	case t == sizeType:
		return "a size: " + sizeForm
	case t == percentType:
		return "a percentage: " + percentForm
	case t == secretType, t == headerType:
		return "a secret: {file: PATH}, {env: NAME} or {credential: NAME}"
	case isMapping(t), t.Kind() == reflect.Map:
		return "a mapping (\"key: value\" lines)"
	case t.Kind() == reflect.Slice:
		return "a list (\"- entry\" lines)"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case len(f.enum) > 0:
		return oneOf(f.enum)
	}
	return "a text"
}
