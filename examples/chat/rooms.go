package main

import (
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/skeinrt/skein"
)

// counts is the channel on which everybody hears how full the rooms are.
const counts = "rooms"

// longest is the most characters of one message.
const longest = 2000

// list answers with the rooms.
func (c *chat) list(context.Context, *skein.Session, skein.Nothing) ([]entry, error) {
	var all []entry
	for _, r := range c.rooms {
		all = append(all, r.entry())
	}
	return all, nil
}

// find returns the room of a channel, or nil.
func (c *chat) find(channel string) *room {
	for _, r := range c.rooms {
		if r.channel() == channel {
			return r
		}
	}
	return nil
}

// mayListen is asked before each subscription: only who is logged in, and only what there is.
func (c *chat) mayListen(_ context.Context, e *skein.Event) error {
	if _, ok := userOf(e.Session); !ok {
		return refuse("LoginError", "Log in first")
	}
	if e.Channel != counts && c.find(e.Channel) == nil {
		return refuse("NoRoomError", "There is no such room")
	}
	return nil
}

// entered is told behind each subscription to a room.
func (c *chat) entered(ctx context.Context, e *skein.Event) error {
	r, s := c.find(e.Channel), e.Session
	u, _ := userOf(s)
	now := r.enter(s.ID(), u.Name)
	if _, still := userOf(s); !still { // logged out while the subscription was under way
		r.leave(s.ID())
		return s.Kick(e.Channel, "You are logged out") //nolint:contextcheck // it takes none
	}
	return c.tell(ctx, r, now)
}

// left is told however a session leaves: by itself, kicked out, or with its connection.
func (c *chat) left(ctx context.Context, e *skein.Event) error {
	r := c.find(e.Channel)
	return c.tell(ctx, r, r.leave(e.Session.ID()))
}

// tell tells the room who is there, and everybody how many.
func (c *chat) tell(ctx context.Context, r *room, now people) error {
	if err := c.publish(ctx, r.channel(), now); err != nil {
		return err
	}
	return c.publish(ctx, counts, entry{Name: r.name, Change: now.Change, People: len(now.Names)})
}

// maySpeak is asked before each publication. It replaces what the client has sent by what everybody gets: nobody can
// speak in another one's name, because the name is the server's to write.
func (c *chat) maySpeak(_ context.Context, e *skein.Event) error {
	if e.Source != skein.SourceClient {
		return nil // the chat itself
	}
	r := c.find(e.Channel)
	u, ok := userOf(e.Session)
	if r == nil || !ok || !r.has(e.Session.ID()) {
		return refuse("NotInRoomError", "Enter the room first")
	}
	var said struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(e.Data, &said); err != nil {
		return refuse("BadMessageError", `A message is {"text": "…"}`)
	}
	said.Text = strings.TrimSpace(said.Text)
	if said.Text == "" || utf8.RuneCountInString(said.Text) > longest {
		return refuse("BadMessageError", "A message has 1 to 2000 characters")
	}
	data, err := json.Marshal(r.say(u.Name, said.Text))
	e.Data = data
	return err
}

type historyRequest struct {
	Room string `json:"room"`
}

// history answers with a room's last messages. The page subscribes first and asks then, so that there is nothing between
// the two; what comes both ways has the same id.
func (c *chat) history(_ context.Context, s *skein.Session, in historyRequest) ([]message, error) {
	r := c.find("room/" + in.Room)
	if r == nil || !r.has(s.ID()) {
		return nil, refuse("NotInRoomError", "Enter the room first")
	}
	return r.recent(), nil
}

// typing takes the event that the page transmits while somebody writes. It is not worth an answer, nor an error: who is
// not in the room is not heard.
func (c *chat) typing(ctx context.Context, s *skein.Session, data json.RawMessage) error {
	var in historyRequest
	_ = json.Unmarshal(data, &in) // what is no such object names no room
	r := c.find("room/" + in.Room)
	u, ok := userOf(s)
	if r == nil || !ok || !r.has(s.ID()) {
		return nil
	}
	return c.publish(ctx, r.channel(), typing{Kind: "typing", From: u.Name})
}
