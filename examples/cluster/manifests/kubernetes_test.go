package manifests_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	kustomize "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// objects are all manifests, decoded.
type objects struct {
	set      *appsv1.StatefulSet
	budget   *policyv1.PodDisruptionBudget
	network  *networkingv1.NetworkPolicy
	secret   *corev1.Secret
	services map[string]*corev1.Service
}

// decode refuses fields and kinds that do not exist.
func decode(t *testing.T, documents string) (o objects) {
	t.Helper()
	o.services = map[string]*corev1.Service{}
	for document := range strings.SplitSeq(documents, "\n---\n") {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			t.Fatal(err)
		}
		var into any
		switch head.APIVersion + " " + head.Kind {
		case "apps/v1 StatefulSet":
			o.set = new(appsv1.StatefulSet)
			into = o.set
		case "policy/v1 PodDisruptionBudget":
			o.budget = new(policyv1.PodDisruptionBudget)
			into = o.budget
		case "networking.k8s.io/v1 NetworkPolicy":
			o.network = new(networkingv1.NetworkPolicy)
			into = o.network
		case "v1 Secret":
			o.secret = new(corev1.Secret)
			into = o.secret
		case "v1 Service":
			into = new(corev1.Service)
		case "kustomize.config.k8s.io/v1beta1 Kustomization":
			into = new(kustomize.Kustomization)
		default:
			t.Fatalf("got %q, which is not expected", head)
		}
		if err := yaml.UnmarshalStrict([]byte(document), into); err != nil {
			t.Fatalf("%s: %v", head.Kind, err)
		}
		if s, ok := into.(*corev1.Service); ok {
			o.services[s.Name] = s
		}
	}
	return o
}

// render is `kubectl apply -k`, up to the server, with secrets made as the README says.
func render(t *testing.T) (o objects, secretDir string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "k8s")
	// What somebody has in secrets is nobody's business here.
	files, err := filepath.Glob("../k8s/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("got %q and %v, want the manifests", files, err)
	}
	secretDir = filepath.Join(dir, "secrets")
	if err := os.CopyFS(secretDir, os.DirFS(secrets(t))); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), []byte(read(t, file)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	result, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := result.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, string(text)), secretDir
}

func container(t *testing.T, o objects) corev1.Container {
	t.Helper()
	all := o.set.Spec.Template.Spec.Containers
	if len(all) != 1 {
		t.Fatalf("got %d containers, want 1", len(all))
	}
	return all[0]
}

func TestManifestsHaveNoFieldThatKubernetesDoesNotKnow(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(os.DirFS("../k8s"), "*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("got %q and %v, want the manifests", files, err)
	}
	for _, file := range files {
		decode(t, read(t, "../k8s/"+file))
	}
}

// The arguments are checked by the binary itself, with the secret's files.
func TestPodsRunANodeWithGoodSettings(t *testing.T) {
	t.Parallel()
	o, dir := render(t)
	c := container(t, o)
	replace := []string{"/run/secrets/skein", dir}
	for _, e := range c.Env {
		replace = append(replace, "$("+e.Name+")", map[string]string{"POD_NAME": "skein-0", "POD_IP": "10.1.2.3"}[e.Name])
	}
	var args []string
	for _, a := range c.Args {
		args = append(args, strings.NewReplacer(replace...).Replace(a))
	}
	check(t, nil, args)
	if join := flag(t, args, "cluster-join"); join != "skein-nodes:6201" || o.services["skein-nodes"] == nil {
		t.Errorf("got %q to join, want the headless service", join)
	}
	if least, _ := strconv.Atoi(flag(t, args, "cluster-min")); least < 2 || least >= int(*o.set.Spec.Replicas) {
		t.Errorf("got %d nodes at least of %d, want a majority that one may be missing from", least, *o.set.Spec.Replicas)
	}
}

func TestPodsGetTheSecretThatTheyRead(t *testing.T) {
	t.Parallel()
	o, _ := render(t)
	pod, c := o.set.Spec.Template.Spec, container(t, o)
	if got := pod.Volumes[0].Secret.SecretName; got != o.secret.Name || !strings.HasPrefix(got, "skein-") {
		t.Errorf("got the secret %q, want %q, with its hash", got, o.secret.Name)
	}
	mount := c.VolumeMounts[0]
	if mount.Name != pod.Volumes[0].Name || !mount.ReadOnly {
		t.Errorf("got the mount %+v, want the secret's, to read only", mount)
	}
	read := map[string]bool{}
	for _, a := range c.Args {
		if _, file, ok := strings.Cut(a, mount.MountPath+"/"); ok {
			read[file] = true
			if len(o.secret.Data[file]) == 0 {
				t.Errorf("%s: the secret has no such file", a)
			}
		}
	}
	if len(read) != len(o.secret.Data) || o.secret.Data["ca.key"] != nil {
		t.Errorf("got the files %v, and %d in the secret, want the same, without the authority's key", read, len(o.secret.Data))
	}
}

