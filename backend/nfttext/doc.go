// Package nfttext says native nftables rules in the words in which nft lists
// them, for people to read.
//
// In: the statements of an `nft -j` listing, or single values that netlink gave.
// Out: text, one for each statement. Counts of packets and bytes are left out.
//
// Invariants:
//   - nothing is guessed: what is not known is its bare name with "(...)" behind it;
//   - the same rule reads the same, whether it came by JSON or by netlink.
//
// The text is not meant to be given back to nft.
package nfttext
