package backendtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler/ir"
)

// NFTHost is a backend for tables of ours in nftables and the machine behind it.
type NFTHost struct {
	Backend backend.Backend
	// Load replaces all tables, ours and others'. Rules whose text holds a counter begin
	// with the counts that they have.
	Load func(t *testing.T, tables []*ir.OwnTable)
	// Dump is every table of the kinds inet, ip and ip6 with its rules, as somebody else
	// than the backend reads them: with handles and counts.
	Dump func(t *testing.T) []*ir.OwnTable
}

// NFTScript is what loads tables on a kernel, counts included.
func NFTScript(tables []*ir.OwnTable) string {
	var b strings.Builder
	for _, t := range tables {
		fmt.Fprintf(&b, "add table %s\n", t.Key())
		for _, c := range t.Chains {
			fmt.Fprintf(&b, "add chain %s %s", t.Key(), c.Name)
			if c.Base != nil {
				fmt.Fprintf(&b, " { type %s hook %s priority %d; policy %s; }", c.Base.Type, c.Base.Hook, c.Base.Priority, cmp.Or(c.Base.Policy, "accept"))
			}
			b.WriteString("\n")
		}
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				r.Text = strings.Replace(r.Text, "counter", fmt.Sprintf("counter packets %d bytes %d", r.Packets, r.Bytes), 1)
				fmt.Fprintf(&b, "add rule %s %s %s\n", t.Key(), c.Name, r)
			}
		}
	}
	return b.String()
}

// nftBench is one subtest's host with what the tests do to it.
type nftBench struct {
	*testing.T
	NFTHost
	session backend.Session
}

func startNFT(t *testing.T, h NFTHost, tables ...*ir.OwnTable) *nftBench {
	t.Helper()
	h.Load(t, tables)
	s, err := h.Backend.Session(context.Background())
	if err != nil {
		t.Fatalf("opening a session: %v", err)
	}
	b := &nftBench{t, h, s}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the session: %v", err)
		}
	})
	return b
}

// ourScope asks for the tables of two rulesets.
var ourScope = ir.Scope{Own: []string{"hookline-site", "hookline-other"}}

func (b *nftBench) snapshot(scope ir.Scope) *ir.Snapshot {
	b.Helper()
	snap, err := b.session.Snapshot(context.Background(), scope)
	if err != nil {
		b.Fatalf("reading: %v", err)
	}
	if snap.Variant != ir.NFT {
		b.Errorf("the snapshot is of %s", snap.Variant)
	}
	return snap
}

func (b *nftBench) read() *ir.State {
	b.Helper()
	return b.snapshot(ourScope).State
}

// handle is that of the rule of a text in a chain of ours.
func (b *nftBench) handle(s *ir.State, chain, text string) uint64 {
	b.Helper()
	for _, t := range s.Own {
		if c := t.Chain(chain); c != nil {
			for _, r := range c.Rules {
				if r.Text == text && r.Handle != 0 {
					return r.Handle
				}
			}
		}
	}
	b.Fatalf("chain %s has no rule %q", chain, text)
	return 0
}

func (b *nftBench) send(tx ir.Transaction) error {
	b.Helper()
	scripts, err := b.Backend.Render(tx)
	if err != nil {
		b.Fatalf("rendering: %v", err)
	}
	if len(scripts) > 1 {
		b.Fatalf("one transaction is %d scripts", len(scripts))
	}
	for _, s := range scripts {
		if n := strings.Count(s.Text, "\n"); n != len(s.Origin) {
			b.Errorf("the script has %d lines and %d origins", n, len(s.Origin))
		}
		if err := b.session.Apply(context.Background(), s); err != nil {
			return err
		}
	}
	return nil
}

