package xtables

import (
	"fmt"
	"strings"
	"testing"

	"hookline/compiler/ir"
)

// lookalikes are pairs of rules of which a tool might take the one for the other.
var lookalikes = []struct {
	first, second string
	same          bool // by DeleteKey
}{
	{"-m helper --helper ftp -j ACCEPT", "-m helper --helper sip -j ACCEPT", true},
	{"-m helper --helper ftp -j ACCEPT", "-m helper ! --helper ftp -j ACCEPT", true},
	{`-m helper --helper "" -j ACCEPT`, `-m helper ! --helper "ftp-2121 x" -j ACCEPT`, true},
	{`-m connlabel --label "1" --set -j ACCEPT`, `-m connlabel --label "2" -j ACCEPT`, true},
	{"-m helper --helper ftp -j ACCEPT", "-m helper --helper ftp -j DROP", false},
	{"-m helper --helper ftp -j ACCEPT", "-i eth0 -m helper --helper ftp -j ACCEPT", false},
	{"-m helper --helper ftp -m mark --mark 0x1 -j ACCEPT", "-m mark --mark 0x1 -m helper --helper ftp -j ACCEPT", false},
	{`-m comment --comment "-m helper --helper ftp" -j ACCEPT`, `-m comment --comment "-m helper --helper sip" -j ACCEPT`, false},
	{"-m mark --mark 0x1 -j ACCEPT", "-m mark ! --mark 0x1 -j ACCEPT", false},
	{"-m limit --limit 1/sec -j ACCEPT", "-m limit --limit 2/sec -j ACCEPT", false},
}

func TestDeleteKey(t *testing.T) {
	for _, c := range lookalikes {
		for _, f := range ir.Families {
			if got := DeleteKey(c.first, f) == DeleteKey(c.second, f); got != c.same {
				t.Errorf("DeleteKey of %q and %q: equal is %v", c.first, c.second, got)
			}
		}
		if !RoundTrips(c.first, ir.IPv4) || !RoundTrips(c.second, ir.IPv4) {
			t.Errorf("%q or %q does not round-trip: the pair shows nothing", c.first, c.second)
		}
	}
	for _, text := range []string{"", `-m helper --helper "`, "-m helper ", "-m helper --future x -j A"} {
		_ = DeleteKey(text, ir.IPv4) // hostile text: no panic
	}
}

// TestKernelDeletesAnother: a delete of the second rule takes the first one if and
// only if their keys are equal.
func TestKernelDeletesAnother(t *testing.T) {
	needKernel(t)
	for _, v := range variants {
		for _, c := range lookalikes {
			tool := "iptables-" + v
			script := fmt.Sprintf("%s-restore && printf '*filter\\n-D CH %%s\\nCOMMIT\\n' '%s' | %s-restore --noflush && %s-save -t filter", tool, c.second, tool, tool)
			out, err := inNamespace(t, script, fmt.Sprintf("*filter\n:CH - [0:0]\n-A CH %s\n-A CH %s\nCOMMIT\n", c.first, c.second))
			if err != nil {
				t.Errorf("%s: %v", v, err)
				continue
			}
			left := c.first
			if c.same {
				left = c.second
			}
			if !strings.Contains(out, "-A CH "+left+"\n") || strings.Count(out, "-A CH ") != 1 {
				t.Errorf("%s: after deleting %q stands\n%s", v, c.second, out)
			}
		}
	}
}
