package api

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAnswerThatDoesNotEncodeIsAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body   any
		status int
		text   string
	}{
		{map[string]any{"sessions": 1}, http.StatusOK, `{"sessions":1}` + "\n"},
		{
			map[string]any{"rate": math.NaN()},
			http.StatusInternalServerError,
			`{"error":{"message":"the answer cannot be encoded: json: unsupported value: NaN","name":"EncodingError"}}` + "\n",
		},
	} {
		w := httptest.NewRecorder()
		reply(w, http.StatusOK, c.body)
		if w.Code != c.status || w.Body.String() != c.text || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("got %d %q, want %d %q", w.Code, w.Body, c.status, c.text)
		}
	}
}
