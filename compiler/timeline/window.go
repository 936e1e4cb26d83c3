package timeline

import (
	"math"
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/dsl/diag"
)

// Where the kernel itself has its work at a hook.
const (
	defragment = -400 // fragments are put together
	conntrack  = -200 // the connection is looked up
	dstNAT     = -100 // destination addresses are rewritten: prerouting, output
	srcNAT     = 100  // source addresses are rewritten: input, postrouting
)

// lowest and highest are the priorities that are ever given.
const (
	lowest  = math.MinInt32 + 1
	highest = math.MaxInt32 - 1
)

// window is between which priorities the rules of a table mean what they mean in
// iptables.
type window struct {
	low, high       int
	lowWhy, highWhy string
	// lowAt and highAt are the rules that ask for an end, if it is not the table.
	lowAt, highAt diag.Span
}

const (
	behindConntrack = "connections are known from -199 on"
	aheadConntrack  = "what is kept from connection tracking has to be so before -200"
	aheadDstNAT     = "destination addresses are rewritten at -100"
	aheadSrcNAT     = "source addresses are rewritten at 100"
	firstOfAll      = "no chain of ours has a priority below -2147483647, the end of the numbers"
	lastOfAll       = "no chain of ours has a priority above 2147483646, the end of the numbers"
)

// windowOf is the window of a table of iptables at a hook of nftables.
func windowOf(table, hook string) window {
	w := window{low: conntrack + 1, high: highest, lowWhy: behindConntrack, highWhy: lastOfAll}
	switch {
	case table == "raw":
		return window{low: defragment + 1, high: conntrack - 1, lowWhy: "fragments are put together at -400", highWhy: aheadConntrack}
	case table == "nat":
		w.lowWhy = "the kernel refuses chains of type nat at -200 and below"
		return w
	case hook == "input" || hook == "postrouting":
		w.high, w.highWhy = srcNAT-1, aheadSrcNAT
	case table == "mangle" && (hook == "prerouting" || hook == "output"):
		w.high, w.highWhy = dstNAT-1, aheadDstNAT
	case hook == "prerouting" || hook == "output":
		w.low, w.lowWhy = dstNAT+1, aheadDstNAT
	}
	return w
}

// tracking is what a base chain's rules, and those that they lead to, have to do
// with connection tracking.
type tracking struct {
	// asks for connections, prepares how they are looked up (notrack, a zone).
	asks, prepares bool
	// askAt and prepareAt are the first rules that do.
	askAt, prepareAt diag.Span
}

// trackingOf follows the jumps from a base chain.
func trackingOf(t *ir.OwnTable, base *ir.OwnChain) tracking {
	var out tracking
	for _, c := range reached(t, base) {
		for _, r := range c.Rules {
			asks, prepares := tracks(r)
			if asks && !out.asks {
				out.asks, out.askAt = true, r.Origin
			}
			if prepares && !out.prepares {
				out.prepares, out.prepareAt = true, r.Origin
			}
		}
	}
	return out
}

// reached are a chain and those that its rules lead to.
func reached(t *ir.OwnTable, base *ir.OwnChain) []*ir.OwnChain {
	out := []*ir.OwnChain{base}
	for i := 0; i < len(out); i++ {
		for _, r := range out[i].Rules {
			for _, to := range r.Jumps() {
				if c := t.Chain(to); c != nil && !slices.Contains(out, c) {
					out = append(out, c)
				}
			}
		}
	}
	return out
}

// tracks reads what a rule has to do with connection tracking. A zone is set on a
// packet that has no connection yet; the condition in front of it, that the packet
// is not kept from tracking, is no question for a connection.
func tracks(r ir.OwnRule) (asks, prepares bool) {
	words := r.Words()
	at := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	for i, w := range words {
		if w == "notrack" {
			prepares = true
		}
		if w != "ct" {
			continue
		}
		key := at(i + 1)
		if key == "original" || key == "reply" {
			if at(i+2) == "zone" {
				key = "zone"
			}
		}
		switch {
		case key == "zone" && slices.Contains(words[i:], "set"):
			prepares = true
		case key == "state" && at(i+2) == "!" && at(i+3) == "untracked", key == "state" && at(i+2) == "untracked":
		default:
			asks = true
		}
	}
	return asks, prepares
}

// class is the table of iptables whose place a chain has.
func class(kind string, priority int) string {
	switch {
	case kind == "nat":
		return "nat"
	case priority <= conntrack:
		return "raw"
	case priority < dstNAT:
		return "mangle"
	case priority < 50:
		return "filter"
	}
	return "security"
}

// classes in the order in which ours stand at a hook.
var classes = []string{"raw", "mangle", "filter", "security"}

// window is the window of a wanted chain. A chain of raw that asks for connections
// and prepares nothing stands behind the look-up, where there are some.
func (w *Wanted) window() (window, tracking) {
	win, t := windowOf(w.IPTable, w.Base.Hook), trackingOf(w.Table, w.Chain)
	switch {
	case w.IPTable == "nat":
	case w.IPTable == "raw" && t.asks && !t.prepares:
		win = windowOf("mangle", w.Base.Hook)
		win.lowAt = t.askAt
	case w.IPTable != "raw" && t.prepares:
		win.low, win.lowWhy = lowest, firstOfAll
		win.high, win.highWhy, win.highAt = conntrack-1, aheadConntrack, t.prepareAt
	}
	if t.asks && win.low <= conntrack && w.IPTable != "nat" && (t.prepares || w.IPTable != "raw") {
		win.low, win.lowWhy, win.lowAt = conntrack+1, behindConntrack, t.askAt
	}
	return win, t
}

// usual is where the chains of a table of iptables stand.
func usual(table, chain string) int { return nftables.BaseOf(table, chain).Priority }
