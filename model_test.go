package skein_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/skeintest"
)

const (
	modelNodes    = 2
	modelClients  = 6
	modelChannels = 3
)

// participant is a client of the model: what it has joined, and what it must have received since it connected.
type participant struct {
	conn   *skeintest.Conn
	joined map[string]bool
	want   []string
	cids   int
}

// world is a cluster in memory beside a plain map of channels and those who are in them.
type world struct {
	t            *testing.T
	g            *group
	participants []*participant
	sent         int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, g: clustered(t, modelNodes, skein.Options{}, noSetup)}
	for i := range modelClients {
		w.participants = append(w.participants, w.connect(i))
	}
	return w
}

// connect gives client i a fresh connection, to the node that its number says.
func (w *world) connect(i int) *participant {
	w.t.Helper()
	a := &participant{conn: w.g.nodes[i%modelNodes].Conn(w.t, "/socketcluster/", nil), joined: map[string]bool{}}
	a.say(w.t, "#handshake", `{"authToken":null}`)
	synctest.Wait()
	a.read(w.t)
	return a
}

// say sends a call, of which the acknowledgement is left out of account.
func (a *participant) say(t *testing.T, event, data string) {
	t.Helper()
	a.cids++
	if err := a.conn.Send(fmt.Sprintf(`{"event":%q,"data":%s,"cid":%d}`, event, data, a.cids)); err != nil {
		t.Fatal(err)
	}
}

// read takes what has come, and returns the publications. Every refusal is an error.
func (a *participant) read(t *testing.T) (got []string) {
	t.Helper()
	for {
		m, ok, err := a.conn.TryRead()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return got
		}
		for p := range wire.JSON.Packets(m.Data) {
			switch {
			case p.Kind == wire.Publish:
				got = append(got, p.Channel+" "+string(p.Payload))
			case p.Error != nil:
				t.Fatalf("refused: %s", p.Error)
			}
		}
	}
}

// step is one operation: what is done, by whom, where.
func (w *world) step(op byte) {
	w.t.Helper()
	i, channel := int(op>>2)%modelClients, fmt.Sprint("channel ", op>>5%modelChannels)
	a := w.participants[i]
	switch op & 3 {
	case 0:
		a.say(w.t, "#subscribe", fmt.Sprintf(`{"channel":%q}`, channel))
		a.joined[channel] = true
	case 1:
		if a.joined[channel] { // to leave what was not joined is refused
			a.say(w.t, "#unsubscribe", fmt.Sprintf("%q", channel))
		}
		delete(a.joined, channel)
	case 2:
		w.sent++
		a.say(w.t, "#publish", fmt.Sprintf(`{"channel":%q,"data":%d}`, channel, w.sent))
		for _, other := range w.participants {
			if other.joined[channel] {
				other.want = append(other.want, fmt.Sprintf("%s %d", channel, w.sent))
			}
		}
	default:
		a.conn.Terminate()
		synctest.Wait()
		w.participants[i] = w.connect(i)
	}
	synctest.Wait()
}

// check compares what everybody has received since the last time, and what the nodes list.
func (w *world) check(ops []byte, n int) {
	w.t.Helper()
	counts := map[string]int{}
	for i, a := range w.participants {
		if got := a.read(w.t); !slices.Equal(got, a.want) {
			w.t.Fatalf("step %d of %x: client %d has %q, want %q", n, ops, i, got, a.want)
		}
		a.want = nil
		for channel := range a.joined {
			counts[channel]++
		}
	}
	for _, node := range w.g.nodes {
		list, err := node.ListChannels(w.t.Context(), "", 100)
		if err != nil {
			w.t.Fatal(err)
		}
		got := map[string]int{}
		for _, c := range list {
			got[c.Name] = c.Subscribers
		}
		if fmt.Sprint(got) != fmt.Sprint(counts) {
			w.t.Fatalf("step %d of %x: listed are %v, want %v", n, ops, got, counts)
		}
	}
}

// FuzzServer has two nodes with six clients, and a plain map, do the same in virtual time. What fails is made shorter by
// the fuzzer.
func FuzzServer(f *testing.F) {
	for seed := range uint64(6) {
		r, ops := rand.New(rand.NewPCG(seed, 0)), make([]byte, 60)
		for i := range ops {
			ops[i] = byte(r.IntN(256))
		}
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			for n, op := range ops[:min(len(ops), 100)] {
				w.step(op)
				w.check(ops, n)
			}
		})
	})
}
