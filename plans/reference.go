package plans

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference returns a Markdown table of every key of the plan language, for
// the documentation.
func Reference() string {
	var out strings.Builder
	out.WriteString("| key | type | default | words | meaning |\n|---|---|---|---|---|\n")
	referenceRows(&out, planType, "")
	return out.String()
}

func referenceRows(out *strings.Builder, t reflect.Type, above string) {
	for _, f := range fieldsOf(t) {
		path := above + f.key
		absent := ""
		switch {
		case f.required:
			absent = "**required**"
		case f.def != "":
			absent = "`" + strings.ReplaceAll(f.def, ",", ", ") + "`"
		}
		words := ""
		if len(f.enum) > 0 {
			words = "`" + strings.Join(f.enum, "`, `") + "`"
		}
		_, _ = fmt.Fprintf(out, "| `%s` | %s | %s | %s | %s |\n", path, typeName(f.typ), absent, words, strings.ReplaceAll(f.doc, "|", `\|`))
		switch inner := innermost(f.typ); {
		case !isMapping(inner):
		case f.typ.Kind() == reflect.Slice:
			referenceRows(out, inner, path+"[].")
		default:
			referenceRows(out, inner, path+".")
		}
	}
}

// innermost returns what a list or pointer holds.
func innermost(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// typeName names a type for people.
func typeName(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return typeName(t.Elem())
	case t == durationType:
		return "duration"
	case t == sizeType:
		return "size"
	case t == percentType:
		return "percentage"
	case t == secretType:
		return "secret"
	case t == headerType:
		return "secret or text"
	case isMapping(t):
		return "mapping"
	case t.Kind() == reflect.Slice:
		return "list of " + plural(typeName(t.Elem()))
	case t.Kind() == reflect.Map:
		return "mapping of names to " + plural(typeName(t.Elem()))
	case t.Kind() == reflect.Int:
		return "number"
	}
	return "text"
}

func plural(name string) string {
	if name == "secret or text" {
		return "secrets or texts"
	}
	return name + "s"
}
