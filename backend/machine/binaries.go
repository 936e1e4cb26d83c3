package machine

import (
	"context"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"hookline/backend"
	"hookline/compiler/ir"
)

// tools are the programs that write netfilter tables or read them.
var tools = []string{
	"iptables", "iptables-nft", "iptables-legacy", "ip6tables", "ip6tables-nft", "ip6tables-legacy", "nft", "ipset",
}

// systemDirs are where a machine's tools stand, whatever PATH says.
var systemDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// bundles are where programs bring tools of their own, as patterns: k3s and k0s run
// an iptables of their own, of another version than the machine's (FIELD T-9, 1.2).
var bundles = []string{"/var/lib/rancher/k3s/data/*/bin/aux", "/var/lib/k0s/bin"}

// Binaries finds every copy of the tools on a machine. With a runner each is asked
// for its version; without one, because the file system is another machine's, none
// is started.
func Binaries(ctx context.Context, root fs.FS, runner backend.Runner) []ir.Binary {
	t := &tree{fs: root}
	out := []ir.Binary{}
	seen := map[string]bool{}
	for _, dir := range t.toolDirs() {
		for _, tool := range tools {
			p := path.Join(dir, tool)
			real, err := t.resolve(p)
			if err != nil {
				continue
			}
			// /sbin is /usr/sbin on most machines: one copy, not two.
			where, err := t.resolve(dir)
			if err != nil || seen[path.Join(where, tool)] {
				continue
			}
			info, err := fs.Lstat(root, name(real))
			if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
				continue
			}
			seen[path.Join(where, tool)] = true
			b := ir.Binary{Path: p}
			if real != p {
				b.Target = real
			}
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b ir.Binary) int { return strings.Compare(a.Path, b.Path) })
	if runner != nil {
		t.versions(ctx, runner, out)
	}
	return out
}

// toolDirs are the folders to look into, patterns expanded.
func (t *tree) toolDirs() []string {
	out := slices.Clone(systemDirs)
	for _, pattern := range bundles {
		out = append(out, t.expand(pattern)...)
	}
	return out
}

// expand is the folders that a pattern with at most one star for a whole part
// matches.
func (t *tree) expand(pattern string) []string {
	head, tail, star := strings.Cut(pattern, "*")
	if !star {
		return []string{pattern}
	}
	var out []string
	for _, entry := range t.list(path.Clean(head)) {
		out = append(out, path.Join(head, entry, tail))
	}
	return out
}

// versions asks each tool for its version, those in bundles only if they can be
// trusted.
func (t *tree) versions(ctx context.Context, runner backend.Runner, found []ir.Binary) {
	var wg sync.WaitGroup
	for i := range found {
		b := &found[i]
		// Those of the machine are run by everybody who runs iptables.
		if !slices.Contains(systemDirs, path.Dir(b.Path)) && !t.trusted(b.Path) {
			continue
		}
		wg.Go(func() {
			res, err := runner.Run(ctx, backend.Cmd{Argv: []string{b.Path, "--version"}})
			if err == nil && res.Exit == 0 {
				line, _, _ := strings.Cut(strings.TrimSpace(res.Stdout), "\n")
				b.Version = strings.TrimSpace(line)
			}
		})
	}
	wg.Wait()
}

// trusted tells whether nobody but root or ourselves can have written a program,
// or can put another one in its place. What is run is the path as it is written:
// each folder and link on the way counts, not only where they lead to.
func (t *tree) trusted(p string) bool {
	safe := true
	_, err := t.follow(p, func(info fs.FileInfo) {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != syscall.Geteuid() {
			safe = false
		}
		// A link's own mode says nothing. A sticky folder such as /tmp keeps others from
		// replacing what is in it.
		open := info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSymlink == 0
		if open && (!info.IsDir() || info.Mode()&fs.ModeSticky == 0) {
			safe = false
		}
	})
	return err == nil && safe
}
