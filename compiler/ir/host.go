package ir

import (
	"cmp"
	"slices"
)

// Host is what a snapshot knows of a machine beyond the tables of the two iptables
// variants. Of each part nil means that nobody looked, which is not the same as
// empty.
type Host struct {
	// NFTTables are the tables of nftables, those of iptables-nft among them, by family
	// and name.
	NFTTables []NFTTable
	// Binaries are the tools that were found on the machine, by path.
	Binaries []Binary
	// Settings of the machine that bear on what stands in its tables, by file and line.
	Settings []Setting
	// Rulesets that the state directory records, by name.
	Rulesets []RecordedRuleset
}

// NFTTable is a table of nftables: where packets meet it, and how much is in it.
type NFTTable struct {
	// Family as nft(8) writes it: ip, ip6, inet, arp, bridge or netdev.
	Family string
	Name   string
	// Chains are the table's base chains by hook and priority; the others are only
	// counted.
	Chains []NFTBaseChain
	// Others is the number of chains that are no base chains, Rules that of the rules in
	// all of the table's chains, or -1 if nobody counted them.
	Others, Rules int
	// Dormant tells that the table is switched off: no packet enters its base chains.
	Dormant bool
}

// Key is the table as nft(8) names it: "inet filter".
func (t NFTTable) Key() string { return t.Family + " " + t.Name }

// NFTBaseChain is a chain of nftables that packets enter from a hook.
type NFTBaseChain struct {
	Name string
	// Type is filter, nat or route; Hook as nft(8) writes it: prerouting, input,
	// forward, output, postrouting, ingress or egress.
	Type, Hook string
	Priority   int
	// Policy is accept or drop.
	Policy string
	// Device of a netdev chain, else empty.
	Device string
	Rules  int
	// Tags are the comments and other texts that programs left in the user data of the
	// chain's rules, sorted, each once: they tell who put rules into a chain of somebody
	// else (FIELD M-35).
	Tags []string
}

// nftFamilies in the order in which nft(8) describes them.
var nftFamilies = []string{"ip", "ip6", "inet", "arp", "bridge", "netdev"}

// SortNFTTables brings tables into the order of a Host: by family and name, their
// chains by hook and priority. The kernel lists them in the order in which they
// were made, which differs from boot to boot.
func SortNFTTables(tables []NFTTable) {
	slices.SortFunc(tables, func(a, b NFTTable) int {
		return cmp.Or(cmp.Compare(slices.Index(nftFamilies, a.Family), slices.Index(nftFamilies, b.Family)), cmp.Compare(a.Name, b.Name))
	})
	for _, t := range tables {
		slices.SortFunc(t.Chains, func(a, b NFTBaseChain) int {
			return cmp.Or(cmp.Compare(HookIndex(a.Hook), HookIndex(b.Hook)), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Name, b.Name))
		})
	}
}

// hooks in the order in which a packet meets them, egress last.
var hooks = []string{"ingress", "prerouting", "input", "forward", "output", "postrouting", "egress"}

// HookIndex is a hook's place among all hooks in the order in which packets meet
// them; -1 for a name that is none.
func HookIndex(hook string) int { return slices.Index(hooks, hook) }

// Binary is a tool on the machine.
type Binary struct {
	// Path at which it stands.
	Path string
	// Version as the tool prints it, or empty if it could not be run.
	Version string
	// Target is the path to which Path is a link in the end, or empty.
	Target string
}

// Setting is a place in a configuration file, or a file that is there.
type Setting struct {
	// Name says which setting it is.
	Name SettingName
	// File is its path on the machine, Line counts from 1 and is 0 if the file as a whole
	// is meant.
	File string
	Line int
	// Text is what stands there, or empty.
	Text string
}

// SettingName names a setting of a machine. The set is closed.
type SettingName string

// The settings that are looked for.
const (
	// SettingNFTService: nftables.service starts at boot; File is the link that says so.
	SettingNFTService SettingName = "nftables-service"
	// SettingFlushRuleset: nftables.service, or a file that it loads, flushes the tables
	// of everybody; Text is the statement or the unit's line.
	SettingFlushRuleset SettingName = "flush-ruleset"
	// SettingFirewalldService: firewalld starts at boot; File is the link that says so.
	SettingFirewalldService SettingName = "firewalld-service"
	// SettingFlushAllOnReload: firewalld flushes what is there when it reloads; Line is 0
	// where it does so because the file does not say otherwise.
	SettingFlushAllOnReload SettingName = "flush-all-on-reload"
	// SettingFirewalldBackend is which tables firewalld writes; Text is its word for them.
	SettingFirewalldBackend SettingName = "firewalld-backend"
	// SettingPersistentService: a service restores saved tables at boot; File is the link
	// that says so, Text the file that it restores.
	SettingPersistentService SettingName = "persistent-service"
	// SettingRestoreNoFlush: such a service leaves rules that stand; Text is the file that
	// it restores.
	SettingRestoreNoFlush SettingName = "restore-noflush"
	// SettingSavedRules: a file that such a service restores declares a chain, whose name
	// is Text. Of chains whose names begin alike there is one.
	SettingSavedRules SettingName = "saved-rules"
	// SettingUFW: ufw is enabled and loads its rules at boot.
	SettingUFW SettingName = "ufw-enabled"
	// SettingUFWBuiltins: ufw empties the built-in chains when it starts and stops.
	SettingUFWBuiltins SettingName = "ufw-manage-builtins"
	// SettingUFWPolicy: ufw sets a policy other than ACCEPT; Text is KEY=VALUE.
	SettingUFWPolicy SettingName = "ufw-policy"
)

// RecordedRuleset is what the state directory says of one ruleset.
type RecordedRuleset struct {
	Name, Version string
	// Status is "applied", or "intent" if an apply did not come to its end.
	Status  string
	Variant Variant
}
