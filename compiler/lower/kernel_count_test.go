package lower

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
)

// insideEnv tells the test binary that it runs in the namespace already.
const insideEnv = "HOOKLINE_TEST_INSIDE"

// TestKernelCounts sends real packets through random rules and compares the
// kernel's counter of each rule with the machine's: the machine, on which the
// test of meaning rests, does what the kernel does.
func TestKernelCounts(t *testing.T) {
	if os.Getenv(insideEnv) == "" {
		out, err := inNamespace(t, insideEnv+"=1 exec "+os.Args[0]+" -test.run='^TestKernelCounts$' -test.v")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, line := range strings.Split(out, "\n") {
			if _, msg, ok := strings.Cut(line, "kernel_count_test.go:"); ok {
				_, msg, _ = strings.Cut(msg, ": ")
				t.Log(msg)
			}
		}
		return
	}
	shell := func(script string) {
		t.Helper()
		if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	setup := "ip link set lo up\n"
	for _, a := range append(append([]string{}, v4Pool...), v6Pool...) {
		setup += "ip addr add " + a + " dev lo\n"
	}
	shell(setup + kernelSets)
	shell("ipset add both-4 10.0.0.2; ipset add both-4 10.0.0.3; ipset add only4 10.0.0.4; ipset add both-6 fd00::2; ipset add only6 fd00::4")
	members := map[string]string{"10.0.0.2": "both-4", "10.0.0.3": "both-4", "10.0.0.4": "only4", "fd00::2": "both-6", "fd00::4": "only6"}

	rnd := rand.New(rand.NewPCG(3, 4))
	rules, packets, taken := 0, 0, 0
	for rules < 150 {
		m := newMeaning(rnd)
		if !kernelCanSend(m) {
			continue
		}
		table := map[string]string{"mark": "mangle", "dscp": "mangle"}[m.kind]
		if table == "" {
			table = "filter"
		}
		res, list := Lower(readRule(t, m.String()), testContext(table))
		if list.HasErrors() {
			continue
		}
		for _, f := range ir.Families {
			if len(res.Rules[f]) == 0 {
				continue
			}
			rules++
			variant := []string{"nft", "legacy"}[rules%2]
			want := map[*ir.Spec]int{}
			k := newKernel(t, f, variant, table, res)
			for range 5 {
				p := localPacket(rnd, f, members)
				x := newMachine(res.Rules[f], res.Chains[f], p)
				x.chains, x.still = k.chains, true
				x.run()
				for s, n := range x.hits {
					want[s] += n
				}
				packets, taken = packets+1, taken+x.ran
				send(t, p)
			}
			if diff := cmp.Diff(k.listing(want), k.counters(t)); diff != "" {
				t.Fatalf("%s %s\n%s\nthe kernel counts otherwise (-machine +kernel):\n%s", f, variant, m, diff)
			}
		}
	}
	t.Logf("%d rules, %d packets, %d of them taken: every counter agrees", rules, packets, taken)
	if taken < packets/10 {
		t.Errorf("too few packets are taken")
	}
}

// kernelCanSend tells whether a packet sent from this host to itself has what the
// rule looks at, in a way that the test knows. What chance decides it does not.
func kernelCanSend(m *meaning) bool {
	for _, key := range []string{"ctmark", "state", "mac", "physdev", "helper", "icmp", "statistic"} {
		if strings.Contains(m.String(), key) {
			return false
		}
	}
	if strings.Contains(m.String(), "owner") && !allUsers() {
		return false
	}
	switch m.kind {
	case "accept", "drop", "reject", "return", "jump", "goto", "log", "mark", "dscp", "":
		return true
	}
	return false
}

// localPacket is a datagram from this host to itself, in OUTPUT.
func localPacket(rnd *rand.Rand, f ir.Family, members map[string]string) packet {
	p := newPacket(rnd, f)
	p.proto, p.flags, p.in, p.out, p.uid, p.gid = 17, 0, "", "lo", 0, 0
	p.sport, p.dport = 1+p.sport, 1+p.dport
	local := []string{"LOCAL"}
	if f == ir.IPv6 {
		local = append(local, "UNICAST")
	}
	p.sourceType, p.destType, p.state, p.helper = local, local, "NEW", ""
	p.length = map[ir.Family]uint16{ir.IPv4: 29, ir.IPv6: 49}[f]
	p.limitOK, p.underOK = true, true // no more packets than a burst
	p.inSet = map[string]bool{members[p.source.String()] + " src": true, members[p.dest.String()] + " dst": true}
	return p
}

// send sends one byte. A rule may refuse it, which is no failure.
func send(t *testing.T, p packet) {
	t.Helper()
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.source, p.sport)), Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		set := func(fd uintptr) {
			level, option := syscall.IPPROTO_IP, syscall.IP_TTL
			if p.family == ir.IPv6 {
				level, option = syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS
			}
			if err = syscall.SetsockoptInt(int(fd), level, option, int(p.ttl)); err == nil {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_MARK, int(p.mark))
			}
		}
		if e := c.Control(set); e != nil {
			return e
		}
		return err
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := d.DialContext(ctx, "udp", netip.AddrPortFrom(p.dest, p.dport).String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte{0})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// kernel is one table with the lowered rule in it.
type kernel struct {
	tool, table string
	family      ir.Family
	order       []string
	chains      map[string][]*ir.Spec
}

