package differential

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/dsl"
	"hookline/dsl/diag"
)

func machineOf(a netip.Addr) int {
	for i, list := range [][]string{clientAddrs, routerAddrs, serverAddrs} {
		if slices.Contains(list, a.String()) {
			return i
		}
	}
	return router
}

// packet is a random one that begins a flow.
func (d dice) packet(port uint16, number uint32) *packet {
	v6 := 2 * d.IntN(2)
	addr := func(machine int) netip.Addr {
		list := [][]string{clientAddrs, routerAddrs, serverAddrs}[machine]
		return netip.MustParseAddr(list[v6+d.IntN(2)])
	}
	way := [][2]int{{client, router}, {client, server}, {client, server}, {server, client}, {server, router}, {router, client}, {router, server}}[d.IntN(7)]
	p := &packet{
		from: way[0], src: addr(way[0]), dst: addr(way[1]), sport: port, dport: []uint16{22, 53, 80, 443, 8080}[d.IntN(5)],
		ttl: []uint8{64, 64, 64, 5, 2}[d.IntN(5)], dscp: []uint8{0, 0, 8, 46}[d.IntN(4)], size: []int{8, 16, 40, 400}[d.IntN(4)], number: number,
	}
	if way[0] == router && d.one(3) {
		p.mark = []uint32{1, 2, 0x10, 0x80000001}[d.IntN(4)]
	}
	switch d.IntN(9) {
	case 0, 1, 2:
		p.proto, p.flags = protoTCP, []uint8{0x02, 0x02, 0x02, 0x10, 0x12, 0x00, 0x29}[d.IntN(7)]
	case 3, 4, 5:
		p.proto = protoUDP
	case 6, 7:
		p.proto, p.icmp = protoICMP, 8
		if v6 > 0 {
			p.proto, p.icmp = protoICMPv6, 128
		}
	default:
		p.proto = protoGRE
		p.size = 64 // no header that connection tracking would read
	}
	switch {
	case v6 == 0 && p.proto == protoUDP && d.one(12):
		p.fragment = 1
	case v6 == 0 && p.proto == protoGRE && d.one(3):
		// Of protocols with ports iptables-nft and nft read a later fragment as if it had
		// them, and iptables-legacy does not.
		p.fragment = 1 + d.IntN(2)
	}
	return p
}

// findings are all findings as the command prints them.
func findings(l *diag.List) string {
	var b strings.Builder
	if err := diag.WriteText(&b, l, diag.TextOptions{Excerpts: true}); err != nil {
		return err.Error()
	}
	return b.String()
}

// program compiles a ruleset's text for a backend.
func program(text string, v ir.Variant) (*compiler.Program, *diag.List) {
	docs, list := dsl.Parse(diag.NewFile("ruleset.yaml", text))
	if list.HasErrors() || len(docs) != 1 {
		return nil, list
	}
	p, l := compiler.Compile(docs[0], compiler.CompileOptions{Backend: string(v)})
	list.Append(l)
	return p, list
}

var variants = []ir.Variant{ir.IptablesLegacy, ir.IptablesNFT, ir.NFT}

// programs compiles a ruleset for all backends; refused are the findings of the
// first that does not take it.
func programs(text string) (out []*compiler.Program, refused *diag.List) {
	for _, v := range variants {
		p, list := program(text, v)
		if !list.HasErrors() && v == ir.NFT {
			_, l := compiler.NFTables([]*compiler.Program{p})
			list.Append(l)
		}
		if list.HasErrors() {
			return nil, list
		}
		out = append(out, p)
	}
	return out, nil
}

// TestBackendsAgree sends random packets through random rulesets, on a router for
// each kind of backend, and compares what arrives where. HOOKLINE_LONG=1 takes 500
// rulesets with 50 packets in place of 20 with 20; HOOKLINE_SEED chooses others.
func TestBackendsAgree(t *testing.T) { backendsAgree(t, nil) }

