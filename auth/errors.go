package auth

import "time"

const (
	nameInvalid   = "AuthTokenInvalidError"
	nameExpired   = "AuthTokenExpiredError"
	nameNotBefore = "AuthTokenNotBeforeError"
	nameOther     = "AuthTokenError"
)

// Reason says in one word why a token was refused. It is for operators: what
// clients see is the error's name and message, which tell less, and never which
// keys there are.
type Reason string

// The reasons, in the order in which a token is checked. In brackets the message,
// where the name is AuthTokenInvalidError.
const (
	// ReasonMissing: there is no token ("jwt must be provided").
	ReasonMissing Reason = "missing"
	// ReasonLength: it has more than 64 KiB ("jwt malformed").
	ReasonLength Reason = "length"
	// ReasonParts: it has not three parts, as encrypted tokens ("jwt malformed").
	ReasonParts Reason = "parts"
	// ReasonEncoding: a part is not base64url, or not as it must be written: it has
	// padding, white space, or bits set in its last digit that say nothing
	// ("invalid token"; "invalid signature" for the bits of a signature).
	ReasonEncoding Reason = "encoding"
	// ReasonHeader: the header is not a JSON object, or kid or typ not a text
	// ("invalid token").
	ReasonHeader Reason = "header"
	// ReasonCritical: it has crit, or a payload that is not in base64
	// ("invalid token").
	ReasonCritical Reason = "critical"
	// ReasonPayload: the payload is not a JSON object in UTF-8, or is deeper than
	// 64, or is a token itself ("invalid token").
	ReasonPayload Reason = "payload"
	// ReasonDuplicate: header or payload has a member twice, of which others may
	// take another one ("invalid token").
	ReasonDuplicate Reason = "duplicate"
	// ReasonUnsigned: the signature is empty ("jwt signature is required").
	ReasonUnsigned Reason = "unsigned"
	// ReasonAlgorithm: no key is for its alg ("invalid algorithm").
	ReasonAlgorithm Reason = "algorithm"
	// ReasonSignature: no key that alg and kid allow has signed it
	// ("invalid signature").
	ReasonSignature Reason = "signature"
	// ReasonKeys: the source of keys could not be asked whether it has the key. The
	// name is AuthTokenError, and the client keeps the token.
	ReasonKeys Reason = "keys"
	// ReasonDate: exp, nbf or iat is not a number ("invalid exp value").
	ReasonDate Reason = "date"
	// ReasonNotBefore: nbf is to come. The name is AuthTokenNotBeforeError, and the
	// client keeps the token.
	ReasonNotBefore Reason = "not-before"
	// ReasonExpired: exp has passed. The name is AuthTokenExpiredError.
	ReasonExpired Reason = "expired"
	// ReasonNoExpiry: it has no exp, and must have one ("jwt expiry is required").
	ReasonNoExpiry Reason = "no-expiry"
	// ReasonFuture: iat is more than five minutes ahead, so that no revocation of
	// what was issued before a time would meet it. The name is
	// AuthTokenNotBeforeError, and the client keeps the token.
	ReasonFuture Reason = "future"
	// ReasonUndated: it has no iat, and must have one ("jwt iat is required").
	ReasonUndated Reason = "undated"
	// ReasonLifetime: it is good for longer than MaxLifetime
	// ("jwt lifetime is too long").
	ReasonLifetime Reason = "lifetime"
	// ReasonAudience: aud does not have the Audience ("jwt audience invalid").
	ReasonAudience Reason = "audience"
	// ReasonIssuer: iss is not the Issuer ("jwt issuer invalid").
	ReasonIssuer Reason = "issuer"
)

// Error says why a token was not accepted. Name and Message are those that a
// SocketCluster server sends; Message holds nothing of the token.
type Error struct {
	// Name is "AuthTokenInvalidError", "AuthTokenExpiredError",
	// "AuthTokenNotBeforeError", or "AuthTokenError" where the keys are not known.
	Name string
	// Message is the text for it, as "jwt expired".
	Message string
	// Reason says it more exactly.
	Reason Reason
	// Expiry is the token's exp, when it has passed.
	Expiry time.Time
	// Date is the token's nbf, or its iat, when it is to come.
	Date time.Time
	// Bad tells the client to forget the token. It is true but for a token
	// that becomes good later, or may do so.
	Bad bool
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

func invalid(why Reason, message string) *Error {
	return &Error{Name: nameInvalid, Message: message, Reason: why, Bad: true}
}
