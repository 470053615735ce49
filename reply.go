package skein

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// lingering is how long a refused client may still send: closed at once, its TCP would throw the answer away.
const lingering = 500 * time.Millisecond

// reply answers a request for an upgrade: the connection is taken over, or gets a refusal and ends.
type reply struct {
	front   *front
	entrant *entrant
	early   []byte
	header  http.Header
	status  int
	body    bytes.Buffer
	taken   bool
}

// Header is for the handler, as are the following ones.
func (w *reply) Header() http.Header { return w.header }

// WriteHeader takes the first final status.
func (w *reply) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
}

// Write keeps the body of a refusal.
func (w *reply) Write(p []byte) (int, error) {
	if w.taken {
		return 0, http.ErrHijacked
	}
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// Hijack gives the connection away.
func (w *reply) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.taken {
		return nil, nil, http.ErrHijacked
	}
	w.taken = true
	w.front.server.doorman.watch(w.entrant, http.StateHijacked)
	r := bufio.NewReaderSize(bytes.NewReader(w.early), len(w.early))
	_, _ = r.Peek(len(w.early)) // so that it is buffered, where the taker looks for it
	return w.entrant.Conn, bufio.NewReadWriter(r, bufio.NewWriterSize(w.entrant.Conn, 1)), nil
}

// end sends a refusal and ends the connection, unless it was taken.
func (w *reply) end() {
	if w.taken {
		return
	}
	defer w.front.end(w.entrant)
	if w.status == 0 {
		w.status = http.StatusInternalServerError
	}
	if !slices.ContainsFunc(headerTokens(w.header.Values("Connection")), func(t string) bool { return t == "close" }) {
		w.header.Add("Connection", "close")
	}
	w.header.Set("Content-Length", strconv.Itoa(w.body.Len()))
	w.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	answer := bytes.NewBufferString("HTTP/1.1 " + strconv.Itoa(w.status) + " " + http.StatusText(w.status) + "\r\n")
	_ = w.header.Write(answer) // memory takes everything
	answer.WriteString("\r\n")
	answer.Write(w.body.Bytes())
	if w.entrant.SetDeadline(time.Now().Add(lingering)) != nil {
		return
	}
	if _, err := w.entrant.Write(answer.Bytes()); err != nil {
		return
	}
	if half, ok := w.entrant.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, w.entrant.Conn) // until the client has closed too, or the time is over
	}
}
