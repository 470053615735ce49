package load

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/skeintest"
)

// answersOf lists the calls that a message answers, with the refusals.
func answersOf(p Protocol, message string) []string {
	var all []string
	p.Answers([]byte(message), func(call uint64, refused error) {
		all = append(all, fmt.Sprintf("%d %v", call, refused))
	})
	return all
}

func TestAnswersAreFoundWithAndWithoutParsing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		token, message string
		want           []string
	}{
		"an early one":        {"", `{"rid":2,"data":{"rid":9}}`, []string{"2 <nil>"}},
		"a batch":             {"", `[{"rid":1000000001},{"rid":1000000002}]`, []string{"1000000001 <nil>", "1000000002 <nil>"}},
		"a refusal":           {"", `{"rid":1000000001,"error":{"name":"E","message":"no"}}`, []string{"1000000001 E: no"}},
		"one of a batch":      {"", `[{"rid":1000000001,"error":"x"},{"rid":1000000002}]`, []string{`1000000001 "x"`, "1000000002 <nil>"}},
		"an event":            {"", `{"event":"#publish","data":{"channel":"a","data":"b"}}`, nil},
		"a word like error":   {"", `{"event":"x","data":"error"}`, nil},
		"no JSON":             {"", `{"rid":3`, nil},
		"no token":            {"", `{"rid":1,"data":{"isAuthenticated":false}}`, []string{"1 <nil>"}},
		"a good token":        {"t", `{"rid":1,"data":{"isAuthenticated":true}}`, []string{"1 <nil>"}},
		"a bad token":         {"t", `{"rid":1,"data":{"isAuthenticated":false,"authError":{"name":"A","message":"b"}}}`, []string{"1 the token: A: b"}},
		"a later call's data": {"t", `{"rid":2,"data":{"isAuthenticated":false}}`, []string{"2 <nil>"}},
	} {
		if got := answersOf(socketCluster{token: c.token}, c.message); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestOnlyEmptyMessagesArePings(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]bool{"": true, "{}": false, "#1": false} {
		if answer, ok := (socketCluster{}).Pong([]byte(message)); ok != want || len(answer) != 0 {
			t.Errorf("%q: got %q, %v, want an empty one: %v", message, answer, ok, want)
		}
	}
}

// foreign is a protocol with the number of a call in front, and pings with words.
type foreign struct{}

func (foreign) Hello() []byte { return []byte("1 hello") }

func (foreign) Subscribe(channel string, call uint64) []byte {
	return fmt.Appendf(nil, "%d join %s", call, channel)
}

func (foreign) Publish(channel, text string, call uint64) []byte {
	return fmt.Appendf(nil, "%d say %s %s", call, channel, text)
}

func (foreign) Pong(message []byte) ([]byte, bool) { return []byte("yes"), string(message) == "there?" }

func (foreign) Answers(message []byte, each func(uint64, error)) {
	var call uint64
	var word string
	if n, _ := fmt.Sscanf(string(message), "%d %s", &call, &word); n != 2 {
		return
	}
	if word == "no" {
		each(call, errors.New("not you"))
		return
	}
	each(call, nil)
}

// speak answers as a server of that protocol; refuse begins a message that is refused.
func (f *fake) speak(refuse string) {
	var subscribers []func(string)
	f.raw = func(payload []byte, send func(string)) {
		call, rest, _ := strings.Cut(string(payload), " ")
		verb, _, _ := strings.Cut(rest, " ")
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case verb == refuse:
			send(text(call + " no"))
			return
		case verb == "join":
			subscribers = append(subscribers, send)
			send(text("there?"))
		case verb == "say" && call == "0":
			for _, to := range subscribers {
				to(text(rest))
			}
			return
		case string(payload) == "yes":
			f.control[opPong]++
			return
		}
		send(text(call + " ok"))
	}
}

