package xtables

import (
	"net/netip"
	"strconv"

	"hookline/compiler/ir"
)

func appendTarget(b []byte, t ir.Target, st style) []byte {
	switch t := t.(type) {
	case *ir.Verdict:
		return append(append(b, " -j "...), t.Name...)
	case *ir.Jump:
		if t.Goto {
			return appendArg(append(b, " -g "...), t.Chain)
		}
		return appendArg(append(b, " -j "...), t.Chain)
	case *ir.Reject:
		return append(append(b, " -j REJECT --reject-with "...), t.With...)
	case *ir.Log:
		return appendLog(b, t)
	case *ir.NFLog:
		return appendNFLog(b, t)
	case *ir.NAT:
		return appendNAT(b, t)
	case *ir.Masquerade:
		b = append(b, " -j MASQUERADE"...)
		if t.HasPorts {
			b = appendPorts(append(b, " --to-ports "...), t.Ports, '-')
		}
		return flag(flag(b, t.Random, " --random"), t.RandomFully, " --random-fully")
	case *ir.Redirect:
		b = append(b, " -j REDIRECT"...)
		if t.HasPorts {
			b = appendPorts(append(b, " --to-ports "...), t.Ports, '-')
			if t.HasBase {
				b = appendUint(append(b, '/'), uint64(t.Base))
			}
		}
		return flag(b, t.Random, " --random")
	case *ir.SetMark:
		b = appendHex(append(b, " -j MARK --set-xmark "...), t.Value)
		return appendHex(append(b, '/'), t.Mask)
	case *ir.SetConnmark:
		if t.Op == "set" {
			b = appendHex(append(b, " -j CONNMARK --set-xmark "...), t.Value)
			return appendHex(append(b, '/'), t.Mask)
		}
		b = append(append(append(b, " -j CONNMARK --"...), t.Op...), "-mark --nfmask "...)
		return appendHex(append(appendHex(b, t.NFMask), " --ctmask "...), t.CTMask)
	case *ir.CT:
		return appendCT(b, t)
	case *ir.TCPMSS:
		if t.Clamp {
			return append(b, " -j TCPMSS --clamp-mss-to-pmtu"...)
		}
		return appendUint(append(b, " -j TCPMSS --set-mss "...), uint64(t.Set))
	case *ir.TProxy:
		b = appendUint(append(b, " -j TPROXY --on-port "...), uint64(t.Port))
		b = appendAddr(append(b, " --on-ip "...), orUnspecified(t.Addr))
		b = appendHex(append(b, " --tproxy-mark "...), t.Value)
		return appendHex(append(b, '/'), t.Mask)
	case *ir.SetDSCP:
		b = append(b, " -j DSCP --set-dscp 0x"...)
		if t.Value < 16 {
			b = append(b, '0')
		}
		return strconv.AppendUint(b, uint64(t.Value), 16)
	case *ir.RawTarget:
		return appendRaw(b, " -j ", t.Name, t.Args, t.Text, st)
	}
	return b
}

// orUnspecified is 0.0.0.0 for the zero Addr.
func orUnspecified(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return netip.IPv4Unspecified()
	}
	return a
}

func flag(b []byte, on bool, text string) []byte {
	if on {
		return append(b, text...)
	}
	return b
}

func appendLog(b []byte, t *ir.Log) []byte {
	b = append(b, " -j LOG"...)
	if t.Prefix != "" {
		b = appendString(append(b, " --log-prefix "...), t.Prefix)
	}
	if t.Level != 4 {
		b = appendUint(append(b, " --log-level "...), uint64(t.Level))
	}
	b = flag(b, t.TCPSequence, " --log-tcp-sequence")
	b = flag(b, t.TCPOptions, " --log-tcp-options")
	b = flag(b, t.IPOptions, " --log-ip-options")
	b = flag(b, t.UID, " --log-uid")
	return flag(b, t.MACDecode, " --log-macdecode")
}

func appendNFLog(b []byte, t *ir.NFLog) []byte {
	b = append(b, " -j NFLOG"...)
	if t.Prefix != "" {
		b = appendString(append(b, " --nflog-prefix "...), t.Prefix)
	}
	if t.Group != 0 {
		b = appendUint(append(b, " --nflog-group "...), uint64(t.Group))
	}
	if t.Range > 0 {
		b = appendUint(append(b, " --nflog-range "...), uint64(t.Range))
	}
	if t.Size >= 0 {
		b = strconv.AppendInt(append(b, " --nflog-size "...), t.Size, 10)
	}
	if t.Threshold != nflogThreshold {
		b = appendUint(append(b, " --nflog-threshold "...), uint64(t.Threshold))
	}
	return b
}

func appendNAT(b []byte, t *ir.NAT) []byte {
	if t.Dest {
		b = append(b, " -j DNAT --to-destination "...)
	} else {
		b = append(b, " -j SNAT --to-source "...)
	}
	to := t.To
	brackets := to.HasPorts && to.Low.IsValid() && to.Low.Is6()
	b = flag(b, brackets, "[")
	if to.Low.IsValid() {
		b = appendAddr(b, to.Low)
		if to.High.IsValid() && to.High != to.Low {
			b = appendAddr(append(b, '-'), to.High)
		}
	}
	b = flag(b, brackets, "]")
	if to.HasPorts {
		b = appendPorts(append(b, ':'), to.Ports, '-')
		if to.HasBase {
			b = appendUint(append(b, '/'), uint64(to.Base))
		}
	}
	b = flag(b, t.Random, " --random")
	b = flag(b, t.RandomFully, " --random-fully")
	return flag(b, t.Persistent, " --persistent")
}

func appendCT(b []byte, t *ir.CT) []byte {
	if t.Alias {
		return append(b, " -j NOTRACK"...)
	}
	b = flag(append(b, " -j CT"...), t.NoTrack, " --notrack")
	if t.Helper != "" {
		b = appendArg(append(b, " --helper "...), t.Helper)
	}
	// A zone stands last, also one that is kept undecoded.
	b = appendRest(b, t.Rest)
	if t.Zone != nil {
		b = append(b, " --zone"...)
		if t.ZoneDir != "" {
			b = append(append(b, '-'), t.ZoneDir...)
		}
		b = appendUint(append(b, ' '), uint64(*t.Zone))
	}
	return b
}
