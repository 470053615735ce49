package skeintest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func ends() (*end, *end) { return pipe(addr("near"), addr("far")) }

func TestWritesGoIntoTheBuffer(t *testing.T) {
	t.Parallel()
	a, b := ends()
	if n, err := a.Write(make([]byte, pipeBuffer)); n != pipeBuffer || err != nil {
		t.Fatalf("got %d, %v, want %d", n, err, pipeBuffer)
	}
	if err := a.SetWriteDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("into a full buffer: got %d, %v, want 0, %v", n, err, os.ErrDeadlineExceeded)
	}
	if n, err := io.ReadFull(b, make([]byte, pipeBuffer)); n != pipeBuffer || err != nil {
		t.Errorf("got %d, %v, want %d", n, err, pipeBuffer)
	}
}

func TestWriteWaitsForTheReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := ends()
		done := make(chan error, 1)
		go func() {
			_, err := a.Write(make([]byte, 2*pipeBuffer))
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("the write did not wait: %v", err)
		default:
		}
		if _, err := io.ReadFull(b, make([]byte, 2*pipeBuffer)); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("got %v, want nil", err)
		}
	})
}

func TestDeadlinesEndWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := ends()
		began := time.Now()
		if err := a.SetDeadline(began.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("got %v after %v, want %v after 1m", err, time.Since(began), os.ErrDeadlineExceeded)
		}
		late := make(chan error, 1)
		go func() {
			_, err := b.Read(make([]byte, 1))
			late <- err
		}()
		synctest.Wait()
		_ = b.SetReadDeadline(time.Now()) // net/http ends a waiting Read like this
		if err := <-late; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want %v", err, os.ErrDeadlineExceeded)
		}
	})
}

func TestClosedEndsSaySo(t *testing.T) {
	t.Parallel()
	a, b := ends()
	if _, err := a.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	_ = a.CloseWrite()
	if got, err := io.ReadAll(b); string(got) != "last" || err != nil {
		t.Errorf("got %q, %v, want last", got, err)
	}
	if _, err := b.Write([]byte("back")); err != nil {
		t.Errorf("the other direction has ended too: %v", err)
	}
	_ = a.Close()
	for name, act := range map[string]struct {
		fn   func([]byte) (int, error)
		want error
	}{
		"read here": {a.Read, net.ErrClosed}, "write here": {a.Write, net.ErrClosed},
		"read there": {b.Read, io.EOF}, "write there": {b.Write, io.ErrClosedPipe},
	} {
		if _, err := act.fn(make([]byte, 1)); !errors.Is(err, act.want) {
			t.Errorf("%s: got %v, want %v", name, err, act.want)
		}
	}
	if a.LocalAddr() != b.RemoteAddr() || a.RemoteAddr() != b.LocalAddr() {
		t.Error("the ends disagree about their addresses")
	}
}

// half is a conn whose server has sent these octets and gone.
func half(data ...byte) *Conn {
	a, b := ends()
	_, _ = b.Write(data)
	_ = b.CloseWrite()
	return &Conn{nc: a}
}

func TestConnUnderstandsFrames(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		octets []byte
		want   string
	}{
		"text":        {[]byte{0x81, 2, 'h', 'i'}, "hi"},
		"fragments":   {[]byte{0x01, 1, 'h', 0x8a, 0, 0x80, 1, 'i'}, "hi"},
		"behind ping": {[]byte{0x89, 1, 'p', 0x81, 2, 'h', 'i'}, "hi"},
		"16 bits":     {[]byte{0x81, 126, 0, 2, 'h', 'i'}, "hi"},
		"64 bits":     {[]byte{0x81, 127, 0, 0, 0, 0, 0, 0, 0, 2, 'h', 'i'}, "hi"},
		"close":       {[]byte{0x88, 4, 0x0f, 0xa1, 'n', 'o'}, `closed with 4001 "no"`},
		"bare close":  {[]byte{0x88, 0}, `closed with 1005 ""`},
		"half":        {[]byte{0x81, 9, 'h'}, `closed with 1006 ""`},
		"half length": {[]byte{0x81, 126, 0}, `closed with 1006 ""`},
		"nothing":     {nil, `closed with 1006 ""`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, read := range map[string]func(*Conn) (Message, error){
				"Read":    (*Conn).Read,
				"TryRead": func(c *Conn) (Message, error) { m, _, err := c.TryRead(); return m, err },
			} {
				m, err := read(half(test.octets...))
				got := string(m.Data)
				if err != nil {
					got = err.Error()
				}
				if got != test.want {
					t.Errorf("%s: got %q, want %q", how, got, test.want)
				}
			}
		})
	}
}

func TestUpgradeNeedsAnAnswer(t *testing.T) {
	t.Parallel()
	a, b := ends()
	_ = b.Close()
	if _, err := Upgrade(t.Context(), a, "/", nil); err == nil {
		t.Error("a closed connection was upgraded")
	}
	if _, err := Upgrade(t.Context(), a, "/ %zz", nil); err == nil {
		t.Error("a bad path was asked for")
	}
	if _, err := Upgrade(t.Context(), &net.TCPConn{}, "/", nil); err == nil {
		t.Error("a connection of another kind was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	silent, _ := ends()
	time.AfterFunc(time.Millisecond, cancel)
	if _, err := Upgrade(ctx, silent, "/", http.Header{}); err == nil {
		t.Error("a silent server has answered")
	}
}
