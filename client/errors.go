package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

var (
	// ErrClosed is returned by everything once the client has ended.
	ErrClosed = errors.New("client closed")
	// ErrDisconnected says that there is no connection, or that it was lost before the answer: what was asked may
	// or may not have been done.
	ErrDisconnected = errors.New("not connected")
	// ErrBusy says that the network takes what is sent more slowly than it comes; nothing was sent.
	ErrBusy = errors.New("outgoing queue is full")
	// ErrTooLarge says that a packet is larger than the outgoing queue; nothing was sent.
	ErrTooLarge = errors.New("larger than the outgoing queue")
	// ErrUnsubscribed is why a Stream ended that was closed by its owner.
	ErrUnsubscribed = errors.New("unsubscribed")

	errGivenUp = errors.New("the caller's context is done")
)

// Error is an error that the server answered, or one that a procedure of ours answers.
type Error struct {
	// Name is the kind of the error, like InvalidActionError; it may be empty.
	Name string
	// Message says what is wrong.
	Message string
	// Props are the error's further properties.
	Props map[string]any
}

// Error returns the name and the message.
func (e *Error) Error() string {
	if e.Name == "" {
		return e.Message
	}
	return e.Name + ": " + e.Message
}

// parseError reads an error as servers send it: mostly an object, but JavaScript can throw anything.
func parseError(raw json.RawMessage) *Error {
	var props map[string]any
	if json.Unmarshal(raw, &props) != nil {
		return &Error{Message: text(raw)}
	}
	e := &Error{Props: props}
	e.Name, _ = props["name"].(string)
	e.Message, _ = props["message"].(string)
	delete(props, "name")
	delete(props, "message")
	if len(props) == 0 {
		e.Props = nil
	}
	return e
}

// errorJSON is the form in which err goes to the server.
func errorJSON(err error) (json.RawMessage, error) {
	props := map[string]any{}
	message := err.Error()
	if e, ok := errors.AsType[*Error](err); ok {
		maps.Copy(props, e.Props)
		message = e.Message
		if e.Name != "" {
			props["name"] = e.Name
		}
	}
	props["message"] = message
	return encode(props)
}

// explain puts the refusal of an upgrade into words: what was answered, without a page of HTML, and which path may have
// been meant.
func (c *Client) explain(err error) error {
	if refusal, ok := errors.AsType[*ws.UpgradeError](err); ok {
		return &refusedError{url: c.cfg.URL, answer: refusal}
	}
	return err
}

// refusedError is a server's answer that is no WebSocket.
type refusedError struct {
	url    string
	answer *ws.UpgradeError
}

func (e *refusedError) Error() string {
	s := fmt.Sprintf("dial %q: refused with %d %s", ws.Shown(e.url), e.answer.Status, http.StatusText(e.answer.Status))
	if e.answer.Status < http.StatusBadRequest {
		s = fmt.Sprintf("dial %q: answered with %d %s, not with a WebSocket", ws.Shown(e.url), e.answer.Status, http.StatusText(e.answer.Status))
	}
	if line := e.line(); line != "" {
		s += ": " + line
	}
	if meant := e.meant(); meant != "" {
		s += fmt.Sprintf("; did you mean %s?", meant)
	}
	return s
}

func (e *refusedError) Unwrap() error { return e.answer }

// line is what the server says for people to read: one line of text. Anything else is for browsers or programs.
func (e *refusedError) line() string {
	const longest = 200
	kind, _, _ := mime.ParseMediaType(e.answer.Header.Get("Content-Type"))
	text := e.answer.Message
	if kind != "text/plain" || len(text) > longest || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return ""
	}
	return text
}

// meant is the usual endpoint of the server, where there seems to be none at the URL.
func (e *refusedError) meant() string {
	u, err := url.Parse(e.url)
	status := e.answer.Status
	isElsewhere := status < http.StatusBadRequest || status == http.StatusNotFound || status == http.StatusMethodNotAllowed
	if err != nil || !isElsewhere || u.Path == defaultPath {
		return ""
	}
	u.Path, u.RawPath, u.RawQuery = defaultPath, "", ""
	return ws.Shown(u.String())
}

// CloseError says how a connection ended.
type CloseError struct {
	// Code is the close code; 1005: none was given, 1006: there was no closing handshake.
	Code int
	// Reason is what the other side said about it.
	Reason string
	// Err is the cause below the WebSocket, if there is one.
	Err error
}

// Error returns the code, the reason and the cause.
func (e *CloseError) Error() string {
	s := fmt.Sprintf("connection closed with code %d", e.Code)
	if e.Reason != "" {
		s += fmt.Sprintf(" (%q)", e.Reason)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *CloseError) Unwrap() error { return e.Err }

// KickError says that the server took the client out of a channel.
type KickError struct {
	// Message is the reason given, if any.
	Message string
}

// Error says so.
func (e *KickError) Error() string {
	if e.Message == "" {
		return "kicked out"
	}
	return "kicked out: " + e.Message
}

// encode returns the JSON text of v. Nil is undefined, which has no text; raw JSON passes through as it is.
func encode(v any) (json.RawMessage, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		if len(v) > 0 && !wire.Valid(v) {
			return nil, errors.New("data is not valid JSON")
		}
		return v, nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode data: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// text returns a JSON string's value, and anything else as it is written.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	return s
}
