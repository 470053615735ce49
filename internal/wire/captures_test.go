package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// capture is a line of a recorded session: one whole WebSocket message.
type capture struct {
	Dir  string `json:"dir"`
	Type string `json:"type"`
	Data string `json:"data"`
	Hex  string `json:"hex"`
}

// readCaptures returns the messages of a file in both directions.
func readCaptures(t *testing.T, path string) []capture {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var messages []capture
	for text := range bytes.Lines(content) {
		var line struct {
			capture
			Data json.RawMessage `json:"data"` // of other lines it is anything
		}
		if err := json.Unmarshal(text, &line); err != nil {
			continue // a remark
		}
		if line.Dir != "c2s" && line.Dir != "s2c" || line.Type != "text" && line.Type != "bin" {
			continue
		}
		line.capture.Data, _ = oracleString(line.Data)
		messages = append(messages, line.capture)
	}
	return messages
}

func TestRecordedMessagesAreUnderstood(t *testing.T) {
	t.Parallel()
	files := []string{"testdata/golden.jsonl"}
	const shared = "../../../shared/captures"
	err := filepath.WalkDir(shared, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".jsonl" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Logf("only our own golden vectors: %v", err)
	}
	seen := map[Kind]int{}
	for _, path := range files {
		for _, message := range readCaptures(t, path) {
			if message.Type == "text" {
				checkText(t, path, []byte(message.Data), seen)
				continue
			}
			raw, err := hex.DecodeString(message.Hex)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if Detect(true, raw) == JSON && len(raw) > 0 && (raw[0] == '{' || raw[0] == '[') {
				checkText(t, path, raw, seen)
				continue
			}
			checkMinBin(t, path, raw, seen)
		}
	}
	for k := Raw; k <= Response; k++ {
		if seen[k] == 0 && k != Ping && k != Pong {
			t.Errorf("no message of kind %s", kindName(k))
		}
	}
	t.Logf("%d files", len(files))
}

// checkText holds a message against the oracle, and its packets against what they are after each codec.
func checkText(t *testing.T, path string, message []byte, seen map[Kind]int) {
	t.Helper()
	got := describeAll(JSON, message)
	if want, ok := oracle(message); !ok || got != want {
		t.Errorf("%s: %s:\ngot  %s\nwant %s", path, message, got, want)
	}
	for p := range JSON.Packets(message) {
		seen[p.Kind]++
		checkRoundTrip(t, p)
	}
}

// checkMinBin holds that packets, encoded again, are the same bytes, even by way of JSON.
func checkMinBin(t *testing.T, path string, message []byte, seen map[Kind]int) {
	t.Helper()
	var direct, viaJSON [][]byte
	for p := range MinBin.Packets(message) {
		seen[p.Kind]++
		if !isPacket(p) {
			continue
		}
		again, _ := encode(MinBin, p)
		text, _ := encode(JSON, p)
		translated, _ := encode(MinBin, only(t, JSON, text))
		direct = append(direct, again)
		viaJSON = append(viaJSON, translated)
	}
	for _, packets := range [][][]byte{direct, viaJSON} {
		if len(packets) == 0 {
			continue
		}
		got := packets[0]
		if len(packets) > 1 {
			got = MinBin.AppendBatch(nil, packets)
		}
		if string(got) != string(message) {
			t.Errorf("%s:\ngot  %x\nwant %x", path, got, message)
		}
	}
}
