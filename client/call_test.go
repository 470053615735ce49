package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/internal/wire"
)

// constant is a procedure that always returns the same.
func constant(v any) client.Procedure {
	return func(context.Context, json.RawMessage) (any, error) { return v, nil }
}

func TestCallReturnsWhatTheServerAnswers(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		for _, tt := range []struct {
			data any
			want string // "-": nothing
		}{
			{nil, "-"},
			{json.RawMessage(nil), "-"},
			{json.RawMessage("null"), "null"},
			{json.RawMessage(` {"a": 1.0} `), `{"a": 1.0}`},
			{map[string]string{"html": "<&>"}, `{"html":"<&>"}`},
			{"\u2028", `"\u2028"`},
			{client.Binary([]byte{0, 1, 255}), `{"base64":true,"data":"AAH/"}`},
			{[]int{}, "[]"},
		} {
			got, err := c.Call(t.Context(), "echo", tt.data)
			if err != nil {
				t.Errorf("%v: %v", tt.data, err)
			}
			if got == nil {
				got = json.RawMessage("-")
			}
			if string(got) != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		}
	})
}

func TestTypedCallDecodesTheResult(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		type point struct{ X, Y int }
		if got, err := client.Call[point](t.Context(), c, "echo", point{1, 2}); err != nil || got != (point{1, 2}) {
			t.Errorf("got %v, %v; want {1 2}", got, err)
		}
		if got, err := client.Call[*int](t.Context(), c, "echo", nil); err != nil || got != nil {
			t.Errorf("got %v, %v; want nothing", got, err)
		}
		if _, err := client.Call[int](t.Context(), c, "echo", "text"); err == nil || !strings.Contains(err.Error(), `"echo"`) {
			t.Errorf("got %v, want an error about the result", err)
		}
	})
}

func TestDataThatIsNoJSONIsNotSent(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		for _, bad := range []any{json.RawMessage(`{"a":`), func() {}} {
			for name, err := range map[string]error{
				"call": second(c.Call(t.Context(), "x", bad)), "publish": c.Publish(t.Context(), "x", bad),
				"transmit": c.Transmit("x", bad), "transmitPublish": c.TransmitPublish("x", bad),
			} {
				if err == nil {
					t.Errorf("%s: %v was sent", name, bad)
				}
			}
		}
		s.last().want(1)
	})
}

func TestErrorsOfTheServerAreReturnedWhole(t *testing.T) {
	for raw, want := range map[string]client.Error{
		`{"message":"m","name":"N","a":1}`: {Name: "N", Message: "m", Props: map[string]any{"a": 1.0}},
		`{"message":"m"}`:                  {Message: "m"},
		`"text"`:                           {Message: "text"},
		`42`:                               {Message: "42"},
		`{}`:                               {},
		`{"name":5,"message":[]}`:          {},
	} {
		t.Run(raw, func(t *testing.T) {
			bubble(t, func(s *server) {
				t := s.t
				s.on = func(c *session, p wire.Packet) bool {
					if p.Kind == wire.Event {
						c.failure(p, raw)
					}
					return p.Kind == wire.Event
				}
				c := s.dial(client.Options{})
				_, err := c.Call(t.Context(), "fail", nil)
				e, ok := errors.AsType[*client.Error](err)
				if !ok || e.Name != want.Name || e.Message != want.Message || fmt.Sprint(e.Props) != fmt.Sprint(want.Props) {
					t.Errorf("got %#v (%v), want %#v", e, err, want)
				}
			})
		})
	}
}

