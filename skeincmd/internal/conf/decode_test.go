package conf_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// everything has a field of each kind.
type everything struct {
	Text     string
	Flag     bool
	Small    int8
	Count    int
	Positive uint
	Ratio    float64
	Wait     time.Duration
	Size     conf.Size
	Names    conf.Names
	Words    []string
	Level    slog.Level
	Net      netip.Prefix
	Mode     string `enum:"fast,slow"`
	Inner    inner
	List     []inner
	Map      map[string]int
	Pointer  *int
	Any      any
	Raw      json.RawMessage
	Later    conf.Node
	Renamed  string `yaml:"other"`
	GoOnly   string `yaml:"-"`
	Logger   *slog.Logger
	Function func()
	TLSCert  string
	embedded
	Flattened flattened `embed:""`
	Both      both
}

// both is written as A/B, or as a mapping.
type both struct{ A, B string }

func (b *both) UnmarshalText(text []byte) error {
	var ok bool
	if b.A, b.B, ok = strings.Cut(string(text), "/"); !ok {
		return fmt.Errorf("no slash in %q", text)
	}
	return nil
}

func TestAStructMayBeOneTextOrAMapping(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]both{"both: x/y": {"x", "y"}, "both: {b: z}": {"", "z"}, "both: {}": {}} {
		var got everything
		if _, wrong := decode(t, src, &got); wrong != "" || got.Both != want {
			t.Errorf("%s: got %+v and errors %q, want %+v", src, got.Both, wrong, want)
		}
	}
	properties, ok := conf.Schema(&everything{})["properties"].(conf.Object)
	if !ok {
		t.Fatal("a schema without properties")
	}
	b, err := json.Marshal(properties["both"])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"anyOf":[{"additionalProperties":false,"properties":{"a":{"type":"string"},"b":{"type":"string"}},"type":"object"},{"type":"string"}]}`
	if string(b) != want {
		t.Errorf("got the schema %s, want %s", b, want)
	}
}

type inner struct{ A, B int }

type embedded struct{ FromEmbedded string }

type flattened struct{ FromTag string }

func decode(t *testing.T, src string, dst any) (conf.Places, string) {
	t.Helper()
	root, err := conf.Parse("f.yaml", []byte(src))
	places := conf.Places{}
	if !root.Absent() {
		var wrong error
		places, wrong = root.Decode(dst)
		err = errors.Join(err, wrong)
	}
	var lines []string
	for _, e := range conf.Sort(err) {
		lines = append(lines, e.Error())
	}
	return places, strings.Join(lines, "\n")
}

func TestEveryKindOfValueIsDecoded(t *testing.T) {
	t.Parallel()
	const src = `# a comment
text: "hello"
flag: true
small: -128
count: 1_000
positive: 64KiB
ratio: 2.5
wait: 1m30s
size: 1MiB
names: a, b c
words: [x, 'y z']
level: warn
net: 10.0.0.0/8
mode: slow
inner: {a: 1, b: 2}
list:
  - a: 3
  - {b: 4}
map: {one: 1, two: 0x2}
pointer: 7
any: {x: [1, 2.5, true, ~, "s"]}
raw: {"deep": [1, {"x": "<"}]}
later: [1]
other: renamed
tlsCert: |
  two
  lines
