package nft_test

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/backend/nft"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// tools is a machine whose programs say what it is told.
type tools map[string]backend.Result

func (x tools) Run(_ context.Context, c backend.Cmd) (backend.Result, error) {
	if res, ok := x[strings.Join(c.Argv, " ")]; ok {
		return res, nil
	}
	return backend.Result{}, &exec.Error{Name: c.Argv[0], Err: exec.ErrNotFound}
}

// TestTool: a host without nft, or with one that does not understand us, is told so
// before anything is read.
func TestTool(t *testing.T) {
	for name, c := range map[string]struct {
		says string
		want string // a part of the error, or "" if there is none
	}{
		"none":       {"", "no nft was found"},
		"old":        {"nftables v0.9.8 (E.D.S.)", "nftables v0.9.8 (E.D.S.) is too old: hookline writes what nft understands from 1.0.6 on"},
		"too old":    {"nftables v1.0.5 (Lester Gooch #4)", "too old"},
		"the oldest": {"nftables v1.0.6 (Lester Gooch #5)", ""},
		"new":        {"nftables v1.1.1 (Commodore Bullmoose #2)", ""},
		"newer":      {"nftables v2.0", ""},
		"no nft":     {"busybox", "no version of nftables"},
	} {
		machine := tools{}
		if c.says != "" {
			machine["nft --version"] = backend.Result{Stdout: c.says + "\n"}
		}
		b, err := nft.New(nft.Options{Runner: machine, NetNS: netns.ForTest(t).Do})
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.Session(context.Background())
		if err == nil {
			err = s.Close()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		var missing *nft.MissingToolError
		if strings.Contains(c.want, "old") && !errors.As(err, &missing) {
			t.Errorf("%s: %T is no MissingToolError", name, err)
		}
	}
}

// TestRefusal: what nft complains about leads to a line, in each form in which it
// does.
func TestRefusal(t *testing.T) {
	for name, c := range map[string]struct {
		stderr string
		line   int
		want   string
		more   []backend.Refusal
	}{
		"from the kernel": {
			"/dev/stdin:2:38-39: Error: Could not process rule: No such file or directory\ndelete rule inet hookline-t a handle 99\n                                     ^^\n",
			2, "No such file or directory", nil,
		},
		"while reading": {"/dev/stdin:3:28-33: Error: syntax error, unexpected string\nadd rule inet hookline-t a nosuch\n   ^^\n", 3, "syntax error, unexpected string", nil},
		"several": {
			"/dev/stdin:4:1-3: Error: Could not process rule: File exists\ncreate x\n^^^\n/dev/stdin:7:1-3: Error: No such file or directory; did you mean table ‘hookline-t’ in family inet?\nx\n^^^\n",
			4, "File exists",
			[]backend.Refusal{{Number: 7, Message: "No such file or directory; did you mean table ‘hookline-t’ in family inet?"}},
		},
		"a line twice": {
			"warning: x\n/dev/stdin:4:1-3: Error: File exists\ncreate x\n^^^\n/dev/stdin:4:5-6: Error: syntax error\ncreate x\n^^^\n/dev/stdin:4:5-6: Error: syntax error\n",
			4, "warning: x; File exists; syntax error", nil,
		},
		"by another name": {"-:5:1-2: Error: syntax error\n", 5, "syntax error", nil},
		"without a place": {"Error: Could not process rule: Operation not permitted\n", 0, "Operation not permitted", nil},
		"of netlink":      {"netlink: Error: cache initialization failed: Operation not permitted\n", 0, "netlink: Error: cache initialization failed: Operation not permitted", nil},
		"nothing":         {"", 0, "the tool gave no reason", nil},
	} {
		machine := tools{"nft --version": {Stdout: "nftables v1.0.6\n"}, "nft -f -": {Stderr: c.stderr, Exit: 1}}
		b, err := nft.New(nft.Options{Runner: machine, NetNS: netns.ForTest(t).Do})
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.Session(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var e *backend.ScriptError
		if err := s.Apply(context.Background(), backend.Script{Text: "x\n"}); !errors.As(err, &e) || e.Number != c.line || e.Message != c.want || e.Exit != 1 || !slices.Equal(e.More, c.more) {
			t.Errorf("%s: %+v, want line %d and %q", name, e, c.line, c.want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRender: the script of each step.
func TestRender(t *testing.T) {
	at := func(do ir.NFTOpKind, chain string) ir.NFTOp {
		return ir.NFTOp{Kind: ir.IP6, Table: "hookline-t", Do: do, Chain: chain}
	}
	rule := func(o ir.NFTOp, handle uint64, comment string) ir.NFTOp {
		o.Handle, o.Rule = handle, &ir.OwnRule{Text: "counter accept", Comment: comment}
		return o
	}
	hooked := at(ir.NFTAddChain, "filter-INPUT")
	hooked.Base = &ir.BaseChain{Type: "filter", Hook: "input", Priority: -5}
	closed := at(ir.NFTAddChain, "filter-OUTPUT")
	closed.Base = &ir.BaseChain{Type: "route", Hook: "output", Priority: 5, Policy: "drop"}
	scripts, err := nft.Render(ir.Transaction{NFT: []ir.NFTOp{
		at(ir.NFTAddTable, ""), at(ir.NFTAddChain, "a"), hooked, closed, rule(at(ir.NFTAddRule, "a"), 0, ""),
		rule(at(ir.NFTInsertRule, "a"), 7, "it's"), rule(at(ir.NFTDeleteRule, "a"), 8, ""), at(ir.NFTFlushChain, "a"), at(ir.NFTDeleteChain, "a"), at(ir.NFTDeleteTable, ""),
	}})
	if err != nil || len(scripts) != 1 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	want := `add table ip6 hookline-t
create chain ip6 hookline-t a
create chain ip6 hookline-t filter-INPUT { type filter hook input priority -5; policy accept; }
create chain ip6 hookline-t filter-OUTPUT { type route hook output priority 5; policy drop; }
add rule ip6 hookline-t a counter accept
insert rule ip6 hookline-t a handle 7 counter accept comment "it's"
delete rule ip6 hookline-t a handle 8
flush chain ip6 hookline-t a
delete chain ip6 hookline-t a
delete table ip6 hookline-t
`
	if d := cmp.Diff(want, scripts[0].Text); d != "" {
		t.Errorf("script (-want +got):\n%s", d)
	}
}

// TestStrangeRules: what others put into a table of ours reads as what it is. Of what
// has no words, the text differs where the rule does, and does not change while it
// counts.
func TestStrangeRules(t *testing.T) {
	ns := netns.ForTest(t)
	run(t, ns, `add table inet hookline-t
add set inet hookline-t s { type ipv4_addr; flags dynamic,timeout; }
add chain inet hookline-t a
add chain inet hookline-t b
`, "nft", "-f", "-")
	rules := []string{
		`tcp dport 80 synproxy mss 1460 wscale 7`,
		`tcp dport 80 synproxy mss 1460 wscale 8`,
		`tcp dport 80 synproxy mss 1400 wscale 7`,
		`ip saddr 10.0.0.1`,
		`ip protocol tcp tcp dport 80`,
		`tcp dport 80`,
		`meta l4proto tcp th dport 80`,
		`meta nfproto ipv4 tcp dport 80`,
		`meta l4proto icmp @th,0,8 8`,
		`icmp type echo-request`,
		`add @s { ip saddr }`,
		`add @s { ip saddr timeout 5s }`,
		`update @s { ip saddr }`,
		`quota 10 mbytes`,
		`quota over 10 mbytes`,
		`ct count 5 accept`,
		`ct count over 5 accept`,
		`ip saddr vmap { 10.0.0.1 : jump b }`,
		`ip saddr vmap { 10.0.0.1 : goto b }`,
		`ip saddr vmap { 10.0.0.2 : jump b }`,
		`ip saddr @s`,
		`ip saddr != @s`,
		`meta mark set meta mark and 0xff or 0x100`,
		`ether saddr 00:11:22:33:44:55`,
		`iifname "eth*"`,
		`iifname "eth\\*"`,
		`iifname "eth"`,
		`log flags all`,
		`log level audit`,
		`fib daddr . iif type local`,
		`fib daddr type local`,
		`ip dscp cs1`,
		`ip dscp set cs1`,
		`ip ttl set 5`,
		`tcp dport 80 notrack`,
		`ip saddr . tcp dport { 10.0.0.1 . 80 }`,
		`ip saddr . tcp dport { 10.0.0.1 . 81 }`,
		`tcp dport { 80, 81 }`,
		`tcp dport { 80-81 }`,
		`tcp dport 80-81`,
	}
	var script strings.Builder
	for _, r := range rules {
		script.WriteString("add rule inet hookline-t a " + r + "\n")
	}
	run(t, ns, script.String(), "nft", "-f", "-")
	s, err := newBackend(t, ns).Session(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	read := func() []string {
		snap, err := s.Snapshot(context.Background(), ir.Scope{Own: []string{"hookline-t"}})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range snap.State.Own[0].Chain("a").Rules {
			out = append(out, r.Text)
		}
		return out
	}
	first := read()
	if len(first) != len(rules) {
		t.Fatalf("%d rules of %d", len(first), len(rules))
	}
	// Two that are the same rule, in two spellings.
	same := map[string]string{`meta l4proto tcp th dport 80`: `tcp dport 80`, `tcp dport 80-81`: `tcp dport { 80-81 }`}
	seen := map[string]string{}
	for i, text := range first {
		t.Logf("%-50s %s", rules[i], text)
		if other, ok := seen[text]; ok && same[rules[i]] != other {
			t.Errorf("%q reads as %q, as %q does", rules[i], text, other)
		}
		seen[text] = rules[i]
	}
	if again := read(); !slices.Equal(first, again) {
		t.Errorf("the second read differs:\n%s", cmp.Diff(first, again))
	}
}
