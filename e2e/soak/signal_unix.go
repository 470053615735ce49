//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

const canPause = true

// ownGroup keeps signals from a terminal away: the soak decides when a node ends.
func ownGroup(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func terminate(p *os.Process) { _ = p.Signal(syscall.SIGTERM) } // it may have ended

func freeze(p *os.Process) { _ = p.Signal(syscall.SIGSTOP) } // it may have ended

func thaw(p *os.Process) { _ = p.Signal(syscall.SIGCONT) } // it may have ended
