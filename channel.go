package skein

import (
	"fmt"
	"slices"
	"time"
)

// ChannelOptions are for the channels that a pattern matches: an exact name, or a prefix ended by one "*".
type ChannelOptions struct {
	// Pattern of the channels' names. The first entry that matches a channel counts.
	Pattern string
	// MaxDelay is how long a message may wait at each subscriber for others, with which it then leaves in one send. Few
	// milliseconds make a channel with hundreds of messages a second several times cheaper. Answers and control frames do
	// not wait, and take with them what does. 0 sends at once; at most 1 s.
	MaxDelay time.Duration
	// Slow says what happens to the messages of the channel for a session that does not take what it is sent. The zero
	// value closes it.
	Slow SlowPolicy
	// EndWithToken lets only sessions with a token subscribe, and ends the subscription with the session's authentication:
	// when its token expires, is removed or is revoked. Another token in its place does not end it. Without this,
	// subscriptions stay, as in SocketCluster.
	EndWithToken bool
}

const longestDelay = time.Second

// SlowPolicy says which messages of a channel a session may miss when it is behind: from the moment at which sending to it
// would block, until it has taken all that waits for it. Until then Limits.Outbox bounds what waits, of which messages that
// may be dropped have 15 sixteenths, and each counts with 128 bytes more for its place. A session that is not behind misses
// nothing, unless a burst is four times as large as that before the server has come to send it.
//
// The order within a channel stays. Answers, control frames, events and messages of channels with SlowClose are never
// dropped, and for them any of the others give way, the oldest first; nor is a message that has begun to leave. If what is
// never dropped exceeds Limits.Outbox by itself, or nothing is taken for Limits.Stall, the session is closed with CloseSlow.
//
// The event #gap {"channel": …} tells the session where messages are missing; one that has not left yet stands for all of
// its channel.
type SlowPolicy uint8

// Policies for slow sessions.
const (
	// SlowClose drops nothing and closes the session, as it cannot be sent what it has subscribed to.
	SlowClose SlowPolicy = iota
	// SlowDropOldest drops what has waited longest, of all channels whose messages may be dropped, until the new message
	// has room. #gap takes the place of the first that was dropped.
	SlowDropOldest
	// SlowDropNewest does not queue the message, nor others of the channel until the #gap behind those that wait has left:
	// what is missing is one piece.
	SlowDropNewest
	// SlowKeepLatest has a new message take the place of the one of the channel that waits for a session that is behind, so
	// that a busy channel is not put off again and again. It therefore overtakes what has been sent in between: messages of
	// other channels, and answers. That is no gap, and not told. Where it has no room, it makes some as SlowDropOldest does.
	SlowKeepLatest
)

// slowNames are the policies' text forms.
func slowNames() []string { return []string{"close", "dropOldest", "dropNewest", "keepLatest"} }

// String is the text form.
func (p SlowPolicy) String() string {
	if names := slowNames(); int(p) < len(names) {
		return names[p]
	}
	return fmt.Sprintf("SlowPolicy(%d)", uint8(p))
}

// MarshalText gives the text form.
func (p SlowPolicy) MarshalText() ([]byte, error) {
	if int(p) >= len(slowNames()) {
		return nil, fmt.Errorf("there is no %v", p)
	}
	return []byte(p.String()), nil
}

// UnmarshalText takes the text form, exactly.
func (p *SlowPolicy) UnmarshalText(text []byte) error {
	i := slices.Index(slowNames(), string(text))
	if i < 0 {
		return fmt.Errorf("there is no policy %q for slow sessions: there are %q", text, slowNames())
	}
	*p = SlowPolicy(i) //nolint:gosec // one of four
	return nil
}

// channelRule is ChannelOptions made ready.
type channelRule struct {
	pattern pattern
	delay   time.Duration
	slow    SlowPolicy
	ends    bool // with the token
}

// channelRules are those of a server, in order.
type channelRules []channelRule

func parseChannels(list []ChannelOptions) (rules channelRules, errs []error) {
	for _, o := range list {
		p, err := parsePattern(o.Pattern)
		if err == nil && (o.MaxDelay < 0 || o.MaxDelay > longestDelay) {
			err = fmt.Errorf("MaxDelay is %v: it must be from 0 to %v", o.MaxDelay, longestDelay)
		}
		if err == nil && int(o.Slow) >= len(slowNames()) {
			err = fmt.Errorf("there is no %v for Slow: there are %q", o.Slow, slowNames())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("the channels %q: %w", o.Pattern, err))
			continue
		}
		rules = append(rules, channelRule{p, o.MaxDelay, o.Slow, o.EndWithToken})
	}
	return rules, errs
}

// of gives the rule of a channel, the zero one where there is none.
func (r channelRules) of(channel string) (rule channelRule) {
	for i := range r {
		if r[i].pattern.matches(channel) {
			return r[i]
		}
	}
	return rule
}

// checkToken refuses who has no token where subscriptions end with it.
func (s *Session) checkToken(channel string) error {
	if !s.server.rules.of(channel).ends || s.Token() != nil {
		return nil
	}
	return &Error{Name: NameAuth, Message: "a subscription to this channel needs a token"}
}

// leaveWithToken ends the subscriptions that end with the token.
func (s *Session) leaveWithToken() {
	if !slices.ContainsFunc(s.server.rules, func(r channelRule) bool { return r.ends }) {
		return
	}
	for _, channel := range s.Channels() {
		if s.server.rules.of(channel).ends {
			_ = s.Kick(channel, "the authentication has ended") // it has left by itself, or the session is closed
		}
	}
}
