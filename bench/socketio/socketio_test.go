package socketio

import (
	"fmt"
	"slices"
	"testing"
)

func TestMessagesAreThoseOfTheProtocol(t *testing.T) {
	t.Parallel()
	var p Protocol
	for _, c := range []struct{ got, want string }{
		{string(p.Hello()), `40`},
		{string(p.Subscribe("a", 2)), `422["join","a"]`},
		{string(p.Subscribe(`a"b`, 17)), `4217["join","a\"b"]`},
		{string(p.Publish("a", "text", 0)), `42["publish","a","text"]`},
		{string(p.Publish("a", "text", 1_000_000_000)), `421000000000["publish","a","text"]`},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestAnswersAreTold(t *testing.T) {
	t.Parallel()
	for message, want := range map[string][]string{
		`0{"sid":"x","pingInterval":25000}`: nil,
		`40{"sid":"y"}`:                     {"1 <nil>"},
		`44{"message":"not you"}`:           {`1 {"message":"not you"}`},
		`432[]`:                             {"2 <nil>"},
		`431000000001[{"a":1}]`:             {"1000000001 <nil>"},
		`42["bench0","432[]"]`:              nil,
		`43[]`:                              nil,
		`4`:                                 nil,
		`2`:                                 nil,
		``:                                  nil,
	} {
		var got []string
		Protocol{}.Answers([]byte(message), func(call uint64, refused error) { got = append(got, fmt.Sprint(call, " ", refused)) })
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", message, got, want)
		}
	}
}

func TestPingsAreAnswered(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]bool{"2": true, "2probe": false, "": false, "3": false, `42["2"]`: false} {
		if answer, ok := (Protocol{}).Pong([]byte(message)); ok != want || ok && string(answer) != "3" {
			t.Errorf("%q: got %q, %v, want an answer: %v", message, answer, ok, want)
		}
	}
}
