package nfttext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Statement is one statement of a listed rule: an object with one key.
type Statement map[string]json.RawMessage

// Text says a statement of an `nft -j` listing.
func (s Statement) Text() string {
	if len(s) != 1 {
		return Unknown("statement")
	}
	for kind, body := range s {
		return statement(kind, body)
	}
	return ""
}

type object = map[string]json.RawMessage

func statement(kind string, body json.RawMessage) string {
	var o object
	_ = json.Unmarshal(body, &o)
	switch kind {
	case "match":
		return match(o)
	case "counter":
		var name string
		if json.Unmarshal(body, &name) == nil && name != "" {
			return "counter name " + Quote(name)
		}
		return "counter"
	case "accept", "drop", "return", "continue", "notrack":
		return kind
	case "jump", "goto":
		return kind + " " + word(o["target"])
	case "mangle":
		return expr(o["key"], plain) + " set " + expr(o["value"], styleOf(o["key"]))
	case "xt":
		return "xt " + word(o["type"]) + " " + word(o["name"])
	case "limit":
		return limit(o)
	case "quota":
		over := ""
		if flag(o["inv"]) {
			over = "over "
		}
		return "quota " + over + word(o["val"]) + " " + word(o["val_unit"])
	case "log":
		return logStatement(o)
	case "reject":
		return reject(o)
	case "snat", "dnat", "masquerade", "redirect", "tproxy":
		return nat(kind, o)
	case "vmap":
		return expr(o["key"], plain) + " vmap " + expr(o["data"], styleOf(o["key"]))
	case "set":
		return word(o["op"]) + " " + word(o["set"]) + " { " + expr(o["elem"], plain) + " }"
	}
	return Unknown(kind)
}

// match is a comparison.
func match(o object) string {
	left, op := expr(o["left"], plain), word(o["op"])
	if left == "ct state" && op == "in" {
		if states, ok := states(o["right"]); ok {
			return CTState(states)
		}
	}
	right := expr(o["right"], styleOf(o["left"]))
	var l object
	_ = json.Unmarshal(o["left"], &l)
	if field, mask, ok := maskedFlags(l); ok && (op == "==" || op == "!=") {
		if op == "!=" {
			field += " !="
		}
		if list, several := flagList(o["right"]); several {
			right = join(list, plain, ",")
		}
		return field + " " + right + " / " + mask
	}
	if name := ICMPCode(left, right); name != "" {
		right = name
	}
	switch {
	case right == "true" && has(l, "tcp option"):
		return left + " exists"
	case right == "false" && has(l, "tcp option"):
		return left + " missing"
	case op == "==" && has(l, "&"), op == "==" && has(l, "|"), op == "==" && has(l, "^"):
		return left + " == " + right
	case op == "==" || op == "in":
		return left + " " + right
	}
	return left + " " + op + " " + right
}

// maskedFlags are a field of flags and the list of those that are looked at.
func maskedFlags(left object) (field, mask string, ok bool) {
	var parts []json.RawMessage
	if json.Unmarshal(left["&"], &parts) != nil || len(parts) != 2 {
		return "", "", false
	}
	list, several := flagList(parts[1])
	if !several {
		return "", "", false
	}
	return expr(parts[0], plain), join(list, plain, ","), true
}

// flagList are several flags: a list, or, of nft since 1.1, alternatives.
func flagList(e json.RawMessage) (list []json.RawMessage, several bool) {
	var o object
	if json.Unmarshal(e, &o) == nil {
		e = o["|"]
	}
	return list, json.Unmarshal(e, &list) == nil && len(list) > 1
}

func states(right json.RawMessage) (bits uint32, ok bool) {
	var list []json.RawMessage
	if json.Unmarshal(right, &list) != nil {
		list = []json.RawMessage{right}
	}
	for _, s := range list {
		bit, known := ctState(word(s))
		if !known {
			return 0, false
		}
		bits |= bit
	}
	return bits, true
}

