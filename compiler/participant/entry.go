package participant

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// Entry is one program. Of an entry that a ruleset adds, only Name and the five
// lists of recognition are set. Globs are anchored; `*` stands for any text and
// nothing else is special.
type Entry struct {
	// Name is how rulesets and plans call the program: [a-z0-9-]+.
	Name string `json:"name"`
	// Title is the program's name for people, and what part of it writes the rules.
	Title string `json:"title,omitempty"`

	// Chains are names of the program's chains. Names without `*` can be written as
	// bare references in rulesets.
	Chains []string `json:"chains,omitempty"`
	// Jumps are those that stand as long as the program's chain stands: one that is
	// missing was deleted by somebody else.
	Jumps []Jump `json:"jumps,omitempty"`
	// Comments that the program's rules carry; one of a rule's comments is enough.
	Comments []string `json:"comments,omitempty"`
	// Sets are names of the program's ipsets.
	Sets []string `json:"sets,omitempty"`
	// Rules are the shapes of the program's rules that neither jump to a chain of
	// its own nor carry a comment. They count only outside other programs' chains.
	Rules []RuleGlob `json:"rules,omitempty"`
	// NFTTables are the program's own nftables tables, as "ip calico".
	NFTTables []string `json:"nftTables,omitempty"`

	// Drops are base chains in which the program drops or rejects packets: an accept of
	// somebody else ahead of them is not the last word.
	Drops []Drop `json:"drops,omitempty"`

	// Tail are those of the program's rules that stand apart from its jump, at the
	// end of a shared chain. The bare name of the participant does not mean them.
	Tail []RuleGlob `json:"tail,omitempty"`
	// Behaviours in the order of the file.
	Behaviours []Behaviour `json:"behaviours,omitempty"`
	// Marks are the packet mark bits that the program sets or reads.
	Marks []Mark `json:"marks,omitempty"`
	// Reserved are beginnings of chain names that nobody else should use.
	Reserved []string `json:"reserved,omitempty"`
	// UserChains are chains that the program creates for its users to fill.
	UserChains []string `json:"userChains,omitempty"`
	// Shared are chains and comments that another participant writes too: they do not
	// show that this one is there.
	Shared []Shared `json:"shared,omitempty"`
	// Killed are substrings that get a rule deleted, whoever wrote it.
	Killed []Killed `json:"killed,omitempty"`
	// Versions tell versions and modes of the program apart by what shows on a host.
	Versions []Version `json:"versions,omitempty"`
	// Sources say where all this is from: source files, issues, recordings.
	Sources []string `json:"sources,omitempty"`

	added bool // by a ruleset
}

// RuleGlob is the shape of a rule: all keys that are set hold, each by glob.
type RuleGlob struct {
	// Tables and Hooks narrow the glob to tables by name and to chains by glob; empty
	// means any.
	Tables []string `json:"tables,omitempty"`
	Hooks  []string `json:"hooks,omitempty"`
	// Beside narrows the glob to chains that also jump to a chain of this name: rules
	// that anybody could have written are a program's where its jump stands by them.
	Beside string `json:"beside,omitempty"`
	// Comment matches any of the rule's comments.
	Comment string `json:"comment,omitempty"`
	// Text is the whole rule behind `-A CHAIN `, as iptables-save prints it, or a native
	// rule as nft lists it.
	Text string `json:"text,omitempty"`
	// Target is the target's name, or the chain that the rule jumps or goes to.
	Target string `json:"target,omitempty"`
	// In and Out are interface names; a negated one has "! " in front.
	In  string `json:"in,omitempty"`
	Out string `json:"out,omitempty"`
	// Set matches any set that the rule refers to.
	Set string `json:"set,omitempty"`
}

// Kind is what a program does about the place of its rules. The set is closed.
type Kind string

// The kinds of behaviour.
const (
	// ReassertsTop moves its rules back to the top of the chain whenever it looks.
	ReassertsTop Kind = "reassertsTop"
	// ReassertsBottom moves its rules back to the end of the chain.
	ReassertsBottom Kind = "reassertsBottom"
	// PrependsIfMissing puts a lost rule at the top and never moves a standing one.
	PrependsIfMissing Kind = "prependsIfMissing"
	// AppendsIfMissing puts a lost rule at the end and never moves a standing one.
	AppendsIfMissing Kind = "appendsIfMissing"
	// Positions keeps its rule ahead of those named in Before.
	Positions Kind = "positions"
	// Event writes at its own events (at the end given by At) and never looks again.
	Event Kind = "event"
	// RewritesTable saves, edits and restores the whole table.
	RewritesTable Kind = "rewritesTable"
	// Flushes empties tables that other programs share.
	Flushes Kind = "flushes"
	// Injects writes rules into other programs' chains or tables.
	Injects Kind = "injects"
)

