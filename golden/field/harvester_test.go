package field

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
	"hookline/internal/netns"
)

// H-6: what -S prints besides rules, and what stands in quotes, counts for nothing
// when a place is computed.
func TestH6NothingButRulesIsCounted(t *testing.T) {
	chains := ":A-1 - [0:0]\n:A-2 - [0:0]\n:A-3 - [0:0]\n"
	quoted := []string{
		`-m comment --comment "dnat name: \"cbr0\" id: \"-A PREROUTING -j KUBE-SERVICES\"" -j A-1`,
		`-m comment --comment "-P PREROUTING ACCEPT" -j A-2`,
		`-m comment --comment "cali: -j cali-PREROUTING" -m comment --comment "-N KUBE-SERVICES" -j A-3`,
	}
	both(t, func(t *testing.T, n *node) {
		jumps := slices.Concat(quoted[:1], []string{caliJump}, quoted[1:], []string{kubeJump, hostJump})
		text := strings.Replace(natText(jumps...), "*nat\n", "*nat\n:PREROUTING DROP [0:0]\n"+chains, 1)
		n.load(text, text)
		n.must(n.apply(sitePre(", before: [KUBE-SERVICES], after: [cali-PREROUTING]")), converge.Done)
		for _, f := range ir.Families {
			got := n.chain(f, "nat", "PREROUTING")
			if d := cmp.Diff(slices.Insert(slices.Clone(jumps), 2, preJump), got); d != "" {
				t.Errorf("%s PREROUTING (-want +got):\n%s", f, d)
			}
			if s := n.run("", n.tool(f, ""), "-w", "-t", "nat", "-S", "PREROUTING"); !strings.HasPrefix(s, "-P PREROUTING DROP") {
				t.Errorf("%s: the policy is another: %s", f, s)
			}
		}
		sentLines(n.sent, func(_, line string) {
			if strings.HasPrefix(line, "-I PREROUTING ") && !strings.HasPrefix(line, "-I PREROUTING 3 ") {
				t.Errorf("sent %q, want position 3", line)
			}
		})
	})
}

// H-7: to want Kube-OVN's jump, or one of ours, ahead of Calico's is refused before
// any host is looked at.
func TestH7AheadOfCalicoIsRefused(t *testing.T) {
	adopt := func(rest string) string {
		return `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  tables:
    nat:
      adopt:
        - {hook: PREROUTING, jump: OVN-PREROUTING, before: [cali-PREROUTING]` + rest + `}
`
	}
	n := newNode(t, ir.IptablesNFT)
	for name, text := range map[string]func(string) string{
		"adopted": adopt,
		"ours":    func(rest string) string { return sitePre(", before: [{chain: cali-PREROUTING}, calico]" + rest) },
	} {
		t.Run(name, func(t *testing.T) {
			res := n.hookline(text(""), "validate")
			if res.Exit != 1 || !strings.Contains(res.Stderr, string(diag.UnstablePlacement)) || !strings.Contains(res.Stderr, "ChainInsertMode") {
				t.Errorf("exit %d, want 1 and %s naming ChainInsertMode:\n%s", res.Exit, diag.UnstablePlacement, res.Stderr)
			}
			res = n.hookline(text(", force: true"), "validate")
			if res.Exit != 0 || !strings.Contains(res.Stderr, "warning") {
				t.Errorf("forced: exit %d, want 0 and a warning:\n%s", res.Exit, res.Stderr)
			}
		})
	}
}