func TestEverythingSelectsTheNodes(t *testing.T) {
	t.Parallel()
	o, _ := render(t)
	labels := o.set.Spec.Template.Labels
	selectors := map[string]map[string]string{
		"set": o.set.Spec.Selector.MatchLabels, "budget": o.budget.Spec.Selector.MatchLabels,
		"network": o.network.Spec.PodSelector.MatchLabels, "skein": o.services["skein"].Spec.Selector,
		"skein-nodes": o.services["skein-nodes"].Spec.Selector,
	}
	for who, selector := range selectors {
		if len(selector) == 0 {
			t.Errorf("%s selects everything", who)
		}
		for key, value := range selector {
			if labels[key] != value {
				t.Errorf("%s selects %s=%s, and nodes have %q", who, key, value, labels[key])
			}
		}
	}
}

func TestNodesFindEachOtherBeforeTheyAreReady(t *testing.T) {
	t.Parallel()
	o, _ := render(t)
	headless := o.services[o.set.Spec.ServiceName]
	if headless == nil || headless.Spec.ClusterIP != corev1.ClusterIPNone || !headless.Spec.PublishNotReadyAddresses {
		t.Errorf("got %+v for the nodes, want a headless service with those that are not ready", headless)
	}
	if got := o.set.Spec.PodManagementPolicy; got != appsv1.ParallelPodManagement {
		t.Errorf("got %q, want nodes that start in parallel", got)
	}
	if got := o.services["skein"].Spec.SessionAffinity; got == corev1.ServiceAffinityClientIP {
		t.Error("got sticky sessions, want none")
	}
	if b := o.budget.Spec.MaxUnavailable; b == nil || b.IntValue() != 1 {
		t.Errorf("got a budget of %v, want one node at a time", b)
	}
}

func TestProbesAskWhatANodeAnswers(t *testing.T) {
	t.Parallel()
	o, _ := render(t)
	c := container(t, o)
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	probes := map[string]*corev1.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe}
	codes := answers(t, "/healthz", "/readyz")
	for path, probe := range probes {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || !ports[probe.HTTPGet.Port.String()] {
			t.Errorf("%s: got %+v, want a probe of a port that there is", path, probe)
		}
		if codes[path] != 200 {
			t.Errorf("%s: got %d, want 200", path, codes[path])
		}
	}
	if s := c.StartupProbe; s == nil || s.FailureThreshold*s.PeriodSeconds < 20 {
		t.Errorf("got %+v, want more than --join-timeout to start", s)
	}
	for name, service := range o.services {
		for _, p := range service.Spec.Ports {
			if !ports[p.TargetPort.String()] {
				t.Errorf("service %s: no port %q", name, p.TargetPort.String())
			}
		}
	}
}

func TestPodsHaveTheTimeToDrain(t *testing.T) {
	t.Parallel()
	o, _ := render(t)
	c := container(t, o)
	drain, err := time.ParseDuration(flag(t, c.Args, "drain"))
	if err != nil {
		t.Fatal(err)
	}
	before := time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	grace := time.Duration(*o.set.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	if need := before + drain + rest; before == 0 || grace < need {
		t.Errorf("got %v to end and %v before that, want more than %v", grace, before, need)
	}
}

func TestPodsMayDoNothingElse(t *testing.T) {
	t.Parallel()
	o, _ := render(t)
	pod, c := o.set.Spec.Template.Spec, container(t, o)
	p, s := pod.SecurityContext, c.SecurityContext
	if p == nil || s == nil {
		t.Fatal("got no security context")
	}
	yes := func(b *bool) bool { return b != nil && *b }
	no := func(b *bool) bool { return b != nil && !*b }
	for what, ok := range map[string]bool{
		"not root":             yes(p.RunAsNonRoot) && *p.RunAsUser == 65532,
		"seccomp":              p.SeccompProfile != nil && p.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"no more privileges":   no(s.AllowPrivilegeEscalation),
		"read-only":            yes(s.ReadOnlyRootFilesystem),
		"no capabilities":      slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(s.Capabilities.Add) == 0,
		"no token":             no(pod.AutomountServiceAccountToken),
		"no service variables": no(pod.EnableServiceLinks),
		"readable secret":      p.FSGroup != nil && *pod.Volumes[0].Secret.DefaultMode == 0o440,
	} {
		if !ok {
			t.Errorf("the pod lacks: %s", what)
		}
	}
}