fromEmbedded: e
fromTag: t
`
	var got everything
	_, wrong := decode(t, src, &got)
	if wrong != "" {
		t.Fatalf("errors:\n%s", wrong)
	}
	seven := 7
	want := everything{
		Text: "hello", Flag: true, Small: -128, Count: 1000, Positive: 65536, Ratio: 2.5, Wait: 90 * time.Second,
		Size: 1 << 20, Names: conf.Names{"a", "b", "c"}, Words: []string{"x", "y z"}, Level: slog.LevelWarn,
		Net: netip.MustParsePrefix("10.0.0.0/8"), Mode: "slow", Inner: inner{1, 2}, List: []inner{{A: 3}, {B: 4}},
		Map: map[string]int{"one": 1, "two": 2}, Pointer: &seven,
		Any:     map[string]any{"x": []any{int64(1), 2.5, true, nil, "s"}},
		Raw:     json.RawMessage(`{"deep":[1,{"x":"\u003c"}]}`),
		Renamed: "renamed", TLSCert: "two\nlines\n", embedded: embedded{"e"}, Flattened: flattened{"t"},
	}
	want.Later = got.Later
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(everything{}, embedded{}, conf.Node{}),
		cmp.Comparer(func(a, b conf.Node) bool { return a.At() == b.At() }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Function" }, cmp.Ignore())); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	if at := got.Later.At().String(); at != "f.yaml:23:8" {
		t.Errorf("position of later: got %s, want f.yaml:23:8", at)
	}
}

func TestWhatIsNotNamedKeepsItsValue(t *testing.T) {
	t.Parallel()
	got := everything{Text: "kept", Inner: inner{A: 1, B: 2}}
	_, wrong := decode(t, "inner: {b: 3}\nlist:\n", &got)
	if wrong != "" || got.Text != "kept" || got.Inner != (inner{1, 3}) || got.List != nil {
		t.Errorf("got %+v and errors %q, want what was there with inner.b as 3", got, wrong)
	}
}

func TestEmptyFilesAreEmptyConfigurations(t *testing.T) {
	t.Parallel()
	for _, src := range []string{"", "\n", "# only a comment\n", "---\n", "~\n", "{}\n", "\ufeff"} {
		var got struct{ Text string }
		if _, wrong := decode(t, src, &got); wrong != "" {
			t.Errorf("%q: errors %s, want none", src, wrong)
		}
	}
}

func TestAnchorsAndAliasesAreResolved(t *testing.T) {
	t.Parallel()
	var got everything
	_, wrong := decode(t, "inner: &x {a: 1}\nlist: [*x, {b: 2}]\n", &got)
	if wrong != "" || len(got.List) != 2 || got.List[0].A != 1 {
		t.Errorf("got %+v and errors %q, want the alias's a in the list", got.List, wrong)
	}
}

func TestMistakesNameTheirPlaceAndWhatIsRight(t *testing.T) {
	t.Parallel()
	const allowed = "allowed: a, b"
	for _, c := range []struct{ name, src, want string }{
		{"unknown key below", "inner: {aa: 1}", `f.yaml:1:9: inner: unknown key "aa"; did you mean "a"? ` + allowed},
		{"unknown key, nothing near", "inner: {zzzz: 1}", `f.yaml:1:9: inner: unknown key "zzzz"; ` + allowed},
		{"unknown key in a list", "list:\n  - a: 1\n  - c: 1", `f.yaml:3:5: list[1]: unknown key "c"; did you mean "a"? ` + allowed},
		{"kebab for camel", "tls-cert: x", `did you mean "tlsCert"?`},
		{"set in Go only", "goOnly: x", `f.yaml:1:1: "goOnly" can be set in Go only`},
		{"function", "function: x", `f.yaml:1:1: "function" can be set in Go only`},
		{"duplicate", "text: a\ncount: 1\ntext: b", `f.yaml:3:1: "text" is given twice, first in line 1`},
		{"duplicate below", "inner:\n  a: 1\n  a: 2", `f.yaml:3:3: "a" is given twice, first in line 2`},
		{"number for text", "text: 5", `f.yaml:1:7: text: want text, got 5; write "5"`},
		{"bool for text", "text: true", `f.yaml:1:7: text: want text, got true; write "true"`},
		{"text for bool", "flag: maybe", `f.yaml:1:7: flag: want true or false, got the text "maybe"`},
		{"text for number", "count: many", `f.yaml:1:8: count: want a whole number, got the text "many"`},
		{"quoted number", `count: "5"`, `f.yaml:1:8: count: want a whole number, got the text "5"`},
		{"fraction for whole", "count: 1.5", `f.yaml:1:8: count: want a whole number, got 1.5`},
		{"too large", "small: 128", `f.yaml:1:8: small: 128 is out of range`},
		{"far too large", "count: 99999999999999999999", `f.yaml:1:8: count: `},
		{"negative", "positive: -1", `f.yaml:1:11: positive: want a whole number, got -1`},
		{"text for ratio", "ratio: x", `f.yaml:1:8: ratio: want a number, got the text "x"`},
		{"infinite", "ratio: .inf", `f.yaml:1:8: ratio: want a number, got .inf`},
		{"duration without unit", "wait: 8", `f.yaml:1:7: wait: want a duration, as in 8s or 1m30s, got 8`},
		{"no duration", "wait: soon", `f.yaml:1:7: wait: want a duration, as in 8s or 1m30s, got the text "soon"`},
		{"no size", "size: big", `f.yaml:1:7: size: "big" is not a size; want a number of bytes, or one with a unit as in 64KiB, 1MiB, 2GiB`},
		{"size out of range", "size: 9999999999GiB", `f.yaml:1:7: size: 9999999999GiB is out of range`},
		{"size as a list", "size: [1]", `f.yaml:1:7: size: want a size, as in 1048576 or 1MiB, got a list`},
		{"enum", "mode: fsat", `f.yaml:1:7: mode: "fsat" is not allowed; did you mean "fast"? allowed: fast, slow`},
		{"text for list", "words: x", `f.yaml:1:8: words: want a list, as in [a, b], got the text "x"`},
		{"item of a list", "words: [x, 1]", `f.yaml:1:12: words[1]: want text, got 1; write "1"`},
		{"list for mapping", "inner: [1]", `f.yaml:1:8: inner: want a mapping, as in {key: value}, got a list`},
		{"text for mapping", "map: x", `f.yaml:1:6: map: want a mapping, as in {key: value}, got the text "x"`},
		{"value of a map", "map: {a: x}", `f.yaml:1:10: map.a: want a whole number, got the text "x"`},
		{"mapping for text", "text: {a: 1}", `f.yaml:1:7: text: want text, got a mapping`},
		{"no value", "count:", `f.yaml:1:8: count: has no value; want a whole number`},
		{"the type's own words", "net: x", `f.yaml:1:6: net: netip.ParsePrefix("x"): no '/'`},
		{"no text of both", "both: x", `f.yaml:1:7: both: no slash in "x"`},
		{"unknown key of both", "both: {c: x}", `f.yaml:1:8: both: unknown key "c"; did you mean "a"? allowed: a, b`},
		{"infinite in JSON", "any: .nan", `f.yaml:1:6: any: .nan is not a number that JSON has`},
		{"top is a list", "- a", `f.yaml:1:1: want a mapping, as in {key: value}, got a list`},
		{"two documents", "text: a\n---\ntext: b", `a second document; a configuration is one`},
		{"merge key", "inner:\n  <<: {a: 1}", `f.yaml:2:3: merge keys and complex keys are YAML that a configuration cannot use`},
		{"tag", "text: !!str 5", `f.yaml:1:7: Tag is YAML that a configuration cannot use`},
		{"unknown alias", "text: *x", `f.yaml:1:7: there is no &x above`},
		{"alias of itself", "any: &x [*x]", `there is no &x above`},
		{"syntax", "text: 'a", `f.yaml:1:7: could not find end character of single-quoted text`},
		{"tab", "inner:\n\ta: 1", `f.yaml:2:1: found character '	' that cannot start any token`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var v everything
			_, got := decode(t, c.src, &v)
			if !strings.Contains(got, c.want) {
				t.Errorf("%s\ngot  %s\nwant %s", c.src, got, c.want)
			}
			if strings.Count(got, "\n") != 0 {
				t.Errorf("%s\ngot more than one error:\n%s", c.src, got)
			}
		})
	}
}

func TestAllMistakesAreToldAtOnceInTheOrderOfTheFile(t *testing.T) {
	t.Parallel()
	var v everything
	_, got := decode(t, "count: x\ntext: a\nnope: 1\ntext: b\ninner: {c: 1, b: x}\n", &v)
	var places []string
	for line := range strings.Lines(got) {
		place, _, _ := strings.Cut(line, ": ")
		places = append(places, place)
	}
	want := []string{"f.yaml:1:8", "f.yaml:3:1", "f.yaml:4:1", "f.yaml:5:9", "f.yaml:5:18"}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Errorf("places (-want +got):\n%s\n%s", diff, got)
	}
	if v.Text != "a" {
		t.Errorf("text: got %q, want what is right to be set", v.Text)
	}
}

func TestAListOfErrorsIsToldOneByOneWithWhatStandsInFront(t *testing.T) {
	t.Parallel()
	a, b := errors.New("a"), errors.New("b")
	placed := &conf.Error{At: conf.Pos{File: "f", Line: 2, Column: 1}, Text: "c"}
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"nothing":            {nil, nil},
		"one":                {fmt.Errorf("x: %w", a), []string{"x: a"}},
		"a list":             {errors.Join(a, nil, b), []string{"a", "b"}},
		"behind a lead":      {fmt.Errorf("f:1: %w", fmt.Errorf("x: %w", errors.Join(a, errors.Join(b)))), []string{"f:1: x: a", "f:1: x: b"}},
		"a list of one":      {fmt.Errorf("x: %w", errors.Join(a)), []string{"x: a"}},
		"before more":        {fmt.Errorf("x: %w: y", errors.Join(a, b)), []string{"x: a\nb: y"}},
		"two in one":         {fmt.Errorf("x: %w (%w)", a, b), []string{"x: a (b)"}},
		"places come before": {errors.Join(a, placed), []string{"f:2:1: c", "a"}},
	} {
		var got []string
		for _, e := range conf.Sort(c.err) {
			got = append(got, e.Error())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if all := conf.Sort(fmt.Errorf("x: %w", errors.Join(a, b))); len(all) != 2 || !errors.Is(all[1], b) {
		t.Errorf("got %v, want the errors themselves to be kept", all)
	}
}

func TestPlacesAreKnownOfAllThatWasGiven(t *testing.T) {
	t.Parallel()
	var v everything
	places, wrong := decode(t, "text: a\nlist:\n  - a: 1\n  - b: 2\nmap: {k: 1}\n", &v)
	if wrong != "" {
		t.Fatal(wrong)
	}
	got := map[string]string{}
	for path, at := range places {
		got[path] = at.String()
	}
	want := map[string]string{
		"": "f.yaml:1:1", "text": "f.yaml:1:7", "list": "f.yaml:3:3", "list[0]": "f.yaml:3:5", "list[0].a": "f.yaml:3:8",
		"list[1]": "f.yaml:4:5", "list[1].b": "f.yaml:4:8", "map": "f.yaml:5:6", "map.k": "f.yaml:5:10",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}

func TestANodeIsDecodedLaterWithItsPath(t *testing.T) {
	t.Parallel()
	var v everything
	if _, wrong := decode(t, "later:\n  aa: 1\n", &v); wrong != "" {
		t.Fatal(wrong)
	}
	_, err := v.Later.Decode(&inner{})
	const want = `f.yaml:2:3: later: unknown key "aa"; did you mean "a"? allowed: a, b`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestWhatHasNoFieldsTakesNoKeys(t *testing.T) {
	t.Parallel()
	for _, dst := range []any{func() {}, &struct{ hidden int }{}, 5} {
		if _, wrong := decode(t, "", dst); wrong != "" {
			t.Errorf("%T from an empty file: %s, want no error", dst, wrong)
		}
		if _, wrong := decode(t, "a: 1", dst); !strings.Contains(wrong, "there is nothing to set here") {
			t.Errorf("%T from a: got %q, want that there is nothing to set", dst, wrong)
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	var v struct{ Any any }
	src := "any: " + strings.Repeat("[", 100) + strings.Repeat("]", 100)
	if _, wrong := decode(t, src, &v); !strings.Contains(wrong, "too deep") {
		t.Errorf("got %q, want that it is too deep", wrong)
	}
}

func TestAliasesOfAliasesAreBounded(t *testing.T) {
	t.Parallel()
	src := "any:\n  - &a0 [x]\n"
	for i := range 30 {
		a := fmt.Sprintf("*a%d", i)
		src += fmt.Sprintf("  - &a%d [%s, %s, %s, %s]\n", i+1, a, a, a, a)
	}
	var v struct{ Any any }
	_, wrong := decode(t, src, &v)
	if !strings.HasSuffix(wrong, "too many values") || strings.Count(wrong, "\n") > 0 {
		t.Errorf("got %.200q, want one error about too many values", wrong)
	}
}

func FuzzParseAndDecode(f *testing.F) {
	for _, seed := range []string{"text: a\n", "list: [{a: 1}]\n", "any: &x [1]\nraw: *x\n", "a: {b: [", "? a\n: b", "- - -", "text: |\n a\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		var v everything
		_, wrong := decode(t, src, &v)
		for line := range strings.Lines(wrong) {
			if strings.Contains(line, "panic") {
				t.Errorf("%q: %s", src, line)
			}
		}
	})
}
