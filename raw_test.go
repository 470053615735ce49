package skein_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/skeintest"
)

// echo sends each message back.
func echo(c *skein.RawConn) error {
	for m := range c.Messages() {
		send := c.Send
		if m.Binary {
			send = c.SendBinary
		}
		if err := send(m.Raw); err != nil {
			return err
		}
	}
	return c.Err()
}

func TestRawMessagesHaveAFormThatCanBePublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.HandleWS("/ws", func(c *skein.RawConn) error {
				for m := range c.Messages() {
					if err := c.Send(m.Data); err != nil {
						return err
					}
				}
				return nil
			})
		})
		c := srv.Conn(t, "/ws", nil)
		for in, want := range map[string]string{
			`{"hello":1}`: `{"hello":1}`, ` [1, 2] `: ` [1, 2] `, "12": "12", `"s"`: `"s"`,
			"hello": `"hello"`, "": `""`, `{"a":`: `"{\"a\":"`, "<é\u2028>": `"<é` + "\u2028" + `>"`,
		} {
			if got := ask(t, c, in); got != want {
				t.Errorf("%q: got %s, want %s", in, got, want)
			}
		}
		if err := c.SendBinary([]byte{0, 1, 2, 250}); err != nil {
			t.Fatal(err)
		}
		if got, want := next(t, c), `{"base64":true,"data":"AAEC+g=="}`; got != want {
			t.Errorf("binary: got %s, want %s", got, want)
		}
	})
}

