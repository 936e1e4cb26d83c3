package xtables

import (
	"fmt"
	"strings"
	"testing"

	"hookline/compiler/ir"
)

func BenchmarkDecode(b *testing.B) {
	for _, text := range []string{
		"-j KUBE-FIREWALL",
		`-m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING`,
		`-d 10.43.0.10/32 -p udp -m comment --comment "kube-system/kube-dns:dns cluster IP" -m udp --dport 53 -j KUBE-SVC-TCOU7JCQXEZGVUNU`,
		"-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
		`-s 10.42.0.5/32 -m comment --comment "kube-system/kube-dns:dns" -j KUBE-MARK-MASQ`,
	} {
		b.Run(strings.Fields(text)[0]+fmt.Sprint(len(text)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Decode(text, ir.IPv4)
			}
		})
	}
}

func BenchmarkTargetOf(b *testing.B) {
	text := `-d 10.43.0.10/32 -p udp -m comment --comment "kube-system/kube-dns:dns cluster IP" -m udp --dport 53 -j KUBE-SVC-TCOU7JCQXEZGVUNU`
	b.ReportAllocs()
	for b.Loop() {
		TargetOf(text)
	}
}
