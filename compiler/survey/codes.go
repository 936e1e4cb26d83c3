package survey

// Code names a kind of finding. The set is closed.
type Code string

// The codes, each with its meaning in Codes.
const (
	NativeRules     Code = "native-rules"
	UnreadableTable Code = "unreadable-table"
	MixedBackends   Code = "mixed-backends"
	OtherVariant    Code = "other-variant"
	MissingTool     Code = "missing-tool"
	SeveralVersions Code = "several-versions"
	KnownBug        Code = "known-bug"
	LostJumps       Code = "lost-jumps"
	Duplicates      Code = "duplicates"
	Unreachable     Code = "unreachable"
	ForeignJump     Code = "jump-foreign-chain"
	Injected        Code = "injected-rules"
	EqualPriority   Code = "equal-priority"
	FlushRuleset    Code = "flush-ruleset"
	FirewalldFlush  Code = "firewalld-flushes"
	SavedRules      Code = "saved-rules"
	UFWBuiltins     Code = "ufw-manages-builtins"
	UFWPolicy       Code = "ufw-policy"
	Unfinished      Code = "unfinished-apply"
	Unrecorded      Code = "unrecorded-ruleset"
	TwoBackends     Code = "two-backends"
)

// CodeInfo is one line of the table of codes.
type CodeInfo struct {
	Code    Code
	Meaning string
}

// Codes is the table of every code with its meaning. It is read-only.
var Codes = []CodeInfo{
	{NativeRules, "Native nft rules stand in tables of iptables, whose tools refuse them or read them wrongly."},
	{UnreadableTable, "iptables cannot print a table or a chain."},
	{MixedBackends, "Rules stand in both variants of iptables; packets pass both, and each program sees one."},
	{OtherVariant, "The command iptables is of another variant than the one in use."},
	{MissingTool, "A tool is missing without which other programs behave in another way."},
	{SeveralVersions, "Several versions of iptables are installed, and read what the others wrote."},
	{KnownBug, "A tool is of a version that is known to damage rules or to misjudge them."},
	{LostJumps, "A program's chain stands, but the jumps that lead to it do not."},
	{Duplicates, "A program's rule stands more than once in a chain."},
	{Unreachable, "Rules stand behind one that ends the chain for every packet."},
	{ForeignJump, "A chain of no known program jumps into a program's chain."},
	{Injected, "A program put rules into another one's table of nftables."},
	{EqualPriority, "Chains that rewrite addresses have the same priority; which one runs first is chance."},
	{FlushRuleset, "nftables.service deletes every table, those of iptables-nft too."},
	{FirewalldFlush, "firewalld empties the tables of iptables."},
	{SavedRules, "A service restores saved tables over those of other programs."},
	{UFWBuiltins, "ufw empties the built-in chains."},
	{UFWPolicy, "ufw lets nothing pass that no rule accepts."},
	{Unfinished, "An apply did not come to its end."},
	{Unrecorded, "Jumps or a table of a ruleset stand that the state directory does not know."},
	{TwoBackends, "Objects of one ruleset stand in more than one backend, and work in each."},
}
