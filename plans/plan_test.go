package plans

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gopkg.in/yaml.v3"
)

func load(t *testing.T, file string) *Plan {
	t.Helper()
	plan, err := Load(file)
	if err != nil {
		t.Fatalf("\n%v", err)
	}
	return plan
}

func names(sites []Site) []string {
	var out []string
	for _, s := range sites {
		out = append(out, s.Name)
	}
	return out
}

func TestSites(t *testing.T) {
	fan := load(t, "../examples/fan-out.yaml")
	if got := names(fan.Secondaries()); !slices.Equal(got, []string{"site-b", "site-c"}) {
		t.Errorf("secondaries: %v", got)
	}
	if got := names(fan.MirrorSites()); !slices.Equal(got, []string{"site-b", "site-c"}) {
		t.Errorf("one-way mirrors at %v", got)
	}
	two := load(t, "../examples/two-way.yaml")
	if got := names(two.MirrorSites()); !slices.Equal(got, []string{"site-a", "site-b"}) {
		t.Errorf("two-way mirrors at %v", got)
	}
	if two.Site("site-x") != nil || two.Site("site-b") != &two.Sites[1] {
		t.Error("Site")
	}
}

func TestDefaults(t *testing.T) {
	plan := load(t, "../examples/one-way.yaml")
	a, b := plan.Site("site-a"), plan.Site("site-b")
	for what, pair := range map[string][2]any{
		"direction":       {plan.Direction, OneWay},
		"user":            {a.User, "client.drover"},
		"cluster":         {a.Cluster, "site-a"},
		"mirror name":     {a.MirrorName, "site-a"},
		"run":             {a.Daemon.Run, RunNone},
		"no daemon user":  {a.Daemon.User, ""},
		"daemon user":     {b.Daemon.User, "client.rbd-mirror.site-b"},
		"directory":       {strings.HasSuffix(b.Daemon.Directory, "/one-way/site-b"), true},
		"peers":           {plan.Peers.By, PeerByToken},
		"no peer client":  {plan.Peers.ClientAt("site-b"), ""},
		"image mode":      {plan.Pools[0].Images[0].Mode, ModeJournal},
		"pool mode":       {plan.Pools[0].Mirror, PoolModeImage},
		"checks":          {plan.Checks.Schedule, "@every 1m"},
		"checks timeout":  {plan.Checks.Timeout.String(), "5s"},
		"fence timeout":   {a.Fence.Timeout.String(), "30s"},
		"converge":        {plan.Converge, ConvergeReport},
		"preserve":        {plan.Preserve.Keep.String(), "7d"},
		"parallel":        {plan.Runbooks.Parallel, 128},
		"proof timeout":   {plan.Runbooks.ProofTimeout.String(), "5m"},
		"call timeout":    {plan.Runbooks.CallTimeout.String(), "2m"},
		"approval":        {plan.Runbooks.Approval.String(), "15m"},
		"reverse":         {plan.Runbooks.Reverse, ReverseRefuse},
		"min free":        {plan.Runbooks.MinFree, Percent(10)},
		"preserve suffix": {plan.Preserve.Suffix, ".preserved"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %v, want %v", what, pair[0], pair[1])
		}
	}
	two := load(t, "../examples/two-way.yaml")
	if got := two.Site("site-b").Daemon.Unit; got != "ceph-rbd-mirror@rbd-mirror.site-b.service" {
		t.Errorf("unit: %s", got)
	}
	drill, err := Parse("p.yaml", []byte(planWithSecrets+"drills: [{name: d, checks: [{name: c, builtin: hash}]}]\npeers: {by: conf}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if d := drill.Drills[0]; d.Site != "b" || d.Namespace != "drover-drill" || d.Checks[0].Per != "image" || d.Checks[0].Timeout.String() != "5m" {
		t.Errorf("drill: %+v", d)
	}
	if got := drill.Hooks[0].Runbooks; !slices.Equal(got, []string{"switchover", "failover", "failback"}) {
		t.Errorf("runbooks: %v", got)
	}
	if got := drill.Peers.ClientAt("b"); got != defaultPeerClient {
		t.Errorf("peer client: %v", got)
	}
}

func TestRelativePaths(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	text := strings.NewReplacer("a.conf", "../a.conf", "b.conf", "/abs//b.conf").Replace(planWithSecrets)
	plan, err := Parse(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := plan.Sites[0].Conf, filepath.Join(filepath.Dir(filepath.Dir(file)), "a.conf"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := plan.Sites[1].Conf; got != "/abs/b.conf" {
		t.Errorf("an absolute path became %s", got)
	}
	for _, name := range []string{"", "-"} {
		plan, err := Parse(name, []byte(planWithSecrets))
		if err != nil || !filepath.IsAbs(plan.Sites[0].Conf) {
			t.Errorf("file %q: %v, %v", name, plan, err)
		}
	}
}

func TestMatch(t *testing.T) {
	plan := load(t, "../examples/globs-openstack.yaml")
	pool := plan.Pool("volumes", "")
	exact := "volume-2f1c7b1e-54a0-4dd9-9c62-0f6f0f0a51d8"
	for name, want := range map[string]*Image{
		exact: &pool.Images[0], "volume-1": &pool.Images[1], "volume-": &pool.Images[1],
		"volume-1.deleted": nil, "snapshot": nil, "": nil,
	} {
		got, ok := pool.Match(name)
		if got != want || ok != (want != nil) {
			t.Errorf("%q: got %+v", name, got)
		}
	}
	if got := plan.RPOFor(pool, exact).String(); got != "1m" {
		t.Errorf("the image's objective: %s", got)
	}
	if got := plan.RPOFor(pool, "volume-1").String(); got != "5m" {
		t.Errorf("the plan's objective: %s", got)
	}
	if got := pool.Images[0].FeaturesWanted(); !slices.Equal(got, []string{"exclusive-lock", "object-map", "fast-diff", "journaling"}) {
		t.Errorf("features: %v", got)
	}
	if got := plan.Pools[1].Images[0].FeaturesWanted(); got != nil {
		t.Errorf("snapshot mode needs no features, got %v", got)
	}

	whole := load(t, "../examples/pool-mode.yaml").Pool("rbd", "")
	if got, ok := whole.Match("anything"); !ok || got.Name != "anything" || got.Mode != ModeJournal {
		t.Errorf("pool mode: %+v", got)
	}
	if _, ok := whole.Match("scratch-1"); ok {
		t.Error("an excluded image matches")
	}
	if plan.Pool("volumes", "x") != nil {
		t.Error("a namespace that is not there")
	}
	if full := load(t, "../examples/full.yaml"); full.RPOFor(full.Pool("archive", ""), "x") != 0 || full.RPOFor(nil, "x").String() != "5m" {
		t.Error("a pool's objective of zero is not the plan's")
	}
}

func TestGroupsAndWaves(t *testing.T) {
	plan := load(t, "../examples/full.yaml")
	for _, test := range []struct{ pool, namespace, image, group, wave string }{
		{"volumes", "", "db-data", "db", "first"},
		{"volumes", "", "volume-shop-1", "shops", "second"},
		{"volumes", "", "volume-1", "", "second"},
		{"tenants", "blue", "blog", "", "second"},
		{"tenants", "", "blog", "", ""},
		{"archive", "", "x", "", ""},
	} {
		group, wave := "", ""
		if g := plan.GroupOf(test.pool, test.namespace, test.image); g != nil {
			group = g.Name
		}
		if w := plan.WaveOf(test.pool, test.namespace, test.image); w != nil {
			wave = w.Name
		}
		if group != test.group || wave != test.wave {
			t.Errorf("%+v: got group %q, wave %q", test, group, wave)
		}
	}
}

func TestFingerprint(t *testing.T) {
	base := planWithSecrets
	print := func(file, text string) string {
		t.Helper()
		plan, err := Parse(file, []byte(text))
		if err != nil {
			t.Fatalf("\n%v", err)
		}
		return plan.Fingerprint()
	}
	want := print("/plans/p.yaml", base)
	if !strings.HasPrefix(want, "sha256:") || len(want) != len("sha256:")+64 {
		t.Fatalf("got %q", want)
	}
	for what, text := range map[string]string{
		"comments":     "# hello\n" + strings.ReplaceAll(base, "\n", " # x\n"),
		"key order":    strings.Replace(base, "version: 1\nname: secrets\n", "name: secrets\nversion: 1\n", 1),
		"defaults":     base + "direction: one-way\nchecks: {timeout: 5000ms}\n",
		"quotes":       strings.Replace(base, "name: secrets", `name: "secrets"`, 1),
		"clean paths":  strings.Replace(base, "a.conf", "./x/../a.conf", 1),
		"written path": strings.Replace(base, "conf: a.conf", "conf: /plans/a.conf", 1),
	} {
		if got := print("/plans/p.yaml", text); got != want {
			t.Errorf("%s change the fingerprint", what)
		}
	}
	if got := print("/elsewhere/q.yaml", base); got != want {
		t.Error("the plan's folder changes the fingerprint")
	}
	seen := map[string]string{want: "the plan itself"}
	for what, text := range map[string]string{
		"name":         strings.Replace(base, "name: secrets", "name: other", 1),
		"site":         strings.Replace(base, "b.conf", "c.conf", 1),
		"header":       strings.Replace(base, "Bearer hunter2", "Bearer hunter3", 1),
		"secret place": strings.Replace(base, "HUNTER2", "HUNTER3", 1),
		"secret kind":  strings.Replace(base, "{env: HUNTER2}", "{credential: HUNTER2}", 1),
		"rpo":          base + "rpo: 5m\n",
		"pool rpo":     strings.Replace(base, "mirror: pool}", "mirror: pool, rpo: 0s}", 1),
		"description":  base + "description: x\n",
	} {
		got := print("/plans/p.yaml", text)
		if before, ok := seen[got]; ok {
			t.Errorf("%s has the fingerprint of %s", what, before)
		}
		seen[got] = what
	}
}

// TestMarshalRoundTrip writes each good plan and reads it again: it must mean
// the same. Plans with secrets cannot be read again, because they are hidden.
func TestMarshalRoundTrip(t *testing.T) {
	for _, file := range goodFiles(t) {
		plan := load(t, file)
		plan.Notifications, plan.HTTP.Token, plan.HTTP.Listen = Notifications{}, Secret{}, "127.0.0.1:1"
		for i := range plan.Hooks {
			if plan.Hooks[i].HTTP != nil {
				plan.Hooks[i].HTTP.Headers = nil
			}
		}
		// A default that is written out may mean nothing where it stands.
		text, err := yaml.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string][]byte{"YAML": text, "JSON": asJSON} {
			again, err := Parse(file, text)
			var errs Errors
			if errors.As(err, &errs) {
				errs = slices.DeleteFunc(errs, func(d Diagnostic) bool { return d.Code == CodeOutOfPlace })
			}
			if len(errs) > 0 {
				t.Errorf("%s as %s:\n%v\n%s", file, what, err, text)
				continue
			}
			if err == nil && again.Fingerprint() != plan.Fingerprint() {
				t.Errorf("%s as %s means something else:\n%s", file, what, text)
			}
		}
	}
}

func TestLoadErrors(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a folder loads")
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(pipe, []byte(planWithSecrets), 0o600) }()
	if plan, err := Load(pipe); err != nil || plan.Name != "secrets" {
		t.Errorf("from a pipe: %v", err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	_, err := Parse("", []byte("version: 1"))
	if err == nil || !strings.HasPrefix(err.Error(), "-:1:1: the plan has no name; add") {
		t.Errorf("got %v", err)
	}
}

func TestValidateChangedPlan(t *testing.T) {
	plan := load(t, "../examples/one-way.yaml")
	plan.Primary = "nowhere"
	plan.Pools[0].Images = append(plan.Pools[0].Images, Image{Name: "a/b", Mode: ModeJournal})
	var errs Errors
	if !errors.As(plan.Validate(), &errs) || len(errs) != 2 || errs[0].Code != CodeUnknownSite || errs[1].Code != CodeBadName {
		t.Errorf("got %v", errs)
	}
	if err := (&Plan{}).Validate(); err == nil {
		t.Error("an empty plan is valid")
	}
	copied := deepCopy(*plan)
	copied.Pools[0].Images[0].Create.Size = 7
	if plan.Pools[0].Images[0].Create.Size == 7 || !reflect.DeepEqual(copied.Sites, plan.Sites) {
		t.Error("deepCopy shares what it copies")
	}
}
