package skein_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/skeintest"
)

func TestMessagesOfABusyChannelMayWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := skeintest.Start(t, skein.Options{Channels: []skein.ChannelOptions{
			{Pattern: "ticks/slow"}, {Pattern: "ticks/*", MaxDelay: 8 * time.Millisecond}, {Pattern: "*"},
		}})
		c := s.Dial(t, client.Options{})
		for channel, want := range map[string]time.Duration{"ticks/eur": 8 * time.Millisecond, "ticks/slow": 0, "chat": 0} {
			sub, err := c.Subscribe(t.Context(), channel)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			for range 2 {
				if err := s.Publish(t.Context(), channel, []byte(`1`)); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if _, err := sub.Next(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := time.Since(began); got != want {
				t.Errorf("%s: the messages took %v, want %v", channel, got, want)
			}
		}
	})
}

func TestChannelOptionsThatCannotBeAreToldTogether(t *testing.T) {
	t.Parallel()
	s := skein.New(skein.Options{Channels: []skein.ChannelOptions{
		{Pattern: "a*b"}, {Pattern: "long", MaxDelay: 2 * time.Second}, {Pattern: "short", MaxDelay: -1}, {Pattern: "fine"},
	}})
	err := s.Start(t.Context())
	if err == nil {
		t.Fatal("the server has started")
	}
	for _, want := range []string{`the channels "a*b": a pattern is`, `the channels "long": MaxDelay is 2s: it must be from 0 to 1s`, `the channels "short"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "fine") {
		t.Errorf("got %v, want nothing about what is right", err)
	}
}
