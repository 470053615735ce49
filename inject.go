package skein

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// Inject serves a request without a network, for tests, and returns the response with its body read. The server must
// have been started. An upgrade cannot be injected: package skeintest connects in memory.
func (s *Server) Inject(r *http.Request) *http.Response {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	if r.RequestURI == "" {
		r.RequestURI = r.URL.RequestURI()
	}
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	rec := &recorder{header: http.Header{}}
	s.ServeHTTP(rec, r)
	rec.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: fmt.Sprintf("%d %s", rec.status, http.StatusText(rec.status)), StatusCode: rec.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: rec.sent, Request: r,
		Body: io.NopCloser(&rec.body), ContentLength: int64(rec.body.Len()),
	}
}

// recorder is a ResponseWriter that keeps the response.
type recorder struct {
	header, sent http.Header
	status       int
	body         bytes.Buffer
}

// Header is what the handler fills.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader keeps the first status and the header as it is then.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status, r.sent = status, r.header.Clone()
	}
}

// Write keeps the body.
func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}
