package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
)

// hostilePackets are clients of the protocol that mean no good.
func hostilePackets() []hostility {
	return []hostility{
		{"packets: strange ids of calls", (*assault).strangeIDs},
		{"packets: one id for all calls", (*assault).oneID},
		{"packets: answers to calls that were never made", (*assault).answerNothing},
		{"packets: events of many names", (*assault).manyNames},
		{"packets: names from the log's nightmares", (*assault).forgedNames},
		{"packets: keys given twice", (*assault).doubleKeys},
		{"packets: batches in batches", (*assault).nestedBatches},
		{"packets: a wide object and lone surrogates", (*assault).wideObject},
		{"packets: handshakes again and again", (*assault).handshakeStorm},
		{"packets: handshakes of odd shapes", (*assault).oddHandshakes},
		{"packets: a storm of tokens", (*assault).tokenStorm},
		{"packets: leaving what was never joined", (*assault).leaveNothing},
		{"packets: joining and leaving at once", (*assault).joinAndLeave},
		{"packets: more channels than one may have", (*assault).tooManyChannels},
		{"packets: reserved names", (*assault).reservedNames},
		{"packets: commands that only the server may give", (*assault).serverCommands},
		{"packets: noise at the raw endpoint", (*assault).rawNoise},
	}
}

// hostileCrowds are many clients, or clients that take much.
func hostileCrowds() []hostility {
	return []hostility{
		{"crowd: words for the log in all headers", (*assault).forgedHeaders},
		{"crowd: foreign origins fill no log", (*assault).foreignOrigins},
		{"crowd: connections that say nothing, or half a request", (*assault).halfRequests},
		{"crowd: kept alive and idle", (*assault).idleCrowd},
		{"crowd: subscribers that never read", (*assault).deafSubscribers},
		{"crowd: calls whose answers are never read", (*assault).deafCallers},
		{"crowd: sessions that vanish while they publish", (*assault).vanishingSessions},
	}
}

func (s *assault) strangeIDs() {
	for _, cid := range []string{"-1", "1.50", "1e3", "0", "-0", "123456789012345678901234567890", "1E400", strings.Repeat("7", 5000)} {
		p := s.session()
		p.send(say(`{"event":"#subscribe","data":{"channel":"cids"},"cid":%s}`, cid))
		p.wantReply(`"rid":` + cid)
	}
	p := s.session()
	for _, cid := range []string{`"1"`, "null", "true", "[1]", `{"a":1}`, `"\ud800"`, "01", "+1", ".5", "NaN"} {
		p.send(say(`{"event":"#publish","data":{"channel":"cids","data":1},"cid":%s}`, cid))
	}
	p.wantAlive()
}

func (s *assault) oneID() {
	p := s.session()
	p.send(bytes.Repeat(say(`{"event":"#publish","data":{"channel":"same","data":1},"cid":7}`), 500))
	for range 500 {
		p.wantReply(`"rid":7`)
	}
}

func (s *assault) answerNothing() {
	p := s.session()
	for i := range 5000 {
		p.send(say(`{"rid":%d,"data":{"isAuthenticated":true}}`, i), say(`{"rid":%d,"error":{"name":%s}}`, -i, quoted(forged)))
	}
	p.wantAlive()
}

func (s *assault) manyNames() {
	p := s.session()
	for i := range 100 {
		var b strings.Builder
		for j := range 300 {
			fmt.Fprintf(&b, `{"event":"name-%d-%d","data":%d},`, i, j, j)
		}
		p.send(say(`[%s{}]`, b.String()))
	}
	p.wantAlive()
}

func (s *assault) forgedNames() {
	p := s.session()
	for _, event := range []string{`"#publish"`, `"#subscribe"`, `"#unsubscribe"`, `"#authenticate"`, `"#kickOut"`, quoted(forged)} {
		p.send(say(`{"event":%s,"data":{"channel":%s,"data":%s},"cid":2}`, event, quoted(forged), quoted(forged)))
		p.send(say(`{"event":%s,"data":%s,"cid":3}`, event, quoted(forged)))
	}
	p.wantAlive()
}

