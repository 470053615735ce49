package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// made is the bill of the working tree's binary, as make sbom writes it.
func made(t *testing.T) []byte {
	t.Helper()
	out := t.TempDir()
	if err := run(t.Context(), io.Discard, []string{"sbom", "..", skein, out}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(out, "skein.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTheBillIsOfTheForm checks it against the schema that CycloneDX has published.
func TestTheBillIsOfTheForm(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	const base = "http://cyclonedx.org/schema/"
	for name, file := range map[string]string{
		"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "schema", file))
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(base+name, schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile(base + "bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(b []byte) error {
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			return err
		}
		return schema.Validate(instance)
	}
	b := made(t)
	if err := check(b); err != nil {
		t.Errorf("%v\n%s", err, b)
	}
	if check(bytes.Replace(b, []byte(`"id": "MIT"`), []byte(`"id": "Mine"`), 1)) == nil {
		t.Error("the schema lets a licence pass that nobody has heard of: it checks nothing")
	}
}

func TestTheBillHasEveryModuleOfTheBinary(t *testing.T) {
	t.Parallel()
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(made(t)), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(skein)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]cyclonedx.Component{}
	for _, c := range *bom.Components {
		listed[c.Name] = c
	}
	if len(listed) != len(info.Deps)+1 || len(info.Deps) < 20 {
		t.Errorf("got %d components, want the %d modules and Go's library", len(listed), len(info.Deps))
	}
	for _, m := range info.Deps {
		c := listed[m.Path]
		if want := "pkg:golang/" + m.Path + "@" + m.Version; c.Version != m.Version || c.PackageURL != want || c.BOMRef != want || c.Licenses == nil {
			t.Errorf("%s: got %+v, want %s, with a licence", m.Path, c, want)
		}
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
		if err != nil || c.Hashes == nil || (*c.Hashes)[0].Value != hex.EncodeToString(sum) {
			t.Errorf("%s: got the hashes %v, want %x of go.sum (%v)", m.Path, c.Hashes, sum, err)
		}
	}
	if got := listed[goLibrary].Version; "go"+got != info.GoVersion {
		t.Errorf("Go's library: got %q, want %s", got, info.GoVersion)
	}
	if got := *(*bom.Dependencies)[0].Dependencies; len(got) != len(listed) || (*bom.Dependencies)[0].Ref != bom.Metadata.Component.BOMRef {
		t.Errorf("got %d dependencies of %s, want all %d of the binary", len(got), (*bom.Dependencies)[0].Ref, len(listed))
	}
	content, err := os.ReadFile(skein)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	if got := (*bom.Metadata.Component.Hashes)[0].Value; got != hex.EncodeToString(sum[:]) {
		t.Errorf("got the binary's hash %s, want %x", got, sum)
	}
}

func TestABillNeedsEveryLicense(t *testing.T) {
	t.Parallel()
	_, err := billOf(skein, licensed{}, time.Unix(0, 0))
	if err == nil || !strings.Contains(err.Error(), "the licence of ") {
		t.Errorf("got %v, want the module whose licence is not known", err)
	}
	if _, err := billOf(os.Args[0]+"x", licensed{}, time.Unix(0, 0)); err == nil {
		t.Error("got a bill of no file")
	}
}

func TestABillCallsTheSameBinaryTheSame(t *testing.T) {
	t.Parallel()
	var bills [2]bill
	for i := range bills {
		if err := json.Unmarshal(made(t), &bills[i]); err != nil {
			t.Fatal(err)
		}
	}
	if bills[0].Serial != bills[1].Serial || !strings.HasPrefix(bills[0].Serial, "urn:uuid:") {
		t.Errorf("got %q and %q, want one serial number", bills[0].Serial, bills[1].Serial)
	}
}

// TestTheBinaryListsItsModulesItself holds skein version --modules to what the bill is made of.
func TestTheBinaryListsItsModulesItself(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), skein, "version", "--modules").Output()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(skein)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range info.Deps {
		if want := m.Path + " " + m.Version + " " + m.Sum + "\n"; !strings.Contains(string(out), want) {
			t.Errorf("got no %q in\n%s", want, out)
		}
	}
}
