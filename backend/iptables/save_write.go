package iptables

import (
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/ir"
)

// WriteSave prints the tables of one family as iptables-save does. With the Frame
// of a text that was read, that text comes back byte for byte. Native rules are
// left out, since a save cannot hold them, and so are the rules of chains that
// were not read: the caller keeps record of both.
func WriteSave(s *ir.State, f ir.Family, opt WriteOptions) string {
	w := saveWriter{opt: opt}
	w.out.Grow(w.size(s, f))
	for _, t := range s.Tables {
		if t.Family == f {
			w.table(t)
		}
	}
	if opt.Frame != nil {
		w.lines(opt.Frame.After)
		if opt.Frame.NoLineEnd {
			return strings.TrimSuffix(w.out.String(), "\n")
		}
	}
	return w.out.String()
}

type saveWriter struct {
	opt WriteOptions
	out strings.Builder
	num [20]byte
}

// size is about the number of bytes that the text will have.
func (w *saveWriter) size(s *ir.State, f ir.Family) int {
	n := 256
	for _, t := range s.Tables {
		if t.Family != f {
			continue
		}
		for _, c := range t.Chains {
			n += len(c.Name) + 32
			for _, r := range c.Rules {
				n += len(r.Text) + len(c.Name) + 24
			}
		}
	}
	return n
}

func (w *saveWriter) lines(lines []string) {
	for _, l := range lines {
		w.out.WriteString(l)
		w.out.WriteByte('\n')
	}
}

func (w *saveWriter) table(t *ir.Table) {
	if t.Unreadable != "" && w.opt.Frame == nil {
		w.out.WriteString("# " + t.Unreadable + "\n")
	}
	if t.Unreadable != "" && !slices.ContainsFunc(t.Chains, func(c *ir.Chain) bool { return c.Read }) {
		return
	}
	if fr := w.opt.Frame; fr != nil {
		if i := slices.IndexFunc(fr.Before, func(b FrameLines) bool { return b.Table == t.Name }); i >= 0 {
			w.lines(fr.Before[i].Lines)
		}
	}
	w.out.WriteString("*" + t.Name + "\n")
	for _, c := range t.Chains {
		w.out.WriteByte(':')
		w.out.WriteString(c.Name)
		w.out.WriteByte(' ')
		if c.Policy == "" {
			w.out.WriteByte('-')
		} else {
			w.out.WriteString(c.Policy)
		}
		w.out.WriteByte(' ')
		w.counters(c.Packets, c.Bytes)
		w.out.WriteByte('\n')
	}
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			if r.Native == nil {
				w.rule(c.Name, r)
			}
		}
	}
	w.out.WriteString("COMMIT\n")
}

func (w *saveWriter) rule(chain string, r *ir.Rule) {
	if w.opt.Counters {
		w.counters(r.Packets, r.Bytes)
		w.out.WriteByte(' ')
	}
	w.out.WriteString("-A ")
	w.out.WriteString(chain)
	if r.Text != "" {
		w.out.WriteByte(' ')
		w.out.WriteString(r.Text)
	}
	w.out.WriteByte('\n')
}

func (w *saveWriter) counters(packets, bytes uint64) {
	w.out.WriteByte('[')
	w.out.Write(strconv.AppendUint(w.num[:0], packets, 10))
	w.out.WriteByte(':')
	w.out.Write(strconv.AppendUint(w.num[:0], bytes, 10))
	w.out.WriteByte(']')
}
