package wire_test

import (
	"fmt"

	"github.com/skeinrt/skein/internal/wire"
)

// A publication in JSON becomes a message to a client that speaks min-bin.
func Example() {
	message := []byte(`{"event":"#publish","data":{"channel":"news","data":{"n":1}},"cid":2}`)
	for p := range wire.JSON.Packets(message) {
		if p.Kind == wire.Publish && p.Named {
			fmt.Printf("%s: %s\n", p.Channel, p.Payload)
			fmt.Printf("%x\n", wire.MinBin.AppendPublish(nil, p.Channel, p.Payload))
			fmt.Printf("%s\n", wire.JSON.AppendResult(nil, p.CID, nil))
		}
	}
	// Output:
	// news: {"n":1}
	// 81a17092a46e65777381a16e01
	// {"rid":2}
}
