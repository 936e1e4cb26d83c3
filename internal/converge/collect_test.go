package converge_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// What an agent left behind: marks and jumps of a namespace, and a rule in nat.
const (
	stale4 = `*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:AGENT-MARK - [0:0]
-A PREROUTING -i eth0 -j ACCEPT
-A PREROUTING -m comment --comment "agent: blue" -j AGENT-MARK
-A PREROUTING -i eth1 -j ACCEPT
-A PREROUTING -m comment --comment "agent: blue" -j AGENT-MARK
-A AGENT-MARK -d 10.0.0.0/16 -m comment --comment "agent: blue" -j RETURN
-A AGENT-MARK -s 10.1.2.3/32 -m comment --comment "agent: blue" -j MARK --set-xmark 0x40/0x40
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 10.1.2.3/32 -m comment --comment "agent: blue" -j MASQUERADE
-A POSTROUTING -o eth1 -j MASQUERADE
COMMIT
`
	stale6 = `*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o eth1 -j MASQUERADE
-A POSTROUTING -s fd00::3/128 -m comment --comment "agent: blue" -j MASQUERADE
COMMIT
`
)

const collecting = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: tidy, version: 1.0.0}
spec:
  tables:
    mangle:
      collect:
        - {chain: AGENT-MARK, where: 'rule.comment == "agent: blue"', dropEmpty: true}
    nat:
      collect:
        - {chain: POSTROUTING, where: 'rule.comment == "agent: blue"', reason: the namespace is gone}
