package limit

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// pair is two ends of a connection, the first of which does not block.
func pair(t *testing.T) (fd int, far *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		t.Fatal(err)
	}
	far = os.NewFile(uintptr(fds[1]), "far")
	t.Cleanup(func() { _ = errors.Join(unix.Close(fds[0]), far.Close()) })
	return fds[0], far
}

func TestFramesLargerThanTheBufferAreWrittenWhole(t *testing.T) {
	t.Parallel()
	fd, far := pair(t)
	want := bytes.Repeat([]byte("0123456789"), 300_000)
	written := make(chan error, 1)
	go func() { written <- write(fd, want) }()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d octets, %v, want all of %d", len(got), err, len(want))
	}
	if err := <-written; err != nil {
		t.Errorf("got %v", err)
	}
}

func TestWritingToNobodyIsAnError(t *testing.T) {
	t.Parallel()
	fd, far := pair(t)
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	if err := write(fd, []byte("x")); !errors.Is(err, unix.EPIPE) {
		t.Errorf("got %v, want %v", err, unix.EPIPE)
	}
}

func TestWaitingForAReaderEnds(t *testing.T) {
	t.Parallel()
	fd, _ := pair(t)
	full := make([]byte, 16<<20)
	if err := write(fd, full); err == nil || err.Error() != "the client does not read" {
		t.Errorf("got %v, want that nobody reads", err)
	}
}

func TestMembersAreSharedOutAmongLoops(t *testing.T) {
	t.Parallel()
	r := newRoom(3)
	defer r.close()
	far := map[int]*os.File{}
	for n := range 7 {
		fd, end := pair(t)
		r.join(n, fd)
		far[n] = end
	}
	for i, want := range []int{3, 2, 2} {
		if got := len(r.loops[i].members); got != want {
			t.Errorf("loop %d: got %d members, want %d", i, got, want)
		}
	}
	r.leave(4)
	for _, text := range []string{"one", "two"} {
		r.send([]byte(text))
		for n, end := range far {
			if n == 4 {
				continue
			}
			got := make([]byte, len(text))
			if _, err := io.ReadFull(end, got); err != nil || string(got) != text {
				t.Errorf("%d: got %q, %v, want %q", n, got, err, text)
			}
		}
	}
	n, _, err := unix.Recvfrom(int(far[4].Fd()), make([]byte, 8), unix.MSG_DONTWAIT)
	if n > 0 || !errors.Is(err, unix.EAGAIN) {
		t.Errorf("somebody who has left got %d octets, %v", n, err)
	}
}

func TestAMemberThatIsGoneDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	r := newRoom(1)
	defer r.close()
	gone, farGone := pair(t)
	stays, far := pair(t)
	r.join(0, gone)
	r.join(1, stays)
	if err := farGone.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r.send([]byte("x"))
		if n, err := far.Read(make([]byte, 8)); n != 1 || err != nil {
			t.Errorf("got %d octets, %v, want one", n, err)
		}
	}
	l := r.loops[0]
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, there := l.members[0]; there {
		t.Error("it is written to for ever")
	}
}
