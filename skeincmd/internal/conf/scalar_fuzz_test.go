package conf_test

import (
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// bigSize reads a size as one would by hand; nil: it is none.
func bigSize(text string) *big.Int {
	digits := text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
	units := map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1e3, "MB": 1e6, "GB": 1e9}
	unit, known := units[strings.TrimSpace(text[len(digits):])]
	n, ok := new(big.Int).SetString(digits, 10)
	if !known || !ok {
		return nil
	}
	return n.Mul(n, big.NewInt(unit))
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"0", "1", "64KiB", "1 MiB", "2GiB", "9223372036854775807", "9223372036854775808", "9999999999GiB", "-1", "1.5MiB", "kB", "1e3", "007kB", "٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s conf.Size
		err := s.UnmarshalText([]byte(text))
		want := bigSize(text)
		switch {
		case want == nil || !want.IsInt64():
			if err == nil {
				t.Fatalf("%q was read as %d", text, s)
			}
			return
		case err != nil:
			t.Fatalf("%q: %v, want %v", text, err, want)
		case big.NewInt(int64(s)).Cmp(want) != 0:
			t.Fatalf("%q: got %d, want %v", text, s, want)
		}
		written, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back conf.Size
		if err := back.UnmarshalText(written); err != nil || back != s {
			t.Fatalf("%d was written as %q, and that read as %d, %v", s, written, back, err)
		}
	})
}

// FuzzSetText sets what flags, the environment and defaults may say, beside the standard library.
func FuzzSetText(f *testing.F) {
	for _, s := range []string{"", "true", "FALSE", "8s", "1m30s", "0", "-5", "0x1f", "1_000", "64KiB", "3.5", "1e400", "NaN", "99999999999999999999", " 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var into struct {
			Text     string
			Bool     bool
			Int      int
			Small    int8
			Unsigned uint16
			Float    float64
			Duration time.Duration
			Names    conf.Names
		}
		v := reflect.ValueOf(&into).Elem()
		took := map[string]bool{}
		for i := range v.NumField() {
			took[v.Type().Field(i).Name] = conf.SetText(v.Field(i), text) == nil
		}
		if !took["Text"] || into.Text != text {
			t.Errorf("text: got %q, want %q", into.Text, text)
		}
		if d, err := time.ParseDuration(text); took["Duration"] && (err != nil || d != into.Duration) {
			t.Errorf("%q: got the duration %v, want %v, %v", text, into.Duration, d, err)
		}
		if n, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64); took["Float"] && (err != nil || n != into.Float && n == n) {
			t.Errorf("%q: got %v, want %v, %v", text, into.Float, n, err)
		}
		if b, err := strconv.ParseBool(strings.ToLower(text)); took["Bool"] && (err != nil || b != into.Bool) {
			t.Errorf("%q: got %v, want %v, %v", text, into.Bool, b, err)
		}
		if took["Int"] && took["Small"] && into.Int != int(into.Small) || took["Int"] && took["Unsigned"] && into.Int != int(into.Unsigned) {
			t.Errorf("%q: got %d, %d and %d", text, into.Int, into.Small, into.Unsigned)
		}
		for _, name := range into.Names {
			if name == "" || strings.ContainsAny(name, ", ") {
				t.Errorf("%q: got the name %q", text, name)
			}
		}
	})
}
