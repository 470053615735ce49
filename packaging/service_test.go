package main

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// unit reads a unit file: the values of each key, by section.
func unit(t *testing.T, text string) map[string][]string {
	t.Helper()
	keys := map[string][]string{}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch key, value, assigned := strings.Cut(line, "="); {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case assigned && section != "":
			keys[section+"."+key] = append(keys[section+"."+key], value)
		default:
			t.Errorf("got the line %q, want a key and its value", line)
		}
	}
	return keys
}

func TestTheServiceMayDoNoMoreThanItNeeds(t *testing.T) {
	t.Parallel()
	got := unit(t, file(t, "skein.service"))
	for key, want := range map[string][]string{
		"Type":                    {"notify"},
		"DynamicUser":             {"yes"},
		"NoNewPrivileges":         {"yes"},
		"CapabilityBoundingSet":   {""},
		"AmbientCapabilities":     {""},
		"ProtectSystem":           {"strict"},
		"ProtectHome":             {"yes"},
		"ProtectProc":             {"invisible"},
		"PrivateTmp":              {"yes"},
		"PrivateDevices":          {"yes"},
		"PrivateUsers":            {"yes"},
		"ProtectClock":            {"yes"},
		"ProtectControlGroups":    {"yes"},
		"ProtectHostname":         {"yes"},
		"ProtectKernelLogs":       {"yes"},
		"ProtectKernelModules":    {"yes"},
		"ProtectKernelTunables":   {"yes"},
		"RestrictNamespaces":      {"yes"},
		"RestrictRealtime":        {"yes"},
		"RestrictSUIDSGID":        {"yes"},
		"LockPersonality":         {"yes"},
		"MemoryDenyWriteExecute":  {"yes"},
		"SystemCallArchitectures": {"native"},
		"SystemCallFilter":        {"@system-service", "~@privileged @resources"},
		"RestrictAddressFamilies": {"AF_INET AF_INET6 AF_UNIX AF_NETLINK"},
		"UMask":                   {"0077"},
		"LimitNOFILE":             {"1048576"},
		"Restart":                 {"on-failure"},
		"ExecReload":              {"/bin/kill -HUP $MAINPID"},
	} {
		if !slices.Equal(got["Service."+key], want) {
			t.Errorf("%s: got %q, want %q", key, got["Service."+key], want)
		}
	}
	if got["Service.ProcSubset"] != nil {
		t.Error("got ProcSubset, which hides how many connections may wait to be accepted")
	}
}

func TestTheServiceHasTimeToStop(t *testing.T) {
	t.Parallel()
	given := unit(t, file(t, "skein.service"))["Service.TimeoutStopSec"]
	if len(given) != 1 {
		t.Fatalf("got %q, want one time", given)
	}
	limit, err := time.ParseDuration(given[0])
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), skein, "config", "print").Output()
	if err != nil {
		t.Fatal(err)
	}
	var takes time.Duration
	for _, key := range []string{"drain", "stopTimeout"} {
		m := regexp.MustCompile(`(?m)^` + key + `: (\S+)`).FindSubmatch(out)
		if m == nil {
			t.Fatalf("got no %s in\n%s", key, out)
		}
		d, err := time.ParseDuration(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		takes += d
	}
	if limit < takes+5*time.Second {
		t.Errorf("got %v to stop, want more than the %v that it takes", limit, takes)
	}
}

// The binary is asked about the command line, with a key where systemd would have put it.
func TestTheServiceStartsWithGoodSettings(t *testing.T) {
	t.Parallel()
	start := unit(t, file(t, "skein.service"))["Service.ExecStart"]
	if len(start) != 1 {
		t.Fatalf("got %q, want one command", start)
	}
	dir := t.TempDir()
	if err := write(dir+"/auth-key", []byte(strings.Repeat("0123456789abcdef", 4)+"\n")); err != nil {
		t.Fatal(err)
	}
	args, ok := strings.CutPrefix(strings.ReplaceAll(start[0], "${CREDENTIALS_DIRECTORY}", dir), "/usr/local/bin/skein serve ")
	if !ok {
		t.Fatalf("got %q, want serve", start[0])
	}
	c := exec.CommandContext(t.Context(), skein, append([]string{"config", "check"}, strings.Fields(args)...)...)
	c.Dir = t.TempDir()
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
