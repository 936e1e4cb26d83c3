package survey

import "hookline/compiler/ir"

// FormatVersion is the version of the report's JSON form. It goes up when a field
// changes its meaning or goes away; new fields do not change it.
const FormatVersion = 1

// Report is how a host stands. Its JSON form is the machine-readable report;
// schemas/v1/doctor.schema.json is generated from it. A part that was not looked
// at is absent.
type Report struct {
	FormatVersion int `json:"formatVersion"`
	// Snapshot is the recorded snapshot's name; absent for a live host.
	Snapshot string `json:"snapshot,omitempty"`
	// Redacted tells that addresses are pseudonyms.
	Redacted bool   `json:"redacted,omitempty"`
	Hostname string `json:"hostname,omitempty"`
	Kernel   string `json:"kernel,omitempty"`
	// Findings, the worst first.
	Findings []Finding `json:"findings"`
	// Backend is the variant in use, Why how that was told.
	Backend ir.Variant `json:"backend"`
	Why     string     `json:"why,omitempty"`
	// Variants are both variants of iptables as far as they are known.
	Variants     []Variant     `json:"variants"`
	Participants []Participant `json:"participants"`
	// Native are nft rules in tables of iptables.
	Native []NativeRule `json:"native,omitempty"`
	// Unreadable are tables and chains that iptables cannot print.
	Unreadable []Unreadable `json:"unreadable,omitempty"`
	// Chains are the shared chains with the order in which programs stand in them.
	Chains []Chain `json:"chains"`
	// Hooks are the base chains of nftables, by the way that packets take.
	Hooks []Hook `json:"hooks,omitempty"`
	Tools []Tool `json:"tools,omitempty"`
	// Settings of the machine that bear on its tables.
	Settings []Setting `json:"settings,omitempty"`
	Rulesets []Ruleset `json:"rulesets,omitempty"`
	// Unknown says what was not looked at or could not be read.
	Unknown []string `json:"unknown,omitempty"`
	// Notes are what tools said while the host was read.
	Notes []string `json:"notes,omitempty"`
}

// Hurts tells whether something was found that will hurt.
func (r *Report) Hurts() bool { return r.count(Hurts) > 0 }

func (r *Report) count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Severity of a finding. The set is closed.
type Severity string

