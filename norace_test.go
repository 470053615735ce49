//go:build !race

package skein_test

const raceDetector = false
