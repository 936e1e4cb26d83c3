package iptables

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"hookline/backend"
	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
)

// chainText is one chain whose rules' text is wanted.
type chainText struct {
	reader *tableReader
	chain  *ir.Chain
	rules  []kernelRule
}

// readText has the tool print the rules of the wanted chains of one family. Only
// the tool knows how it spells a rule; how many rules there are, and which of
// them it can spell, the kernel has said.
func (s *session) readText(ctx context.Context, f ir.Family, readers []*tableReader) error {
	var together, alone []chainText
	for _, r := range readers {
		if r.scope.All {
			done, err := s.saveTable(r)
			if err != nil {
				return err
			}
			if done {
				continue
			}
		}
		for _, c := range r.text {
			t := chainText{r, c, r.rules[c.Name]}
			switch {
			case t.allNative():
				t.assign(make([]string, len(t.rules)))
			case plainName(c.Name) && !t.anyNative():
				together = append(together, t)
			default:
				alone = append(alone, t)
			}
		}
	}
	if len(together) < 3 {
		alone = append(alone, together...)
	} else if !s.printTogether(ctx, f, together) {
		if s.disturbed() {
			return nfnetlink.ErrInterrupted
		}
		alone = append(alone, together...)
	}
	for _, t := range alone {
		if err := s.printAlone(ctx, f, t); err != nil {
			return err
		}
	}
	return nil
}

// disturbed tells that somebody wrote since the reading began: then it is no
// wonder that the kernel's list and the tool's text do not agree, and all of it is
// read again.
func (s *session) disturbed() bool {
	now, err := s.kernel.Generation()
	return err == nil && now != s.began
}

func (t chainText) allNative() bool {
	return !slices.ContainsFunc(t.rules, func(r kernelRule) bool { return r.native == "" })
}

func (t chainText) anyNative() bool {
	return slices.ContainsFunc(t.rules, func(r kernelRule) bool { return r.native != "" })
}

// assign gives the chain its rules: the kernel's list, with the tool's text where
// it can be trusted. It says whether the two agree on how many there are.
func (t chainText) assign(texts []string) bool {
	if len(texts) != len(t.rules) {
		return false
	}
	t.chain.Read = true
	t.chain.Rules = make([]*ir.Rule, len(texts))
	for i, k := range t.rules {
		rule := &ir.Rule{Packets: k.packets, Bytes: k.bytes}
		if k.native != "" {
			rule.Native = k.described
		} else {
			rule.Text = texts[i]
		}
		t.chain.Rules[i] = rule
	}
	return true
}

// plainName tells whether a chain's name is one word to a restore.
func plainName(name string) bool {
	return name != "" && name[0] != '-' && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r == '"' || r == '\'' || r == '\\' || r == 0x7f
	})
}

// printTogether prints chains by one run of the tool: a restore takes -S as it
// takes any other command, and a block without changes commits nothing. It says
// whether that worked for each of them; if not, nothing is assigned.
func (s *session) printTogether(ctx context.Context, f ir.Family, chains []chainText) bool {
	var in strings.Builder
	table := ""
	for _, t := range chains {
		if t.reader.key.Name != table {
			if table != "" {
				in.WriteString("COMMIT\n")
			}
			table = t.reader.key.Name
			in.WriteString("*" + table + "\n")
		}
		in.WriteString("-S " + t.chain.Name + "\n")
	}
	in.WriteString("COMMIT\n")
	res, err := s.exec(ctx, s.tools(f).Restore, in.String(), "--noflush")
	if err != nil || res.Exit != 0 {
		return false
	}
	out := res.Stdout
	texts := make([][]string, len(chains))
	for i, t := range chains {
		next := ""
		if i+1 < len(chains) {
			next = chains[i+1].chain.Name
		}
		var ok bool
		if texts[i], out, ok = cutChain(out, t.chain.Name, next); !ok || len(texts[i]) != len(t.rules) {
			return false
		}
	}
	for i, t := range chains {
		t.assign(texts[i])
	}
	return out == ""
}