// newKernel loads the chains of newMachine under OUTPUT, with counters at zero.
func newKernel(t *testing.T, f ir.Family, variant, table string, res Result) *kernel {
	t.Helper()
	k := &kernel{table: table, family: f, tool: map[ir.Family]string{ir.IPv4: "iptables-", ir.IPv6: "ip6tables-"}[f] + variant}
	k.chains = newMachine(res.Rules[f], res.Chains[f], packet{}).chains
	k.order = []string{"CALLER", "OWNER", "OTHER"}
	for _, c := range res.Chains[f] {
		k.order = append(k.order, c.Name)
	}
	text := "*" + table + "\n"
	for _, c := range k.order {
		text += ":" + c + " - [0:0]\n"
	}
	text += "-A OUTPUT -p udp -j CALLER\n"
	for _, c := range k.order {
		for _, s := range k.chains[c] {
			text += "-A " + c + " " + xtables.Print(s, f) + "\n"
		}
	}
	cmd := exec.Command(k.tool + "-restore")
	cmd.Stdin = strings.NewReader(text + "COMMIT\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s\n%s", k.tool, err, out, text)
	}
	return k
}

// listing is what the kernel should print: a rule's chain and text with its count.
func (k *kernel) listing(count map[*ir.Spec]int) []string {
	var out []string
	for _, c := range k.order {
		for _, s := range k.chains[c] {
			out = append(out, strings.TrimRight(fmt.Sprintf("[%d] -A %s %s", count[s], c, xtables.Print(s, k.family)), " "))
		}
	}
	return out
}

// counters reads the table back and empties it.
func (k *kernel) counters(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command(k.tool+"-save", "-c", "-t", k.table).Output()
	if err != nil {
		t.Fatalf("%s-save: %v", filepath.Base(k.tool), err)
	}
	rules := map[string][]string{}
	for _, line := range strings.Split(string(out), "\n") {
		count, rule, ok := strings.Cut(line, " ")
		if !ok || !strings.HasPrefix(rule, "-A ") {
			continue
		}
		chain := strings.Fields(rule)[1]
		n, _, _ := strings.Cut(strings.TrimPrefix(count, "["), ":")
		rules[chain] = append(rules[chain], "["+n+"] "+rule)
	}
	var got []string
	for _, c := range k.order {
		got = append(got, rules[c]...)
	}
	cmd := exec.Command(k.tool + "-restore")
	cmd.Stdin = strings.NewReader("*" + k.table + "\nCOMMIT\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", k.tool, err, out)
	}
	return got
}
