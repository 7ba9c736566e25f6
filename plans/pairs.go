package plans

import (
	"fmt"

	"gopkg.in/yaml.v3"
)

// pair is a key of a mapping with its value.
type pair struct {
	name       string
	key, value *yaml.Node
}

const mergeKey = "!!merge"

// pairs returns the keys of a mapping in their order, each once: merge keys
// are resolved, and a key that the mapping itself gives counts before one that
// is merged in.
func (d *decoder) pairs(n *yaml.Node, path string) []pair {
	var out []pair
	first := map[string]*yaml.Node{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.ShortTag() == mergeKey {
			merges = append(merges, value)
			continue
		}
		name, ok := d.keyName(key, path)
		if !ok {
			continue
		}
		if before := first[name]; before != nil {
			d.add(key, join(path, name), CodeDuplicateKey,
				fmt.Sprintf("key %q is given twice", name), fmt.Sprintf("it is in line %d already: keep one", before.Line))
			continue
		}
		first[name] = key
		out = append(out, pair{name, key, value})
	}
	for _, m := range merges {
		d.merge(m, path, true, func(p pair) {
			if first[p.name] == nil {
				first[p.name] = p.key
				out = append(out, p)
			}
		})
	}
	return out
}

// merge calls yield for each key that a merge key's value brings: a mapping, or
// a list of mappings.
func (d *decoder) merge(n *yaml.Node, path string, listAllowed bool, yield func(pair)) {
	switch {
	case d.gaveUp():
	case n.Kind == yaml.AliasNode:
		d.follow(n, path, func(to *yaml.Node) { d.merge(to, path, listAllowed, yield) })
	case d.inAlias > 0 && !d.spend(n, path):
	case n.Kind == yaml.MappingNode:
		for _, p := range d.pairs(n, path) {
			if d.inAlias > 0 && !d.spend(p.key, path) {
				return
			}
			yield(p)
		}
	case n.Kind == yaml.SequenceNode && listAllowed:
		for _, c := range n.Content {
			d.merge(c, path, false, yield)
		}
	default:
		d.add(n, path, CodeBadMerge, "<< merges what is no mapping", "give << an alias of a mapping, or a list of such")
	}
}

// keyName returns the text of a key; only plain texts can be keys.
func (d *decoder) keyName(key *yaml.Node, path string) (string, bool) {
	if key.Kind == yaml.AliasNode {
		key = key.Alias
	}
	if key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0 {
		d.add(key, path, CodeWrongType, "a key is not a plain text", "write a word and a colon")
		return "", false
	}
	return key.Value, true
}

// unknownKey says what the key may have been meant to be.
func (d *decoder) unknownKey(n *yaml.Node, path, name string, fields []field) {
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.key
	}
	d.add(n, path, CodeUnknownKey, fmt.Sprintf("unknown key %s", quote(name)), suggest(name, known))
}