// Repairs tells that the program puts back what it lost, sooner or later.
func (k Kind) Repairs() bool {
	switch k {
	case ReassertsTop, ReassertsBottom, PrependsIfMissing, AppendsIfMissing, Positions, Event:
		return true
	case RewritesTable, Flushes, Injects:
	}
	return false
}

var kinds = []Kind{
	ReassertsTop, ReassertsBottom, PrependsIfMissing, AppendsIfMissing, Positions, Event, RewritesTable, Flushes, Injects,
}

// Behaviour is what a program does in some hooks of some tables.
type Behaviour struct {
	// Tables and Hooks where it does so; empty means any.
	Tables []string `json:"tables,omitempty"`
	Hooks  []string `json:"hooks,omitempty"`
	Kind   Kind     `json:"kind"`
	// Tail tells that it is about the rules in Entry.Tail, not about the others.
	Tail bool `json:"tail,omitempty"`
	// At is "top" or "bottom" for an Event that puts the rules there each time, also
	// if they stand elsewhere.
	At string `json:"at,omitempty"`
	// Before are chains that Positions stays ahead of.
	Before []string `json:"before,omitempty"`
	// Repair says when, e.g. "within 180 s"; it follows the sentence in Does.
	Repair string `json:"repair,omitempty"`
	// Canary is a chain of the program by whose loss it learns that its rules are
	// gone; nil if it has none.
	Canary *Canary `json:"canary,omitempty"`
	// When is the setting or version that it depends on, in words.
	When string `json:"when,omitempty"`
	// NotByDefault marks what only other settings or old versions do. Placements are
	// not checked against it.
	NotByDefault bool `json:"notByDefault,omitempty"`
	// Does is a sentence without a subject and without the time: "puts its jump back
	// at position 1".
	Does string `json:"does"`
}

// Canary is a chain that a program looks for, in place of its rules. Stands and
// Lost take the place of Behaviour.Repair where it is known whether it stands.
type Canary struct {
	Table string `json:"table"`
	Chain string `json:"chain"`
	// Stands says when lost rules come back while the chain stands, Lost when they do
	// once it is gone too.
	Stands string `json:"stands"`
	Lost   string `json:"lost"`
}

// Mark is a range of packet mark bits.
type Mark struct {
	// Value and Mask as 0x... words.
	Value Word `json:"value"`
	Mask  Word `json:"mask"`
	// Use says what for.
	Use string `json:"use"`
	// WholeIn are nftables tables ("ip x") in which the program compares the whole mark
	// with Value, so that any bit outside of Mask hides its own from it.
	WholeIn []string `json:"wholeIn,omitempty"`
	// Hidden says what the program does then, as a clause with the program as its
	// subject: "masquerades the packet once more".
	Hidden string `json:"hidden,omitempty"`
}

// Jump is from each of some built-in chains of each of some tables to a chain of
// the program.
type Jump struct {
	Chain  string   `json:"chain"`
	Tables []string `json:"tables"`
	Hooks  []string `json:"hooks"`
}

// Drop is where a program drops packets, and which.
type Drop struct {
	// Chains are base chains by glob, with their table as nft(8) names it ("ip netbird
	// netbird-acl-*"); one of iptables, in either variant, is "iptables filter INPUT".
	Chains []string `json:"chains"`
	// What is dropped there, as a clause with "drops" or "rejects" in front.
	Does string `json:"does"`
}

// DropsIn is what the program drops in a base chain, or "".
func (e *Entry) DropsIn(chain string) string {
	for _, d := range e.Drops {
		if slices.ContainsFunc(d.Chains, func(g string) bool { return ir.MatchGlob(g, chain) }) {
			return d.Does
		}
	}
	return ""
}

// Shared is a glob of Entry.Chains or Entry.Comments, as it stands there, that With
// writes too.
type Shared struct {
	Glob string `json:"glob"`
	With string `json:"with"`
}

// SharedWith is the participant that writes what a glob of the entry's means too,
// or "".
func (e *Entry) SharedWith(glob string) string {
	for _, s := range e.Shared {
		if s.Glob == glob {
			return s.With
		}
	}
	return ""
}

// Killed is a substring that gets a rule deleted.
type Killed struct {
	Substring string `json:"substring"`
	// AnyCase tells that upper and lower case are the same.
	AnyCase bool `json:"anyCase,omitempty"`
	// Exact are the strings that really get a rule deleted, if Substring, which names
	// must not hold, is less than them.
	Exact []string `json:"exact,omitempty"`
	// By says who deletes, as a clause: "rke2-killall.sh deletes ...".
	By string `json:"by"`
}

