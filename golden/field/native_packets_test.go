package field

import (
	"testing"

	"hookline/compiler/ir"
	"hookline/golden/injector"
	"hookline/internal/converge"
)

// N-7: what comes in over NetBird gets as far as the ruleset says, with NetBird at
// work beside it, which puts its accepts into tables of others: at prerouting it puts
// none. In chains at input and forward its accepts would stand ahead of our drops;
// that is shown too, for it is why the ruleset stands where it does.
func TestN7PacketsMeetNoInjectedAccept(t *testing.T) {
	n := newNode(t, ir.NFT)
	peer := n.wired("wt0", "100.64.0.1/24", "100.64.0.2/24", "192.0.2.9/32")
	pod := n.wired("cni0", "10.42.0.1/24", "10.42.0.5/24")
	n.run("", "ip", "route", "add", "192.0.2.9/32", "dev", "wt0")
	n.run("", "sysctl", "-qw", "net.ipv4.ip_forward=1")
	for _, port := range []int{22, 2222} {
		n.serve(port)
	}
	for _, port := range []int{80, 8443, 9000} {
		pod.serve(port)
	}
	n.run("*filter\n:FORWARD DROP [0:0]\n-A INPUT -i wt0 -j ACCEPT\n-A FORWARD -o wt0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"+
		"-A FORWARD -i wt0 -j ACCEPT\nCOMMIT\n"+
		"*nat\n-A PREROUTING -d 10.43.0.10/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.42.0.5:8443\n"+
		"-A PREROUTING -d 100.64.0.1/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.42.0.5:8443\nCOMMIT\n", "iptables-nft-restore")
	tests := []struct {
		from, to string
		open     bool
		why      string
	}{
		{"100.64.0.2", "100.64.0.1:22", true, "a port of the node"},
		{"100.64.0.2", "100.64.0.1:2222", false, "another port of the node"},
		{"100.64.0.2", "100.64.0.1:443", true, "a host port, which is a pod's"},
		{"192.0.2.9", "100.64.0.1:22", false, "no peer"},
		{"100.64.0.2", "10.42.0.5:80", true, "a pod's port"},
		{"100.64.0.2", "10.42.0.5:9000", false, "another of its ports"},
		{"100.64.0.2", "10.43.0.10:443", true, "a service's port, which is 8443 on the pod"},
		{"100.64.0.2", "10.42.0.5:8443", false, "the pod's port behind the service, asked for directly"},
		{"192.0.2.9", "10.42.0.5:80", false, "no peer"},
	}
	for _, tt := range tests {
		if !peer.reaches(tt.from, tt.to, patience) {
			t.Fatalf("%s to %s without the ruleset: nobody answers, the test shows nothing", tt.from, tt.to)
		}
	}
	ruleset := shipped(t, "k3s-netbird-native")
	n.must(n.native(ruleset), converge.Done)
	bird, err := injector.Start(n.ns)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bird.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		within := glance
		if tt.open {
			within = patience
		}
		if got := peer.reaches(tt.from, tt.to, within); got != tt.open {
			t.Errorf("%s to %s (%s): %v, want %v", tt.from, tt.to, tt.why, got, tt.open)
		}
	}
	n.must(n.applyNative(true, ruleset), converge.Done)
	if !peer.reaches("100.64.0.2", "10.42.0.5:9000", patience) {
		t.Error("after removal the peer no longer reaches what it did before")
	}
	// The same drop in a chain at input, with NetBird's accept on top of it.
	n.must(n.native(peersWith("tolerate")), converge.Done)
	if peer.reaches("100.64.0.2", "100.64.0.1:2222", glance) {
		t.Fatal("the drop at input drops nothing")
	}
	if bird, err = injector.Start(n.ns); err == nil {
		_, err = bird.Stop()
	}
	if err != nil {
		t.Fatal(err)
	}
	if !peer.reaches("100.64.0.2", "100.64.0.1:2222", patience) {
		t.Error("NetBird's accept does not open the chain at input: the ruleset need not stand at prerouting")
	}
	if out := n.must(n.native(peersWith("remove")), converge.Done); !out.Wrote {
		t.Error("nothing was removed")
	}
	if peer.reaches("100.64.0.2", "100.64.0.1:2222", glance) {
		t.Error("NetBird's accept is removed, and the packet passes still")
	}
}
