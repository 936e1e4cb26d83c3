// Package recorded reads and writes hosts as files, so that a plan needs no
// host and no root.
//
// In: what `hookline snapshot` writes (a txtar of meta.json, saves, ipsets and
// native rules), one plain iptables-save or ip6tables-save, or a folder of what
// the tools print or with the txtar, and with the host's values and facts. Out: an ir.Snapshot whose rules know their lines.
//
// Invariants:
//   - what a file does not say is unknown, never empty: a family without a file is
//     left out of State.Families, with a sentence in Warnings;
//   - a save beside an `nft -j` listing is trusted only where the two agree: rules that
//     iptables misreads are native (FIELD M-26, M-28);
//   - Write and Load are each other's inverse, and Write gives the same bytes for
//     the same snapshot.
package recorded
