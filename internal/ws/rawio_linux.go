package ws

import (
	"syscall"
	"unsafe"
)

// rawSend tells that descriptors can be read and written without Go's buffers in between.
const rawSend = true

// readOnce reads without blocking. No octets and no error mean the end.
func readOnce(fd uintptr, p []byte) (int, error) {
	return call(syscall.SYS_READ, fd, p)
}

// writeOnce writes what fits without blocking; errWouldBlock tells that something is left.
func writeOnce(fd uintptr, p []byte) (int, error) {
	n, err := call(syscall.SYS_WRITE, fd, p)
	if err == nil && n < len(p) {
		err = errWouldBlock
	}
	return n, err
}

// call reads or writes, of a descriptor that does not block.
//
// The scheduler is not told of it. It would take the processor away from a thread that is in the kernel for more than
// 20 µs, which a send over loopback or a busy card often is, wake another thread, and look every 20 µs for the next one: a
// sixth of the CPU of a delivery. In return a collection of garbage waits for the end of the call, some 10 µs.
func call(trap, fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))) //nolint:gosec // as package syscall does it
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, errWouldBlock
		default:
			return 0, errno
		}
	}
}

// eventsNow gives what has happened to an epoll set, without waiting; also not told to the scheduler.
func eventsNow(set uintptr, events []syscall.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, set, uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0) //nolint:gosec // as above
	if errno != 0 {
		return 0
	}
	return int(n)
}
