package nft_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// monitor is an `nft monitor` in a namespace, as NetBird runs one to put its rules
// back when somebody writes tables or chains.
type monitor struct {
	*testing.T
	ns    *netns.NS
	lines chan string
	marks int
}

func startMonitor(t *testing.T, ns *netns.NS) *monitor {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "nft", "monitor")
	out, in := io.Pipe()
	cmd.Stdout = in
	// It ends with the thread that starts it, whatever becomes of the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ended := make(chan error, 1)
	go func() { ended <- ns.Do(cmd.Run) }()
	m := &monitor{T: t, ns: ns, lines: make(chan string, 1000)}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			m.lines <- s.Text()
		}
		close(m.lines)
	}()
	t.Cleanup(func() {
		cancel()
		in.Close()
		out.Close() // nobody waits to write into it
		t.Logf("the monitor ended: %v", <-ended)
	})
	// It listens once it has seen something; what comes ahead of that is not of the test.
	for range 100 {
		if _, seen := m.mark(50 * time.Millisecond); seen {
			return m
		}
	}
	t.Fatal("nft monitor shows nothing")
	return nil
}

// mark makes a table whose event ends what is shown so far. Events are those ahead of
// it, without the sentences on generations.
func (m *monitor) mark(wait time.Duration) (events []string, seen bool) {
	m.Helper()
	m.marks++
	name := fmt.Sprintf("mark-%d", m.marks)
	run(m.T, m.ns, "", "nft", "add table bridge "+name)
	timeout := time.After(wait)
	for {
		select {
		case line, ok := <-m.lines:
			switch {
			case !ok:
				return events, false
			case strings.Contains(line, name):
				return events, true
			case !strings.HasPrefix(line, "#") && !strings.Contains(line, "mark-"):
				events = append(events, strings.TrimSpace(line))
			}
		case <-timeout:
			return events, false
		}
	}
}

// events are what is shown while f runs, cut down to command and object.
func (m *monitor) events(f func()) []string {
	m.Helper()
	m.mark(10 * time.Second)
	f()
	lines, seen := m.mark(10 * time.Second)
	if !seen {
		m.Fatal("nft monitor does not show the end")
	}
	var out []string
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) < 2 {
			m.Errorf("an event %q", line)
			continue
		}
		out = append(out, words[0]+" "+words[1])
	}
	return out
}

// TestN8OnlyWhatChangesRaisesEvents is what other programs hear of our transactions (FIELD N-8, T-19).
func TestN8OnlyWhatChangesRaisesEvents(t *testing.T) {
	ns := netns.ForTest(t)
	m := startMonitor(t, ns)
	s, err := newBackend(t, ns).Session(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const table = "hookline-site"
	op := func(do ir.NFTOpKind, chain string) ir.NFTOp {
		return ir.NFTOp{Kind: ir.Inet, Table: table, Do: do, Chain: chain}
	}
	rule := func(o ir.NFTOp, handle uint64, text string) ir.NFTOp {
		o.Handle, o.Rule = handle, &ir.OwnRule{Text: text, Comment: "hookline:site"}
		return o
	}
	base := func(o ir.NFTOp, priority int) ir.NFTOp {
		o.Base = &ir.BaseChain{Type: "filter", Hook: "input", Priority: priority}
		return o
	}
	read := func() *ir.OwnTable {
		snap, err := s.Snapshot(context.Background(), ir.Scope{Own: []string{table}})
		if err != nil {
			t.Fatal(err)
		}
		return snap.State.OwnTable(ir.Inet, table)
	}
	send := func(ops ...ir.NFTOp) {
		scripts, err := newBackend(t, ns).Render(ir.Transaction{NFT: ops})
		if err != nil {
			t.Fatal(err)
		}
		for _, script := range scripts {
			if err := s.Apply(context.Background(), script); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := func(what string, want []string, f func()) {
		t.Helper()
		if got := m.events(f); !slices.Equal(got, want) {
			t.Errorf("%s raises %q, want %q", what, got, want)
		}
	}
	want("the first apply", []string{"add table", "create chain", "create chain", "add rule", "add rule"}, func() {
		send(op(ir.NFTAddTable, ""), op(ir.NFTAddChain, "filter-A"), base(op(ir.NFTAddChain, "filter-INPUT"), -5),
			rule(op(ir.NFTAddRule, "filter-A"), 0, "tcp dport 22 counter accept"), rule(op(ir.NFTAddRule, "filter-INPUT"), 0, "counter jump filter-A"))
	})
	want("the second one", nil, func() {
		if read() == nil {
			t.Error("the table is not there")
		}
		send()
	})
	want("a rule more", []string{"insert rule"}, func() {
		send(rule(op(ir.NFTInsertRule, "filter-A"), read().Chain("filter-A").Rules[0].Handle, "tcp dport 80 counter accept"))
	})
	want("a rule that is another", []string{"insert rule", "delete rule"}, func() {
		old := read().Chain("filter-A").Rules[0].Handle
		send(rule(op(ir.NFTInsertRule, "filter-A"), old, "tcp dport 443 counter accept"), ir.NFTOp{Kind: ir.Inet, Table: table, Do: ir.NFTDeleteRule, Chain: "filter-A", Handle: old})
	})
	want("a priority", []string{"delete rule", "delete chain", "create chain", "add rule"}, func() {
		send(op(ir.NFTFlushChain, "filter-INPUT"), op(ir.NFTDeleteChain, "filter-INPUT"), base(op(ir.NFTAddChain, "filter-INPUT"), 7),
			rule(op(ir.NFTAddRule, "filter-INPUT"), 0, "counter jump filter-A"))
	})
	want("what is refused", nil, func() {
		scripts, err := newBackend(t, ns).Render(ir.Transaction{NFT: []ir.NFTOp{op(ir.NFTFlushChain, "filter-A"), op(ir.NFTFlushChain, "filter-NONE")}})
		if err != nil {
			t.Fatal(err)
		}
		if s.Apply(context.Background(), scripts[0]) == nil || s.Check(context.Background(), backend.Script{Text: "flush chain inet hookline-site filter-A\n"}) != nil {
			t.Error("a missing chain is flushed, or a check fails")
		}
	})
}
