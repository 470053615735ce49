package skein

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Revocation says which tokens are good no longer. With a User it is those of that user that were issued before a time,
// with a TokenID the one of that id, and with neither all that were issued before a time.
//
// A token is issued when its claim iat says, which has whole seconds as a rule: one of the very second of Before may have
// been issued before it, and is revoked. One without iat is revoked by every time. One without the user's claim, or without
// jti, is no user's, or has no id. An iat may be ahead, as clocks are: a token was issued when its node has first seen it, if
// that is earlier, so that all that are held when the revocation comes are met. One that is shown after it with an iat
// behind Before counts as issued after it; its id is what revokes it for good.
type Revocation struct {
	// User is whose tokens are meant: the claim that Rates.UserClaim names, a text or a number. At most 1 KiB.
	User string `json:"user,omitempty"`
	// TokenID is the claim jti of the token that is meant. At most 1 KiB.
	TokenID string `json:"tokenId,omitempty"`
	// Before is the time that the tokens were issued before; it cannot be to come. Zero is the end of this second, with a
	// User. A TokenID has none.
	Before time.Time `json:"before,omitzero"`
	// Until is from when on the revocation is forgotten, as every token that it meets has expired. Zero is found out by
	// auth.Options.MaxLifetime of all endpoints; where one has none, it is never.
	Until time.Time `json:"until,omitzero"`
	// Disconnect closes the sessions that have such a token with CloseRevoked, instead of taking the token from them.
	Disconnect bool `json:"disconnect,omitempty"`
	// At is when it was revoked, in what Revocations returns.
	At time.Time `json:"at,omitzero"`
}

// record is a revocation as nodes and files have it. Of one target there is one, as later ones take in those before them.
type record struct {
	Revocation

	// Lifted says that Unrevoke has undone it. It is kept as long as the revocation may come back from elsewhere.
	Lifted bool `json:"lifted,omitempty"`
}

// key is whom or what the record is about.
func (r *record) key() string {
	switch {
	case r.User != "":
		return "user " + r.User
	case r.TokenID != "":
		return "id " + r.TokenID
	default:
		return ""
	}
}

// merged is what two records of one target come to, in whichever order they meet: what one of them revokes is revoked,
// unless the other one has lifted it later.
func (r record) merged(o record) record {
	both := !r.Lifted && !o.Lifted
	out := r
	if o.At.After(r.At) || o.At.Equal(r.At) && !o.Lifted {
		out = o
	}
	if both {
		out.Before = later(r.Before, o.Before)
		out.Disconnect = r.Disconnect || o.Disconnect
	}
	out.Until = farther(r.Until, o.Until)
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// farther is later for times of which zero is never.
func farther(a, b time.Time) time.Time {
	if a.IsZero() || b.IsZero() {
		return time.Time{}
	}
	return later(a, b)
}

func (r *record) over(now time.Time) bool { return !r.Until.IsZero() && !now.Before(r.Until) }

// from is the first time that the record's tokens cannot be of: whole seconds, as times of issue are.
func (r *record) from() time.Time {
	whole := r.Before.Truncate(time.Second)
	if whole.Before(r.Before) {
		whole = whole.Add(time.Second)
	}
	return whole
}

// meets reports whether a token of the record's target is revoked. issued is zero where the token does not say it, which is
// before all times; seen is zero where it is not known. Not all of the second of Before counts for what was seen, since
// tokens that are signed in it are dated to its end.
func (r *record) meets(issued, seen time.Time) bool {
	held := !seen.IsZero() && seen.Before(r.At) && seen.Before(r.Before)
	return !r.Lifted && (r.TokenID != "" || held || issued.Before(r.from()))
}

// digest is a number that differs where anything in the record does.
func (r *record) digest() uint64 {
	b, err := json.Marshal(r)
	if err != nil {
		return 0 // texts and times of this age always encode
	}
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:])
}

// Revocations say how a node keeps what Server.Revoke has revoked.
type Revocations struct {
	// File is where they are kept as well, so that they survive the end of all nodes: each node has its own. It is written
	// before Revoke returns, and must be readable as a whole when the server starts. "" keeps them in memory alone, as long
	// as one node of the cluster lives: nodes that start learn them from the others.
	File string
	// Max is how many there may be; further ones are refused with NameRevocations, and counted, but for that of all tokens
	// issued before a time. What other nodes have revoked is taken over all the same. Those that are lifted do not count; as
	// many of them are kept, the latest, lest they come back from nodes that do not know it. It is best the same on all
	// nodes. 0 is 100,000.
	Max int
}

