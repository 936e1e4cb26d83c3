package compiler

import "hookline/compiler/ir"

// PlanOptions are what a plan depends on besides programs and snapshot.
type PlanOptions struct {
	// Recorded are the rulesets that a state directory knows of this host, those
	// being planned included. Nil if there is no record.
	Recorded []Recorded
	// Respelled tells what a tool printed for a rule text of ours in which it
	// re-spelled what we cannot decode; see RespellKey.
	Respelled map[string]string
	// Remove plans that nothing of the programs stands.
	Remove bool
	// Families limits the plan; empty means all that programs and snapshot have.
	Families []ir.Family
	// DropGuards are guards, by GuardKey, that failed although their rule still stood
	// (FIELD M-49): they are left out, and the plan says so.
	DropGuards map[string]bool

	// TolerateIntrusions leaves rules of others in our tables where they are, whatever a
	// ruleset says: they were removed in this apply, and came again.
	TolerateIntrusions bool

	emptyHost bool // see EmptyHost
}

// Recorded is what a state directory says of one ruleset.
type Recorded struct {
	Name    string
	Version string
	// Variant is the backend on which it was applied; empty if that is not known.
	Variant ir.Variant
	// Owns are the globs at the last apply; Declared the names of its chains.
	Owns     Owns
	Declared []string
	// Sets are the kernel names of its sets.
	Sets []string
	// Seen are the other programs' rules that stood at an apply since the host was
	// started, as Plan.Seen lists them.
	Seen []string
}

// RespellKey is the key of PlanOptions.Respelled.
func RespellKey(f ir.Family, sent string) string { return f.String() + " " + sent }

// GuardKey is the key of PlanOptions.DropGuards.
func GuardKey(k ir.ChainKey, text string) string { return k.String() + " " + text }
