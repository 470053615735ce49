package conf

import (
	"reflect"
)

// Object is a JSON object.
type Object = map[string]any

const (
	sizePattern     = `^[0-9]+ ?(B|KiB|MiB|GiB|kB|MB|GB)$`
	durationPattern = `^-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
)

// Schema is the JSON Schema of what Decode takes for v, a struct or a pointer to one. The values that v has are the
// defaults.
func Schema(v any) Object {
	value := reflect.ValueOf(v)
	for value.Kind() == reflect.Pointer {
		value = value.Elem()
	}
	if value.Kind() != reflect.Struct {
		return Object{"type": "object", "additionalProperties": false}
	}
	return structSchema(value.Type(), value, 0)
}

func structSchema(t reflect.Type, v reflect.Value, depth int) Object {
	properties := Object{}
	for _, f := range Fields(t) {
		if !f.Settable {
			continue
		}
		var value reflect.Value
		if v.IsValid() {
			value = f.Of(v)
		}
		properties[f.Key] = f.schema(value, depth+1)
	}
	return Object{"type": "object", "additionalProperties": false, "properties": properties}
}

func (f Field) schema(v reflect.Value, depth int) Object {
	s := typeSchema(f.Type, v, depth)
	if f.Doc != "" {
		s["description"] = f.Doc
	}
	if len(f.Enum) > 0 {
		s["enum"] = f.Enum
	}
	if f.Secret {
		s["writeOnly"] = true
		return s
	}
	if d, ok := f.defaultValue(v); ok {
		s["default"] = d
	}
	return s
}

// defaultValue is what the value is where the file says nothing.
func (f Field) defaultValue(v reflect.Value) (any, bool) {
	if isBlock(f.Type) || f.Type.Kind() == reflect.Interface || f.Type.Kind() == reflect.Pointer {
		return nil, false
	}
	if !v.IsValid() {
		v = reflect.New(f.Type).Elem()
	}
	if v = f.effective(v); v.IsZero() {
		return nil, false
	}
	if isDuration(f.Type) || isText(f.Type) && f.Type.Kind() != reflect.Slice {
		return unquoted(inline(v)), true
	}
	return v.Interface(), true
}

func unquoted(s string) string {
	n, err := Parse("", []byte("v: "+s))
	if err != nil || len(n.entries) != 1 {
		return s
	}
	return n.entries[0].value.text
}

func typeSchema(t reflect.Type, v reflect.Value, depth int) Object {
	switch {
	case isNode(t), isRaw(t), t.Kind() == reflect.Interface, depth > maxDepth:
		return Object{}
	case isDuration(t):
		return Object{"type": "string", "pattern": durationPattern}
	case t == reflect.TypeFor[Size]():
		return integerSchema()
	case isText(t) && t.Kind() == reflect.Slice:
		return Object{"anyOf": []Object{{"type": "array", "items": typeSchema(t.Elem(), reflect.Value{}, depth+1)}, {"type": "string"}}}
	case isBoth(t):
		return Object{"anyOf": []Object{structSchema(t, v, depth), {"type": "string"}}}
	case isText(t):
		return Object{"type": "string"}
	}
	return kindSchema(t, v, depth)
}

func kindSchema(t reflect.Type, v reflect.Value, depth int) Object {
	switch t.Kind() {
	case reflect.Bool:
		return Object{"type": "boolean"}
	case reflect.String:
		return Object{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return Object{"type": "number"}
	case reflect.Slice:
		return Object{"type": "array", "items": typeSchema(t.Elem(), reflect.Value{}, depth+1)}
	case reflect.Map:
		return Object{"type": "object", "additionalProperties": typeSchema(t.Elem(), reflect.Value{}, depth+1)}
	case reflect.Struct:
		return structSchema(t, v, depth)
	case reflect.Pointer:
		var inner reflect.Value
		if v.IsValid() && !v.IsNil() {
			inner = v.Elem()
		}
		return typeSchema(t.Elem(), inner, depth)
	}
	return integerSchema()
}

// integerSchema allows a size for every whole number, as Decode does.
func integerSchema() Object {
	return Object{"anyOf": []Object{{"type": "integer"}, {"type": "string", "pattern": sizePattern}}}
}
