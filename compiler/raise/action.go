package raise

import (
	"fmt"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl"
)

// action says what a rule does; nil if the language has no word for it.
func (b *builder) action(t ir.Target) *dsl.Action {
	switch t := t.(type) {
	case *ir.Verdict:
		if t.Name == "QUEUE" {
			b.cannot("-j QUEUE")
		}
		return word(strings.ToLower(t.Name))
	case *ir.Jump:
		if t.Goto {
			return does("goto", free(t.Chain))
		}
		return does("jump", free(t.Chain))
	case *ir.Reject:
		return reject(t.With)
	case *ir.Log:
		return b.log(t)
	case *ir.NFLog:
		return b.nflog(t)
	case *ir.NAT:
		return b.nat(t)
	case *ir.Masquerade:
		if t.HasPorts || t.Random {
			b.cannot("-j MASQUERADE with ports or --random")
		}
		if t.RandomFully {
			return does("masquerade", mapping(some("randomFully", "true")))
		}
		return word("masquerade")
	case *ir.Redirect:
		if t.Random || t.HasBase {
			b.cannot("-j REDIRECT with --random or a shifted range")
		}
		if t.HasPorts {
			return does("redirect", mapping(some("to", ports(t.Ports))))
		}
		return word("redirect")
	case *ir.SetMark:
		if t.Mask == 0 {
			return does("mark", mapping(some("xor", fmt.Sprintf("0x%x", t.Value))))
		}
		return does("mark", mapping(some("set", masked(t.Value, t.Mask))))
	case *ir.SetConnmark:
		return b.connmark(t)
	case *ir.CT:
		return b.ct(t)
	case *ir.TCPMSS:
		if t.Clamp {
			return does("tcpmss", mapping(some("clampToPMTU", "true")))
		}
		return does("tcpmss", mapping(some("set", strconv.Itoa(int(t.Set)))))
	case *ir.TProxy:
		return tproxy(t)
	case *ir.SetDSCP:
		return does("dscp", mapping(some("set", strconv.Itoa(int(t.Value)))))
	case *ir.RawTarget:
		b.cannot("-j %s", t.Name)
	default:
		b.cannot("%T", t)
	}
	return nil
}

func word(kind string) *dsl.Action { return &dsl.Action{Kind: dsl.NewWord(kind)} }

func does(kind string, args *dsl.Value) *dsl.Action {
	return &dsl.Action{Kind: dsl.NewWord(kind), Args: args}
}

// rejectWords are the words that both families share.
var rejectWords = map[string]string{
	"icmp-port-unreachable": "", "icmp6-port-unreachable": "",
	"icmp-host-unreachable": "host-unreachable", "icmp6-addr-unreachable": "host-unreachable",
	"icmp-net-unreachable": "net-unreachable", "icmp6-no-route": "net-unreachable",
	"icmp-admin-prohibited": "admin-prohibited", "icmp6-adm-prohibited": "admin-prohibited",
}

func reject(with string) *dsl.Action {
	if w, known := rejectWords[with]; known {
		with = w
	}
	if with == "" {
		return word("reject")
	}
	return does("reject", mapping(some("with", with)))
}

var logLevels = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

func (b *builder) log(t *ir.Log) *dsl.Action {
	if t.TCPSequence || t.TCPOptions || t.IPOptions || t.UID || t.MACDecode || int(t.Level) >= len(logLevels) {
		b.cannot("-j LOG beyond prefix and level")
		return nil
	}
	args := mapping()
	if t.Prefix != "" {
		args.Entries = append(args.Entries, entry("prefix", free(t.Prefix)))
	}
	if t.Level != 4 {
		args.Entries = append(args.Entries, entry("level", scalar(logLevels[t.Level])))
	}
	if len(args.Entries) == 0 {
		return word("log")
	}
	return does("log", args)
}

func (b *builder) nflog(t *ir.NFLog) *dsl.Action {
	if t.Range > 0 || t.Size >= 0 {
		b.cannot("-j NFLOG beyond group and prefix")
		return nil
	}
	args := mapping(entry("group", scalar(strconv.Itoa(int(t.Group)))))
	if t.Prefix != "" {
		args.Entries = append(args.Entries, entry("prefix", free(t.Prefix)))
	}
	return does("nflog", args)
}

func (b *builder) nat(t *ir.NAT) *dsl.Action {
	kind := "snat"
	if t.Dest {
		kind = "dnat"
	}
	if t.Random || t.Persistent || t.To.HasBase || t.RandomFully && t.Dest {
		b.cannot("-j %s with options", strings.ToUpper(kind))
		return nil
	}
	random := ""
	if t.RandomFully {
		random = "true"
	}
	return does(kind, mapping(entry("to", scalar(natRange(t.To))), some("randomFully", random)))
}

// natRange is ADDR or ADDR-ADDR with :PORT behind, or :PORT alone.
func natRange(r ir.NATRange) string {
	addr := ""
	if r.Low.IsValid() {
		addr = r.Low.String()
		if r.High.IsValid() && r.High != r.Low {
			addr += "-" + r.High.String()
		}
	}
	if !r.HasPorts {
		return addr
	}
	if r.Low.Is6() {
		addr = "[" + addr + "]"
	}
	return addr + ":" + ports(r.Ports)
}

func (b *builder) connmark(t *ir.SetConnmark) *dsl.Action {
	switch {
	case t.Op == "set":
		return does("connmark", mapping(some("set", masked(t.Value, t.Mask))))
	case t.NFMask != t.CTMask:
		b.cannot("-j CONNMARK with two masks")
		return nil
	case t.NFMask == 0xffffffff:
		return does("connmark", mapping(some(t.Op, "true")))
	}
	return does("connmark", mapping(some(t.Op, fmt.Sprintf("0x%x", t.NFMask))))
}

func (b *builder) ct(t *ir.CT) *dsl.Action {
	switch {
	case t.Alias:
		b.cannot("-j NOTRACK")
	case t.ZoneDir != "" || len(t.Rest) > 0:
		b.cannot("-j CT beyond zone, notrack and helper")
	case t.NoTrack && t.Zone == nil && t.Helper == "":
		return does("ct", mapping(some("notrack", "true")))
	case t.Zone != nil && !t.NoTrack && t.Helper == "":
		return does("ct", mapping(some("zone", strconv.Itoa(int(*t.Zone)))))
	case t.Helper != "" && !t.NoTrack && t.Zone == nil:
		return does("ct", mapping(some("helper", t.Helper)))
	default:
		b.cannot("-j CT with several options")
	}
	return nil
}

func tproxy(t *ir.TProxy) *dsl.Action {
	args := mapping(entry("port", scalar(strconv.Itoa(int(t.Port)))))
	if t.Addr.IsValid() && !t.Addr.IsUnspecified() {
		args.Entries = append(args.Entries, entry("address", scalar(t.Addr.String())))
	}
	if t.Value != 0 || t.Mask != 0 {
		args.Entries = append(args.Entries, entry("mark", scalar(masked(t.Value, t.Mask))))
	}
	return does("tproxy", args)
}
