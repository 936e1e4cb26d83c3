package integrations

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"hookline/backend"
	"hookline/internal/netns"
)

// duplicates is a recorded node: an RKE2 node with copies of Kube-OVN's jump.
const duplicates = root + "/golden/nodes/rke2-duplicates-nft"

// TestWorkflowIsValid asks actionlint, which has shellcheck look at the scripts.
func TestWorkflowIsValid(t *testing.T) {
	t.Parallel()
	must(t)
	need(t, "shellcheck")
	cmd := exec.Command("go", "tool", "-modfile=tools/actionlint.mod", "actionlint", "integrations/github/hookline.yml")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("actionlint: %v\n%s", err, out)
	}
}

var pinned = regexp.MustCompile(`(?m)uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)

// TestWorkflowAsksForLittle: no rights but those that a job needs, no action that
// its author can exchange, no text of a pull request in a script.
func TestWorkflowAsksForLittle(t *testing.T) {
	w := loadWorkflow(t)
	text := read(t, "github/hookline.yml")
	if n := strings.Count(text, "uses: "); n != len(pinned.FindAllString(text, -1)) || n == 0 {
		t.Errorf("%d actions are used, and not all are pinned by their commit, with their version", n)
	}
	if strings.Count(text, "actions/checkout@") != strings.Count(text, "persist-credentials: false") {
		t.Error("a checkout leaves the token behind")
	}
	want := map[string]map[string]string{
		"check":         {"contents": "read", "pull-requests": "write"},
		"code-scanning": {"contents": "read", "security-events": "write"},
		"apply":         {"contents": "read"},
	}
	if len(w.Permissions) != 0 || !strings.Contains(text, "\npermissions: {}\n") {
		t.Error("the workflow has rights of its own")
	}
	install := ""
	for name, j := range w.Jobs {
		if got := fmt.Sprint(j.Permissions); got != fmt.Sprint(want[name]) {
			t.Errorf("job %s has the rights %s, want %v", name, got, want[name])
		}
		for _, s := range j.Steps {
			if strings.Contains(s.Run, "${{") {
				t.Errorf("step %q of %s has an expression in its script", s.Name, name)
			}
			if s.Name != "Install hookline" {
				continue
			}
			if install == "" {
				install = s.Run
			}
			if s.Run != install {
				t.Errorf("job %s installs hookline in another way than the others", name)
			}
		}
	}
	apply := w.Jobs["apply"]
	if apply.Needs != "check" || apply.Environment == "" || !strings.Contains(apply.If, "github.event_name == 'push' && github.ref == 'refs/heads/main'") {
		t.Errorf("apply needs %q, environment %q, if %q: it must not run for anything but main, unasked", apply.Needs, apply.Environment, apply.If)
	}
}

// repository is a checkout of a user's repository, with a fake gh beside it.
func repository(t *testing.T) *run {
	t.Helper()
	need(t, "bash", "curl", "jq", "sha256sum")
	program := hookline(t)
	sum := sha256.Sum256([]byte(read(t, program)))
	r := &run{t: t, repository: t.TempDir(), github: t.TempDir(), filled: map[string]string{
		"HOOKLINE_URL": "file://" + program, "HOOKLINE_SHA256": hex.EncodeToString(sum[:]),
	}, values: map[string]string{
		"github.token": "a token", "github.event.pull_request.number": "7", "github.event.pull_request.head.sha": "0123abc",
	}}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(r.github, "bin", "gh"), fmt.Sprintf("#!/bin/sh\n%s='%s' exec '%s' \"$@\"\n", fakeGH, r.github, self), 0o755)
	copyFile(t, root+"/rulesets/harvester/ruleset.yaml", filepath.Join(r.repository, "rulesets", "harvester.yaml"), 0o644)
	return r
}

// record puts a node into the repository: the recorded one, with a role.
func (r *run) record(name, role string) {
	r.t.Helper()
	to := filepath.Join(r.repository, "snapshots", name)
	if err := os.CopyFS(to, os.DirFS(duplicates)); err != nil {
		r.t.Fatal(err)
	}
	write(r.t, filepath.Join(to, "values.yaml"), "role: "+role+"\n", 0o644)
}

// snapshot records an empty node, after an apply if that is wanted.
func (r *run) snapshot(name string, applied bool) {
	r.t.Helper()
	ns := netns.ForTest(r.t)
	program, rulesets := hookline(r.t), filepath.Join(r.repository, "rulesets")
	do := func(args ...string) {
		r.t.Helper()
		res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: append([]string{program}, args...)})
		if err != nil || res.Exit != 0 {
			r.t.Fatalf("hookline %s: %v, exit %d\n%s%s", strings.Join(args, " "), err, res.Exit, res.Stdout, res.Stderr)
		}
	}
	dir := filepath.Join(r.repository, "snapshots", name)
	values := filepath.Join(dir, "values.yaml")
	write(r.t, values, "role: worker\n", 0o644)
	if applied {
		do("apply", rulesets, "--values", values, "--state-dir", r.t.TempDir(), "--backend", "iptables-nft")
	}
	do("snapshot", "--backend", "iptables-nft", "--out", filepath.Join(dir, name+".txtar"))
}

// check runs the job check and compares how it ends.
func (r *run) check(fails bool) *run {
	r.t.Helper()
	r.failed = false
	r.log.Reset()
	if r.job(loadWorkflow(r.t), "check"); r.failed != fails {
		r.t.Fatalf("the job failed: %v, want %v\n%s", r.failed, fails, r.log.String())
	}
	return r
}

const harvesterConstraint = `
  constraints:
    - name: input-drops
      that: planned.chain("ipv4", "filter", "INPUT").policy == "DROP"
      message: "the policy of INPUT must be DROP, says @everyone"
`

// TestPullRequest is the life of one: plans for two nodes as one comment, which is
// edited from then on, whatever the state of the rulesets.
func TestPullRequest(t *testing.T) {
	t.Parallel()
	r := repository(t)
	r.record("node-1", "control-plane")
	r.snapshot("node-2", false)
	write(t, filepath.Join(r.repository, "snapshots", "README.md"), "not a node\n", 0o644)
	human, bot := comment{1, user{"someone"}, "<!-- hookline: plans -->\nmine"}, comment{2, user{"github-actions[bot]"}, "of another workflow"}
	if err := saveComments(r.github, []comment{human, bot}); err != nil {
		t.Fatal(err)
	}
	r.check(false)
	has(t, "the log", r.log.String(), "There are changes", "hookline: OK")
	if got := r.comments(); len(got) != 3 || got[0] != human || got[1] != bot {
		t.Fatalf("want one comment more, and the others as they were: %v", got)
	}
	first := r.comments()[2]
	has(t, "the comment", first.Body, "<!-- hookline: plans -->\nFor commit 0123abc.\n\n| recorded in | plan |",
		"\n| `snapshots/node-1` | changes |", "\n| `snapshots/node-2` | changes |",
		"on iptables-nft, recorded in `snapshots/node-1`", "on iptables-nft, recorded in `snapshots/node-2`",
		"--dports 80,443,2112,2379:2380,6443", "--dports 80,443,2112,9091,9796")
	t.Logf("the comment on two nodes:\n%s", first.Body)
	has(t, "the summary", r.summary(), strings.TrimPrefix(first.Body, "<!-- hookline: plans -->\nFor commit 0123abc.\n\n"))
	has(t, "the output", read(t, r.file("output")), `nodes=["node-1","node-2"]`)

	edited := func(what string, parts ...string) {
		t.Helper()
		got := r.comments()
		if len(got) != 3 || got[0] != human || got[1] != bot || got[2].ID != first.ID {
			t.Fatalf("%s: the comment is not edited in its place: %v", what, got)
		}
		has(t, what, got[2].Body, parts...)
	}
	// The next commit breaks a constraint.
	file := filepath.Join(r.repository, "rulesets", "harvester.yaml")
	good := read(t, file)
	before, _, _ := strings.Cut(good, "\n  constraints:\n")
	write(t, file, before+harvesterConstraint, 0o644)
	r.values["github.event.pull_request.head.sha"] = "4567def"
	r.check(true)
	has(t, "the log", r.log.String(), "::error title=hookline::the plan ends with exit code 3")
	edited("a broken constraint", "For commit 4567def.", "| `snapshots/node-1` | **a placement or a constraint does not hold** |",
		"**Nothing would be applied: the plan has errors.**", "the policy of INPUT must be DROP, says &#64;&#8203;everyone")

	// One more is no YAML: annotations at the lines, and the comment does not show the plans of before.
	write(t, file, strings.Replace(good, "    nat:", "   nat:", 1), 0o644)
	r.check(true)
	if !regexp.MustCompile(`(?m)^::error file=rulesets/harvester\.yaml,line=\d+,col=\d+,endLine=\d+,title=yaml-syntax::`).MatchString(r.log.String()) {
		t.Errorf("no annotation at the line:\n%s", r.log.String())
	}
	edited("no YAML", "### hookline: no plan, the input has errors", "`rulesets/harvester.yaml:")

	// Mended, and one node recorded after it was applied.
	write(t, file, good, 0o644)
	if err := os.RemoveAll(filepath.Join(r.repository, "snapshots")); err != nil {
		t.Fatal(err)
	}
	r.snapshot("node-2", true)
	r.check(false)
	has(t, "the log", r.log.String(), "Every recorded node is as declared.")
	edited("as declared", "Nothing to do: the host is as declared.")
	if n := strings.Count(r.calls(), "--method POST"); n != 1 {
		t.Errorf("%d comments were made, want one:\n%s", n, r.calls())
	}
}

