package integrations

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hookline/internal/netns"
)

// require is the variable that forbids tests to skip for want of a program.
const require = "HOOKLINE_REQUIRE_INTEGRATIONS"

// root is the module's folder.
const root = ".."

func TestMain(m *testing.M) {
	if dir := os.Getenv(fakeGH); dir != "" {
		os.Exit(gh(dir, os.Args[1:], os.Stdout, os.Stderr))
	}
	status := netns.Main(m)
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(status)
}

// built is the program, built once for all tests.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// inputs are the folders of what these tests run without reading it themselves.
var inputs = []string{".", "../backend", "../cmd", "../compiler", "../dsl", "../internal", "../rulesets", "../schemas"}

// hookline builds the program and tells where it is.
func hookline(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		// Go keeps the result of a test until something changes that the test has looked at.
		for _, dir := range inputs {
			if built.err = filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error { return err }); built.err != nil {
				return
			}
		}
		if built.dir, built.err = os.MkdirTemp("", "hookline-integrations-"); built.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(built.dir, "hookline"), "hookline/cmd/hookline")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatalf("building the program: %v", built.err)
	}
	return filepath.Join(built.dir, "hookline")
}

// need skips the test if a program is missing, or fails it where nothing may be
// skipped.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, "%s is missing", name)
		}
	}
}

// must skips the test if nobody asked for what takes long or needs root.
func must(t *testing.T) {
	t.Helper()
	if os.Getenv(require) != "1" {
		missing(t, "it takes long, and brings programs along or needs root")
	}
}

func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf(format, args...)
	if os.Getenv(require) == "1" {
		t.Fatalf("%s=1, but %s (`make integrations` installs what is needed)", require, why)
	}
	t.Skipf("SKIPPED, NOTHING WAS RUN: %s (`make integrations` runs it)", why)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// write makes a file, and the folders that it needs.
func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

// copyFile copies a file, and keeps nothing of it but its text.
func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	write(t, to, read(t, from), mode)
}

// output runs a program that must succeed and returns what it printed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, errs.String())
	}
	return string(out)
}

// has fails the test unless a text has all parts.
func has(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s lacks %q:\n%s", what, p, text)
		}
	}
}
