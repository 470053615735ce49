package engine_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/skeinrt/skein/engine"
)

// FuzzMemory has the memory engine and a plain set of channels do the same: each octet is an operation on one of 16
// channels. What fails is made shorter by the fuzzer.
func FuzzMemory(f *testing.F) {
	f.Add([]byte{0x00, 0x80, 0x40, 0x80})
	for seed := range uint64(4) {
		r, ops := rand.New(rand.NewPCG(seed, 0)), make([]byte, 200)
		for i := range ops {
			ops[i] = byte(r.IntN(256))
		}
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		var heard, want []string
		m := started(t, func(msg engine.Message) { heard = append(heard, msg.Channel+" "+string(msg.Data)) })
		joined := map[string]bool{}
		for i, op := range ops {
			channel := strconv.Itoa(int(op & 15))
			switch op >> 6 {
			case 0:
				join(t, m, channel)
				joined[channel] = true
			case 1:
				m.Leave(channel)
				joined[channel] = false
			default:
				publish(t, m, channel, strconv.Itoa(i))
				if joined[channel] {
					want = append(want, channel+" "+strconv.Itoa(i))
				}
			}
			if !slices.Equal(heard, want) {
				t.Fatalf("step %d of %x: heard %q, want %q", i, ops, heard, want)
			}
		}
	})
}
