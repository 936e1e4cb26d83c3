package xtables

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
)

func TestEqual(t *testing.T) {
	for _, tc := range []struct {
		a, b                 string
		equal, butForComment bool
		onlyRaw              bool
	}{
		{"-j X", "-j X", true, true, false},
		{"-j X", "-g X", false, false, false},
		{"-p icmpv6 -j X", "-p ipv6-icmp -j X", true, true, false},
		{"-p 47 -j X", "-p gre -j X", true, true, false},
		{`-m comment --comment "a" -j X`, `-m comment --comment a -j X`, true, true, false},
		{`-m comment --comment a -j X`, `-m comment --comment b -j X`, false, true, false},
		{`-m comment --comment a -m mark --mark 0x1 -j X`, `-m mark --mark 0x1 -m comment --comment b -j X`, false, true, false},
		{"-m mark --mark 0x1 -m state --state NEW -j X", "-m state --state NEW -m mark --mark 0x1 -j X", true, true, false},
		{`-p tcp -m comment --comment a -m tcp --dport 1 -j X`, `-p tcp -m tcp --dport 1 -m comment --comment a -j X`, true, true, false},
		{`-m comment --comment a -m comment --comment b -j X`, `-m comment --comment b -m comment --comment a -j X`, false, true, false},
		{"-m mark --mark 0x1 -m limit --limit 1/sec -j X", "-m limit --limit 1/sec -m mark --mark 0x1 -j X", false, false, false},
		{"-m mark --mark 0x1 -m set --match-set s src -j X", "-m set --match-set s src -m mark --mark 0x1 -j X", true, true, false},
		{"-m mark --mark 0x1 -m set --match-set s src --packets-gt 5 -j X", "-m set --match-set s src --packets-gt 5 -m mark --mark 0x1 -j X", false, false, false},
		{"-m mark --mark 0x1 -m recent --set --name r -j X", "-m recent --set --name r -m mark --mark 0x1 -j X", false, false, false},
		{"-p tcp -m tcp --sport 1 --dport 2 --tcp-flags SYN SYN -j X", "-p tcp -m tcp --dport 2 -m multiport --sports 1 -m tcp --tcp-flags SYN SYN -j X", true, true, false},
		{"-p tcp -m multiport --dports 80 -j X", "-p tcp -m tcp --dport 80 -j X", true, true, false},
		{"-p udp -m multiport ! --dports 80:90 -j X", "-p udp -m udp ! --dport 80:90 -j X", true, true, false},
		{"-p udp -m multiport --ports 80 -j X", "-p udp -m udp --dport 80 -j X", false, false, false},
		{"-p udplite -m multiport --dports 80 -j X", "-p udp -m multiport --dports 80 -j X", false, false, false},
		{"-p tcp -m multiport --dports 0:65535 -j X", "-p tcp -m tcp -j X", true, true, false},
		{"-p tcp -m tcp -j X", "-p tcp -j X", false, false, false},
		{"-p tcp -m tcp -m multiport --dports 1,2 -j X", "-p tcp -m multiport --dports 1,2 -j X", false, false, false},
		{"-m addrtype --src-type LOCAL ! --dst-type LOCAL -j X", "-m addrtype ! --dst-type LOCAL -m addrtype --src-type LOCAL -j X", true, true, false},
		{"-m addrtype --src-type LOCAL --dst-type LOCAL --limit-iface-in -j X", "-m addrtype --src-type LOCAL -m addrtype --dst-type LOCAL --limit-iface-in -j X", false, false, false},
		{"-m owner --uid-owner 1 --gid-owner 2 -j X", "-m owner --gid-owner 2 -m owner --uid-owner 1 -j X", true, true, false},
		{"-m physdev --physdev-in a --physdev-out b -j X", "-m physdev --physdev-out b -m physdev --physdev-in a -j X", true, true, false},
		{"-m physdev --physdev-in a --physdev-out b --physdev-is-bridged -j X", "-m physdev --physdev-out b -m physdev --physdev-in a -j X", false, false, false},
		{"-m physdev --physdev-in a ! --physdev-is-bridged -j X", "-m physdev ! --physdev-is-bridged -m physdev --physdev-in a -j X", true, true, false},
		{"-m iprange --src-range 10.0.0.1-10.0.0.3 --dst-range 10.0.0.1-10.0.0.3 -j X", "-m iprange --dst-range 10.0.0.1-10.0.0.3 -m iprange --src-range 10.0.0.1-10.0.0.3 -j X", true, true, false},
		{
			"-m length --length 9 -m mark --mark 0x1 -m limit --limit 1/sec -m ttl --ttl-eq 1 -m helper --helper ftp -j X",
			"-m mark --mark 0x1 -m length --length 9 -m limit --limit 1/sec -m helper --helper ftp -m ttl --ttl-eq 1 -j X", true, true, false,
		},
		{"-m future --a 1 -j X", "-m future --a 2 -j X", false, false, true},
		{`-m future --a "1" -j X`, "-m future --a 1 -j X", true, true, false},
		{`-m future "--a 1" -j X`, "-m future --a 1 -j X", false, false, true},
		{"-m future --a 1 -j X", "-m future --a 1 -j Y", false, false, false},
		{"-j FUTURE --x 1", "-j FUTURE --x 2", false, false, true},
		{"-j FUTURE --x 1", "-j OTHER --x 1", false, false, false},
		{"-m string --string \"a b\" --algo bm", "-m string --string \"a b\" --algo kmp", false, false, true},
		{"-p tcp -m tcp ! --dport 0:80", "-p tcp -m tcp --dport 81:65535", true, true, false},
		{"-p udp -m udp ! --sport 0:65534", "-p udp -m udp --sport 65535", true, true, false},
		{"-p udp -m udp ! --sport 0", "-p udp -m udp --sport 1:65535", false, false, false},
		{"-p tcp -m tcp ! --dport 0:65535", "-p tcp -m tcp --dport 0:65535", false, false, false},
		{"-j CT --notrack", "-j NOTRACK", false, false, false},
	} {
		a, b := &ir.Rule{Text: tc.a}, &ir.Rule{Text: tc.b}
		if got := Equal(a, b, ir.IPv4); got != tc.equal {
			t.Errorf("Equal(%q, %q) = %v", tc.a, tc.b, got)
		}
		if got := EqualIgnoringComments(a, b, ir.IPv4); got != tc.butForComment {
			t.Errorf("EqualIgnoringComments(%q, %q) = %v", tc.a, tc.b, got)
		}
		x, y := DecodeRule(a, ir.IPv4), DecodeRule(b, ir.IPv4)
		if got := Key(x, ir.IPv4) == Key(y, ir.IPv4); got != tc.equal {
			t.Errorf("the keys of %q and %q are equal: %v", tc.a, tc.b, got)
		}
		if got := OnlyRawDiffers(x, y, ir.IPv4); got != tc.onlyRaw {
			t.Errorf("OnlyRawDiffers(%q, %q) = %v", tc.a, tc.b, got)
		}
	}
}

