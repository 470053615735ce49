package ws

import (
	"cmp"
	"net/http"
	"slices"
	"testing"
)

func TestOffersOfCompressionAreHonouredOrDeclined(t *testing.T) {
	t.Parallel()
	const plain = deflateOffer
	for _, tc := range []struct{ offer, want string }{
		{"permessage-deflate", plain},
		{" permessage-deflate ; server_no_context_takeover", plain},
		{"permessage-deflate; client_no_context_takeover", plain},
		{"permessage-deflate; client_max_window_bits", plain},
		{"permessage-deflate; client_max_window_bits=10", plain},
		{`permessage-deflate; client_max_window_bits="10"`, plain},
		{"permessage-deflate; server_max_window_bits=15", plain + "; server_max_window_bits=15"},
		{"permessage-deflate; server_max_window_bits=8", plain + "; server_max_window_bits=8"},
		{"permessage-deflate; server_max_window_bits=9; server_no_context_takeover", plain + "; server_max_window_bits=9"},
		{"permessage-deflate; server_max_window_bits=9, permessage-deflate", plain + "; server_max_window_bits=9"},
		{"permessage-deflate; server_max_window_bits=7, permessage-deflate", plain},
		{"x-unknown, permessage-deflate; client_max_window_bits", plain},
		{"permessage-deflate; server_max_window_bits=7", ""},
		{"permessage-deflate; server_max_window_bits=16", ""},
		{"permessage-deflate; server_max_window_bits", ""},
		{"permessage-deflate; server_max_window_bits=abc", ""},
		{"permessage-deflate; server_max_window_bits=015", ""},
		{"permessage-deflate; client_max_window_bits=99", ""},
		{"permessage-deflate; client_max_window_bits=", ""},
		{"permessage-deflate; unknown", ""},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", ""},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits", ""},
		{"permessage-deflate; server_no_context_takeover=1", ""},
		{"permessage-deflate;", ""},
		{"x-webkit-deflate-frame", ""},
		{",,;=;,__proto__; =", ""},
		{"", ""},
	} {
		h := http.Header{headerExtensions: {tc.offer}}
		got, window := answerDeflate(h)
		if got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.offer, got, tc.want)
		}
		want := 0
		if got != "" {
			named, _ := parseDeflate(got)
			want = cmp.Or(named.serverBits, maxWindow)
		}
		if window != want {
			t.Errorf("%q: got a window of %d bits, want %d", tc.offer, window, want)
		}
	}
	two := http.Header{headerExtensions: {"permessage-deflate; server_max_window_bits=16", "permessage-deflate"}}
	if got, _ := answerDeflate(two); got != plain {
		t.Errorf("two headers: got %q, want %q", got, plain)
	}
}

func TestAnswersAboutCompressionAreJudged(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		answer     []string
		agreed, ok bool
	}{
		{nil, false, true},
		{[]string{deflateOffer}, true, true},
		{[]string{"permessage-deflate; server_no_context_takeover"}, true, true},
		{[]string{deflateOffer + "; server_max_window_bits=9"}, true, true},
		{[]string{"permessage-deflate"}, true, false}, // it would keep its context
		{[]string{deflateOffer + "; client_max_window_bits=9"}, true, false},
		{[]string{deflateOffer, deflateOffer}, true, false},
		{[]string{"x-other"}, true, false},
	} {
		agreed, ok := acceptDeflate(http.Header{headerExtensions: tc.answer})
		if agreed != tc.agreed || ok != tc.ok {
			t.Errorf("%q: got agreed %v, ok %v, want %v, %v", tc.answer, agreed, ok, tc.agreed, tc.ok)
		}
	}
}

func TestSubprotocolIsTheFirstOfOursThatIsOffered(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		offered []string
		ours    []string
		want    string
	}{
		{nil, []string{"a"}, ""},
		{[]string{"a, b"}, nil, ""},
		{[]string{"a, b"}, []string{"b", "a"}, "b"},
		{[]string{"a", "b"}, []string{"c", "b"}, "b"},
		{[]string{"A"}, []string{"a"}, ""},
		{[]string{"x,,  ,y"}, []string{"y"}, "y"},
	} {
		if got := chooseProtocol(http.Header{headerProtocol: tc.offered}, tc.ours); got != tc.want {
			t.Errorf("%q, ours %q: got %q, want %q", tc.offered, tc.ours, got, tc.want)
		}
	}
}

func TestListsAreSplitAtCommasOutsideQuotes(t *testing.T) {
	t.Parallel()
	got := listItems([]string{` a ;x="1,2" , b,`, "", "c"})
	if want := []string{`a ;x="1,2"`, "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzNegotiation(f *testing.F) {
	f.Add("permessage-deflate; server_max_window_bits=9, permessage-deflate")
	f.Add(`a;b="c,`)
	f.Fuzz(func(t *testing.T, offer string) {
		answer, window := answerDeflate(http.Header{headerExtensions: {offer}})
		if answer == "" {
			return
		}
		if agreed, ok := acceptDeflate(http.Header{headerExtensions: {answer}}); !agreed || !ok {
			t.Fatalf("%q: got the answer %q, which a client refuses", offer, answer)
		}
		if window < minWindow || window > maxWindow {
			t.Fatalf("%q: got a window of %d bits", offer, window)
		}
	})
}
