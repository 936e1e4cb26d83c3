// Package fake is a host in memory: a Backend whose tables are an ir.State.
//
// In: a state, scripts. Out: snapshots, and the state that the scripts lead to,
// by the very function that plans predict with (ir.State.Apply). What a script
// does on it is what the tools do: it takes text, reads it as they do, commits
// table by table, and names the line that it refuses.
//
// It is a Backend and passes its conformance suite (backendtest); interference
// by other programs is BeforeApply.
package fake
