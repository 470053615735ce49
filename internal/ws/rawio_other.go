//go:build !unix

package ws

import "errors"

// rawSend is false where every connection is read and written through net.Conn.
const rawSend = false

func readOnce(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func writeOnce(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
