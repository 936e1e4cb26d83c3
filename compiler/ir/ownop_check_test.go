package ir

import (
	"strings"
	"testing"
)

// TestCheckNFT: what could break out of its step is not sent.
func TestCheckNFT(t *testing.T) {
	rule := func(text, comment string) NFTOp {
		return NFTOp{Kind: Inet, Table: "hookline-t", Do: NFTAddRule, Chain: "filter-A", Rule: &OwnRule{Text: text, Comment: comment}}
	}
	base := func(b BaseChain) NFTOp {
		return NFTOp{Kind: Inet, Table: "hookline-t", Do: NFTAddChain, Chain: "filter-A", Base: &b}
	}
	for name, c := range map[string]struct {
		op   NFTOp
		want string // a part of the error, or "" if the step is fine
	}{
		"a rule":                      {rule(`iifname "eth0" tcp dport { 22, 80 } log prefix "a; #{" accept`, "it's; fine #1"), ""},
		"a rule as somebody wrote it": {rule("tcp flags & (syn|ack) == syn @th,16,16 80", ""), ""},
		"another table":               {NFTOp{Kind: Inet, Table: "filter", Do: NFTDeleteTable}, "not ours"},
		"the prefix alone":            {NFTOp{Kind: Inet, Table: "hookline-", Do: NFTDeleteTable}, "not ours"},
		"a table with a space":        {NFTOp{Kind: Inet, Table: "hookline-t; flush ruleset", Do: NFTDeleteTable}, "not ours"},
		"a bridge":                    {NFTOp{Kind: "bridge", Table: "hookline-t", Do: NFTDeleteTable}, "no kind"},
		"a chain with a line end":     {NFTOp{Kind: Inet, Table: "hookline-t", Do: NFTFlushChain, Chain: "a\nflush ruleset"}, "cannot write"},
		"a chain without a name":      {NFTOp{Kind: Inet, Table: "hookline-t", Do: NFTFlushChain}, "cannot write"},
		"a long name":                 {NFTOp{Kind: Inet, Table: "hookline-t", Do: NFTFlushChain, Chain: strings.Repeat("a", 256)}, "cannot write"},
		"a name like an option":       {NFTOp{Kind: Inet, Table: "hookline-t", Do: NFTFlushChain, Chain: "-f"}, "cannot write"},
		"no handle":                   {NFTOp{Kind: Inet, Table: "hookline-t", Do: NFTDeleteRule, Chain: "a"}, "no handle"},
		"no kind of step":             {NFTOp{Kind: Inet, Table: "hookline-t", Do: 99, Chain: "a"}, "not ours to send"},
		"no rule":                     {NFTOp{Kind: Inet, Table: "hookline-t", Do: NFTAddRule, Chain: "a"}, "no rule"},
		"no set":                      {NFTOp{Kind: Inet, Table: "hookline-t", Do: NFTAddSet}, "no set"},
		"two commands":                {rule("accept; flush ruleset", ""), "outside of quotes"},
		"a line end":                  {rule("accept\nflush ruleset", ""), "control"},
		"a comment of the script":     {rule("accept # flush", ""), "outside of quotes"},
		"a variable":                  {rule("iifname $x accept", ""), "outside of quotes"},
		"a variable in quotes":        {rule(`log prefix "$x"`, ""), "variable"},
		"a line that goes on":         {rule(`accept \`, ""), "outside of quotes"},
		"a quote that is open":        {rule(`iifname "a accept`, ""), "open"},
		"a brace that is open":        {rule("tcp dport { 80 accept", ""), "open"},
		"a brace that closes":         {rule("accept } ", ""), "closes"},
		"a place":                     {rule("handle 7 accept", ""), "place"},
		"a text with a digest":        {rule("tcp dport 80 synproxy(0x0123456789abcdef)", ""), "not understood"},
		"an empty rule":               {rule("", ""), "empty"},
		"a quote in a comment":        {rule("accept", `a" drop comment "b`), "comment"},
		"a line end in a comment":     {rule("accept", "a\nflush ruleset"), "control"},
		"a long comment":              {rule("accept", strings.Repeat("a", 129)), "comment"},
		"a base chain":                {base(BaseChain{Type: "filter", Hook: "input", Priority: -5}), ""},
		"a type that is none":         {base(BaseChain{Type: "filter hook", Hook: "input"}), "type"},
		"a hook that is none":         {base(BaseChain{Type: "filter", Hook: "input;"}), "hook"},
		"a policy that is none":       {base(BaseChain{Type: "filter", Hook: "input", Policy: "queue"}), "policy"},
		"a policy of somebody":        {base(BaseChain{Type: "filter", Hook: "input", Policy: "drop"}), ""},
	} {
		err := CheckTransaction(Transaction{NFT: []NFTOp{c.op}})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	mixed := Transaction{NFT: []NFTOp{{Kind: Inet, Table: "hookline-t", Do: NFTAddTable}}, SetsAfter: []SetOp{{Kind: SetDestroy, Name: "x"}}}
	if CheckTransaction(mixed) == nil {
		t.Error("steps of nft beside those of ipset are fine")
	}
}
