//go:build !linux

package ws

import "errors"

// hasEpoll is false where park is the only driver.
const hasEpoll = false

func newEpoll(*Runtime, int) (driver, error) { return nil, errors.ErrUnsupported }
