package converge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

func TestApplyPlacesAndProves(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, site)})
		must(t, out, converge.Done)
		if out.Rounds != 1 || !out.Wrote || out.Final == nil || !out.Final.Empty() {
			t.Errorf("rounds %d, wrote %v, final %v: want one round and an empty final plan", out.Rounds, out.Wrote, out.Final)
		}
		for _, c := range []struct {
			key  ir.ChainKey
			want []string
		}{{input4, wantInput}, {input6, wantInput}, {pre4, wantPre}} {
			if d := cmp.Diff(c.want, rules(t, h.State(), c.key)); d != "" {
				t.Errorf("%s mismatch (-want +got):\n%s", c.key, d)
			}
		}
	})
}

func TestApplyUnchangedWritesNothing(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		opt := converge.Options{Backend: h, Programs: programs(t, site)}
		must(t, apply(t, opt), converge.Done)
		n := len(h.scripts)
		out := apply(t, opt)
		must(t, out, converge.Done)
		if out.Wrote || out.Rounds != 0 || len(h.scripts) != n {
			t.Errorf("a second apply sent %d scripts, wrote %v, rounds %d: want none", len(h.scripts)-n, out.Wrote, out.Rounds)
		}
	})
}

func TestApplyRemoveGivesTheHostBack(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		before := dump(h.State())
		opt := converge.Options{Backend: h, Programs: programs(t, site)}
		must(t, apply(t, opt), converge.Done)
		opt.Remove = true
		must(t, apply(t, opt), converge.Done)
		if d := cmp.Diff(before, dump(h.State())); d != "" {
			t.Errorf("after remove (-before +after):\n%s", d)
		}
	})
}

// Calico takes its jump out and puts it back at the top between our read and our
// write: the guard of the whole block fails, and the next round finds everything.
func TestApplyRetriesAfterAGuard(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	h.apply = func(n int, s backend.Script, next func(backend.Script) error) error {
		const jump = `INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT`
		if n == 0 {
			h.Replace(after(t, h.State(), ir.IPv4, "*filter\n-D "+jump+"\nCOMMIT\n"))
			err := next(s)
			h.Replace(after(t, h.State(), ir.IPv4, "*filter\n-I "+jump+"\nCOMMIT\n"))
			var refused *backend.ScriptError
			if !errors.As(err, &refused) || !refused.Guard() {
				t.Errorf("the script met a chain without its witness and was answered with %v, want a failed guard", err)
			}
			return err
		}
		return next(s)
	}
	out := apply(t, converge.Options{Backend: h, Programs: programs(t, site)})
	must(t, out, converge.Done)
	if out.Rounds != 2 {
		t.Errorf("rounds %d, want 2", out.Rounds)
	}
	if d := cmp.Diff(wantInput, rules(t, h.State(), input4)); d != "" {
		t.Errorf("INPUT (-want +got):\n%s", d)
	}
	if out.Final.Diags.Has(diag.GuardDropped) {
		t.Error("the guard was dropped, although its rule was really gone")
	}
}

// FIELD M-49: iptables may not find a rule by the text that it prints. The guard
// then fails for ever, although its rule stands.
func TestApplyDropsAGuardThatLies(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
		return refuse(s, "-C INPUT -j KUBE-FIREWALL", "iptables: Bad rule (does a matching rule exist in that chain?).", next)
	}
	store := converge.OpenStore(t.TempDir())
	out := apply(t, converge.Options{Backend: h, Programs: programs(t, site), Store: store})
	must(t, out, converge.Done)
	if d := cmp.Diff(wantInput, rules(t, h.State(), input4)); d != "" {
		t.Errorf("INPUT (-want +got):\n%s", d)
	}
	if !out.Diags.Has(diag.GuardDropped) {
		t.Errorf("no warning %s: %v", diag.GuardDropped, out.Diags.All())
	}
}

func TestApplyTakesBackWhatWasCommitted(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		before := dump(h.State())
		h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
			if s.Family == ir.IPv6 {
				return refuse(s, "-A SITE_INPUT -p tcp", "unknown option", next)
			}
			return next(s)
		}
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, site)})
		must(t, out, converge.TakenBack)
		if d := cmp.Diff(before, dump(h.State())); d != "" {
			t.Errorf("the host after taking back (-before +after):\n%s", d)
		}
		if !out.Wrote {
			t.Error("Wrote is false, but the IPv4 tables were committed")
		}
		d := out.Diags.All()
		if len(d) != 1 || d[0].Code != diag.ToolRefused || d[0].Span.Text() != `"-p tcp -m tcp --dport 22 -j ACCEPT"` {
			t.Errorf("findings %v, want one %s at the rule's YAML", out.Diags.Err(), diag.ToolRefused)
		}
	})
}