func TestAnotherProtocolIsMeasuredTheSameWay(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Fanout, Saturate, RPC, Connect, Idle, Burst} {
		synctest.Test(t, func(t *testing.T) {
			l := skeintest.NewListener()
			f := &fake{}
			f.speak("nothing")
			f.start(t, l)
			o := small(far(l))
			o.Protocol, o.Burst = foreign{}, 5
			r, err := Run(t.Context(), mode, o)
			if err != nil {
				t.Fatalf("%s: %v", mode, err)
			}
			if r.Lost != 0 || r.OutOfOrder != 0 || r.Done+r.Connects == 0 {
				t.Errorf("%s: got %+v, want something, and nothing lost", mode, r)
			}
			if got, want := f.seen(opPong), 4; got != want && mode != RPC && mode != Connect {
				t.Errorf("%s: %d answered whether they are there, want %d", mode, got, want)
			}
		})
	}
}

func TestRefusalsOfAnotherProtocolAreTold(t *testing.T) {
	t.Parallel()
	for verb, want := range map[string]string{
		"hello": "handshake refused: not you", "join": "subscribe refused: not you", "say": "publish refused: not you",
	} {
		synctest.Test(t, func(t *testing.T) {
			l := skeintest.NewListener()
			f := &fake{}
			f.speak(verb)
			f.start(t, l)
			o := small(l.DialContext)
			o.Protocol = foreign{}
			if _, err := Run(t.Context(), Fanout, o); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%s: got %v, want %s", verb, err, want)
			}
		})
	}
}

func TestNumbersOfCallsAreWrittenOverWhereverTheyStand(t *testing.T) {
	t.Parallel()
	for _, p := range []Protocol{socketCluster{}, foreign{}} {
		tm := newTemplate(p, "channel", 64, true)
		for _, call := range []uint64{firstCall + 1, 1_234_567_890} {
			want := newFrame(opText, p.Publish("channel", mark+strings.Repeat("x", 62), call))
			if got := tm.numbered(call); !bytes.Equal(got, want) {
				t.Errorf("%T: got %q, want %q", p, got, want)
			}
		}
	}
}

func TestMoreChannelsThanSubscribersAreDealtToThem(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Conns: 3, Channels: 7}, {Conns: 3, Channels: 3}, {Conns: 7, Channels: 3}, {Conns: 1, Channels: 4}, {Conns: 4, Channels: 1}} {
		listeners := make([]int64, o.Channels)
		for n := range o.Conns {
			names := o.channelsOf(n)
			for channel := range o.Channels {
				place, ok := o.place(n, channel)
				if got := slices.Index(names, o.channel(channel)); ok != (got >= 0) || ok && (got != place || place >= o.places()) {
					t.Errorf("%+v: subscriber %d: channel %d is at %d of %v, want %d, %v", o, n, channel, got, names, place, ok)
				}
				if ok {
					listeners[channel]++
				}
			}
			if _, ok := o.place(n, o.Channels); ok {
				t.Errorf("%+v: a channel that is not there has a place", o)
			}
		}
		for channel, got := range listeners {
			if want := o.audience(channel); got != want {
				t.Errorf("%+v: channel %d has %d listeners, want %d", o, channel, got, want)
			}
		}
	}
}

func TestSubscribersOfManyChannelsLoseNothing(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Fanout, Saturate} {
		synctest.Test(t, func(t *testing.T) {
			r, err := inMemory(t, mode, Options{Conns: 3, Channels: 20, Pubs: 2, Rate: 100, Duration: 2 * time.Second})
			if err != nil || r.Lost != 0 || r.OutOfOrder != 0 || r.Repeated != 0 || !about(r.Done, r.Published) {
				t.Errorf("%s: got %+v, %v, want one delivery for each message, and none lost", mode, r, err)
			}
		})
	}
}

