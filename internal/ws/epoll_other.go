//go:build !linux

package ws

// hasEpoll is false where park is the only driver.
const hasEpoll = false

func newEpoll(*Runtime) driver { return park{} }
