// Package report turns what was measured into a page: medians with their spread, ratios taken pair by pair, and plots.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Results is everything that a comparison has measured. Encoded, it is what the page can be made of again.
type Results struct {
	// Taken is the day.
	Taken string `json:"taken"`
	// Rounds is how often the comparison was made, and Growth how often that of growth.
	Rounds int `json:"rounds"`
	// Growth is how often each of the growing loads was measured.
	Growth int `json:"growthRounds"`
	// Machine is where.
	Machine Machine `json:"machine"`
	// Servers are what was compared, in the order of each round.
	Servers []Server `json:"servers"`
	// Cases are the loads.
	Cases []*Case `json:"cases"`
}

// Machine is what the figures depend on.
type Machine struct {
	// CPU is the model of the processors.
	CPU string `json:"cpu"`
	// Cores is how many there are.
	Cores int `json:"cores"`
	// Memory is in bytes.
	Memory int64 `json:"memory"`
	// Kernel is the release of Linux.
	Kernel string `json:"kernel"`
	// Go is the version that skein, the limit and the load generator are built with.
	Go string `json:"go"`
	// Node is the version that the other servers run on.
	Node string `json:"node"`
}

// Server is one of those that are compared.
type Server struct {
	// Name is its key in samples.
	Name string `json:"name"`
	// Title is its name for people.
	Title string `json:"title"`
	// Version is empty where it says nothing.
	Version string `json:"version,omitempty"`
}

// Case is one load, and what the servers made of it.
type Case struct {
	// Name identifies it.
	Name string `json:"name"`
	// Group is which curve of growth it belongs to, and X its place there.
	Group string `json:"group,omitempty"`
	// X is what grows.
	X float64 `json:"x,omitempty"`
	// Load is what the load generator was told.
	Load Load `json:"load"`
	// Samples are by server, one for each round.
	Samples map[string][]Sample `json:"samples"`
}

// Load is what the load generator is told.
type Load struct {
	// Mode is one of skein bench.
	Mode string `json:"mode"`
	// Conns is how many connections there are.
	Conns int `json:"conns"`
	// Channels is how many channels these are dealt to.
	Channels int `json:"channels,omitempty"`
	// Pubs is how many connections publish.
	Pubs int `json:"pubs,omitempty"`
	// Rate is how many messages are published in a second.
	Rate float64 `json:"rate,omitempty"`
	// Size is the length of a message.
	Size int `json:"size,omitempty"`
	// Window is how many messages are under way.
	Window int `json:"window,omitempty"`
	// Parallel is how many connections are opened at once.
	Parallel int `json:"parallel,omitempty"`
	// Burst is how many come on top.
	Burst int `json:"burst,omitempty"`
	// Duration is how long is measured.
	Duration time.Duration `json:"duration,omitempty"`
	// Warmup is how long it runs, or rests, before.
	Warmup time.Duration `json:"warmup,omitempty"`
}

// Sample is what one run has measured. What a load does not tell is 0.
type Sample struct {
	// Error is why there is nothing else.
	Error string `json:"error,omitempty"`
	// CPU is the server's seconds for a million deliveries, acknowledgements or connections.
	CPU float64 `json:"cpu,omitempty"`
	// Cores is how many processors the server had busy.
	Cores float64 `json:"cores,omitempty"`
	// Memory is the server's at the end, in bytes.
	Memory int64 `json:"memory,omitempty"`
	// BytesPerConn is by how much the connections have raised it, for each.
	BytesPerConn float64 `json:"bytesPerConn,omitempty"`
	// Done is deliveries or acknowledgements a second.
	Done float64 `json:"done,omitempty"`
	// Connects is connections opened a second.
	Connects float64 `json:"connects,omitempty"`
	// P50 is a latency in milliseconds, as the following ones.
	P50 float64 `json:"p50,omitempty"`
	// P99 is what 99 % do not exceed.
	P99 float64 `json:"p99,omitempty"`
	// Max is the longest.
	Max float64 `json:"max,omitempty"`
	// CalmP99 is that of deliveries before a burst.
	CalmP99 float64 `json:"calmP99,omitempty"`
	// OpenP99 is that of a burst's connections.
	OpenP99 float64 `json:"openP99,omitempty"`
	// Lost is how many deliveries are missing.
	Lost int64 `json:"lost,omitempty"`
	// Disorder is how many came too late or again.
	Disorder int64 `json:"disorder,omitempty"`
	// Own is how many processors the load generator had busy.
	Own float64 `json:"own,omitempty"`
}

// Read reads results.
func Read(file string) (*Results, error) {
	b, err := os.ReadFile(file) //nolint:gosec // the caller's
	if err != nil {
		return nil, err
	}
	r := &Results{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// Write writes them for Read.
func (r *Results) Write(file string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644) //nolint:gosec // a page for everybody
}

// Case is the one of this name, or nil.
func (r *Results) Case(name string) *Case {
	for _, c := range r.Cases {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Replace puts cases in the place of those of their names.
func (r *Results) Replace(cases []*Case) {
	for i, old := range r.Cases {
		for _, c := range cases {
			if c.Name == old.Name {
				r.Cases[i] = c
			}
		}
	}
}

// group are the cases of a curve.
func (r *Results) group(name string) []*Case {
	var list []*Case
	for _, c := range r.Cases {
		if c.Group == name {
			list = append(list, c)
		}
	}
	return list
}

// Faults tells of every run of these servers that failed, lost something or mixed it up.
func (r *Results) Faults(servers ...string) []string {
	var list []string
	for _, c := range r.Cases {
		for _, s := range servers {
			for round, sample := range c.Samples[s] {
				if text := sample.fault(); text != "" {
					list = append(list, fmt.Sprintf("%s, %s, round %d: %s", c.Name, s, round+1, text))
				}
			}
		}
	}
	return list
}

func (s *Sample) fault() string {
	switch {
	case s.Error != "":
		return s.Error
	case s.Lost != 0 || s.Disorder != 0:
		return fmt.Sprintf("%d lost, %d out of order or repeated", s.Lost, s.Disorder)
	default:
		return ""
	}
}
