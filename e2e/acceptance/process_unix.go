//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup lets a program be ended with what it has started: `go run` passes no signal on.
func ownGroup(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func signalGroup(p *os.Process, s syscall.Signal) { _ = syscall.Kill(-p.Pid, s) } // it may have ended
