// Package recorded reads and writes hosts as files, so that a plan needs no
// host and no root.
//
// In: what `hookline snapshot` writes (a txtar of meta.json, saves, ipsets, native
// rules and the tables of nftables that are ours), one plain iptables-save or
// ip6tables-save, an `nft -j` listing, or a folder of what the tools print or with
// the txtar, and with the host's values and facts. Out: an ir.Snapshot whose rules
// know their lines, for a variant of iptables or for nft.
//
// Invariants:
//   - what a file does not say is unknown, never empty: a family without a file is
//     left out of State.Families, with a sentence in Warnings;
//   - for nft a listing names every table: what it does not name is not there, and the
//     rules of iptables' tables are unknown but for those that a save shows;
//   - a save beside an `nft -j` listing is trusted only where the two agree: rules that
//     iptables misreads are native (FIELD M-26, M-28);
//   - Write and Load are each other's inverse, and Write gives the same bytes for
//     the same snapshot.
package recorded
