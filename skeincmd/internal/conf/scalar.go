package conf

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as a number or with a unit: 64KiB, 1MiB, 2GiB.
type Size int

// UnmarshalText reads a number of bytes.
func (s *Size) UnmarshalText(b []byte) error {
	n, err := parseSize(string(b))
	if err != nil {
		return err
	}
	*s = Size(n)
	return nil
}

// MarshalText writes the largest unit that is exact.
func (s Size) MarshalText() ([]byte, error) {
	for _, u := range []struct {
		bytes Size
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if s != 0 && s%u.bytes == 0 {
			return []byte(strconv.Itoa(int(s/u.bytes)) + u.name), nil
		}
	}
	return []byte(strconv.Itoa(int(s))), nil
}

// Names is a list that may also be written as one text, with commas or spaces between.
type Names []string

// UnmarshalText splits at commas and spaces, and adds to what is there: a flag may be given more than once.
func (n *Names) UnmarshalText(b []byte) error {
	*n = append(*n, strings.FieldsFunc(string(b), func(r rune) bool { return r == ',' || r == ' ' })...)
	return nil
}

// Files is a list of files that may also be written as one text, with commas between: their names may have spaces.
type Files []string

// UnmarshalText splits at commas, and adds to what is there.
func (f *Files) UnmarshalText(b []byte) error {
	for name := range strings.SplitSeq(string(b), ",") {
		if name = strings.TrimSpace(name); name != "" {
			*f = append(*f, name)
		}
	}
	return nil
}

var (
	errSize  = errors.New("want a number of bytes, or one with a unit as in 64KiB, 1MiB, 2GiB")
	errRange = errors.New("out of range")
)

func parseSize(text string) (int64, error) {
	digits := strings.TrimRightFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	unit := uint64(1)
	switch strings.TrimSpace(text[len(digits):]) {
	case "", "B":
	case "KiB":
		unit = 1 << 10
	case "MiB":
		unit = 1 << 20
	case "GiB":
		unit = 1 << 30
	case "kB":
		unit = 1e3
	case "MB":
		unit = 1e6
	case "GB":
		unit = 1e9
	default:
		return 0, fmt.Errorf("%q is not a size; %w", text, errSize)
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%s is %w", text, errRange)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a size; %w", text, errSize)
	}
	if high, low := bits.Mul64(n, unit); high != 0 || low > math.MaxInt64 {
		return 0, fmt.Errorf("%s is %w", text, errRange)
	}
	return int64(n * unit), nil //nolint:gosec // as has just been seen
}

// SetText sets v, which must be settable and not a list or mapping of its own, from a text without YAML's types, as a
// `default` tag or the environment has it.
func SetText(v reflect.Value, s string) error {
	n := Node{kind: text, text: s}
	switch {
	case isText(v.Type()):
	case v.Kind() == reflect.Bool:
		n.kind = boolean
	case isDuration(v.Type()):
	case v.CanInt() || v.CanUint():
		n.kind = integer
	case v.CanFloat():
		n.kind = float
	}
	return setScalar(v, n)
}

// setScalar sets v from n, or says what it wants.
func setScalar(v reflect.Value, n Node) error {
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		return u.UnmarshalText([]byte(n.text))
	}
	if isDuration(v.Type()) {
		return setDuration(v, n)
	}
	switch {
	case v.Kind() == reflect.Bool && n.kind == boolean:
		return setBool(v, n)
	case v.Kind() == reflect.String && n.kind == text:
		v.SetString(n.text)
		return nil
	case v.CanInt() || v.CanUint():
		return setInteger(v, n)
	case v.CanFloat():
		return setFloat(v, n)
	}
	return mismatch(v.Type(), n)
}

func setBool(v reflect.Value, n Node) error {
	b, err := strconv.ParseBool(strings.ToLower(n.text))
	if err != nil {
		return mismatch(v.Type(), n)
	}
	v.SetBool(b)
	return nil
}

func setFloat(v reflect.Value, n Node) error {
	f, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64)
	isNumber := n.kind == float || n.kind == integer
	if !isNumber || err != nil || math.IsInf(f, 0) || math.IsNaN(f) || v.OverflowFloat(f) {
		return mismatch(v.Type(), n)
	}
	v.SetFloat(f)
	return nil
}

func setDuration(v reflect.Value, n Node) error {
	d, err := time.ParseDuration(n.text)
	if err != nil || n.kind != text && n.text != "0" {
		return mismatch(v.Type(), n)
	}
	v.SetInt(int64(d))
	return nil
}

// setInteger takes any whole number, and a size for a whole number, as nothing tells one from the other in Go.
func setInteger(v reflect.Value, n Node) error {
	if n.kind == text && strings.TrimLeft(n.text, "0123456789") != "" {
		size, err := parseSize(n.text)
		if err != nil {
			return mismatch(v.Type(), n)
		}
		n = Node{kind: integer, text: strconv.FormatInt(size, 10)}
	}
	if n.kind != integer {
		return mismatch(v.Type(), n)
	}
	if v.CanUint() {
		u, err := strconv.ParseUint(n.text, 0, 64)
		if errors.Is(err, strconv.ErrRange) || err == nil && v.OverflowUint(u) {
			return fmt.Errorf("%s is %w", n.text, errRange)
		}
		if err != nil {
			return mismatch(v.Type(), n)
		}
		v.SetUint(u)
		return nil
	}
	i, err := strconv.ParseInt(n.text, 0, 64)
	if errors.Is(err, strconv.ErrRange) || err == nil && v.OverflowInt(i) {
		return fmt.Errorf("%s is %w", n.text, errRange)
	}
	if err != nil {
		return mismatch(v.Type(), n)
	}
	v.SetInt(i)
	return nil
}

// mismatch says what n is and what t wants.
func mismatch(t reflect.Type, n Node) error {
	if n.kind == null {
		return fmt.Errorf("has no value; want %s", wanted(t))
	}
	hint := ""
	if t.Kind() == reflect.String && n.kind < text {
		hint = fmt.Sprintf("; write %q", n.text)
	}
	return fmt.Errorf("want %s, got %s%s", wanted(t), n.describe(), hint)
}

func (n Node) describe() string {
	switch n.kind {
	case list:
		return "a list"
	case mapping:
		return "a mapping"
	case text:
		return fmt.Sprintf("the text %q", n.text)
	}
	return n.text
}

// wanted names the values of a type.
func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Size]():
		return "a size, as in 1048576 or 1MiB"
	case isDuration(t):
		return "a duration, as in 8s or 1m30s"
	case isBoth(t):
		return "text, or a mapping, as in {key: value}"
	case isText(t):
		return "text"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list, as in [a, b]"
	case reflect.Map, reflect.Struct:
		return "a mapping, as in {key: value}"
	case reflect.Pointer:
		return wanted(t.Elem())
	}
	return "a whole number"
}
