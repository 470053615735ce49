package ws

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 §4.2.2 wants it; it guards nothing
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	keySize = 16
	keyGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

	// answerWait bounds the writing of the handshake's answer, which fits into any socket buffer.
	answerWait = 5 * time.Second
)

// UpgradeError is a refused opening handshake: what a server answers, or what a client was answered.
type UpgradeError struct {
	// Status is the HTTP status.
	Status int
	// Header is what the answer needs beyond the usual; of an answer received, all of it.
	Header http.Header
	// Message is the body: plain text when sent, its first few KB when received.
	Message string
}

// Error implements error.
func (e *UpgradeError) Error() string {
	return fmt.Sprintf("ws: handshake refused: %d %s", e.Status, e.Message)
}

// Write answers the request with the refusal and ends the HTTP connection.
func (e *UpgradeError) Write(w http.ResponseWriter) {
	h := w.Header()
	maps.Copy(h, e.Header)
	h.Set("Connection", "close")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(e.Message)))
	w.WriteHeader(e.Status)
	_, _ = io.WriteString(w, e.Message) // nobody is left to tell of an error
}

// IsUpgrade reports whether the request asks for a WebSocket at all, well or badly.
func IsUpgrade(r *http.Request) bool {
	return hasToken(r.Header, "Upgrade", "websocket") && hasToken(r.Header, "Connection", "Upgrade")
}

// CheckUpgrade validates an opening handshake (RFC 6455 §4.2.1) and gives the refusal, or nil. It writes nothing.
func CheckUpgrade(r *http.Request) *UpgradeError {
	switch {
	case r.Method != http.MethodGet:
		return refuse(http.StatusMethodNotAllowed, "GET only", "Allow", http.MethodGet)
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return refuse(http.StatusHTTPVersionNotSupported, "HTTP/1.1 only")
	case r.Host == "":
		return refuse(http.StatusBadRequest, "no Host")
	case !IsUpgrade(r):
		return refuse(http.StatusUpgradeRequired, "WebSocket only", "Upgrade", "websocket")
	case !isOnly(r.Header[headerVersion], "13"):
		return refuse(http.StatusUpgradeRequired, "WebSocket version 13 only", "Upgrade", "websocket", headerVersion, "13")
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return refuse(http.StatusBadRequest, "no body allowed")
	case !validKey(r.Header[headerKey]):
		return refuse(http.StatusBadRequest, "Sec-WebSocket-Key must be 16 octets in base64")
	}
	return nil
}

func refuse(status int, message string, header ...string) *UpgradeError {
	e := &UpgradeError{Status: status, Message: message, Header: make(http.Header, len(header)/2)}
	for i := 0; i+1 < len(header); i += 2 {
		e.Header.Set(header[i], header[i+1])
	}
	return e
}

func isOnly(values []string, want string) bool { return len(values) == 1 && values[0] == want }

func validKey(values []string) bool {
	if len(values) != 1 {
		return false
	}
	key, err := base64.StdEncoding.Strict().DecodeString(values[0])
	return err == nil && len(key) == keySize
}

// acceptKey is the server's proof that it has read the key (RFC 6455 §4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + keyGUID)) //nolint:gosec // as above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Accept checks the handshake, takes the connection over from the HTTP server and answers 101. A refusal is an
// *UpgradeError, which nothing has been written of yet. Nothing is read before Start.
func (r *Runtime) Accept(w http.ResponseWriter, req *http.Request, o Options) (*Conn, error) {
	if refusal := CheckUpgrade(req); refusal != nil {
		return nil, refusal
	}
	nc, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, &UpgradeError{Status: http.StatusInternalServerError, Message: "cannot take the connection over"}
	}
	early := make([]byte, buffered.Reader.Buffered())
	_, _ = buffered.Read(early) // it is there
	protocol := chooseProtocol(req.Header, o.Protocols)
	extension, window := "", 0
	if o.Compression {
		extension, window = answerDeflate(req.Header)
	}
	if err := answer(nc, req.Header.Get(headerKey), protocol, extension); err != nil {
		_ = nc.Close() // already failing
		return nil, fmt.Errorf("answer the handshake: %w", err)
	}
	return r.adopt(nc, terms{early: early, protocol: protocol, window: window}, o)
}

// answer writes the 101.
func answer(nc net.Conn, key, protocol, extension string) error {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
	b.WriteString(acceptKey(key))
	if protocol != "" {
		b.WriteString("\r\nSec-WebSocket-Protocol: " + protocol)
	}
	if extension != "" {
		b.WriteString("\r\nSec-WebSocket-Extensions: " + extension)
	}
	b.WriteString("\r\n\r\n")
	if err := nc.SetDeadline(time.Now().Add(answerWait)); err != nil {
		return err
	}
	if _, err := nc.Write(b.Bytes()); err != nil {
		return err
	}
	return nc.SetDeadline(time.Time{})
}
