package load

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// ownPID is this process for usageOf.
const ownPID = 0

// What Linux counts a process's time in; every architecture tells programs hundredths.
const tick = 10 * time.Millisecond

// usage is what processes have used.
type usage struct {
	cpu    time.Duration
	memory int64 // resident now
}

// usageOf adds up what the processes have used, as Linux tells it.
func usageOf(pids ...int) (usage, error) {
	var total usage
	for _, pid := range pids {
		name := "self"
		if pid != ownPID {
			name = strconv.Itoa(pid)
		}
		u, err := readUsage("/proc/" + name)
		if err != nil {
			return usage{}, fmt.Errorf("process %s: %w (this needs Linux, and a server on this machine)", name, err)
		}
		total.cpu += u.cpu
		total.memory += u.memory
	}
	return total, nil
}

func readUsage(dir string) (usage, error) {
	stat, err := os.ReadFile(dir + "/stat") //nolint:gosec // the kernel's
	if err != nil {
		return usage{}, err
	}
	statm, err := os.ReadFile(dir + "/statm") //nolint:gosec // the kernel's
	if err != nil {
		return usage{}, err
	}
	return parseUsage(stat, statm)
}

// parseUsage takes the 14th and 15th field of proc(5)'s stat and the second of its statm.
func parseUsage(stat, statm []byte) (usage, error) {
	// The second field is a name in parentheses, which may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	pages := bytes.Fields(statm)
	if len(fields) < 13 || len(pages) < 2 {
		return usage{}, errors.New("not what proc(5) describes")
	}
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	resident, err3 := strconv.ParseInt(string(pages[1]), 10, 64)
	return usage{
		cpu:    time.Duration(user+system) * tick,
		memory: resident * int64(os.Getpagesize()),
	}, errors.Join(err1, err2, err3)
}
