package skein

import "slices"

// membership is that of a session in one channel.
type membership struct {
	channel string // the hub's own copy of the name, once held
	stage   stage
}

// stage is how far a membership is.
type stage uint8

const (
	joining stage = iota // the engine has not answered yet
	held
	leaving // by somebody who has claimed it
)

// memberships are the channels of a session: most have few, and an idle session shall cost little.
type memberships struct {
	list  []membership
	index map[string]int // place in list; nil up to indexAbove
}

// indexAbove is the number up to which a scan is as quick as a map.
const indexAbove = 16

// find returns the channel's place in the list, or -1.
func (m *memberships) find(channel string) int {
	if m.index == nil {
		return slices.IndexFunc(m.list, func(x membership) bool { return x.channel == channel })
	}
	if i, in := m.index[channel]; in {
		return i
	}
	return -1
}

// add appends a channel that is not there.
func (m *memberships) add(channel string) {
	if m.list == nil {
		m.list = make([]membership, 0, 1)
	}
	m.list = append(m.list, membership{channel: channel})
	switch n := len(m.list); {
	case m.index != nil:
		m.index[channel] = n - 1
	case n > indexAbove:
		m.index = make(map[string]int, n)
		for i, x := range m.list {
			m.index[x.channel] = i
		}
	}
}

// remove takes a channel out, and puts the last one where it was.
func (m *memberships) remove(i int) {
	n := len(m.list) - 1
	gone, moved := m.list[i].channel, m.list[n]
	m.list[i] = moved
	m.list[n] = membership{}
	m.list = m.list[:n]
	if m.index != nil {
		m.index[moved.channel] = i
		delete(m.index, gone)
	}
	if n == 0 {
		*m = memberships{}
	}
}

// has reports whether the channel is there, and nobody is taking it out.
func (m *memberships) has(channel string) bool {
	i := m.find(channel)
	return i >= 0 && m.list[i].stage != leaving
}

// names returns the channels, sorted.
func (m *memberships) names() []string {
	names := make([]string, 0, len(m.list))
	for _, x := range m.list {
		if x.stage != leaving {
			names = append(names, x.channel)
		}
	}
	slices.Sort(names)
	return names
}