// backendsAgree is TestBackendsAgree, with some sets in the rulesets.
func backendsAgree(t *testing.T, sets []string) {
	t.Helper()
	rounds, packets, seed := 20, 20, uint64(1)
	if os.Getenv("HOOKLINE_LONG") == "1" {
		rounds, packets = 500, 50
	}
	if s := os.Getenv("HOOKLINE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	labs := make([]*lab, len(variants))
	for i, v := range variants {
		labs[i] = newLab(t, v)
		labs[i].heard(nil, quiet)
	}
	pin(t)
	port, number := uint16(1031), uint32(0)
	reasons, heard, said := map[string]int{}, 0, map[string]int{}
	for round := range rounds {
		d := dice{Rand: rand.New(rand.NewPCG(seed, uint64(round))), sets: sets}
		text, programs := agreeable(t, d, reasons)
		for i, l := range labs {
			l.tracking(tracks.MatchString(text))
			if err := l.load(programs[i]); err != nil {
				t.Fatalf("round %d: %s does not load:\n%v\n%s", round, l.variant, err, text)
			}
		}
		list := randomPackets(d, packets, &port, &number)
		got := answers(labs, list, quiet)
		if !agree(got) {
			// A kernel that was busy may have been late: ask again, and wait longer.
			time.Sleep(1500 * time.Millisecond)
			for i, l := range labs {
				if err := l.load(programs[i]); err != nil {
					t.Fatal(err)
				}
			}
			got = answers(labs, list, 10*quiet)
		}
		if !agree(got) {
			report(t, labs, programs, round, text, list, got)
		}
		heard += len(got[0])
		for _, words := range []string{"reject", "dnat", "snat", "masquerade", "redirect", "mark:", "state:", "limit:", "goto:", "ct:", "tcpmss", "dscp"} {
			said[words] += strings.Count(text, words)
		}
	}
	t.Logf("%d rulesets, %d packets each, %d packets heard; words used: %v; not compiled: %v", rounds, packets, heard, said, reasons)
	if heard < rounds*packets/4 {
		t.Errorf("only %d packets were heard: the rulesets let too little through", heard)
	}
	if rounds >= 500 && sets == nil {
		for w, n := range said {
			if n < 20 {
				t.Errorf("%s is in %d rules only", w, n)
			}
		}
	}
}

// pin keeps the test on one processor: what a packet sets off runs on the one that
// sends it.
func pin(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if before.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if unix.SchedSetaffinity(0, &before) == nil {
			runtime.UnlockOSThread()
		}
	})
}

// tracks finds the words of a ruleset that have the kernel track connections.
var tracks = regexp.MustCompile(`\bstate|\bct|nat:|conn`)

// agreeable makes rulesets until one compiles for all backends.
func agreeable(t *testing.T, d dice, reasons map[string]int) (string, []*compiler.Program) {
	t.Helper()
	for range 200 {
		text := randomRuleset(d)
		p, refused := programs(text)
		if refused == nil {
			return text, p
		}
		for _, x := range refused.All() {
			if x.Severity != diag.Error {
				continue
			}
			switch x.Code {
			case diag.RuleDialect, diag.ExpandsTwice, diag.RuleConflict, diag.FamilyMismatch, diag.Inverted, diag.DuplicateName, diag.UnknownChain, diag.RuleText, diag.MissingKey, diag.BadTarget:
				reasons[string(x.Code)]++
			default:
				t.Fatalf("a random ruleset is refused:\n%s\n%s", findings(refused), text)
			}
			break
		}
	}
	t.Fatalf("no random ruleset compiles for all backends: %v", reasons)
	return "", nil
}

// answers sends packets in every lab and hears what comes of them.
func answers(labs []*lab, list []*packet, quiet time.Duration) [][]string {
	known := eyes{22: true, 53: true, 80: true, 443: true, 8080: true, 8053: true}
	for _, p := range list {
		known[p.sport] = true
	}
	var out [][]string
	for _, l := range labs {
		l.forget()
		l.heard(known, time.Millisecond)
		l.send(list)
		out = append(out, l.heard(known, quiet))
	}
	return out
}

func agree(got [][]string) bool {
	return slices.Equal(got[0], got[1]) && slices.Equal(got[0], got[2])
}

// report finds the first packet after which the answers differ.
func report(t *testing.T, labs []*lab, programs []*compiler.Program, round int, text string, list []*packet, got [][]string) {
	t.Helper()
	var sent []string
	for n := 1; n <= len(list); n++ {
		time.Sleep(50 * time.Millisecond)
		for i, l := range labs {
			if err := l.load(programs[i]); err != nil {
				t.Fatal(err)
			}
		}
		sent = append(sent, list[n-1].String())
		if got = answers(labs, list[:n], 3*quiet); !agree(got) {
			break
		}
	}
	for i, l := range labs[1:] {
		if diff := cmp.Diff(got[0], got[i+1]); diff != "" {
			t.Errorf("round %d: %s and %s answer differently (-%[2]s +%[3]s):\n%s", round, labs[0].variant, l.variant, diff)
		}
	}
	tables, _ := compiler.NFTables([]*compiler.Program{programs[2]})
	t.Errorf("the packets, up to the first that makes a difference:\n%s\nthe ruleset:\n%s\nas nft:\n%s", strings.Join(sent, "\n"), text, script(tables))
	if t.Failed() && round >= 0 && os.Getenv("HOOKLINE_ALL") != "1" {
		t.Fatal("the first disagreement ends the test; HOOKLINE_ALL=1 goes on")
	}
}

func script(tables []*nftables.Table) string { return nftables.Text(nftables.Script(tables)) }