// TestNoNodeIsRecorded: a repository that begins is no failure, and the run says
// what is missing.
func TestNoNodeIsRecorded(t *testing.T) {
	r := repository(t).check(false)
	has(t, "the log", r.log.String(), "::warning title=hookline::no node is recorded in snapshots")
	has(t, "the comment", r.comments()[0].Body, "### hookline: 1 ruleset file(s): valid", "No node is recorded in `snapshots`.")
	has(t, "the output", read(t, r.file("output")), "nodes=[]\n")
}

// TestNoRightToComment: a fork's pull request is not commented on, a token that
// may not write is no failure, and the plans are in the summary.
func TestNoRightToComment(t *testing.T) {
	t.Parallel()
	r := repository(t)
	r.record("node-1", "worker")
	r.fork = true
	r.check(false)
	if r.calls() != "" {
		t.Errorf("gh was called for a fork: %s", r.calls())
	}
	has(t, "the summary", r.summary(), "recorded in `snapshots/node-1`")

	r.fork = false
	write(t, filepath.Join(r.github, "read-only"), "", 0o600)
	r.check(false)
	has(t, "the log", r.log.String(), "HTTP 403", "::notice title=hookline::the comment cannot be written: the plans are in the summary of this run")
	has(t, "the summary", r.summary(), "recorded in `snapshots/node-1`")
}

