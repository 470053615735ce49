package skein_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/skeintest"
)

// Both generations and codecs live on one endpoint, past many ping time-outs, and lose no connection.
func TestClientsOfEveryKindStayOnOneEndpoint(t *testing.T) {
	t.Parallel()
	for name, endpoint := range map[string]skein.Endpoint{
		"usual":   {},
		"quick":   {Ping: skein.Ping{Interval: time.Second, Timeout: 3 * time.Second}},
		"batches": {Batch: skein.Batch{Duration: time.Minute, Interval: 20 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := start(t, skein.Options{Endpoints: []skein.Endpoint{endpoint}}, func(*skein.Host) {})
				ids := map[*client.Client]string{}
				var subs []*client.Subscription
				for _, protocol := range []int{1, 2} {
					for _, codec := range []string{"json", "minbin"} {
						c := srv.Dial(t, client.Options{Protocol: protocol, Codec: codec})
						sub, err := c.Subscribe(t.Context(), "all")
						if err != nil {
							t.Fatalf("protocol %d, %s: %v", protocol, codec, err)
						}
						ids[c], subs = c.ID(), append(subs, sub)
					}
				}
				for round := range 10 {
					pass(time.Minute)
					if err := srv.Publish(t.Context(), "all", fmt.Appendf(nil, "%d", round)); err != nil {
						t.Fatal(err)
					}
					for i, sub := range subs {
						if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != fmt.Sprint(round) {
							t.Errorf("client %d: got %s, %v, want %d", i, m.Data, err, round)
						}
					}
				}
				for c, id := range ids {
					if c.ID() != id {
						t.Errorf("a client has lost its connection: %s became %s", id, c.ID())
					}
				}
				if st := srv.Stats(); st.PongTimeouts != 0 || st.Sessions != 4 {
					t.Errorf("got %d ping time-outs and %d sessions, want 0 and 4", st.PongTimeouts, st.Sessions)
				}
			})
		})
	}
}

func TestClientsOfAFixedGenerationStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{Endpoints: []skein.Endpoint{
			{Path: "/v1", Protocol: skein.V1}, {Path: "/v2", Protocol: skein.V2}, {Path: "/v1/packed", Protocol: skein.V1, Codec: "minbin"},
		}}, func(*skein.Host) {})
		for path, o := range map[string]client.Options{"/v1": {Protocol: 1}, "/v2": {Protocol: 2}, "/v1/packed": {Protocol: 1, Codec: "minbin"}} {
			o.URL = "ws://memory" + path
			c := srv.Dial(t, o)
			id := c.ID()
			pass(5 * time.Minute)
			if c.State() != client.Connected || c.ID() != id {
				t.Errorf("%s: got %v as %s, want connected as %s", path, c.State(), c.ID(), id)
			}
		}
	})
}

// anyJSON makes JSON text in which everything can be found.
func anyJSON(r *rand.Rand, depth int) string {
	atoms := []string{
		"0", "-0", "1.0", "1E+3", "12345678901234567890", "0.1e-7", "true", "false", "null", `""`, `"é"`, `"\u2028<>&\/"`, `"\ud83d\ude00"`, `"😀"`, `"\"\\"`, " 7 ", "[ ]", "{ }",
	}
	n := r.IntN(4)
	if depth == 0 || n < 2 {
		return atoms[r.IntN(len(atoms))]
	}
	var parts []string
	for i := range r.IntN(4) {
		part := anyJSON(r, depth-1)
		if n == 2 {
			part = fmt.Sprintf("%q :%s", []string{"a", "10", "2", "__proto__", "é"}[i], part)
		}
		parts = append(parts, part)
	}
	if n == 2 {
		return "{" + strings.Join(parts, " , ") + "}"
	}
	return "[" + strings.Join(parts, ",\t") + "]"
}

// What a client has published arrives octet for octet.
func TestPayloadsArriveOctetForOctet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engines := skeintest.Link(2)
		here := start(t, skein.Options{Engine: engines[0]}, func(*skein.Host) {})
		there := start(t, skein.Options{Engine: engines[1]}, func(*skein.Host) {})
		from, _ := open(t, here, "/socketcluster/")
		to, _ := open(t, there, "/socketcluster/")
		ask(t, to, `{"event":"#subscribe","data":{"channel":"x"},"cid":2}`)
		r := rand.New(rand.NewPCG(1, 2))
		for range 500 {
			payload := anyJSON(r, 4)
			if got := ask(t, from, `{"event":"#publish","data":{"channel":"x","data":`+payload+`},"cid":3}`); got != `{"rid":3}` {
				t.Fatalf("%s: got %s, want it acknowledged", payload, got)
			}
			if got, want := next(t, to), `{"event":"#publish","data":{"channel":"x","data":`+strings.TrimSpace(payload)+`}}`; got != want {
				t.Fatalf("got %s\nwant %s", got, want)
			}
		}
	})
}