func TestRawConnectionsEndWithWhatServeReturns(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		serve func(c *skein.RawConn) error
		want  string
	}{
		"nil":   {func(*skein.RawConn) error { return nil }, `closed with 1000 ""`},
		"error": {func(*skein.RawConn) error { return errors.New("no such room") }, `closed with 1011 "no such room"`},
		"named": {func(*skein.RawConn) error { return &skein.Error{Name: "RoomError", Message: "no such room"} }, `closed with 1011 "no such room"`},
		"panic": {func(*skein.RawConn) error { panic("oops") }, `closed with 1011 "plugin \"test\" failed"`},
		"close": {func(c *skein.RawConn) error {
			c.Close(4001, "by hand")
			return errors.New("too late to tell")
		}, `closed with 4001 "by hand"`},
		"break": {func(c *skein.RawConn) error {
			for range c.Messages() {
				break
			}
			return nil
		}, `closed with 1000 ""`},
		"sent before": {func(c *skein.RawConn) error {
			_ = c.SendJSON(map[string]int{"n": 1})
			return nil
		}, `{"n":1}`},
		"unspeakable": {func(c *skein.RawConn) error { return c.SendJSON(func() {}) }, `closed with 1011 "encode: json: unsupported type: func()"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := start(t, skein.Options{}, func(h *skein.Host) { h.HandleWS("/ws", test.serve) })
				c := srv.Conn(t, "/ws", nil)
				for i := range 3 { // what comes too late is thrown away
					_ = c.Send(strconv.Itoa(i))
				}
				if got := next(t, c); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
				pass(3 * time.Second)
				if got := srv.Stats().Conns; got != 0 && name != "sent before" {
					t.Errorf("got %d connections, want 0", got)
				}
			})
		})
	}
}

func TestErrTellsUncleanEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(c *skeintest.Conn)
		want string
	}{
		"normal":    {func(c *skeintest.Conn) { _ = c.Close(1000, "") }, "<nil>"},
		"away":      {func(c *skeintest.Conn) { _ = c.Close(1001, "") }, "<nil>"},
		"no status": {func(c *skeintest.Conn) { _ = c.Close(0, "") }, "<nil>"},
		"its own":   {func(c *skeintest.Conn) { _ = c.Close(4321, "why") }, "4321"},
		"cut":       {func(c *skeintest.Conn) { c.Terminate() }, "1006"},
		"protocol":  {func(c *skeintest.Conn) { _ = c.SendFrame(0x83, nil) }, "1002"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan string, 1)
				srv := start(t, skein.Options{}, func(h *skein.Host) {
					h.HandleWS("/ws", func(c *skein.RawConn) error {
						if err := c.Err(); err != nil {
							return fmt.Errorf("while open: %w", err)
						}
						for range c.Messages() {
							continue
						}
						<-c.Context().Done()
						ended <- fmt.Sprint(c.Err())
						return nil
					})
				})
				c := srv.Conn(t, "/ws", nil)
				synctest.Wait()
				test.end(c)
				if got := <-ended; !strings.Contains(got, test.want) {
					t.Errorf("got %s, want %s", got, test.want)
				}
			})
		})
	}
}

// A serve that only sends takes no messages, and still learns that its client has gone.
func TestServeThatOnlySendsHearsOfTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.HandleWS("/feed", func(c *skein.RawConn) error {
				<-c.Context().Done()
				close(ended)
				return c.Err()
			})
		})
		c := srv.Conn(t, "/feed", nil)
		for range 3 {
			if err := c.Send("unheard"); err != nil {
				t.Fatal(err)
			}
		}
		c.Terminate()
		<-ended
		synctest.Wait()
		if got := srv.Stats().Conns; got != 0 {
			t.Errorf("got %d connections, want 0", got)
		}
	})
}

func TestSlowServeGetsEverythingThatWasSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen journal
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.HandleWS("/ws", func(c *skein.RawConn) error {
				for m := range c.Messages() {
					pass(3 * time.Second)
					seen.note(fmt.Sprintf("%s %v", m.Raw, c.Context().Err()))
				}
				return nil
			})
		})
		c := srv.Conn(t, "/ws", nil)
		for i := range 3 {
			if err := c.Send(strconv.Itoa(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(1000, ""); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if got, want := seen.lines(), []string{"0 <nil>", "1 <nil>", "2 <nil>"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestRawEndpointsHaveTheirOwnRules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := skein.Options{Tokens: newTokens(t, authOptions(), testKey)}
		srv := start(t, o, func(h *skein.Host) {
			rules := skein.RawOptions{
				Limits: skein.Limits{MaxMessage: 10}, Origins: []string{"example.com:*"}, Protocols: []string{"v2", "v1", "bearer.*"},
				Authorize: func(ctx context.Context, r *http.Request) (*skein.Token, error) {
					signed, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
					if !ok {
						return nil, &skein.Error{Message: "show a token", Status: http.StatusTeapot}
					}
					return h.Server().Verify(ctx, signed)
				},
			}
			h.HandleWS("/ws", func(c *skein.RawConn) error {
				err := c.SendJSON([]any{c.Subprotocol(), c.Token().Claims, c.Request().URL.Path, c.RemoteAddr()})
				return errors.Join(err, echo(c))
			}, rules)
		})
		bob := "Bearer " + mint("HS256", testKey, map[string]any{"user": "bob"})
		refuse := func(header http.Header, want string) {
			t.Helper()
			c, err := srv.Upgrade(t.Context(), "/ws", header)
			if err == nil {
				c.Terminate()
			}
			if err == nil || err.Error() != want {
				t.Errorf("%v: got %v, want %s", header, err, want)
			}
		}
		origin := []string{"https://example.com"}
		refuse(http.Header{"Origin": origin}, `refused with 418 "show a token"`)
		refuse(http.Header{"Origin": origin, "Authorization": {"Bearer garbage"}}, `refused with 401 "jwt malformed"`)
		refuse(http.Header{"Authorization": {bob}, "Origin": {"https://other.example"}}, `refused with 403 "Failed to authorize socket handshake - Invalid origin: https://other.example"`)
		refuse(http.Header{"Authorization": {bob}}, `refused with 403 "Failed to authorize socket handshake - Invalid origin: *"`)
		for offered, want := range map[string]string{"v1, v2": "v2", "v1": "v1", "v3": "", "": "", "x, bearer.abc": "bearer.abc"} {
			header := http.Header{"Origin": origin, "Authorization": {bob}}
			if offered != "" {
				header.Set("Sec-WebSocket-Protocol", offered)
			}
			c := srv.Conn(t, "/ws", header)
			if got := c.Header.Get("Sec-WebSocket-Protocol"); got != want {
				t.Errorf("offered %q: agreed on %q, want %q", offered, got, want)
			}
			if got, want := next(t, c), fmt.Sprintf(`[%q,{"user":"bob"},"/ws","memory"]`, want); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if got := ask(t, c, "0123456789"); got != "0123456789" {
				t.Errorf("got %s, want the message back", got)
			}
			if got := ask(t, c, "01234567890"); !strings.HasPrefix(got, "closed with 1009 ") {
				t.Errorf("got %s, want a close with 1009", got)
			}
		}
	})
}

func TestRawConnectionsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/ws", "/rpc"} {
		synctest.Test(t, func(t *testing.T) { // which begins at a whole second
			o := skein.Options{Tokens: newTokens(t, auth.Options{Leeway: time.Second}, testKey)}
			srv := start(t, o, func(h *skein.Host) {
				rules := skein.RawOptions{Authorize: func(ctx context.Context, r *http.Request) (*skein.Token, error) {
					if r.URL.Query().Get("token") == "" {
						return nil, nil //nolint:nilnil // everybody is let in, without a token
					}
					return h.Server().Verify(ctx, r.URL.Query().Get("token"))
				}}
				h.HandleWS("/ws", echo, rules)
				skein.HandleMessages(h, "/rpc", func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil }, rules)
			})
			ends := srv.Conn(t, path+"?token="+issue(map[string]any{"exp": time.Now().Unix() + 5}), nil)
			stays := []*skeintest.Conn{srv.Conn(t, path, nil), srv.Conn(t, path+"?token="+issue(map[string]any{}), nil)}
			pass(5500 * time.Millisecond)
			if got := ask(t, ends, "1"); got != "1" {
				t.Errorf("%s: got %s, want that it is open within the leeway", path, got)
			}
			pass(time.Second)
			if got, want := next(t, ends), `closed with 4500 "the token has expired"`; got != want {
				t.Errorf("%s: got %s, want %s", path, got, want)
			}
			for _, c := range stays {
				if got := ask(t, c, "1"); got != "1" {
					t.Errorf("%s: got %s, want that one without an end stays", path, got)
				}
			}
		})
	}
}

func TestPlainRequestsToWebSocketsAreToldWhatToDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(h *skein.Host) { h.HandleWS("/ws", echo) })
		for path, want := range map[string]int{"/ws": 426, "/socketcluster/": 426, "/socketcluster": 404, "/socketcluster/x": 404, "/ws/": 404, "/": 404} {
			r, err := srv.HTTP().Get("http://memory" + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(r.Body) // its length says whether it was read
			_ = r.Body.Close()
			if r.StatusCode != want || len(body) == 0 {
				t.Errorf("%s: got %d %q, want %d and a reason", path, r.StatusCode, body, want)
			}
			if want == 426 && r.Header.Get("Upgrade") != "websocket" {
				t.Errorf("%s: got Upgrade %q, want websocket", path, r.Header.Get("Upgrade"))
			}
		}
		_, err := srv.Upgrade(t.Context(), "/ws", http.Header{"Sec-Websocket-Version": {"8"}})
		if status := new(skeintest.RefusedError); !errors.As(err, &status) || status.Status != 426 || status.Header.Get("Sec-WebSocket-Version") != "13" {
			t.Errorf("got %v, want 426 with the version", err)
		}
	})
}

type question struct {
	Room string `json:"room"`
	Age  int    `json:"age"`
}

func rooms(h *skein.Host) {
	skein.HandleMessages(h, "/ask", func(_ context.Context, in question) (map[string]any, error) {
		switch in.Room {
		case "":
			return nil, &skein.Error{Name: "RoomError", Message: "which room?", Status: 422}
		case "panic":
			panic("oops")
		}
		return map[string]any{"room": in.Room, "age": in.Age}, nil
	})
	skein.HandleMessages(h, "/quiet", func(context.Context, json.RawMessage) (skein.Nothing, error) { return skein.Nothing{}, nil })
}

func TestHandleMessagesAnswersEachMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, rooms)
		c := srv.Conn(t, "/ask", nil)
		for _, step := range []struct{ in, want string }{
			{`{"room":"a","age":3}`, `{"age":3,"room":"a"}`},
			{`{}`, `{"error":{"message":"which room?","name":"RoomError"}}`},
			{`{"room":1}`, `{"error":{"message":"the field \"room\" is a number where a string is expected","name":"InvalidArgumentsError"}}`},
			{`hello`, `{"error":{"message":"the data is a string where an object is expected","name":"InvalidArgumentsError"}}`},
			{`{"room":"panic"}`, `{"error":{"message":"plugin \"test\" failed","name":"PluginError","plugin":"test"}}`},
			{`{"room":"still"}`, `{"age":0,"room":"still"}`},
		} {
			if got := ask(t, c, step.in); got != step.want {
				t.Errorf("%s: got %s, want %s", step.in, got, step.want)
			}
		}
		quiet := srv.Conn(t, "/quiet", nil)
		if got := ask(t, quiet, "anything"); got != "" {
			t.Errorf("got %s, want nothing", got)
		}
		if err := c.Close(1000, ""); err != nil {
			t.Fatal(err)
		}
		if got := next(t, c); got != `closed with 1000 ""` {
			t.Errorf("got %s, want the close answered", got)
		}
	})
}

func TestHandleMessagesAnswersPosts(t *testing.T) {
	t.Parallel()
	srv := start(t, skein.Options{}, rooms)
	for body, want := range map[string]string{
		`{"room":"a","age":3}`: `200 {"age":3,"room":"a"}`,
		`{}`:                   `422 {"error":{"message":"which room?","name":"RoomError"}}`,
		`{"roon":"a"}`:         `400 {"error":{"message":"there is no field \"roon\"; there are room, age","name":"InvalidArgumentsError"}}`,
		`{"room":"panic"}`:     `500 {"error":{"message":"plugin \"test\" failed","name":"PluginError","plugin":"test"}}`,
	} {
		if got := inject(t, srv, http.MethodPost, "/ask", body); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
	if got := inject(t, srv, http.MethodPost, "/quiet", "1"); got != "200 {}" {
		t.Errorf("got %s, want 200 {}", got)
	}
}

// Who may not connect may not post either.
func TestPostsAreAuthorizedAsConnectionsAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{Tokens: newTokens(t, authOptions(), testKey)}, func(h *skein.Host) {
			h.OnUpgrade(func(_ context.Context, e *skein.Event) error {
				if e.Request.Header.Get("X-Banned") != "" {
					return errors.New("banned")
				}
				return nil
			})
			skein.HandleMessages(h, "/who", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				return skein.TokenFrom(ctx).Claims, nil
			}, skein.RawOptions{Origins: []string{"*:*"}, Authorize: func(ctx context.Context, r *http.Request) (*skein.Token, error) {
				return h.Server().Verify(ctx, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			}})
		})
		bob := "Bearer " + mint("HS256", testKey, map[string]any{"user": "bob"})
		for name, test := range map[string]struct {
			header http.Header
			want   string
		}{
			"a token":    {http.Header{"Authorization": {bob}}, `200 {"user":"bob"}`},
			"none":       {http.Header{}, `401 {"error":{"message":"jwt must be provided","name":"AuthTokenInvalidError","isBadToken":true}}`},
			"a bad one":  {http.Header{"Authorization": {"Bearer x"}}, `401 {"error":{"message":"jwt malformed","name":"AuthTokenInvalidError","isBadToken":true}}`},
			"the hook's": {http.Header{"Authorization": {bob}, "X-Banned": {"yes"}}, `401 {"error":{"message":"banned"}}`},
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://memory/who", strings.NewReader("1"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = test.header
			answer := srv.Inject(r)
			body, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if got := fmt.Sprintf("%d %s", answer.StatusCode, body); err != nil || got != test.want {
				t.Errorf("%s: got %s, %v, want %s", name, got, err, test.want)
			}
		}
		c := srv.Conn(t, "/who", http.Header{"Authorization": {bob}})
		if got := ask(t, c, "1"); got != `{"user":"bob"}` {
			t.Errorf("over the connection: got %s, want bob", got)
		}
		if skein.TokenFrom(t.Context()) != nil {
			t.Error("a test has a token")
		}
	})
}

// inject returns status and body of the answer to a request.
func inject(t *testing.T, srv *skeintest.Server, method, path, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://memory"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer := srv.Inject(r)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, strings.TrimSpace(string(text)))
}

// Behind a message that waits for the end of the connection stands the next one, and behind that the end.
func TestRawConnectionThatWaitsForItsEndHearsOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.HandleWS("/ws", func(c *skein.RawConn) error {
				defer close(ended)
				for range c.Messages() {
					<-c.Context().Done()
				}
				return nil
			})
		})
		c := srv.Conn(t, "/ws", nil)
		for range 2 {
			if err := c.Send("x"); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		c.Terminate()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Errorf("it still runs, and there are %d connections", srv.Stats().Conns)
		}
	})
}
