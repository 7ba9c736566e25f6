package plans

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// MarshalYAML writes the plan as a plan file would, complete with its defaults
// and without what is absent. Secrets show as <secret>.
func (p Plan) MarshalYAML() (any, error) {
	return encode(reflect.ValueOf(p), false)
}

// MarshalJSON writes what [Plan.MarshalYAML] does as JSON, its keys in the
// same order.
func (p Plan) MarshalJSON() ([]byte, error) {
	tree, err := encode(reflect.ValueOf(p), false)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := writeJSON(&out, tree); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// encode turns a value into YAML nodes by the rows of the language. Nil stands
// for a value that is absent. Secrets show as <secret>, or with references as
// where they are kept, which belongs to what the plan means.
func encode(v reflect.Value, references bool) (*yaml.Node, error) {
	switch t := v.Type(); {
	case t == headerType:
		h := v.Interface().(HeaderValue)
		if references {
			return textNode(h.reference())
		}
		return textNode(hidden)
	case t == secretType:
		s := v.Interface().(Secret)
		switch {
		case !s.IsSet():
			return nil, nil
		case references:
			return textNode(s.reference())
		}
		return textNode(hidden)
	case t.Kind() == reflect.Pointer:
		if v.IsNil() {
			return nil, nil
		}
		node, err := encode(v.Elem(), references)
		if node == nil && err == nil {
			// A pointer says that the value is given, zero or not: rpo: 0s.
			return textNode(fmt.Sprint(v.Elem().Interface()))
		}
		return node, err
	case isMapping(t):
		return encodeMapping(v, references)
	case t == percentType: // none at all is not the default
		return textNode(fmt.Sprint(v.Interface()))
	case v.IsZero():
		return nil, nil
	case t == durationType, t == sizeType:
		return textNode(fmt.Sprint(v.Interface()))
	case t.Kind() == reflect.Int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(v.Int(), 10)}, nil
	case t.Kind() == reflect.Slice:
		return encodeList(v, references)
	case t.Kind() == reflect.Map:
		return encodeTable(v, references)
	default:
		return textNode(v.String())
	}
}

func textNode(text string) (*yaml.Node, error) {
	if isWord(text) {
		// What the encoder would come to, without a run of it: most texts are words.
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}, nil
	}
	node := &yaml.Node{}
	if err := node.Encode(text); err != nil {
		return nil, fmt.Errorf("encoding a text: %w", err)
	}
	return node, nil
}

// isWord reports whether a text can only be a string in YAML, and needs no
// quotes.
func isWord(text string) bool {
	switch strings.ToLower(text) {
	case "", "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return false
	}
	for i, r := range text {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && r != '/' && (i == 0 || r != '-' && r != '_' && r != '.' && (r < '0' || r > '9')) {
			return false
		}
	}
	return true
}

func encodeMapping(v reflect.Value, references bool) (*yaml.Node, error) {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, f := range fieldsOf(v.Type()) {
		value, err := encode(v.Field(f.index), references)
		if err != nil {
			return nil, err
		}
		if value == nil {
			continue
		}
		key, err := textNode(f.key)
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, key, value)
	}
	if len(out.Content) == 0 {
		return nil, nil
	}
	return out, nil
}

func encodeList(v reflect.Value, references bool) (*yaml.Node, error) {
	out := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for i := range v.Len() {
		value, err := encode(v.Index(i), references)
		if err != nil {
			return nil, err
		}
		if value == nil { // an empty argument of a command
			if value, err = textNode(""); err != nil {
				return nil, err
			}
		}
		out.Content = append(out.Content, value)
	}
	if len(out.Content) == 0 {
		return nil, nil
	}
	return out, nil
}

func encodeTable(v reflect.Value, references bool) (*yaml.Node, error) {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, name := range sortedKeys(v) {
		key, err := textNode(name)
		if err != nil {
			return nil, err
		}
		value, err := encode(v.MapIndex(reflect.ValueOf(name)), references)
		if err != nil {
			return nil, err
		}
		if value == nil { // a variable that is set to nothing
			if value, err = textNode(""); err != nil {
				return nil, err
			}
		}
		out.Content = append(out.Content, key, value)
	}
	if len(out.Content) == 0 {
		return nil, nil
	}
	return out, nil
}

// writeJSON writes nodes as JSON and keeps the order of keys.
func writeJSON(out *bytes.Buffer, n *yaml.Node) error {
	if n == nil {
		out.WriteString("{}")
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return writeJSONItems(out, n, '{', '}')
	case yaml.SequenceNode:
		return writeJSONItems(out, n, '[', ']')
	}
	if n.Tag == "!!int" {
		out.WriteString(n.Value)
		return nil
	}
	text, err := json.Marshal(n.Value)
	if err != nil {
		return fmt.Errorf("encoding a text: %w", err)
	}
	out.Write(text)
	return nil
}

func writeJSONItems(out *bytes.Buffer, n *yaml.Node, begin, end byte) error {
	out.WriteByte(begin)
	for i, c := range n.Content {
		switch {
		case i == 0:
		case n.Kind == yaml.MappingNode && i%2 == 1:
			out.WriteByte(':')
		default:
			out.WriteByte(',')
		}
		if err := writeJSON(out, c); err != nil {
			return err
		}
	}
	out.WriteByte(end)
	return nil
}
