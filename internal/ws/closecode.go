package ws

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// The close codes of RFC 6455 §7.4 that this package uses by itself.
const (
	CodeNormal      = 1000
	CodeProtocol    = 1002
	CodeNoStatus    = 1005 // never on the wire: a close frame without a status
	CodeAbnormal    = 1006 // never on the wire: no close frame
	CodeInvalidData = 1007
	CodePolicy      = 1008
	CodeTooBig      = 1009
	CodeInternal    = 1011
)

// The causes, as CloseError.Err, of an end with CodeTooBig.
var (
	ErrMessage   = errors.New("message too big")
	ErrInflated  = errors.New("message too big once inflated")
	ErrFragments = errors.New("too many fragments")
)

// ErrClosed is returned by Send once the connection is ending, and by Accept and Dial once the Runtime is closed.
var ErrClosed = errors.New("ws: closed")

// CloseError tells how a connection ended.
type CloseError struct {
	// Code is the close code: 1005 for a close frame without a status, 1006 where no close frame was seen.
	Code int
	// Reason is the text that came with the code.
	Reason string
	// Local is true if this side closed first.
	Local bool
	// Err is the cause, where there is one beyond the code.
	Err error
}

// Error implements error.
func (e CloseError) Error() string {
	side := "peer"
	if e.Local {
		side = "this side"
	}
	text := fmt.Sprintf("ws: closed by %s: %d %q", side, e.Code, e.Reason)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e CloseError) Unwrap() error { return e.Err }

// violation is what the codec returns for a peer that breaks the protocol. The close frame has the code alone, as those of
// SocketCluster's server.
func violation(code int, why string) error { return broken(code, errors.New(why)) }

func broken(code int, why error) error { return CloseError{Code: code, Local: true, Err: why} }

// validCode reports whether a code may stand in a close frame.
func validCode(code int) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	default:
		return false
	}
}

// sendableCode gives the code that Close sends instead of one that it must not.
func sendableCode(code int) int {
	if code == CodeNoStatus || validCode(code) {
		return code
	}
	return CodeNormal
}

// cutReason shortens a reason to what a close frame can hold, between two characters, and makes it valid UTF-8.
func cutReason(reason string) string {
	const most = maxControl - 2
	if !utf8.ValidString(reason) {
		reason = string([]rune(reason))
	}
	if len(reason) <= most {
		return reason
	}
	end := most
	for !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end]
}

// parseClose reads the payload of a peer's close frame.
func parseClose(p []byte) (CloseError, error) {
	if len(p) == 0 {
		return CloseError{Code: CodeNoStatus}, nil
	}
	if len(p) == 1 {
		return CloseError{}, violation(CodeProtocol, "close frame with one octet")
	}
	code := int(binary.BigEndian.Uint16(p))
	if !validCode(code) {
		return CloseError{}, violation(CodeProtocol, "invalid close code")
	}
	if !utf8.Valid(p[2:]) {
		return CloseError{}, violation(CodeInvalidData, "close reason is not UTF-8")
	}
	return CloseError{Code: code, Reason: string(p[2:])}, nil
}
