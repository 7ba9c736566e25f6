package plans

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

const schemaDialect = "https://json-schema.org/draft/2020-12/schema"

// Schema returns the JSON Schema (2020-12) of the plan language, for editors.
// It is the same bytes on every call. What it accepts may still be refused by
// [Load], which also knows how values go together; what it refuses, Load
// refuses too, but for aliases and merge keys, which editors resolve.
func Schema() ([]byte, error) {
	defs := object{}
	root := mappingSchema(planType, &defs)
	out := object{
		{"$schema", schemaDialect},
		{"title", "Drover plan"},
	}
	out = append(out, root...)
	defs.set("duration", object{
		{"description", "a length of time: " + durationForm},
		{"anyOf", []any{object{{"type", "string"}, {"pattern", durationPattern}}, object{{"enum", []any{0, "0"}}}}},
	})
	defs.set("size", object{
		{"description", "a size: " + sizeForm},
		{"anyOf", []any{object{{"type", "string"}, {"pattern", sizePattern}}, object{{"type", "integer"}, {"minimum", 0}}}},
	})
	defs.set("percent", object{
		{"description", "a percentage: " + percentForm},
		{"anyOf", []any{object{{"type", "string"}, {"pattern", percentPattern}}, object{{"type", "integer"}, {"minimum", 0}, {"maximum", maxPercent}}}},
	})
	defs.set("secret", secretSchema())
	defs.set("header", object{{"anyOf", []any{object{{"type", "string"}, {"minLength", 1}}, object{{"$ref", "#/$defs/secret"}}}}})
	out.set("$defs", defs)
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the schema: %w", err)
	}
	return append(text, '\n'), nil
}

// object is a JSON object whose keys keep their order.
type object []member

type member struct {
	key   string
	value any
}

func (o *object) set(key string, value any) { *o = append(*o, member{key, value}) }

func (o object) has(key string) bool {
	for _, m := range o {
		if m.key == key {
			return true
		}
	}
	return false
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var out strings.Builder
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		out.Write(key)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return []byte(out.String()), nil
}

// mappingSchema describes a mapping with fixed keys, and adds those that it
// holds to the definitions.
func mappingSchema(t reflect.Type, defs *object) object {
	properties, required := object{}, []string{}
	for _, f := range fieldsOf(t) {
		properties.set(f.key, fieldSchema(f, defs))
		if f.required {
			required = append(required, f.key)
		}
	}
	out := object{{"type", "object"}, {"additionalProperties", false}}
	if len(required) > 0 {
		out.set("required", required)
	}
	out.set("properties", properties)
	return out
}

func fieldSchema(f field, defs *object) object {
	out := object{{"description", f.doc}}
	if f.def != "" {
		var value any = f.def
		switch number, err := strconv.Atoi(f.def); {
		case f.typ.Kind() == reflect.Slice:
			value = strings.Split(f.def, ",")
		case f.typ.Kind() == reflect.Int && err == nil:
			value = number
		}
		out.set("default", value)
	}
	return append(out, typeSchema(f.typ, f, defs)...)
}

func typeSchema(t reflect.Type, f field, defs *object) object {
	switch {
	case t.Kind() == reflect.Pointer:
		return typeSchema(t.Elem(), f, defs)
	case t == durationType:
		return object{{"$ref", "#/$defs/duration"}}
	case t == sizeType:
		return object{{"$ref", "#/$defs/size"}}
	case t == percentType:
		return object{{"$ref", "#/$defs/percent"}}
	case t == secretType:
		return object{{"$ref", "#/$defs/secret"}}
	case t == headerType:
		return object{{"$ref", "#/$defs/header"}}
	case isMapping(t):
		name := strings.ToLower(t.Name())
		if !defs.has(name) {
			defs.set(name, nil) // keeps the place: outer before inner
			schema := mappingSchema(t, defs)
			for i := range *defs {
				if (*defs)[i].key == name {
					(*defs)[i].value = schema
				}
			}
		}
		return object{{"$ref", "#/$defs/" + name}}
	case t.Kind() == reflect.Slice:
		out := object{{"type", "array"}}
		if f.required || f.def != "" || f.is == "command" {
			out.set("minItems", 1)
		}
		item := f
		item.required = false
		out.set("items", typeSchema(t.Elem(), item, defs))
		if t.Elem().Kind() == reflect.String && f.is != "command" {
			out.set("uniqueItems", true)
		}
		return out
	case t.Kind() == reflect.Map:
		return tableSchema(t, f, defs)
	case t.Kind() == reflect.Int:
		return integerSchema(f)
	default:
		return textSchema(f)
	}
}

func tableSchema(t reflect.Type, f field, defs *object) object {
	out := object{{"type", "object"}}
	switch {
	case t.Elem() != reflect.TypeFor[string]():
		out.set("additionalProperties", typeSchema(t.Elem(), field{}, defs))
	case f.is == "user":
		out.set("additionalProperties", textSchema(f))
	default:
		if pattern := kinds[f.is].pattern; pattern != "" {
			out.set("propertyNames", object{{"pattern", pattern}})
		}
		out.set("additionalProperties", object{{"type", []string{"string", "number", "boolean"}}})
	}
	return out
}

func integerSchema(f field) object {
	out := object{{"type", "integer"}}
	if len(f.enum) == 0 {
		return out
	}
	var words []any
	for _, word := range f.enum {
		if n, err := strconv.Atoi(word); err == nil {
			words = append(words, n)
		}
	}
	out.set("enum", words)
	return out
}

func textSchema(f field) object {
	out := object{{"type", "string"}}
	switch pattern := kinds[f.is].pattern; {
	case len(f.enum) > 0:
		out.set("enum", f.enum)
	case pattern != "":
		out.set("pattern", pattern)
	case f.is != "command":
		out.set("minLength", 1)
	}
	return out
}

func secretSchema() object {
	var ways []any
	for _, from := range secretSources {
		ways = append(ways, object{
			{"type", "object"},
			{"additionalProperties", false},
			{"required", []string{string(from)}},
			{"properties", object{{string(from), object{{"type", "string"}, {"minLength", 1}}}}},
		})
	}
	return object{{"description", "where a secret is kept: {file: PATH}, {env: NAME} or {credential: NAME}"}, {"oneOf", ways}}
}