// Version is what is known of a program's version, mode or settings if a host
// shows some signs.
type Version struct {
	// Says is a phrase for people: "3.29 or newer".
	Says string `json:"says"`
	// Has are signs all of which are there; Lacks are signs none of which is.
	Has   Signs `json:"has"`
	Lacks Signs `json:"lacks,omitempty"`
}

// Signs are things that a host shows, by glob.
type Signs struct {
	// Chains by name, in any table.
	Chains []string `json:"chains,omitempty"`
	// Rules by shape. Hooks must say in which chains: a host has many.
	Rules []RuleGlob `json:"rules,omitempty"`
	// NFTTables as "ip netbird", and base chains in them as "ip netbird netbird-raw-pre".
	NFTTables []string `json:"nftTables,omitempty"`
	NFTChains []string `json:"nftChains,omitempty"`
}

func (s Signs) globs() []string { return slices.Concat(s.Chains, s.NFTTables, s.NFTChains) }

func (s Signs) empty() bool { return len(s.globs())+len(s.Rules) == 0 }

// ownsBase tells whether a glob of Drops is about a base chain of iptables, or of
// one of the program's tables.
func (e *Entry) ownsBase(glob string) bool {
	words := strings.SplitN(glob, " ", 3)
	if len(words) < 3 {
		return false
	}
	if words[0] == "iptables" {
		return ir.IsBuiltin(words[1], words[2])
	}
	return slices.Contains(e.NFTTables, words[0]+" "+words[1])
}

// In tells whether the behaviour is about a chain of a table.
func (b Behaviour) In(table, chain string) bool {
	return oneOf(b.Tables, table) && oneOf(b.Hooks, chain)
}

// Sentence is Does and Repair, with the program's name in front.
func (b Behaviour) Sentence(name string) string {
	s := name + " " + b.Does
	if b.Repair != "" {
		s += " " + b.Repair
	}
	if b.When != "" {
		s += " (" + b.When + ")"
	}
	return s
}

// Return is a sentence about a rule that was lost: who puts it back, when, and
// where to. stands tells whether a chain of a table stands; nil if that is not
// known.
func (b Behaviour) Return(name string, stands func(table, chain string) bool) string {
	when := b.Repair
	if c := b.Canary; c != nil && stands != nil {
		if stands(c.Table, c.Chain) {
			when = c.Stands + " (its canary chain " + c.Chain + " of " + c.Table + " stands)"
		} else {
			when = c.Lost + " (its canary chain " + c.Chain + " of " + c.Table + " is gone too)"
		}
	}
	s := name
	if when != "" {
		s += ", " + when
	}
	s += ": " + b.Does
	if b.When != "" {
		s += " (" + b.When + ")"
	}
	return s
}

// BehavioursIn lists what the program does by default in a chain of a table, of
// its tail rules or of its others.
func (e *Entry) BehavioursIn(table, chain string, tail bool) []Behaviour {
	var out []Behaviour
	for _, b := range e.Behaviours {
		if !b.NotByDefault && b.Tail == tail && b.In(table, chain) {
			out = append(out, b)
		}
	}
	return out
}

// Applies tells whether the glob is about rules in a chain of a table.
func (g RuleGlob) Applies(table, chain string) bool {
	return oneOf(g.Tables, table) &&
		(len(g.Hooks) == 0 || slices.ContainsFunc(g.Hooks, func(h string) bool { return ir.MatchGlob(h, chain) }))
}

// Literal is the length of the glob's literal text, all keys together.
func (g RuleGlob) Literal() int {
	n := 0
	for _, s := range g.keys() {
		n += literal(s)
	}
	return n
}

func (g RuleGlob) keys() []string {
	return []string{g.Comment, g.Text, g.Target, g.In, g.Out, g.Set}
}

