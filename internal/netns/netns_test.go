package netns

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hookline/backend"
)

// enterTarget makes this test binary call Enter in place of its tests.
const enterTarget = "NETNS_TEST_ENTER"

func TestMain(m *testing.M) {
	if target := os.Getenv(enterTarget); target != "" {
		if err := Enter(target); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(3)
		}
		link, _ := os.Readlink("/proc/self/ns/net")
		os.Stdout.WriteString(link + " " + strings.Join(os.Args[1:], ","))
		os.Exit(0)
	}
	os.Exit(Main(m))
}

func sh(t *testing.T, r backend.Runner, script string) string {
	t.Helper()
	res, err := r.Run(context.Background(), backend.Cmd{Argv: []string{"sh", "-c", script}})
	if err != nil || res.Exit != 0 {
		t.Fatalf("%s: exit %d, %v: %s", script, res.Exit, err, res.Stderr)
	}
	return strings.TrimSpace(res.Stdout)
}

func TestPrivate(t *testing.T) {
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	a, b := ForTest(t), ForTest(t)
	inA, inB := sh(t, a.Runner(), "readlink /proc/self/ns/net"), sh(t, b.Runner(), "readlink /proc/self/ns/net")
	if inA == here || inB == here || inA == inB {
		t.Errorf("namespaces are not private: ours %s, a %s, b %s", here, inA, inB)
	}
	sh(t, a.Runner(), "iptables-nft -N ONLY_IN_A")
	if got := sh(t, b.Runner(), "iptables-nft-save"); got != "" {
		t.Errorf("a chain made in a shows in b: %q", got)
	}
	if got := sh(t, a.Runner(), "echo $XTABLES_LOCKFILE"); got != a.LockFile() || got == b.LockFile() {
		t.Errorf("lock file in a = %q, want %q, which is not b's", got, a.LockFile())
	}
}

func TestDoComesHome(t *testing.T) {
	n := ForTest(t)
	want := sh(t, n.Runner(), "readlink /proc/self/ns/net")
	home, _ := os.Readlink(current)
	fail := errors.New("from inside")
	var got string
	var ifaces []net.Interface
	err := n.Do(func() error {
		got, _ = os.Readlink(current)
		ifaces, _ = net.Interfaces()
		return fail
	})
	if !errors.Is(err, fail) {
		t.Errorf("Do returned %v, want the function's own error", err)
	}
	if got != want {
		t.Errorf("inside Do the namespace is %s, want %s", got, want)
	}
	if len(ifaces) != 1 || ifaces[0].Name != "lo" {
		t.Errorf("interfaces inside = %v, want only lo", ifaces)
	}
	if now, _ := os.Readlink(current); now != home {
		t.Errorf("after Do the thread is in %s, want %s", now, home)
	}
}

func TestCloseEndsIt(t *testing.T) {
	n, err := New()
	if err != nil {
		if os.Getenv(RequireKernel) == "1" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED, NOTHING WAS TESTED ON A KERNEL: %v", err)
	}
	if err := os.WriteFile(n.LockFile(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(n.LockFile())
	if err := errors.Join(n.Close(), n.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder %s is left over", dir)
	}
	if err := n.Do(func() error { return nil }); err == nil {
		t.Error("Do works in a closed namespace")
	}
}

func TestEnter(t *testing.T) {
	n := ForTest(t)
	inside := sh(t, n.Runner(), "readlink /proc/self/ns/net")
	for _, c := range []struct {
		name, target string
		exit         int
		want         string
	}{
		{"path", n.Path(), 0, inside + " -one,-two"},
		{"missing name", "no-such-namespace", 3, "entering network namespace no-such-namespace: open /run/netns/no-such-namespace: no such file or directory"},
		{"no namespace", "/dev/null", 3, "entering network namespace /dev/null: invalid argument"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-one", "-two")
			cmd.Env = append(os.Environ(), enterTarget+"="+c.target)
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != c.exit || string(out) != c.want {
				t.Errorf("Enter(%s): exit %d, %q; want %d, %q", c.target, got, out, c.exit, c.want)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	n := ForTest(t)
	o, err := Open(n.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	const link = "readlink /proc/self/ns/net"
	if got, want := sh(t, o.Runner(), link), sh(t, n.Runner(), link); got != want {
		t.Errorf("Open(%s) is %s, want %s", n.Path(), got, want)
	}
}