// Nothing was committed: it is the input that is at fault, not something that had
// to be taken back.
func TestApplyRefusedAtTheFirstCommit(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		before := dump(h.State())
		h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
			return refuse(s, "-A SITE_PRE", "unknown option", next)
		}
		store := converge.OpenStore(t.TempDir())
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, site), Store: store})
		must(t, out, converge.Refused)
		if d := cmp.Diff(before, dump(h.State())); d != "" || out.Wrote {
			t.Errorf("wrote %v (-before +after):\n%s", out.Wrote, d)
		}
		d := out.Diags.All()
		if len(d) != 1 || d[0].Code != diag.ToolRefused || d[0].Span.Text() != `"-p tcp -m tcp --dport 80 -j RETURN"` {
			t.Errorf("findings %v, want one %s at the rule's YAML", out.Diags.Err(), diag.ToolRefused)
		}
		if records, err := store.Load(); err != nil || len(records) > 0 {
			t.Errorf("records %v, %v: want none, as before", records, err)
		}
	})
}

// The second of three commits fails once: the host is read again and only what
// is missing is sent.
func TestApplyRetriesTheRest(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		failed := false
		h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
			if !failed && s.Family == ir.IPv4 {
				failed = true
				return refuse(s, "*filter", "Resource temporarily unavailable", next)
			}
			return next(s)
		}
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, site)})
		must(t, out, converge.Done)
		if out.Rounds != 2 {
			t.Errorf("rounds %d, want 2", out.Rounds)
		}
		for _, s := range h.scripts[1:] {
			if strings.Contains(s.Text, "*nat") {
				t.Errorf("nat was committed and is sent again:\n%s", s.Text)
			}
		}
		if d := cmp.Diff(wantInput, rules(t, h.State(), input6)); d != "" {
			t.Errorf("ipv6 INPUT (-want +got):\n%s", d)
		}
	})
}

// The filter table refuses our commit, and nat refuses to be given back: nat
// stands as new, the others as old.
func TestApplyStuckNamesEachTable(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		committed := false
		h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
			if committed && strings.HasPrefix(s.Text, "*nat") {
				return refuse(s, "*nat", "Device or resource busy", next)
			}
			committed = committed || strings.HasPrefix(s.Text, "*nat")
			return refuse(s, "*filter", "Device or resource busy", next)
		}
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, site)})
		must(t, out, converge.Stuck)
		want := map[ir.TableKey]string{
			{Family: ir.IPv4, Name: "nat"}:    "new",
			{Family: ir.IPv4, Name: "filter"}: "old",
			{Family: ir.IPv6, Name: "filter"}: "old",
		}
		if d := cmp.Diff(want, out.Tables); d != "" {
			t.Errorf("tables (-want +got):\n%s", d)
		}
		if !out.Diags.Has(diag.TakeBackFailed) || !out.Diags.Has(diag.ToolRefused) {
			t.Errorf("findings %v, want %s and %s", out.Diags.Err(), diag.ToolRefused, diag.TakeBackFailed)
		}
	})
}

// A table that cannot be read any more is neither new nor old.
func TestApplyStuckUnknown(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	hidden := false
	h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
		err := refuse(s, "*filter", "Device or resource busy", next)
		hidden = err != nil
		return err
	}
	h.read = func(n int, snap *ir.Snapshot) error {
		for _, tab := range snap.State.Tables {
			if hidden && n > 1 && tab.Family == ir.IPv4 && tab.Name == "nat" {
				tab.Unreadable, tab.Chains, tab.Partial = "table `nat' is incompatible, use 'nft' tool", nil, true
			}
		}
		return nil
	}
	out := apply(t, converge.Options{Backend: h, Programs: programs(t, site)})
	must(t, out, converge.Stuck)
	if got := out.Tables[ir.TableKey{Family: ir.IPv4, Name: "nat"}]; got != "unknown" {
		t.Errorf("nat is %q, want unknown", got)
	}
}

// Somebody takes our jump out after every one of our commits.
func TestApplyGivesUpAndGivesBack(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		before := dump(h.State())
		const jump = `INPUT -m comment --comment "hookline:site" -j SITE_INPUT`
		h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
			err := next(s)
			if s.Family == ir.IPv4 && strings.Contains(s.Text, "-I INPUT") {
				h.Replace(after(t, h.State(), ir.IPv4, "*filter\n-D "+jump+"\nCOMMIT\n"))
			}
			return err
		}
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, site)})
		must(t, out, converge.Moved)
		if out.Rounds < 2 || out.Rounds > 20 {
			t.Errorf("%d rounds: want some, and a bound", out.Rounds)
		}
		if !out.Diags.Has(diag.RaceLost) {
			t.Errorf("findings %v, want %s", out.Diags.Err(), diag.RaceLost)
		}
		if d := cmp.Diff(before, dump(h.State())); d != "" {
			t.Errorf("something of ours stands after the race was lost (-before +after):\n%s", d)
		}
	})
}

