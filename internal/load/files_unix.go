//go:build unix

package load

import "syscall"

// openFiles is how many descriptors the process may have, or 0 where that is not known.
func openFiles() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil || l.Cur > 1<<30 {
		return 0
	}
	return int(l.Cur) // bounded above; its type differs between systems
}
