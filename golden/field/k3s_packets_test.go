package field

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"hookline/compiler/ir"
	"hookline/internal/converge"
	"hookline/internal/netns"
)

// wired connects the node with another namespace: an interface of the node with an
// address, and addresses of the other end, which sends everything through the node.
func (n *node) wired(name, address string, others ...string) *node {
	n.t.Helper()
	far := &node{t: n.t, ns: netns.ForTest(n.t), variant: n.variant}
	n.run("", "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", far.ns.Path())
	n.run("", "ip", "addr", "add", address, "dev", name)
	n.run("", "ip", "link", "set", name, "up")
	for _, a := range others {
		far.run("", "ip", "addr", "add", a, "dev", "eth0")
	}
	far.run("", "ip", "link", "set", "eth0", "up")
	ip, _, err := net.ParseCIDR(address)
	if err != nil {
		n.t.Fatal(err)
	}
	far.run("", "ip", "route", "add", "default", "via", ip.String(), "dev", "eth0")
	return far
}

// serve accepts connections on a port and says a word.
func (n *node) serve(port int) {
	n.t.Helper()
	var l net.Listener
	err := n.ns.Do(func() (err error) {
		l, err = net.Listen("tcp4", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "here")
			c.Close()
		}
	}()
}

// reaches tells whether a connection from an address to another comes about within
// a time; false is a connection that nobody answers.
func (n *node) reaches(from, to string, within time.Duration) bool {
	n.t.Helper()
	err := n.ns.Do(func() error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: within}
		c, err := d.Dial("tcp4", to)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		word, err := io.ReadAll(c)
		if err == nil && string(word) != "here" {
			err = fmt.Errorf("%s said %q", to, word)
		}
		return err
	})
	var late net.Error
	if err != nil && (!errors.As(err, &late) || !late.Timeout()) {
		n.t.Fatalf("%s to %s: %v", from, to, err)
	}
	return err == nil
}

// A connection that must come about has time on a busy machine; one that must not
// would come about at once.
const (
	patience = 10 * time.Second
	glance   = 700 * time.Millisecond
)

// N-9: what comes in over NetBird gets as far as the ruleset says, with NetBird's
// own accepts behind it and a service translated ahead of it; without the ruleset
// it gets everywhere. Ports are those that the peer asked for.
func TestN9PacketsFromPeers(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
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
			"*nat\n-A PREROUTING -d 10.43.0.10/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.42.0.5:8443\nCOMMIT\n", n.tool(ir.IPv4, "-restore"))
		tests := []struct {
			from, to string
			open     bool
			why      string
		}{
			{"100.64.0.2", "100.64.0.1:22", true, "a port of the node"},
			{"100.64.0.2", "100.64.0.1:2222", false, "another port of the node"},
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
		n.must(n.apply(k3s(t)), converge.Done)
		for _, tt := range tests {
			within := glance
			if tt.open {
				within = patience
			}
			if got := peer.reaches(tt.from, tt.to, within); got != tt.open {
				t.Errorf("%s to %s (%s): %v, want %v", tt.from, tt.to, tt.why, got, tt.open)
			}
		}
		n.must(n.remove(k3s(t)), converge.Done)
		if !peer.reaches("100.64.0.2", "10.42.0.5:9000", patience) {
			t.Error("after removal the peer no longer reaches what it did before")
		}
	})
}
