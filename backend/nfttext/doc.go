// Package nfttext says native nftables rules in the words in which nft lists
// them, for people to read.
//
// In: the statements of an `nft -j` listing, or single values that netlink gave.
// Out: text, one for each statement. Counts of packets and bytes are left out.
//
// Invariants:
//   - nothing is guessed: what is not known is its bare name with "(...)" behind it;
//   - the same rule reads the same, whether it came by JSON or by netlink, as far as
//     both are understood: of some statements netlink's reader knows but the name;
//   - what compiler/nftables writes reads as it was written: with nft 1.0.6 this is
//     what nft lists, but for `reject`, where the family of the answer is said.
//
// The text of other rules is not meant to be given back to nft.
package nfttext
