package conf_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

func TestKeysAreNamesInCamelCase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, key, words string }{
		{"Addr", "addr", "addr"},
		{"MaxMessage", "maxMessage", "max message"},
		{"TLSCert", "tlsCert", "tls cert"},
		{"API", "api", "api"},
		{"APIKey", "apiKey", "api key"},
		{"PerIP", "perIP", "per ip"},
		{"ID", "id", "id"},
		{"A", "a", "a"},
		{"HTTP2Server", "http2Server", "http2 server"},
	} {
		if got := conf.CamelCase(c.name); got != c.key {
			t.Errorf("%s: got %s, want %s", c.name, got, c.key)
		}
		if got := strings.Join(conf.Words(c.key), " "); got != c.words {
			t.Errorf("%s: got words %q, want %q", c.key, got, c.words)
		}
	}
}

func TestSecretsAreKnownByTagOrName(t *testing.T) {
	t.Parallel()
	type secrets struct {
		Key      string
		APIKeys  []string
		Password []byte
		Tokens   map[string]string
		Pin      string `secret:"true"`
		Bare     string `secret:""`
		KeyFile  string
		TLSKey   string `secret:"false"`
		Keyed    int
		MaxToken int
	}
	var got []string
	for _, f := range conf.Fields(reflect.TypeFor[secrets]()) {
		if f.Secret {
			got = append(got, f.Key)
		}
	}
	want := []string{"key", "apiKeys", "password", "tokens", "pin", "bare"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTextWithoutTypesIsSetByTheTypeOfTheField(t *testing.T) {
	t.Parallel()
	var v struct {
		Text  string
		Flag  bool
		Count int
		Ratio float64
		Wait  time.Duration
		Size  conf.Size
		Names conf.Names
	}
	for i, text := range []string{"5", "true", "5", "0.5", "5s", "5KiB", "a,b"} {
		if err := conf.SetText(reflect.ValueOf(&v).Elem().Field(i), text); err != nil {
			t.Errorf("field %d from %q: %v", i, text, err)
		}
	}
	if v.Text != "5" || !v.Flag || v.Count != 5 || v.Ratio != 0.5 || v.Wait != 5*time.Second || v.Size != 5120 || len(v.Names) != 2 {
		t.Errorf("got %+v", v)
	}
	for i, text := range []string{"", "maybe", "many", "half", "soon", "big"} {
		if err := conf.SetText(reflect.ValueOf(&v).Elem().Field(i), text); err == nil && i > 0 {
			t.Errorf("field %d from %q: want an error", i, text)
		}
	}
}

func TestTheNearestNameIsTheOneMeant(t *testing.T) {
	t.Parallel()
	allowed := []string{"addr", "node", "maxMessage", "maxChannels", "api"}
	for name, want := range map[string]string{
		"adr": "addr", "maxMesage": "maxMessage", "max-message": "maxMessage", "MAX_MESSAGE": "maxMessage",
		"ndoe": "node", "apj": "api", "zzz": "", "maxChanels": "maxChannels", "": "", "port": "",
	} {
		if want != "" {
			want = `; did you mean "` + want + `"? allowed: `
		} else {
			want = "; allowed: "
		}
		want += "addr, node, maxMessage, maxChannels, api"
		if got := conf.Hint(name, allowed); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestTheSchemaSaysWhatIsDecoded(t *testing.T) {
	t.Parallel()
	type thing struct {
		Text  string        `doc:"A text." default:"x"`
		Mode  string        `enum:"a,b"`
		Key   string        `default:"never told"`
		Wait  time.Duration `default:"8s"`
		Size  conf.Size
		Names conf.Names
		Inner *inner
		Map   map[string]bool
		Ratio float64
		Any   any
		Loop  []looped
		Fn    func()
	}
	b, err := json.Marshal(conf.Schema(&thing{Size: 2048, Ratio: 0.5}))
	if err != nil {
		t.Fatal(err)
	}
	var got conf.Object
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	size := `{"anyOf":[{"type":"integer"},{"type":"string","pattern":"^[0-9]+ ?(B|KiB|MiB|GiB|kB|MB|GB)$"}]`
	var want conf.Object
	if err := json.Unmarshal([]byte(`{"type":"object","additionalProperties":false,"properties":{
		"text":{"type":"string","description":"A text.","default":"x"},
		"mode":{"type":"string","enum":["a","b"]},
		"key":{"type":"string","writeOnly":true},
		"wait":{"type":"string","pattern":"^-?([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$","default":"8s"},
		"size":`+size+`,"default":"2KiB"},
		"names":{"anyOf":[{"type":"array","items":{"type":"string"}},{"type":"string"}]},
		"inner":{"type":"object","additionalProperties":false,"properties":{"a":`+size+`},"b":`+size+`}}},
		"map":{"type":"object","additionalProperties":{"type":"boolean"}},
		"ratio":{"type":"number","default":0.5},
		"any":{}
	}}`), &want); err != nil {
		t.Fatal(err)
	}
	delete(got["properties"].(conf.Object), "loop") // a type that contains itself ends somewhere
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
	if s := conf.Schema(func() {}); s["additionalProperties"] != false {
		t.Errorf("schema of what has no fields: got %v, want an object without properties", s)
	}
}

type looped struct {
	Name string
	Next []looped
}