`

var (
	mark4 = ir.ChainKey{Family: ir.IPv4, Table: "mangle", Chain: "AGENT-MARK"}
	pre4m = ir.ChainKey{Family: ir.IPv4, Table: "mangle", Chain: "PREROUTING"}
	post4 = ir.ChainKey{Family: ir.IPv4, Table: "nat", Chain: "POSTROUTING"}
	post6 = ir.ChainKey{Family: ir.IPv6, Table: "nat", Chain: "POSTROUTING"}
)

func TestCollectTakesExactlyWhatIsChosen(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, stale4, stale6)
		opt := converge.Options{Backend: h, Programs: programs(t, collecting), Store: converge.OpenStore(t.TempDir())}
		out := apply(t, opt)
		must(t, out, converge.Done)
		for _, c := range []struct {
			key  ir.ChainKey
			want []string
		}{
			{mark4, nil},
			{pre4m, []string{"-i eth0 -j ACCEPT", "-i eth1 -j ACCEPT"}},
			{post4, []string{"-o eth1 -j MASQUERADE"}},
			{post6, []string{"-o eth1 -j MASQUERADE"}},
		} {
			if d := cmp.Diff(c.want, rules(t, h.State(), c.key)); d != "" {
				t.Errorf("%s (-want +got):\n%s", c.key, d)
			}
		}
		if h.State().Table(ir.IPv4, "mangle").Chain("AGENT-MARK") != nil || out.Rounds != 1 {
			t.Errorf("AGENT-MARK stands, or it took %d rounds", out.Rounds)
		}
		if out := apply(t, opt); out.Status != converge.Done || out.Wrote || !out.Plan.Empty() {
			t.Errorf("a second apply ends with %d, wrote %v", out.Status, out.Wrote)
		}
	})
}

// The last commit fails for good: what was collected before it is there again, at
// its place, and so are the chain and the jumps to it.
func TestCollectedIsTakenBack(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, stale4, stale6)
		before := dump(h.State())
		h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
			if s.Family == ir.IPv6 {
				return refuse(s, "-D POSTROUTING", "Device or resource busy", next)
			}
			return next(s)
		}
		must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, collecting)}), converge.TakenBack)
		if d := cmp.Diff(before, dump(h.State())); d != "" {
			t.Errorf("after taking back (-before +after):\n%s", d)
		}
	})
}

// While we write the agent adds a stale rule where we have tidied up. It is
// collected in the next round, and then all has to be taken back.
func TestCollectedLaterIsTakenBack(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, stale4, stale6)
		const added = "POSTROUTING -s 10.9.9.9/32 -m comment --comment \"agent: blue\" -j MASQUERADE\n"
		want := dump(after(t, h.State(), ir.IPv4, "*nat\n-I POSTROUTING 3 "+strings.TrimPrefix(added, "POSTROUTING ")+"COMMIT\n"))
		h.apply = func(n int, s backend.Script, next func(backend.Script) error) error {
			if s.Family == ir.IPv6 {
				if n == 1 {
					h.Replace(after(t, h.State(), ir.IPv4, "*nat\n-A "+added+"COMMIT\n"))
				}
				return refuse(s, "-D POSTROUTING", "Device or resource busy", next)
			}
			return next(s)
		}
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, collecting)})
		must(t, out, converge.TakenBack)
		if d := cmp.Diff(want, dump(h.State())); d != "" || out.Rounds != 2 {
			t.Errorf("after %d rounds and taking back (-want +got):\n%s", out.Rounds, d)
		}
	})
}

// The agent removes rules itself, one in each round, between our read and our
// write: that is a host which changes, and no refused transaction.
func TestCollectMeetsTheOwner(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		const more = "-s 10.1.2.3/32 -m comment --comment \"agent: blue\" -j MARK --set-xmark 0x40/0x40\n"
		h := newHost(t, v, strings.Replace(stale4, "-A AGENT-MARK "+more, strings.Repeat("-A AGENT-MARK "+more, 5), 1), stale6)
		h.apply = func(n int, s backend.Script, next func(backend.Script) error) error {
			if n < 4 {
				gone := rules(t, h.State(), mark4)
				h.Replace(after(t, h.State(), ir.IPv4, "*mangle\n-D AGENT-MARK "+gone[len(gone)-1]+"\nCOMMIT\n"))
				err := next(s)
				var refused *backend.ScriptError
				if !errors.As(err, &refused) {
					t.Errorf("the script was answered with %v, want a refusal", err)
				}
				return err
			}
			return next(s)
		}
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, collecting)})
		must(t, out, converge.Done)
		if out.Rounds != 5 || len(rules(t, h.State(), pre4m)) != 2 {
			t.Errorf("%d rounds, PREROUTING %q", out.Rounds, rules(t, h.State(), pre4m))
		}
	})
}

// The tool does not find a rule by the text that it printed: that is tried once
// more, then said, and nothing is changed.
func TestCollectedTextThatIsNotFound(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, stale4, stale6)
		before := dump(h.State())
		h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
			return refuse(s, "-D AGENT-MARK -d", "Bad rule (does a matching rule exist in that chain?).", next)
		}
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, collecting)})
		must(t, out, converge.Refused)
		d := out.Diags.All()
		if len(d) != 1 || d[0].Code != diag.ToolRefused || d[0].Span.Text() != "AGENT-MARK" {
			t.Errorf("findings %v, want one %s at the entry", out.Diags.Err(), diag.ToolRefused)
		}
		if d := cmp.Diff(before, dump(h.State())); d != "" || out.Wrote || out.Rounds != 2 {
			t.Errorf("wrote %v in %d rounds (-before +after):\n%s", out.Wrote, out.Rounds, d)
		}
	})
}

// On the nft variant the chain goes in a commit of its own. If the agent fills the
// chain ahead of it, the chain stays, and so must the jumps to it: they were taken
// out by then, and are put back.
func TestCollectedChainIsFilledAgain(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, stale4, stale6)
	const live = "-s 10.7.7.7/32 -m comment --comment \"agent: green\" -j MARK --set-xmark 0x40/0x40"
	want := dump(after(t, h.State(), ir.IPv4, "*mangle\n-A AGENT-MARK "+live+"\nCOMMIT\n"))
	h.apply = func(n int, s backend.Script, next func(backend.Script) error) error {
		if n > 0 {
			return next(s)
		}
		lines := strings.SplitAfter(s.Text, "\n")
		start := 0
		for i, line := range lines {
			if strings.HasPrefix(line, "-X") {
				start = i - 1
			}
		}
		if err := next(first(s, start)); err != nil {
			t.Fatalf("the first commit: %v", err)
		}
		h.Replace(after(t, h.State(), ir.IPv4, "*mangle\n-A AGENT-MARK "+live+"\nCOMMIT\n"))
		rest := s
		rest.Text, rest.Origin = strings.Join(lines[start:], ""), s.Origin[start:]
		var refused *backend.ScriptError
		if err := next(rest); !errors.As(err, &refused) {
			t.Fatalf("the second commit was answered with %v, want a refusal", err)
		}
		refused.Script, refused.Number = s, start+refused.Number
		return refused
	}
	out := apply(t, converge.Options{Backend: h, Programs: programs(t, collecting)})
	must(t, out, converge.Moved)
	if d := cmp.Diff(want, dump(h.State())); d != "" {
		t.Errorf("after taking back (-want +got):\n%s", d)
	}
	if !out.Diags.Has(diag.RaceLost) {
		t.Errorf("findings %v, want %s", out.Diags.Err(), diag.RaceLost)
	}
	// Once the agent is done, the next apply leaves chain and jumps alone.
	must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, collecting)}), converge.Done)
	if got := rules(t, h.State(), mark4); len(got) != 1 || got[0] != live || len(rules(t, h.State(), pre4m)) != 4 {
		t.Errorf("AGENT-MARK %q, PREROUTING %q", got, rules(t, h.State(), pre4m))
	}
}

// Removing the ruleset removes nothing of others, and says what it would have
// collected.
func TestRemoveLeavesWhatWouldBeCollected(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, stale4, stale6)
		before := dump(h.State())
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, collecting), Remove: true})
		must(t, out, converge.Done)
		want := []string{
			`the collected rule in ipv4 mangle AGENT-MARK: -d 10.0.0.0/16 -m comment --comment "agent: blue" -j RETURN`,
			`the collected rule in ipv4 mangle AGENT-MARK: -s 10.1.2.3/32 -m comment --comment "agent: blue" -j MARK --set-xmark 0x40/0x40`,
			`the collected rule in ipv4 nat POSTROUTING: -s 10.1.2.3/32 -m comment --comment "agent: blue" -j MASQUERADE`,
			`the collected rule in ipv6 nat POSTROUTING: -s fd00::3/128 -m comment --comment "agent: blue" -j MASQUERADE`,
		}
		if d := cmp.Diff(want, out.Plan.LeftAsIs); d != "" {
			t.Errorf("left as it is (-want +got):\n%s", d)
		}
		if d := cmp.Diff(before, dump(h.State())); d != "" || out.Wrote {
			t.Errorf("wrote %v (-before +after):\n%s", out.Wrote, d)
		}
	})
}
