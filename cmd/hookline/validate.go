package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/dsl/diag"
)

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate PATH...",
		Short: "Check rulesets for everything that needs no host",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.format("text", "markdown", "json", "sarif", "github"); err != nil {
				return err
			}
			src, err := a.readSources(args)
			if err != nil {
				return err
			}
			list := &diag.List{}
			p := src.parse(list)
			programs := p.compile(nil, nil, true, list)
			if !list.HasErrors() {
				checkEmpty(programs, list)
			}
			list.Sort()
			if err := a.writeFindings(list, len(src.rulesets)); err != nil {
				return err
			}
			if list.HasErrors() {
				return exitError(exitFault)
			}
			return nil
		},
	}
}

// checkEmpty finds what no host would take: loops and jumps to nowhere, and what
// nft cannot say, for those that are for nft.
func checkEmpty(programs []*compiler.Program, list *diag.List) {
	var nft, iptables []*compiler.Program
	for _, p := range programs {
		if p.Backend == string(ir.NFT) {
			nft = append(nft, p)
		} else {
			iptables = append(iptables, p)
		}
	}
	_, l := compiler.NFTables(nft)
	list.Append(l)
	list.Append(compiler.EmptyHost(iptables, strictest(iptables)).Diags)
}

// strictest is the variant whose limits hold wherever the rulesets go.
func strictest(programs []*compiler.Program) ir.Variant {
	for _, p := range programs {
		if p.Backend == string(ir.IptablesNFT) {
			return ir.IptablesNFT
		}
	}
	return ir.IptablesLegacy
}

// writeFindings prints validate's result in the format that was asked for.
func (a *app) writeFindings(list *diag.List, files int) error {
	switch a.flags.output {
	case "json":
		return diag.WriteJSON(a.out, list)
	case "sarif":
		return diag.WriteSARIF(a.out, list)
	case "github":
		return diag.WriteGitHub(a.out, list)
	case "markdown":
		title := fmt.Sprintf("%d ruleset file(s): valid", files)
		if list.HasErrors() {
			title = "the input has errors"
		}
		return compiler.WriteMarkdownFindings(a.out, title, list)
	}
	if err := a.report(list); err != nil {
		return err
	}
	if !list.HasErrors() && !a.flags.quiet {
		fmt.Fprintf(a.out, "%d ruleset file(s): valid\n", files)
	}
	return nil
}

func (a *app) compileCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "compile PATH... --backend KIND",
		Short: "Print the transaction for an empty host",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.format("text", "json"); err != nil {
				return err
			}
			src, err := a.readSources(args)
			if err != nil {
				return err
			}
			variant := ir.Variant(src.backend)
			if variant == "" || variant == "auto" {
				return fmt.Errorf("compile needs --backend: there is no host to ask")
			}
			if variant == ir.NFT {
				return a.compileNFT(src)
			}
			list := &diag.List{}
			programs := src.parse(list).compile(nil, nil, false, list)
			var plan *compiler.Plan
			if !list.HasErrors() {
				plan = compiler.EmptyHost(programs, variant)
				list.Append(plan.Diags)
			}
			list.Sort()
			if err := a.report(list); err != nil {
				return err
			}
			if list.HasErrors() {
				return exitError(exitFault)
			}
			return a.writeTransaction(plan)
		},
	}
}

// compileNFT prints the script that makes the rulesets' tables on a host that has
// none of them.
func (a *app) compileNFT(src *sources) error {
	list := &diag.List{}
	p := src.parse(list)
	programs := p.compile(nil, nil, false, list)
	var tables []*nftables.Table
	if !list.HasErrors() {
		var l *diag.List
		tables, l = compiler.NFTables(programs)
		list.Append(l)
	}
	list.Sort()
	if err := a.report(list); err != nil {
		return err
	}
	if list.HasErrors() {
		return exitError(exitFault)
	}
	text := nftables.Text(nftables.Script(tables))
	if a.flags.output == "json" {
		return writeJSON(a.out, []scriptJSON{{string(ir.NFT), text}})
	}
	_, err := fmt.Fprintf(a.out, "# nft -f -\n%s", text)
	return err
}
