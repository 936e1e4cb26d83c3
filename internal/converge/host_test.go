package converge_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"hookline/backend"
	"hookline/backend/fake"
	"hookline/backend/iptables"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// Two neighbours in two tables, as most tests find them.
const (
	node4 = `*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:cali-PREROUTING - [0:0]
-A PREROUTING -m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:cali-INPUT - [0:0]
-A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT
-A INPUT -j KUBE-FIREWALL
COMMIT
`
	node6 = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:cali-INPUT - [0:0]
-A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT
-A INPUT -j KUBE-FIREWALL
COMMIT
`
)

// site places a jump in filter of both families and one in nat of IPv4: three
// commits.
const site = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  owns: {chains: ["SITE_*"]}
  tables:
    filter:
      chains:
        SITE_INPUT:
          rules:
            - "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
            - "-p tcp -m tcp --dport 22 -j ACCEPT"
      anchors:
        - {hook: INPUT, jump: SITE_INPUT, after: [calico], before: [kubelet]}
    nat:
      chains:
        SITE_PRE: {families: [ipv4], rules: ["-p tcp -m tcp --dport 80 -j RETURN"]}
      anchors:
        - {hook: PREROUTING, jump: SITE_PRE, families: [ipv4], after: [calico], before: [kube-proxy]}
`

// state reads save texts of both families into the state of a whole host.
func state(t *testing.T, v4, v6 string) *ir.State {
	t.Helper()
	out := &ir.State{Families: ir.Families, SetsRead: true}
	for i, f := range ir.Families {
		s, _, found := iptables.ParseSave(diag.NewFile(f.String(), []string{v4, v6}[i]), f, iptables.ParseOptions{})
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		out.Tables = append(out.Tables, s.Tables...)
	}
	return out
}

// dump is what a host holds, as its save tool would print it.
func dump(s *ir.State) string {
	var b strings.Builder
	for _, f := range ir.Families {
		b.WriteString("# " + f.String() + "\n" + iptables.WriteSave(s, f, iptables.WriteOptions{}))
	}
	return b.String()
}

// after is what a state holds once another program has sent a restore text.
func after(t *testing.T, s *ir.State, f ir.Family, text string) *ir.State {
	t.Helper()
	tx, found := iptables.ParseRestore(diag.NewFile("other", text), f, iptables.RestoreOptions{NoFlush: true})
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	out, err := s.Apply(tx)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// rules are the texts of a chain.
func rules(t *testing.T, s *ir.State, k ir.ChainKey) []string {
	t.Helper()
	c, err := s.Lookup(k)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	if c != nil {
		for _, r := range c.Rules {
			out = append(out, r.Text)
		}
	}
	return out
}

var (
	input4 = ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "INPUT"}
	input6 = ir.ChainKey{Family: ir.IPv6, Table: "filter", Chain: "INPUT"}
	pre4   = ir.ChainKey{Family: ir.IPv4, Table: "nat", Chain: "PREROUTING"}
)

// The chains of the node with site's jumps in place.
var (
	wantInput = []string{
		`-m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT`,
		`-m comment --comment "hookline:site" -j SITE_INPUT`,
		`-j KUBE-FIREWALL`,
	}
	wantPre = []string{
		`-m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING`,
		`-m comment --comment "hookline:site" -j SITE_PRE`,
		`-m comment --comment "kubernetes service portals" -j KUBE-SERVICES`,
	}
)

// programs compiles rulesets.
func programs(t testing.TB, texts ...string) []*compiler.Program {
	t.Helper()
	return programsFor(t, nil, texts...)
}

// programsFor compiles rulesets for some families; none means both.
func programsFor(t testing.TB, families []ir.Family, texts ...string) []*compiler.Program {
	t.Helper()
	var out []*compiler.Program
	for _, text := range texts {
		docs, list := dsl.Parse(diag.NewFile("site.yaml", text))
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			p, list := compiler.Compile(d, compiler.CompileOptions{Families: families})
			if err := list.Err(); err != nil {
				t.Fatal(err)
			}
			out = append(out, p)
		}
	}
	return out
}

