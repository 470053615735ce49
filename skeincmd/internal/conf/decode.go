package conf

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Places maps the paths of the values that a file gave, such as plugins[0].options, to where they stand.
type Places map[string]Pos

// Decode sets dst, a pointer, from n. What n does not name keeps its value. The error joins one [Error] for everything
// that is wrong; the rest is set all the same.
func (n Node) Decode(dst any) (Places, error) {
	d := decoder{places: Places{}}
	v := reflect.ValueOf(dst)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		d.value(n, v.Elem(), n.path)
		return d.places, errors.Join(d.errs...)
	}
	if n.kind != mapping || len(n.entries) > 0 { // such as a plugin that is only a function
		d.fail(n, n.path, "there is nothing to set here")
	}
	return d.places, errors.Join(d.errs...)
}

type decoder struct {
	places Places
	errs   []error
	depth  int
	count  int
}

// mostValues bounds what aliases of aliases blow up to.
const mostValues = 100_000

func (d *decoder) fail(n Node, path, text string) {
	d.errs = append(d.errs, &Error{At: n.at, Path: path, Text: text})
}

// value sets v from n, within the bounds of depth and number.
func (d *decoder) value(n Node, v reflect.Value, path string) {
	d.count++
	d.depth++
	defer func() { d.depth-- }()
	switch {
	case d.depth > 4*maxDepth:
		d.fail(n, path, "too deep")
	case d.count == mostValues:
		d.fail(n, path, "too many values")
	case d.count < mostValues && n.kind != broken:
		d.set(n, v, path)
	}
}

func (d *decoder) set(n Node, v reflect.Value, path string) {
	d.places[path] = n.at
	switch {
	case isNode(v.Type()):
		n.path = path
		v.Set(reflect.ValueOf(n))
	case isRaw(v.Type()):
		d.raw(n, v, path)
	case v.Kind() == reflect.Pointer:
		d.pointer(n, v, path)
	case v.Kind() == reflect.Interface:
		if x := d.plain(n, path); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	case n.kind == list && v.Kind() == reflect.Slice:
		d.list(n, v, path)
	case isText(v.Type()) && (n.kind == null || n.kind >= list), !isText(v.Type()) && isContainer(v.Kind()):
		d.container(n, v, path)
	default:
		if err := setScalar(v, n); err != nil {
			d.fail(n, path, err.Error())
		}
	}
}

func isContainer(k reflect.Kind) bool {
	return k == reflect.Struct || k == reflect.Map || k == reflect.Slice
}

// container sets what is not one value: an empty value leaves it as it is.
func (d *decoder) container(n Node, v reflect.Value, path string) {
	switch {
	case n.kind == null && isContainer(v.Kind()):
	case n.kind == mapping && v.Kind() == reflect.Struct && (!isText(v.Type()) || isBoth(v.Type())):
		d.fields(n, v, path)
	case n.kind == mapping && v.Kind() == reflect.Map:
		d.mapping(n, v, path)
	default:
		d.fail(n, path, mismatch(v.Type(), n).Error())
	}
}

func (d *decoder) pointer(n Node, v reflect.Value, path string) {
	if n.kind == null {
		v.SetZero()
		return
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	d.value(n, v.Elem(), path)
}

func (d *decoder) fields(n Node, v reflect.Value, path string) {
	fields := Fields(v.Type())
	for _, e := range n.entries {
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Key == e.key })
		at := Node{at: e.at}
		switch {
		case i < 0:
			d.fail(at, path, unknown(e.key, keys(fields)))
		case !fields[i].Settable:
			d.fail(at, path, fmt.Sprintf("%q can be set in Go only", e.key))
		default:
			f := fields[i]
			field := f.Of(v)
			d.value(e.value, field, Join(path, e.key))
			d.enum(e.value, field, f, Join(path, e.key))
		}
	}
}

func (d *decoder) enum(n Node, v reflect.Value, f Field, path string) {
	if n.kind != text || len(f.Enum) == 0 || v.Kind() != reflect.String {
		return
	}
	if err := f.check(v.String()); err != nil {
		d.fail(n, path, err.Error())
	}
}

// check returns an error that names what is allowed where the field has an enum without value.
func (f Field) check(value string) error {
	if len(f.Enum) == 0 || slices.Contains(f.Enum, value) {
		return nil
	}
	allowed := slices.DeleteFunc(slices.Clone(f.Enum), func(s string) bool { return s == "" })
	return fmt.Errorf("%q is not allowed%s", value, Hint(value, allowed))
}

func unknown(key string, allowed []string) string {
	if len(allowed) == 0 {
		return fmt.Sprintf("unknown key %q; there is nothing to set here", key)
	}
	return fmt.Sprintf("unknown key %q%s", key, Hint(key, allowed))
}

func keys(fields []Field) []string {
	var names []string
	for _, f := range fields {
		if f.Settable {
			names = append(names, f.Key)
		}
	}
	return names
}

// Join appends a key to a path.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Item appends an index to a path.
func Item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// list sets a slice. An empty list is as none at all.
func (d *decoder) list(n Node, v reflect.Value, path string) {
	if len(n.items) == 0 {
		v.SetZero()
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		d.value(item, s.Index(i), Item(path, i))
	}
	v.Set(s)
}

func (d *decoder) mapping(n Node, v reflect.Value, path string) {
	m := reflect.MakeMapWithSize(v.Type(), len(n.entries))
	for _, e := range n.entries {
		value := reflect.New(v.Type().Elem()).Elem()
		d.value(e.value, value, Join(path, e.key))
		m.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), value)
	}
	v.Set(m)
}

func (d *decoder) raw(n Node, v reflect.Value, path string) {
	b, err := json.Marshal(d.plain(n, path))
	if err != nil {
		d.fail(n, path, err.Error())
		return
	}
	v.SetBytes(b)
}

// plain is n as encoding/json would have it, with whole numbers kept whole.
func (d *decoder) plain(n Node, path string) any {
	switch n.kind {
	case null:
		return nil
	case boolean:
		return strings.EqualFold(n.text, "true")
	case integer, float:
		return d.number(n, path)
	case list:
		items := make([]any, len(n.items))
		for i, item := range n.items {
			d.value(item, reflect.ValueOf(&items[i]).Elem(), Item(path, i))
		}
		return items
	case mapping:
		m := make(map[string]any, len(n.entries))
		d.value(n, reflect.ValueOf(&m).Elem(), path)
		return m
	}
	return n.text
}

func (d *decoder) number(n Node, path string) any {
	if n.kind == integer {
		if i, err := strconv.ParseInt(n.text, 0, 64); err == nil {
			return i
		}
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		d.fail(n, path, n.text+" is not a number that JSON has")
		return nil
	}
	return f
}
