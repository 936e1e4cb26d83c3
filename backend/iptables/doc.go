// Package iptables is the backend for the tables of iptables and ip6tables, in
// both variants: legacy and nf_tables.
//
// In: the output of iptables-save and of iptables -S (ParseSave, ParseChainList),
// restore text (ParseRestore), transactions (Render), and a host (New). Out:
// ir.State, save text (WriteSave), restore text, and a host that was changed.
//
// Invariants:
//   - what a reader of a text cannot read is a diagnostic at its place, never left
//     out silently; what the tool could not read is unreadable, never empty;
//   - a save text that was read is written back byte for byte, and a transaction
//     that was rendered is read back as the same transaction;
//   - a rule's text is a piece of the text that was read: nothing of a foreign rule
//     is spelled anew;
//   - restore text of ours never declares a built-in chain, which would overwrite
//     its policy, never deletes by index, and is never sent without --noflush;
//   - one script is one run of a tool; it is atomic per table, no more (FIELD M-1).
package iptables
