package ir

import "strings"

// targetNames are the verdicts and target extensions of iptables(8) and
// iptables-extensions(8). No chain can have one of these names.
var targetNames = func() map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(`ACCEPT DROP QUEUE RETURN
		AUDIT CHECKSUM CLASSIFY CLUSTERIP CONNMARK CONNSECMARK CT DNAT DNPT DSCP
		ECN HL HMARK IDLETIMER LED LOG MARK MASQUERADE NETMAP NFLOG NFQUEUE
		NOTRACK RATEEST REDIRECT REJECT SECMARK SET SNAT SNPT SYNPROXY TCPMSS
		TCPOPTSTRIP TEE TOS TPROXY TRACE TTL ULOG`) {
		m[n] = true
	}
	return m
}()

// IsTargetName tells whether a name is a verdict or a target extension of
// iptables, which no chain can be called.
func IsTargetName(name string) bool { return targetNames[name] }

// TargetName is the word behind the rule's -j or -g, and whether it was -g; ""
// if the rule only counts. It reads the text alone, so that it is cheap on rules
// that nobody decoded.
func (r *Rule) TargetName() (name string, isGoto bool) {
	start, end, isGoto := findTarget(r.Text)
	return r.Text[start:end], isGoto
}

// JumpTarget is the chain that the rule jumps or goes to, or "". A target that
// no extension is known for may be a chain: whether it is one, the table says.
func (r *Rule) JumpTarget() string {
	if r.Spec != nil {
		switch t := r.Spec.Target.(type) {
		case *Jump:
			return t.Chain
		case *RawTarget:
			if !targetNames[t.Name] {
				return t.Name
			}
		}
		return ""
	}
	name, isGoto := r.TargetName()
	if isGoto || !targetNames[name] {
		return name
	}
	return ""
}

// isExtension tells that whoever decoded the rule takes its target for an
// extension's.
func (r *Rule) isExtension() bool {
	if r.Spec == nil {
		return false
	}
	_, raw := r.Spec.Target.(*RawTarget)
	return raw
}

// findTarget finds the word behind the first -j or -g that stands outside
// quotes. A quote opens at the start of a word only: names of chains and
// interfaces are printed as they are, and may hold quotes.
func findTarget(text string) (start, end int, isGoto bool) {
	for i := 0; i < len(text); {
		switch {
		case text[i] == ' ':
			i++
			continue
		case text[i] == '"':
			i = skipQuoted(text, i)
			continue
		case strings.HasPrefix(text[i:], "-j ") || strings.HasPrefix(text[i:], "-g "):
			start = i + 3
			end = len(text)
			if n := strings.IndexByte(text[start:], ' '); n >= 0 {
				end = start + n
			}
			return start, end, text[i+1] == 'g'
		}
		n := strings.IndexByte(text[i:], ' ')
		if n < 0 {
			break
		}
		i += n + 1
	}
	return 0, 0, false
}

// skipQuoted is the offset behind the quoted word that starts at i.
func skipQuoted(text string, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// setNames calls f with the name of each ipset that the rule refers to: behind
// --match-set, --add-set, --del-set and --map-set.
func (r *Rule) setNames(f func(name string)) {
	if !strings.Contains(r.Text, "-set ") {
		return
	}
	prev := ""
	for i := 0; i < len(r.Text); {
		start := i
		switch r.Text[i] {
		case ' ':
			i++
			continue
		case '"':
			i = skipQuoted(r.Text, i)
		default:
			if n := strings.IndexByte(r.Text[i:], ' '); n >= 0 {
				i += n
			} else {
				i = len(r.Text)
			}
		}
		word := r.Text[start:i]
		switch prev {
		case "--match-set", "--add-set", "--del-set", "--map-set":
			f(word)
		}
		prev = word
	}
}
