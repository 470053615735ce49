package skein

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
)

// longestPlain is the longest header that is recognised here.
const longestPlain = 4 * kib

// headerEnd is the end of a header.
const headerEnd = "\r\n\r\n"

// desk is what a host needs for an entrant.
type desk struct {
	buf    [longestPlain]byte
	header int // length
	source bytes.Reader
	reader *bufio.Reader
}

// request gives the request at the beginning of what was read if it is a plain one for an upgrade at one of the paths, or
// nil. It is parsed by net/http all the same.
func (d *desk) request(read []byte, paths map[string]struct{}) *http.Request {
	end := bytes.Index(read, []byte(headerEnd))
	if end < 0 {
		return nil
	}
	first, fields, _ := strings.Cut(string(read[:end+2]), "\r\n")
	if !plainLine(first, paths) || !plainFields(fields) {
		return nil
	}
	d.header = end + len(headerEnd)
	d.source.Reset(read[:d.header])
	d.reader.Reset(&d.source)
	r, err := http.ReadRequest(d.reader)
	if err != nil {
		return nil
	}
	return r
}

// couldBePlain reports whether more octets can make a request of these that is recognised here. tail are the new ones with
// some before them.
func couldBePlain(read, tail []byte) bool {
	const begin = "GET /"
	for i, c := range tail {
		if c == '\n' && i > 0 && tail[i-1] != '\r' {
			return false
		}
	}
	n := min(len(read), len(begin))
	return string(read[:n]) == begin[:n]
}

func plainLine(line string, paths map[string]struct{}) bool {
	target, ok := strings.CutPrefix(line, "GET ")
	if ok {
		target, ok = strings.CutSuffix(target, " HTTP/1.1")
	}
	path, _, _ := strings.Cut(target, "?")
	_, known := paths[path]
	return ok && known && !strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' })
}

// plainFields reports whether the lines, each with its end, are fields of a request for an upgrade in which there is
// nothing that two readers could understand in two ways.
func plainFields(lines string) bool {
	upgrade, hosts := false, 0
	for line := range strings.SplitAfterSeq(lines, "\r\n") {
		if line == "" {
			break
		}
		name, value, colon := strings.Cut(strings.TrimSuffix(line, "\r\n"), ":")
		if !colon || name == "" || strings.ContainsFunc(name, notOfName) || strings.ContainsFunc(value, notOfValue) {
			return false
		}
		value = strings.Trim(value, " \t")
		switch strings.ToLower(name) {
		case "host":
			hosts++
			if value == "" || strings.ContainsFunc(value, notOfHost) {
				return false
			}
		case "upgrade":
			upgrade = strings.EqualFold(value, "websocket")
		case "content-length", "transfer-encoding", "trailer", "expect":
			return false
		}
	}
	return upgrade && hosts == 1
}

func notOfName(r rune) bool { return r != '-' && r != '_' && !alphanumeric(r) }

func notOfHost(r rune) bool { return !strings.ContainsRune("-_.:[]", r) && !alphanumeric(r) }

func notOfValue(r rune) bool { return r != '\t' && (r < ' ' || r >= 0x7f) }

func alphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}
