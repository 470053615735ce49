package main

import (
	"context"
	"encoding/json"

	"github.com/skeinrt/skein"
)

// chat is the plugin.
type chat struct {
	host  *skein.Host
	names names
	rooms []*room // never changes
}

func newChat(rooms ...string) *chat {
	c := &chat{}
	for _, name := range rooms {
		c.rooms = append(c.rooms, &room{name: name, members: map[string]string{}})
	}
	return c
}

// Meta names the plugin.
func (c *chat) Meta() skein.Meta { return skein.Meta{Name: "chat"} }

// Setup is the whole chat at a glance. Procedures are what the page calls; hooks are what the server asks before it does
// something (OnSubscribe, OnPublish) or tells when it has (OnSubscribed, OnDisconnect).
func (c *chat) Setup(_ context.Context, h *skein.Host) error {
	c.host = h

	skein.Procedure(h, "login", c.login)
	skein.Procedure(h, "logout", c.logout)
	h.OnAuthenticate(c.welcomeBack)
	h.OnAuthChange(c.authChanged)
	h.OnDisconnect(c.disconnected)

	skein.Procedure(h, "rooms", c.list)
	skein.Procedure(h, "history", c.history)
	h.OnSubscribe("*", c.mayListen)
	h.OnSubscribed("room/*", c.entered)
	h.OnUnsubscribe("room/*", c.left)
	h.OnPublish("*", c.maySpeak)
	h.Receive("typing", c.typing)

	return servePage(h)
}

// refuse is an error that the page can tell by its name.
func refuse(name, message string) *skein.Error { return &skein.Error{Name: name, Message: message} }

// publish sends what the chat itself has to say. Nothing is lost that matters when it fails: the next change says it anew.
func (c *chat) publish(ctx context.Context, channel string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.host.Publish(ctx, channel, data)
}
