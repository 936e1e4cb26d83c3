package xtables

import (
	"hookline/compiler/ir"
)

// module is what the parser knows of one match or target of iptables.
type module struct {
	name string
	// family is 0 if both families have the module.
	family ir.Family
	// protocols are the values of -p, by number, that the module asks for; nil: any.
	protocols []uint8
	options   []option
	// fresh makes the value that the options fill: an ir.Match or an ir.Target. It is
	// nil for modules whose canonical words are kept undecoded.
	fresh func() any
	// finish checks what the options said together, and fills in what the tool fills
	// in. For undecoded modules it may reorder x.given.
	finish func(p *parser, x *instance) *Error
	// asGiven keeps the options of an undecoded module in their order; without it
	// they are printed in the order of the table.
	asGiven bool
}

// option is one option of a module.
type option struct {
	name string // without the leading --
	// alias of another option of the module: its name. The rest is then unused.
	alias string
	words int  // arguments that follow
	not   bool // may be negated
	multi bool // may be given more than once
	must  bool // has to be given
	// group: of the options with the same letter only one may be given.
	group byte
	// set fills a decoded module.
	set func(p *parser, x *instance, a *arg) *Error
	// canon spells the value of an undecoded module as the tool prints it.
	canon canon
	// quote says how the tool prints the value of an undecoded module.
	quote quoteStyle
}

// canon turns a value as typed into the value as printed.
type canon func(p *parser, a *arg) (string, *Error)

// quoteStyle is how iptables-save prints a string.
type quoteStyle uint8

const (
	quoteNever  quoteStyle = iota // printf("%s")
	quoteNeeded                   // xtables_save_string
	quoteAlways                   // printf("\"%s\"")
	quoteString                   // libxt_string's own way: only \" and \\ are escaped
)

// arg is an option as it stands in a rule.
type arg struct {
	opt *option
	at  Word // the option's own word
	not bool
	v   Word // its first argument, if it takes one
	v2  Word // its second
	// drop is set by a canon for an option that the tool does not print.
	drop bool
}

// instance is a module at work in one rule.
type instance struct {
	mod    *module
	at     Word // where -m or -j names it; the protocol if it is implied
	target bool
	value  any // what fresh made
	seen   uint64
	given  []given // of undecoded modules
}

// given is one option of an undecoded module, in canonical spelling.
type given struct {
	opt   *option
	not   bool
	value string // "" if the option takes none
	extra string // the second argument
	typed string // the first argument as it was written
}

// has tells whether an option was given.
func (x *instance) has(name string) bool {
	for i := range x.mod.options {
		if x.mod.options[i].name == name {
			return x.seen&(1<<i) != 0
		}
	}
	return false
}

// lookup finds an option by its full name, seeing through aliases.
func (m *module) lookup(name string) int {
	for i := range m.options {
		o := &m.options[i]
		if o.name != name {
			continue
		}
		if o.alias != "" {
			return m.lookup(o.alias)
		}
		return i
	}
	return -1
}

// matchModules and targetModules are filled by the tables of the match_*.go,
// target_*.go and raw_*.go files. A name can have one entry for each family.
var (
	matchModules  = index(typedMatches, rawMatches)
	targetModules = index(typedTargets, rawTargets)
)

func index(lists ...[]*module) map[string][]*module {
	all := make(map[string][]*module)
	for _, list := range lists {
		for _, m := range list {
			all[m.name] = append(all[m.name], m)
		}
	}
	return all
}

// find gives the module of a name for a family, or nil; other tells that only the
// other family has it.
func find(all map[string][]*module, name string, f ir.Family) (m *module, other bool) {
	for _, c := range all[name] {
		if c.family == 0 || c.family == f {
			return c, false
		}
		other = true
	}
	return nil, other
}

// extraTargets are targets of the kernel and of xtables-addons whose options are
// not known here.
var extraTargets = map[string]bool{
	"ACCOUNT": true, "CHAOS": true, "DELUDE": true, "DHCPMAC": true, "DNETMAP": true, "ECHO": true,
	"IPMARK": true, "LOGMARK": true, "PROTO": true, "SYSRQ": true, "TARPIT": true, "RAWSNAT": true,
	"RAWDNAT": true, "STEAL": true, "FLOWOFFLOAD": true, "FULLCONENAT": true, "MIRROR": true, "SAME": true,
	"ROUTE": true, "XOR": true, "TCPLAG": true,
}

// verdicts are the targets that are no extensions.
var verdicts = map[string]bool{"ACCEPT": true, "DROP": true, "RETURN": true, "QUEUE": true}

// IsExtensionTarget tells whether a target is one of iptables' own or of its
// extensions. A jump to anything else is a jump to a chain.
func IsExtensionTarget(name string) bool {
	return verdicts[name] || extraTargets[name] || len(targetModules[name]) > 0
}