// Each message comes to all channels' subscribers: those of the wrong channel must not count it.
func TestMisroutedMessagesDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := skeintest.NewListener()
		var subscribers []func(string)
		f := &fake{}
		f.on = func(p wire.Packet, send func(string)) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			switch {
			case p.Kind == wire.Subscribe:
				subscribers = append(subscribers, send)
			case p.Kind == wire.Publish && p.CID == nil:
				for _, to := range subscribers {
					to(text(string(wire.JSON.AppendPublish(nil, p.Channel, p.Payload))))
				}
			}
			return false
		}
		f.start(t, l)
		o := small(l.DialContext)
		o.Channels = 2
		r, err := Run(t.Context(), Fanout, o)
		if err != nil || !about(r.Done, 2*r.Published) || r.Lost != 0 {
			t.Errorf("got %+v, %v, want two deliveries for each message, though four come", r, err)
		}
	})
}

// FuzzAnswers compares what is found without parsing with what parsing finds.
func FuzzAnswers(f *testing.F) {
	for _, text := range []string{
		`{"rid":1000000001}`, `[{"rid":1000000001},{"rid":2,"error":{"name":"E"}}]`, `{"rid":1,"data":{"isAuthenticated":true}}`,
		`{"event":"#publish","data":{"rid":5}}`, `{"rid":`, `[]`, ``, `{"rid":99999999999999999999}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		for _, p := range []socketCluster{{}, {token: "t"}} {
			calls := 0
			p.Answers(message, func(call uint64, _ error) {
				calls++
				if call == 0 {
					t.Errorf("%q: got an answer to no call", message)
				}
			})
			if calls > len(message)/len(`"rid":1`) {
				t.Errorf("%q: got %d answers, more than fit in", message, calls)
			}
		}
	})
}

// Not parallel: it counts what the process allocates.
func TestFindingAnswersCostsNoMemory(t *testing.T) {
	var p Protocol = socketCluster{}
	message := []byte(`[{"rid":1000000001},{"rid":1000000002}]`)
	found := 0
	each := func(uint64, error) { found++ }
	if got := testing.AllocsPerRun(100, func() { p.Answers(message, each) }); got != 0 || found != 2*101 {
		t.Errorf("got %v allocations and %d answers, want none and 202", got, found)
	}
}

func TestRefusedCallsOfOneConnectionDoNotStopItsAnswers(t *testing.T) {
	t.Parallel()
	c, out := asked(t, 3)
	sent := out.Len()
	err := c.frame(opText, []byte(`[{"rid":1000000001},{"rid":1000000002,"error":"x"},{"rid":1000000003}]`))
	if err == nil || err.Error() != `publish refused: "x"` {
		t.Errorf("got %v, want the refusal", err)
	}
	if got := c.answered.Load(); got != 1 || out.Len() <= sent {
		t.Errorf("got %d answers and %d octets, want the answer before the refusal, and a call behind it", got, out.Len()-sent)
	}
	if again := c.frame(opText, []byte(`{"rid":1000000004}`)); again == nil || again.Error() != err.Error() {
		t.Errorf("got %v, want the first failure to stay", again)
	}
}

func TestSubscribersOfManyChannelsOverTCP(t *testing.T) {
	t.Parallel()
	url, _ := overTCP(t)
	for _, mode := range []Mode{Fanout, Idle, Burst} {
		o := Options{URLs: []string{url}, Conns: 7, Channels: 100, Pubs: 3, Rate: 2000, Duration: 200 * time.Millisecond, Burst: 20, Prefix: "many" + string(mode)}
		r, err := Run(t.Context(), mode, o)
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		if r.Lost != 0 || r.OutOfOrder != 0 || r.Repeated != 0 || mode != Idle && r.Done == 0 {
			t.Errorf("%s: got %+v, want each message delivered once", mode, r)
		}
	}
}

func TestIdleServersAreToldToThePerMille(t *testing.T) {
	t.Parallel()
	b := &bench{Options: Options{PIDs: []int{1}}}
	begin := time.Unix(0, 0)
	r := b.report(reading{at: begin}, reading{at: begin.Add(10 * time.Second), server: usage{cpu: 20 * time.Millisecond}})
	if r.Server.Cores != 0.002 {
		t.Errorf("got %v cores, want 0.002", r.Server.Cores)
	}
}
