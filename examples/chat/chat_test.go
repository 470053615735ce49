package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/skeintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begin starts a chat of the test's own, in memory.
func begin(t *testing.T) *skeintest.Server {
	t.Helper()
	return skeintest.Serve(t, newServer(skein.Options{}))
}

// come connects and logs in.
func come(t *testing.T, srv *skeintest.Server, name string) *client.Client {
	t.Helper()
	c := srv.Dial(t, client.Options{})
	if _, err := c.Call(t.Context(), "login", loginRequest{name}); err != nil {
		t.Fatalf("%s logs in: %v", name, err)
	}
	return c
}

// enter subscribes to a room.
func enter(t *testing.T, c *client.Client, room string) *client.Subscription {
	t.Helper()
	s, err := c.Subscribe(t.Context(), "room/"+room)
	if err != nil {
		t.Fatalf("enter %s: %v", room, err)
	}
	return s
}

// next returns the next of its kind that comes from a room, decoded.
func next[T any](t *testing.T, s *client.Subscription, kind string) (v T) {
	t.Helper()
	for {
		m, err := s.Next(t.Context())
		if err != nil {
			t.Fatalf("waiting for %s: %v", kind, err)
		}
		var head struct{ Kind string }
		if err := json.Unmarshal(m.Data, &head); err != nil {
			t.Fatalf("read %s: %v", m.Data, err)
		}
		if head.Kind != kind {
			continue
		}
		if err := json.Unmarshal(m.Data, &v); err != nil {
			t.Fatalf("read %s: %v", m.Data, err)
		}
		return v
	}
}

// settled is the last list of people that has come so far.
func settled(t *testing.T, s *client.Subscription) []string {
	t.Helper()
	synctest.Wait()
	var last people
	end := make(chan struct{})
	go func() {
		defer close(end)
		for m := range s.Messages() {
			var p people
			if json.Unmarshal(m, &p) == nil && p.Kind == "people" && p.Change > last.Change {
				last = p
			}
		}
	}()
	synctest.Wait()
	s.Close()
	<-end
	return last.Names
}

// refused fails the test where the error has not the name.
func refused(t *testing.T, what string, err error, name string) {
	t.Helper()
	var e *client.Error
	if !errors.As(err, &e) || e.Name != name {
		t.Errorf("%s: got %v, want %s", what, err, name)
	}
}

func failure(_ any, err error) error { return err }

func TestEverybodyInTheRoomHearsWhatIsSaidAndWhoSaidIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := begin(t)
		ada, grace := come(t, srv, "ada"), come(t, srv, "grace")
		heard := []*client.Subscription{enter(t, ada, "lobby"), enter(t, grace, "lobby")}
		elsewhere := enter(t, come(t, srv, "eve"), "coffee")
		forged := map[string]any{"text": "  hello <b>world</b>\n", "from": "grace", "id": 99, "kind": "people"}
		if err := ada.Publish(t.Context(), "room/lobby", forged); err != nil {
			t.Fatal(err)
		}
		want := message{Kind: "message", ID: 1, From: "ada", Text: "hello <b>world</b>", At: time.Now().UnixMilli()}
		for _, s := range heard {
			if got := next[message](t, s, "message"); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		if names := settled(t, elsewhere); !cmp.Equal(names, []string{"eve"}) {
			t.Errorf("got %v in the other room, want eve alone", names)
		}
	})
}

func TestRoomIsForWhoIsInIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := begin(t)
		stranger, ada := srv.Dial(t, client.Options{}), come(t, srv, "ada")
		ctx := t.Context()
		refused(t, "a stranger enters", failure(stranger.Subscribe(ctx, "room/lobby")), "LoginError")
		refused(t, "a stranger listens to the counts", failure(stranger.Subscribe(ctx, counts)), "LoginError")
		refused(t, "a stranger speaks", stranger.Publish(ctx, "room/lobby", map[string]string{"text": "hi"}), "NotInRoomError")
		refused(t, "a stranger reads", failure(stranger.Call(ctx, "history", historyRequest{"lobby"})), "NotInRoomError")
		refused(t, "ada enters a room that is not there", failure(ada.Subscribe(ctx, "room/cellar")), "NoRoomError")
		refused(t, "ada listens to another channel", failure(ada.Subscribe(ctx, "lobby")), "NoRoomError")
		refused(t, "ada speaks from outside", ada.Publish(ctx, "room/lobby", map[string]string{"text": "hi"}), "NotInRoomError")
		refused(t, "ada reads from outside", failure(ada.Call(ctx, "history", historyRequest{"lobby"})), "NotInRoomError")
		enter(t, ada, "lobby")
		refused(t, "ada publishes counts", ada.Publish(ctx, counts, map[string]any{"name": "lobby", "people": 99}), "NotInRoomError")
		for _, said := range []any{nil, 7, "hi", []int{1}, map[string]any{}, map[string]any{"text": " \n"}, map[string]any{"text": strings.Repeat("ä", longest+1)}} {
			refused(t, fmt.Sprintf("ada says %.20v", said), ada.Publish(ctx, "room/lobby", said), "BadMessageError")
		}
		if err := ada.Publish(ctx, "room/lobby", map[string]string{"text": strings.Repeat("ä", longest)}); err != nil {
			t.Errorf("the longest message: %v", err)
		}
	})
}

func TestRoomRemembersItsLastFiftyMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := begin(t)
		ada := come(t, srv, "ada")
		enter(t, ada, "lobby")
		empty, err := client.Call[[]message](t.Context(), ada, "history", historyRequest{"lobby"})
		if err != nil || empty == nil || len(empty) != 0 {
			t.Fatalf("got %v and %v, want an empty list", empty, err)
		}
		for i := range 60 {
			if err := ada.Publish(t.Context(), "room/lobby", map[string]string{"text": fmt.Sprint(i + 1)}); err != nil {
				t.Fatal(err)
			}
		}
		grace := come(t, srv, "grace")
		enter(t, grace, "lobby")
		got, err := client.Call[[]message](t.Context(), grace, "history", historyRequest{"lobby"})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != kept || got[0].Text != "11" || got[kept-1].Text != "60" || got[kept-1].ID != 60 {
			t.Errorf("got %d messages from %+v to %+v, want 50 from 11 to 60", len(got), got[0], got[len(got)-1])
		}
	})
}

func TestRoomKnowsWhoIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := begin(t)
		ada := come(t, srv, "ada")
		lobby := enter(t, ada, "lobby")
		expect := func(what string, names ...string) {
			t.Helper()
			if got := next[people](t, lobby, "people").Names; !cmp.Equal(got, names) {
				t.Errorf("%s: got %v, want %v", what, got, names)
			}
		}
		expect("ada has entered", "ada")
		grace, tab := come(t, srv, "grace"), srv.Dial(t, client.Options{Token: ada.Token()})
		hers := enter(t, grace, "lobby")
		expect("grace has entered", "ada", "grace")
		second := enter(t, tab, "lobby")
		expect("ada has entered with a second tab", "ada", "grace")
		rooms, err := client.Call[[]entry](t.Context(), grace, "rooms", nil)
		if err != nil || len(rooms) != 3 || rooms[0].Name != "lobby" || rooms[0].People != 2 || rooms[1].People != 0 {
			t.Errorf("got the rooms %+v and %v, want two people in the lobby", rooms, err)
		}
		second.Close()
		expect("ada has closed one tab", "ada", "grace")
		hers.Close()
		expect("grace has left", "ada")
		enter(t, grace, "lobby")
		expect("grace has come back", "ada", "grace")
		_ = grace.Close() // it says what it was told: closed
		expect("grace has gone", "ada")
	})
}

func TestCountsAreToldToEverybody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := begin(t)
		ada := come(t, srv, "ada")
		told, err := ada.Subscribe(t.Context(), counts)
		if err != nil {
			t.Fatal(err)
		}
		lobby := enter(t, come(t, srv, "grace"), "lobby")
		lobby.Close()
		for _, want := range []entry{{"lobby", 1, 1}, {"lobby", 2, 0}} {
			m, err := told.Next(t.Context())
			var got entry
			if err != nil || json.Unmarshal(m.Data, &got) != nil || got != want {
				t.Errorf("got %s and %v, want %+v", m.Data, err, want)
			}
		}
	})
}

func TestWhoSendsTooFastIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := begin(t)
		c := srv.Conn(t, "/socketcluster/", nil)
		if err := c.Send(`{"event":"#handshake","data":{},"cid":1}`); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			_ = c.Send(`{"event":"typing","data":{"room":"lobby"}}`) // until it is cut off
		}
		var end *skeintest.CloseError
		for {
			if _, err := c.Read(); errors.As(err, &end) {
				break
			}
		}
		if end.Code != skein.CloseRate {
			t.Errorf("got %v, want %d", end, skein.CloseRate)
		}
	})
}

func TestTypingIsToldToTheRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := begin(t)
		ada, grace := come(t, srv, "ada"), come(t, srv, "grace")
		enter(t, ada, "lobby")
		lobby := enter(t, grace, "lobby")
		eve := come(t, srv, "eve") // in no room
		for _, said := range []struct {
			who  *client.Client
			data any
		}{{eve, historyRequest{"lobby"}}, {ada, historyRequest{"cellar"}}, {ada, 7}, {ada, historyRequest{"lobby"}}} {
			if err := said.who.Transmit("typing", said.data); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if got := next[typing](t, lobby, "typing"); got.From != "ada" {
			t.Errorf("got %q typing, want ada, who alone is in the room", got.From)
		}
	})
}