func TestCallsAreAnsweredInAnyOrder(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		var asked []wire.Packet
		s.on = func(_ *session, p wire.Packet) bool {
			p.CID, p.Data = slices.Clone(p.CID), slices.Clone(p.Data)
			asked = append(asked, p)
			return p.Kind == wire.Event
		}
		c := s.dial(client.Options{})
		var calls []<-chan string
		for i := range 10 {
			calls = append(calls, background(func() string {
				got, err := c.Call(t.Context(), "x", i)
				return fmt.Sprint(string(got), err)
			}))
		}
		asked = asked[1:]
		for _, p := range slices.Backward(asked) {
			s.last().result(p, string(p.Data))
		}
		for i, call := range calls {
			if got, want := take(t, call), fmt.Sprint(i, "<nil>"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
}

func TestCallEndsWithItsContextOrTheUsualTimeOut(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{CallTimeout: 4 * time.Second})
		begun := time.Now()
		_, err := c.Call(t.Context(), "blackhole", nil)
		if got := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || got != 4*time.Second {
			t.Errorf("got %v after %v, want a time-out after 4s", err, got)
		}
		begun = time.Now()
		_, err = c.Call(contextOf(t, 9*time.Second), "blackhole", nil)
		if got := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || got != 9*time.Second {
			t.Errorf("got %v after %v, want a time-out after 9s", err, got)
		}
		s.last().text(`{"rid":2,"data":"late"}`)
		if got, err := c.Call(t.Context(), "echo", 1); err != nil || string(got) != "1" {
			t.Errorf("got %s, %v; want 1", got, err)
		}
	})
}

func TestCallIsNotSentTwice(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		err := background(func() error { return c.Publish(t.Context(), "x", 1) })
		_ = take(t, err)
		s.on = func(_ *session, p wire.Packet) bool { return p.Kind == wire.Publish }
		err = background(func() error { return c.Publish(t.Context(), "x", 2) })
		idle(t, err)
		s.last().conn.Close(1005, "")
		got := take(t, err)
		e, ok := errors.AsType[*client.CloseError](got)
		if !errors.Is(got, client.ErrDisconnected) || !ok || e.Code != 1005 {
			t.Errorf("got %v, want ErrDisconnected because of 1005", got)
		}
		s.last().want(1)
	})
}

func TestCallWaitsForTheConnectionAndTransmitDoesNot(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		s.last().conn.Terminate()
		synctest.Wait()
		for _, err := range []error{c.Transmit("x", nil), c.TransmitPublish("x", nil)} {
			if !errors.Is(err, client.ErrDisconnected) {
				t.Errorf("got %v, want ErrDisconnected", err)
			}
		}
		if _, err := c.Call(contextOf(t, time.Second), "echo", 1); !errors.Is(err, client.ErrDisconnected) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrDisconnected and a time-out", err)
		}
		if got, err := c.Call(contextOf(t, time.Minute), "echo", 1); err != nil || string(got) != "1" {
			t.Errorf("got %s, %v; want 1", got, err)
		}
		s.last().want(1, `{"event":"echo","data":1,"cid":3}`)
	})
}

func TestPublishIsAcknowledgedBehindTheOwnCopy(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		sub := subscribe(t, c, "x")
		if err := c.Publish(t.Context(), "x", map[string]int{"a": 1}); err != nil {
			t.Fatal(err)
		}
		if err := c.Publish(t.Context(), "x", nil); err != nil {
			t.Fatal(err)
		}
		if err := c.TransmitPublish("x", 2); err != nil {
			t.Fatal(err)
		}
		if err := c.Transmit("note", "n"); err != nil {
			t.Fatal(err)
		}
		wantItems(t, sub.Stream, `{"a":1}`, "", "2")
		s.last().want(2,
			`{"event":"#publish","data":{"channel":"x","data":{"a":1}},"cid":3}`,
			`{"event":"#publish","data":{"channel":"x"},"cid":4}`,
			`{"event":"#publish","data":{"channel":"x","data":2}}`,
			`{"event":"note","data":"n"}`)
		s.on = func(c *session, p wire.Packet) bool {
			c.failure(p, `{"message":"Client publish feature is disabled","name":"InvalidActionError"}`)
			return true
		}
		err := c.Publish(t.Context(), "x", 3)
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Name != "InvalidActionError" {
			t.Errorf("got %v, want InvalidActionError", err)
		}
	})
}

