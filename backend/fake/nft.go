package fake

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hookline/backend"
	"hookline/backend/nft"
	"hookline/compiler/ir"
)

// applyNFT runs a script of nft: all of it or nothing.
func (s *session) applyNFT(script backend.Script) error {
	b := s.host
	b.mu.Lock()
	defer b.mu.Unlock()
	next, err := s.predictNFT(script)
	if err != nil {
		return err
	}
	if line, message := loops(next, script); message != "" {
		return refusedNFT(script, line, message)
	}
	b.giveHandles(next)
	b.state = next
	b.generation++
	return nil
}

// predictNFT is what a script leads to, but for what the kernel finds when it commits.
func (s *session) predictNFT(script backend.Script) (*ir.State, error) {
	tx, lines, err := parseNFT(script)
	if err != nil {
		return nil, err
	}
	next, err := s.host.state.Apply(tx)
	var refused *ir.NFTError
	if errors.As(err, &refused) {
		return nil, refusedNFT(script, lines[lineOf(tx, refused)], refused.Message)
	}
	if err != nil {
		return nil, err
	}
	for i := range tx.NFT {
		o := &tx.NFT[i]
		if o.Rule == nil {
			continue
		}
		if set := missingSet(next.OwnTable(o.Kind, o.Table), o.Rule); set != "" {
			return nil, refusedNFT(script, lines[i], "No such file or directory: there is no set "+set)
		}
	}
	return next, nil
}

// lineOf is the step that the kernel names. Of a chain that goes while a rule jumps to
// it, it is the step that deletes it.
func lineOf(tx ir.Transaction, e *ir.NFTError) int {
	if e.Reason != ir.ReasonChainInUse {
		return e.Index
	}
	return max(0, slices.IndexFunc(tx.NFT, func(o ir.NFTOp) bool {
		return o.Do == ir.NFTDeleteChain && o.Kind == e.Op.Kind && o.Table == e.Op.Table && o.Chain == e.Op.Chain
	}))
}

func refusedNFT(script backend.Script, line int, message string) error {
	return &backend.ScriptError{Script: script, Tool: "nft", Number: line, Exit: 1, Message: message}
}

// parseNFT reads a script as backend/nft renders it. lines are the numbers of the
// steps' lines. Steps on sets are taken as they are: their lines are many.
func parseNFT(script backend.Script) (tx ir.Transaction, lines []int, err error) {
	if len(script.Steps) > 0 {
		for i := range script.Steps {
			lines = append(lines, i+1)
		}
		return ir.Transaction{NFT: script.Steps}, lines, nil
	}
	if slices.ContainsFunc(script.Ops, onSets) {
		return parseWithSets(script)
	}
	n := 0
	for line := range strings.Lines(script.Text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			continue
		}
		o, message := parseNFTLine(line)
		if message != "" {
			return tx, nil, refusedNFT(script, n, message)
		}
		tx.NFT, lines = append(tx.NFT, o), append(lines, n)
	}
	return tx, lines, nil
}

func onSets(o ir.NFTOp) bool { return o.Set != nil }

// parseWithSets takes a script's steps on sets as they are, and reads the lines of the
// others.
func parseWithSets(script backend.Script) (tx ir.Transaction, lines []int, err error) {
	text := strings.Split(strings.TrimSuffix(script.Text, "\n"), "\n")
	n := 0
	for i, o := range script.Ops {
		one, err := nft.Render(ir.Transaction{NFT: script.Ops[i : i+1]})
		if err != nil {
			return tx, nil, err
		}
		if len(one) == 0 || n >= len(text) {
			continue
		}
		tx.NFT, lines = append(tx.NFT, o), append(lines, n+1)
		if !onSets(o) {
			read, message := parseNFTLine(text[n])
			if message != "" {
				return tx, nil, refusedNFT(script, n+1, message)
			}
			tx.NFT[len(tx.NFT)-1] = read
		}
		n += len(one[0].Origin)
	}
	return tx, lines, nil
}

