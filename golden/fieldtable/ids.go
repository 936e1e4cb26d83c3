package main

// id is one test ID of the field notes.
type id struct {
	name string
	// what must hold, in a few words.
	what string
	// why says why nothing shows it, for those of which that is so.
	why string
	// rest is what the tests do not show, and why, where they show a part.
	rest string
}

// elsewhere is the reason of those that speak of native nftables tables of ours.
const elsewhere = "about tables of our own in nftables: this version applies nothing by nft"

// ids are all IDs, in the order of the notes.
var ids = []id{
	{name: "H-1", what: "our jump between Calico's and kube-proxy's; every rule of others keeps bytes and order"},
	{name: "H-2", what: "updates while another program writes at position 1: no foreign rule is ever removed"},
	{name: "H-3", what: "two copies of our jump after a crash become one, in its place"},
	{name: "H-4", what: "a reference that is not there: `ifMissing` decides, and the second apply writes nothing"},
	{name: "H-5", what: "the second apply writes nothing and leaves every counter"},
	{name: "H-6", what: "`-P` and `-N` lines and quoted comments do not shift places"},
	{name: "H-7", what: "a place that Calico takes back is refused, naming its behaviour"},
	{name: "H-8", what: "an update of a chain is never seen half done; a session over it lives on"},
	{name: "H-9", what: "a rule that the tool refuses leaves the node as it was"},
	{name: "H-10", what: "after somebody's flush: drift, naming the foreign jumps that are missing"},
	{name: "H-11", what: "kube-vip inserts at the top of INPUT: the next plan shows the order and whether constraints hold"},
	{name: "H-12", what: "a stale chain that a foreign rule still refers to: refused with the rule"},
	{name: "H-13", what: "applied at boot on empty tables, moved to its place when programs have started, without a window"},
	{name: "H-14", what: "one source makes the same chain in both families"},
	{name: "R-1", what: "duplicates of Kube-OVN's jump: reported, nothing deleted by number"},
	{name: "R-2", what: "all tables flushed: drift; an apply restores ours; a later one moves the jump to its place"},
	{name: "R-3", what: "the plan names the jumps that only their owners restore, and in what time"},
	{name: "R-4", what: "nothing that we write contains what the killall scripts delete"},
	{name: "R-5", what: "names of Calico's chains, and jumps to them, are refused"},
	{name: "R-6", what: "Felix 3.28 and 3.29 stand at other ends of nat POSTROUTING: places by chain name hold for both"},
	{name: "R-7", what: "chains are deleted in a block of their own, after their references"},
	{name: "R-8", what: "rules in both variants are found, with counts, before anything is written"},
	{name: "R-9", what: "a result for each family; a reference that IPv6 lacks fails nothing silently"},
	{name: "N-1", what: "native rules in iptables' tables: recognised, with chain, handle, expression and author; nothing is written there"},
	{name: "N-2", what: "after an apply every iptables tool still reads the tables, with the same text"},
	{name: "N-3", what: "after an apply of nft tables, iptables -C still works", why: elsewhere},
	{name: "N-4", what: "another program's whole-table rewrite around our apply: noticed, applied again, bounded"},
	{name: "N-5", what: "what we write survives iptables-save | iptables-restore in its meaning"},
	{name: "N-6", what: "nothing is deleted by a text that does not decode and print back the same"},
	{name: "N-7", what: "rules that another program puts into an nft table that is not its own", rest: "such rules in a table of ours: this version applies nothing by nft"},
	{name: "N-8", what: "an unchanged nft ruleset raises no event", why: elsewhere},
	{name: "N-9", what: "rules without comments serve as references, by match and target"},
	{name: "N-10", what: "mark bits that another program uses are found, with its name"},
	{name: "N-11", what: "no iptables program on the host: a warning, because NetBird and Tailscale then write native rules"},
	{name: "F-1", what: "no delete of ours can fail a transaction for good: a stale decision is tried again"},
	{name: "F-2", what: "a lying `iptables -C` makes no duplicates"},
	{name: "F-3", what: "duplicates and order of flannel's jumps are reported and mended"},
	{name: "F-4", what: "many applies beside flannel's resync: the number of rules stays"},
	{name: "F-5", what: "every spelling that we write reads back as the same: the second plan is empty"},
	{name: "F-6", what: "masquerade rules left outside of chains by old versions are found"},
	{name: "F-7", what: "flannel's nft mode compares the mark exactly: setting other bits is warned of where its table stands"},
	{name: "V-1", what: "leftovers are listed with their owner, and nothing is deleted unless the ruleset says so"},
	{name: "V-2", what: "the declared leftovers go, and exactly those, in both families; the second run is empty"},
	{name: "V-3", what: "a chain of ours is renamed: the old one and its jumps go in the same apply"},
	{name: "V-4", what: "a chain that several jumps lead to: all of them go first"},
	{name: "V-5", what: "killed in between: each table is old or new"},
	{name: "V-6", what: "remove brings the tables back to the bytes from before the first apply"},
	{name: "V-7", what: "rules in the other variant are found before anything is written"},
	{name: "V-8", what: "kube-vip's SNAT against Calico 3.28 (does not hold) and 3.29 (holds)"},
	{name: "V-9", what: "`/32` or not, and IPv6 spellings: no rule becomes undeletable"},
	{name: "T-1", what: "no delete by number; bounded retries; a lost race has its own exit code"},
	{name: "T-2", what: "rules go by their own text only"},
	{name: "T-3", what: "nothing native in iptables' tables"},
	{name: "T-4", what: "rules of others are read-only"},
	{name: "T-5", what: "places are found in the live chain, also when a reference is absent, doubled or contradicts another"},
	{name: "T-6", what: "a place that a program takes back is an error unless forced"},
	{name: "T-7", what: "the second apply writes nothing, whatever the spelling"},
	{name: "T-8", what: "a plan says what is committed together"},
	{name: "T-9", what: "the variant in use is found; mixed use and missing tools are named"},
	{name: "T-10", what: "reserved names and strings are refused"},
	{name: "T-11", what: "marks of other programs are known"},
	{name: "T-12", what: "ownership does not depend on comments or files; the kernel alone is enough"},
	{name: "T-13", what: "references go before the chain; a foreign one blocks with a readable reason"},
	{name: "T-14", what: "a plan shows the whole resulting chains, the same bytes each time, and JSON"},
	{name: "T-15", what: "boot, flush and timer: applied again and again it converges and never opens the host"},
	{name: "T-16", what: "no shared chain is flushed, no policy changed"},
	{name: "T-17", what: "every text that the tools print is read"},
	{name: "T-18", what: "an accept in one base chain is not final, a drop is; unique priorities of nft hooks", rest: "priorities of base chains of our own: this version applies nothing by nft"},
	{name: "T-19", what: "a changed priority replaces the chain in one transaction", why: elsewhere},
	{name: "T-20", what: "nothing lists the whole nft ruleset first: tables and base chains are asked of the kernel"},
}
