package conf

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Field is one key of a struct.
type Field struct {
	// Key is its name in YAML.
	Key string
	// Doc is its description; may be empty.
	Doc string
	// Default is the text of its `default` tag; may be empty.
	Default string
	// Enum lists what it may be; empty allows everything.
	Enum []string
	// Secret masks it where it is printed.
	Secret bool
	// Settable is false where only Go can set it.
	Settable bool
	// Type of the field.
	Type reflect.Type

	index     []int
	omitEmpty bool
}

// Of is the field's value in a struct of the type that it was listed for.
func (f Field) Of(v reflect.Value) reflect.Value { return v.FieldByIndex(f.index) }

// Fields lists the keys of a struct in the order of its declaration.
func Fields(t reflect.Type) []Field {
	var fields []Field
	for i := range t.NumField() {
		f := t.Field(i)
		_, embed := f.Tag.Lookup("embed")
		if (embed || f.Anonymous) && f.Type.Kind() == reflect.Struct && !isScalar(f.Type) {
			for _, inner := range Fields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				fields = append(fields, inner)
			}
			continue
		}
		if f.IsExported() {
			fields = append(fields, newField(f))
		}
	}
	return fields
}

func newField(f reflect.StructField) Field {
	name, flags, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	field := Field{
		Key: name, Doc: f.Tag.Get("doc"), Default: f.Tag.Get("default"),
		Secret: isSecret(f), Settable: name != "-" && settable(f.Type),
		Type: f.Type, index: f.Index, omitEmpty: flags == "omitempty",
	}
	if name == "" || name == "-" {
		field.Key = CamelCase(f.Name)
	}
	if field.Doc == "" {
		field.Doc = f.Tag.Get("help")
	}
	if enum := f.Tag.Get("enum"); enum != "" {
		field.Enum = strings.Split(enum, ",")
	}
	return field
}

// isSecret errs on the side of masking, as plugins of others know nothing of the tag.
func isSecret(f reflect.StructField) bool {
	if tag, ok := f.Tag.Lookup("secret"); ok {
		return tag != "false"
	}
	name := strings.ToLower(f.Name)
	for _, end := range []string{"key", "keys", "secret", "secrets", "password", "passphrase", "token", "tokens"} {
		if strings.HasSuffix(name, end) {
			t := f.Type
			for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer || t.Kind() == reflect.Map {
				t = t.Elem()
			}
			return t.Kind() == reflect.String || t.Kind() == reflect.Uint8
		}
	}
	return false
}

// CamelCase turns a Go name into a key: MaxMessage into maxMessage, TLSCert into tlsCert.
func CamelCase(name string) string {
	r := []rune(name)
	for i := range r {
		startsWord := i > 0 && i+1 < len(r) && unicode.IsLower(r[i+1])
		if !unicode.IsUpper(r[i]) || startsWord {
			break
		}
		r[i] = unicode.ToLower(r[i])
	}
	return string(r)
}

// Words splits a key into its words, in small letters: perIP into per and ip.
func Words(key string) []string {
	var words []string
	r := []rune(key)
	start := 0
	for i := 1; i < len(r); i++ {
		newWord := unicode.IsUpper(r[i]) && (!unicode.IsUpper(r[i-1]) || i+1 < len(r) && unicode.IsLower(r[i+1]))
		if newWord {
			words = append(words, strings.ToLower(string(r[start:i])))
			start = i
		}
	}
	return append(words, strings.ToLower(string(r[start:])))
}

func isRaw(t reflect.Type) bool { return t == reflect.TypeFor[json.RawMessage]() }

func isNode(t reflect.Type) bool { return t == reflect.TypeFor[Node]() }

func isDuration(t reflect.Type) bool { return t == reflect.TypeFor[time.Duration]() }

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// isBoth reports whether a struct may be written as one text or as a mapping.
func isBoth(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && isText(t) && len(Fields(t)) > 0
}

// isScalar reports whether a struct is written as one value.
func isScalar(t reflect.Type) bool { return isNode(t) || isText(t) }

// maxDepth bounds what types that contain themselves lead to.
const maxDepth = 16

// settable reports whether YAML can express a value of type t. within are the structs that t is a part of: one that
// only contains itself holds nothing.
func settable(t reflect.Type, within ...reflect.Type) bool {
	if isScalar(t) || isRaw(t) {
		return true
	}
	switch t.Kind() {
	case reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Uintptr, reflect.Complex64, reflect.Complex128, reflect.Array:
		return false
	case reflect.Interface:
		return t.NumMethod() == 0
	case reflect.Map:
		return t.Key().Kind() == reflect.String && settable(t.Elem(), within...)
	case reflect.Slice, reflect.Pointer:
		return settable(t.Elem(), within...)
	case reflect.Struct:
		return !slices.Contains(within, t) && hasSettable(t, append(slices.Clip(within), t))
	}
	return true
}

func hasSettable(t reflect.Type, within []reflect.Type) bool {
	for f := range t.Fields() {
		if (f.IsExported() || f.Anonymous) && settable(f.Type, within...) {
			return true
		}
	}
	return false
}