// cutChain takes one chain's listing (-S) off a text: its rules without "-A
// CHAIN ", and what is left, which begins with the declaration of the chain
// next. A rule whose comment holds a newline goes on in the following line.
func cutChain(text, chain, next string) (rules []string, rest string, ok bool) {
	head, rest, _ := strings.Cut(text, "\n")
	// Said on the same stream, of base chains that are none of iptables' own.
	for strings.HasPrefix(head, "# Table `") {
		text = rest
		head, rest, _ = strings.Cut(text, "\n")
	}
	if head != "-N "+chain && !strings.HasPrefix(head, "-P "+chain+" ") {
		return nil, text, false
	}
	for rest != "" {
		line, tail, _ := strings.Cut(rest, "\n")
		rule, isRule := strings.CutPrefix(line, "-A "+chain)
		switch {
		case isRule && rule == "":
			rules = append(rules, "")
		case isRule && rule[0] == ' ':
			rules = append(rules, rule[1:])
		case next != "" && (line == "-N "+next || strings.HasPrefix(line, "-P "+next+" ")):
			return rules, rest, true
		case len(rules) > 0:
			rules[len(rules)-1] += "\n" + line
		default:
			return nil, text, false
		}
		rest = tail
	}
	return rules, "", true
}

// printAlone prints one chain. What the tool cannot print although a native rule
// is not at fault is an error; a chain with native rules becomes unreadable, or
// is printed by way of a copy without them.
func (s *session) printAlone(ctx context.Context, f ir.Family, t chainText) error {
	name := t.chain.Name
	if name == "" || name[0] == '-' || strings.ContainsAny(name, "\n") {
		t.chain.Unreadable = "iptables cannot name it"
		return nil
	}
	res, err := s.exec(ctx, s.tools(f).Command, "", "-t", t.reader.key.Name, "-S", name)
	if err != nil {
		return fmt.Errorf("reading chain %s %s %s: %w", f, t.reader.key.Name, name, err)
	}
	s.warn(res)
	if res.Exit == 0 {
		texts, rest, ok := cutChain(res.Stdout, name, "")
		if ok && rest == "" && t.assign(texts) {
			return nil
		}
	}
	if t.anyNative() && s.printCopy(ctx, f, t) {
		return nil
	}
	if s.disturbed() {
		return nfnetlink.ErrInterrupted
	}
	t.chain.Unreadable = refusalMessage(res.Stderr)
	if res.Exit == 0 {
		t.chain.Unreadable = "iptables prints another number of rules than the kernel has"
	}
	return nil
}

// saveAnswer is what a save tool said.
type saveAnswer struct {
	res backend.Result
	err error
}

// startSave has the tool print the table, if all of it is wanted, while the
// caller asks the kernel.
func (r *tableReader) startSave(ctx context.Context) {
	if !r.scope.All {
		return
	}
	r.saved = make(chan saveAnswer, 1)
	save := r.s.tools(r.key.Family).Save
	go func() {
		res, err := r.s.exec(ctx, save, "", "-c", "-t", r.key.Name)
		r.saved <- saveAnswer{res, err}
	}()
}

// saveTable takes the rules' texts from the save. It says whether that worked for
// every chain.
func (s *session) saveTable(r *tableReader) (bool, error) {
	answer := <-r.saved
	res, err := answer.res, answer.err
	if err != nil {
		return false, fmt.Errorf("reading table %s: %w", r.key, err)
	}
	s.warn(res)
	if res.Exit != 0 {
		return false, nil
	}
	tables, err := parseTables(r.key.Family, strings.Join(s.tools(r.key.Family).Save, " "), res.Stdout)
	if err != nil {
		return false, fmt.Errorf("reading table %s: %w", r.key, err)
	}
	if len(tables) != 1 || tables[0].Name != r.key.Name || tables[0].Unreadable != "" {
		return false, nil
	}
	saved := map[string]*ir.Chain{}
	for _, c := range tables[0].Chains {
		saved[c.Name] = c
	}
	for _, c := range r.text {
		from := saved[c.Name]
		if from == nil || len(from.Rules) != len(r.rules[c.Name]) {
			return false, nil
		}
	}
	for _, c := range r.text {
		texts := make([]string, len(saved[c.Name].Rules))
		for i, rule := range saved[c.Name].Rules {
			texts[i] = rule.Text
		}
		chainText{r, c, r.rules[c.Name]}.assign(texts)
	}
	return true, nil
}
