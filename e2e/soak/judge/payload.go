package judge

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// stamp is which publication something is.
type stamp struct {
	Author int `json:"a"`
	Number int `json:"n"`
}

// note is a publication as it goes over the wire.
type note struct {
	stamp

	Sum uint32 `json:"s"`
	Pad string `json:"p"`
}

// letters are what payloads are filled with: some need escapes in JSON, some have several octets.
const letters = "abcdefghijklmnopqrstuvwxyz 0123456789 \"\\/\n\t é € 😀 <script>"

func encode(s stamp, channel string, size int) []byte {
	n := note{stamp: s}
	if shift := (s.Author + s.Number) % 26; size > 0 {
		n.Pad = strings.Repeat(letters[shift:], size/len(letters)+1)
	}
	n.Sum = n.sum(channel)
	text, err := json.Marshal(n)
	if err != nil {
		panic(err) // two numbers and a string always encode
	}
	return text
}

func (n note) sum(channel string) uint32 {
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%d/%d/%s/%s", n.Author, n.Number, channel, n.Pad))
}

func decode(payload []byte, channel string) (stamp, error) {
	var n note
	if err := json.Unmarshal(payload, &n); err != nil {
		return stamp{}, fmt.Errorf("no publication of ours: %w: %.100q", err, payload)
	}
	if n.Sum != n.sum(channel) {
		return stamp{}, errors.New("wrong checksum, or wrong channel: " + fmt.Sprintf("%.100q", payload))
	}
	return n.stamp, nil
}
