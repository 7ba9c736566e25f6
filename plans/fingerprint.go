package plans

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"strings"
)

// Fingerprint returns a hash over what the plan means: "sha256:" and 64
// hexadecimal digits. Comments, layout, the order of keys and defaults that
// are written out do not matter; nor does the folder that the plan file lies
// in, when what it refers to lies there too. Secrets count by where they are
// kept; header values that are written in the plan, by themselves.
func (p *Plan) Fingerprint() string {
	tree, err := encode(reflect.ValueOf(p.portable()), true)
	var text bytes.Buffer
	if err == nil {
		err = writeJSON(&text, tree)
	}
	if err != nil {
		// Encoding plain texts and numbers to memory has no way to fail. If it
		// ever does, the plan must not pass for one seen before.
		text.WriteString(err.Error())
	}
	sum := sha256.Sum256(text.Bytes())
	return "sha256:" + hex.EncodeToString(sum[:])
}

// portable returns a copy of the plan as it means the same on every host:
// paths below the plan's folder relative to it, and no default that depends on
// who runs Drover.
func (p *Plan) portable() Plan {
	out := *p
	out.Sites = append([]Site(nil), p.Sites...)
	for i := range out.Sites {
		if s := &out.Sites[i]; s.Daemon.Directory == runDirectory(p.Name, s.Name) {
			s.Daemon.Directory = ""
		}
	}
	out = deepCopy(out)
	folder := strings.TrimSuffix(p.folder(), "/") + "/"
	eachPath(reflect.ValueOf(&out).Elem(), func(path string) string {
		if rest, ok := strings.CutPrefix(path, folder); ok {
			return "./" + rest
		}
		return path
	})
	return out
}

// deepCopy returns a plan that shares no value with another.
func deepCopy(p Plan) Plan {
	return copyValue(reflect.ValueOf(p)).Interface().(Plan)
}

func copyValue(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch t := v.Type(); {
	case t.Kind() == reflect.Pointer && !v.IsNil():
		out.Set(reflect.New(t.Elem()))
		out.Elem().Set(copyValue(v.Elem()))
	case isMapping(t):
		for _, f := range fieldsOf(t) {
			out.Field(f.index).Set(copyValue(v.Field(f.index)))
		}
	case t.Kind() == reflect.Slice && !v.IsNil():
		out.Set(reflect.MakeSlice(t, v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(copyValue(v.Index(i)))
		}
	case t.Kind() == reflect.Map && !v.IsNil():
		out.Set(reflect.MakeMapWithSize(t, v.Len()))
		for _, key := range v.MapKeys() {
			out.SetMapIndex(key, copyValue(v.MapIndex(key)))
		}
	}
	return out
}