// The severities: what will hurt ends doctor with another exit code.
const (
	Hurts   Severity = "hurts"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// Finding is one thing that an operator should know.
type Finding struct {
	Severity Severity `json:"severity"`
	Code     Code     `json:"code"`
	// Message is what is there, in a sentence.
	Message string `json:"message"`
	// Details are the places, a line each.
	Details []string `json:"details,omitempty"`
	// Effects are what it does, and to whom; a sentence each.
	Effects []string `json:"effects,omitempty"`
	// Help is what to do.
	Help string `json:"help,omitempty"`
}

// Variant is one of the two variants of iptables.
type Variant struct {
	Variant ir.Variant `json:"variant"`
	InUse   bool       `json:"inUse"`
	// Families that were read; the others are unknown.
	Families []string `json:"families"`
	Tables   []Table  `json:"tables"`
	// Programs with something in the variant, by number of rules.
	Programs []Count `json:"programs"`
}

// Table is a table of a variant and how much is in it.
type Table struct {
	Family string `json:"family"`
	Name   string `json:"name"`
	Chains int    `json:"chains"`
	Rules  int    `json:"rules"`
	// Unreadable is why its rules are not known.
	Unreadable string `json:"unreadable,omitempty"`
}

// Count is what one program has. Program is a participant, a ruleset behind
// "hookline:", or "unknown".
type Count struct {
	Program string `json:"program"`
	Chains  int    `json:"chains"`
	Rules   int    `json:"rules"`
}

// Participant is a program that has something on the host.
type Participant struct {
	Name  string `json:"name"`
	Title string `json:"title,omitempty"`
	// Versions are what its rules tell of its version, mode or settings.
	Versions []string `json:"versions,omitempty"`
	Chains   int      `json:"chains"`
	Rules    int      `json:"rules"`
	Sets     int      `json:"sets"`
	// Tables in which it has something.
	Tables []Place `json:"tables,omitempty"`
	// NFTTables are its own tables of nftables.
	NFTTables []string `json:"nftTables,omitempty"`
}

// Place is a table of a variant.
type Place struct {
	Variant ir.Variant `json:"variant"`
	Family  string     `json:"family"`
	Table   string     `json:"table"`
}

// NativeRule is an nft rule in a table of iptables.
type NativeRule struct {
	Family string `json:"family"`
	Table  string `json:"table"`
	Chain  string `json:"chain"`
	// Position counts from 1 among all rules of the chain.
	Position int    `json:"position"`
	Handle   uint64 `json:"handle"`
	// Expression is the first that iptables would not write.
	Expression string `json:"expression"`
	// Text is the rule as nft lists it, if it is known.
	Text string `json:"text,omitempty"`
	// Shown is Text with the expression's statement in brackets.
	Shown   string `json:"shown,omitempty"`
	Comment string `json:"comment,omitempty"`
	// Author is the participant that probably wrote it.
	Author string `json:"author,omitempty"`
}

// Unreadable is a table or a chain that iptables cannot print.
type Unreadable struct {
	Variant ir.Variant `json:"variant"`
	Family  string     `json:"family"`
	Table   string     `json:"table"`
	// Chain is absent if the whole table is meant.
	Chain  string `json:"chain,omitempty"`
	Reason string `json:"reason"`
}

// Chain is a chain in which several programs stand, or could.
type Chain struct {
	Variant ir.Variant `json:"variant"`
	Family  string     `json:"family"`
	Table   string     `json:"table"`
	Chain   string     `json:"chain"`
	Policy  string     `json:"policy,omitempty"`
	// Entries are neighbouring rules of one program, from the top.
	Entries []Entry `json:"entries"`
	// Moves are what programs will do about the order by themselves.
	Moves []string `json:"moves,omitempty"`
}

// Entry is a run of rules of one program in a chain.
type Entry struct {
	// First and Last are positions, from 1.
	First int `json:"first"`
	Last  int `json:"last"`
	// Program is a participant, a ruleset behind "hookline:", or "unknown".
	Program string `json:"program"`
	// Tail tells that these are the rules that the program keeps at the end.
	Tail bool `json:"tail,omitempty"`
	// Does is where the rules lead to: chains and targets in order.
	Does []string `json:"does"`
}

// Hook is a place where packets enter chains of nftables.
type Hook struct {
	// Stack is ipv4, ipv6, arp, bridge or netdev; chains of family inet are in the
	// first two.
	Stack  string      `json:"stack"`
	Hook   string      `json:"hook"`
	Device string      `json:"device,omitempty"`
	Chains []BaseChain `json:"chains"`
}

// BaseChain is a base chain of nftables.
type BaseChain struct {
	Family   string `json:"family"`
	Table    string `json:"table"`
	Chain    string `json:"chain"`
	Type     string `json:"type"`
	Priority int    `json:"priority"`
	Policy   string `json:"policy"`
	Rules    int    `json:"rules"`
	// Program is whose the table is: a participant, "iptables", a ruleset behind
	// "hookline:", or absent.
	Program string   `json:"program,omitempty"`
	Tags    []string `json:"tags,omitempty"`
}

// Tool is a program of the machine.
type Tool struct {
	Name string `json:"name"`
	// Path is absent if only the version is known.
	Path    string `json:"path,omitempty"`
	Version string `json:"version,omitempty"`
	Target  string `json:"target,omitempty"`
}

// Setting is a place in a configuration file, and what it means.
type Setting struct {
	Name  ir.SettingName `json:"name"`
	File  string         `json:"file"`
	Line  int            `json:"line,omitempty"`
	Text  string         `json:"text,omitempty"`
	Means string         `json:"means"`
}

// Ruleset is a ruleset that the state directory records, or of which something
// stands.
type Ruleset struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	// Status is applied, intent (an apply did not come to its end), or unrecorded.
	Status  string     `json:"status"`
	Variant ir.Variant `json:"variant,omitempty"`
	// Jumps of its that stand in shared chains.
	Jumps int `json:"jumps"`
	// Tables of nftables that are its own.
	Tables []string `json:"tables,omitempty"`
}
