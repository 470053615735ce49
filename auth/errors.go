package auth

import "time"

const (
	nameInvalid   = "AuthTokenInvalidError"
	nameExpired   = "AuthTokenExpiredError"
	nameNotBefore = "AuthTokenNotBeforeError"
)

// Error says why a token was not accepted. Name and Message are those that a
// SocketCluster server sends; Message holds nothing of the token.
type Error struct {
	// Name is "AuthTokenInvalidError", "AuthTokenExpiredError" or
	// "AuthTokenNotBeforeError".
	Name string
	// Message is the text for it, as "jwt expired".
	Message string
	// Expiry is the token's exp, when it has passed.
	Expiry time.Time
	// Date is the token's nbf, when it is to come.
	Date time.Time
	// Bad tells the client to forget the token. It is true but for a token
	// that becomes good later.
	Bad bool
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

func invalid(message string) *Error {
	return &Error{Name: nameInvalid, Message: message, Bad: true}
}
