//go:build !unix

package skein

// openFileLimit is how many descriptors the process may have, or 0 where that is not known.
func openFileLimit() int { return 0 }
