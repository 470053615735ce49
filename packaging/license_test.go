package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLicensesAreRecognisedByWhatOnlyTheySay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want []string
	}{
		{"                Apache License\n          Version 2.0, January 2004", []string{"Apache-2.0"}},
		{"Permission is hereby granted, free of charge, to any person obtaining\n// a copy of this", []string{"MIT"}},
		{"Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided that", []string{"ISC"}},
		{"Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted. THE SOFTWARE IS", []string{"0BSD"}},
		{"Redistribution and use in source and binary forms, with or without\n * modification, are permitted provided", []string{"BSD-2-Clause"}},
		{"Redistribution and use in source and binary forms, with or without modification, are permitted: may be used to endorse or promote products derived from", []string{"BSD-3-Clause"}},
		{"Mozilla Public License Version 2.0; \"Secondary License\" means either the GNU General Public License, Version 2.0", []string{"MPL-2.0"}},
		{"GNU GENERAL PUBLIC LICENSE. Everyone is permitted to copy and distribute verbatim copies\n of this license document", []string{"GPL"}},
		{"Apache License\nVersion 2.0, January 2004, with the \"Commons Clause\" License Condition", []string{"Apache-2.0", "Commons-Clause"}},
		{"You may do what you like.", nil},
	} {
		if got := licenses(c.text); !slices.Equal(got, c.want) {
			t.Errorf("%.40q: got %q, want %q", c.text, got, c.want)
		}
	}
}

// module makes a module's folder with a package below it.
func module(t *testing.T, files map[string]string) source {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := write(filepath.Join(dir, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return source{"example.com/m", "v1.0.0", dir, map[string]bool{dir: true, filepath.Join(dir, "linked"): true}}
}

func TestAModuleIsRefusedForItsLicense(t *testing.T) {
	t.Parallel()
	const (
		mit = "Permission is hereby granted, free of charge, to any person obtaining a copy"
		gpl = "Everyone is permitted to copy and distribute verbatim copies of this license document"
	)
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // of the error; "" is none
	}{
		{"good", map[string]string{"LICENSE": mit, "linked/x.go": ""}, ""},
		{"in the package", map[string]string{"linked/LICENCE.md": mit}, ""},
		{"none", map[string]string{"README.md": mit, "linked/x.go": ""}, "no licence that is known"},
		{"unknown", map[string]string{"COPYING": "Ask me.", "linked/x.go": ""}, "no licence that is known"},
		{"unknown beside a good one", map[string]string{"LICENSE": mit, "linked/LICENSE": "Ask me."}, "linked/LICENSE: no licence that is known"},
		{"bad", map[string]string{"LICENSE": gpl, "linked/x.go": ""}, "LICENSE: GPL is not among those allowed"},
		{"bad in the package", map[string]string{"LICENSE": mit, "linked/COPYING": gpl}, "linked/COPYING: GPL is not among"},
		{"bad where nothing is linked", map[string]string{"LICENSE": mit, "linked/x.go": "", "other/LICENSE": gpl}, ""},
		{"a notice grants nothing", map[string]string{"LICENSE": mit, "NOTICE": "By us.", "linked/x.go": ""}, ""},
	} {
		n, err := module(t, c.files).notices()
		if err != nil {
			t.Fatal(err)
		}
		switch err := n.check(); {
		case (err == nil) != (c.want == ""), err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestNoticesGoAlongWithLicenses(t *testing.T) {
	t.Parallel()
	n, err := module(t, map[string]string{"LICENSE": "the licence", "NOTICE": "the notice", "PATENTS": "the patents", "license.go": "code", "linked/LICENSE.txt": "the package's"}).notices()
	if err != nil {
		t.Fatal(err)
	}
	text := string(page([]notices{n}))
	for _, want := range []string{"example.com/m v1.0.0: LICENSE\n", "the licence", "the notice", "the patents", "linked/LICENSE.txt", "the package's"} {
		if !strings.Contains(text, want) {
			t.Errorf("got no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "code") {
		t.Errorf("got code among the notices:\n%s", text)
	}
}

func TestEverythingInTheBinaryMayBeHandedOut(t *testing.T) {
	t.Parallel()
	var listing strings.Builder
	out := t.TempDir()
	if err := run(t.Context(), &listing, []string{"licenses", "..", out}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, noticesFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"github.com/gobwas/ws v1", "github.com/prometheus/common v0", ": NOTICE\n", "std 1."} {
		if !strings.Contains(string(text), "\n"+want) && !strings.Contains(string(text), want) {
			t.Errorf("got no %q in %s", want, noticesFile)
		}
	}
	if strings.Contains(listing.String(), "github.com/skeinrt/") {
		t.Errorf("got skein among those of others:\n%s", &listing)
	}
}