func (s *assault) doubleKeys() {
	p := s.session()
	p.send(say(`{"event":"#publish","event":"#subscribe","data":{"channel":"first","channel":"second"},"data":{"channel":"third"},"cid":1,"cid":2}`))
	p.wantReply(`"rid":2`)
	p.wantAlive()
}

func (s *assault) nestedBatches() {
	p := s.session()
	for _, b := range []string{"[[[[{}]]]]", `[[{"event":"#publish"}]]`, "[null,1,true,\"x\",[],{}]", "[" + strings.Repeat("[],", 10000) + "[]]", strings.Repeat(`[{"event":`, 200)} {
		p.send(say("%s", b))
	}
	p.wantAlive()
	p.send(say("%s", strings.Repeat(`[{"event":`, 5000))) // is no JSON
	p.wantAlive()
	p.send(say("%s", "["+strings.Repeat("[],", 100000)+"[]]"))
	p.wantCode(1009)
}

func (s *assault) wideObject() {
	p := s.session()
	p.send(say(`{"event":"#publish","data":{"channel":"\ud800\udfff\udbff","data":"\udc00"},"cid":2,%s"z":1}`, strings.Repeat(`"k":1,`, 50000)))
	p.wantAlive()
}

func (s *assault) handshakeStorm() {
	p := s.session()
	p.send(bytes.Repeat(say(`{"event":"#handshake","data":{"authToken":"a.b.c"},"cid":3}`), 500))
	for range 500 {
		p.wantReply(`"rid":3`)
	}
	p.wantAlive()
}

func (s *assault) oddHandshakes() {
	for _, data := range []string{"7", `"x"`, "[]", "null", `{"authToken":{}}`, `{"authToken":[[]]}`, `{"authToken":1e999}`, `{"authToken":"` + strings.Repeat("a.", 100000) + `"}`} {
		p := s.open("/socketcluster/")
		p.send(say(`{"event":"#handshake","data":%s,"cid":1}`, data))
		p.wantReply(`"isAuthenticated":false`)
		p.wantAlive()
	}
}

func (s *assault) tokenStorm() {
	p := s.session()
	for i := range 1000 {
		p.send(say(`{"event":"#authenticate","data":%s,"cid":%d}`, quoted(fmt.Sprintf("e30.%x.%s", i, forged)), i+10))
		p.wantReply(fmt.Sprintf(`"rid":%d`, i+10))
	}
}

func (s *assault) leaveNothing() {
	p := s.session()
	for i := range 1000 {
		p.send(say(`{"event":"#unsubscribe","data":"never-%d","cid":%d}`, i, i+10))
	}
	p.wantReply(`"rid":1009`)
}

func (s *assault) joinAndLeave() {
	all(6, func(i int) {
		p := s.session()
		flip := append(say(`{"event":"#subscribe","data":{"channel":"flip"},"cid":4}`), say(`{"event":"#unsubscribe","data":"flip","cid":4}`)...)
		for range 200 {
			p.send(flip)
		}
		if i%2 == 0 {
			p.reset()
			return
		}
		p.wantAlive()
	})
}

func (s *assault) tooManyChannels() {
	p := s.session()
	for i := range 1001 {
		p.send(say(`{"event":"#subscribe","data":{"channel":"many-%d"},"cid":%d}`, i, i+10))
	}
	p.wantReply(`"rid":1010,"error"`)
	p.wantAlive()
}

func (s *assault) reservedNames() {
	p := s.session()
	for _, name := range []string{"#publish", "#kickOut", "#removeAuthToken", "$SYS.>", "_INBOX.a", "*", ">", "canary\x00", " canary", "canary."} {
		p.send(say(`{"event":"#publish","data":{"channel":%s,"data":"not for the canary"},"cid":5}`, quoted(name)))
		p.wantReply(`"rid":5`)
	}
}

