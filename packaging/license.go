package main

import (
	"regexp"
	"slices"
	"strings"
)

// allowed are the licences, by their SPDX names, under which others may be linked into a binary that is handed out.
func allowed() []string {
	return []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MPL-2.0", "Unlicense", "Zlib"}
}

// wording is what only one licence says, in lower case and without punctuation.
type wording struct{ name, says string }

func wordings() []wording {
	return []wording{
		{"Apache-2.0", "apache license version 2.0 january 2004"},
		{"BSD-4-Clause", "all advertising materials mentioning features or use of this software must"},
		{"BUSL-1.1", "business source license 1.1"},
		{"CC0-1.0", "cc0 1.0 universal"},
		{"Commons-Clause", "commons clause"},
		{"Elastic-2.0", "elastic license 2.0"},
		{"ISC", "permission to use copy modify and distribute this software for any purpose with or without fee is hereby granted provided"},
		{"ISC", "permission to use copy modify and or distribute this software for any purpose with or without fee is hereby granted provided"},
		{"0BSD", "permission to use copy modify and or distribute this software for any purpose with or without fee is hereby granted. the software is"},
		{"MIT", "permission is hereby granted free of charge to any person obtaining a copy"},
		{"MPL-1.1", "mozilla public license version 1.1"},
		{"MPL-2.0", "mozilla public license version 2.0"},
		{"SSPL-1.0", "server side public license"},
		{"Unlicense", "this is free and unencumbered software released into the public domain"},
		{"Zlib", "altered source versions must be plainly marked as such and must not be misrepresented"},
	}
}

// The other licences need more than one wording: those of BSD begin alike, and MPL names those of GNU, which have their
// right to copy the text in common.
const (
	redistribution = "redistribution and use in source and binary forms with or without modification are permitted"
	endorsement    = "endorse or promote products derived from"
	verbatim       = "everyone is permitted to copy and distribute verbatim copies of this license document"
)

// licenses names all that a text grants. None is a text that nobody has recognised.
func licenses(text string) []string {
	text = plain(text)
	var names []string
	for _, w := range wordings() {
		if strings.Contains(text, w.says) {
			names = append(names, w.name)
		}
	}
	switch bsd := strings.Contains(text, redistribution); {
	case bsd && strings.Contains(text, endorsement):
		names = append(names, "BSD-3-Clause")
	case bsd:
		names = append(names, "BSD-2-Clause")
	}
	if strings.Contains(text, verbatim) {
		names = append(names, "GPL")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var notWord = regexp.MustCompile(`[^a-z0-9.]+`)

// plain is a text without what its layout is free to choose.
func plain(text string) string { return notWord.ReplaceAllString(strings.ToLower(text), " ") }

// forbidden are those of names that are not allowed.
func forbidden(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(allowed(), name) })
}
