// Package censor is a skein plugin that masks words in what is published. It shows what a plugin is made of: options,
// a check of them, a hook, an HTTP route and a metric.
package censor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/skeinrt/skein"
)

// Censor masks words in the strings of published payloads, at any depth. The keys of objects are left alone.
type Censor struct {
	// Channels is a pattern of channel names: exact, or a prefix ended by "*".
	Channels string `default:"*" doc:"pattern of channel names: exact, or a prefix ended by *"`
	// Words to mask, whole words only, in any case.
	Words []string `default:"darn,heck" doc:"words to mask, whole words only, in any case"`
	// Mask stands in their place.
	Mask string `default:"***" doc:"what stands in their place"`

	words  map[string]bool // in lower case
	word   *regexp.Regexp
	masked atomic.Uint64
}

// syntax is what a word is, in any script: letters with their marks, digits and underscores.
const syntax = `[\pL\pM\pN_]+`

// New returns a censor with the default options: mild words, in every channel.
func New() *Censor {
	return &Censor{Channels: "*", Words: []string{"darn", "heck"}, Mask: "***"}
}

// Meta tells the plugin's name.
func (c *Censor) Meta() skein.Meta { return skein.Meta{Name: "censor", Version: "1.0.0"} }

// Validate checks the options. skein calls it before Setup and says which plugin and which line of the configuration.
func (c *Censor) Validate() error {
	if len(c.Words) == 0 {
		return errors.New("words: give at least one word")
	}
	word := regexp.MustCompile("^" + syntax + "$")
	for _, w := range c.Words {
		if !word.MatchString(w) {
			return fmt.Errorf("words: %q is not one word, of letters and digits", w)
		}
	}
	return nil
}

// Setup registers what the plugin brings.
func (c *Censor) Setup(_ context.Context, h *skein.Host) error {
	c.word, c.words = regexp.MustCompile(syntax), map[string]bool{}
	for _, w := range c.Words {
		c.words[strings.ToLower(w)] = true
	}
	h.OnPublish(c.Channels, c.filter)
	h.HandleFunc("GET /words", c.list)
	h.Metrics(func(yield func(skein.Metric)) {
		yield(skein.Metric{
			Name: "censor_masked_total", Help: "Messages with masked words.", Kind: "counter", Value: float64(c.masked.Load()),
		})
	})
	return nil
}

// filter is asked once for each publication. Most have none of the words and pass as they came.
func (c *Censor) filter(_ context.Context, e *skein.Event) error {
	if e.Data == nil {
		return nil // published without data
	}
	d := json.NewDecoder(bytes.NewReader(e.Data))
	d.UseNumber() // numbers keep their digits
	var v any
	if err := d.Decode(&v); err != nil {
		return fmt.Errorf("read the message: %w", err)
	}
	clean, found := c.mask(v)
	if !found {
		return nil
	}
	data, err := json.Marshal(clean)
	if err != nil {
		return fmt.Errorf("write the message: %w", err)
	}
	e.Data = data
	c.masked.Add(1)
	return nil
}

// mask masks the strings in a value and reports whether there was anything to mask.
func (c *Censor) mask(v any) (clean any, found bool) {
	switch v := v.(type) {
	case string:
		s := c.word.ReplaceAllStringFunc(v, c.replace)
		return s, s != v
	case []any:
		for i := range v {
			masked, here := c.mask(v[i])
			v[i], found = masked, found || here
		}
	case map[string]any:
		for key := range v {
			masked, here := c.mask(v[key])
			v[key], found = masked, found || here
		}
	}
	return v, found
}

func (c *Censor) replace(word string) string {
	if c.words[strings.ToLower(word)] {
		return c.Mask
	}
	return word
}

// list answers with the words.
func (c *Censor) list(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(c.Words) // the peer has gone, or reads it
}
