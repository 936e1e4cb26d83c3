package integrations

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// userDataLimit is what the tightest of the large clouds takes, in bytes.
const userDataLimit = 16 << 10

// cloudInit is where Debian's cloud-init lies unpacked; nobody wants it installed
// on the machine on which hookline is developed.
func cloudInit(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("HOOKLINE_CLOUD_INIT")
	if dir == "" {
		dir = filepath.Join(root, "dist", "cloud-init")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "usr/bin/cloud-init")); err != nil {
		missing(t, "there is no cloud-init in %s", dir)
	}
	return dir
}

// userData is what the script prints.
func userData(t *testing.T, args ...string) string {
	t.Helper()
	return output(t, "sh", append([]string{"cloud-init/user-data.sh"}, args...)...)
}

// schema has cloud-init check user data.
func schema(t *testing.T, file string) (string, error) {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "-m", "cloudinit.cmd.main", "schema", "--config-file", file)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(cloudInit(t), "usr/lib/python3/dist-packages"), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestUserDataIsWhatTheScriptPrints: the user data that lie here are made of the
// units and the ruleset that lie there.
func TestUserDataIsWhatTheScriptPrints(t *testing.T) {
	need(t, "sh", "awk", "sed")
	text := userData(t, root+"/rulesets/harvester/ruleset.yaml")
	if text != read(t, "cloud-init/user-data.yaml") {
		t.Error("cloud-init/user-data.yaml is another: make generate")
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte(text)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	if packed.Len() > userDataLimit {
		t.Errorf("the user data have %d bytes, packed, and clouds take %d", packed.Len(), userDataLimit)
	}
}

// config is what these tests need of user data.
type config struct {
	Files []struct{ Path, Permissions, Content string } `yaml:"write_files"`
}

// files are the contents by path.
func files(t *testing.T, text string) map[string]string {
	t.Helper()
	var c config
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range c.Files {
		out[f.Path] = f.Content
	}
	return out
}

// TestUserDataHoldsTheFiles: texts come through as they are, whatever is in them.
func TestUserDataHoldsTheFiles(t *testing.T) {
	need(t, "sh", "awk", "sed")
	dir := t.TempDir()
	odd := "\n  # begins with an empty line and blanks: \"quoted\" 'too' \\ ${x} %s\n\n---\nkey: |\n  text\t\n"
	write(t, filepath.Join(dir, "odd.yaml"), odd, 0o644)
	write(t, filepath.Join(dir, "open.yml"), "no: newline", 0o644)
	write(t, filepath.Join(dir, "v.yaml"), "role: witness\n", 0o644)
	sum := strings.Repeat("0123456789abcdef", 4)
	got := files(t, userData(t, "--values", filepath.Join(dir, "v.yaml"), "--args", "--backend iptables-legacy", "--url", "https://site.example/a?b=1&c=2",
		"--sha256", sum, filepath.Join(dir, "odd.yaml"), filepath.Join(dir, "open.yml")))
	for path, want := range map[string]string{
		"/etc/hookline/rulesets/odd.yaml": odd,
		"/etc/hookline/rulesets/open.yml": "no: newline\n",
		"/etc/hookline/values.yaml":       "role: witness\n",
		"/etc/hookline/hookline.env":      "HOOKLINE_ARGS=\"--values /etc/hookline/values.yaml --backend iptables-legacy\"\n",
	} {
		if got[path] != want {
			t.Errorf("%s holds %q, want %q", path, got[path], want)
		}
	}
	has(t, "first-boot.sh", got["/etc/hookline/first-boot.sh"], "\nurl='https://site.example/a?b=1&c=2'\nsha256='"+sum+"'\n")
	n := 0
	for path, text := range got {
		if unit, ok := strings.CutPrefix(path, "/etc/systemd/system/"); ok {
			n++
			if text != read(t, filepath.Join("systemd", unit)) {
				t.Errorf("%s is not the one in integrations/systemd", unit)
			}
		}
	}
	if n != 4 {
		t.Errorf("%d files for systemd, want 4", n)
	}
}

// TestUserDataRefuses: what would come out as something else is refused.
func TestUserDataRefuses(t *testing.T) {
	need(t, "sh", "awk", "sed")
	dir := t.TempDir()
	for _, name := range []string{"a.yaml", "b/a.yaml", "a b.yaml", "values.yaml", "a.txt"} {
		write(t, filepath.Join(dir, name), "x: y\n", 0o644)
	}
	sum := strings.Repeat("0", 64)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"which rulesets?", nil},
		{"there is no --frob", []string{"--frob", "a.yaml"}},
		{"two rulesets are called a.yaml", []string{"a.yaml", "b/a.yaml"}},
		{"a ruleset's file name has letters", []string{"a b.yaml"}},
		{"values.yaml is no name for a ruleset", []string{"values.yaml"}},
		{"does not end in .yaml", []string{"a.txt"}},
		{"--url and --sha256 go together", []string{"--url", "https://site.example/hookline", "a.yaml"}},
		{"--url and --sha256 go together", []string{"--sha256", sum, "a.yaml"}},
		{"is no checksum", []string{"--url", "https://site.example/hookline", "--sha256", "x'; reboot; '", "a.yaml"}},
		{"characters that a URL does not", []string{"--url", "https://site.example/'; reboot; '", "--sha256", sum, "a.yaml"}},
		{"put what needs quoting into a values file", []string{"--args", `--set "x=[1, 2]"`, "a.yaml"}},
	} {
		script, err := filepath.Abs("cloud-init/user-data.sh")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", append([]string{script}, c.args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("user-data.sh %q: %v, %s; want it refused with %q", c.args, err, out, c.want)
		}
	}
}

