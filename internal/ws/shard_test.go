package ws

import (
	"net"
	"testing"
	"testing/synctest"
)

// recordingLink takes everything, and notes for whom; it lets the shard go on only when told.
type recordingLink struct {
	stream

	name  string
	turns chan<- string
}

func (l *recordingLink) wake() { l.conn.shard.push(l.conn) }

func (l *recordingLink) send(s *sender) (int, error) {
	l.turns <- l.name
	return len(s.batch), nil
}

func TestShardTakesTurnsBetweenBacklogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := NewRuntime(Config{Shards: 1})
		defer r.Close()
		turns := make(chan string)
		connect := func(name string) *Conn {
			ours, _ := net.Pipe()
			c, err := r.adopt(ours, terms{}, Options{Outbox: 1 << 30})
			if err != nil {
				t.Fatal(err)
			}
			c.link = &recordingLink{stream: stream{conn: c, nc: ours}, name: name, turns: turns}
			return c
		}
		long, short := connect("long"), connect("short")
		big := NewFrame(true, make([]byte, scratchSize)) // does not fit into the scratch: one send each
		for range 20 {
			_ = long.Send(big)
		}
		synctest.Wait()
		_ = short.Send(big)
		var order []string
		for range 21 {
			order = append(order, <-turns)
		}
		at := 0
		for i, name := range order {
			if name == "short" {
				at = i
			}
		}
		if at == 0 || at > 2 {
			t.Errorf("got the turn of the short backlog at %d of %q, want it next but one", at, order)
		}
	})
}

func TestShardEndsWithWorkLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShard()
		done := make(chan struct{})
		go func() {
			s.run()
			close(done)
		}()
		s.push(new(Conn)) // nothing is pending on it
		s.close()
		<-done
	})
}