func TestFullOutboxMakesCallsWaitAndTransmitsFail(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		hold := make(chan struct{})
		s.on = func(_ *session, p wire.Packet) bool {
			if p.Event == "hang" {
				<-hold
			}
			return false
		}
		c := s.dial(client.Options{Outbox: 256 << 10})
		half := strings.Repeat("x", 200<<10)
		_ = c.Transmit("hang", nil)
		synctest.Wait()
		var err error
		for n := 0; err == nil; n++ {
			if n > 1000 {
				t.Fatal("the outbox has no end")
			}
			err = c.Transmit("x", half)
			synctest.Wait()
		}
		if !errors.Is(err, client.ErrBusy) {
			t.Fatalf("got %v, want ErrBusy", err)
		}
		if err := c.Transmit("x", half+half); !errors.Is(err, client.ErrTooLarge) {
			t.Errorf("got %v, want ErrTooLarge", err)
		}
		if _, err := c.Call(t.Context(), "x", half+half); !errors.Is(err, client.ErrTooLarge) {
			t.Errorf("got %v, want ErrTooLarge", err)
		}
		if err := c.Publish(contextOf(t, time.Second), "x", half); !errors.Is(err, client.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrBusy and a time-out", err)
		}
		published := background(func() error { return c.Publish(contextOf(t, 5*time.Second), "x", half) })
		idle(t, published)
		close(hold)
		after(time.Second)
		if err := take(t, published); err != nil {
			t.Errorf("publish: %v", err)
		}
		if got := len(s.attempts()); got != 1 {
			t.Errorf("dialled %d times, want once", got)
		}
	})
}

func TestProceduresAnswerTheServer(t *testing.T) {
	bubble(t, func(s *server) {
		c := s.dial(client.Options{})
		c.Handle("echo", func(_ context.Context, data json.RawMessage) (any, error) { return data, nil })
		c.Handle("nothing", constant(nil))
		c.Handle("fail", func(context.Context, json.RawMessage) (any, error) {
			return nil, fmt.Errorf("wrapped: %w", &client.Error{Name: "MyError", Message: "m", Props: map[string]any{"p": []int{1}}})
		})
		c.Handle("plain", func(context.Context, json.RawMessage) (any, error) { return nil, errors.New("oops") })
		c.Handle("panic", func(context.Context, json.RawMessage) (any, error) { panic("secret") })
		c.Handle("bad", constant(func() {}))
		c.Handle("worse", func(context.Context, json.RawMessage) (any, error) {
			return nil, &client.Error{Name: "X", Message: "m", Props: map[string]any{"f": func() {}}}
		})
		c.Handle("gone", constant(1))
		c.Handle("gone", nil)
		for _, tt := range []struct{ call, want string }{
			{`{"event":"echo","data":{"a": 1},"cid":1}`, `{"rid":1,"data":{"a": 1}}`},
			{`{"event":"echo","cid":1.5}`, `{"rid":1.5}`},
			{`{"event":"nothing","cid":2}`, `{"rid":2}`},
			{`{"event":"fail","cid":3}`, `{"rid":3,"error":{"message":"m","name":"MyError","p":[1]}}`},
			{`{"event":"plain","cid":4}`, `{"rid":4,"error":{"message":"oops"}}`},
			{`{"event":"panic","cid":5}`, `{"rid":5,"error":{"message":"The procedure panicked","name":"InternalError"}}`},
			{`{"event":"bad","cid":6}`, `{"rid":6,"error":{"message":"encode data: json: unsupported type: func()"}}`},
			{`{"event":"worse","cid":7}`, `{"rid":7,"error":{"message":"X: m"}}`},
			{`{"event":"gone","cid":8}`, `{"rid":8,"error":{"message":"No procedure \"gone\"","name":"UnknownProcedureError"}}`},
		} {
			before := len(s.last().received())
			s.last().text(tt.call)
			s.last().want(before, tt.want)
		}
	})
}

