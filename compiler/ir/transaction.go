package ir

import "hookline/dsl/diag"

// Transaction is what is to be done to a host: blocks in order. A backend
// commits as many of them at once as CONTRACT 7 promises: for iptables, each
// block alone.
type Transaction struct {
	// SetsBefore are done before the first block, SetsAfter behind the last one.
	SetsBefore []SetOp
	Blocks     []Block
	SetsAfter  []SetOp
	// NFT are the steps of the nft backend on tables of ours, all of them or none; a
	// transaction that has any has nothing else.
	NFT []NFTOp
}

// Block is one `*TABLE ... COMMIT` of one family.
type Block struct {
	Family Family
	Table  string
	Ops    []Op
	// NoFlush is set for our own transactions: what the block does not name stays.
	// Without it the whole table is replaced, as iptables-restore does.
	NoFlush bool
	// Counters tells that the block was read with --counters: counters of rules
	// and chains are taken from it.
	Counters bool
}

// Empty tells that the transaction does nothing.
func (t Transaction) Empty() bool {
	for _, b := range t.Blocks {
		if len(b.Ops) > 0 {
			return false
		}
	}
	return len(t.SetsBefore)+len(t.SetsAfter)+len(t.NFT) == 0
}

// OpKind is the kind of an op. The set is closed.
type OpKind uint8

// The kinds of op, each with its line in restore text. hookline's own
// transactions use the first eight only (a test checks that); the rest is what
// other programs send, and is modelled so that recorded restores can be
// predicted.
const (
	OpRequire OpKind = iota + 1 // -C CHAIN RULE: the block fails unless an equal rule is there
	OpEnsure                    // :CHAIN - [0:0]: create the user chain, or empty it
	OpAppend                    // -A CHAIN RULE
	OpInsert                    // -I CHAIN INDEX RULE (Index counts from 1)
	OpDelete                    // -D CHAIN RULE: the first equal rule
	OpFlush                     // -F CHAIN: only of an owned chain
	OpDrop                      // -X CHAIN: of a user chain without rules' references
	OpNew                       // -N CHAIN: fails if it exists

	OpPolicy      // :BUILTIN POLICY [n:m], or -P; without Policy, :BUILTIN - which leaves it alone
	OpDeleteIndex // -D CHAIN INDEX
	OpReplace     // -R CHAIN INDEX RULE
	OpFlushAll    // -F
	OpDropAll     // -X
	OpZero        // -Z [CHAIN [INDEX]]
	OpRename      // -E CHAIN NAME
)

// Op is one step of a block.
type Op struct {
	Kind  OpKind
	Chain string
	// Rule of Require, Append, Insert, Delete and Replace. Its Text is what is sent.
	Rule *Rule
	// Index counts from 1: Insert, DeleteIndex, Replace, Zero.
	Index int
	// Policy of OpPolicy; NewName of OpRename.
	Policy  string
	NewName string
	// Packets and Bytes of OpPolicy, if Block.Counters is set.
	Packets, Bytes uint64
	// Counted tells that the line itself gives the rule's counters (-c), whatever
	// Block.Counters says.
	Counted bool
	// Origin is the YAML value that asks for the op; zero if it follows from the
	// host's state (a stale chain).
	Origin diag.Span
}
