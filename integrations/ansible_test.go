package integrations

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// playbooks runs the playbook on a recorded node as an operator would: looks first,
// applies, looks again, and makes mistakes.
const playbooks = `
export HOME=/root
cd /shared/tree/integrations/ansible
ipset restore </shared/node/ipset-save.txt
iptables-nft-restore </shared/node/iptables-nft-save.txt
ip6tables-nft-restore </shared/node/ip6tables-nft-save.txt
play() { ansible-playbook --inventory /shared/nodes.ini --extra-vars @/shared/vars.yaml "$@" site.yml; }
state() {
	nft -a list ruleset
	iptables-nft-save -c | grep -v '^#'
	ip6tables-nft-save -c | grep -v '^#'
	find /etc/hookline /etc/systemd /usr/local/bin/hookline* /var/lib/hookline ! -name lock \( -type f -printf '%m ' -exec sha256sum {} \; -o -print \)
}
keep before state
keep check play --check
keep checked state

keep run play
keep rules iptables-nft -S INPUT
keep prerouting iptables-nft -t nat -S PREROUTING
keep enabled systemctl is-enabled hookline-apply.service hookline-reapply.timer
keep active systemctl is-active hookline-reapply.timer
keep ran state

keep again play
keep broken play --extra-vars '{"hookline_program_src": "", "hookline_rulesets": {"harvester": "/shared/broken.yaml"}}'
keep impossible play --extra-vars '{"hookline_program_src": "", "hookline_rulesets": {"impossible": "/shared/impossible.yaml", "harvester": "/shared/tree/rulesets/harvester/ruleset.yaml"}}'
keep missing play --extra-vars '{"hookline_program_src": "", "hookline_program": "/usr/local/bin/nothing"}'
keep late state

echo >/etc/hookline/rulesets/old.yaml
keep stranger play
keep litter sh -c 'ls -d /tmp/hookline-* /usr/local/bin/hookline.new'
`

var recap = regexp.MustCompile(`(?m)^node-1 +: ok=\d+ +changed=(\d+) +unreachable=0 +failed=(\d+) +skipped=\d+ +rescued=0 `)

// recap fails the test unless a play ended with these counts.
func (k kept) recap(name, changed, failed string) {
	k.t.Helper()
	m := recap.FindStringSubmatch(k.text(name))
	if m == nil || m[1] != changed || m[2] != failed {
		k.t.Errorf("%s ends with %v, want changed=%s failed=%s:\n%s", name, m, changed, failed, k.text(name))
	}
}

// changedTasks are the tasks that a play says to have changed something.
func (k kept) changedTasks(name string) string {
	k.t.Helper()
	var out []string
	task := ""
	for line := range strings.Lines(k.text(name)) {
		if m := heading.FindStringSubmatch(line); m != nil {
			task = m[1]
		}
		if strings.HasPrefix(line, "changed:") && (len(out) == 0 || out[len(out)-1] != task) {
			out = append(out, task)
		}
	}
	return strings.Join(out, ", ")
}

var heading = regexp.MustCompile(`^(?:TASK|RUNNING HANDLER) \[hookline : (.*)\] \**\n$`)

func TestPlaybook(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	need(t, "ansible-playbook", "cp")
	n.usr = nil // the playbook brings the program
	tree := n.path("shared/tree")
	for _, dir := range []string{"rulesets", "integrations/ansible", "integrations/systemd"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, dir)), 0o755); err != nil {
			t.Fatal(err)
		}
		output(t, "cp", "-a", filepath.Join(root, dir), filepath.Join(tree, dir))
	}
	if err := os.CopyFS(n.path("shared/node"), os.DirFS(duplicates)); err != nil {
		t.Fatal(err)
	}
	copyFile(t, hookline(t), n.path("shared/program"), 0o755)
	n.write("shared/nodes.ini", "node-1 ansible_connection=local ansible_python_interpreter=/usr/bin/python3 ansible_become=false\n")
	n.write("shared/vars.yaml", "hookline_program_src: /shared/program\nhookline_wait: 1s\nhookline_values: {role: control-plane, admins: [192.0.2.0/24, \"2001:db8::/64\"]}\n")
	n.write("shared/impossible.yaml", impossible)
	before, after, _ := strings.Cut(read(t, root+"/rulesets/harvester/ruleset.yaml"), "\n  owns:")
	n.write("shared/broken.yaml", before+"\n  onws:"+after)
	k := n.boot(playbooks)

	// Check mode shows the plan of the new rulesets, by the new program, and writes nothing.
	k.exit("check", 0)
	k.recap("check", "8", "0")
	k.order("check", "TASK [hookline : Show the plan]", "-      kube-ovn, adopted", "calico", "3 to remove", "TASK [hookline : Apply]", "skipping: [node-1]")
	if k.text("before") != k.text("checked") {
		t.Errorf("check mode writes:\n%s\n%s", k.text("before"), k.text("checked"))
	}

	k.exit("run", 0)
	if got, want := k.changedTasks("run"), "Compare the program, Apply, Make the folder of the rulesets, Keep the rulesets, Keep the values, "+
		"Keep the arguments, Make the folder of the sandbox, Put the units there, Apply at boot, Apply again every few minutes, Start the timer anew, Apply from where it is kept"; got != want {
		t.Errorf("the first run changes %s, want %s", got, want)
	}
	k.order("rules", "-j cali-INPUT", "-j KUBE-FIREWALL", ourJump)
	if n := strings.Count(k.text("prerouting"), "-j OVN-PREROUTING"); n != 1 {
		t.Errorf("%d jumps to OVN-PREROUTING:\n%s", n, k.text("prerouting"))
	}
	k.exit("enabled", 0)
	k.exit("active", 0)

	// The second time nothing is written.
	k.exit("again", 0)
	k.recap("again", "0", "0")

	// Mistakes end the play before anything is written, in hookline's own words.
	k.exit("broken", 2)
	k.recap("broken", "0", "1")
	k.has("broken", `"hookline plan ends with 1: the input or the machine is at fault. Nothing was changed"`,
		fmt.Sprintf(`/harvester.yaml:%d:3: error: unknown key \"onws\" in a spec`, strings.Count(before, "\n")+2), `help: did you mean \"owns\"?`)
	k.exit("impossible", 2)
	k.recap("impossible", "0", "1")
	k.has("impossible", `"hookline apply ends with 3: a placement or a constraint does not hold. Nothing was changed"`, "never: INPUT must drop what nobody lets in")
	k.exit("missing", 2)
	k.has("missing", `"hookline plan ends with 2: it was not run"`, "No such file or directory: b'/usr/local/bin/nothing'")
	if k.text("ran") != k.text("late") {
		t.Errorf("something was written after the first run:\n%s\n%s", k.text("ran"), k.text("late"))
	}
	k.exit("stranger", 2)
	k.has("stranger", "in /etc/hookline/rulesets, and not among hookline_rulesets: old.yaml. What it owns stands: take it away with `hookline remove FILE`")
	k.exit("litter", 2)
	for _, name := range []string{"check", "run", "again", "broken", "impossible"} {
		t.Logf("%s:\n%s", name, k.text(name))
	}
}

// TestPlaybookSyntax asks ansible-playbook, also where no node can boot.
func TestPlaybookSyntax(t *testing.T) {
	need(t, "ansible-playbook")
	cmd := exec.Command("ansible-playbook", "--syntax-check", "--inventory", "node-1,", "site.yml")
	cmd.Dir = "ansible"
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "ANSIBLE_HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "WARNING") {
		t.Errorf("ansible-playbook --syntax-check: %v\n%s", err, out)
	}
}