// A host that cannot be read because it never stands still is the same race.
func TestApplyHostNeverStandsStill(t *testing.T) {
	for _, from := range []int{0, 1} {
		h := newHost(t, ir.IptablesNFT, node4, node6)
		before := dump(h.State())
		h.read = func(n int, _ *ir.Snapshot) error {
			if n == from {
				return fmt.Errorf("reading: %w", backend.ErrUnsettled)
			}
			return nil
		}
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, site)})
		must(t, out, converge.Moved)
		if !out.Diags.Has(diag.RaceLost) || dump(h.State()) != before {
			t.Errorf("read %d fails: findings %v, want %s and the host as before", from, out.Diags.Err(), diag.RaceLost)
		}
	}
}

// The tool says that it committed, the generation counter agrees that nobody else
// did, and yet a rule of ours means something else.
func TestApplyWrongReadBack(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	before := dump(h.State())
	h.read = func(_ int, snap *ir.Snapshot) error {
		for _, tab := range snap.State.Tables {
			for _, c := range tab.Chains {
				if c.Name != "SITE_INPUT" {
					continue
				}
				for i, r := range c.Rules {
					if strings.Contains(r.Text, "--dport 22 ") {
						c.Rules[i] = &ir.Rule{Text: strings.Replace(r.Text, "22", "23", 1)}
					}
				}
			}
		}
		return nil
	}
	out := apply(t, converge.Options{Backend: h, Programs: programs(t, site)})
	must(t, out, converge.TakenBack)
	if !out.Diags.Has(diag.VerifyMismatch) {
		t.Errorf("findings %v, want %s", out.Diags.Err(), diag.VerifyMismatch)
	}
	if d := cmp.Diff(before, dump(h.State())); d != "" {
		t.Errorf("the host after taking back (-before +after):\n%s", d)
	}
}

func TestApplyBaseDigest(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		opt := converge.Options{Backend: h, Programs: programs(t, site)}
		plan, err := converge.Plan(context.Background(), opt)
		if err != nil {
			t.Fatal(err)
		}
		opt.BaseDigest = plan.BaseDigest
		h.Replace(after(t, h.State(), ir.IPv4, "*filter\n-A INPUT -i wt0 -j ACCEPT\nCOMMIT\n"))
		before := dump(h.State())
		out := apply(t, opt)
		must(t, out, converge.Moved)
		if !out.Diags.Has(diag.HostMoved) || out.Wrote || len(h.scripts) > 0 || dump(h.State()) != before {
			t.Errorf("findings %v, wrote %v, %d scripts: want %s and nothing written", out.Diags.Err(), out.Wrote, len(h.scripts), diag.HostMoved)
		}
		h.Replace(state(t, node4, node6))
		must(t, apply(t, opt), converge.Done)
	})
}

// A change outside of what the plan rests on does not make it stale.
func TestApplyBaseDigestIgnoresOthers(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		opt := converge.Options{Backend: h, Programs: programs(t, site)}
		plan, err := converge.Plan(context.Background(), opt)
		if err != nil {
			t.Fatal(err)
		}
		opt.BaseDigest = plan.BaseDigest
		h.Replace(after(t, h.State(), ir.IPv4, "*filter\n-A KUBE-FIREWALL -d 127.0.0.0/8 -j DROP\n-A OUTPUT -j KUBE-FIREWALL\nCOMMIT\n"))
		must(t, apply(t, opt), converge.Done)
	})
}

// A host that moves on between reading and writing is none that a plan was agreed
// to for, though another plan would do.
func TestApplyBaseDigestAfterGuard(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	opt := converge.Options{Backend: h, Programs: programs(t, site)}
	plan, err := converge.Plan(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	opt.BaseDigest = plan.BaseDigest
	var before string
	h.apply = func(n int, s backend.Script, next func(backend.Script) error) error {
		if n > 0 {
			return next(s)
		}
		h.Replace(after(t, h.State(), ir.IPv4, "*nat\n-D PREROUTING "+wantPre[2]+"\nCOMMIT\n"))
		before = dump(h.State())
		return refuse(s, "-C PREROUTING "+wantPre[2], "Bad rule", next)
	}
	must(t, apply(t, opt), converge.Moved)
	if now := dump(h.State()); now != before {
		t.Errorf("the host (-before +after):\n%s", cmp.Diff(before, now))
	}
}

// A plan that is not as expected is refused.
func TestApplyExpected(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	opt := converge.Options{Backend: h, Programs: programs(t, site), Expected: func(p *compiler.Plan) bool { return p.Empty() }}
	must(t, apply(t, opt), converge.Moved)
	if len(h.scripts) > 0 {
		t.Errorf("%d scripts were sent", len(h.scripts))
	}
}
