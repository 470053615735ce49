package natsengine

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/skeinrt/skein/engine"
)

func TestReaderWaitsWhileTheDispatcherIsBehind(t *testing.T) {
	t.Parallel()
	in := newInlet()
	near, far := net.Pipe()
	conn := in.gate(near, patient)
	go func() { _, _ = far.Write([]byte("x")) }() // read below, or broken by close
	in.read.Store(inletBytes)
	in.queue <- &nats.Msg{Subject: "s", Data: make([]byte, inletBytes)}
	read := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		read <- err
	}()
	select {
	case err := <-read:
		t.Fatalf("Read returned %v with a full queue, want that it waits", err)
	case <-time.After(50 * time.Millisecond):
	}
	in.done(<-in.queue)
	if err := <-read; err != nil {
		t.Errorf("Read: got %v, want nil", err)
	}
	for range inletMessages {
		in.queue <- &nats.Msg{}
	}
	go func() {
		_, err := conn.Read(make([]byte, 1))
		read <- err
	}()
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; err == nil {
		t.Error("Read of a closed connection: got nil, want an error")
	}
	_ = far.Close() // ends the writer, if it is left
}

func TestWriteThatHangsBreaksTheConnection(t *testing.T) {
	t.Parallel()
	near, _ := net.Pipe()
	conn := newInlet().gate(near, 10*time.Millisecond)
	if _, err := conn.Write([]byte("x")); err == nil {
		t.Error("Write that nobody reads: got nil, want an error")
	}
	if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) && err == nil {
		t.Errorf("the next Write: got %v, want that the connection is closed", err)
	}
}

func TestErrorsOfNATSAreLoggedOnceASecond(t *testing.T) {
	t.Parallel()
	log := &logged{}
	c := newCarrier(log.logger())
	for range 1000 {
		c.complained(nil, &nats.Subscription{Subject: "subject"}, errEnough)
	}
	if got := strings.Count(log.text(), "subject=subject"); got < 1 || got > 100 {
		t.Errorf("%d lines were logged for 1000 errors, want a few", got)
	}
	for _, err := range []error{c.publish("x", nil), func() error { _, err := c.subscribe("x"); return err }()} {
		if !errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("without a connection: got %v, want ErrUnreachable", err)
		}
	}
}

func TestFullOutboxDropsAndCounts(t *testing.T) {
	t.Parallel()
	e := newEngine(Options{Node: "a"}, &external{})
	for range outboxSize + 3 {
		e.post(letter{"x", e.packet(kindBarrier)})
	}
	if got := e.Stats().Dropped; got != 3 {
		t.Errorf("%d packets were dropped, want 3", got)
	}
}

func TestReconnectDelayGrowsAndIsBounded(t *testing.T) {
	t.Parallel()
	for attempts := range 100 {
		if got := reconnectDelay(attempts); got < 25*time.Millisecond || got > 3*time.Second {
			t.Errorf("after %d attempts: %v, want between 25 ms and 3 s", attempts, got)
		}
	}
}

func TestServerLogKeepsQuiet(t *testing.T) {
	t.Parallel()
	log := &logged{}
	l := newServerLog(log.logger(), "", "s3 cret")
	l.ctx = t.Context
	l.Noticef("notice %d", 1)
	l.Debugf("debug")
	l.Tracef("trace")
	l.Warnf("Plaintext passwords detected, use nkeys or bcrypt")
	l.Errorf("Error trying to connect to route (attempt %v): %v", 1, "refused")
	if got := log.text(); got != "" {
		t.Errorf("%q was logged, want nothing", got)
	}
	l.Warnf("warning %d", 2)
	l.Errorf("error %d at nats://u:s3%%20cret@host, s3 cret", 3)
	l.Fatalf("fatal %d", 4)
	l.Fatalf("fatal %d", 5)
	for _, want := range []string{"level=WARN", "warning 2", "level=INFO", "error 3", "level=ERROR", "fatal 4"} {
		if got := log.text(); !strings.Contains(got, want) {
			t.Errorf("%q was logged, want %q in it", got, want)
		}
	}
	if got := log.text(); strings.Contains(got, "cret@") || strings.Contains(got, "s3") {
		t.Errorf("%q was logged, want no secret", got)
	}
	<-l.died
	if got := l.fatal(); got == nil || got.Error() != "fatal 4" || l.lately() != "fatal 5" {
		t.Errorf("the server is dead because of %v, and said %q last, want the first reason and the last line", got, l.lately())
	}
}

func TestEngineWithoutANodeHasQuietOnes(t *testing.T) {
	t.Parallel()
	e := newEngine(Options{Node: "a"}, &external{})
	if got := e.node.Info(); got != nil {
		t.Errorf("Info: got %s, want nothing", got)
	}
	if _, err := e.node.Serve(t.Context(), "", "", nil); err == nil {
		t.Error("Serve: got nil, want an error")
	}
	e.node.Gap(nil)
	e.node.Changed()
	e.node.Cut(true)
}