func (s *assault) serverCommands() {
	p := s.session()
	for _, event := range []string{"#setAuthToken", "#removeAuthToken", "#kickOut", "#gap", "#status", "#handshake"} {
		p.send(say(`{"event":%q,"data":{"token":"a.b.c","channel":"canary","message":"x"},"cid":6}`, event))
	}
	p.wantAlive()
}

func (s *assault) rawNoise() {
	p := s.open("/ws")
	for i := range 200 {
		p.send(frame(binaryData, strings.Repeat(string(rune(i)), i)), say("%s", strings.Repeat("{", i)), say("%s", forged))
	}
	p.send(frame(closing, "\x03\xe8"))
	p.wantCode(1000)
}

func (s *assault) forgedHeaders() {
	words := strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(forged)
	for _, h := range []string{
		"Origin: http://" + words, "Origin: http://evil.example/" + mark, "User-Agent: " + words, "X-Forwarded-For: " + words, "Cookie: " + words,
		"Sec-WebSocket-Protocol: " + words, "Sec-WebSocket-Extensions: " + words, "Authorization: Bearer " + words,
	} {
		p := s.connect()
		p.send([]byte(s.upgrading("/socketcluster/?"+mark+"=%0d%0a"+mark, h)))
		p.status()
		p.end()
	}
}

func (s *assault) foreignOrigins() {
	for i := range 300 {
		p := s.connect()
		p.send([]byte(s.upgrading("/socketcluster/", fmt.Sprintf("Origin: http://evil-%d.example", i))))
		if got := p.status(); got != http.StatusForbidden {
			s.Fatalf("answered with %d, want 403", got)
		}
		p.end()
	}
	if n := strings.Count(s.out.String(), "://evil-"); n == 0 || n > 100 {
		s.Errorf("the log mentions %d origins of 300, want a few", n)
	}
}

func (s *assault) halfRequests() {
	for i := range 100 {
		p := s.connect()
		p.send([]byte(s.upgrading("/socketcluster/")[:i]))
	}
	s.canary.check(s.T)
}

func (s *assault) idleCrowd() {
	for range 100 {
		p := s.connect()
		p.send([]byte("GET /healthz HTTP/1.1\r\nHost: " + s.host + "\r\n\r\n"))
		if got := p.status(); got != http.StatusOK {
			s.Fatalf("answered with %d, want 200", got)
		}
	}
	s.canary.check(s.T)
}

func (s *assault) deafSubscribers() {
	for range 10 {
		p := s.session()
		p.send(say(`{"event":"#subscribe","data":{"channel":"torrent"},"cid":2}`))
		p.wantReply(`"rid":2`)
	}
	p := s.session()
	torrent := strings.Repeat("t", 64<<10)
	for i := range 300 {
		p.send(say(`{"event":"#publish","data":{"channel":"torrent","data":%q},"cid":%d}`, torrent, i+10))
		p.wantReply(fmt.Sprintf(`"rid":%d`, i+10))
	}
	if v := s.vitals(s.T); v.megabytes > s.base.megabytes+150 {
		s.Errorf("got %v, and %v before: 188 MiB are held for who does not read", v, s.base)
	}
}

func (s *assault) deafCallers() {
	flood := bytes.Repeat(say(`{"event":"noSuchProcedure","data":%q,"cid":9}`, strings.Repeat("n", 200)), 100)
	all(20, func(int) {
		p := s.session()
		for range 50 {
			if !p.send(flood) {
				break
			}
		}
	})
}

func (s *assault) vanishingSessions() {
	all(100, func(i int) {
		p := s.session()
		p.send(say(`{"event":"#subscribe","data":{"channel":"vanish"},"cid":2}`), say(`{"event":"#publish","data":{"channel":"vanish","data":%d},"cid":3}`, i))
		if i%3 == 0 {
			p.reset()
		}
	})
}
