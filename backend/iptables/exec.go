package iptables

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"

	"hookline/backend"
	"hookline/compiler/ir"
)

// Tools are the programs for one family, each as the words of a command line:
// one word, or xtables-nft-multi and the name that it shall answer to.
type Tools struct {
	Command, Save, Restore []string
	// Version as the program prints it.
	Version string
}

// familyName is the first part of a family's tools' names.
func familyName(f ir.Family) string {
	if f == ir.IPv6 {
		return "ip6tables"
	}
	return "iptables"
}

// suffix of a variant's tools.
func suffix(v ir.Variant) string {
	if v == ir.IptablesLegacy {
		return "legacy"
	}
	return "nft"
}

// marker is what a variant's tools print behind their version. Before 1.8 there
// was only what is called legacy now, and it printed nothing.
func isVariant(version string, v ir.Variant) bool {
	if v == ir.IptablesNFT {
		return strings.Contains(version, "(nf_tables)")
	}
	return strings.HasPrefix(version, "ip") && !strings.Contains(version, "(nf_tables)")
}

// candidates lists where a family's tools may be found, best first.
func candidates(f ir.Family, v ir.Variant) []Tools {
	n, s := familyName(f), suffix(v)
	multi := "xtables-" + s + "-multi"
	return []Tools{
		{Command: []string{n + "-" + s}, Save: []string{n + "-" + s + "-save"}, Restore: []string{n + "-" + s + "-restore"}},
		{Command: []string{n}, Save: []string{n + "-save"}, Restore: []string{n + "-restore"}},
		{Command: []string{multi, n}, Save: []string{multi, n + "-save"}, Restore: []string{multi, n + "-restore"}},
	}
}

// MissingToolError says that a program that is needed is not there.
type MissingToolError struct {
	Variant ir.Variant
	Family  ir.Family
	// Other is the version of the `iptables` that is there but of the other variant.
	Other string
}

func (e *MissingToolError) Error() string {
	n := familyName(e.Family)
	msg := fmt.Sprintf("no %s-%s was found in PATH or the sbin folders", n, suffix(e.Variant))
	if e.Other != "" {
		msg += fmt.Sprintf(", and %s is of the other variant (%s)", n, e.Other)
	}
	return msg + ": install iptables, name the other backend, or work on the other family alone with --family"
}

// findTools finds each family's tools, once.
func (b *Backend) findTools(ctx context.Context) (map[ir.Family]Tools, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tools != nil {
		return b.tools, nil
	}
	var wg sync.WaitGroup
	tools, errs := make([]Tools, len(b.opt.Families)), make([]error, len(b.opt.Families))
	for i, f := range b.opt.Families {
		if t, ok := b.opt.Tools[f]; ok {
			tools[i] = t
			continue
		}
		wg.Go(func() { tools[i], errs[i] = findTools(ctx, b.run, f, b.opt.Variant) })
	}
	wg.Wait()
	found := map[ir.Family]Tools{}
	for i, f := range b.opt.Families {
		if errs[i] != nil {
			return nil, errs[i]
		}
		found[f] = tools[i]
	}
	b.tools = found
	return found, nil
}

func findTools(ctx context.Context, r backend.Runner, f ir.Family, v ir.Variant) (Tools, error) {
	missing := &MissingToolError{Variant: v, Family: f}
	for _, t := range candidates(f, v) {
		version, err := toolVersion(ctx, r, t.Command)
		switch {
		case errors.Is(err, exec.ErrNotFound):
		case err != nil:
			return Tools{}, err
		case isVariant(version, v):
			t.Version = version
			return t, nil
		default:
			missing.Other = version
		}
	}
	return Tools{}, missing
}

// toolVersion is the line that a tool prints for --version, or "" if it runs
// but prints none.
func toolVersion(ctx context.Context, r backend.Runner, argv []string) (string, error) {
	res, err := r.Run(ctx, backend.Cmd{Argv: append(append([]string(nil), argv...), "--version")})
	if err != nil {
		return "", fmt.Errorf("asking for a version: %w", err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(res.Stdout), "\n")
	return line, nil
}

// Versions asks the programs that matter for their versions. Programs that are
// not there are left out.
func Versions(ctx context.Context, r backend.Runner) map[string]string {
	var wg sync.WaitGroup
	names := []string{"iptables", "iptables-nft", "iptables-legacy", "nft", "ipset"}
	versions := make([]string, len(names))
	for i, name := range names {
		wg.Go(func() {
			if v, err := toolVersion(ctx, r, []string{name}); err == nil {
				versions[i] = v
			}
		})
	}
	wg.Wait()
	out := map[string]string{}
	for i, v := range versions {
		if v != "" {
			out[names[i]] = v
		}
	}
	return out
}