func TestDecodeRuleNative(t *testing.T) {
	native := &ir.Rule{Text: "-j ACCEPT", Native: &ir.Native{Handle: 5}}
	plain := &ir.Rule{Text: "-j ACCEPT"}
	if Equal(native, plain, ir.IPv4) || EqualIgnoringComments(native, plain, ir.IPv4) {
		t.Error("a native rule equals the text that iptables reads it as")
	}
	if s := DecodeRule(native, ir.IPv4); s.Target != nil || len(s.Matches) != 1 {
		t.Errorf("a native rule is decoded as %q", Print(s, ir.IPv4))
	}
	if DecodeRule(plain, ir.IPv4) != plain.Spec {
		t.Error("DecodeRule does not keep the spec")
	}
}

func TestScan(t *testing.T) {
	for _, tc := range []struct {
		text     string
		target   string
		isGoto   bool
		comments []string
	}{
		{"", "", false, nil},
		{"-j X", "X", false, nil},
		{"-p tcp -g Y", "Y", true, nil},
		{"-j LOG --log-prefix -j", "LOG", false, nil},
		{`-m comment --comment "-j A" -m comment --comment -j -j B`, "B", false, []string{"-j A", "-j"}},
		{`-m comment --comment "a\"b -j C" -j D`, "D", false, []string{`a"b -j C`}},
		{`-m comment --comment "" -j E`, "E", false, []string{""}},
		{`-m string --string "--comment x -j F" --algo bm -j G`, "G", false, nil},
		{`-j H --comment-like x`, "H", false, nil},
		{`-m comment --comment "--comment x" -s 1.2.3.4/32`, "", false, []string{"--comment x"}},
	} {
		target, isGoto := TargetOf(tc.text)
		if target != tc.target || isGoto != tc.isGoto {
			t.Errorf("TargetOf(%q) = %q, %v, want %q, %v", tc.text, target, isGoto, tc.target, tc.isGoto)
		}
		if d := cmp.Diff(tc.comments, CommentsOf(tc.text)); d != "" {
			t.Errorf("CommentsOf(%q) mismatch (-want +got):\n%s", tc.text, d)
		}
	}
	allocs := testing.AllocsPerRun(100, func() { TargetOf(`-p tcp -m comment --comment "a b" -j KUBE-SVC-X`) })
	if allocs != 0 {
		t.Errorf("TargetOf allocates %v times", allocs)
	}
}

func TestIsExtensionTarget(t *testing.T) {
	for name, want := range map[string]bool{
		"ACCEPT": true, "LOG": true, "REJECT": true, "MASQUERADE": true, "HL": true, "TARPIT": true, "NOTRACK": true,
		"accept": false, "KUBE-SERVICES": false, "log": false, "": false,
	} {
		if got := IsExtensionTarget(name); got != want {
			t.Errorf("IsExtensionTarget(%q) = %v", name, got)
		}
	}
}