// TestAnotherProgram: what has another checksum is not run.
func TestAnotherProgram(t *testing.T) {
	r := repository(t)
	r.record("node-1", "worker")
	r.filled["HOOKLINE_SHA256"] = strings.Repeat("0", 64)
	r.check(true)
	has(t, "the log", r.log.String(), "FAILED", "## Plan against the recorded nodes: skipped", "## Comment on the pull request: skipped")
	r.filled = nil // as the file is shipped
	r.check(true)
	has(t, "the log", r.log.String(), "HOOKLINE_URL: is not set")
}

// TestManyNodesFit: the plans of forty nodes are one comment that GitHub takes.
func TestManyNodesFit(t *testing.T) {
	t.Parallel()
	r := repository(t)
	for i := range 40 {
		r.record(fmt.Sprintf("node-%d", i), "control-plane")
	}
	r.check(false)
	body := r.comments()[0].Body
	if n := utf8.RuneCountInString(body); n > commentLimit || n < commentLimit/2 {
		t.Errorf("the comment has %d characters", n)
	}
	for i := range 40 {
		has(t, "the comment", body, fmt.Sprintf("\n| `snapshots/node-%d` | changes |", i))
	}
	has(t, "the comment", body, "left out")
}

// TestCodeScanning: the findings become a file that GitHub takes, whether there
// are any or not.
func TestCodeScanning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"apiVersion: hookline/v1\nkind: Ruleset\nmetadata: {name: site, version: 1.0.0}\nspec: {tabels: {}}\n", "rulesets/site.yaml"},
	} {
		r := repository(t)
		if c.text != "" {
			write(t, filepath.Join(r.repository, "rulesets", "site.yaml"), c.text, 0o644)
		}
		if r.job(loadWorkflow(t), "code-scanning"); r.failed {
			t.Fatalf("the job failed:\n%s", r.log.String())
		}
		text := read(t, filepath.Join(r.temp, "hookline.sarif"))
		if !json.Valid([]byte(text)) {
			t.Errorf("the findings are no JSON: %s", text)
		}
		has(t, "the findings", text, `"version": "2.1.0"`, c.want)
	}
}

// TestApplyFromMain runs the job apply on a node: an empty one in a namespace,
// whose files of state are its own too.
func TestApplyFromMain(t *testing.T) {
	t.Parallel()
	need(t, "unshare", "nsenter")
	r := repository(t)
	r.record("node-1", "control-plane")
	ns := netns.ForTest(t)
	r.values["matrix.node"], r.env = "node-1", ns.Env()
	r.around = []string{"unshare", "--mount", "nsenter", "--net=" + ns.Path(), "sh", "-c", `mount -t tmpfs none /var/lib && exec "$@"`, "sh"}
	if r.job(loadWorkflow(t), "apply"); r.failed {
		t.Fatalf("the job failed:\n%s", r.log.String())
	}
	has(t, "the log", r.log.String(), "applied and read back: the host is as declared", "nothing to do: the host is as declared")
	save := output(t, "nsenter", "--net="+ns.Path(), "iptables-nft-save")
	has(t, "the node", save, `--comment "hookline:harvester-node" -j HARVESTER_INPUT`, "--dports 80,443,2112,2379:2380,6443")

	// What does not hold is not applied, and the job fails.
	file := filepath.Join(r.repository, "rulesets", "harvester.yaml")
	before, _, _ := strings.Cut(read(t, file), "\n  constraints:\n")
	write(t, file, strings.Replace(before, "5/minute", "9/minute", 1)+harvesterConstraint, 0o644)
	w := loadWorkflow(t)
	for i, s := range w.Jobs["apply"].Steps {
		w.Jobs["apply"].Steps[i].Run = strings.Replace(s.Run, "--wait 60s", "--wait 1s", 1)
	}
	if r.job(w, "apply"); !r.failed {
		t.Errorf("the job succeeded:\n%s", r.log.String())
	}
	has(t, "the log", r.log.String(), "the policy of INPUT must be DROP", "nothing was written")
	rules := func(s string) string { return regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(s, "") }
	if now := output(t, "nsenter", "--net="+ns.Path(), "iptables-nft-save"); rules(now) != rules(save) {
		t.Errorf("the node was changed:\n%s", now)
	}
}
