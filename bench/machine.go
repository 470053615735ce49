package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/skeinrt/skein/bench/report"
)

// machine describes this one, as far as figures depend on it.
func machine(ctx context.Context) (report.Machine, error) {
	node, err := program{args: []string{"node", "--version"}}.run(ctx)
	if err != nil {
		return report.Machine{}, fmt.Errorf("node.js runs the servers to compare with: %w", err)
	}
	return report.Machine{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: kilobytes(field("/proc/meminfo", "MemTotal")),
		Kernel: release(firstLine("/proc/sys/kernel/osrelease")), Go: strings.TrimPrefix(runtime.Version(), "go"), Node: strings.Trim(string(node), "v\n"),
	}, nil
}

// release is the version of a kernel without its builder's additions.
func release(text string) string {
	version, _, _ := strings.Cut(text, "-")
	return version
}

// field is what a line of one of the kernel's tables says, or empty.
func field(file, name string) string {
	b, err := os.ReadFile(file) //nolint:gosec // the kernel's
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func firstLine(file string) string {
	b, err := os.ReadFile(file) //nolint:gosec // the kernel's
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// kilobytes reads 5 kB as bytes.
func kilobytes(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// version is that of an installed npm package.
func version(dir, name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "node_modules", name, "package.json")) //nolint:gosec // below this module
	if err != nil {
		return "", fmt.Errorf("%s is not installed: run npm ci in %s: %w", name, dir, err)
	}
	var p struct{ Version string }
	if err := json.Unmarshal(b, &p); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return p.Version, nil
}
