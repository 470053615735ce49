package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/plugin/api"
	"github.com/skeinrt/skein/skeintest"
)

// FuzzBodies posts a body to each path. What is answered is always JSON, an error has a name and a message, and what is
// published is what encoding/json reads out of the body.
func FuzzBodies(f *testing.F) {
	for _, body := range []string{
		`{"channel":"a","data":1}`, `{"channels":["a","b"],"data":null}`, `{"channel":"a","channels":[],"data":1}`, `{"channel":"a"}`, "", "[]",
		`{"channel":"a","data":1}{}`, `{"channel":"a","data":"\ud800"}`, `{"Channel":"a","DATA":[1, 2]}`, `{"user":"ann"}`,
		`{"user":"ann","claims":{"username":"ann"}}`, `{"session":"x","channel":"a","message":"m"}`, `{"tokenId":"1","code":4500,"reason":"r"}`,
		`{"user":"a","code":-1}`, `{"user":"a","code":1e3}`, "{\"channel\":\"\xff\",\"data\":1}",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		synctest.Test(t, func(t *testing.T) {
			d := &diary{}
			srv := skeintest.Start(t, skein.Options{}, api.New(), d.plugin())
			for _, path := range []string{"disconnect", "kick", "set-token", "remove-token"} {
				isDone(t, srv, path, body)
			}
			if isDone(t, srv, "publish", body) {
				checkPublished(t, body, d.read())
			} else if got := d.read(); len(got) > 0 && !slices.Contains(got, "") && json.Valid(body) && !partly(body) {
				t.Fatalf("%q was refused, and %q published", body, got)
			}
		})
	})
}

// isDone checks the form of an answer, and reports whether it was a good one.
func isDone(t *testing.T, srv *skeintest.Server, path string, body []byte) bool {
	t.Helper()
	a := call{method: http.MethodPost, path: "/api/" + path, body: string(body)}.do(t, srv)
	good := a.status == http.StatusOK
	if good == (a.Error.Name != "" && a.Error.Message != "") || a.status >= http.StatusInternalServerError {
		t.Fatalf("%s %q: got %d %q", path, body, a.status, a.text)
	}
	return good
}

// asked is what encoding/json reads out of a body.
func asked(body []byte) (channels []string, data json.RawMessage) {
	var in struct {
		Channel  *string
		Channels []string
		Data     json.RawMessage
	}
	if json.Unmarshal(body, &in) != nil {
		return nil, nil
	}
	if in.Channel != nil {
		in.Channels = append(in.Channels, *in.Channel)
	}
	return in.Channels, in.Data
}

// partly reports whether a body names several channels, of which some can be refused.
func partly(body []byte) bool {
	channels, _ := asked(body)
	return len(channels) > 1
}

func checkPublished(t *testing.T, body []byte, got []string) {
	t.Helper()
	channels, data := asked(body)
	var want []string
	for _, channel := range channels {
		want = append(want, fmt.Sprintf("%s %s api", channel, data))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%q: %q was published, want %q", body, got, want)
	}
}
