package skein

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/skeinrt/skein/internal/wire"
)

// Close codes beyond RFC 6455, as SocketCluster's clients know them and a few of our own.
// Clients reconnect after all of them, except after CloseNormal and those from 4500 up.
const (
	CloseNormal           = 1000 // the default of Session.Disconnect
	CloseGoingAway        = 1001 // the server leaves; clients return after a pause
	CloseNoStatus         = 1005 // a close frame without a code: clients return at once
	CloseAbnormal         = 1006 // the connection broke; never on the wire
	CloseTooBig           = 1009 // a message beyond Limits.MaxMessage, Depth or Batch
	ClosePongTimeout      = 4001 // the client was silent for Ping.Timeout
	CloseSignFailed       = 4002 // a token could not be signed
	CloseHandshakeTimeout = 4005 // no #handshake within Endpoint.HandshakeTimeout
	CloseRefused          = 4008 // the handshake was refused or malformed
	CloseBeforeHandshake  = 4009 // something else came before #handshake
	CloseSlow             = 4100 // the client reads too slowly: Limits.Outbox or Limits.Stall
	CloseRate             = 4101 // too fast: Limits.Rates, Options.Rates
	CloseConns            = 4102 // too many sessions of the user: ConnLimits.PerUser
	CloseRevoked          = 4500 // access was withdrawn; the client stays away
)

// Error names that reach clients, as SocketCluster spells them.
const (
	NameInvalidAction   = "InvalidActionError"
	NameBroker          = "BrokerError"
	NameSilentlyBlocked = "SilentMiddlewareBlockedError"
	NameTokenExpired    = "AuthTokenExpiredError"
	NameAuth            = "AuthError"
	NameAuthToken       = "AuthTokenError" //nolint:gosec // the name of an error
	NameTimeout         = "TimeoutError"
	NameBadConnection   = "BadConnectionError"
	NameInvalidArgument = "InvalidArgumentsError"
	NamePlugin          = "PluginError"
	NameUnknownCall     = "UnknownProcedureError"
	NameOrigin          = "OriginError"
	NameRateLimit       = "RateLimitError"     // too often: Limits.Rates, Options.Rates
	NameResourceLimit   = "ResourceLimitError" // too many at once
	NameTokenRevoked    = "AuthTokenRevokedError"
	NameRevocations     = "RevocationLimitError"
)

// Errors of the server's own life.
var (
	ErrStarted = errors.New("the server has been started")
	ErrStopped = errors.New("the server is not running")
)

// Error is an error that reaches the client with its name and properties, as a JavaScript error would. A hook or a
// procedure that returns one decides what the client sees; any other error is sent as its text alone.
type Error struct {
	// Name is what the client sees as error.name; "" leaves it out.
	Name string
	// Message is what the client sees as error.message.
	Message string
	// Props are further fields of the client's error. They must encode as JSON.
	Props map[string]any
	// Code is the close code when a handshake is refused. 0 is CloseRefused.
	Code int
	// Status is the HTTP status when an upgrade or an API request is refused. 0 is 401 for upgrades, 403 elsewhere.
	Status int
	// BadToken tells the client to forget its token; of OnAuthenticate.
	BadToken bool
	// Silent keeps all of it from the client, which sees only NameSilentlyBlocked.
	Silent bool
}

// Error returns name and message.
func (e *Error) Error() string {
	if e.Name == "" {
		return e.Message
	}
	return e.Name + ": " + e.Message
}

// Is reports whether target is the same *Error or one with the same name and no message.
func (e *Error) Is(target error) bool {
	t, ok := errors.AsType[*Error](target)
	return ok && (t == e || t.Message == "" && t.Name != "" && t.Name == e.Name)
}

// ErrorText is an error whose form on the wire is the bare string.
type ErrorText string

// Error returns the text.
func (e ErrorText) Error() string { return string(e) }

// Silent refuses without telling the client why: it gets SilentMiddlewareBlockedError where it waits for an answer,
// and nothing where it does not.
func Silent() error { return &Error{Name: NameSilentlyBlocked, Silent: true} }

// MarshalJSON encodes the error as the wire has it: message, name, code, then the properties in the order of their names.
func (e *Error) MarshalJSON() ([]byte, error) {
	b := append([]byte(`{"message":`), wire.AppendString(nil, e.Message)...)
	if e.Name != "" {
		b = append(append(b, `,"name":`...), wire.AppendString(nil, e.Name)...)
	}
	if e.Code != 0 {
		b = appendField(b, "statusCode", e.Code)
	}
	if e.BadToken {
		b = append(b, `,"isBadToken":true`...)
	}
	for _, key := range sortedKeys(e.Props) {
		if key != "message" && key != "name" {
			b = appendField(b, key, e.Props[key])
		}
	}
	return append(b, '}'), nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// appendField appends one member; a value that cannot be encoded is left out, since the error itself must get through.
func appendField(b []byte, key string, value any) []byte {
	v, err := json.Marshal(value)
	if err != nil {
		return b
	}
	b = append(append(b, ','), wire.AppendString(nil, key)...)
	return append(append(b, ':'), v...)
}

// errorJSON is the wire form of what a hook, a procedure or the server itself returned.
func errorJSON(err error) json.RawMessage {
	if e, ok := errors.AsType[*Error](err); ok {
		b, _ := e.MarshalJSON() // never fails
		return b
	}
	if text, ok := errors.AsType[ErrorText](err); ok {
		return wire.AppendString(nil, string(text))
	}
	return append(wire.AppendString([]byte(`{"message":`), err.Error()), '}')
}

// refusal is the error of a hook as the client may see it: silent ones are replaced by their stand-in.
func refusal(err error, action, line string) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || !e.Silent {
		return err
	}
	return &Error{
		Name:    NameSilentlyBlocked,
		Message: "The " + action + " AGAction was blocked by " + line + " middleware",
		Props:   map[string]any{"type": line},
		Code:    e.Code, Status: e.Status,
	}
}

func invalidAction(message string) *Error { return &Error{Name: NameInvalidAction, Message: message} }

func brokerError(message string) *Error { return &Error{Name: NameBroker, Message: message} }
