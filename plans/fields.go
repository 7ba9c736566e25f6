package plans

import (
	"reflect"
	"strings"
	"sync"
)

// field is one row of the plan language: a key of a mapping, as the tags of a
// struct field tell it.
type field struct {
	index    int
	key      string
	doc      string
	def      string   // what an absent key means, as a plan would write it
	enum     []string // words allowed; none: any
	is       string   // kind of text, a key of kinds
	required bool
	typ      reflect.Type
}

var fieldCache sync.Map // reflect.Type -> []field

// fieldsOf returns the rows of a struct type in their order.
func fieldsOf(t reflect.Type) []field {
	if cached, ok := fieldCache.Load(t); ok {
		return cached.([]field)
	}
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		key := sf.Tag.Get("yaml")
		if key == "" || key == "-" {
			continue
		}
		f := field{
			index: i, key: key, doc: sf.Tag.Get("doc"), def: sf.Tag.Get("default"),
			is: sf.Tag.Get("is"), required: sf.Tag.Get("required") == "true", typ: sf.Type,
		}
		if words := sf.Tag.Get("enum"); words != "" {
			f.enum = strings.Split(words, ",")
		}
		out = append(out, f)
	}
	cached, _ := fieldCache.LoadOrStore(t, out)
	return cached.([]field)
}

var (
	planType     = reflect.TypeFor[Plan]()
	durationType = reflect.TypeFor[Duration]()
	sizeType     = reflect.TypeFor[Size]()
	percentType  = reflect.TypeFor[Percent]()
	secretType   = reflect.TypeFor[Secret]()
	headerType   = reflect.TypeFor[HeaderValue]()
)

// isMapping says whether values of the type are mappings with fixed keys.
func isMapping(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != secretType && t != headerType
}
