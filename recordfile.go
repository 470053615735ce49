package skein

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
)

// recordFile keeps records over restarts: a line that says what it is, and one for each record. It is only ever replaced
// as a whole, so that it has either all that was written last, or all of before.
type recordFile struct {
	path  string        // "" keeps nothing
	turn  chan struct{} // one writes at a time
	saved *atomic.Uint64
}

func newRecordFile(path string) recordFile {
	return recordFile{path: path, turn: make(chan struct{}, 1), saved: new(atomic.Uint64)}
}

// recordHeader is the first line.
type recordHeader struct {
	Skein   string `json:"skein"`
	Version int    `json:"version"`
}

const (
	recordKind   = "revocations"
	longestEntry = 16 * kib
)

// load reads the file. One that is not there is empty; one that is not whole is an error: who has revoked something relies
// on it.
func (f recordFile) load() ([]record, error) {
	if f.path == "" {
		return nil, nil
	}
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the revocations: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	list, line, err := readRecords(file)
	if err != nil {
		return nil, fmt.Errorf("read the revocations: %s:%d: %w", f.path, line, err)
	}
	return list, nil
}

func readRecords(r io.Reader) (list []record, line int, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longestEntry)
	var header recordHeader
	for lines.Scan() {
		line++
		if line == 1 {
			if err := strictly(lines.Bytes(), &header); err != nil || header != (recordHeader{recordKind, 1}) {
				return nil, line, fmt.Errorf("it does not begin as a file of %s, version 1", recordKind)
			}
			continue
		}
		var one record
		if err := strictly(lines.Bytes(), &one); err != nil {
			return nil, line, err
		}
		if one.At.IsZero() || one.User != "" && one.TokenID != "" || !one.encodes() {
			return nil, line, errors.New("it is no revocation")
		}
		list = append(list, one)
	}
	if err := lines.Err(); err != nil {
		return nil, line + 1, err
	}
	if line == 0 {
		return nil, 1, errors.New("it is empty; remove it where nothing is revoked")
	}
	return list, line, nil
}

// strictly decodes a line that has one value and nothing unknown in it.
func strictly(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the line goes on behind its value")
	}
	return nil
}

// save writes what is there, unless somebody has done so since: many who come at once share one writing.
func (f recordFile) save(ctx context.Context, list func() ([]record, uint64), version uint64) error {
	if f.path == "" || f.saved.Load() >= version {
		return nil
	}
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if f.saved.Load() >= version {
		return nil
	}
	records, version := list()
	if err := f.write(records); err != nil {
		return fmt.Errorf("keep the revocations, which are in force until the node ends: %w", err)
	}
	f.saved.Store(version)
	return nil
}

// try finds out whether the file could be replaced.
func (f recordFile) try() error {
	if f.path == "" {
		return nil
	}
	beside, err := f.beside()
	if err == nil {
		err = errors.Join(beside.Close(), os.Remove(beside.Name()))
	}
	if err != nil {
		return fmt.Errorf("the revocations cannot be kept in %s (Revocations.File, --revocations): %w", f.path, err)
	}
	return nil
}

// beside makes a file that may take the place of the one that is there.
func (f recordFile) beside() (*os.File, error) {
	return os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*")
}

// write replaces the file.
func (f recordFile) write(records []record) (err error) {
	beside, err := f.beside()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = beside.Close()           // it may be closed
			_ = os.Remove(beside.Name()) // it is of no use
		}
	}()
	out := bufio.NewWriter(beside)
	lines := json.NewEncoder(out)
	if err := lines.Encode(recordHeader{recordKind, 1}); err != nil {
		return err
	}
	for _, r := range records {
		if err := lines.Encode(r); err != nil {
			return err
		}
	}
	if err := errors.Join(out.Flush(), beside.Sync(), beside.Close()); err != nil {
		return err
	}
	if err := os.Rename(beside.Name(), f.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.path))
}

// syncDir makes a new name in a directory last. Systems that cannot do it for directories do it by themselves.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // that of a file which the operator names
	if err != nil {
		return err
	}
	_ = d.Sync() // see above
	return d.Close()
}
