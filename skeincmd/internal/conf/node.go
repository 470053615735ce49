// Package conf is the one description of how Go structs stand in a YAML file:
// it decodes strictly and reports everything that is wrong at once, each with
// its position; it prints values with where each came from; and it writes the
// JSON Schema, all from the same fields.
//
// A key is a field's name in camelCase, or the name of its `yaml` tag; a field
// tagged `yaml:"-"`, and one that YAML cannot express, is set in Go only. Other
// tags: `doc` (or `help`) describes the field, `enum` lists the values that it
// may have, `secret` masks it where it is printed, and `embed` takes the fields
// of a struct as if they stood in its place.
package conf

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Pos is a place in a file.
type Pos struct {
	// File as it was named to Parse.
	File string
	// Line and Column count from 1; 0 means the file as a whole.
	Line, Column int
}

// String is FILE:LINE:COLUMN, which editors and terminals open.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Error is one thing that is wrong, and where.
type Error struct {
	// At is the value or key that is wrong.
	At Pos
	// Path leads to it, as in plugins[0].options; empty at the top.
	Path string
	// Text says what is wrong and what is right.
	Text string
}

// Error is the position, the path and the text.
func (e *Error) Error() string {
	if e.Path == "" {
		return e.At.String() + ": " + e.Text
	}
	return e.At.String() + ": " + e.Path + ": " + e.Text
}

// Sort returns the joined errors of err, those with a position first and in the order of the file. What stands in front of
// a joined error is put in front of each.
func Sort(err error) []error {
	all := flatten(err)
	slices.SortStableFunc(all, func(a, b error) int {
		var x, y *Error
		inFileA, inFileB := errors.As(a, &x), errors.As(b, &y)
		switch {
		case inFileA && inFileB && x.At.Line != y.At.Line:
			return x.At.Line - y.At.Line
		case inFileA && inFileB:
			return x.At.Column - y.At.Column
		case inFileA:
			return -1
		case inFileB:
			return 1
		}
		return 0
	})
	return all
}

func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && isJoin(err, joined.Unwrap()) {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	inner := errors.Unwrap(err)
	all := flatten(inner)
	if len(all) < 2 {
		return []error{err}
	}
	lead, ok := strings.CutSuffix(err.Error(), inner.Error())
	if !ok {
		return []error{err}
	}
	for i, e := range all {
		all[i] = fmt.Errorf("%s%w", lead, e)
	}
	return all
}

// isJoin tells errors.Join, which only lists, from an error that says something about several.
func isJoin(err error, list []error) bool {
	texts := make([]string, len(list))
	for i, e := range list {
		texts[i] = e.Error()
	}
	return err.Error() == strings.Join(texts, "\n")
}

type kind int

const (
	null kind = iota
	boolean
	integer
	float
	text
	list
	mapping
	broken // told already
)

// Node is a value of a YAML file that keeps its position. As a field of a struct it takes any value, for decoding
// later. The zero Node is an absent value.
type Node struct {
	at      Pos
	path    string
	kind    kind
	text    string // of a scalar, as written, without quotes
	items   []Node // of a list
	entries []entry
}

type entry struct {
	at    Pos
	key   string
	value Node
}

// At is where the value stands.
func (n Node) At() Pos { return n.at }

// Absent reports whether there is no such value in the file.
func (n Node) Absent() bool { return n.at == Pos{} }

// Parse reads one YAML document. An empty one is an empty mapping.
func Parse(file string, src []byte) (Node, error) {
	src = []byte(strings.TrimPrefix(string(src), "\ufeff"))
	parsed, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return Node{}, syntaxError(file, err)
	}
	empty := Node{at: Pos{File: file}, kind: mapping}
	b := builder{file: file, anchors: map[string]Node{}}
	root, found := empty, false
	for _, doc := range parsed.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if found {
			b.fail(doc.Body, "a second document; a configuration is one")
			break
		}
		root, found = b.node(doc.Body), true
	}
	if root.kind == null {
		root = empty
	}
	return root, errors.Join(b.errs...)
}

