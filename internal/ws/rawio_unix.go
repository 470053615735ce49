//go:build unix && !linux

package ws

import "syscall"

// rawSend tells that descriptors can be read and written without Go's buffers in between.
const rawSend = true

// readOnce reads without blocking. No octets and no error mean the end.
func readOnce(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, errWouldBlock
		default:
			return 0, err
		}
	}
}

// writeOnce writes what fits without blocking; errWouldBlock tells that something is left.
func writeOnce(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		switch err {
		case nil:
			if n < len(p) {
				return n, errWouldBlock
			}
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, errWouldBlock
		default:
			return 0, err
		}
	}
}
