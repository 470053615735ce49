package skeincmd

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// TestTheDocumentationOfLimitsIsRight compares the flags, keys and defaults of docs/limits.md with the table of settings.
func TestTheDocumentationOfLimitsIsRight(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	defaults, ofEndpoints := map[string]string{}, []string{}
	for _, f := range conf.Fields(reflect.TypeFor[settings]()) {
		defaults["--"+flagName(f.Key)] = f.Default
	}
	for _, f := range conf.Fields(reflect.TypeFor[endpointLimits]()) {
		ofEndpoints = append(ofEndpoints, "limits."+f.Key)
	}
	var written []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 8 {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(cells[3], -1) {
			written = append(written, m[1])
			want, isFlag := defaults[m[1]]
			if !isFlag && !slices.Contains(ofEndpoints, m[1]) {
				t.Errorf("docs/limits.md names %s, which there is not", m[1])
			}
			if got := strings.NewReplacer(" ", "", ",", "").Replace(cells[4]); !strings.HasPrefix(got, want) {
				t.Errorf("docs/limits.md says of %s that the default is%s, want %s", m[1], cells[4], want)
			}
		}
	}
	for _, f := range conf.Fields(reflect.TypeFor[limitSettings]()) {
		if flag := "--" + flagName(f.Key); !slices.Contains(written, flag) && flag != "--user-claim" {
			t.Errorf("docs/limits.md lacks %s", flag)
		}
	}
}

func TestRatesAreReadStrictly(t *testing.T) {
	t.Parallel()
	const how = `want a number a second, or with a burst as in 100/200`
	for text, want := range map[string]string{
		"":                            "",
		"packets=1, bytes=1MiB/4MiB":  "",
		"calls=0.25/1":                "",
		"packets=0":                   "",
		"publish=1":                   `there is no rate of "publish"; did you mean "publishes"? allowed: packets, bytes, subscribes, publishes, calls`,
		"connects=1":                  `there is no rate of "connects"; allowed: packets, bytes, subscribes, publishes, calls`,
		"100":                         `"100" is not a rate; want KIND=PER_SECOND or KIND=PER_SECOND/BURST, as in publishes=100/200`,
		"calls":                       `"calls" is not a rate; want KIND=`,
		"calls=":                      `calls: "" is not a rate; ` + how,
		"calls=x":                     `calls: "x" is not a rate; ` + how,
		"calls=-1":                    `calls: "-1" is not a rate; ` + how,
		"calls=1e999":                 `calls: "1e999" is not a rate; ` + how,
		"calls=NaN":                   `calls: "NaN" is not a rate; ` + how,
		"calls=1/":                    `calls: "1/" is not a rate; ` + how,
		"calls=1/0":                   `calls: "1/0" is not a rate; ` + how,
		"calls=1/2.5":                 `calls: "1/2.5" is not a rate; ` + how,
		"calls=1/2/3":                 `calls: "1/2/3" is not a rate; ` + how,
		"calls=0/5":                   `calls: "0/5" is not a rate; ` + how,
		"calls=1/1e12":                `calls: "1/1e12" is not a rate; ` + how,
		"calls=1MiB":                  `calls: "1MiB" is not a rate; ` + how,
		"bytes=big":                   `bytes: "big" is not a rate; "big" is not a size; want a number of bytes, or one with a unit as in 64KiB, 1MiB, 2GiB`,
		"calls=1,calls=2":             `calls is given twice`,
		"packets=1 subscribes=2/3":    "",
		"packets=1,,subscribes=2/3, ": "",
		"packets=1;subscribes=2":      `packets: "1;subscribes=2" is not a rate; ` + how,
	} {
		var r sessionRates
		got := ""
		if err := r.UnmarshalText([]byte(text)); err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestRatesAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "packets=1.5/3,bytes=1MiB/4KiB,subscribes=2,publishes=3,calls=4,connects=0.1/7", "bytes=1000", "connects=1000000"} {
		var r sharedRates
		if err := r.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if got, err := r.MarshalText(); string(got) != text || err != nil {
			t.Errorf("got %q and %v, want %q", got, err, text)
		}
	}
	var r sessionRates
	if err := r.UnmarshalText([]byte("calls=4")); err != nil {
		t.Fatal(err)
	}
	if got, err := r.MarshalText(); string(got) != "calls=4" || err != nil {
		t.Errorf("got %q and %v, want calls=4", got, err)
	}
}

func TestRatesMayBeAMappingInTheFile(t *testing.T) {
	t.Parallel()
	a := inDir(t, nil, map[string]string{"skein.yaml": "sessionRates: {publishes: 100/200, bytes: 1MiB, calls: 0.5}\nuserRates:\n  connects: 3\naddressRates: packets=7\n"})
	out, errs, code := outcome(t, a, "config", "print")
	if code != exitOK {
		t.Fatal(errs)
	}
	for _, want := range []string{
		`sessionRates: "bytes=1MiB,publishes=100/200,calls=0.5"`, `userRates: "connects=3"`, `addressRates: "packets=7"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	const bad = "sessionRates:\n  publish: 1\n  connects: 1\n  calls: x\nuserRates: [1]\naddressRates: calls\n"
	_, errs, code = outcome(t, inDir(t, nil, map[string]string{"skein.yaml": bad}), "config", "check")
	for _, want := range []string{
		`skein: skein.yaml:2:3: sessionRates: unknown key "publish"; did you mean "publishes"? allowed: packets, bytes, subscribes, publishes, calls`,
		`skein: skein.yaml:3:3: sessionRates: unknown key "connects"; allowed: packets, bytes, subscribes, publishes, calls`,
		`skein: skein.yaml:4:10: sessionRates.calls: "x" is not a rate`,
		`skein: skein.yaml:5:12: userRates: want text, or a mapping, as in {key: value}, got a list`,
		`skein: skein.yaml:6:15: addressRates: "calls" is not a rate`,
	} {
		if code != exitFailed || !strings.Contains(errs, want) {
			t.Errorf("got exit code %d, and no %q in\n%s", code, want, errs)
		}
	}
}
