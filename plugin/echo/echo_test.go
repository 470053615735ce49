package echo_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/plugin/echo"
	"github.com/skeinrt/skein/skeintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := skeintest.Start(t, skein.Options{}, echo.New()).Conn(t, "/echo", nil)
		for _, text := range []string{"", "plain", `{"json":true}`, "ünïcode"} {
			if err := c.Send(text); err != nil {
				t.Fatal(err)
			}
			m, err := c.Read()
			if err != nil || m.Binary || string(m.Data) != text {
				t.Errorf("got %q, binary %v, %v, want the text %q", m.Data, m.Binary, err, text)
			}
		}
		data := []byte{0, 255, 1}
		if err := c.SendBinary(data); err != nil {
			t.Fatal(err)
		}
		if m, err := c.Read(); err != nil || !m.Binary || !bytes.Equal(m.Data, data) {
			t.Errorf("got %v, binary %v, %v, want the binary %v", m.Data, m.Binary, err, data)
		}
	})
}

func TestMessageMayBeLargerThanTheServersLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := skein.Options{Limits: skein.Limits{MaxMessage: 1000, Inbox: 1000, Outbox: 1000}}
		c := skeintest.Start(t, o, echo.New()).Conn(t, "/echo", nil)
		large := strings.Repeat("x", 3<<20)
		sent := make(chan error, 1)
		go func() { sent <- c.Send(large) }()
		m, err := c.Read()
		if err != nil || len(m.Data) != len(large) {
			t.Errorf("got %d bytes, %v, want %d", len(m.Data), err, len(large))
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

func TestMessageOverItsOwnLimitCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := skeintest.Start(t, skein.Options{}, &echo.Plugin{MaxMessage: 10}).Conn(t, "/echo", nil)
		if err := c.Send(strings.Repeat("x", 11)); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read()
		if e := (*skeintest.CloseError)(nil); !errors.As(err, &e) || e.Code != 1009 {
			t.Errorf("got %v, want a close with 1009", err)
		}
	})
}

func TestPathAndOriginsAreOptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{}, &echo.Plugin{Path: "/mirror", Origins: []string{"app.example:*"}})
		srv.Conn(t, "/mirror", http.Header{"Origin": {"https://app.example"}})
		_, err := srv.Upgrade(t.Context(), "/mirror", http.Header{"Origin": {"https://other.example"}})
		if refused, ok := errors.AsType[*skeintest.RefusedError](err); !ok || refused.Status != http.StatusForbidden {
			t.Errorf("got %v, want 403", err)
		}
	})
}

func TestClientGoesCleanly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := skeintest.Start(t, skein.Options{}, echo.New()).Conn(t, "/echo", nil)
		if err := c.Close(1000, "bye"); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read()
		if e := (*skeintest.CloseError)(nil); !errors.As(err, &e) || e.Code != 1000 {
			t.Errorf("got %v, want the close echoed with 1000", err)
		}
	})
}

func TestCompressionIsAgreedOnWhereAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		offer := http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}}
		on := skeintest.Start(t, skein.Options{}, &echo.Plugin{Compression: true}).Conn(t, "/echo", offer)
		if got := on.Header.Get("Sec-Websocket-Extensions"); !strings.HasPrefix(got, "permessage-deflate") {
			t.Errorf("got the extensions %q, want permessage-deflate", got)
		}
		off := skeintest.Start(t, skein.Options{}, echo.New()).Conn(t, "/echo", offer)
		if got := off.Header.Get("Sec-Websocket-Extensions"); got != "" {
			t.Errorf("got the extensions %q, want none by default", got)
		}
	})
}

func TestBadOptionsAreNamed(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]*echo.Plugin{
		"path":       {Path: "echo"},
		"maxMessage": {MaxMessage: -1},
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that names %s", err, want)
		}
	}
	if err := echo.New().Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}
