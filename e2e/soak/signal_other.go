//go:build !unix

package main

import (
	"os"
	"os/exec"
)

// canPause is what this system cannot do.
const canPause = false

func ownGroup(*exec.Cmd) {}

func terminate(p *os.Process) { _ = p.Kill() } // there is no gentle way

func freeze(*os.Process) {}

func thaw(*os.Process) {}
