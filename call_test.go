package skein_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
)

func TestReplyComesAheadOfWhatTheProcedureDoesNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			skein.Procedure(h, "leave", func(ctx context.Context, s *skein.Session, in json.RawMessage) (json.RawMessage, error) {
				err := skein.Reply(ctx, in)
				s.Disconnect(4200, "as asked")
				return json.RawMessage(`"ignored"`), err
			})
		})
		c, _ := open(t, srv, "/socketcluster/")
		if got, want := ask(t, c, `{"event":"leave","data":"bye","cid":2}`), `{"rid":2,"data":"bye"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := next(t, c), `closed with 4200 "as asked"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestReplyIsForOneCallAndJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if err := skein.Reply(t.Context(), nil); err == nil {
			t.Error("got no error outside of a procedure")
		}
		var errs []error
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			skein.Procedure(h, "twice", func(ctx context.Context, _ *skein.Session, _ json.RawMessage) (json.RawMessage, error) {
				errs = []error{skein.Reply(ctx, json.RawMessage(`{`)), skein.Reply(ctx, nil), skein.Reply(ctx, nil)}
				return nil, errors.New("nobody hears of it")
			})
		})
		c, _ := open(t, srv, "/socketcluster/")
		if got, want := ask(t, c, `{"event":"twice","cid":2}`), `{"rid":2}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := next(t, c); got != "" {
			t.Errorf("got a second answer: %s", got)
		}
		if errs[0] == nil || errs[1] != nil || errs[2] == nil {
			t.Errorf("got %v, want errors of the first, which is not JSON, and of the third", errs)
		}
	})
}

func TestCallOfTheClientWaitsForTheContextsDeadline(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		deadline, took time.Duration
	}{
		"the endpoint's without one": {0, time.Second},
		"a shorter one":              {300 * time.Millisecond, 300 * time.Millisecond},
		"a longer one":               {5 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := start(t, skein.Options{Endpoints: []skein.Endpoint{{CallTimeout: time.Second}}}, func(*skein.Host) {})
				_, s := open(t, srv, "/socketcluster/")
				ctx := t.Context()
				if tc.deadline > 0 {
					limited, cancel := context.WithTimeout(ctx, tc.deadline)
					defer cancel()
					ctx = limited
				}
				began := time.Now()
				_, err := s.Call(ctx, "silence", nil)
				if !errors.Is(err, &skein.Error{Name: skein.NameTimeout}) {
					t.Errorf("got error %v, want one of name %s", err, skein.NameTimeout)
				}
				if took := time.Since(began); took != tc.took {
					t.Errorf("got it after %v, want %v", took, tc.took)
				}
			})
		})
	}
}

func TestCallOfTheClientEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(*skein.Host) {})
		c, s := open(t, srv, "/socketcluster/")
		ended := make(chan error, 1)
		go func() {
			_, err := s.Call(s.Context(), "silence", nil)
			ended <- err
		}()
		synctest.Wait()
		c.Terminate()
		if err := <-ended; !errors.Is(err, &skein.Error{Name: skein.NameBadConnection}) {
			t.Errorf("got %v, want an error of name %s", err, skein.NameBadConnection)
		}
	})
}

// One batch holds the log-in and what needs it: a client need not wait for the answer in between.
func TestWhatAQuickProcedureDoesIsDoneForTheNextPacket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			skein.Procedure(h, "login", func(ctx context.Context, s *skein.Session, _ json.RawMessage) (skein.Nothing, error) {
				return skein.Nothing{}, s.SetToken(ctx, map[string]string{"user": "bob"}, skein.TokenOptions{})
			})
			h.OnSubscribe("members", func(_ context.Context, e *skein.Event) error {
				if e.Session.Token() == nil {
					return errors.New("members only")
				}
				return nil
			})
		})
		c, _ := open(t, srv, "/socketcluster/")
		token := ask(t, c, `[{"event":"login","cid":2},{"event":"#subscribe","data":{"channel":"members"},"cid":3}]`)
		wantContains(t, token, `{"event":"#setAuthToken"`)
		for _, want := range []string{`{"rid":2}`, `{"rid":3}`} {
			if got := next(t, c); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
}

func TestSlowProceduresOfASessionRunAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const calls = 100
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			skein.Procedure(h, "slow", func(ctx context.Context, _ *skein.Session, in json.RawMessage) (json.RawMessage, error) {
				timer := time.NewTimer(time.Second)
				defer timer.Stop()
				select {
				case <-timer.C:
					return in, nil
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				}
			})
		})
		c, _ := open(t, srv, "/socketcluster/")
		began := time.Now()
		for i := range calls {
			if err := c.Send(`{"event":"slow","cid":` + strconv.Itoa(i+2) + `}`); err != nil {
				t.Fatal(err)
			}
		}
		for got := 0; got < calls; {
			m, err := c.Read()
			if err != nil {
				t.Fatalf("after %d answers: %v", got, err)
			}
			if text := string(m.Data); text != "" && text != "#1" {
				got++
			}
		}
		// The first one only is waited for, and not for long.
		if took := time.Since(began); took < time.Second || took > time.Second+2*time.Millisecond {
			t.Errorf("got %d answers after %v, want 1s", calls, took)
		}
	})
}

// Clients up to 14 look for the close code of a refusal in data, and leave with 4003 where there is none.
func TestRefusedHandshakeTellsOldClientsItsCode(t *testing.T) {
	t.Parallel()
	for protocol, data := range map[skein.Protocol]string{skein.Detect: `,"data":{"code":4501}`, skein.V1: `,"data":{"code":4501}`, skein.V2: ""} {
		synctest.Test(t, func(t *testing.T) {
			srv := start(t, skein.Options{Endpoints: []skein.Endpoint{{Protocol: protocol}}}, func(h *skein.Host) {
				h.OnHandshake(func(context.Context, *skein.Event) error {
					return &skein.Error{Name: "Banned", Message: "stay away", Code: 4501}
				})
			})
			c := srv.Conn(t, "/socketcluster/", nil)
			got := ask(t, c, `{"event":"#handshake","cid":1}`)
			if want := `{"rid":1,"error":{"message":"stay away","name":"Banned","statusCode":4501}` + data + `}`; got != want {
				t.Errorf("protocol %d: got %s, want %s", protocol, got, want)
			}
			if got, want := next(t, c), `closed with 4501 ""`; got != want {
				t.Errorf("protocol %d: got %s, want %s", protocol, got, want)
			}
		})
	}
}
