package skeincmd

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

const envPrefix = "SKEIN_"

// variable is the environment's name for a flag.
func variable(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// withVariables are the flags that have one: the settings, the file that holds them, and the server of clients.
func withVariables() []string {
	flags := []string{"config", "url", "token"}
	for _, f := range conf.Fields(reflect.TypeFor[settings]()) {
		if f.Type.Kind() != reflect.Slice || f.Type.Elem().Kind() != reflect.Struct { // only the file can hold those
			flags = append(flags, flagName(f.Key))
		}
	}
	return flags
}

func hasVariable(f *kong.Flag) bool { return slices.Contains(withVariables(), f.Name) }

// withVariable is a flag's line of help.
func withVariable(v *kong.Value) string {
	if v.Flag == nil {
		return v.Help
	}
	var also []string
	if v.HasDefault && v.Default != "" {
		also = append(also, "default "+v.Default)
	}
	if hasVariable(v.Flag) {
		also = append(also, "$"+variable(v.Flag.Name))
	}
	if len(also) == 0 {
		return v.Help
	}
	return strings.TrimSuffix(v.Help, ".") + " (" + strings.Join(also, ", ") + ")."
}

// fromEnvironment answers for flags that are not on the command line. An empty variable counts as absent.
func (a *app) fromEnvironment(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	text, ok := a.lookup(variable(f.Name))
	if !ok || text == "" || !hasVariable(f) {
		return nil, nil
	}
	if f.Target.Type() == reflect.TypeFor[[]string]() {
		return text, nil
	}
	probe := reflect.New(f.Target.Type()).Elem()
	if err := conf.SetText(probe, text); err != nil {
		return nil, fmt.Errorf("%s: %w", variable(f.Name), err)
	}
	return text, nil
}

// stray is a variable that looks like one of ours and is none.
type stray struct{ name, meant string }

func (s stray) String() string {
	if s.meant == "" {
		return s.name + " is no variable of " + name
	}
	return fmt.Sprintf("%s is no variable of %s; did you mean %s?", s.name, name, s.meant)
}

func (a *app) strays() []stray {
	_, inCluster := a.lookup("KUBERNETES_SERVICE_HOST")
	flags := withVariables()
	known := make([]string, len(flags))
	for i, flag := range flags {
		known[i] = strings.TrimPrefix(variable(flag), envPrefix)
	}
	var list []stray
	for _, pair := range a.environ {
		full, value, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(full, envPrefix)
		if !ours || value == "" || slices.Contains(known, rest) || inCluster && isServiceLink(rest) {
			continue
		}
		s := stray{name: full}
		if near := conf.Nearest(rest, known); near != "" {
			s.meant = envPrefix + near
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b stray) int { return cmp.Compare(a.name, b.name) })
	return list
}

// isServiceLink reports whether Kubernetes sets such a variable for a service whose name begins with ours.
func isServiceLink(rest string) bool {
	text := "_" + rest + "_"
	return strings.Contains(text, "_SERVICE_HOST_") || strings.Contains(text, "_SERVICE_PORT_") || strings.Contains(text, "_PORT_")
}

// unset reports whether the environment does not say anything by that variable.
func (a *app) unset(name string) bool {
	value, there := a.lookup(name)
	return !there || value == ""
}
