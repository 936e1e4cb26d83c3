// Package xtables reads and writes iptables rule text.
//
// In: rule text as people type it (Parse), or as iptables-save printed it
// (Decode). Out: ir.Spec, and from it the one spelling that iptables-save 1.8.9
// prints (Print), which both variants share.
//
// One table of modules (module, option) says which options each match and target
// of iptables-extensions(8) has, how many words they take, whether they may be
// negated or repeated, and how their values are spelled canonically. Modules that
// the compiler has to understand fill a type of package ir; the others become
// ir.RawMatch and ir.RawTarget with canonical words.
//
// Invariants:
//   - no I/O, no clock, no name lookups on the host: services, protocols and
//     accounts are known by a built-in list or have to be given as numbers;
//   - Parse refuses what it does not understand; Decode keeps it, byte for byte;
//   - Print(Decode(text)) is text for everything that a tool printed;
//   - Print writes one line: whatever a spec holds, splitting the line gives back
//     the arguments that it was made of.
package xtables
