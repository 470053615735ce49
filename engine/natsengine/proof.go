package natsengine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"strconv"
	"time"
)

// NATS asks for the secret on the accepting side of a route only, so that a node
// that has one would trust whomever it has connected to. Hence hellos and
// welcomes prove it in both directions.

// maxStrangers bounds what is remembered of nodes with another secret. One that
// was forgotten is met again at its next hello.
const maxStrangers = 256

// proof is what only nodes with this one's secret can say: of a welcome, over
// the boots of both nodes; of a hello, which may go to everyone, over the
// sender's and 0. Without a secret it is empty.
func (id *identity) proof(from, to boot) []byte {
	if id.secret == "" {
		return nil
	}
	mac := hmac.New(sha256.New, []byte(id.secret))
	pair := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte("skein node"), uint64(from)), uint64(to))
	_, _ = mac.Write(pair) // never fails
	return mac.Sum(nil)
}

// greeting is a hello, or the welcome for one node.
func (e *Engine) greeting(k kind, to boot) packet {
	p := e.packet(k)
	p.proof = e.proof(e.boot, to)
	return p
}

// trusts reports whether what a packet says counts. Those by which nodes meet
// always do; the others only from nodes that have proven the secret.
func (e *Engine) trusts(p packet, now time.Time) bool {
	switch p.kind {
	case kindHello:
		return e.examine(p, 0, now)
	case kindWelcome:
		return e.examine(p, e.boot, now)
	case kindRefuse:
		return true
	case kindBeat, kindBye, kindFarewell:
		_, stranger := e.strangers[p.boot]
		return !stranger
	}
	return e.vouched(p.boot)
}

// vouched reports whether the messages of a node count.
func (e *Engine) vouched(b boot) bool {
	if e.secret == "" {
		_, stranger := e.strangers[b]
		return !stranger
	}
	p := e.members.peers[b]
	return p != nil && p.proven
}

// examine looks at a proof. A node with another secret is none of the members.
func (e *Engine) examine(p packet, to boot, now time.Time) bool {
	if hmac.Equal(p.proof, e.proof(p.boot, to)) {
		return true
	}
	e.shun(p.boot, now)
	e.reject(p, errors.New(e.difference(p)))
	return false
}

// shun makes a node none of the members. It is called on both sides, whichever
// finds out, so that no join waits for a node that answers nothing.
func (e *Engine) shun(b boot, now time.Time) {
	if len(e.strangers) >= maxStrangers {
		clear(e.strangers)
	}
	e.strangers[b] = struct{}{}
	if other := e.members.peers[b]; other != nil {
		e.members.remove(other, now)
		e.part(other)
	}
}

// difference says how the secrets differ.
func (e *Engine) difference(p packet) string {
	theirs, ours := "another cluster secret than", ""
	switch {
	case e.secret == "":
		theirs, ours = "a cluster secret, and", " has none"
	case len(p.proof) == 0:
		theirs, ours = "no cluster secret, and", " has one"
	}
	return "node " + strconv.Quote(p.name) + " has " + theirs + " node " + strconv.Quote(e.options.Node) + ours
}

// reject tells a node that says hello why it is no member, fails Start while
// that runs, and logs it.
func (e *Engine) reject(p packet, why error) {
	if p.kind == kindHello {
		refusal := e.packet(kindRefuse)
		refusal.text = why.Error()
		e.post(letter{e.subjects.inbox(p.boot), refusal})
	}
	e.refused(why)
	if e.first(p.boot) {
		e.log.Error("another node is no member", slog.String("member", p.name), slog.Any("reason", why))
	}
}
