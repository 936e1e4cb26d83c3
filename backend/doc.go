// Package backend is the edge to a host: what a backend is, the scripts that it
// sends and the tools that it runs. Only packages below this one run programs.
//
// In: scopes and transactions. Out: snapshots, scripts, and errors that name the
// line of YAML which a tool refused.
//
// Invariants:
//   - Render is pure; Script.Origin has an entry for each line of Script.Text;
//   - nothing here imports dsl (but its diag) or the compiler's upper packages;
//   - a backend never sends what is not in the transaction.
package backend
