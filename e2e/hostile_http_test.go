package e2e_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// request is what is sent in place of an upgrade, with the answers that are right. 0 is none: the connection is closed.
type request struct {
	name, octets string
	statuses     []int
}

// hostileRequests are requests that no honest client sends. HOST stands for the node's address.
func hostileRequests() (list []hostility) {
	const end = " HTTP/1.1\r\nHost: HOST\r\n"
	const upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2tlaW4gdGVzdCBub25jZQ==\r\n"
	none, bad := []int{0, 400}, []int{400}
	for _, r := range []request{
		{"HTTP/1.0 upgrade", "GET /socketcluster/ HTTP/1.0\r\nHost: HOST\r\n" + upgrade, []int{400, 505}},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n", []int{0, 400, 404, 405, 505}},
		{"h2c upgrade", "GET /socketcluster/" + end + "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n", []int{426}},
		{"garbage", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", none},
		{"binary method", "\xff\xfe /socketcluster/" + end, none},
		{"no path", "GET" + end, none},
		{"NUL in the path", "GET /socketcluster/\x00" + end + upgrade, bad},
		{"escaped NUL in the path", "GET /socketcluster%00/" + end + upgrade, []int{400, 404, 426}},
		{"traversal", "GET /../../../../etc/passwd" + end, []int{301, 307, 308, 400, 404}},
		{"escaped traversal", "GET /%2e%2e/%2e%2e/%2e%2e/etc/passwd" + end, []int{301, 307, 308, 400, 404}},
		{"HEAD upgrade", "HEAD /socketcluster/" + end + upgrade, []int{405}},
		{"POST upgrade", "POST /socketcluster/" + end + upgrade + "Content-Length: 0\r\n", []int{405}},
		{"CONNECT", "CONNECT internal:22 HTTP/1.1\r\nHost: internal:22\r\n", []int{400, 404, 405, 426}},
		{"TRACE", "TRACE /" + end + "Cookie: secret\r\n", []int{404, 405}},
		{"overridden method", "GET /api/publish" + end + "X-HTTP-Method-Override: POST\r\n", []int{405}},
		{"upgrade with a body", "GET /socketcluster/" + end + upgrade + "Content-Length: 5\r\n", bad},
		{"upgrade with a chunked body", "GET /socketcluster/" + end + upgrade + "Transfer-Encoding: chunked\r\n", bad},
		{"two lengths", "POST /api/publish" + end + "Content-Length: 4\r\nContent-Length: 5\r\n", bad},
		{"negative length", "POST /api/publish" + end + "Content-Length: -1\r\n", bad},
		{"length with a sign", "POST /api/publish" + end + "Content-Length: +4\r\n", bad},
		{"unknown coding", "POST /api/publish" + end + "Transfer-Encoding: xchunked\r\n", []int{400, 501}},
		{"doubled coding", "POST /api/publish" + end + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", []int{400, 501}},
		{"two hosts", "GET /socketcluster/" + end + "Host: other\r\n" + upgrade, bad},
		{"no host", "GET /socketcluster/ HTTP/1.1\r\n" + upgrade, bad},
		{"host with a path", "GET /socketcluster/ HTTP/1.1\r\nHost: a/b@c\r\n" + upgrade, bad},
		{"two keys", "GET /socketcluster/" + end + upgrade + "Sec-WebSocket-Key: c2tlaW4gdGVzdCBub25jZQ==\r\n", bad},
		{"two versions", "GET /socketcluster/" + end + upgrade + "Sec-WebSocket-Version: 8\r\n", []int{400, 426}},
		{"space before a colon", "GET /socketcluster/" + end + "Upgrade : websocket\r\n" + upgrade, bad},
		{"header without a colon", "GET /socketcluster/" + end + "nothing\r\n" + upgrade, bad},
		{"header with a NUL", "GET /socketcluster/" + end + "A: \x00\r\n" + upgrade, bad},
		{"huge cookie", "GET /socketcluster/" + end + upgrade + "Cookie: " + strings.Repeat("a", 64<<10) + "\r\n", []int{431}},
		{"foreign origin of a page", "GET /socketcluster/" + end + upgrade + "Origin: http://HOST.evil.example\r\n", []int{403}},
		{"null origin with a list", "GET /socketcluster/" + end + upgrade + "Origin: http://user@HOST@evil.example\r\n", []int{403}},
		{"two origins", "GET /socketcluster/" + end + upgrade + "Origin: http://HOST\r\nOrigin: http://evil.example\r\n", []int{400, 403}},
		{"foreign page at the API", "POST /api/publish" + end + "Origin: http://evil.example\r\nContent-Length: 0\r\n", []int{403}},
		{"deletion", "DELETE /api/channels/a" + end, []int{405}},
		{"operator's page", "GET /admin/" + end, []int{404}},
		{"profiles", "GET /debug/pprof/heap" + end, []int{404}},
		{"negative limit", "GET /api/channels?limit=-1" + end, bad},
		{"huge limit", "GET /api/channels?limit=99999999999999999999" + end, bad},
	} {
		list = append(list, hostility{"request: " + r.name, func(s *assault) {
			p := s.connect()
			p.send([]byte(strings.ReplaceAll(r.octets, "HOST", s.host) + "\r\n"))
			got := p.status()
			if slices.Contains(r.statuses, got) {
				return
			}
			s.Errorf("answered with %d, want %v", got, r.statuses)
		}})
	}
	return append(list, hostility{"request: a second one is smuggled in the body of the first", smuggle},
		hostility{"request: folded header lines", fold}, hostility{"request: a thousand at once on one connection", pipeline})
}

// smuggle sends a request whose end two readers would find at two places. The octets behind either end must never be
// taken for a second request.
func smuggle(s *assault) {
	p := s.connect()
	p.send([]byte("POST /api/publish HTTP/1.1\r\nHost: " + s.host + "\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"))
	if got := p.status(); got < 400 {
		s.Errorf("answered with %d, want a refusal", got)
	}
	if got := p.status(); got != 0 {
		s.Errorf("what was behind it was answered with %d, want the end", got)
	}
}

// fold sends a header in lines that RFC 9112 has made obsolete: refused, or taken for one line, but not for two headers.
func fold(s *assault) {
	p := s.connect()
	p.send([]byte("GET /socketcluster/ HTTP/1.1\r\nHost: " + s.host + "\r\nX-A: b\r\n Upgrade: websocket\r\n\tConnection: Upgrade\r\n\r\n"))
	if got := p.status(); got != http.StatusUpgradeRequired && got != http.StatusBadRequest {
		s.Errorf("answered with %d, want 426 or 400", got)
	}
}

func pipeline(s *assault) {
	p := s.connect()
	one := []byte("GET /healthz HTTP/1.1\r\nHost: " + s.host + "\r\n\r\n")
	var writing sync.WaitGroup
	writing.Go(func() { p.send(bytes.Repeat(one, 1000)) })
	for i := range 1000 {
		if got := p.status(); got != http.StatusOK {
			s.Fatalf("request %d was answered with %d, want 200", i, got)
		}
	}
	writing.Wait()
}

// hostileBodies are bodies of requests to the HTTP API.
func hostileBodies() (list []hostility) {
	for _, b := range []struct {
		name, kind, body string
		status           int
	}{
		{"no JSON", "application/json", "{", 400},
		{"nothing", "application/json", "", 400},
		{"not UTF-8", "application/json", "{\"channel\":\"a\",\"data\":\"\xff\"}", 400},
		{"deep", "application/json", `{"channel":"a","data":` + strings.Repeat("[", 200000) + strings.Repeat("]", 200000) + "}", 0},
		{"a number with an enormous exponent", "application/json", `{"channel":"a","data":1e999999999}`, 200},
		{"a number of 500,000 digits", "application/json", `{"channel":"a","data":` + strings.Repeat("9", 500000) + "}", 200},
		{"a form of several parts", "multipart/form-data; boundary=x", "--x--", 415},
		{"XML", "text/xml", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>", 415},
		{"too many channels", "application/json", `{"channels":[` + strings.Repeat(`"a",`, 1000) + `"a"],"data":1}`, 400},
		{"a long name", "application/json", `{"channel":"` + strings.Repeat("a", 90000) + `","data":1}`, 0},
		{"too much", "application/json", `{"channel":"a","data":"` + strings.Repeat("a", 2<<20) + `"}`, 413},
		{"names with line breaks", "application/json", `{"channel":` + quoted(forged) + `,"data":` + quoted(forged) + `}`, 200},
		{"kick with wrong types", "application/json", `{"user":{"__proto__":1},"channel":7}`, 400},
		{"a token for everybody", "application/json", `{"claims":{"admin":true}}`, 400},
	} {
		list = append(list, hostility{"body: " + b.name, func(s *assault) {
			path := "/api/publish"
			switch {
			case strings.Contains(b.name, "kick"):
				path = "/api/kick"
			case strings.Contains(b.name, "token"):
				path = "/api/set-token"
			}
			got := s.post(path, b.kind, strings.NewReader(b.body))
			if cut := got == 0 && (b.status == 0 || b.status >= 400); got >= 500 || b.status != 0 && got != b.status && !cut {
				s.Errorf("answered with %d, want %d", got, b.status)
			}
		}})
	}
	return append(list, hostility{"body: endless chunks", endless}, hostility{"body: fifty at once", together}, hostility{"body: ranges", ranges})
}

// post gives the status of the answer; 0 where the node ended the connection before it had taken all.
func (s *assault) post(path, kind string, body io.Reader) int {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodPost, s.url(path), body)
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	res, err := s.http.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close() //nolint:errcheck // it is not read
	return res.StatusCode
}

func endless(s *assault) {
	p := s.connect()
	p.send([]byte("POST /api/publish HTTP/1.1\r\nHost: " + s.host + "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"))
	chunk := []byte("10000\r\n" + strings.Repeat("a", 1<<16) + "\r\n")
	sent := 0
	for sent < 2048 && p.send(chunk) {
		sent++
	}
	if sent == 2048 {
		s.Error("128 MiB were taken, want the end far before")
	}
}

func together(s *assault) {
	var asking sync.WaitGroup
	for i := range 50 {
		asking.Go(func() {
			res, err := s.http.Post(s.url("/api/publish"), "application/json", strings.NewReader(fmt.Sprintf(`{"channel":"c%d","data":%d}`, i, i)))
			if err != nil {
				s.Error(err)
				return
			}
			if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
				s.Errorf("answered with %d, want 200", res.StatusCode)
			}
		})
	}
	asking.Wait()
}

// ranges asks for very many overlapping parts of one page.
func ranges(s *assault) {
	p := s.connect()
	p.send([]byte("GET / HTTP/1.1\r\nHost: " + s.host + "\r\nConnection: close\r\nRange: bytes=0-" + strings.Repeat(",0-", 2000) + "\r\n\r\n"))
	got, _ := io.ReadAll(p.r) // may be cut
	if len(got) > 1<<20 {
		s.Errorf("the answer has %d octets, want at most a page", len(got))
	}
}

// plain is the same node, spoken to without TLS.
func (s *assault) plain() *assault { return &assault{&site{host: s.host}, s.T} }

// hostileSecrecy is against TLS itself.
func hostileSecrecy() []hostility {
	return []hostility{
		{"TLS: plain HTTP", (*assault).plainHTTP},
		{"TLS: old versions", (*assault).oldVersions},
		{"TLS: HTTP/2 alone", (*assault).http2Alone},
		{"TLS: half a record, and silence", (*assault).halfRecord},
		{"TLS: records of noise after the handshake", (*assault).noisyRecords},
	}
}

func (s *assault) plainHTTP() {
	p := s.plain().connect()
	p.send([]byte(s.upgrading("/socketcluster/")))
	if got := p.status(); got != 0 && got != http.StatusBadRequest {
		s.Errorf("answered with %d, want 400 or the end", got)
	}
}

func (s *assault) oldVersions() {
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		config := &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}
		dialer := tls.Dialer{Config: config}
		if nc, err := dialer.DialContext(s.Context(), "tcp", s.host); err == nil {
			_ = nc.Close() // a failure already
			s.Errorf("version %#x is spoken, want it refused", version)
		}
	}
}

func (s *assault) http2Alone() {
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
	if nc, err := dialer.DialContext(s.Context(), "tcp", s.host); err == nil {
		_ = nc.Close() // a failure already
		s.Error("h2 is agreed on, want it refused: WebSocket needs the connection to itself")
	}
}

func (s *assault) halfRecord() {
	began := time.Now()
	p := s.plain().connect()
	p.send([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))
	if got := p.status(); got != 0 || time.Since(began) > longest {
		s.Errorf("answered with %d after %v, want the end", got, time.Since(began))
	}
}

func (s *assault) noisyRecords() {
	p := s.open("/socketcluster/")
	raw := p.Conn.(*tls.Conn).NetConn() //nolint:forcetypeassert // what has been dialled
	_, _ = raw.Write([]byte("\x17\x03\x03\x00\x20" + strings.Repeat("n", 32)))
	if op, _ := p.next(); op != 0xff {
		s.Errorf("got a frame with opcode %d, want the end", op)
	}
}
