package iptables

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
)

func TestRefusal(t *testing.T) {
	const script = "*filter\n:X - [0:0]\n-A X -m comment --comment \"x -j NOPE\" -j ACCEPT\n-A X -j NOPE\n-A INPUT -g NOPE\nCOMMIT\n"
	for _, c := range []struct {
		name, stderr string
		exit         int
		number       int
		message      string
	}{
		{"executing, legacy", "iptables-restore: line 2 failed\n", 1, 2, "line 2 failed"},
		{
			"executing, nft", "iptables-nft-restore: line 3 failed: Bad rule (does a matching rule exist in that chain?).\n", 1, 3,
			"line 3 failed: Bad rule (does a matching rule exist in that chain?).",
		},
		{
			"parsing", "iptables-restore v1.8.9 (legacy): invalid port/service `foo' specified\nError occurred at line: 4\n" +
				"Try `iptables-restore -h' or 'iptables-restore --help' for more information.\n", 2, 4, "invalid port/service `foo' specified",
		},
		{
			"parsing, blank line", "iptables-nft-restore v1.8.9 (nf_tables): Set nosuch doesn't exist.\n\nError occurred at line: 3\n" +
				"Try `iptables-nft-restore -h' or 'iptables-nft-restore --help' for more information.\n", 2, 3, "Set nosuch doesn't exist.",
		},
		{"no commit", "iptables-restore: COMMIT expected at line 7\n", 1, 7, "COMMIT expected at line 7"},
		{
			"kernel, nft", "iptables-nft-restore v1.8.9 (nf_tables): \nline 4: CHAIN_DEL failed (Device or resource busy): chain X\n", 4, 4,
			"line 4: CHAIN_DEL failed (Device or resource busy): chain X",
		},
		{
			"table", "iptables-nft-restore v1.8.9 (nf_tables): iptables-nft-restore: line 1 table name 'nosuch' invalid\nError occurred at line: 1\n", 2, 1,
			"iptables-nft-restore: line 1 table name 'nosuch' invalid",
		},
		{
			"missing target is said at the COMMIT line", "iptables-nft-restore v1.8.9 (nf_tables): Chain 'NOPE' does not exist\nError occurred at line: 6\n", 2, 4,
			"Chain 'NOPE' does not exist",
		},
		{
			"missing target in another block", "iptables-nft-restore v1.8.9 (nf_tables): Chain 'OTHER' does not exist\nError occurred at line: 6\n", 2, 6,
			"Chain 'OTHER' does not exist",
		},
		{"nothing said", "", 139, 0, "the tool gave no reason"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := backend.Script{Text: script}
			got := refusal(s, []string{"xtables-nft-multi", "iptables-restore"}, backend.Result{Stderr: c.stderr, Exit: c.exit})
			want := &backend.ScriptError{Script: s, Tool: "iptables-restore", Number: c.number, Message: c.message, Exit: c.exit}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("refusal mismatch (-want +got):\n%s", d)
			}
		})
	}
}