// host is a fake host whose reads and writes a test can step into.
type host struct {
	*fake.Backend
	// apply stands in for the tool at the n-th script, counted from 0; it may call
	// next, which is the tool. Nil: nothing special.
	apply func(n int, s backend.Script, next func(backend.Script) error) error
	// read changes what the n-th snapshot shows, or fails it.
	read func(n int, snap *ir.Snapshot) error

	scripts []backend.Script
	reads   int
}

func newHost(t *testing.T, v ir.Variant, v4, v6 string) *host {
	t.Helper()
	return &host{Backend: fake.New(v, state(t, v4, v6))}
}

func (h *host) Session(ctx context.Context) (backend.Session, error) {
	s, err := h.Backend.Session(ctx)
	return &session{s, h}, err
}

type session struct {
	backend.Session
	h *host
}

func (s *session) Apply(ctx context.Context, script backend.Script) error {
	n := len(s.h.scripts)
	s.h.scripts = append(s.h.scripts, script)
	if s.h.apply == nil {
		return s.Session.Apply(ctx, script)
	}
	return s.h.apply(n, script, func(x backend.Script) error { return s.Session.Apply(ctx, x) })
}

func (s *session) Snapshot(ctx context.Context, scope ir.Scope) (*ir.Snapshot, error) {
	snap, err := s.Session.Snapshot(ctx, scope)
	if err == nil && s.h.read != nil {
		err = s.h.read(s.h.reads, snap)
	}
	s.h.reads++
	return snap, err
}

// refuse is a tool that does not take the first line of a script that has the
// prefix, and commits the blocks ahead of it.
func refuse(s backend.Script, prefix, message string, next func(backend.Script) error) error {
	number, start := 0, 0
	for i, line := range strings.Split(s.Text, "\n") {
		if strings.HasPrefix(line, "*") {
			start = i
		}
		if strings.HasPrefix(line, prefix) {
			number = i + 1
			break
		}
	}
	if number == 0 {
		return next(s)
	}
	if start > 0 {
		if err := next(first(s, start)); err != nil {
			return err
		}
	}
	return &backend.ScriptError{Script: s, Tool: "iptables-restore", Number: number, Exit: 1, Message: message}
}

// first is the beginning of a script.
func first(s backend.Script, lines int) backend.Script {
	s.Text = strings.Join(strings.SplitAfter(s.Text, "\n")[:lines], "")
	s.Origin = s.Origin[:lines]
	return s
}

// apply brings a host there with texts of rulesets.
func apply(t *testing.T, opt converge.Options) *converge.Outcome {
	t.Helper()
	out, err := converge.Apply(context.Background(), opt)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return out
}

// must fails the test unless an outcome ended as wanted.
func must(t *testing.T, out *converge.Outcome, want converge.Status) {
	t.Helper()
	if out.Status == want {
		return
	}
	t.Errorf("status %d, want %d\nfindings: %v", out.Status, want, out.Diags.Err())
	if out.Plan != nil && out.Plan.Diags.HasErrors() {
		t.Errorf("plan: %v", out.Plan.Diags.Err())
	}
	if out.Final != nil {
		t.Errorf("final: %v, changes %v", out.Final.Diags.Err(), out.Final.Changes)
	}
}

// both runs a test on both variants.
func both(t *testing.T, f func(t *testing.T, v ir.Variant)) {
	t.Helper()
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
		t.Run(string(v), func(t *testing.T) { f(t, v) })
	}
}

// noPause is time that does not pass; it tells how often it was waited.
func noPause(n *int) func(context.Context, time.Duration) error {
	return func(ctx context.Context, _ time.Duration) error {
		*n++
		return ctx.Err()
	}
}
