package main

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// kept is how many messages a room remembers.
const kept = 50

// message is what somebody has said. The server writes all of it but the text.
type message struct {
	Kind string `json:"kind"` // "message"
	ID   int64  `json:"id"`   // counts up in each room: the page sorts by it, and shows none twice
	From string `json:"from"`
	Text string `json:"text"`
	At   int64  `json:"at"` // milliseconds since 1970, as JavaScript counts
}

// typing tells that somebody is writing.
type typing struct {
	Kind string `json:"kind"` // "typing"
	From string `json:"from"`
}

// people tells who is in a room. Two changes at once may arrive the other way round: the higher number is the truth.
type people struct {
	Kind   string   `json:"kind"` // "people"
	Change int64    `json:"change"`
	Names  []string `json:"names"`
}

// entry is a room in the list of rooms, and what is published to counts.
type entry struct {
	Name   string `json:"name"`
	Change int64  `json:"change"` // as in people
	People int    `json:"people"`
}

// room is kept in the memory of this node. In a cluster, history would go to a database, and presence to an engine that
// knows about all nodes.
type room struct {
	name string // never changes

	mu      sync.Mutex
	lastID  int64
	history []message // the oldest first, at most kept
	changes int64
	members map[string]string // session → name
}

// channel is what the room's people subscribe to.
func (r *room) channel() string { return "room/" + r.name }

// say numbers a message and remembers it.
func (r *room) say(from, text string) message {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastID++
	m := message{Kind: "message", ID: r.lastID, From: from, Text: text, At: time.Now().UnixMilli()}
	if len(r.history) == kept {
		r.history = slices.Delete(r.history, 0, 1)
	}
	r.history = append(r.history, m)
	return m
}

func (r *room) recent() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]message{}, r.history...) // never null in JSON
}

func (r *room) enter(session, name string) people {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members[session] = name
	return r.changed()
}

func (r *room) leave(session string) people {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.members, session)
	return r.changed()
}

// changed counts a change and tells who is there. The whole list each time is right for a room of dozens; for thousands
// one would send the change alone.
func (r *room) changed() people {
	r.changes++
	return people{Kind: "people", Change: r.changes, Names: r.names()}
}

// names lists who is there: somebody with two tabs is there once.
func (r *room) names() []string {
	return append([]string{}, slices.Compact(slices.Sorted(maps.Values(r.members)))...) // never null in JSON
}

// entry is the room's line in the list of rooms.
func (r *room) entry() entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return entry{Name: r.name, Change: r.changes, People: len(r.names())}
}

func (r *room) has(session string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.members[session]
	return ok
}
