package conf_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

type printable struct {
	Text   string
	Odd    string
	Size   conf.Size     `default:"1MiB"`
	Wait   time.Duration `default:"8s"`
	Names  conf.Names
	Level  slog.Level
	Key    string
	Keys   []string
	File   string `secret:"false"`
	Inner  inner
	List   []inner
	Map    map[string]int
	Off    *bool
	Any    any
	Raw    json.RawMessage
	Absent string `yaml:"absent,omitempty"`
	Logger *slog.Logger
	More   time.Duration `default:"8s"`
}

func printed(t *testing.T, v any, note func(string) string) string {
	t.Helper()
	var out strings.Builder
	if err := conf.Print(&out, v, note, none); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func none(string) string { return "" }

func TestPrintedValuesShowWhereTheyAreFromAndHideSecrets(t *testing.T) {
	t.Parallel()
	v := printable{
		Text: "/a", Odd: "*:* # x", Wait: time.Minute, Names: conf.Names{"a", "b:*"}, Level: slog.LevelWarn,
		Key: "hunter2", Keys: []string{"hunter3", "hunter4"}, File: "key.pem",
		List: []inner{{1, 2}, {3, 4}}, Map: map[string]int{"b": 2, "a b": 1}, Raw: json.RawMessage(`{"x":1}`),
		Any: &inner{5, 6},
	}
	got := printed(t, &v, func(path string) string {
		if path == "text" || path == "list[1].b" {
			return "f.yaml:1:1"
		}
		if path == "size" {
			return "f.yaml:2:1"
		}
		return ""
	})
	want := `text: /a                                  # f.yaml:1:1
odd: "*:* # x"                            # default
size: 0                                   # f.yaml:2:1
wait: 1m                                  # default
names: [a, "b:*"]                         # default
level: WARN                               # default
key: "********"                           # default
keys: ["********"]                        # default
file: key.pem                             # default
inner:
  a: 0                                    # default
  b: 0                                    # default
list:
  - a: 1                                  # default
    b: 2                                  # default
  - a: 3                                  # default
    b: 4                                  # f.yaml:1:1
map:
  "a b": 1                                # default
  b: 2                                    # default
off: null                                 # default
any:
  a: 5                                    # default
  b: 6                                    # default
raw: {"x":1}                              # default
more: 8s                                  # default
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

func TestPrintedValuesSayWhatTheyStandFor(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	from := func(path string) string { return map[string]string{"b": "f.yaml:1:1"}[path] }
	means := func(path string) string { return map[string]string{"a": "seven", "b": "eight"}[path] }
	if err := conf.Print(&out, &inner{}, from, means); err != nil {
		t.Fatal(err)
	}
	want := "a: 0                                      # default: seven\nb: 0                                      # f.yaml:1:1: eight\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

func TestWhatIsPrintedIsReadBack(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "a", "true", "No", "null", "~", "5", "0x10", "1e3", "1MiB", "8s", "a: b", "a #b", "#b", "- a", "[a]", "*x", "&x", "!x",
		"'", `"`, "\\", "ü", "a\nb", " a", "a ", "127.0.0.1:8000", "[::1]:80", "a,b", "%x", "@x", "`x`", "?", "|", "1_000", ".5", "host:*",
	} {
		v := printable{
			Text: text, Names: conf.Names{text}, Size: 3 << 10, Wait: 90 * time.Minute, Level: slog.LevelError,
			List: []inner{{A: 1}}, Map: map[string]int{text: 1}, More: 8 * time.Second,
		}
		src := printed(t, v, none)
		var got printable
		if _, wrong := decode(t, src, &got); wrong != "" {
			t.Errorf("%q: errors:\n%s\nfrom:\n%s", text, wrong, src)
			continue
		}
		got.Raw, got.Any = nil, nil // null, which is JSON too
		if diff := cmp.Diff(v, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestSizesAreReadAndWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		size conf.Size
		back string
	}{
		{"0", 0, "0"},
		{"1023", 1023, "1023"},
		{"1024", 1024, "1KiB"},
		{"1KiB", 1024, "1KiB"},
		{"1 MiB", 1 << 20, "1MiB"},
		{"2GiB", 2 << 30, "2GiB"},
		{"5B", 5, "5"},
		{"1kB", 1000, "1000"},
		{"1MB", 1e6, "1000000"},
		{"1GB", 1e9, "1000000000"},
	} {
		var s conf.Size
		if err := s.UnmarshalText([]byte(c.text)); err != nil || s != c.size {
			t.Errorf("%s: got %d and %v, want %d", c.text, s, err, c.size)
		}
		if b, err := s.MarshalText(); err != nil || string(b) != c.back {
			t.Errorf("%d: written %s (%v), want %s", s, b, err, c.back)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5MiB", "MiB", "1mib", "9223372036854775808", "9007199254740993KiB", "1KiB1"} {
		var s conf.Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %d, want an error", text, s)
		}
	}
}

func TestDurationsAreWrittenWithoutZeroUnits(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", time.Minute: "1m", 90 * time.Second: "1m30s", 24 * time.Hour: "24h",
		time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m", 1500 * time.Millisecond: "1.5s",
	} {
		if got := conf.Duration(d); got != want {
			t.Errorf("%d: got %s, want %s", d, got, want)
		}
	}
}
