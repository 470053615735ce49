package conf

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// masked is printed in place of a secret.
const masked = "********"

// noteColumn is where comments begin, unless a value is longer.
const noteColumn = 40

// Print writes v, a struct or a pointer to one, as YAML that Decode reads back, secrets apart. Each value gets a comment:
// where it is from, or that it is the default, and what it stands for where that is not what it says. What is not given
// and zero is printed as its `default` tag.
func Print(w io.Writer, v any, from, means func(path string) string) error {
	p := printer{from: from, means: means}
	p.fields(reflect.Indirect(reflect.ValueOf(v)), "", "")
	_, err := io.WriteString(w, p.out.String())
	return err
}

type printer struct {
	out         strings.Builder
	from, means func(path string) string
}

func (p *printer) line(lead, text, path string) {
	note := cmp.Or(p.from(path), "default")
	if text := p.means(path); text != "" {
		note += ": " + text
	}
	fmt.Fprintf(&p.out, "%s%-*s  # %s\n", lead, noteColumn-len(lead), text, note)
}

func (p *printer) fields(v reflect.Value, lead, path string) {
	indent := strings.Repeat(" ", len(lead))
	for _, f := range Fields(v.Type()) {
		value := f.Of(v)
		if !f.Settable || f.omitEmpty && value.IsZero() {
			continue
		}
		p.entry(f, value, lead, Join(path, f.Key))
		lead = indent
	}
}

// entry writes one key. lead stands in front of it: its indentation, or the dash of the list item that it begins.
func (p *printer) entry(f Field, v reflect.Value, lead, path string) {
	for (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && !v.IsNil() {
		v = v.Elem()
	}
	indent := strings.Repeat(" ", len(lead)) + "  "
	switch {
	case f.Secret:
		p.line(lead, f.Key+": "+mask(v), path)
	case v.Kind() == reflect.Struct && !isScalar(v.Type()):
		p.section(v, f.Key, lead, indent, path)
	case v.Kind() == reflect.Map && v.Len() > 0:
		p.out.WriteString(lead + f.Key + ":\n")
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range names {
			inner := Field{Key: inline(key), Settable: true}
			p.entry(inner, v.MapIndex(key), indent, Join(path, key.String()))
		}
	case v.Kind() == reflect.Slice && v.Len() > 0 && isBlock(v.Type().Elem()):
		p.out.WriteString(lead + f.Key + ":\n")
		for i := range v.Len() {
			p.fields(reflect.Indirect(v.Index(i)), indent+"- ", Item(path, i))
		}
	case p.from(path) == "":
		p.line(lead, f.Key+": "+inline(f.effective(v)), path)
	default:
		p.line(lead, f.Key+": "+inline(v), path)
	}
}

func (p *printer) section(v reflect.Value, key, lead, indent, path string) {
	if !settable(v.Type()) {
		p.line(lead, key+": {}", path)
		return
	}
	p.out.WriteString(lead + key + ":\n")
	p.fields(v, indent, path)
}

func isBlock(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && !isScalar(t)
}

// effective is v, or what its zero value stands for where nobody has given it.
func (f Field) effective(v reflect.Value) reflect.Value {
	if !v.IsZero() || f.Default == "" {
		return v
	}
	filled := reflect.New(v.Type()).Elem()
	if SetText(filled, f.Default) != nil {
		return v // the tag does not fit its field, which is not for the reader of a configuration to know
	}
	return filled
}

func mask(v reflect.Value) string {
	hidden := strconv.Quote(masked)
	switch {
	case v.Len() == 0 && v.Kind() != reflect.String:
		return inline(v)
	case v.Len() == 0:
		return `""`
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		return "[" + hidden + "]"
	case v.Kind() == reflect.Map:
		return "{}"
	}
	return hidden
}

// inline is a value in one line of YAML.
func inline(v reflect.Value) string {
	if m, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok && v.Kind() != reflect.Slice {
		b, err := m.MarshalText()
		if err != nil {
			return strconv.Quote(err.Error())
		}
		if v.CanInt() && looksNumeric(string(b)) {
			return string(b)
		}
		return quote(string(b))
	}
	switch {
	case isDuration(v.Type()):
		return Duration(time.Duration(v.Int()))
	case isRaw(v.Type()):
		return orNull(v, string(v.Bytes()))
	case v.Kind() == reflect.String:
		return quote(v.String())
	case v.Kind() == reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = inline(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case v.Kind() == reflect.Map && v.Len() == 0:
		return "{}"
	case v.Kind() == reflect.Pointer, v.Kind() == reflect.Interface, v.Kind() == reflect.Map, v.Kind() == reflect.Struct:
		b, err := json.Marshal(v.Interface())
		if err != nil {
			return strconv.Quote(err.Error())
		}
		return string(b)
	}
	return fmt.Sprint(v.Interface())
}

func orNull(v reflect.Value, s string) string {
	if v.Len() == 0 {
		return "null"
	}
	return s
}

// Duration is d without the zero units that time.Duration prints: 1m, not 1m0s.
func Duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// quote puts quotes around a text that YAML would not read back as that text.
func quote(s string) string {
	plain := regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./-]*$|^[A-Za-z0-9]+\.[A-Za-z0-9.]+:[0-9]+$|^[0-9]+[A-Za-z][A-Za-z0-9]*$`)
	words := []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
	if plain.MatchString(s) && !slices.Contains(words, strings.ToLower(s)) && !looksNumeric(s) {
		return s
	}
	b, err := json.Marshal(s)
	if err != nil {
		return strconv.Quote(s)
	}
	return string(b)
}

func looksNumeric(s string) bool {
	_, errInt := strconv.ParseInt(s, 0, 64)
	_, errFloat := strconv.ParseFloat(s, 64)
	return errInt == nil || errFloat == nil
}
