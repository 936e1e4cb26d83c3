package iptables

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"

	"hookline/compiler/ir"
)

// hintChains are the chains in table mangle by which kubelet shows which variant
// it uses; Kubernetes calls the first one an interface (KEP-3178).
var hintChains = []string{"KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"}

// Detect finds the variant that a host uses, as the iptables-wrappers of
// Kubernetes do (FIELD T-9): by kubelet's hint chains, nft first; else the one in
// which more rules stand; else the one that `iptables` itself is; else nft. The
// reason is a sentence for people. No legacy table is made by looking.
//
// Of the options it uses Runner, NetNS and Families.
func Detect(ctx context.Context, opt Options) (variant ir.Variant, reason string, err error) {
	opt.Variant = ir.IptablesNFT
	b, err := New(opt)
	if err != nil {
		return "", "", err
	}
	d := detector{b: b, s: &session{b: b}}
	if d.s.kernel, err = dialKernel(b.around); err != nil {
		d.s.kernel = nil
		d.why = err
	}
	defer func() {
		if d.s.kernel != nil {
			err = errors.Join(err, d.s.kernel.Close())
		}
	}()
	return d.decide(ctx)
}

type detector struct {
	b *Backend
	s *session
	// why there is no netlink, if there is none.
	why error
	// rules counted per variant; for nft with the jumps among them counted twice.
	rules map[ir.Variant]int
}

func (d *detector) decide(ctx context.Context) (ir.Variant, string, error) {
	d.rules = map[ir.Variant]int{}
	for _, f := range d.b.opt.Families {
		if hint, err := d.lookNFT(f); err != nil {
			return "", "", fmt.Errorf("detecting the variant: %w", err)
		} else if hint != "" {
			return d.answer(ctx, ir.IptablesNFT, fmt.Sprintf("chain %s stands in the nft table mangle (%s)", hint, f))
		}
	}
	for _, f := range d.b.opt.Families {
		if hint, err := d.lookLegacy(ctx, f); err != nil {
			return "", "", fmt.Errorf("detecting the variant: %w", err)
		} else if hint != "" {
			return d.answer(ctx, ir.IptablesLegacy, fmt.Sprintf("chain %s stands in the legacy table mangle (%s)", hint, f))
		}
	}
	nft, legacy := d.rules[ir.IptablesNFT], d.rules[ir.IptablesLegacy]
	switch {
	case legacy > nft:
		return d.answer(ctx, ir.IptablesLegacy, fmt.Sprintf("%d rules stand in legacy tables, at most %d in those of nft", legacy, nft))
	case nft > 0:
		return d.answer(ctx, ir.IptablesNFT, fmt.Sprintf("rules stand in the tables of nft, and no more (%d) in legacy ones", legacy))
	}
	return d.byProgram(ctx)
}

// lookNFT looks for the hint chains and counts rules.
func (d *detector) lookNFT(f ir.Family) (hint string, err error) {
	if d.s.kernel == nil {
		return "", nil
	}
	chains, err := d.s.kernel.chains(f)
	if err != nil {
		return "", err
	}
	for _, c := range chains {
		if ir.BuiltinChains(c.Table) == nil {
			continue
		}
		if c.Table == "mangle" && slices.Contains(hintChains, c.Name) {
			return c.Name, nil
		}
		d.rules[ir.IptablesNFT] += c.Use
	}
	return "", nil
}

// lookLegacy does the same for the legacy tables that exist.
func (d *detector) lookLegacy(ctx context.Context, f ir.Family) (hint string, err error) {
	names, known, err := d.b.legacyTables(f)
	if err != nil || !known || len(names) == 0 {
		return "", err
	}
	tools, err := findTools(ctx, d.b.run, f, ir.IptablesLegacy)
	var missing *MissingToolError
	if errors.As(err, &missing) {
		// Tables without a tool to read them: they count as one rule each.
		d.rules[ir.IptablesLegacy] += len(names)
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, name := range names {
		t, err := d.s.saveLegacy(ctx, tools.Save, ir.TableKey{Family: f, Name: name})
		if err != nil {
			return "", err
		}
		for _, c := range t.Chains {
			if name == "mangle" && slices.Contains(hintChains, c.Name) {
				return c.Name, nil
			}
			d.rules[ir.IptablesLegacy] += len(c.Rules)
		}
	}
	return "", nil
}

// byProgram is for a host without any rule: what `iptables` is.
func (d *detector) byProgram(ctx context.Context) (ir.Variant, string, error) {
	version, err := toolVersion(ctx, d.b.run, []string{"iptables"})
	switch {
	case err == nil && isVariant(version, ir.IptablesLegacy):
		return d.answer(ctx, ir.IptablesLegacy, fmt.Sprintf("no rule stands anywhere, and iptables is %s", version))
	case err == nil && isVariant(version, ir.IptablesNFT):
		return d.answer(ctx, ir.IptablesNFT, fmt.Sprintf("no rule stands anywhere, and iptables is %s", version))
	case err != nil && !errors.Is(err, exec.ErrNotFound):
		return "", "", fmt.Errorf("detecting the variant: %w", err)
	}
	v, why, err := d.answer(ctx, ir.IptablesNFT, "no rule stands anywhere, and no program is called iptables")
	if err == nil {
		return v, why, nil
	}
	v, why, legacy := d.answer(ctx, ir.IptablesLegacy, "no rule stands anywhere, and only legacy tools are there")
	if legacy != nil {
		return "", "", err // neither can be worked with
	}
	return v, why, nil
}

// answer makes sure that the variant can be worked with.
func (d *detector) answer(ctx context.Context, v ir.Variant, reason string) (ir.Variant, string, error) {
	if v == ir.IptablesNFT && d.why != nil {
		return "", "", fmt.Errorf("the host uses %s (%s), but nf_tables cannot be asked: %w", v, reason, d.why)
	}
	for _, f := range d.b.opt.Families {
		if _, err := findTools(ctx, d.b.run, f, v); err != nil {
			return "", "", fmt.Errorf("the host uses %s (%s), but %w", v, reason, err)
		}
	}
	return v, reason, nil
}