// style is how values beside an expression are written.
type style uint8

const (
	plain  style = iota
	hex          // marks
	quoted       // names of interfaces and helpers, times
	index        // interfaces, or their numbers where there is no name
)

// styleOf is the style of what is compared with an expression or put into it.
func styleOf(e json.RawMessage) style {
	var o object
	if json.Unmarshal(e, &o) != nil {
		return plain
	}
	for kind, body := range o {
		switch kind {
		case "meta", "ct":
			var x struct{ Key string }
			_ = json.Unmarshal(body, &x)
			switch x.Key {
			case "mark":
				return hex
			case "iif", "oif":
				return index
			case "iifname", "oifname", "helper", "time", "day", "hour":
				return quoted
			}
		case "&", "|", "^":
			var parts []json.RawMessage
			if json.Unmarshal(body, &parts) == nil && slices.ContainsFunc(parts, func(p json.RawMessage) bool { return styleOf(p) == hex }) {
				return hex
			}
		}
	}
	return plain
}

// expr says an expression.
func expr(e json.RawMessage, in style) string {
	e = bytes.TrimSpace(e)
	if len(e) == 0 {
		return Unknown("")
	}
	switch e[0] {
	case '"':
		s := word(e)
		number := in == index && strings.Trim(s, "0123456789") == ""
		if (in == quoted || in == index) && !strings.HasPrefix(s, "@") && !number {
			return Quote(s)
		}
		return s
	case '[':
		var list []json.RawMessage
		_ = json.Unmarshal(e, &list)
		return join(list, in, ",")
	case '{':
		var o object
		_ = json.Unmarshal(e, &o)
		if len(o) != 1 {
			return Unknown("expression")
		}
		for kind, body := range o {
			return compound(kind, body, in)
		}
	}
	if n, err := strconv.ParseUint(string(e), 10, 32); err == nil && in == hex {
		return Mark(uint32(n))
	}
	return string(e)
}

func join(list []json.RawMessage, in style, sep string) string {
	var out []string
	for _, x := range list {
		out = append(out, expr(x, in))
	}
	return strings.Join(out, sep)
}

func compound(kind string, body json.RawMessage, in style) string {
	var list []json.RawMessage
	_ = json.Unmarshal(body, &list)
	var o object
	_ = json.Unmarshal(body, &o)
	switch kind {
	case "payload":
		if has(o, "base") {
			return fmt.Sprintf("@%s,%s,%s", word(o["base"]), word(o["offset"]), word(o["len"]))
		}
		return word(o["protocol"]) + " " + word(o["field"])
	case "meta":
		return metaName(word(o["key"]))
	case "ct":
		return ctName(o)
	case "rt":
		return words("rt", o["family"], o["key"])
	case "tcp option":
		if has(o, "base") {
			return "tcp option " + word(o["base"]) // one without a name
		}
		return words("tcp option", o["name"], o["field"])
	case "numgen":
		return numgen(o)
	case "fib":
		var flags []json.RawMessage
		_ = json.Unmarshal(o["flags"], &flags)
		if len(flags) == 0 {
			flags = append(flags, o["flags"])
		}
		return "fib " + join(flags, plain, " . ") + " " + word(o["result"])
	case "prefix":
		return expr(o["addr"], in) + "/" + word(o["len"])
	case "range":
		return join(list, in, "-")
	case "concat":
		return join(list, in, " . ")
	case "set":
		return set(list, in)
	case "elem":
		return expr(o["val"], in)
	case "map":
		return expr(o["key"], plain) + " map " + expr(o["data"], plain)
	case "&", "|", "^", "<<", ">>":
		if slices.ContainsFunc(list, func(x json.RawMessage) bool { return styleOf(x) == hex }) {
			in = hex
		}
		return join(list, in, " "+kind+" ")
	}
	return Unknown(kind)
}