// commands are those of nft with the number of names that each takes.
var commands = map[string]struct {
	do    ir.NFTOpKind
	names int
}{
	"add table": {ir.NFTAddTable, 2}, "delete table": {ir.NFTDeleteTable, 2}, "create chain": {ir.NFTAddChain, 3},
	"flush chain": {ir.NFTFlushChain, 3}, "delete chain": {ir.NFTDeleteChain, 3}, "add rule": {ir.NFTAddRule, 3},
	"insert rule": {ir.NFTInsertRule, 3}, "delete rule": {ir.NFTDeleteRule, 3},
}

// parseNFTLine reads one command; the message says why nft refuses it.
func parseNFTLine(line string) (o ir.NFTOp, message string) {
	words := strings.SplitN(line, " ", 6)
	if len(words) < 4 {
		return o, "syntax error, unexpected newline"
	}
	c, ok := commands[words[0]+" "+words[1]]
	if !ok || len(words) < 2+c.names {
		return o, "syntax error, unexpected " + words[0]
	}
	o = ir.NFTOp{Kind: ir.TableKind(words[2]), Table: words[3], Do: c.do}
	rest := strings.TrimPrefix(line, strings.Join(words[:2+c.names], " "))
	rest = strings.TrimPrefix(rest, " ")
	if c.names == 3 {
		o.Chain = words[4]
	}
	var err error
	switch c.do {
	case ir.NFTAddChain:
		o.Base, err = parseBase(rest)
	case ir.NFTDeleteRule:
		_, err = fmt.Sscanf(rest, "handle %d", &o.Handle)
	case ir.NFTInsertRule:
		place := strings.SplitN(rest, " ", 3)
		if len(place) < 3 || place[0] != "handle" {
			return o, "syntax error, expecting handle"
		}
		if o.Handle, err = strconv.ParseUint(place[1], 10, 64); err == nil {
			o.Rule, err = parseNFTRule(place[2])
		}
	case ir.NFTAddRule:
		o.Rule, err = parseNFTRule(rest)
	default:
		if rest != "" {
			return o, "syntax error, unexpected " + rest
		}
	}
	if err != nil {
		return o, err.Error()
	}
	return o, ""
}

// parseBase reads where a chain hooks in.
func parseBase(text string) (*ir.BaseChain, error) {
	if text == "" {
		return nil, nil
	}
	b := &ir.BaseChain{}
	var priority string
	if _, err := fmt.Sscanf(text, "{ type %s hook %s priority %s policy %s }", &b.Type, &b.Hook, &priority, &b.Policy); err != nil {
		return nil, fmt.Errorf("syntax error in %q", text)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(priority, ";"))
	if err != nil {
		return nil, fmt.Errorf("invalid priority %q", priority)
	}
	b.Priority = n
	if b.Policy = strings.TrimSuffix(b.Policy, ";"); b.Policy == "accept" {
		b.Policy = ""
	}
	return b, nil
}

// beginnings are the words that a statement of nft begins with.
var beginnings = strings.Fields(`accept counter ct dccp dnat drop ether fib goto icmp icmpv6 iif iifname ip ip6 jump limit log masquerade
	meta notrack numgen oif oifname quota redirect reject return rt sctp snat synproxy tcp th tproxy udp udplite`)

// parseNFTRule reads a rule. What its statements mean is not looked at, but the word
// that it begins with has to be one of nft's.
func parseNFTRule(text string) (*ir.OwnRule, error) {
	r := &ir.OwnRule{Text: text}
	if head, comment, found := strings.Cut(text, ` comment "`); found && strings.HasSuffix(comment, `"`) && strings.Count(head, `"`)%2 == 0 {
		r.Text, r.Comment = head, strings.TrimSuffix(comment, `"`)
	}
	if first, _, _ := strings.Cut(r.Text, " "); !slices.Contains(beginnings, first) && !strings.HasPrefix(first, "@") {
		return nil, fmt.Errorf("syntax error, unexpected string %q", first)
	}
	return r, nil
}

