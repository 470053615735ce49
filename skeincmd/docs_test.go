package skeincmd

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skeinrt/skein/bundled"
	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

var update = flag.Bool("update", false, "write docs/configuration.md") //nolint:gochecknoglobals // a flag of go test

const docsFile = "../docs/configuration.md"

// TestTheDocumentationIsThatOfTheTable fails when the file is older than the settings: run it with -update.
func TestTheDocumentationIsThatOfTheTable(t *testing.T) {
	t.Parallel()
	want := documentation(t)
	if *update {
		if err := os.WriteFile(docsFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not that of the table; run go test ./skeincmd -update (-want +got):\n%s", docsFile, diff)
	}
}

const introduction = `# Configuration

<!-- Made from the table in skeincmd/settings.go by go test ./skeincmd -update. -->

A node needs no configuration. What it is told comes from four places, and the earlier one wins:

1. a flag: ` + "`--max-message 2MiB`" + `
2. a variable of the environment: ` + "`SKEIN_MAX_MESSAGE=2MiB`" + `; an empty one counts as absent
3. the file: ` + "`maxMessage: 2MiB`" + ` in the file that ` + "`--config`" + ` names, or in ` + "`skein.yaml`" + ` in the working directory
4. the default

A variable is SKEIN_ and the flag in capitals; a key is the flag in camelCase. The file is YAML and strict: an unknown key, a
key given twice, a value of another type are errors with file, line and column, what is allowed, and the nearest right name;
all of them are told at once. A variable that begins with SKEIN_ and is none of these is warned of. The commands that are
clients take the server from ` + "`SKEIN_URL` and `SKEIN_TOKEN`" + `, too. A duration is written as in 8s or 1m30s, a size as a number of bytes or as in 64KiB or 1MiB.

| command | |
|---|---|
| ` + "`skein config check`" + ` | checks everything without starting anything |
| ` + "`skein config print`" + ` | prints what is in force, and where each value is from; secrets are masked |
| ` + "`skein config schema`" + ` | prints a JSON Schema, for editors |
`

const pluginsIntroduction = `
## Plugins

An entry of ` + "`plugins`" + ` names a plugin of this binary, and gives it options:

` + "```yaml" + `
plugins:
  - use: rawws            # its name in the binary
    as: prices            # the name of this instance, to use one plugin twice
    prefix: /in           # in front of the paths of all its routes
    options: { path: /prices, channel: prices, require: token }
` + "```" + `

health, rawws, startpage and api are there without an entry, and echo, metrics and admin when their flag asks for them. An
entry of the same name (without ` + "`as`" + `) takes the place of such a one; what flags say to it still holds, unless the entry's
options say otherwise.
`

func documentation(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(introduction)
	table := reflect.TypeFor[settings]()
	titles := map[string]string{}
	for _, g := range groups() {
		titles[g.Key] = g.Title
	}
	for section := range table.Fields() {
		if title := titles[section.Tag.Get("group")]; title != "" {
			fmt.Fprintf(&b, "\n## %s\n\n", title)
			settingsTable(&b, conf.Fields(section.Type))
		}
	}
	b.WriteString("\n## Lists\n\nOnly the file can hold these.\n\n### authKeys\n\n")
	fieldsTable(&b, conf.Fields(reflect.TypeFor[authKey]()), "")
	b.WriteString("\n### endpoints\n\n" + "SocketCluster endpoints, which share channels and procedures. Without any there is one at `/socketcluster/`.\n\n")
	fieldsTable(&b, conf.Fields(reflect.TypeFor[endpoint]()), "")
	b.WriteString("\n### channels\n\n" + "Options of channels by their names. The first entry that matches a channel counts.\n\n")
	fieldsTable(&b, conf.Fields(reflect.TypeFor[channel]()), "")
	b.WriteString(pluginsIntroduction)
	for _, name := range bundled.Catalog().Names() {
		p, _ := bundled.Catalog().New(name)
		fmt.Fprintf(&b, "\n### %s\n\n", name)
		fieldsTable(&b, conf.Fields(reflect.TypeOf(p).Elem()), "")
	}
	return b.Bytes()
}

func settingsTable(b *bytes.Buffer, fields []conf.Field) {
	b.WriteString("| flag | variable | key | default | |\n|---|---|---|---|---|\n")
	for _, f := range fields {
		flagText, variableText := "", ""
		if f.Key != "authKeys" {
			flagText, variableText = code("--"+flagName(f.Key)), code(variable(flagName(f.Key)))
		}
		fmt.Fprintf(b, "| %s | %s | `%s` | %s | %s |\n", flagText, variableText, f.Key, code(f.Default), describe(f))
	}
}

// fieldsTable lists fields, and those of structs below them by their path.
func fieldsTable(b *bytes.Buffer, fields []conf.Field, path string) {
	if path == "" {
		b.WriteString("| key | default | |\n|---|---|---|\n")
	}
	for _, f := range fields {
		if !f.Settable {
			continue
		}
		key := conf.Join(path, f.Key)
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", key, code(f.Default), describe(f))
		if f.Type.Kind() == reflect.Struct && f.Default == "" {
			fieldsTable(b, conf.Fields(f.Type), key)
		}
	}
}

func describe(f conf.Field) string {
	text := strings.NewReplacer("|", `\|`, "*", `\*`).Replace(f.Doc)
	if text != "" {
		text = strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
	}
	if len(f.Enum) == 0 {
		return text
	}
	var allowed []string
	for _, value := range f.Enum {
		if value != "" {
			allowed = append(allowed, code(value))
		}
	}
	return text + " Allowed: " + strings.Join(allowed, ", ") + "."
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
