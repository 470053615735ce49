package manifests_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// keys are the variables that the README puts into .env.
func keys() []string {
	key := strings.Repeat("0123456789abcdef", 4)
	return []string{"SKEIN_AUTH_KEY=" + key, "SKEIN_API_KEY=" + key}
}

func load(t *testing.T, env []string, profiles ...string) (*types.Project, error) {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{"../compose.yaml"}, cli.WithEnv(env), cli.WithProfiles(profiles), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	return o.LoadProject(t.Context())
}

func project(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	p, err := load(t, keys(), profiles...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func environment(s types.ServiceConfig) (env []string) {
	for name, value := range s.Environment {
		if value != nil {
			env = append(env, name+"="+*value)
		}
	}
	return env
}

func TestComposeHasThreeNodesAndABalancer(t *testing.T) {
	t.Parallel()
	if got, want := project(t).ServiceNames(), []string{"a", "b", "balancer", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestComposeAsksForTheKeys(t *testing.T) {
	t.Parallel()
	for i, missing := range []string{"SKEIN_AUTH_KEY", "SKEIN_API_KEY"} {
		if _, err := load(t, slices.Delete(keys(), i, i+1)); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: got %v, want its name", missing, err)
		}
	}
}

// Each node is checked by the binary itself, with certificates that were made as the service init makes them.
func TestComposeNodesHaveGoodSettings(t *testing.T) {
	t.Parallel()
	p, dir := project(t), secrets(t)
	for _, name := range []string{"a", "b", "c"} {
		s := p.Services[name]
		env := environment(s)
		for i := range env {
			env[i] = strings.ReplaceAll(env[i], "/certs/", dir+"/")
		}
		check(t, env, s.Command)
		advertised := flag(t, s.Command, "cluster-advertise")
		if seeds := strings.Split(*s.Environment["SKEIN_CLUSTER_JOIN"], ","); !slices.Contains(seeds, advertised) || len(seeds) != 3 {
			t.Errorf("%s: got the seeds %q, want three, and %q among them", name, seeds, advertised)
		}
		if node := flag(t, s.Command, "node"); node != name || !strings.HasPrefix(advertised, name+":") {
			t.Errorf("%s: got the name %q and the address %q, want the service's name in both", name, node, advertised)
		}
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < 5*time.Second+rest {
			t.Errorf("%s: got %v to stop, want more than it takes", name, s.StopGracePeriod)
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.Privileged ||
			!slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) || len(s.Tmpfs) > 0 {
			t.Errorf("%s: it may do more than it needs", name)
		}
	}
}

func TestComposeMakesCertificatesWhereNodesReadThem(t *testing.T) {
	t.Parallel()
	p := project(t, "init")
	s := p.Services["init"]
	dir := filepath.Join(t.TempDir(), "certs")
	args := slices.Clone([]string(s.Command))
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "/certs", dir)
	}
	if out, err := run(t, t.TempDir(), environment(s), args...); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	for _, name := range []string{"CA", "CERT", "KEY", "SECRET"} {
		file := strings.TrimPrefix(*p.Services["a"].Environment["SKEIN_CLUSTER_"+name], "@")
		if _, err := os.Stat(strings.Replace(file, "/certs", dir, 1)); err != nil {
			t.Errorf("what nodes read as %s is not made: %v", name, err)
		}
	}
	if made, read := s.Volumes[0], p.Services["a"].Volumes[0]; made.Source != read.Source || made.Target != read.Target || made.ReadOnly || !read.ReadOnly {
		t.Errorf("got %v and %v, want one volume, which the nodes only read", made, read)
	}
}

func TestComposeBuildsTheImageFromTheRepository(t *testing.T) {
	t.Parallel()
	b := project(t).Services["a"].Build
	if b == nil {
		t.Fatal("got no build, want one")
	}
	if _, err := os.Stat(filepath.Join(b.Context, "go.mod")); err != nil {
		t.Errorf("the context: %v", err)
	}
	if _, err := os.Stat(filepath.Join(b.Context, b.Dockerfile)); err != nil {
		t.Error(err)
	}
}

func TestBalancerKnowsTheNodesAndPrefersNone(t *testing.T) {
	t.Parallel()
	p := project(t)
	s := p.Services["balancer"]
	text := read(t, s.Volumes[0].Source)
	var servers []string
	for _, m := range regexp.MustCompile(`(?m)^  server (\w+) (\S+)$`).FindAllStringSubmatch(text, -1) {
		servers = append(servers, m[2])
	}
	if want := []string{"a:8000", "b:8000", "c:8000"}; !slices.Equal(servers, want) {
		t.Errorf("servers: got %q, want %q", servers, want)
	}
	for _, want := range []string{"option httpchk GET /readyz", "option forwardfor", "timeout tunnel", "bind :8000"} {
		if !strings.Contains(text, want) {
			t.Errorf("got no %q", want)
		}
	}
	if m := regexp.MustCompile(`(?m)^\s*(cookie|stick|balance source).*`).FindString(text); m != "" {
		t.Errorf("got sticky sessions: %q", m)
	}
	if got, want := *p.Services["a"].Environment["SKEIN_TRUSTED_PROXIES"], s.Networks["default"].Ipv4Address+"/32"; got != want {
		t.Errorf("proxies: got %q, want the balancer's address %q", got, want)
	}
	if code := answers(t, "/readyz")["/readyz"]; code != 200 {
		t.Errorf("GET /readyz: got %d, want 200", code)
	}
}