// missingSet is a set that a rule asks and its table does not have.
func missingSet(t *ir.OwnTable, r *ir.OwnRule) string {
	for i, part := range strings.Split(r.Text, `"`) {
		if i%2 == 1 {
			continue
		}
		for _, word := range strings.Fields(part) {
			// @th,16,16 is a piece of a packet.
			if name, ok := strings.CutPrefix(word, "@"); ok && !strings.Contains(name, ",") && t.Set(name) == nil {
				return name
			}
		}
	}
	return ""
}

// loops looks for jumps in a circle, as the kernel does: from the base chains on. The
// line is the last one that brings a rule into the circle.
func loops(s *ir.State, script backend.Script) (line int, message string) {
	for _, t := range s.Own {
		for _, c := range t.Chains {
			if c.Base == nil || !circle(t, c, nil) {
				continue
			}
			line = 1
			n := 0
			for text := range strings.Lines(script.Text) {
				if n++; strings.Contains(text, " rule "+t.Key()+" ") {
					line = n
				}
			}
			return line, "Too many links"
		}
	}
	return 0, ""
}

func circle(t *ir.OwnTable, c *ir.OwnChain, path []string) bool {
	if slices.Contains(path, c.Name) {
		return true
	}
	path = append(path, c.Name)
	for _, r := range c.Rules {
		for _, to := range r.Jumps() {
			if next := t.Chain(to); next != nil && circle(t, next, path) {
				return true
			}
		}
	}
	return false
}

// giveHandles numbers the rules that have no handle yet. A state is not changed: its
// tables and chains are copied.
func (b *Backend) giveHandles(s *ir.State) {
	for _, t := range s.Own {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				b.handle = max(b.handle, r.Handle)
			}
		}
	}
	for i, t := range s.Own {
		n := *t
		n.Chains = slices.Clone(t.Chains)
		for j, c := range n.Chains {
			if !slices.ContainsFunc(c.Rules, func(r ir.OwnRule) bool { return r.Handle == 0 }) {
				continue
			}
			x := *c
			x.Rules = slices.Clone(c.Rules)
			for k := range x.Rules {
				if x.Rules[k].Handle == 0 {
					b.handle++
					x.Rules[k].Handle = b.handle
				}
			}
			n.Chains[j] = &x
		}
		s.Own[i] = &n
	}
}

// viewNFT is the part of a state that a scope asks the nft backend for: of Own the
// tables that it names, and of the rest the base chains. State.Own of the host holds
// everybody's tables.
func viewNFT(s *ir.State, scope ir.Scope) *ir.State {
	all := scope.All || len(scope.Tables) == 0 && len(scope.Own) == 0 && len(scope.Sets)+len(scope.SetGlobs) == 0 && !scope.AllSets
	part := scope
	part.All = all
	if !all && len(part.Tables) == 0 {
		// Nothing of iptables but names; a scope without tables would ask for all.
		part.Tables = map[ir.TableKey]*ir.TableScope{{Family: ir.IPv4, Name: "filter"}: {}}
	}
	out := view(s, part, ir.NFT)
	for _, t := range s.Own {
		ours := slices.Contains(scope.Own, t.Name) || all && strings.HasPrefix(t.Name, ir.OwnTablePrefix)
		if ours {
			out.Own = append(out.Own, t)
		}
		out.NFTTables = append(out.NFTTables, summary(t, ours))
	}
	for _, t := range s.NFTTables {
		if s.OwnTable(ir.TableKind(t.Family), t.Name) == nil {
			out.NFTTables = append(out.NFTTables, t)
		}
	}
	ir.SortNFTTables(out.NFTTables)
	return out
}

// summary is a table among all others. Of one that was not read, the rules of chains
// at no hook are not counted.
func summary(t *ir.OwnTable, ours bool) ir.NFTTable {
	out := t.Summary()
	if ours {
		return out
	}
	if out.Others > 0 {
		out.Rules = -1
	}
	for i := range out.Chains {
		out.Chains[i].Tags = nil
	}
	return out
}

// names are the tables of nftables as nft(8) names them.
func names(s *ir.State) []string {
	out := []string{}
	for _, t := range s.NFTTables {
		out = append(out, t.Key())
	}
	slices.Sort(out)
	return out
}