// H-10: somebody empties nat. Nothing of that is ours, so that nothing is to be
// written; but the node is not as declared, and what is missing is named.
func TestH10DriftNamesWhatIsMissing(t *testing.T) {
	lost := []string{
		"no jump to OVN-PREROUTING stands in ipv4 nat PREROUTING", "no jump to KUBE-SERVICES stands in ipv4 nat PREROUTING",
		"no jump to CNI-HOSTPORT-DNAT stands in ipv4 nat PREROUTING", "no jump to cali-PREROUTING stands in ipv4 nat PREROUTING",
	}
	both(t, func(t *testing.T, n *node) {
		n.recorded("harvester-healthy")
		ruleset := shipped(t, "harvester")
		if res := n.hookline(ruleset, "apply"); res.Exit != 0 {
			t.Fatalf("apply: exit %d: %s%s", res.Exit, res.Stdout, res.Stderr)
		}
		if res := n.hookline(ruleset, "verify"); res.Exit != 0 {
			t.Fatalf("verify of a healthy node: exit %d: %s%s", res.Exit, res.Stdout, res.Stderr)
		}
		before := n.chain(ir.IPv4, "nat", "PREROUTING")
		for _, what := range [][]string{{"-F"}, {"-X"}} {
			// -X takes the chains too: then only the record tells about host ports.
			n.run("", append([]string{n.tool(ir.IPv4, ""), "-w", "-t", "nat"}, what...)...)
			n.unchanged(func() {
				res := n.hookline(ruleset, "verify")
				if res.Exit != 2 {
					t.Errorf("verify after %s: exit %d, want 2:\n%s%s", what, res.Exit, res.Stdout, res.Stderr)
				}
				for _, want := range lost {
					if !strings.Contains(res.Stderr, want) {
						t.Errorf("verify after %s does not say %q:\n%s", what, want, res.Stderr)
					}
				}
				if res := n.hookline(ruleset, "plan", "--detailed-exitcode"); res.Exit != 0 {
					t.Errorf("plan: exit %d, want 0: nothing is to be written\n%s", res.Exit, res.Stdout)
				}
				if res := n.hookline(ruleset, "apply"); res.Exit != 0 {
					t.Errorf("apply: exit %d, want 0: %s", res.Exit, res.Stderr)
				}
			})
			if got := n.chain(ir.IPv4, "nat", "PREROUTING"); len(got) > 0 {
				t.Errorf("foreign rules were made: %q", got)
			}
		}
		// Each comes back when it looks, pods with host ports last; in the end all is well.
		for _, name := range []string{"calico", "kube-proxy", "kube-ovn", "calico", "portmap"} {
			if res := n.hookline(ruleset, "verify"); res.Exit != 2 {
				t.Errorf("before %s has looked: exit %d, want 2:\n%s", name, res.Exit, res.Stderr)
			}
			comeback[name](n)
		}
		if res := n.hookline(ruleset, "verify"); res.Exit != 0 {
			t.Errorf("in the end: exit %d, want 0:\n%s%s", res.Exit, res.Stdout, res.Stderr)
		}
		if d := cmp.Diff(before, n.chain(ir.IPv4, "nat", "PREROUTING")); d != "" {
			t.Errorf("PREROUTING (-before +after):\n%s", d)
		}
	})
}

// H-11: kube-vip puts its rules for an address at the top of INPUT. The next plan
// shows the chain as it is then, and what of the constraints still holds.
func TestH11KubeVIPAtTheTop(t *testing.T) {
	vip := func(rest string) string {
		return `-d 192.0.2.100/32 ` + strings.Replace(rest, "-j", `-m comment --comment "kube-system/lb kube-vip load balancer IP" -j`, 1)
	}
	accept, drop := vip("-p tcp -m tcp --dport 443 -j ACCEPT"), vip("-j DROP")
	first := siteInput(", after: [calico]") + `  constraints:
    - name: ours-first
      that: planned.chain("ipv4", "filter", "INPUT").position("SITE_INPUT") < 2
      message: somebody went ahead of us
`
	both(t, func(t *testing.T, n *node) {
		n.recorded("harvester-healthy")
		ruleset := shipped(t, "harvester")
		for _, text := range []string{ruleset, first} {
			if res := n.hookline(text, "apply"); res.Exit != 0 {
				t.Fatalf("apply: exit %d: %s%s", res.Exit, res.Stdout, res.Stderr)
			}
		}
		for _, line := range []string{"1 " + accept, "2 " + drop} {
			n.feed(ir.IPv4, "filter", "-I INPUT "+line)
		}
		want := n.chain(ir.IPv4, "filter", "INPUT")
		n.unchanged(func() {
			res := n.hookline(ruleset, "plan", "-v")
			at := strings.Index(res.Stdout, "\nipv4 filter INPUT ")
			if at < 0 {
				t.Fatalf("the plan does not show INPUT:\n%s", res.Stdout)
			}
			for i, rule := range want {
				// Each line of the plan, in order, with its number.
				x := strings.Index(res.Stdout[at:], fmt.Sprintf("%3d  ", i+1))
				line, _, _ := strings.Cut(res.Stdout[at+max(x, 0):], "\n")
				if x < 0 || !strings.HasSuffix(line, rule) {
					t.Fatalf("the plan does not show rule %d, %s:\n%s", i+1, rule, res.Stdout)
				}
				at += x
			}
			if res.Exit != 0 || !strings.Contains(res.Stdout, "  kubernetes-comes-first  holds\n") {
				t.Errorf("exit %d; the plan does not say that the constraint holds:\n%s", res.Exit, res.Stdout)
			}
			res = n.hookline(first, "verify")
			if res.Exit != 3 || !strings.Contains(res.Stdout, "ours-first  does not hold") || !strings.Contains(res.Stdout, "position(\"SITE_INPUT\") = 3") {
				t.Errorf("exit %d, want 3 and the constraint with the place that makes it false:\n%s%s", res.Exit, res.Stdout, res.Stderr)
			}
		})
		// Had our jump been ahead of kube-vip's, it would be moved behind.
		n.feed(ir.IPv4, "filter", "-D INPUT "+harvesterRef, "-I INPUT 1 "+harvesterRef)
		n.must(n.apply(ruleset), converge.Done)
		if got := n.chain(ir.IPv4, "filter", "INPUT"); slices.Index(got, harvesterRef) < slices.Index(got, drop) {
			t.Errorf("our jump stands ahead of kube-vip's drop: %q", got)
		}
	})
}