func syntaxError(file string, err error) error {
	var located yaml.Error
	if !errors.As(err, &located) || located.GetToken() == nil {
		return &Error{At: Pos{File: file}, Text: err.Error()}
	}
	p := located.GetToken().Position
	return &Error{At: Pos{File: file, Line: p.Line, Column: p.Column}, Text: located.GetMessage()}
}

// builder turns the parser's tree into ours, in which aliases are resolved and each value knows its place.
type builder struct {
	file    string
	anchors map[string]Node
	errs    []error
}

func (b *builder) pos(t *token.Token) Pos {
	if t == nil || t.Position == nil {
		return Pos{File: b.file}
	}
	return Pos{File: b.file, Line: t.Position.Line, Column: max(t.Position.Column, 1)}
}

func (b *builder) fail(n ast.Node, text string) Node {
	at := b.pos(n.GetToken())
	b.errs = append(b.errs, &Error{At: at, Text: text})
	return Node{at: at, kind: broken}
}

func (b *builder) node(n ast.Node) Node {
	at := b.pos(n.GetToken())
	switch n := n.(type) {
	case *ast.NullNode:
		return Node{at: at}
	case *ast.BoolNode:
		return Node{at: at, kind: boolean, text: n.Token.Value}
	case *ast.IntegerNode:
		return Node{at: at, kind: integer, text: n.Token.Value}
	case *ast.FloatNode:
		return Node{at: at, kind: float, text: n.Token.Value}
	case *ast.InfinityNode, *ast.NanNode:
		return Node{at: at, kind: float, text: n.GetToken().Value}
	case *ast.StringNode:
		return Node{at: at, kind: text, text: n.Value}
	case *ast.LiteralNode:
		return Node{at: at, kind: text, text: n.Value.Value}
	case *ast.SequenceNode:
		return b.list(at, n)
	case *ast.MappingNode:
		return b.mapping(at, n.Values, n.IsFlowStyle)
	case *ast.MappingValueNode:
		return b.mapping(at, []*ast.MappingValueNode{n}, n.IsFlowStyle)
	case *ast.AnchorNode:
		v := b.node(n.Value)
		b.anchors[n.Name.GetToken().Value] = v
		return v
	case *ast.AliasNode:
		v, ok := b.anchors[n.Value.GetToken().Value]
		if !ok {
			return b.fail(n, fmt.Sprintf("there is no &%s above", n.Value.GetToken().Value))
		}
		return v
	}
	return b.fail(n, fmt.Sprintf("%s is YAML that a configuration cannot use", n.Type()))
}

func (b *builder) list(at Pos, n *ast.SequenceNode) Node {
	l := Node{at: at, kind: list, items: make([]Node, 0, len(n.Values))}
	for _, v := range n.Values {
		l.items = append(l.items, b.node(v))
	}
	return l
}

func (b *builder) mapping(at Pos, values []*ast.MappingValueNode, flow bool) Node {
	m := Node{at: at, kind: mapping, entries: make([]entry, 0, len(values))}
	first := map[string]int{}
	for i, v := range values {
		if v.Key.Type() == ast.MergeKeyType || v.Key.Type() == ast.MappingKeyType {
			b.fail(v.Key, "merge keys and complex keys are YAML that a configuration cannot use")
			continue
		}
		t := v.Key.GetToken()
		e := entry{at: b.pos(t), key: t.Value, value: b.node(v.Value)}
		if i == 0 && !flow {
			m.at = e.at // the tree's own position is that of the colon
		}
		if line, twice := first[e.key]; twice {
			b.fail(v.Key, fmt.Sprintf("%q is given twice, first in line %d", e.key, line))
			continue
		}
		first[e.key] = e.at.Line
		m.entries = append(m.entries, e)
	}
	return m
}
