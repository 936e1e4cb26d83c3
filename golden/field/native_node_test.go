package field

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hookline/backend/nft"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// nativeNode is a recorded node of iptables-nft, with what is native on it, on which
// rulesets are applied as tables of our own.
func nativeNode(t *testing.T, name string) *node {
	t.Helper()
	n := newNode(t, ir.NFT)
	if name == "" {
		return n
	}
	dir := filepath.Join("..", "nodes", name)
	from := dir
	if before := filepath.Join(dir, "before"); isFolder(before) {
		from = before // of a table with native rules the saves say nothing
	}
	read := func(file string) string {
		text, err := os.ReadFile(filepath.Join(from, file))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(text)
	}
	if sets := read("ipset-save.txt"); sets != "" {
		n.run(sets, "ipset", "restore")
	}
	n.load(read("iptables-nft-save.txt"), read("ip6tables-nft-save.txt"))
	if script := unpacked(t, filepath.Join(dir, "native.nft.gz")); script != "" {
		n.run(script, "nft", "-f", "-")
	}
	return n
}

// unpacked is a packed text, or nothing if there is none.
func unpacked(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// native applies rulesets as tables of our own.
func (n *node) native(texts ...string) *converge.Outcome { return n.applyNative(false, texts...) }

func (n *node) applyNative(remove bool, texts ...string) *converge.Outcome {
	n.t.Helper()
	b, err := nft.New(nft.Options{Runner: n, NetNS: n.ns.Do})
	if err != nil {
		n.t.Fatal(err)
	}
	return n.applyWith(converge.Options{Backend: b, Programs: compileNative(n.t, texts...), Store: n.store, Remove: remove})
}

func compileNative(t *testing.T, texts ...string) []*compiler.Program {
	t.Helper()
	var out []*compiler.Program
	for _, text := range texts {
		docs, list := dsl.Parse(diag.NewFile("ruleset.yaml", text))
		for _, d := range docs {
			p, l := compiler.Compile(d, compiler.CompileOptions{Backend: string(ir.NFT)})
			list.Append(l)
			out = append(out, p)
		}
		if list.HasErrors() {
			t.Fatal(findings(list))
		}
	}
	return out
}

// monitor is `nft monitor` at work beside a test.
type monitor struct {
	n     *node
	mu    sync.Mutex
	lines []string
	marks int
}

// watchEvents starts nft's monitor and returns when it hears.
func (n *node) watchEvents() *monitor {
	n.t.Helper()
	m := &monitor{n: n}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "nft", "monitor")
	out, in := io.Pipe()
	cmd.Stdout = in
	// It ends with the thread that starts it, whatever becomes of the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = n.ns.Do(cmd.Run)
		in.Close()
	})
	wg.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			m.mu.Lock()
			m.lines = append(m.lines, lines.Text())
			m.mu.Unlock()
		}
	})
	n.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	m.events() // until the first mark is heard nothing is known to be
	return m
}

// events are those since the last call. A table that is made and goes marks the end:
// when that is heard, all before it was.
func (m *monitor) events() []string {
	m.n.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		m.marks++
		mark := fmt.Sprintf("mark-%d", m.marks)
		m.n.run("add table arp "+mark+"\n", "nft", "-f", "-")
		m.n.run("delete table arp "+mark+"\n", "nft", "-f", "-")
		for wait := time.Now().Add(2 * time.Second); time.Now().Before(wait); time.Sleep(5 * time.Millisecond) {
			m.mu.Lock()
			at := slices.IndexFunc(m.lines, func(l string) bool { return strings.HasPrefix(l, "delete table arp "+mark) })
			if at < 0 {
				m.mu.Unlock()
				continue
			}
			heard := m.lines[:at]
			m.lines = nil
			m.mu.Unlock()
			return slices.DeleteFunc(heard, func(l string) bool {
				return strings.Contains(l, " table arp mark-") || strings.HasPrefix(l, "# new generation")
			})
		}
	}
	m.n.t.Fatal("nft monitor does not say what happens")
	return nil
}
