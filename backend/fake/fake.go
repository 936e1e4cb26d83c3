package fake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/backend/nft"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// Backend is a host in memory. The fields may be set before it is used.
type Backend struct {
	// BeforeApply is called with the host's state right before a script is applied,
	// and returns the state that the script then meets: what another program did
	// between our read and our write. Nil: nothing.
	BeforeApply func(*ir.State) *ir.State

	variant ir.Variant

	mu         sync.Mutex
	state      *ir.State
	generation uint32
	handle     uint64 // the last one that a rule got; nft
}

var _ backend.Backend = (*Backend)(nil)

// New makes a host of a variant that holds a state. The state must say of every
// family that it lists everything that the host is to hold; it is not changed. On a
// host of nft, Own are the tables of everybody: a snapshot shows those that the scope
// names.
func New(variant ir.Variant, state *ir.State) *Backend {
	b := &Backend{variant: variant, generation: 1}
	b.hold(state)
	return b
}

// hold takes a state in; the rules of its tables of nftables get handles.
func (b *Backend) hold(state *ir.State) {
	if b.variant == ir.NFT {
		state = state.Clone()
		b.giveHandles(state)
	}
	b.state = state
}

// State is what the host holds now.
func (b *Backend) State() *ir.State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// Replace gives the host another state, as another program would.
func (b *Backend) Replace(state *ir.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold(state)
	b.generation++
}

// Variant is the kind of tables that the host has.
func (b *Backend) Variant() ir.Variant { return b.variant }

// Render writes a transaction as the backend of the variant does.
func (b *Backend) Render(tx ir.Transaction) ([]backend.Script, error) {
	if b.variant == ir.NFT {
		return nft.Render(tx)
	}
	return iptables.Render(tx, b.variant)
}

// Session opens a cycle.
func (b *Backend) Session(ctx context.Context) (backend.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &session{b}, nil
}

type session struct{ host *Backend }

func (s *session) Notes() []string { return nil }

func (s *session) Close() error { return nil }

// Snapshot shows what the scope asks for. The legacy variant reads everything,
// as its tools do.
func (s *session) Snapshot(ctx context.Context, scope ir.Scope) (*ir.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	if s.host.variant == ir.NFT {
		state := viewNFT(s.host.state, scope)
		return &ir.Snapshot{Variant: ir.NFT, Scope: scope, State: state, Generation: s.host.generation, NFTNames: names(state)}, nil
	}
	snap := &ir.Snapshot{Variant: s.host.variant, Scope: scope, State: view(s.host.state, scope, s.host.variant)}
	if s.host.variant != ir.IptablesLegacy {
		snap.Generation = s.host.generation
	}
	return snap, nil
}

// Check reads the script as --test does. The legacy variant also runs its lines,
// the nft variant does not (FIELD M-2).
func (s *session) Check(ctx context.Context, script backend.Script) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if script.Sets {
		return nil
	}
	if s.host.variant == ir.NFT {
		s.host.mu.Lock()
		defer s.host.mu.Unlock()
		_, err := s.predictNFT(script)
		return err
	}
	tx, err := s.read(script)
	if err != nil {
		return err
	}
	if s.host.variant != ir.IptablesLegacy {
		return nil
	}
	_, err = s.host.State().ApplyWith(tx, ir.VariantQuirks(s.host.variant))
	var refused *ir.ApplyError
	if errors.As(err, &refused) && refused.Op < len(tx.Blocks[refused.Block].Ops) {
		return s.refused(script, tx, refused)
	}
	return nil
}

// Apply runs the script.
func (s *session) Apply(ctx context.Context, script backend.Script) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := s.host
	if script.Sets {
		return s.restoreSets(script)
	}
	if b.BeforeApply != nil {
		if state := b.BeforeApply(b.State()); state != nil {
			b.Replace(state)
		}
	}
	if b.variant == ir.NFT {
		return s.applyNFT(script)
	}
	tx, syntax := s.read(script)
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range tx.Blocks {
		next, err := b.state.ApplyWith(ir.Transaction{Blocks: tx.Blocks[i : i+1]}, ir.VariantQuirks(b.variant))
		var refused *ir.ApplyError
		if errors.As(err, &refused) {
			refused.Block = i
			return s.refused(script, tx, refused)
		}
		b.state = next
		b.generation++ // one for each COMMIT (FIELD M-7)
	}
	return syntax
}

// read reads a script as the tool does. If the tool would refuse a line the
// error says so, and the transaction holds the blocks that it committed before.
func (s *session) read(script backend.Script) (ir.Transaction, error) {
	file := diag.NewFile("script", script.Text)
	tx, found := iptables.ParseRestore(file, script.Family, iptables.RestoreOptions{NoFlush: true})
	for _, d := range found.All() {
		if d.Severity == diag.Error {
			return tx, s.refusal(script, d.Span.Position().Line, 2, d.Message)
		}
	}
	return tx, nil
}

// refused says which line of the script an op or a COMMIT stands at.
func (s *session) refused(script backend.Script, tx ir.Transaction, e *ir.ApplyError) error {
	exit := 1
	switch e.Reason {
	case ir.ReasonBadTarget, ir.ReasonNoSet, ir.ReasonBadName:
		exit = 2
	case ir.ReasonLoop, ir.ReasonTooDeep, ir.ReasonChainInUse, ir.ReasonChainNotEmpty:
		if s.host.variant == ir.IptablesNFT {
			exit = 4
		}
	}
	ops := tx.Blocks[e.Block].Ops
	if e.Op < len(ops) {
		return s.refusal(script, ops[e.Op].Origin.Position().Line, exit, e.Message)
	}
	line, commits := 0, 0
	for text := range strings.Lines(script.Text) {
		line++
		if text == "COMMIT\n" {
			if commits == e.Block {
				break
			}
			commits++
		}
	}
	return s.refusal(script, line, exit, e.Message)
}

func (s *session) refusal(script backend.Script, line, exit int, message string) error {
	tool := "iptables"
	if script.Family == ir.IPv6 {
		tool = "ip6tables"
	}
	kind := strings.TrimPrefix(string(s.host.variant), "iptables-")
	return &backend.ScriptError{
		Script: script, Tool: fmt.Sprintf("%s-%s-restore", tool, kind), Number: line, Exit: exit, Message: message,
	}
}
