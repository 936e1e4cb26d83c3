package xtables

import (
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// Options say where a rule is to stand.
type Options struct {
	// Family is needed: names of modules and of ICMP types depend on it.
	Family ir.Family
	// Table and Chain may be empty; Check judges what depends on them.
	Table string
	Chain string
}

// Parse reads rule text as people type it: iptables' arguments without a command
// and a chain. One text is more than one rule if -s or -d list addresses. An
// error is an *Error.
func Parse(text string, opt Options) ([]*ir.Spec, error) {
	if at, n, bad := controlCharacter(text, true); bad {
		return nil, &Error{
			Start: at, End: at + n, Code: diag.ControlCharacter,
			Message: "rule text cannot hold control characters or broken UTF-8",
			Help:    "write one rule in one line",
		}
	}
	words, err := split(make([]Word, 0, 24), text, 0)
	if err != nil {
		return nil, err
	}
	return ParseWords(words, opt)
}

// ParseWords is Parse for text that is split already. Words with Literal set are
// arguments and nothing else.
func ParseWords(words []Word, opt Options) ([]*ir.Spec, error) {
	for _, w := range words {
		if _, _, bad := controlCharacter(w.Text, false); bad {
			return nil, errorAt(w, diag.ControlCharacter, "an argument cannot hold control characters or broken UTF-8")
		}
		if len(w.Text) > maxParameter {
			return nil, errorAt(w, diag.TooLong, "an argument holds at most %d bytes", maxParameter)
		}
	}
	p := parser{opt: opt, words: words}
	specs, e := p.run()
	if e != nil {
		return nil, e
	}
	return specs, nil
}

// maxParameter is the size of iptables-restore's buffer for one argument.
const maxParameter = 1023

// parser reads the words of one rule.
type parser struct {
	opt      Options
	words    []Word
	pos      int
	decoding bool // the text comes from a tool, not from a person

	spec       *ir.Spec
	srcs, dsts []ir.Address
	seen       coreSeen
	jump       Word // the word behind -j or -g
	protocol   Word
	implied    bool // the protocol's module was asked for
	insts      []instance
	room       [6]instance
	target     *instance
	targetRoom instance
	arg        arg // of the option at hand
}

// coreSeen holds which of iptables' own options were given.
type coreSeen uint8

const (
	seenSource coreSeen = 1 << iota
	seenDest
	seenIn
	seenOut
	seenProtocol
	seenFragment
	seenTarget
)

func (p *parser) run() ([]*ir.Spec, *Error) {
	p.spec = &ir.Spec{}
	p.insts = p.room[:0]
	for p.pos < len(p.words) {
		if err := p.option(); err != nil {
			return nil, err
		}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	if len(p.srcs) <= 1 && len(p.dsts) <= 1 {
		return []*ir.Spec{p.spec}, nil
	}
	return p.multiply(), nil
}

// multiply makes one rule for each pair of source and destination, in the order
// in which iptables adds them.
func (p *parser) multiply() []*ir.Spec {
	one := func(list []ir.Address, i int) *ir.Address {
		if len(list) == 0 || anyAddress(list[i]) {
			return nil
		}
		return &list[i]
	}
	var specs []*ir.Spec
	for i := range max(1, len(p.srcs)) {
		for j := range max(1, len(p.dsts)) {
			s := *p.spec
			s.Source, s.Destination = one(p.srcs, i), one(p.dsts, j)
			specs = append(specs, &s)
		}
	}
	return specs
}

// next takes the next word as an argument of the option at.
func (p *parser) next(at Word) (Word, *Error) {
	if p.pos >= len(p.words) {
		return Word{}, errorAt(at, diag.RuleText, "%s needs an argument", at.Text)
	}
	w := p.words[p.pos]
	p.pos++
	return w, nil
}

// option reads one option and its arguments.
func (p *parser) option() *Error {
	w := p.words[p.pos]
	p.pos++
	not := false
	if w.Text == "!" && !w.Literal && !w.Quoted {
		not = true
		if p.pos >= len(p.words) {
			return errorAt(w, diag.RuleText, "nothing stands behind `!`")
		}
		bang := w
		w = p.words[p.pos]
		p.pos++
		if w.Text == "!" {
			return errorAt(w, diag.RuleText, "two `!` in a row")
		}
		w.Start = bang.Start
	}
	if w.Literal && !p.valueOption(w) {
		return errorAt(w, diag.RuleText, "a value stands where an option is expected").
			withHelp("a value is exactly one argument of the option before it")
	}
	if len(w.Text) < 2 || w.Text[0] != '-' {
		return p.bareWord(w)
	}
	if w.Text[1] != '-' {
		if len(w.Text) > 2 {
			return p.longShort(w)
		}
		if o := coreShort(w.Text[1]); o != nil {
			return p.core(o, w, not)
		}
		return errorAt(w, diag.RuleText, "unknown option %s", w.Text)
	}
	name := w.Text[2:]
	if name == "" {
		return errorAt(w, diag.RuleText, "`--` is no option")
	}
	name, inline, hasInline := strings.Cut(name, "=")
	if hasInline {
		// Read the part behind = as the option's argument.
		v := Word{Text: inline, Start: w.End - len(inline), End: w.End, Quoted: w.Quoted, Literal: w.Literal}
		v.Start = max(v.Start, w.Start)
		p.pos--
		p.words = slices.Clone(p.words)
		p.words[p.pos] = v
		w.Text = w.Text[:2+len(name)]
	}
	start := p.pos
	err := p.long(name, w, not)
	if err == nil && hasInline && p.pos == start {
		return errorAt(w, diag.RuleText, "--%s takes no argument", name)
	}
	return err
}

// valueOption tells that a word with a value in it is an option all the same:
// --name=VALUE, where the value came behind the equals sign.
func (p *parser) valueOption(w Word) bool {
	return strings.HasPrefix(w.Text, "--") && strings.Contains(w.Text[:w.valueAt], "=")
}

func (p *parser) bareWord(w Word) *Error {
	e := errorAt(w, diag.RuleText, "%s is no option and belongs to none", Quote(w.Text))
	if strings.HasSuffix(w.Text, "'") {
		return e.withHelp("keep words together with double quotes; single quotes mean nothing here")
	}
	if p.pos >= 2 && p.words[p.pos-2].Text == "-A" {
		return e.withHelp("leave out -A and the chain: the place of the rule says it")
	}
	return e
}

// longShort refuses -ptcp and the like, which iptables-restore reads wrongly.
func (p *parser) longShort(w Word) *Error {
	e := errorAt(w, diag.RuleText, "unknown option %s", w.Text)
	if coreLong(w.Text[1:]) != nil {
		return e.withHelp("write -%s", w.Text)
	}
	if o := coreShort(w.Text[1]); o != nil && o.set != nil {
		return e.withHelp("write -%c %s", w.Text[1], w.Text[2:])
	}
	return e
}

// long reads an option with two dashes: iptables' own, one of a loaded module, or
// one of the protocol's module.
func (p *parser) long(name string, w Word, not bool) *Error {
	// No module has an option with the name of one of iptables' own.
	if x, i := p.loaded(name); x != nil {
		return p.module(x, i, w, not)
	}
	if o := coreLong(name); o != nil {
		return p.core(o, w, not)
	}
	if x := p.implyProtocol(); x != nil {
		if i := x.mod.lookup(name); i >= 0 {
			return p.module(x, i, w, not)
		}
		defer p.dropUnused(x)
	}
	return p.abbreviated(name, w, not)
}

// loaded finds an option in the modules of the rule; the newest one wins, as it
// does in iptables.
func (p *parser) loaded(name string) (*instance, int) {
	if p.target != nil {
		if i := p.target.mod.lookup(name); i >= 0 {
			return p.target, i
		}
	}
	for k := len(p.insts) - 1; k >= 0; k-- {
		if i := p.insts[k].mod.lookup(name); i >= 0 {
			return &p.insts[k], i
		}
	}
	return nil, -1
}

// implyProtocol loads the module of -p PROTOCOL, once.
func (p *parser) implyProtocol() *instance {
	if p.implied || p.spec.Protocol == nil {
		return nil
	}
	name := protocolModule(p.spec.Protocol.Number)
	m, _ := find(matchModules, name, p.opt.Family)
	if m == nil {
		return nil
	}
	p.implied = true
	return p.load(m, p.protocol)
}

// dropUnused takes back an implied module that did not have the option either.
func (p *parser) dropUnused(x *instance) {
	if x.seen == 0 && len(p.insts) > 0 && &p.insts[len(p.insts)-1] == x {
		p.insts = p.insts[:len(p.insts)-1]
		p.implied = false
	}
}

func (p *parser) load(m *module, at Word) *instance {
	p.insts = append(p.insts, instance{mod: m, at: at})
	x := &p.insts[len(p.insts)-1]
	if m.fresh != nil {
		x.value = m.fresh()
	}
	return x
}

// abbreviated takes a beginning that only one option has, as getopt_long does.
func (p *parser) abbreviated(name string, w Word, not bool) *Error {
	type candidate struct {
		x *instance
		i int
		o *coreOption
	}
	var found []candidate
	var names []string
	add := func(x *instance) {
		for i := range x.mod.options {
			o := &x.mod.options[i]
			if strings.HasPrefix(o.name, name) {
				c := candidate{x: x, i: x.mod.lookup(o.name)}
				if !slices.Contains(found, c) {
					found = append(found, c)
				}
			}
			names = append(names, o.name)
		}
	}
	for i := range coreOptions {
		o := &coreOptions[i]
		for _, n := range o.long {
			if strings.HasPrefix(n, name) {
				if c := (candidate{o: o}); !slices.Contains(found, c) {
					found = append(found, c)
				}
			}
			names = append(names, n)
		}
	}
	for k := range p.insts {
		add(&p.insts[k])
	}
	if p.target != nil {
		add(p.target)
	}
	switch {
	case len(found) == 1 && found[0].o != nil:
		return p.core(found[0].o, w, not)
	case len(found) == 1:
		return p.module(found[0].x, found[0].i, w, not)
	case len(found) > 1:
		return errorAt(w, diag.RuleText, "%s is short for more than one option", w.Text)
	}
	return p.unknownOption(name, w, names)
}

func (p *parser) unknownOption(name string, w Word, names []string) *Error {
	e := errorAt(w, diag.RuleText, "unknown option --%s", name)
	if p.target == nil && p.seen&seenTarget != 0 {
		if m, other := find(targetModules, p.jump.Text, p.opt.Family); m == nil && other {
			return e.withHelp("%s does not have the target %s", p.opt.Family, p.jump.Text)
		}
	}
	for _, m := range []string{"tcp", "udp", "icmp", "icmp6"} {
		mod, _ := find(matchModules, m, p.opt.Family)
		if mod != nil && mod.lookup(name) >= 0 && p.spec.Protocol == nil {
			return e.withHelp("-p %s has to stand before --%s", strings.Replace(m, "icmp6", "icmpv6", 1), name)
		}
	}
	if owner := ownerOf(name, p.opt.Family); owner != "" {
		return e.withHelp("%s has to stand before --%s", owner, name)
	}
	if near := nearest(name, names); near != "" {
		return e.withHelp("did you mean --%s", near)
	}
	return e
}

// ownerOf names the module that has an option, if it is only one.
func ownerOf(name string, f ir.Family) string {
	owner := ""
	look := func(all map[string][]*module, flag string) {
		for n := range all {
			if m, _ := find(all, n, f); m != nil && m.lookup(name) >= 0 {
				if owner != "" {
					owner = "-"
					return
				}
				owner = flag + n
			}
		}
	}
	look(matchModules, "-m ")
	look(targetModules, "-j ")
	if owner == "-" {
		return ""
	}
	return owner
}

// firstValue reads the first argument of the option in a, and an exclamation mark
// at its old place: --dport ! 80.
func (p *parser) firstValue(a *arg, negatable bool) *Error {
	v, err := p.next(a.at)
	if err != nil {
		return err
	}
	if v.Text == "!" && !v.Literal && !v.Quoted && negatable {
		if a.not {
			return errorAt(v, diag.RuleText, "two `!` for one option")
		}
		a.not = true
		if v, err = p.next(a.at); err != nil {
			return err
		}
	}
	a.v = v
	return nil
}

// module reads the arguments of a module's option.
func (p *parser) module(x *instance, i int, w Word, not bool) *Error {
	o := &x.mod.options[i]
	a := &p.arg
	*a = arg{opt: o, at: w, not: not}
	if o.words > 0 {
		err := p.firstValue(a, o.not)
		if err != nil {
			return err
		}
		if o.words > 1 {
			if a.v2, err = p.next(w); err != nil {
				return err
			}
		}
	}
	if a.not && !o.not {
		return errorAt(w, diag.RuleText, "--%s cannot be negated", o.name)
	}
	bit := uint64(1) << i
	if x.seen&bit != 0 && !o.multi {
		return errorAt(w, diag.RuleText, "--%s is given twice", o.name)
	}
	if o.group != 0 {
		for k := range x.mod.options {
			if k != i && x.mod.options[k].group == o.group && x.seen&(1<<k) != 0 {
				return errorAt(w, diag.RuleText, "--%s cannot stand together with --%s", o.name, x.mod.options[k].name)
			}
		}
	}
	x.seen |= bit
	if o.set != nil {
		return o.set(p, x, a)
	}
	g := given{opt: o, not: a.not, value: a.v.Text, extra: a.v2.Text, typed: a.v.Text}
	if o.canon != nil {
		v, err := o.canon(p, a)
		if err != nil {
			return err
		}
		if a.drop {
			return nil
		}
		g.value, g.not = v, a.not
	}
	x.given = append(x.given, g)
	return nil
}