const (
	defaultRevocations = 100_000
	longestRevoked     = kib // of a user or token id
)

// revocations are those that a node knows of.
type revocations struct {
	claim string // that names the user; set before Start
	most  int
	file  recordFile // its own turn

	some atomic.Bool // there is one: most servers have none, and their tokens are not looked at

	mu      sync.RWMutex
	records map[string]record
	sum     uint64    // of all digests
	lifted  int       // of the records
	latest  time.Time // At of any record so far
	version uint64    // counts changes
}

func newRevocations(o *Options) *revocations {
	return &revocations{
		claim: or(o.Rates.UserClaim, defaultUserClaim), most: or(o.Revocations.Max, defaultRevocations),
		file: newRecordFile(o.Revocations.File), records: map[string]record{},
	}
}

// put merges records into the set and returns those that have changed it, as they are in it. What is over is left out, and
// what would not encode, which no node sends.
func (v *revocations) put(list []record, now time.Time) (news []record) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range list {
		if r.over(now) || !r.encodes() {
			continue
		}
		if merged, changed := v.putOne(r.cleaned()); changed {
			news = append(news, merged)
		}
	}
	v.trim()
	return news
}

// trim drops the lifted records that were lifted first, where there are too many: the same ones on all nodes.
func (v *revocations) trim() {
	if v.lifted <= v.most {
		return
	}
	var list []record
	for _, r := range v.records {
		if r.Lifted {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b record) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.key(), b.key())) })
	for _, r := range list[:v.lifted-v.most] {
		v.drop(r)
	}
}

// drop takes a record out of the set, under the lock.
func (v *revocations) drop(r record) {
	delete(v.records, r.key())
	v.sum -= r.digest()
	v.lifted -= r.countLifted()
	v.version++
}

func (r *record) countLifted() int {
	if r.Lifted {
		return 1
	}
	return 0
}

// encodes reports whether the times are of years that JSON can tell, in UTC as they are kept.
func (r *Revocation) encodes() bool {
	for _, t := range []time.Time{r.At, r.Before, r.Until} {
		if y := t.UTC().Year(); y < 1 || y > 9999 {
			return false
		}
	}
	return true
}

// cleaned has times that encode as they were decoded.
func (r record) cleaned() record {
	for _, t := range []*time.Time{&r.At, &r.Before, &r.Until} {
		if !t.IsZero() {
			*t = t.UTC().Round(0)
		}
	}
	return r
}

// putOne is put under the lock.
func (v *revocations) putOne(r record) (record, bool) {
	key := r.key()
	if before, there := v.records[key]; there {
		r = r.merged(before)
		if r == before {
			return r, false
		}
		v.sum -= before.digest()
		v.lifted -= before.countLifted()
	}
	v.records[key] = r
	v.sum += r.digest()
	v.lifted += r.countLifted()
	v.latest = later(v.latest, r.At)
	v.version++
	v.some.Store(true)
	return r, true
}

// admit puts one of this node's own, which counts behind all that is known of its target, and reports whether there was
// room for it.
func (v *revocations) admit(r record, now time.Time) (record, bool) {
	v.forget(now)
	v.mu.Lock()
	defer v.mu.Unlock()
	before, there := v.records[r.key()]
	more := !r.Lifted && (!there || before.Lifted)
	if more && r.key() != "" && len(v.records)-v.lifted >= v.most {
		return r, false
	}
	r = r.cleaned()
	if there && !r.At.After(before.At) {
		r.At = before.At.Add(1) // the clock of the node that was asked before is ahead
	}
	r, _ = v.putOne(r)
	v.trim()
	return r, true
}

// find returns what is known of a target.
func (v *revocations) find(r record) (record, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	found, there := v.records[r.key()]
	return found, there && !found.Lifted
}

// forget drops what is over.
func (v *revocations) forget(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.records {
		if r.over(now) {
			v.drop(r)
		}
	}
	v.some.Store(len(v.records) > 0)
}

// list returns all records in the order of their keys, and the version that they are.
func (v *revocations) list() ([]record, uint64) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	list := make([]record, 0, len(v.records))
	for _, key := range sortedKeys(v.records) {
		list = append(list, v.records[key])
	}
	return list, v.version
}