// TestUserDataSchema asks cloud-init, which finds what is wrong too.
func TestUserDataSchema(t *testing.T) {
	out, err := schema(t, "cloud-init/user-data.yaml")
	if err != nil || !strings.Contains(out, "Valid cloud-config") {
		t.Errorf("cloud-init schema: %v\n%s", err, out)
	}
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	write(t, wrong, strings.Replace(read(t, "cloud-init/user-data.yaml"), "permissions: \"0644\"", "permissions: 420", 1), 0o644)
	if out, err := schema(t, wrong); err == nil || !strings.Contains(out, "write_files.0.permissions: 420 is not of type 'string'") {
		t.Errorf("cloud-init schema finds nothing in wrong user data: %v\n%s", err, out)
	}
}

// TestDownload: the program of the first boot is the one with the checksum, or
// nothing is done.
func TestDownload(t *testing.T) {
	need(t, "sh", "curl", "sha256sum")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bin", "systemctl"), "#!/bin/sh\necho \"$@\" >>'"+dir+"/calls'\n", 0o755)
	const text = "#!/bin/sh\n"
	program := filepath.Join(dir, "program")
	write(t, program, text, 0o644)
	sum := sha256.Sum256([]byte(text))
	installed := filepath.Join(dir, "hookline")
	run := func(sum string) (string, error) {
		script := files(t, userData(t, "--url", "file://"+program, "--sha256", sum, root+"/rulesets/harvester/ruleset.yaml"))["/etc/hookline/first-boot.sh"]
		write(t, filepath.Join(dir, "first-boot.sh"), strings.Replace(script, "/usr/local/bin/hookline", installed, 1), 0o755)
		cmd := exec.Command("sh", filepath.Join(dir, "first-boot.sh"))
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run(strings.Repeat("0", 64))
	entries, _ := filepath.Glob(installed + "*")
	if err == nil || !strings.Contains(out, "is not the hookline with the SHA-256 0000") || len(entries) > 0 {
		t.Errorf("another program: %v, %s, installed %v", err, out, entries)
	}
	if _, err := os.Stat(filepath.Join(dir, "calls")); err == nil {
		t.Errorf("systemd was called: %s", read(t, filepath.Join(dir, "calls")))
	}
	for range 2 {
		if out, err := run(hex.EncodeToString(sum[:])); err != nil {
			t.Fatalf("first-boot.sh: %v\n%s", err, out)
		}
		if info, err := os.Stat(installed); err != nil || info.Mode().Perm() != 0o755 || read(t, installed) != text {
			t.Fatalf("the program was not installed: %v %v", info, err)
		}
		// The second time it is there, and nothing is fetched.
		if err := os.RemoveAll(program); err != nil {
			t.Fatal(err)
		}
	}
	want := "daemon-reload\nenable hookline-apply.service hookline-reapply.timer\nstart --no-block hookline-reapply.timer\nstart hookline-apply.service\n"
	if got := read(t, filepath.Join(dir, "calls")); got != want+want {
		t.Errorf("systemd was asked for %q, want %q twice", got, want)
	}
}

// firstBoot looks at what user data have made of a fresh node.
const firstBoot = `
keep status cloud-init status --long
keep order systemctl show --property=Id,Result,ActiveEnterTimestampMonotonic hookline-apply.service cloud-init.service sysinit.target
keep failed systemctl list-units --failed --plain --no-legend
keep timer systemctl show --property=Id,ActiveState,UnitFileState hookline-reapply.timer
keep rules iptables-nft-save
keep log journalctl --no-pager --output=cat
`

// TestNodeBoots has cloud-init make a node of user data, and then boots it from its
// disk.
func TestNodeBoots(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	dir := cloudInit(t)
	n.usr = append(n.usr, filepath.Join(dir, "usr"))
	if err := os.CopyFS(n.path("etc/cloud"), os.DirFS(filepath.Join(dir, "etc/cloud"))); err != nil {
		t.Fatal(err)
	}
	// The modules that user data of ours use: the others want disks, users and mirrors.
	n.write("etc/cloud/cloud.cfg.d/99-test.cfg", `datasource_list: [NoCloud]
network: {config: disabled}
cloud_init_modules: [bootcmd, write-files]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user]
`)
	for _, unit := range []string{"cloud-init-local", "cloud-init", "cloud-config", "cloud-final"} { // as its package does
		wants := n.path("etc/systemd/system/cloud-init.target.wants")
		if err := os.MkdirAll(wants, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/lib/systemd/system/"+unit+".service", filepath.Join(wants, unit+".service")); err != nil {
			t.Fatal(err)
		}
	}
	n.write("var/lib/cloud/seed/nocloud/meta-data", "instance-id: node-1\n")
	copyFile(t, "cloud-init/user-data.yaml", n.path("var/lib/cloud/seed/nocloud/user-data"), 0o644)

	ok := t.Run("first", func(t *testing.T) {
		n.t = t
		k := n.boot(firstBoot)
		k.exit("status", 0)
		k.has("status", "status: done", "DataSourceNoCloud")
		if got := k.text("failed"); got != "" {
			t.Errorf("failed units:\n%s\n%s", got, k.text("log"))
		}
		// As soon as the files are there, and ahead of every ordinary service.
		applied := k.since("order", "hookline-apply.service")
		if written, services := k.since("order", "cloud-init.service"), k.since("order", "sysinit.target"); applied < written || applied > services {
			t.Errorf("applied at %d, files written at %d, services started from %d µs on", applied, written, services)
		}
		k.has("rules", ourJump)
		for property, want := range map[string]string{"ActiveState": "active", "UnitFileState": "enabled"} {
			if got := k.property("timer", "hookline-reapply.timer", property); got != want {
				t.Errorf("the timer: %s is %s, want %s", property, got, want)
			}
		}
		for path, text := range files(t, read(t, "cloud-init/user-data.yaml")) {
			if read(t, n.path(path)) != text {
				t.Errorf("%s is not what the user data hold", path)
			}
		}
	})
	if ok {
		t.Run("second", n.secondBoot)
	}
}
