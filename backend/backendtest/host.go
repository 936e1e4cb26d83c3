package backendtest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// Host is a backend and the machine behind it.
type Host struct {
	Backend backend.Backend
	// Load replaces everything in both families' tables by save texts with counters,
	// which may be empty.
	Load func(t *testing.T, v4, v6 string)
	// Dump prints a family's tables as iptables-save -c does.
	Dump func(t *testing.T, f ir.Family) string
	// LosesPolicyCounters: each write sets the counters of a table's policies to 0
	// (iptables 1.8.9, legacy).
	LosesPolicyCounters bool
	// IgnoresCounters6: counters that are loaded for IPv6 are lost (FIELD M-29).
	IgnoresCounters6 bool
}

// bench is one subtest's host with what the tests do to it.
type bench struct {
	*testing.T
	Host
	session backend.Session
}

func start(t *testing.T, h Host, v4, v6 string) *bench {
	t.Helper()
	h.Load(t, v4, v6)
	s, err := h.Backend.Session(context.Background())
	if err != nil {
		t.Fatalf("opening a session: %v", err)
	}
	b := &bench{t, h, s}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the session: %v", err)
		}
	})
	return b
}

// snapshot reads what the scope asks for.
func (b *bench) snapshot(scope ir.Scope) *ir.Snapshot {
	b.Helper()
	snap, err := b.session.Snapshot(context.Background(), scope)
	if err != nil {
		b.Fatalf("reading: %v", err)
	}
	return snap
}

// everything reads the whole host.
func (b *bench) everything() *ir.State {
	b.Helper()
	return b.snapshot(ir.Scope{All: true}).State
}

// send renders and applies a transaction, script by script, up to the first
// error.
func (b *bench) send(tx ir.Transaction) error {
	b.Helper()
	scripts, err := b.Backend.Render(tx)
	if err != nil {
		b.Fatalf("rendering: %v", err)
	}
	for _, s := range scripts {
		if err := b.session.Apply(context.Background(), s); err != nil {
			return err
		}
	}
	return nil
}

// apply sends a transaction that has to work, and compares what is read back with
// the prediction.
func (b *bench) apply(tx ir.Transaction) {
	b.Helper()
	predicted, err := b.everything().Apply(tx)
	if err != nil {
		b.Fatalf("predicting: %v", err)
	}
	if err := b.send(tx); err != nil {
		b.Fatalf("applying: %v", err)
	}
	b.compare(predicted)
}

// refused sends a transaction that has to fail, and compares what is read back
// with the prediction: what stands ahead of the failing block was committed, and
// nothing else has changed.
func (b *bench) refused(tx ir.Transaction) *backend.ScriptError {
	b.Helper()
	predicted, want := b.everything().Apply(tx)
	if want == nil {
		b.Fatal("predicting: the transaction would not be refused")
	}
	err := b.send(tx)
	var refused *backend.ScriptError
	if !errors.As(err, &refused) {
		b.Fatalf("applying: want a refusal (%v), got %v", want, err)
	}
	b.compare(predicted)
	return refused
}

// compare compares a prediction with what the backend reads, and with what the
// host prints.
func (b *bench) compare(predicted *ir.State) {
	b.Helper()
	if b.LosesPolicyCounters {
		predicted = withoutPolicyCounters(predicted)
	}
	for _, actual := range []struct {
		by    string
		state *ir.State
	}{{"the backend", b.everything()}, {"the host", b.dump()}} {
		got := actual.state
		if b.LosesPolicyCounters {
			got = withoutPolicyCounters(got)
		}
		for _, d := range ir.Compare(predicted, got, ir.CompareOptions{Counters: true}) {
			b.Errorf("read by %s: %s", actual.by, d)
		}
	}
}

func withoutPolicyCounters(s *ir.State) *ir.State {
	out := *s
	out.Tables = nil
	for _, t := range s.Tables {
		t = t.Clone()
		for i, c := range t.Chains {
			n := *c
			n.Packets, n.Bytes = 0, 0
			t.Chains[i] = &n
		}
		out.Tables = append(out.Tables, t)
	}
	return &out
}

// dump is the whole host as it prints itself.
func (b *bench) dump() *ir.State {
	b.Helper()
	out := &ir.State{Families: ir.Families}
	for _, f := range ir.Families {
		s, _, found := iptables.ParseSave(diag.NewFile(f.String(), b.Dump(b.T, f)), f, iptables.ParseOptions{Counters: true})
		if err := found.Err(); err != nil {
			b.Fatalf("the host's dump: %v", err)
		}
		out.Tables = append(out.Tables, s.Tables...)
	}
	return out
}

// wantLine checks which line of the script was refused.
func (b *bench) wantLine(e *backend.ScriptError, want string) {
	b.Helper()
	lines := splitLines(e.Script.Text)
	if e.Number < 1 || e.Number > len(lines) {
		b.Errorf("refused line %d of:\n%s\n(%v)", e.Number, e.Script.Text, e)
		return
	}
	if got := lines[e.Number-1]; got != want {
		b.Errorf("refused line mismatch (-want +got):\n%s\n%v", cmp.Diff(want, got), e)
	}
}

// wantRules checks the texts of a chain's rules.
func (b *bench) wantRules(s *ir.State, k ir.ChainKey, want ...string) {
	b.Helper()
	c, err := s.Lookup(k)
	if err != nil {
		b.Errorf("looking at %s: %v", k, err)
		return
	}
	if c == nil {
		b.Errorf("there is no chain %s", k)
		return
	}
	var got []string
	for _, r := range c.Rules {
		got = append(got, r.Text)
	}
	if d := cmp.Diff(want, got); d != "" {
		b.Errorf("rules of %s mismatch (-want +got):\n%s", k, d)
	}
}
