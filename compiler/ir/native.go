package ir

import "slices"

// Native describes a native nft rule in one of iptables' tables.
type Native struct {
	Handle uint64
	// Expr is the first expression that iptables would not write, e.g. "ct state".
	Expr string
	// Comment is the rule's own comment (user data), if any.
	Comment string
	// Text is the rule as nft lists it, without counts and without the comment. A part
	// that could not be decoded is its bare name with "(...)" behind it. Empty if no
	// more than Expr is known.
	Text string
	// Start and End bound, in Text, the statement that Expr stands in.
	Start, End int
}

// NativeAt is a native rule and its position among all rules of its chain, from 0.
type NativeAt struct {
	Index int
	*Native
}

// Add puts a statement at the end of Text; offending tells that Expr stands in it.
func (n *Native) Add(statement string, offending bool) {
	if n.Text != "" {
		n.Text += " "
	}
	start := len(n.Text)
	n.Text += statement
	if offending && n.Start == n.End {
		n.Start, n.End = start, len(n.Text)
	}
}

// String is the rule for people: its text with the statement that iptables cannot
// read in brackets, or what is known of it.
func (n *Native) String() string {
	switch {
	case n.Text == "":
		return n.Expr
	case n.Start < 0 || n.Start >= n.End || n.End > len(n.Text):
		return n.Text
	}
	return n.Text[:n.Start] + "[" + n.Text[n.Start:n.End] + "]" + n.Text[n.End:]
}

// HasNative tells whether a native nft rule stands in the chain, read or not.
func (c *Chain) HasNative() bool {
	return len(c.Natives) > 0 || slices.ContainsFunc(c.Rules, func(r *Rule) bool { return r.Native != nil })
}

// NativeRules lists the native rules that are known to stand in the chain.
func (c *Chain) NativeRules() []NativeAt {
	if c == nil {
		return nil
	}
	out := slices.Clone(c.Natives)
	for i, r := range c.Rules {
		if r.Native != nil {
			out = append(out, NativeAt{i, r.Native})
		}
	}
	return out
}
