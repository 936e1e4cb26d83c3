package converge_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

func TestApplyWaits(t *testing.T) {
	const crossed = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:cali-INPUT - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT
COMMIT
`
	tests := []struct {
		name  string
		wait  time.Duration
		fixed int // the pause after which Calico is back at the top; 0: never
		want  converge.Status
	}{
		{name: "no wait", want: converge.Refused},
		{name: "repaired in time", wait: time.Minute, fixed: 3, want: converge.Done},
		{name: "never repaired", wait: 5 * time.Second, want: converge.Refused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, ir.IptablesNFT, crossed, node6)
			pauses := 0
			opt := converge.Options{Backend: h, Programs: programs(t, strings.Split(site, "    nat:\n")[0]), Wait: tt.wait}
			opt.Pause = func(ctx context.Context, d time.Duration) error {
				if d <= 0 {
					t.Errorf("a pause of %v", d)
				}
				if pauses++; pauses == tt.fixed {
					const jump = `INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT`
					h.Replace(after(t, h.State(), ir.IPv4, "*filter\n-D "+jump+"\n-I "+jump+"\nCOMMIT\n"))
				}
				return ctx.Err()
			}
			out := apply(t, opt)
			must(t, out, tt.want)
			if tt.want == converge.Refused && (out.Wrote || len(h.scripts) > 0 || !out.Plan.Diags.Has(diag.CrossingBounds)) {
				t.Errorf("wrote %v, plan %v: want crossing bounds and nothing written", out.Wrote, out.Plan.Diags.Err())
			}
			if (pauses > 0) != (tt.wait > 0) || pauses > 1000 {
				t.Errorf("%d pauses within %v", pauses, tt.wait)
			}
		})
	}
}

// A jump of another ruleset does not go away by itself.
func TestApplyWaitsForNothingElse(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	h.Replace(after(t, h.State(), ir.IPv4, "*filter\n:SITE_EDGE - [0:0]\n-A FORWARD -m comment --comment \"hookline:edge\" -j SITE_EDGE\nCOMMIT\n"))
	pauses := 0
	out := apply(t, converge.Options{Backend: h, Programs: programs(t, site), Wait: time.Hour, Pause: noPause(&pauses)})
	must(t, out, converge.Refused)
	if pauses > 0 || !out.Plan.Diags.Has(diag.OtherRuleset) {
		t.Errorf("%d pauses, plan %v: want none, and %s", pauses, out.Plan.Diags.Err(), diag.OtherRuleset)
	}
}

func TestApplyCancelledInTheMiddle(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		before := dump(h.State())
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		h.apply = func(n int, s backend.Script, next func(backend.Script) error) error {
			err := next(s)
			if n == 0 {
				cancel()
			}
			return err
		}
		store := converge.OpenStore(t.TempDir())
		out, err := converge.Apply(ctx, converge.Options{Backend: h, Programs: programs(t, site), Store: store})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
		must(t, out, converge.TakenBack)
		if !out.Wrote {
			t.Error("Wrote is false, but IPv4 was committed")
		}
		if d := cmp.Diff(before, dump(h.State())); d != "" {
			t.Errorf("the host after taking back (-before +after):\n%s", d)
		}
		if records, err := store.Load(); err != nil || len(records) > 0 {
			t.Errorf("records %v, %v: want none, as before", records, err)
		}
	})
}

// The process is killed when the first of three commits stands: nothing is taken
// back, and the next apply converges.
func TestApplyAfterAKill(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		dir := t.TempDir()
		opt := converge.Options{Backend: h, Programs: programs(t, site), Store: converge.OpenStore(dir)}
		h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
			if err := next(first(s, strings.Count(s.Text[:strings.Index(s.Text, "COMMIT\n")], "\n")+1)); err != nil {
				t.Error(err)
			}
			runtime.Goexit()
			return nil
		}
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = converge.Apply(context.Background(), opt)
			t.Error("the apply went on")
		}()
		<-gone
		if d := cmp.Diff(wantPre, rules(t, h.State(), pre4)); d != "" {
			t.Fatalf("nat was to be committed (-want +got):\n%s", d)
		}
		records, err := converge.OpenStore(dir).Load()
		if err != nil || len(records) != 1 || records[0].Status != "intent" {
			t.Errorf("records %+v, %v: want one intent", records, err)
		}
		h.apply = nil
		must(t, apply(t, opt), converge.Done)
		for _, k := range []ir.ChainKey{input4, input6} {
			if d := cmp.Diff(wantInput, rules(t, h.State(), k)); d != "" {
				t.Errorf("%s (-want +got):\n%s", k, d)
			}
		}
		records, err = converge.OpenStore(dir).Load()
		if err != nil || len(records) != 1 || records[0].Status != "applied" {
			t.Errorf("records %+v, %v: want one, applied", records, err)
		}
	})
}

// A crash between the steps of another tool, or an older version of ours, leaves
// copies of our jump, an old jump with another match, and a chain that nobody
// declares any more.
func TestApplyClearsLeftovers(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		h.Replace(after(t, h.State(), ir.IPv4, `*filter
:SITE_INPUT - [0:0]
:SITE_OLD - [0:0]
-A SITE_OLD -j DROP
-I INPUT -m comment --comment "hookline:site" -j SITE_INPUT
-A INPUT -m comment --comment "hookline:site" -j SITE_INPUT
-A INPUT -i mgmt-br -m comment --comment "hookline:site" -j SITE_INPUT
-A FORWARD -j SITE_OLD
COMMIT
`))
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, site)})
		must(t, out, converge.Done)
		if d := cmp.Diff(wantInput, rules(t, h.State(), input4)); d != "" {
			t.Errorf("INPUT (-want +got):\n%s", d)
		}
		if got := rules(t, h.State(), ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "FORWARD"}); len(got) > 0 {
			t.Errorf("FORWARD holds %q, want nothing", got)
		}
		if strings.Contains(dump(h.State()), "SITE_OLD") {
			t.Error("the stale chain stands")
		}
	})
}

// Chains in the other variant's tables go on working there unseen: ours are an
// error, those of others a warning.
func TestPlanLooksAtTheOtherVariant(t *testing.T) {
	tests := []struct {
		chain string
		code  diag.Code
		want  converge.Status
	}{
		{"SITE_INPUT", diag.OtherBackend, converge.Refused},
		{"AGENT", diag.MixedBackends, converge.Done},
	}
	both(t, func(t *testing.T, v ir.Variant) {
		for _, tt := range tests {
			h := newHost(t, v, node4, node6)
			h.read = func(_ int, snap *ir.Snapshot) error {
				snap.Others = &ir.State{Families: ir.Families, Tables: []*ir.Table{{
					Family: ir.IPv4, Name: "filter", Partial: true, Chains: []*ir.Chain{{Name: "INPUT"}, {Name: tt.chain}},
				}}}
				return nil
			}
			out := apply(t, converge.Options{Backend: h, Programs: programs(t, site)})
			must(t, out, tt.want)
			if !out.Plan.Diags.Has(tt.code) {
				t.Errorf("%s stands there: findings %v, want %s", tt.chain, out.Plan.Diags.All(), tt.code)
			}
		}
	})
}

// A mistake of the program's own between two commits leaves no half of an apply
// behind.
func TestApplyTakesBackAfterAMistake(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		before := dump(h.State())
		h.apply = func(n int, s backend.Script, next func(backend.Script) error) error {
			if n == 1 {
				panic("a broken invariant")
			}
			return next(s)
		}
		out, err := converge.Apply(context.Background(), converge.Options{Backend: h, Programs: programs(t, site)})
		if err == nil || !strings.Contains(err.Error(), "a broken invariant") {
			t.Errorf("error %v, want the broken invariant", err)
		}
		must(t, out, converge.TakenBack)
		if d := cmp.Diff(before, dump(h.State())); d != "" {
			t.Errorf("the host after taking back (-before +after):\n%s", d)
		}
	})
}
