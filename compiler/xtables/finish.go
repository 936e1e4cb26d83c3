package xtables

import (
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// finish looks at the rule as a whole.
func (p *parser) finish() *Error {
	if len(p.insts) > 0 {
		p.spec.Matches = make([]ir.Match, 0, len(p.insts))
	}
	for k := range p.insts {
		if err := p.finishInstance(&p.insts[k]); err != nil {
			return err
		}
	}
	if p.target != nil {
		if err := p.finishInstance(p.target); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) finishInstance(x *instance) *Error {
	if err := p.checkProtocol(x); err != nil {
		return err
	}
	for i := range x.mod.options {
		if o := &x.mod.options[i]; o.must && x.seen&(1<<i) == 0 {
			return errorAt(x.at, diag.RuleText, "%s needs --%s", x.title(), o.name)
		}
	}
	if x.mod.finish != nil {
		if err := x.mod.finish(p, x); err != nil {
			return err
		}
	}
	if x.mod.fresh == nil && !x.mod.asGiven {
		x.sortGiven()
	}
	switch v := x.value.(type) {
	case ir.Match:
		p.spec.Matches = append(p.spec.Matches, v)
	case ir.Target:
		p.spec.Target = v
	default:
		args, text := x.words()
		if x.target {
			p.spec.Target = &ir.RawTarget{Name: x.mod.name, Args: args, Text: text}
		} else {
			p.spec.Matches = append(p.spec.Matches, &ir.RawMatch{Module: x.mod.name, Args: args, Text: text})
		}
	}
	return nil
}

// sortGiven puts the options into the order of the module's table.
func (x *instance) sortGiven() {
	at := func(o *option) int {
		for i := range x.mod.options {
			if &x.mod.options[i] == o {
				return i
			}
		}
		return -1
	}
	slices.SortStableFunc(x.given, func(a, b given) int { return at(a.opt) - at(b.opt) })
}

// title is how a module is called in a sentence.
func (x *instance) title() string {
	if x.target {
		return "-j " + x.mod.name
	}
	return "-m " + x.mod.name
}

// checkProtocol asks for the -p that a module needs.
func (p *parser) checkProtocol(x *instance) *Error {
	if x.mod.protocols == nil {
		return nil
	}
	pr := p.spec.Protocol
	if pr != nil && !pr.Not && slices.Contains(x.mod.protocols, pr.Number) {
		return nil
	}
	var names []string
	for _, n := range x.mod.protocols {
		names = append(names, "-p "+protocolName(n))
	}
	return errorAt(x.at, diag.RuleText, "%s needs %s", x.title(), strings.Join(names, " or "))
}

// words are the canonical arguments of an undecoded module, and their text if
// they are not printed as they stand.
func (x *instance) words() (args []string, text string) {
	special := false
	var b []byte
	for i := range x.given {
		g := &x.given[i]
		if g.not {
			args = append(args, "!")
			b = append(b, " !"...)
		}
		args = append(args, "--"+g.opt.name)
		b = append(append(b, " --"...), g.opt.name...)
		if g.opt.words == 0 {
			continue
		}
		for _, v := range []string{g.value, g.extra}[:g.opt.words] {
			args = append(args, v)
			n := len(b)
			b = appendStyled(append(b, ' '), v, g.opt.quote)
			if string(b[n+1:]) != rawWord(v) {
				special = true
			}
		}
	}
	if !special || len(b) == 0 {
		return args, ""
	}
	return args, string(b[1:])
}

// appendStyled writes a value of an undecoded module.
func appendStyled(b []byte, v string, q quoteStyle) []byte {
	switch {
	case q == quoteString:
		b = append(b, '"')
		for i := 0; i < len(v); i++ {
			if v[i] == '"' || v[i] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, v[i])
		}
		return append(b, '"')
	case q == quoteAlways, q == quoteNeeded && !plain(v), !bare(v):
		return appendQuoted(b, v)
	}
	return append(b, v...)
}

// rawWord is how an undecoded argument is written if nothing is known about it.
func rawWord(v string) string {
	if bare(v) {
		return v
	}
	return string(appendQuoted(nil, v))
}