// H-13 with packets: while other programs push themselves ahead and the jump is
// moved back, again and again, not one packet comes through that the chain drops.
func TestH13MovedUnderPackets(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		peer := n.link("mgmt-br")
		got := n.receive()
		stop := send(t, peer)
		wait := func(what string, more int64) {
			t.Helper()
			for end := time.Now().Add(10 * time.Second); got.Load() < more; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%s: %d packets came through, want %d", what, got.Load(), more)
				}
			}
		}
		wait("before the chain stands", 10)
		ruleset := siteInput(", after: [calico], before: [kubelet]")
		n.must(n.apply(ruleset), converge.Done)
		time.Sleep(100 * time.Millisecond) // what was on its way has come
		before := got.Load()
		moved := 0
		for range rounds(20, 500) {
			for _, f := range ir.Families {
				n.declare(f, "filter", "cali-INPUT", "KUBE-FIREWALL")
				n.feed(f, "filter", "-I INPUT "+firewall)
				n.feed(f, "filter", "-I INPUT "+caliInput)
			}
			if out := n.must(n.apply(ruleset), converge.Done); out.Wrote {
				moved++
			}
			for _, f := range ir.Families {
				n.feed(f, "filter", "-D INPUT "+firewall, "-D INPUT "+caliInput)
			}
		}
		sent := stop()
		if came := got.Load() - before; came > 0 {
			t.Errorf("%d packets came through the chain that drops them", came)
		}
		if moved == 0 {
			t.Error("the jump never had to be moved")
		}
		t.Logf("moved %d times under %d packets", moved, sent)
	})
}

// receive counts the packets that come to UDP port 9999 of the node.
func (n *node) receive() *atomic.Int64 {
	n.t.Helper()
	var conn net.PacketConn
	if err := n.ns.Do(func() (err error) {
		conn, err = net.ListenPacket("udp4", "192.0.2.1:9999")
		return err
	}); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	got := &atomic.Int64{}
	go func() {
		for buf := make([]byte, 16); ; {
			if _, _, err := conn.ReadFrom(buf); err != nil {
				return
			}
			got.Add(1)
		}
	}()
	return got
}

// send sends packets to that port, each from a port of its own, so that none
// belongs to a connection that is known, until the returned function is called,
// which tells how many.
func send(t *testing.T, peer *netns.NS) (stop func() int64) {
	t.Helper()
	end, done := make(chan struct{}), make(chan struct{})
	var count atomic.Int64
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			// Without a pause it would take a processor for itself, and the test longer.
			case <-time.After(100 * time.Microsecond):
			}
			_ = peer.Do(func() error {
				c, err := net.Dial("udp4", "192.0.2.1:9999")
				if err != nil {
					return err
				}
				defer c.Close()
				if _, err := c.Write([]byte("x")); err == nil {
					count.Add(1)
				}
				return nil
			})
		}
	}()
	stop = func() int64 {
		select {
		case <-end:
		default:
			close(end)
		}
		<-done
		return count.Load()
	}
	t.Cleanup(func() { stop() })
	return stop
}

// T-15: applied at boot, and by a timer while the programs start, in whatever
// order they do: no apply is refused, the chain is never gone, and in the end the
// order is the one that the ruleset asks for.
func TestT15BootThenProgramsUnderATimer(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		for _, order := range orders("calico", "kube-proxy", "kubelet", "kube-ovn") {
			t.Run(strings.Join(order, ","), func(t *testing.T) {
				n := newNode(t, n.variant)
				ruleset := shipped(t, "harvester")
				out := n.must(n.apply(ruleset), converge.Done)
				if !out.Plan.Diags.Has(diag.MissingReference) || out.Plan.Lost() {
					t.Errorf("at boot: findings, want %s and nothing lost:\n%s", diag.MissingReference, findings(out.Plan.Diags))
				}
				rules := len(n.chain(ir.IPv4, "filter", "HARVESTER_INPUT"))
				seen := n.watch(ir.IPv4, "filter", func(save string) error {
					if !strings.Contains(save, "-A INPUT "+harvesterRef) || lines(save, "HARVESTER_INPUT") != rules {
						return fmt.Errorf("INPUT has no jump of ours, or the chain not its %d rules:\n%s", rules, save)
					}
					return nil
				})
				for _, name := range slices.Concat(order, []string{"portmap", "calico"}) {
					comeback[name](n)
					n.must(n.apply(ruleset), converge.Done)
				}
				seen()
				if d := cmp.Diff([]string{caliJump, ovnJump, kubeJump, hostJump}, n.chain(ir.IPv4, "nat", "PREROUTING")); d != "" {
					t.Errorf("PREROUTING (-want +got):\n%s", d)
				}
				if got := n.chain(ir.IPv4, "filter", "INPUT"); len(got) != 4 || got[0] != caliInput || got[3] != harvesterRef {
					t.Errorf("INPUT is %q, want Calico first and ours last", got)
				}
				n.unchanged(func() {
					if out := n.must(n.apply(ruleset), converge.Done); out.Wrote || out.Plan.Lost() {
						t.Errorf("the last apply wrote (%v) or misses something:\n%s", out.Wrote, findings(out.Plan.Diags))
					}
				})
			})
		}
	})
}