func TestProcedureMayCallTheServerAndCloseTheClient(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		closed := make(chan error, 1)
		c.Handle("leave", func(ctx context.Context, _ json.RawMessage) (any, error) {
			got, err := c.Call(ctx, "echo", 1)
			if err != nil || string(got) != "1" {
				t.Errorf("got %s, %v; want 1", got, err)
			}
			closed <- c.Close()
			return nil, nil
		})
		s.last().text(`{"event":"leave","cid":1}`)
		<-c.Done()
		if err := take(t, closed); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func TestProcedureEndsWithItsConnection(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		causes := make(chan error, 2)
		c.Handle("wait", func(ctx context.Context, _ json.RawMessage) (any, error) {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return "too late", nil
		})
		s.last().text(`{"event":"wait","cid":1}`)
		s.last().conn.Close(1005, "")
		if e, ok := errors.AsType[*client.CloseError](take(t, causes)); !ok || e.Code != 1005 {
			t.Errorf("got %v, want code 1005", e)
		}
		s.last().want(1)
		s.last().text(`{"event":"wait","cid":1}`)
		synctest.Wait()
		closeClient(c)
		_ = take(t, causes)
	})
}

func TestDoneWaitsForProceduresAndCloseDoesNot(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		hold := make(chan struct{})
		c.Handle("stubborn", func(context.Context, json.RawMessage) (any, error) {
			<-hold
			return nil, nil
		})
		s.last().text(`{"event":"stubborn","cid":1}`)
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		idle(t, c.Done())
		close(hold)
		<-c.Done()
	})
}

func TestProceduresAreBounded(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		hold := make(chan struct{})
		c.Handle("slow", func(context.Context, json.RawMessage) (any, error) {
			<-hold
			return nil, nil
		})
		for i := range 130 {
			s.last().text(fmt.Sprintf(`{"event":"slow","cid":%d}`, i+1))
		}
		s.last().want(1,
			`{"rid":129,"error":{"message":"Too many calls at once","name":"ResourceLimitError"}}`,
			`{"rid":130,"error":{"message":"Too many calls at once","name":"ResourceLimitError"}}`)
		close(hold)
		if got := len(s.last().received()); got != 131 {
			t.Errorf("%d messages, want 131", got)
		}
	})
}

func TestResultThatIsTooLargeIsAnErrorForTheServer(t *testing.T) {
	bubble(t, func(s *server) {
		c := s.dial(client.Options{Outbox: 1 << 10})
		c.Handle("large", constant(strings.Repeat("x", 2000)))
		s.last().text(`{"event":"large","cid":1}`)
		s.last().want(1, `{"rid":1,"error":{"message":"The result was not sent","name":"InternalError"}}`)
	})
}

func TestReceiveStreamsEventsUntilClosed(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{Queue: 10 * 129})
		a, b, other := c.Receive("tick"), c.Receive("tick"), c.Receive("tock")
		for i := range 3 {
			s.last().text(fmt.Sprintf(`{"event":"tick","data":%d}`, i))
		}
		wantItems(t, a, "0", "1", "2")
		a.Close()
		s.last().conn.Close(1005, "")
		for i := range 12 {
			s.last().text(fmt.Sprintf(`{"event":"tick","data":%d}`, i%10))
		}
		wantItems(t, a)
		wantItems(t, b, "<overflow>", "2", "3", "4", "5", "6", "7", "8", "9", "0", "1")
		wantItems(t, other)
		if !errors.Is(a.Err(), client.ErrUnsubscribed) || b.Dropped() != 5 {
			t.Errorf("got %v and %d dropped, want unsubscribed and 5", a.Err(), b.Dropped())
		}
		b.Close()
		s.last().text(`{"event":"tick"}`)
		s.last().want(1)
	})
}
