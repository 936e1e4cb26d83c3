package ir

import (
	"cmp"
	"fmt"
	"slices"
)

// Reason is why a block is refused. The set is closed.
type Reason string

// The reasons for which Apply refuses a block.
const (
	ReasonNoTable       Reason = "no-table"        // iptables has no table of that name
	ReasonNotRead       Reason = "not-read"        // the state does not say what the op meets
	ReasonNoChain       Reason = "no-chain"        // the op's own chain is not there
	ReasonBadName       Reason = "bad-name"        // no chain can be called so
	ReasonChainExists   Reason = "chain-exists"    // -N, or -E to a name that is taken
	ReasonNoRule        Reason = "no-rule"         // -C or -D: no equal rule
	ReasonIndexTooBig   Reason = "index-too-big"   // -I, -R, -D or -Z by index
	ReasonChainInUse    Reason = "chain-in-use"    // -X: a rule jumps to the chain
	ReasonChainNotEmpty Reason = "chain-not-empty" // -X: the chain holds rules
	ReasonBadTarget     Reason = "bad-target"      // a jump to a chain that is not there, or to a built-in chain
	ReasonLoop          Reason = "loop"            // a packet could walk in a circle
	ReasonTooDeep       Reason = "too-deep"        // more jumps on end than the kernel takes
	ReasonBuiltin       Reason = "built-in"        // not for a built-in chain
	ReasonNotBuiltin    Reason = "not-built-in"    // only for a built-in chain
	ReasonBadPolicy     Reason = "bad-policy"      // a policy is ACCEPT or DROP
	ReasonNoSet         Reason = "no-set"          // the rule needs a set that is not there, or is of the other family
	ReasonBadOp         Reason = "bad-op"          // an op without what its kind needs
	ReasonToolFails     Reason = "tool-fails"      // the tool cannot do what it should (Quirks)
)

// ApplyError is the first block that the kernel or the tool would refuse.
type ApplyError struct {
	// Block and Op are indexes into the transaction; Op is the number of the block's
	// ops if COMMIT is what fails.
	Block, Op int
	Key       ChainKey
	Reason    Reason
	Message   string
}

func (e *ApplyError) Error() string { return e.Key.String() + ": " + e.Message }

// Quirks are differences between the variants that recorded outcomes show. The
// zero Quirks is what the manual page says, and what holds for the transactions
// that hookline makes.
type Quirks struct {
	// FlushResetsPolicies: iptables-nft-restore without --noflush deletes the table,
	// so that policies become ACCEPT again (iptables 1.8.9, nft).
	FlushResetsPolicies bool
	// CommitZeroesPolicyCounters: each commit that changes a table sets the counters
	// of all its policies to 0, but for those that it is given (iptables 1.8.9,
	// legacy; libiptc reads the policies' counters as zeroed).
	CommitZeroesPolicyCounters bool
	// DashSetsCounters: `:BUILTIN - [n:m]` sets the policy's counters, without
	// --counters to 0 (iptables 1.8.9, nft).
	DashSetsCounters bool
	// MaxJumps is the number of jumps on end that the kernel takes, 0 if it has no
	// limit (15 on nft: NFT_JUMP_STACK_SIZE).
	MaxJumps int
	// BuiltinDrop: -X takes away an empty built-in chain with policy ACCEPT, and its
	// counters with it (iptables 1.8.9, nft).
	BuiltinDrop bool
	// UserPolicy: `:USER POLICY` is taken for `:USER -` (iptables 1.8.9, nft).
	UserPolicy bool
	// RenameAtCommit: -E has its effect at COMMIT; until then the old name is the
	// chain's, and a chain made in the same block cannot be renamed (iptables 1.8.9,
	// nft).
	RenameAtCommit bool
	// RedeclareFails: without --noflush a second `:USER -` in a block is refused
	// (iptables 1.8.9, legacy).
	RedeclareFails bool
	// LosesRuleCounters6: --counters sets no counters of IPv6 rules (iptables 1.8.9,
	// nft; FIELD M-29).
	LosesRuleCounters6 bool
	// ZeroKeepsGiven: -Z does not clear the counters that the block itself has given
	// to rules and policies (iptables 1.8.9, legacy).
	ZeroKeepsGiven bool
	// ZeroRefusesGiven: -Z of a rule that the block itself has put in with counters
	// is refused (iptables 1.8.9, nft).
	ZeroRefusesGiven bool
	// WalkEndsAtVerdict: the search for circles does not look behind a rule that is
	// nothing but a verdict (legacy kernels: mark_source_chains).
	WalkEndsAtVerdict bool
	// FlushedStay: behind `:CHAIN -` the tool still sees the rules that the chain had
	// before, ahead of the new ones: places count them, -C finds them, and what is to
	// change them fails (iptables 1.8.9, nft; FIELD M-44).
	FlushedStay bool
	// ZeroLosesPolicies: -Z behind `:BUILTIN POLICY` in a block takes the policy back
	// (iptables 1.8.9, nft; FIELD M-44).
	ZeroLosesPolicies bool
}

