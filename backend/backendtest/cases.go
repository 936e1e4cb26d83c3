package backendtest

import (
	"testing"

	"hookline/compiler/ir"
)

// calico, kubeServices and portmap are jumps as they stand on a node.
const (
	calico       = `-m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING`
	kubeServices = `-m comment --comment "kubernetes service portals" -j KUBE-SERVICES`
	portmap      = `-m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT`
	ours         = `-m comment --comment "hookline:site" -j SITE-PRE`
)

// node is a nat table that several programs share.
const node = `*nat
:PREROUTING ACCEPT [11:660]
:INPUT ACCEPT [1:60]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [7:420]
:CNI-HOSTPORT-DNAT - [0:0]
:KUBE-SERVICES - [0:0]
:cali-PREROUTING - [0:0]
[31:1860] -A PREROUTING ` + calico + `
[21:1260] -A PREROUTING ` + kubeServices + `
[5:300] -A PREROUTING ` + portmap + `
[3:180] -A KUBE-SERVICES -d 10.43.0.1/32 -p tcp -m comment --comment "default/kubernetes:https cluster IP" -m tcp --dport 443 -j ACCEPT
COMMIT
`

func emptyHost(t *testing.T, h Host) {
	b := start(t, h, "", "")
	s := b.everything()
	for _, f := range ir.Families {
		for _, table := range ir.TableNames {
			for _, chain := range ir.BuiltinChains(table) {
				c, err := s.Lookup(ir.ChainKey{Family: f, Table: table, Chain: chain})
				if err != nil || c == nil || c.Policy != "ACCEPT" || len(c.Rules) > 0 || !c.Read {
					t.Errorf("%s %s %s on an empty host: %+v, %v", f, table, chain, c, err)
				}
			}
		}
		if c, err := s.Lookup(ir.ChainKey{Family: f, Table: "filter", Chain: "NONE"}); c != nil || err != nil {
			t.Errorf("a chain that nobody made: %+v, %v", c, err)
		}
	}
	b.apply(tx(block("filter", ensure("SITE-IN"), appendRule("SITE-IN", "-j DROP"), insertRule("INPUT", 1, "-i eth7 -j SITE-IN"))))
	b.wantRules(b.everything(), key("filter", "INPUT"), "-i eth7 -j SITE-IN")
}

func createAndRefill(t *testing.T, h Host) {
	b := start(t, h, node, "")
	b.apply(tx(block("nat",
		ensure("SITE-PRE"),
		appendRule("SITE-PRE", "-d 192.0.2.1/32 -j RETURN"),
		appendRule("SITE-PRE", "-p tcp -m tcp --dport 80 -j ACCEPT"),
		insertRule("PREROUTING", 2, ours))))
	b.wantRules(b.everything(), key("nat", "PREROUTING"), calico, ours, kubeServices, portmap)
	b.apply(tx(block("nat", ensure("SITE-PRE"), appendRule("SITE-PRE", "-p udp -m udp --dport 53 -j ACCEPT"))))
	b.wantRules(b.everything(), key("nat", "SITE-PRE"), "-p udp -m udp --dport 53 -j ACCEPT")
	b.apply(tx(block("nat", ensure("SITE-PRE"))))
	b.wantRules(b.everything(), key("nat", "SITE-PRE"))
}

func anchorAtIndex(t *testing.T, h Host) {
	for at, want := range [][]string{
		{ours, calico, kubeServices, portmap},
		{calico, ours, kubeServices, portmap},
		{calico, kubeServices, ours, portmap},
		{calico, kubeServices, portmap, ours},
	} {
		b := start(t, h, node, "")
		b.apply(tx(block("nat", ensure("SITE-PRE"), insertRule("PREROUTING", at+1, ours))))
		b.wantRules(b.everything(), key("nat", "PREROUTING"), want...)
		if err := b.session.Close(); err != nil { // the next one takes the lock
			t.Fatal(err)
		}
	}
	b := start(t, h, node, "")
	b.wantLine(b.refused(tx(block("nat", ensure("SITE-PRE"), insertRule("PREROUTING", 5, ours)))), "-I PREROUTING 5 "+ours)
}

