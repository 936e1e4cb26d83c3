package nfnetlink

import (
	"fmt"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Rule is a rule as nf_tables has it.
type Rule struct {
	Chain  string
	Handle uint64
	// Exprs are the rule's expressions as they came, for EachExpr and Describe. They
	// keep a piece of the listing in memory.
	Exprs []byte
	// UserData is what the program that wrote the rule left with it; see UserComment.
	UserData []byte
}

// Rules lists the rules of one chain, or of the whole table if chain is "", in the
// order of the kernel. An error calls the family f.
func (k *Conn) Rules(proto byte, f, table, chain string) ([]Rule, error) {
	attrs := AppendAttr(nil, unix.NFTA_RULE_TABLE, CString(table))
	what := table
	if chain != "" {
		attrs = AppendAttr(attrs, unix.NFTA_RULE_CHAIN, CString(chain))
		what += " " + chain
	}
	answers, err := k.Ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETRULE, proto, netlink.Dump, attrs)
	if err != nil {
		return nil, fmt.Errorf("listing the rules of %s %s: %w", f, what, err)
	}
	out := make([]Rule, 0, len(answers))
	name := chain
	for _, a := range answers {
		var r Rule
		err := EachAttr(a, func(typ uint16, data []byte) error {
			switch typ {
			case unix.NFTA_RULE_CHAIN:
				// Rules come chain by chain: keep one copy of the name.
				if string(Cut(data)) != name {
					name = string(Cut(data))
				}
				r.Chain = name
			case unix.NFTA_RULE_HANDLE:
				r.Handle = Uint64(data)
			case unix.NFTA_RULE_EXPRESSIONS:
				r.Exprs = data
			case unix.NFTA_RULE_USERDATA:
				r.UserData = data
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing the rules of %s %s: %w", f, what, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// UserComment is the comment that nft keeps in a rule's user data: entries of
// type, length and value, of which type 0 is the comment.
func UserComment(data []byte) string {
	for len(data) >= 2 && len(data) >= 2+int(data[1]) {
		typ, value := data[0], data[2:2+int(data[1])]
		if typ == 0 {
			return string(Cut(value))
		}
		data = data[2+len(value):]
	}
	// Programs that speak netlink themselves put bare text there (NetBird).
	text := string(Cut(data))
	if strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		return ""
	}
	return text
}