func oneOf(list []string, s string) bool { return len(list) == 0 || slices.Contains(list, s) }

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// check finds what decoding cannot.
func (e *Entry) check() error {
	if !nameForm.MatchString(e.Name) {
		return fmt.Errorf("participant name %q is not of the form [a-z0-9-]+", e.Name)
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for what, list := range map[string][]string{
		"chains": e.Chains, "comments": e.Comments, "sets": e.Sets, "reserved": e.Reserved, "userChains": e.UserChains,
	} {
		for _, g := range list {
			if literal(g) == 0 {
				bad("%s: %q has no literal text and would match everything", what, g)
			}
		}
	}
	for _, g := range slices.Concat(e.Rules, e.Tail) {
		if g.Literal() == 0 {
			bad("rules: a rule glob without literal text would match everything")
		}
	}
	for _, t := range e.NFTTables {
		family, name, ok := strings.Cut(t, " ")
		if !ok || name == "" || !slices.Contains([]string{"ip", "ip6", "inet", "arp", "bridge", "netdev"}, family) {
			bad("nftTables: %q is not a family and a name, as in \"ip calico\"", t)
		}
	}
	for _, b := range e.Behaviours {
		switch {
		case !slices.Contains(kinds, b.Kind):
			bad("behaviours: unknown kind %q", b.Kind)
		case b.Does == "":
			bad("behaviours: %s says nothing in \"does\"", b.Kind)
		case b.Canary != nil && (b.Canary.Table == "" || b.Canary.Chain == "" || b.Canary.Stands == "" || b.Canary.Lost == ""):
			bad("behaviours: a canary needs a table, a chain, and when rules come back with it and without it")
		case b.At != "" && b.At != "top" && b.At != "bottom":
			bad("behaviours: at is %q, not top or bottom", b.At)
		case (b.Kind == Positions) != (len(b.Before) > 0):
			bad("behaviours: %s and before do not go together", b.Kind)
		}
	}
	for _, d := range e.Drops {
		if !strings.HasPrefix(d.Does, "drops ") && !strings.HasPrefix(d.Does, "rejects ") || len(d.Chains) == 0 {
			bad("drops: %q needs chains, and to begin with drops or rejects", d.Does)
		}
		for _, g := range d.Chains {
			if !e.ownsBase(g) {
				bad("drops: %q is a base chain neither of iptables nor of one of nftTables", g)
			}
		}
	}
	for _, m := range e.Marks {
		if m.Value&^m.Mask != 0 || m.Mask == 0 || m.Use == "" {
			bad("marks: 0x%x/0x%x needs a mask that covers its value, and a use", uint32(m.Value), uint32(m.Mask))
		}
		for _, t := range m.WholeIn {
			if !slices.Contains(e.NFTTables, t) {
				bad("marks: wholeIn names %q, which is not among nftTables", t)
			}
		}
		if (len(m.WholeIn) > 0) != (m.Hidden != "") {
			bad("marks: wholeIn and hidden do not go together")
		}
	}
	for _, j := range e.Jumps {
		for _, t := range j.Tables {
			for _, h := range j.Hooks {
				if !ir.IsBuiltin(t, h) {
					bad("jumps: table %s has no built-in chain %s", t, h)
				}
			}
		}
		if len(j.Tables) == 0 || len(j.Hooks) == 0 || !slices.Contains(slices.Concat(e.Chains, e.UserChains), j.Chain) {
			bad("jumps: %q needs tables and hooks, and to be one of the chains", j.Chain)
		}
	}
	for _, c := range e.Shared {
		if !slices.Contains(slices.Concat(e.Chains, e.Comments), c.Glob) || c.With == "" || c.With == e.Name {
			bad("shared: %q must be one of the chains and comments, and with somebody else", c.Glob)
		}
	}
	for _, v := range e.Versions {
		if v.Says == "" || v.Has.empty() {
			bad("versions: %q needs words, and signs that are there", v.Says)
		}
		for _, g := range slices.Concat(v.Has.Rules, v.Lacks.Rules) {
			if len(g.Tables) == 0 || len(g.Hooks) == 0 || g.Literal() == 0 || strings.Contains(strings.Join(g.Hooks, ""), "*") {
				bad("versions: %q: a rule needs tables, chains by name and some text", v.Says)
			}
		}
		for _, g := range slices.Concat(v.Has.globs(), v.Lacks.globs()) {
			if literal(g) == 0 {
				bad("versions: %q: %q would match everything", v.Says, g)
			}
		}
	}
	for _, k := range e.Killed {
		if k.Substring == "" || k.By == "" {
			bad("killed: a substring and who deletes are both needed")
		}
		if slices.ContainsFunc(k.Exact, func(x string) bool { return !strings.Contains(x, k.Substring) }) {
			bad("killed: the exact strings of %q do not all hold it", k.Substring)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("participant %s: %w", e.Name, err)
	}
	return nil
}

// String is the glob as a ruleset writes it.
func (g RuleGlob) String() string {
	var parts []string
	for i, key := range []string{"comment", "text", "target", "in", "out", "set"} {
		if s := g.keys()[i]; s != "" {
			parts = append(parts, fmt.Sprintf("%s: %q", key, s))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