func deleteFirstCopy(t *testing.T, h Host) {
	b := start(t, h, `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:SITE-IN - [0:0]
[1:100] -A INPUT -j SITE-IN
[2:200] -A INPUT -i lo -j ACCEPT
[3:300] -A INPUT -j SITE-IN
[4:400] -A INPUT -j SITE-IN
COMMIT
`, "")
	b.apply(tx(block("filter", deleteRule("INPUT", "-j SITE-IN"))))
	c, err := b.everything().Lookup(key("filter", "INPUT"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Rules) != 3 || c.Rules[0].Packets != 2 || c.Rules[1].Packets != 3 || c.Rules[2].Packets != 4 {
		t.Errorf("the first copy is not the one that went: %+v", c.Rules)
	}
	b.apply(tx(block("filter", deleteRule("INPUT", "-j SITE-IN"), deleteRule("INPUT", "-j SITE-IN"), insertRule("INPUT", 2, "-j SITE-IN"))))
	b.wantRules(b.everything(), key("filter", "INPUT"), "-i lo -j ACCEPT", "-j SITE-IN")
	b.wantLine(b.refused(tx(block("filter", deleteRule("INPUT", "-j SITE-IN"), deleteRule("INPUT", "-j SITE-IN")))), "-D INPUT -j SITE-IN")
}

func guardHolds(t *testing.T, h Host) {
	b := start(t, h, node, "")
	b.apply(tx(block("nat", require("PREROUTING", calico), require("PREROUTING", kubeServices), ensure("SITE-PRE"), insertRule("PREROUTING", 2, ours))))
}

// guarded inserts our jump behind Calico's, which has to be there still.
var guarded = block("nat", require("PREROUTING", calico), ensure("SITE-PRE"), insertRule("PREROUTING", 2, ours))

func guardFails(t *testing.T, h Host) {
	b := start(t, h, node, "")
	before := b.everything()
	if _, err := before.Apply(tx(guarded)); err != nil {
		t.Fatalf("predicting: %v", err)
	}
	// Between the read and the write Calico's jump is lost.
	lost, err := before.Apply(tx(block("nat", deleteRule("PREROUTING", calico))))
	if err != nil {
		t.Fatal(err)
	}
	b.load(lost)
	e := b.refused(tx(guarded))
	if !e.Guard() {
		t.Errorf("the refused line is not known to be a guard: %v", e)
	}
	b.wantLine(e, "-C PREROUTING "+calico)
}

func guardFailsInSecondTable(t *testing.T, h Host) {
	b := start(t, h, node, "")
	e := b.refused(tx(
		block("mangle", ensure("SITE-MARK"), appendRule("SITE-MARK", "-j RETURN")),
		block("nat", require("PREROUTING", "-j NOBODY-WROTE-THIS"), ensure("SITE-PRE")),
		block("raw", ensure("SITE-RAW"))))
	if !e.Guard() || e.Line().Table != "nat" || e.Line().Block != 1 {
		t.Errorf("the refused line is not known to be the guard of nat: %+v", e.Line())
	}
	s := b.everything()
	for chain, want := range map[ir.ChainKey]bool{
		key("mangle", "SITE-MARK"): true, // committed before
		key("nat", "SITE-PRE"):     false,
		key("raw", "SITE-RAW"):     false,
	} {
		if c, err := s.Lookup(chain); err != nil || (c != nil) != want {
			t.Errorf("%s: %v, %v; want there: %v", chain, c, err, want)
		}
	}
}

// stale is a chain of ours that nobody declares any more, with jumps to it.
const stale = `*filter
:INPUT DROP [4:240]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:SITE-NEW - [0:0]
:SITE-OLD - [0:0]
:SITE-SUB - [0:0]
[9:540] -A INPUT -i lo -j ACCEPT
[8:480] -A INPUT -j SITE-OLD
[7:420] -A FORWARD -j SITE-OLD
[6:360] -A SITE-OLD -j SITE-SUB
[5:300] -A SITE-SUB -j DROP
COMMIT
`

// unhook takes away whatever leads to the stale chains, and their rules.
var unhook = []ir.Op{
	ensure("SITE-NEW"), appendRule("SITE-NEW", "-j ACCEPT"), insertRule("INPUT", 2, "-j SITE-NEW"),
	deleteRule("INPUT", "-j SITE-OLD"), deleteRule("FORWARD", "-j SITE-OLD"), flush("SITE-OLD"), flush("SITE-SUB"),
}

func removeStaleChain(t *testing.T, h Host) {
	b := start(t, h, stale, "")
	b.apply(tx(block("filter", append(unhook[:len(unhook):len(unhook)], drop("SITE-OLD"), drop("SITE-SUB"))...)))
}

func removeStaleChainInTwoBlocks(t *testing.T, h Host) {
	b := start(t, h, stale, "")
	b.apply(tx(block("filter", unhook...), block("filter", drop("SITE-OLD"), drop("SITE-SUB"))))
	if c, err := b.everything().Lookup(key("filter", "SITE-OLD")); c != nil || err != nil {
		t.Errorf("the stale chain: %v, %v", c, err)
	}
}

func dropChainInUse(t *testing.T, h Host) {
	b := start(t, h, stale, "")
	e := b.refused(tx(block("filter", flush("SITE-OLD"), drop("SITE-OLD"))))
	b.wantLine(e, "-X SITE-OLD")
	e = b.refused(tx(block("filter", drop("SITE-SUB"))))
	b.wantLine(e, "-X SITE-SUB")
}
