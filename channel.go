package skein

import (
	"fmt"
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
}

const longestDelay = time.Second

// channelRule is ChannelOptions made ready.
type channelRule struct {
	pattern pattern
	delay   time.Duration
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
		rules = append(rules, channelRule{p, o.MaxDelay})
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
