package field

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"hookline/compiler/ir"
	"hookline/internal/converge"
	"hookline/internal/netns"
)

// harvester is a management firewall whose chain ends in DROP, with one rule more
// in every second version.
func harvester(version int) string {
	var ports strings.Builder
	for i := range 22 + version%2 {
		fmt.Fprintf(&ports, "            - \"-p tcp -m tcp --dport %d -j ACCEPT\"\n", 2000+i)
	}
	return fmt.Sprintf(`apiVersion: hookline/v1
kind: Ruleset
metadata: {name: harvester, version: 1.0.%d}
spec:
  owns: {chains: ["HARVESTER_*"]}
  tables:
    filter:
      chains:
        HARVESTER_INPUT:
          rules:
            - "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
            - "-p tcp -m tcp --dport 22 -j ACCEPT"
%s            - "-j DROP"
      anchors:
        - {hook: INPUT, jump: HARVESTER_INPUT, match: {in: mgmt-br}}
`, version%2, ports.String())
}

// The chain goes from 25 to 26 rules and back while a reader looks and a session
// from the management network is used: the chain is never empty, INPUT is never
// without the jump, and no packet of the session is lost. What is not accepted in
// the chain is dropped, be it by its last rule or by the policy.
func TestH8SwapsUnderASession(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		peer := n.link("mgmt-br")
		n.run("", n.tool(ir.IPv4, ""), "-w", "-P", "INPUT", "DROP")
		n.must(n.apply(harvester(0)), converge.Done)
		jump := `-A INPUT -i mgmt-br -m comment --comment "hookline:harvester" -j HARVESTER_INPUT`
		s := n.session(peer)
		seen := n.watch(ir.IPv4, "filter", func(save string) error {
			if got := lines(save, "HARVESTER_INPUT"); got != 25 && got != 26 || !strings.Contains(save, jump) {
				return fmt.Errorf("%d rules in the chain, want 25 or 26, and the jump in INPUT:\n%s", got, save)
			}
			return nil
		})
		var count tally
		for i := range rounds(200, 10000) {
			start := time.Now()
			out := n.must(n.apply(harvester(i+1)), converge.Done)
			count.add(out, time.Since(start))
			if !out.Wrote {
				t.Fatalf("apply %d had nothing to do", i+1)
			}
		}
		looks := seen()
		echoes, slowest := s.end()
		t.Logf("%s; a reader looked %d times; %d echoes over the session, the slowest took %v", &count, looks, echoes, slowest.Round(time.Millisecond))
		if lost := retransmitted(t, n.ns) + retransmitted(t, peer); lost > 0 {
			t.Errorf("%d segments of the session had to be sent again: packets were dropped", lost)
		}
	})
}

// link makes an interface of the node, 192.0.2.1/24, whose other end is in another
// namespace, 192.0.2.2/24.
func (n *node) link(name string) *netns.NS {
	n.t.Helper()
	peer := netns.ForTest(n.t)
	n.run("", "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", peer.Path())
	n.run("", "ip", "addr", "add", "192.0.2.1/24", "dev", name)
	n.run("", "ip", "link", "set", name, "up")
	other := &node{t: n.t, ns: peer}
	other.run("", "ip", "addr", "add", "192.0.2.2/24", "dev", "eth0")
	other.run("", "ip", "link", "set", "eth0", "up")
	return peer
}

// echo is a TCP session with the node over which bytes go to and fro.
type echo struct {
	t       *testing.T
	conn    net.Conn
	stop    chan struct{}
	wg      sync.WaitGroup
	count   int
	slowest time.Duration
}

// session opens a session from the other end to port 22 of the node.
func (n *node) session(peer *netns.NS) *echo {
	n.t.Helper()
	e := &echo{t: n.t, stop: make(chan struct{})}
	var listener net.Listener
	err := n.ns.Do(func() (err error) {
		listener, err = net.Listen("tcp4", "192.0.2.1:22")
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { listener.Close() })
	e.wg.Go(func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.Copy(c, c)
	})
	err = peer.Do(func() (err error) {
		e.conn, err = net.DialTimeout("tcp4", "192.0.2.1:22", 10*time.Second)
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	e.wg.Go(e.run)
	return e
}

func (e *echo) run() {
	defer e.conn.Close()
	buf := make([]byte, 1)
	for {
		select {
		case <-e.stop:
			return
		default:
		}
		start := time.Now()
		if err := e.conn.SetDeadline(start.Add(30 * time.Second)); err != nil {
			e.t.Errorf("the session: %v", err)
			return
		}
		if _, err := e.conn.Write([]byte{1}); err != nil {
			e.t.Errorf("the session ended after %d echoes: %v", e.count, err)
			return
		}
		if _, err := io.ReadFull(e.conn, buf); err != nil {
			e.t.Errorf("the session ended after %d echoes: %v", e.count, err)
			return
		}
		e.slowest = max(e.slowest, time.Since(start))
		e.count++
		// A hundred packets in a millisecond show no more than a few do.
		time.Sleep(time.Millisecond)
	}
}

// end closes the session and tells how it went.
func (e *echo) end() (count int, slowest time.Duration) {
	close(e.stop)
	e.wg.Wait()
	return e.count, e.slowest
}

// retransmitted is how many TCP segments a namespace had to send again.
func retransmitted(t *testing.T, ns *netns.NS) int {
	t.Helper()
	var text []byte
	err := ns.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if words[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		for i, name := range names {
			if name == "RetransSegs" {
				n := 0
				if _, err := fmt.Sscan(words[i], &n); err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
	}
	t.Fatalf("no RetransSegs in %s", text)
	return 0
}
