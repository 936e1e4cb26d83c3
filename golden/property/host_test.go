package property

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/netns"
)

// node is a recorded host.
type node struct {
	name  string
	sets  string
	saves map[ir.Family]save
}

// recordedNodes are the hosts of the scenarios, as recorded with a variant.
func recordedNodes(t *testing.T, kind string) []node {
	t.Helper()
	var out []node
	for _, dir := range []string{"empty-node", "clean-node", "harvester-healthy", "rke2-damaged-duplicates"} {
		n := node{name: dir, saves: map[ir.Family]save{}}
		read := func(name string) string {
			text, err := os.ReadFile(filepath.Join("..", "scenarios", dir, "in", kind, name))
			if err != nil && (!os.IsNotExist(err) || name != "ipset-save.txt") {
				t.Fatal(err)
			}
			return string(text)
		}
		n.sets = read("ipset-save.txt")
		for _, f := range ir.Families {
			n.saves[f] = readSave(read(program(f) + "-" + kind + "-save.txt"))
		}
		out = append(out, n)
	}
	return out
}

// program is the first word of the tools of a family.
func program(f ir.Family) string {
	return map[ir.Family]string{ir.IPv4: "iptables", ir.IPv6: "ip6tables"}[f]
}

// host is a namespace that takes one state after the other.
type host struct {
	t       *testing.T
	kind    string // nft or legacy
	ns      *netns.NS
	backend *iptables.Backend
	// made are the tables that the namespace has: a table cannot be taken away, but
	// emptied.
	made map[ir.TableKey]bool
}

func newHost(t *testing.T, kind, sets string) *host {
	t.Helper()
	h := &host{t: t, kind: kind, ns: netns.ForTest(t), made: map[ir.TableKey]bool{}}
	var err error
	h.backend, err = iptables.New(iptables.Options{
		Variant: ir.Variant("iptables-" + kind), Runner: h.ns.Runner(), NetNS: h.ns.Do, LockFile: h.ns.LockFile(),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.run(sets, "ipset", "restore")
	return h
}

// run runs a tool that must succeed.
func (h *host) run(stdin string, argv ...string) string {
	h.t.Helper()
	out, err := h.try(stdin, argv...)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func (h *host) try(stdin string, argv ...string) (string, error) {
	res, err := h.ns.Runner().Run(context.Background(), backend.Cmd{Argv: argv, Stdin: stdin})
	if err == nil && res.Exit != 0 {
		err = fmt.Errorf("exit %d: %s", res.Exit, res.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return res.Stdout, nil
}

// load brings the namespace to a state, whatever stood there before.
func (h *host) load(states map[ir.Family]save) error {
	for _, f := range ir.Families {
		s := slices.Clone(states[f])
		for _, name := range ir.TableNames {
			if h.made[ir.TableKey{Family: f, Name: name}] && s.table(name) == nil {
				s = append(s, emptyBlock(name))
			}
		}
		if len(s) > 0 {
			if _, err := h.try(s.String(), program(f)+"-"+h.kind+"-restore", "-c"); err != nil {
				return err
			}
		}
	}
	return nil
}

// read asks the tools what stands.
func (h *host) read() map[ir.Family]string {
	h.t.Helper()
	out := map[ir.Family]string{}
	for _, f := range ir.Families {
		out[f] = h.run("", program(f)+"-"+h.kind+"-save", "-c")
		for _, b := range readSave(out[f]) {
			h.made[ir.TableKey{Family: f, Name: b.name}] = true
		}
	}
	return out
}

// state is what the tools print, as the model has it.
func (h *host) state(texts map[ir.Family]string) *ir.State {
	h.t.Helper()
	s := &ir.State{}
	for _, f := range ir.Families {
		text, list := iptables.ParseSaveText(diag.NewFile(f.String(), texts[f]), f, iptables.ParseOptions{Counters: true})
		if err := list.Err(); err != nil {
			h.t.Fatalf("the save cannot be read: %v", err)
		}
		s.Families = append(s.Families, f)
		s.Tables = append(s.Tables, text.State.Tables...)
	}
	return s
}

// generation is nf_tables' count of commits, and facts what a ruleset may ask of
// the host.
func (h *host) glance() (generation uint32, facts map[string]any) {
	h.t.Helper()
	ctx := context.Background()
	session, err := h.backend.Session(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	defer session.Close()
	snap, err := session.Snapshot(ctx, ir.Scope{Tables: map[ir.TableKey]*ir.TableScope{}})
	if err != nil {
		h.t.Fatal(err)
	}
	return snap.Generation, snap.Facts
}

// errKilled is all that a process gets to see of the host after it was killed.
var errKilled = errors.New("killed")

// mortal is a backend whose process is killed behind its nth commit: from then on
// it neither reads nor writes, and so takes nothing back.
type mortal struct {
	backend.Backend
	commits int
	dead    bool
}

func (m *mortal) Session(ctx context.Context) (backend.Session, error) {
	s, err := m.Backend.Session(ctx)
	return &mortalSession{s, m}, err
}

type mortalSession struct {
	backend.Session
	m *mortal
}

func (s *mortalSession) Snapshot(ctx context.Context, scope ir.Scope) (*ir.Snapshot, error) {
	if s.m.dead {
		return nil, errKilled
	}
	return s.Session.Snapshot(ctx, scope)
}

// Apply sends what is committed before the end, and ends.
func (s *mortalSession) Apply(ctx context.Context, script backend.Script) error {
	if s.m.dead {
		return errKilled
	}
	blocks := strings.SplitAfter(script.Text, "\nCOMMIT\n")
	if n := len(blocks) - 1; n <= s.m.commits {
		s.m.commits -= n
		return s.Session.Apply(ctx, script)
	}
	if s.m.commits > 0 {
		head := script
		head.Text = strings.Join(blocks[:s.m.commits], "")
		head.Origin = script.Origin[:strings.Count(head.Text, "\n")]
		if err := s.Session.Apply(ctx, head); err != nil {
			return err
		}
	}
	s.m.dead = true
	return errKilled
}