// state is the version of the set.
func (v *revocations) state() uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.version
}

// save writes the set to the file, where there is one.
func (v *revocations) save(ctx context.Context) error { return v.file.save(ctx, v.list, v.state()) }

// digest is the same on nodes that know the same, and "" where nothing is known.
func (v *revocations) digest() string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if len(v.records) == 0 {
		return ""
	}
	return strconv.FormatUint(v.sum, 16)
}

// seen notes when the node has first seen a token, in a copy, as a scheme may return the same one again. It is behind all
// revocations that are known by then, however far ahead the clocks of other nodes are.
func (v *revocations) seen(t *Token, now time.Time) *Token {
	if t == nil || !t.seen.IsZero() {
		return t
	}
	v.mu.RLock()
	now = later(now, v.latest)
	v.mu.RUnlock()
	own := *t
	own.seen = now
	return &own
}

// against returns the revocation that meets a token, or nil.
func (v *revocations) against(t *Token, now time.Time) *record {
	if !v.some.Load() || t == nil {
		return nil
	}
	var claims map[string]json.RawMessage
	if t.Decode(&claims) != nil {
		claims = nil // of a scheme whose tokens say nothing: only all of them can be meant
	}
	issued := issuedAt(claims["iat"])
	if issued.After(now.Add(ahead)) {
		issued = time.Time{} // which no time would meet
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, target := range []Revocation{{TokenID: textOf(claims["jti"])}, {User: textOf(claims[v.claim])}, {}} {
		r := record{Revocation: target}
		if r, there := v.records[r.key()]; there && !r.over(now) && r.meets(issued, t.seen) {
			return &r
		}
	}
	return nil
}

// issuedAt is the time that a claim iat says, or zero.
func issuedAt(iat json.RawMessage) time.Time {
	seconds, err := strconv.ParseFloat(string(iat), 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return time.Time{}
	}
	return time.UnixMicro(int64(seconds * 1e6))
}

// mayMeet reports quickly whether the record could be about the token.
func (r *record) mayMeet(t *Token) bool {
	name := or(r.User, r.TokenID)
	return name == "" || bytes.Contains(t.Claims, []byte(name)) || bytes.IndexByte(t.Claims, '\\') >= 0
}

// check refuses what is not clearly meant.
func (r *Revocation) check(now time.Time) error {
	switch {
	case !r.encodes():
		return mistake("before and until must be of the years 1 to 9999, in UTC")
	case r.User != "" && r.TokenID != "":
		return mistake("a revocation is about one user or one token id, not about both")
	case len(r.User) > longestRevoked || len(r.TokenID) > longestRevoked:
		return mistake("the name of a user and the id of a token may have %d bytes", longestRevoked)
	case r.TokenID != "" && !r.Before.IsZero():
		return mistake("a token id has no time that it was issued before")
	case r.User == "" && r.TokenID == "" && r.Before.IsZero():
		return mistake("a revocation is about a user, a token id, or a time that tokens were issued before")
	case r.Before.After(now):
		return mistake("the time %s is to come: tokens that are not issued yet cannot be revoked", r.Before.UTC().Format(time.RFC3339))
	case !r.Until.IsZero() && !r.Until.After(now):
		return mistake("the revocation would be over at once: it is until %s", r.Until.UTC().Format(time.RFC3339))
	default:
		return nil
	}
}

// pageOfRecords is part of a listing for another node.
type pageOfRecords struct {
	Records []json.RawMessage `json:"records,omitempty"`
	More    bool              `json:"more,omitempty"`
}

// recordsFrom asks for those behind a key.
type recordsFrom struct {
	After *string `json:"after,omitempty"` // nil begins
}

// page returns records behind a key, as many as fit into an answer.
func (v *revocations) page(q recordsFrom) (p pageOfRecords, _ error) {
	all, _ := v.list()
	if q.After != nil {
		i, found := slices.BinarySearchFunc(all, *q.After, func(r record, key string) int { return strings.Compare(r.key(), key) })
		if found {
			i++
		}
		all = all[i:]
	}
	size := 0
	for _, r := range all {
		b, err := json.Marshal(r)
		if err != nil {
			return p, fmt.Errorf("encode a revocation: %w", err)
		}
		if size += len(b); size > maxQuestion/2 {
			p.More = true
			break
		}
		p.Records = append(p.Records, b)
	}
	return p, nil
}