// VariantQuirks are the quirks of a variant at the versions that were measured.
func VariantQuirks(v Variant) Quirks {
	switch v {
	case IptablesNFT:
		return Quirks{
			FlushResetsPolicies: true, DashSetsCounters: true, MaxJumps: 15, BuiltinDrop: true,
			UserPolicy: true, RenameAtCommit: true, FlushedStay: true, ZeroLosesPolicies: true,
			LosesRuleCounters6: true, ZeroRefusesGiven: true,
		}
	case IptablesLegacy:
		return Quirks{CommitZeroesPolicyCounters: true, RedeclareFails: true, ZeroKeepsGiven: true, WalkEndsAtVerdict: true}
	}
	return Quirks{}
}

// Apply is the effect of a transaction. Each block is atomic; at the first one
// that would be refused Apply stops, and returns the state that the blocks
// before it left, with an *ApplyError. The receiver is not changed, and what the
// transaction does not touch is shared with it.
func (s *State) Apply(tx Transaction) (*State, error) { return s.ApplyWith(tx, Quirks{}) }

// ApplyWith is Apply with a variant's quirks.
func (s *State) ApplyWith(tx Transaction, q Quirks) (*State, error) {
	out := &State{Families: s.Families, Tables: slices.Clone(s.Tables), Sets: s.Sets, SetsRead: s.SetsRead, Own: s.Own, NFTTables: s.NFTTables}
	if err := out.applyOwn(tx.NFT); err != nil {
		return out, err
	}
	if err := out.applySets(tx.SetsBefore); err != nil {
		return out, err
	}
	for i := range tx.Blocks {
		b := &tx.Blocks[i]
		t, err := out.applyBlock(b, q)
		if err != nil {
			err.Block = i
			err.Key.Family, err.Key.Table = b.Family, b.Table
			return out, err
		}
		out.put(t)
	}
	if err := out.applySets(tx.SetsAfter); err != nil {
		return out, err
	}
	return out, nil
}

// put replaces a table, or adds it behind the others of its family.
func (s *State) put(t *Table) {
	at := len(s.Tables)
	for i, old := range s.Tables {
		if old.Key() == t.Key() {
			s.Tables[i] = t
			return
		}
		if old.Family > t.Family {
			at = min(at, i)
		}
	}
	s.Tables = slices.Insert(s.Tables, at, t)
}

// applyBlock makes the table as the block leaves it; s is not changed.
func (s *State) applyBlock(b *Block, q Quirks) (*Table, *ApplyError) {
	d, err := s.draft(b, q)
	if err != nil {
		return nil, err
	}
	if !b.NoFlush {
		d.flushTable()
	}
	for i := range b.Ops {
		if err := d.op(&b.Ops[i]); err != nil {
			err.Op = i
			return nil, err
		}
	}
	if err := d.commit(); err != nil {
		err.Op = len(b.Ops)
		return nil, err
	}
	return d.table, nil
}

// draft is a table while a block works on it. Chains are copied when they are
// first written to, and only then.
type draft struct {
	state  *State
	block  *Block
	quirks Quirks
	table  *Table
	// index finds a chain by name in chains. A dropped chain leaves a nil behind.
	index  map[string]int
	chains []*Chain
	own    []ownership // of chains, by the same index
	// sort tells that user chains were added or renamed.
	sort, changed bool
	// refs counts the jumps to each chain by name, as far as they were read; nil
	// until somebody asks.
	refs map[string]int
	// jumps are the jumps that the block put in.
	jumps []edge
	// renames that take effect at commit; fresh are the chains that the block made.
	renames [][2]string
	fresh   map[string]bool
	// ghosts are the rules that `:CHAIN -` took from a chain; kept for FlushedStay
	// only.
	ghosts map[string][]*Rule
	// policies are the chains whose policy the block sets, as they were before.
	policies map[string]Chain
	// given are the rules that the block put in with counters.
	given map[*Rule]bool
}

// ownership tells how much of a chain is the draft's own copy.
type ownership uint8

const (
	shared ownership = iota
	header
	whole
)

// edge is a jump from a chain to another.
type edge struct{ from, to string }

func refuse(chain string, why Reason, format string, args ...any) *ApplyError {
	return &ApplyError{Key: ChainKey{Chain: chain}, Reason: why, Message: fmt.Sprintf(format, args...)}
}

