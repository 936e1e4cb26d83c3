package nfttext

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// What nft lists of real rules is compared with these texts in backend/iptables.
func TestStatement(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "wt0"}}`, `oifname "wt0"`},
		{`{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}`, "ct state established,related"},
		{`{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["invalid", "new", 16, "untracked"]}}`, "ct state & 0x59 != 0"},
		{`{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["dancing"]}}`, "ct state dancing"},
		{`{"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, 16711680]}, "right": 262144}}`, "meta mark & 0x00ff0000 == 0x00040000"},
		{`{"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@nb-x"}}`, "ip saddr != @nb-x"},
		{`{"counter": {"packets": 3, "bytes": 7}}`, "counter"},
		{`{"counter": "ours"}`, `counter name "ours"`},
		{`{"jump": {"target": "ts-input"}}`, "jump ts-input"},
		{`{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 64}}`, "meta mark set 0x00000040"},
		{`{"dnat": {"addr": "fd00::1", "port": 80}}`, "dnat to [fd00::1]:80"},
		{`{"vmap": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "data": {"set": [["1.1.1.1", {"jump": {"target": "Y"}}], ["2.2.2.2", {"drop": null}]]}}}`, "ip saddr vmap { 1.1.1.1 : jump Y, 2.2.2.2 : drop }"},
		{`{"xt": {"type": "match", "name": "comment"}}`, "xt match comment"},
		{`{"synproxy": {"mss": 1460}}`, "synproxy(...)"},
		{`{"match": {"op": "==", "left": {"numgen": {"mod": 2}}, "right": 0}}`, "numgen(...) 0"},
		{`{"match": {"op": "==", "left": {}, "right": {}}}`, "expression(...) expression(...)"},
		{`{"match": null}`, "(...)  (...)"},
		{`{}`, "statement(...)"},
		{`{"a": 1, "b": 2}`, "statement(...)"},
	} {
		var s Statement
		if err := json.Unmarshal([]byte(tt.in), &s); err != nil {
			t.Fatal(err)
		}
		if got := s.Text(); got != tt.want {
			t.Errorf("Text(%s) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// A listing may be anything: it is a file that somebody gave us.
func FuzzStatement(f *testing.F) {
	rules, err := os.ReadFile("../iptables/testdata/native-rules.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}`)
	f.Add(`{"vmap": {"key": {"concat": [{"meta": {"key": "mark"}}, 3]}, "data": {"set": [[1, {"drop": null}]]}}}`)
	for line := range strings.Lines(string(rules)) {
		b, err := json.Marshal(map[string]any{"match": map[string]any{"left": line, "right": []any{line, 3}, "op": "<"}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s Statement
		if json.Unmarshal([]byte(text), &s) != nil {
			return
		}
		if s.Text() == "" {
			t.Errorf("Text(%s) is empty", text)
		}
	})
}

// Statements of our own rules; golden/differential reads them from a kernel.
func TestOwnStatements(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "rst"]]}, "right": "syn"}}`, "tcp flags syn / syn,rst"},
		{`{"match": {"op": "!=", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "rst"]]}, "right": ["syn", "rst"]}}`, "tcp flags != syn,rst / syn,rst"},
		{`{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, "syn"]}, "right": "syn"}}`, "tcp flags & syn == syn"},
		// The same as nft 1.1.3 lists it.
		{`{"match": {"op": "!=", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, {"|": ["syn", "rst"]}]}, "right": {"|": ["syn", "rst"]}}}`, "tcp flags != syn,rst / syn,rst"},
		{`{"match": {"op": "==", "left": {"payload": {"protocol": "icmpv6", "field": "code"}}, "right": 6}}`, "icmpv6 code reject-route"},
		{`{"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "code"}}, "right": 7}}`, "icmp code 7"},
		{`{"match": {"op": "!", "left": {"ct": {"key": "state"}}, "right": ["established", "new"]}}`, "ct state ! established,new"},
		{`{"match": {"op": "==", "left": {"tcp option": {"name": "timestamp"}}, "right": false}}`, "tcp option timestamp missing"},
		{`{"match": {"op": "==", "left": {"tcp option": {"base": 99, "offset": 0, "len": 8}}, "right": true}}`, "tcp option 99 exists"},
		{`{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": {"prefix": {"addr": 65536, "len": 16}}}}`, "meta mark 0x00010000/16"},
		{`{"match": {"op": "<", "left": {"numgen": {"mode": "random", "mod": -2147483648, "offset": 0}}, "right": 100}}`, "numgen random mod 2147483648 < 100"},
		{`{"dnat": {"family": "ip6", "addr": {"range": ["fd00::1", "fd00::9"]}, "port": {"range": [80, 90]}}}`, "dnat ip6 to [fd00::1]-[fd00::9]:80-90"},
		{`{"tproxy": {"family": "ip", "port": 50}}`, "tproxy ip to :50"},
	} {
		var s Statement
		if err := json.Unmarshal([]byte(tt.in), &s); err != nil {
			t.Fatal(err)
		}
		if got := s.Text(); got != tt.want {
			t.Errorf("Text(%s) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
