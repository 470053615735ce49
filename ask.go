package skein

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// AskFunc answers a question that the same plugin has asked on another node, whose name is from. What it returns may have
// 512 KiB; its error reaches the asker as text.
type AskFunc = func(ctx context.Context, from string, data []byte) ([]byte, error)

// OnAsk answers questions of the plugin's own kind on other nodes: see Ask. Topics are the plugin's own. fn runs in a
// goroutine of its own; ctx ends with the asker's patience.
func (h *Host) OnAsk(topic string, fn AskFunc) {
	h.register("OnAsk "+topic, func() error {
		if _, taken := h.wide.questions[topic]; taken {
			return errors.New("the plugin has registered it already")
		}
		if fn == nil {
			return errors.New("the function is nil")
		}
		if h.wide.questions == nil {
			h.wide.questions = map[string]AskFunc{}
		}
		h.wide.questions[topic] = fn
		return nil
	})
}

// Ask asks the plugin of the same name on a node, which may be this one, and waits for its answer: until ctx ends, and 5 s
// at most. data may have 512 KiB. An error of the other's fn is an *engine.CallError; a node that is not there, or dies
// before it has answered, is engine.ErrNoMember.
func (h *Host) Ask(ctx context.Context, node, topic string, data []byte) ([]byte, error) {
	ctx, cancel := patience(ctx)
	defer cancel()
	return h.server.call(ctx, node, pluginTopic+h.name+"/"+topic, data)
}

// pluginTopic begins the topics of plugins; the name of a plugin has no slash.
const pluginTopic = "plugin/"

// answerFor hands a question to its plugin.
func (s *Server) answerFor(ctx context.Context, from, topic string, data []byte) (out []byte, err error) {
	name, topic, _ := strings.Cut(topic, "/")
	i := slices.IndexFunc(s.plugins, func(r *registration) bool { return r.name == name })
	if i < 0 {
		return nil, fmt.Errorf("it has no plugin %q", name)
	}
	h := s.plugins[i].host
	fn := h.wide.questions[topic]
	if fn == nil {
		return nil, fmt.Errorf("its plugin %q does not answer %q", name, topic)
	}
	defer h.recovered(ctx, &err)
	return fn(ctx, from, data)
}
