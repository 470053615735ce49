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
	// EndWithToken lets only sessions with a token subscribe, and ends the subscription with the session's authentication:
	// when its token expires, is removed or is revoked. Another token in its place does not end it. Without this,
	// subscriptions stay, as in SocketCluster.
	EndWithToken bool
}

const longestDelay = time.Second

// channelRule is ChannelOptions made ready.
type channelRule struct {
	pattern pattern
	delay   time.Duration
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
		if err != nil {
			errs = append(errs, fmt.Errorf("the channels %q: %w", o.Pattern, err))
			continue
		}
		rules = append(rules, channelRule{p, o.MaxDelay, o.EndWithToken})
	}
	return rules, errs
}

// delay is the MaxDelay of a channel.
func (r channelRules) delay(channel string) time.Duration {
	for i := range r {
		if r[i].pattern.matches(channel) {
			return r[i].delay
		}
	}
	return 0
}

// endsWithToken reports whether subscriptions to the channel end with the token.
func (r channelRules) endsWithToken(channel string) bool {
	for i := range r {
		if r[i].pattern.matches(channel) {
			return r[i].ends
		}
	}
	return false
}

// checkToken refuses who has no token where subscriptions end with it.
func (s *Session) checkToken(channel string) error {
	if !s.server.rules.endsWithToken(channel) || s.Token() != nil {
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
		if s.server.rules.endsWithToken(channel) {
			_ = s.Kick(channel, "the authentication has ended") // it has left by itself, or the session is closed
		}
	}
}
