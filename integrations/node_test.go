package integrations

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// systemd is the first process of a node.
const systemd = "/usr/lib/systemd/systemd"

// node is a machine that boots: namespaces with a systemd, its own /etc and /var,
// and this machine's /usr.
type node struct {
	t   *testing.T
	dir string
	// usr are folders that lie over this machine's /usr.
	usr []string
}

// newNode makes a node with the program, and none of our units.
func newNode(t *testing.T) *node {
	t.Helper()
	must(t)
	need(t, systemd, "systemctl", "unshare", "setpriv", "mount")
	if os.Geteuid() != 0 || !initialUserNamespace(t) {
		missing(t, "only root can boot a node")
	}
	n := &node{t: t, dir: t.TempDir()}
	for _, name := range []string{"passwd", "group", "protocols", "services", "nsswitch.conf", "ld.so.cache"} {
		copyFile(t, filepath.Join("/etc", name), n.path("etc", name), 0o644)
	}
	copyFile(t, "/usr/lib/os-release", n.path("etc/os-release"), 0o644)
	// With a machine-id this is no first boot in systemd's sense: nothing is enabled unasked.
	n.write("etc/machine-id", strings.Repeat("0123456789abcdef", 2)+"\n")
	n.write("var/tmp/.keep", "")
	n.write("shared/console", "")
	n.write("etc/systemd/system/test.target", "[Unit]\nRequires=multi-user.target\nWants=test.service\n")
	n.write("etc/systemd/system/test.service", `[Unit]
After=multi-user.target cloud-final.service
SuccessAction=poweroff-immediate
FailureAction=poweroff-immediate

[Service]
Type=oneshot
TimeoutStartSec=20min
ExecStart=/bin/bash /shared/test.sh
StandardOutput=file:/shared/log
StandardError=inherit
`)
	usr := filepath.Join(t.TempDir(), "usr")
	copyFile(t, hookline(t), filepath.Join(usr, "local/bin/hookline"), 0o755)
	n.usr = []string{usr}
	return n
}

// initialUserNamespace tells whether root here is root of the machine.
func initialUserNamespace(t *testing.T) bool {
	t.Helper()
	return strings.Join(strings.Fields(read(t, "/proc/self/uid_map")), " ") == "0 0 4294967295"
}

func (n *node) path(parts ...string) string {
	return filepath.Join(n.dir, filepath.Join(parts...))
}

func (n *node) write(name, text string) {
	n.t.Helper()
	write(n.t, n.path(name), text, 0o644)
}

// prelude are the words that a script may use: keep NAME COMMAND... keeps what a
// command prints and its exit code; within N COMMAND... tries it for N seconds.
const prelude = `set -u
export LC_ALL=C.UTF-8 SYSTEMD_PAGER= SYSTEMD_COLORS=0
rm -rf /shared/out && mkdir /shared/out
keep() {
	local name=$1 code=0
	shift
	"$@" >"/shared/out/$name" 2>&1 || code=$?
	echo "$code" >"/shared/out/$name.exit"
}
within() {
	local n=$1
	shift
	until "$@"; do
		n=$((n - 1))
		[ "$n" -gt 0 ] || return 1
		sleep 1
	done
}
exec 9>&1
BASH_XTRACEFD=9
set -x
`

// kept is what a script kept.
type kept struct {
	t   *testing.T
	dir string
}

// boot boots the node, runs a script on it when all services have started, and
// returns when the node has powered off.
func (n *node) boot(script string) kept {
	n.t.Helper()
	n.write("shared/test.sh", prelude+script+"\ntouch /shared/out/end\n")
	n.write("shared/console", "")
	ctx, cancel := context.WithTimeout(context.Background(), 22*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "testdata/boot.sh", append([]string{n.dir}, n.usr...)...)
	// A node does not outlive the test, which a signal may end: the kernel looks at the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if _, ended := os.Stat(n.path("shared/out/end")); err != nil || ended != nil {
		log, _ := os.ReadFile(n.path("shared/log"))
		n.t.Fatalf("the node did not come to its end: %v\n%s\nconsole:\n%s\nscript:\n%s", errors.Join(err, ended), out, read(n.t, n.path("shared/console")), log)
	}
	return kept{n.t, n.path("shared/out")}
}

// text is what was printed under a name.
func (k kept) text(name string) string {
	k.t.Helper()
	return read(k.t, filepath.Join(k.dir, name))
}

// exit fails the test unless a command ended with a code.
func (k kept) exit(name string, want int) {
	k.t.Helper()
	if got := strings.TrimSpace(k.text(name + ".exit")); got != strconv.Itoa(want) {
		k.t.Errorf("%s ends with %s, want %d:\n%s", name, got, want, k.text(name))
	}
}

// has fails the test unless what was printed under a name has all parts.
func (k kept) has(name string, parts ...string) {
	k.t.Helper()
	has(k.t, name, k.text(name), parts...)
}

// order fails the test unless texts follow each other in what was printed.
func (k kept) order(name string, parts ...string) {
	k.t.Helper()
	rest := k.text(name)
	for _, p := range parts {
		_, after, found := strings.Cut(rest, p)
		if !found {
			k.t.Errorf("%s lacks %q behind what comes ahead of it in %q:\n%s", name, p, parts, k.text(name))
			return
		}
		rest = after
	}
}

// property is a property of a unit, as `systemctl show` printed it under a name.
func (k kept) property(name, unit, property string) string {
	k.t.Helper()
	for _, block := range strings.Split(k.text(name), "\n\n") {
		if !strings.Contains(block+"\n", "Id="+unit+"\n") {
			continue
		}
		for line := range strings.Lines(block + "\n") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), property+"="); ok {
				return v
			}
		}
	}
	k.t.Errorf("%s does not tell %s of %s:\n%s", name, property, unit, k.text(name))
	return ""
}

// since is when a unit became active, in microseconds; an error if it did not.
func (k kept) since(name, unit string) int {
	k.t.Helper()
	n, err := strconv.Atoi(k.property(name, unit, "ActiveEnterTimestampMonotonic"))
	if err != nil || n == 0 {
		k.t.Errorf("%s did not become active:\n%s", unit, k.text(name))
	}
	return n
}
