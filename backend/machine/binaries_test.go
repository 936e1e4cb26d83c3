package machine_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/backend/machine"
	"hookline/compiler/ir"
)

// versions answers for each path that is run.
type versions map[string]string

func (v versions) Run(_ context.Context, c backend.Cmd) (backend.Result, error) {
	text, ok := v[c.Argv[0]]
	if !ok || len(c.Argv) != 2 || c.Argv[1] != "--version" {
		return backend.Result{}, errors.New("not to be run: " + strings.Join(c.Argv, " "))
	}
	return backend.Result{Stdout: text + "\nmore\n"}, nil
}

// TestT9Binaries: the machine's tools and those that k3s brings, each with its
// version.
func TestT9Binaries(t *testing.T) {
	files := tree(map[string]string{
		"/usr/sbin/iptables": link + "/etc/alternatives/iptables", "/etc/alternatives/iptables": link + "/usr/sbin/xtables-nft-multi",
		"/usr/sbin/xtables-nft-multi": "elf", "/usr/sbin/nft": "elf", "/sbin": link + "usr/sbin", "/usr/sbin/ipset": "text",
		"/usr/sbin/ip6tables": link + "gone", "/var/lib/rancher/k3s/data/abc/bin/aux/iptables": link + "xtables-nft-multi",
		"/var/lib/rancher/k3s/data/abc/bin/aux/xtables-nft-multi": "elf",
	})
	for _, p := range []string{"usr/sbin/xtables-nft-multi", "usr/sbin/nft", "var/lib/rancher/k3s/data/abc/bin/aux/xtables-nft-multi"} {
		files[p].Mode = 0o755
	}
	got := machine.Binaries(t.Context(), files, versions{
		"/usr/sbin/iptables": "iptables v1.8.9 (nf_tables)", "/usr/sbin/nft": "nftables v1.0.6",
		"/var/lib/rancher/k3s/data/abc/bin/aux/iptables": "iptables v1.8.10 (nf_tables)",
	})
	want := []ir.Binary{
		{Path: "/usr/sbin/iptables", Version: "iptables v1.8.9 (nf_tables)", Target: "/usr/sbin/xtables-nft-multi"},
		{Path: "/usr/sbin/nft", Version: "nftables v1.0.6"},
		{
			Path: "/var/lib/rancher/k3s/data/abc/bin/aux/iptables", Version: "iptables v1.8.10 (nf_tables)",
			Target: "/var/lib/rancher/k3s/data/abc/bin/aux/xtables-nft-multi",
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("binaries mismatch (-want +got):\n%s", d)
	}
	for _, b := range machine.Binaries(t.Context(), files, nil) {
		if b.Version != "" {
			t.Errorf("%s was run, and it is another machine's", b.Path)
		}
	}
	if none := machine.Binaries(t.Context(), tree(nil), nil); none == nil || len(none) > 0 {
		t.Errorf("binaries of an empty machine = %#v, want an empty list: somebody looked", none)
	}
}

// TestBinariesOfOthersAreNotRun: a tool that anybody could have put there is
// named, and not run.
func TestBinariesOfOthersAreNotRun(t *testing.T) {
	dir := t.TempDir()
	aux := filepath.Join(dir, "var/lib/rancher/k3s/data/abc/bin/aux")
	if err := os.MkdirAll(aux, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, open := range []string{"iptables", "nft"} {
		if err := os.WriteFile(filepath.Join(aux, open), nil, 0o755); err != nil { //nolint:gosec // because a program is made
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(aux, "nft"), 0o777); err != nil { //nolint:gosec // because this is the fault that is tested
		t.Fatal(err)
	}
	// The root of a test stands below /tmp, which is nobody's concern here.
	ran := map[string]bool{}
	got := machine.Binaries(t.Context(), os.DirFS(dir), recorder(ran))
	if len(got) != 2 || !ran["/var/lib/rancher/k3s/data/abc/bin/aux/iptables"] || ran["/var/lib/rancher/k3s/data/abc/bin/aux/nft"] {
		t.Errorf("binaries = %v, run = %v, want both found and the one that all may write not run", got, ran)
	}
}

// TestLinksOfOthersAreNotRun: a trusted program is not run by way of a link that
// anybody could lead elsewhere.
func TestLinksOfOthersAreNotRun(t *testing.T) {
	dir := t.TempDir()
	data, bin := filepath.Join(dir, "var/lib/rancher/k3s/data"), filepath.Join(dir, "usr/lib/tools")
	for _, p := range []string{filepath.Join(data, "abc/bin/aux"), filepath.Join(data, "def/bin"), filepath.Join(data, "ghi/bin/aux"), bin} {
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(bin, "nft"), nil, 0o755); err != nil { //nolint:gosec // because a program is made
		t.Fatal(err)
	}
	for to, link := range map[string]string{
		"../../../../../../../../usr/lib/tools/nft":        filepath.Join(data, "abc/bin/aux/nft"),
		"../../../../../../../usr/lib/tools":               filepath.Join(data, "def/bin/aux"),
		"../../../../../../../../usr/lib/../lib/tools/nft": filepath.Join(data, "ghi/bin/aux/nft"),
	} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	for _, open := range []string{"abc/bin/aux", "def/bin"} {
		if err := os.Chmod(filepath.Join(data, open), 0o777); err != nil { //nolint:gosec // because this is the fault that is tested
			t.Fatal(err)
		}
	}
	ran := map[string]bool{}
	got := machine.Binaries(t.Context(), os.DirFS(dir), recorder(ran))
	if len(got) != 3 || len(ran) != 1 || !ran["/var/lib/rancher/k3s/data/ghi/bin/aux/nft"] {
		t.Errorf("binaries = %v, run = %v, want all three found and only the one run that nobody else can replace", got, ran)
	}
}

type recorder map[string]bool

func (r recorder) Run(_ context.Context, c backend.Cmd) (backend.Result, error) {
	r[c.Argv[0]] = true
	return backend.Result{}, fs.ErrInvalid
}
