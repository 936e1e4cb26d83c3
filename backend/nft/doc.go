// Package nft is the backend for tables of nftables that are our own.
//
// In: a host (New), scopes and transactions (ir.NFTOp). Out: the tables that are
// ours as ir.OwnTable, the base chains of all tables, scripts for `nft -f`, and a
// host that was changed.
//
// Invariants:
//   - nothing is listed with nft, which reads every element of every set for it:
//     what stands in the kernel is asked by netlink;
//   - a rule that hookline wrote reads back as it was written; what is not
//     understood has a digest of its bytes in its text, so that two rules that read
//     the same are the same;
//   - a transaction is one script and one commit: all of it is done, or nothing;
//   - no command names a table whose name does not begin with hookline-.
package nft
