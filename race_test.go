//go:build race

package skein_test

// raceDetector is on: pools then forget what they hold now and then, so that allocations cannot be counted.
const raceDetector = true