// numgen is a number that counts up, or a random one. nft prints the modulus with a
// sign.
func numgen(o object) string {
	mod, err := strconv.ParseInt(word(o["mod"]), 10, 64)
	if err != nil || !has(o, "mode") {
		return Unknown("numgen")
	}
	s := fmt.Sprintf("numgen %s mod %d", word(o["mode"]), uint32(mod))
	if offset := word(o["offset"]); offset != "" && offset != "0" {
		s += " offset " + offset
	}
	return s
}

// set is an anonymous set or map with its elements.
func set(list []json.RawMessage, in style) string {
	var out []string
	for _, x := range list {
		var pair []json.RawMessage
		var verdict object
		switch {
		case json.Unmarshal(x, &pair) != nil || len(pair) != 2:
			out = append(out, expr(x, in))
		case json.Unmarshal(pair[1], &verdict) == nil && len(verdict) == 1:
			out = append(out, expr(pair[0], in)+" : "+Statement(verdict).Text())
		default:
			out = append(out, expr(pair[0], in)+" : "+expr(pair[1], in))
		}
	}
	return "{ " + strings.Join(out, ", ") + " }"
}

// Keys of meta that stand without the word.
var bare = []string{"iif", "oif", "iifname", "oifname", "iifgroup", "oifgroup"}

func metaName(key string) string {
	if slices.Contains(bare, key) {
		return key
	}
	return "meta " + key
}

func ctName(o object) string {
	s := "ct "
	if has(o, "dir") {
		s += word(o["dir"]) + " "
	}
	return s + word(o["key"])
}

func limit(o object) string {
	rate, _ := strconv.ParseUint(word(o["rate"]), 10, 64)
	burst, _ := strconv.ParseUint(word(o["burst"]), 10, 64)
	unit, burstUnit, usual := word(o["per"]), "packets", uint64(5)
	if u := word(o["rate_unit"]); u != "" && u != "packets" {
		unit, usual = u+"/"+unit, 0
	}
	if u := word(o["burst_unit"]); u != "" {
		burstUnit = u
	}
	return Limit(flag(o["inv"]), rate, unit, burst, burstUnit, burst == usual)
}

func logStatement(o object) string {
	s := "log"
	for _, key := range []string{"prefix", "group", "snaplen", "queue-threshold", "level"} {
		switch {
		case !has(o, key):
		case key == "prefix":
			s += " prefix " + Quote(word(o[key]))
		default:
			s += " " + key + " " + word(o[key])
		}
	}
	if has(o, "flags") {
		s += " flags " + expr(o["flags"], plain)
	}
	return s
}

func reject(o object) string {
	kind, code := word(o["type"]), word(o["expr"])
	switch {
	case len(o) == 0 || (kind == "icmp" || kind == "icmpv6") && code == "port-unreachable":
		return "reject"
	case kind == "tcp reset":
		return "reject with tcp reset"
	}
	return "reject with " + kind + " " + code
}

func nat(kind string, o object) string {
	s := kind
	if has(o, "family") {
		s += " " + word(o["family"])
	}
	if has(o, "addr") {
		addr := expr(o["addr"], plain)
		if has(o, "port") && strings.Contains(addr, ":") {
			addr = "[" + strings.ReplaceAll(addr, "-", "]-[") + "]"
		}
		s += " to " + addr
	}
	if has(o, "port") {
		if !has(o, "addr") {
			s += " to "
		}
		s += ":" + expr(o["port"], plain)
	}
	if has(o, "flags") {
		s += " " + expr(o["flags"], plain)
	}
	return s
}

func has(o object, key string) bool { return o[key] != nil }

func flag(b json.RawMessage) bool { return string(b) == "true" }

// word is a string or a number as it stands.
func word(b json.RawMessage) string {
	var s string
	if json.Unmarshal(b, &s) == nil {
		return s
	}
	return string(bytes.TrimSpace(b))
}

// words joins a word and those others that there are.
func words(s string, more ...json.RawMessage) string {
	for _, m := range more {
		if len(m) > 0 {
			s += " " + word(m)
		}
	}
	return s
}