// draft starts to work on the block's table, which is made if it is absent.
func (s *State) draft(b *Block, q Quirks) (*draft, *ApplyError) {
	builtin := BuiltinChains(b.Table)
	if builtin == nil {
		return nil, refuse("", ReasonNoTable, "there is no table %q", b.Table)
	}
	if !slices.Contains(s.Families, b.Family) {
		return nil, refuse("", ReasonNotRead, "the state does not say what %s holds", b.Family)
	}
	t := s.Table(b.Family, b.Table)
	if t == nil {
		t = &Table{Family: b.Family, Name: b.Table}
	}
	if t.Unreadable != "" && b.NoFlush {
		return nil, refuse("", ReasonNotRead, "the table's rules cannot be had: %s", t.Unreadable)
	}
	n := *t
	d := &draft{state: s, block: b, quirks: q, table: &n, index: make(map[string]int, len(t.Chains)+len(builtin))}
	d.chains = slices.Clone(t.Chains)
	d.own = make([]ownership, len(d.chains), len(d.chains)+len(builtin))
	for i, c := range d.chains {
		d.index[c.Name] = i
	}
	for _, name := range builtin {
		if _, ok := d.index[name]; !ok {
			d.add(&Chain{Name: name, Policy: "ACCEPT", Read: true, Refs: -1})
		}
	}
	return d, nil
}

// add puts a new chain into the draft.
func (d *draft) add(c *Chain) {
	d.index[c.Name] = len(d.chains)
	d.chains = append(d.chains, c)
	d.own = append(d.own, whole)
	d.sort = true
}

// chain is a chain to look at, nil if there is none.
func (d *draft) chain(name string) *Chain {
	if i, ok := d.index[name]; ok {
		return d.chains[i]
	}
	return nil
}

// write is a chain of which all but the rules may be changed.
func (d *draft) write(name string) *Chain {
	i := d.index[name]
	if d.own[i] == shared {
		c := *d.chains[i]
		d.chains[i], d.own[i] = &c, header
	}
	d.changed = true
	return d.chains[i]
}

// writeRules is a chain of which the rules' list may be changed too, with room
// for one more.
func (d *draft) writeRules(name string) *Chain {
	c := d.write(name)
	if i := d.index[name]; d.own[i] == header {
		rules := make([]*Rule, len(c.Rules), len(c.Rules)+len(c.Rules)/8+4)
		copy(rules, c.Rules)
		c.Rules, d.own[i] = rules, whole
	}
	return c
}

// empty takes away a chain's rules, read or not.
func (d *draft) empty(name string) {
	c := d.chain(name)
	if len(c.Rules) == 0 && c.Read && c.Unreadable == "" {
		return
	}
	for _, r := range c.Rules {
		d.unref(r)
	}
	c = d.write(name)
	// Of what was not read it is unknown to whom it referred: counts of references
	// may stay too high.
	c.Read, c.Unreadable, c.Rules = true, "", nil
	d.own[d.index[name]] = whole
}

// flushTable is what iptables-restore without --noflush starts with.
func (d *draft) flushTable() {
	d.changed = true
	d.table.Unreadable, d.table.Partial = "", false
	builtin := BuiltinChains(d.block.Table)
	chains := d.chains
	d.chains, d.own, d.index = nil, nil, make(map[string]int, len(builtin))
	for _, c := range chains {
		if !slices.Contains(builtin, c.Name) {
			continue
		}
		n := &Chain{Name: c.Name, Policy: c.Policy, Read: true, Refs: c.Refs, Packets: c.Packets, Bytes: c.Bytes}
		if d.quirks.FlushResetsPolicies {
			n.Policy, n.Packets, n.Bytes = "ACCEPT", 0, 0
		}
		d.add(n)
	}
}

// commit checks what the kernel checks when the block is committed, and makes
// the table.
func (d *draft) commit() *ApplyError {
	if err := d.checkJumps(); err != nil {
		return err
	}
	for _, r := range d.renames {
		if err := d.rename(r[0], r[1]); err != nil {
			return err
		}
	}
	if d.quirks.CommitZeroesPolicyCounters && d.changed {
		d.zeroPolicyCounters()
	}
	if n := slices.Index(d.chains, nil); n >= 0 {
		d.chains = slices.DeleteFunc(d.chains, func(c *Chain) bool { return c == nil })
	}
	d.table.Chains = d.chains
	if d.sort {
		SortChains(d.table.Name, d.table.Chains)
	}
	return nil
}

// zeroPolicyCounters clears the policies' counters that the block did not set.
func (d *draft) zeroPolicyCounters() {
	for _, name := range BuiltinChains(d.table.Name) {
		c := d.chain(name)
		if _, set := d.policies[name]; !set && (c.Packets != 0 || c.Bytes != 0) {
			c = d.write(name)
			c.Packets, c.Bytes = 0, 0
		}
	}
}

// SortChains brings chains into the order in which both variants print them:
// the table's built-in chains in the order of traversal, then the others by the
// bytes of their names.
func SortChains(table string, chains []*Chain) {
	n := 0 // chains[:n] are built-in
	for _, name := range BuiltinChains(table) {
		at := slices.IndexFunc(chains[n:], func(c *Chain) bool { return c.Name == name })
		if at >= 0 {
			c := chains[n+at]
			copy(chains[n+1:n+at+1], chains[n:n+at])
			chains[n] = c
			n++
		}
	}
	slices.SortStableFunc(chains[n:], func(a, b *Chain) int { return cmp.Compare(a.Name, b.Name) })
}