// apply sends steps that have to work, and compares what is read back with the
// prediction. It is one commit.
func (b *nftBench) apply(ops ...ir.NFTOp) *ir.State {
	b.Helper()
	tx := ir.Transaction{NFT: ops}
	before := b.snapshot(ourScope)
	predicted, err := before.State.Apply(tx)
	if err != nil {
		b.Fatalf("predicting: %v", err)
	}
	if err := b.send(tx); err != nil {
		b.Fatalf("applying: %v", err)
	}
	after := b.snapshot(ourScope)
	if after.Generation != before.Generation+1 {
		b.Errorf("the generation went from %d to %d: that is not one commit", before.Generation, after.Generation)
	}
	b.compare(predicted)
	return after.State
}

// refused sends steps that have to fail at a line, and makes sure that nothing at all
// has changed. foreseen tells that the prediction refuses them, too.
func (b *nftBench) refused(line int, foreseen bool, ops ...ir.NFTOp) {
	b.Helper()
	_ = b.refusal(line, foreseen, ops...)
}

// refusal does the same, and says what was refused.
func (b *nftBench) refusal(line int, foreseen bool, ops ...ir.NFTOp) *backend.ScriptError {
	b.Helper()
	tx := ir.Transaction{NFT: ops}
	before, dump := b.snapshot(ourScope), b.Dump(b.T)
	if _, err := before.State.Apply(tx); (err != nil) != foreseen {
		b.Errorf("predicting: %v, want a refusal: %v", err, foreseen)
	}
	err := b.send(tx)
	var refused *backend.ScriptError
	if !errors.As(err, &refused) {
		b.Fatalf("applying: want a refusal, got %v", err)
	}
	if refused.Number != line || refused.Message == "" || refused.Tool == "" || refused.Exit == 0 {
		b.Errorf("line %d is refused, want %d: %+v", refused.Number, line, refused)
	}
	after := b.snapshot(ourScope)
	if after.Generation != before.Generation {
		b.Errorf("a refused script is a commit: generation %d, then %d", before.Generation, after.Generation)
	}
	b.compare(before.State)
	b.sameTables("after a refusal", dump, b.Dump(b.T))
	return refused
}

// compare compares a prediction with what the backend reads, and with what the host
// says to somebody else.
func (b *nftBench) compare(predicted *ir.State) {
	b.Helper()
	got := b.read()
	b.sameTables("read by the backend", predicted.Own, got.Own)
	ours := slices.DeleteFunc(slices.Clone(b.Dump(b.T)), func(t *ir.OwnTable) bool { return !slices.Contains(ourScope.Own, t.Name) })
	b.sameTables("read by the host", predicted.Own, ours)
	if d := gocmp.Diff(predicted.NFTTables, got.NFTTables); d != "" {
		b.Errorf("base chains (-predicted +read):\n%s", d)
	}
}

// sameTables compares tables with the counts and the handles of their rules. A rule
// that was not there has none in a prediction.
func (b *nftBench) sameTables(what string, want, got []*ir.OwnTable) {
	b.Helper()
	if d := gocmp.Diff(flat(want, nil), flat(got, handlesOf(want))); d != "" {
		b.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// handlesOf are the handles that are known, by table.
func handlesOf(tables []*ir.OwnTable) map[string]bool {
	out := map[string]bool{}
	for _, t := range tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				out[fmt.Sprint(t.Key(), r.Handle)] = r.Handle != 0
			}
		}
	}
	return out
}

// flat are the lines of tables, in an order of their own. Handles that are not known
// are left out.
func flat(tables []*ir.OwnTable, known map[string]bool) map[string][]string {
	out := map[string][]string{}
	for _, t := range tables {
		out[t.Key()] = []string{}
		for _, c := range t.Chains {
			at := t.Key() + " " + c.Name
			lines := []string{"regular"}
			if c.Base != nil {
				lines[0] = fmt.Sprintf("%s %s %d %s", c.Base.Type, c.Base.Hook, c.Base.Priority, cmp.Or(c.Base.Policy, "accept"))
			}
			for _, r := range c.Rules {
				h := r.Handle
				if known != nil && !known[fmt.Sprint(t.Key(), h)] {
					h = 0
				}
				lines = append(lines, fmt.Sprintf("[%d:%d] %s handle %d tag %q", r.Packets, r.Bytes, r, h, r.Tag))
			}
			out[at] = lines
		}
	}
	return out
}
