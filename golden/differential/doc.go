// Package differential holds the nft backend against the two variants of iptables:
// what is compiled from one ruleset means the same on all three.
//
// In: the rules that compiler/xtables and compiler/lower are tested with, the
// shipped rulesets, and random structured rulesets. Out: nothing but the results.
//
// Three things are asked of the real kernel, in private network namespaces:
//   - every rule that translates loads with `nft -f`, and reads back through
//     `nft -j` and backend/nfttext as the text that the compiler made;
//   - every shipped ruleset loads as nft, or is refused at its lines;
//   - packets of both families, over three machines in a row, get the same answer
//     from iptables-legacy, iptables-nft and nft.
package differential
