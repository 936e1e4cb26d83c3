// Package redact gives the addresses in a text other ones, so that the text can be
// shown to people who shall not know them and still says the same.
//
// In: texts, whatever they are: saves, JSON, comments. Out: the same texts with
// pseudonyms in place of IPv4 and IPv6 addresses, prefixes and MAC addresses.
//
// Goals, and how each is met:
//   - equal addresses stay equal, an address inside a prefix stays inside it, and of
//     two addresses the lower one stays the lower one, so that rules, sets and ranges
//     keep their meaning: addresses form a tree by their bits; where it branches a
//     pseudonym keeps the bit, elsewhere it gets another. Only where a short prefix
//     would have to stay as it is, because every bit of it branches, is the order of two
//     networks given up;
//   - nothing is told but the shape of that tree: what a pseudonym gets elsewhere
//     depends on no address, so that there is no key to keep or to lose, and the same
//     host gives nearly the same pseudonyms again;
//   - no pseudonym is one of the addresses;
//   - what says nothing of a site stays: loopback, link-local, multicast, any,
//     broadcast, netmasks and what is reserved for documentation, and of private ranges
//     and other known blocks that an address is in them.
//
// Non-goals: addresses that are not written as addresses (the numbers of a u32
// match, a name in DNS), and names of any kind.
package redact
