package integrations

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// workflow is what these tests need of a workflow file.
type workflow struct {
	Permissions map[string]string
	Env         map[string]string
	Jobs        map[string]job
}

type job struct {
	If          string
	Permissions map[string]string
	Environment string
	Needs       string
	Steps       []step
}

type step struct {
	ID, Name, If, Uses, Run string
	Env                     map[string]string
	With                    map[string]string
}

// loadWorkflow reads the workflow that we ship.
func loadWorkflow(t *testing.T) *workflow {
	t.Helper()
	var w workflow
	if err := yaml.Unmarshal([]byte(read(t, "github/hookline.yml")), &w); err != nil {
		t.Fatal(err)
	}
	if len(w.Jobs) != 3 {
		t.Fatalf("the workflow has %d jobs, want check, code-scanning and apply", len(w.Jobs))
	}
	return &w
}

// run is one run of a job's own steps, as a runner makes it: each in a bash of its
// own, with the files by which steps tell the runner what comes next. Actions are
// left out: the checkout has been made.
type run struct {
	t *testing.T
	// repository is the checkout, github the folder of the fake gh.
	repository, github string
	// filled is what a user fills in: values of env.
	filled map[string]string
	// values are those of the expressions that a step may use.
	values map[string]string
	// fork tells that the pull request comes from another repository.
	fork bool
	// around is put ahead of each step's command.
	around []string
	env    []string

	temp     string
	path     []string
	outcomes map[string]string // by the step's id
	failed   bool
	log      strings.Builder
}

// job runs the steps of a job.
func (r *run) job(w *workflow, name string) *run {
	r.t.Helper()
	r.temp, r.outcomes = r.t.TempDir(), map[string]string{}
	j, ok := w.Jobs[name]
	if !ok {
		r.t.Fatalf("there is no job %s", name)
	}
	for _, s := range j.Steps {
		if s.Uses != "" {
			continue
		}
		if !r.wanted(s.If) {
			r.log.WriteString("## " + s.Name + ": skipped\n")
			continue
		}
		r.log.WriteString("## " + s.Name + "\n")
		outcome := "success"
		if !r.step(w, s) {
			outcome, r.failed = "failure", true
		}
		r.outcomes[s.ID] = outcome
	}
	return r
}

// wanted decides about a step's condition.
func (r *run) wanted(condition string) bool {
	r.t.Helper()
	if condition == "" {
		return !r.failed // success()
	}
	for _, term := range strings.Split(strings.TrimSuffix(strings.TrimPrefix(condition, "${{ "), " }}"), " && ") {
		holds := false
		switch term {
		case "!cancelled()", "github.event_name == 'pull_request'":
			holds = true
		case "steps.install.outcome == 'success'":
			holds = r.outcomes["install"] == "success"
		case "github.event.pull_request.head.repo.full_name == github.repository":
			holds = !r.fork
		default:
			r.t.Fatalf("this runner does not know the condition %q", term)
		}
		if !holds {
			return false
		}
	}
	return true
}

var expression = regexp.MustCompile(`\$\{\{ *(.*?) *\}\}`)

// value replaces the expressions in a value of env.
func (r *run) value(s string) string {
	return expression.ReplaceAllStringFunc(s, func(e string) string {
		v, ok := r.values[expression.FindStringSubmatch(e)[1]]
		if !ok {
			r.t.Fatalf("this runner does not know the expression %s", e)
		}
		return v
	})
}

// step runs a step's script and tells whether it succeeded.
func (r *run) step(w *workflow, s step) bool {
	r.t.Helper()
	script := filepath.Join(r.temp, "step.sh")
	write(r.t, script, s.Run, 0o600)
	argv := append(append([]string{}, r.around...), "bash", "--noprofile", "--norc", "-eo", "pipefail", script)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = r.repository
	bin := filepath.Join(r.github, "bin")
	cmd.Env = append(os.Environ(), r.env...)
	cmd.Env = append(cmd.Env,
		"PATH="+strings.Join(append(r.path, bin, os.Getenv("PATH")), ":"), "RUNNER_TEMP="+r.temp, "GITHUB_REPOSITORY=site/rules",
		"GITHUB_OUTPUT="+r.file("output"), "GITHUB_STEP_SUMMARY="+r.file("summary"), "GITHUB_PATH="+r.file("path"), fakeGH+"=",
	)
	for _, env := range []map[string]string{w.Env, r.filled, s.Env} {
		for k, v := range env {
			cmd.Env = append(cmd.Env, k+"="+r.value(v))
		}
	}
	cmd.Stdout, cmd.Stderr = &r.log, &r.log
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	r.path = nil
	for line := range strings.Lines(read(r.t, r.file("path"))) {
		r.path = append(r.path, strings.TrimSpace(line))
	}
	return err == nil
}

// file is one of the files by which a step speaks to the runner.
func (r *run) file(name string) string {
	path := filepath.Join(r.temp, "github-"+name)
	if _, err := os.Stat(path); err != nil {
		write(r.t, path, "", 0o600)
	}
	return path
}

func (r *run) summary() string { return read(r.t, r.file("summary")) }

// comments are those on the pull request.
func (r *run) comments() []comment {
	r.t.Helper()
	c, err := loadComments(r.github)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// calls is what gh was asked for.
func (r *run) calls() string {
	text, err := os.ReadFile(filepath.Join(r.github, "calls"))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return string(text)
}
