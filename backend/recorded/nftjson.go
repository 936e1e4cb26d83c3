package recorded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hookline/backend/nfttext"
	"hookline/compiler/ir"
)

// listing is an `nft -j list ruleset`: the rules of iptables' tables by chain.
type listing struct {
	// rules by chain: nil for one that iptables can read.
	rules map[ir.ChainKey][]*ir.Native
	// tables that the listing names.
	tables map[ir.TableKey]bool
	// all is every table, those of other programs too; chains are the names of all
	// chains of iptables' tables.
	all    []ir.NFTTable
	chains map[ir.TableKey][]string
	// own are the tables that rulesets may own, whole.
	own []*ir.OwnTable
	// tool is the nft that printed it.
	tool string
}

// parseListing reads `nft -j list ruleset`.
func parseListing(text string) (*listing, error) {
	var doc struct {
		Nftables []struct {
			Metainfo *listedTool
			Table    *struct {
				Family, Name string
				Flags        json.RawMessage
			}
			Chain *listedChain
			Set   *listedSet
			Map   *listedSet
			Rule  *listedRule
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return nil, fmt.Errorf("reading an nft listing: %w", err)
	}
	if doc.Nftables == nil {
		return nil, errors.New("this is JSON, but no listing of nft: it has no key \"nftables\"")
	}
	out := &listing{rules: map[ir.ChainKey][]*ir.Native{}, tables: map[ir.TableKey]bool{}, chains: map[ir.TableKey][]string{}, all: []ir.NFTTable{}}
	for _, o := range doc.Nftables {
		switch {
		case o.Metainfo != nil:
			out.tool = o.Metainfo.String()
		case o.Chain != nil:
			out.chain(o.Chain)
			out.ownChain(o.Chain)
		case o.Set != nil:
			out.ownSet(o.Set)
		case o.Map != nil:
			out.ownSet(o.Map)
		case o.Table != nil:
			flags := oneOrMore(o.Table.Flags)
			out.find(o.Table.Family, o.Table.Name).Dormant = slices.Contains(flags, "dormant")
			if t := out.ownTable(o.Table.Family, o.Table.Name); t != nil {
				t.Flags = strings.Join(flags, ",")
			}
			if key, ok := tableKey(o.Table.Family, o.Table.Name); ok {
				out.tables[key] = true
			}
		case o.Rule != nil:
			out.count(o.Rule.Family, o.Rule.Table, o.Rule.Chain, o.Rule.Comment)
			out.ownRule(o.Rule)
			key, ok := tableKey(o.Rule.Family, o.Rule.Table)
			if !ok {
				continue
			}
			chain := ir.ChainKey{Family: key.Family, Table: key.Name, Chain: o.Rule.Chain}
			var n *ir.Native
			if expr, at := nativeStatement(o.Rule.Expr); expr != "" {
				n = &ir.Native{Handle: o.Rule.Handle, Expr: expr, Comment: o.Rule.Comment}
				for i, s := range o.Rule.Expr {
					n.Add(s.Text(), i == at)
				}
			}
			out.rules[chain] = append(out.rules[chain], n)
		}
	}
	ir.SortNFTTables(out.all)
	return out, nil
}

// tableKey tells whether a table is one of iptables' own.
func tableKey(family, name string) (ir.TableKey, bool) {
	if ir.BuiltinChains(name) == nil {
		return ir.TableKey{}, false
	}
	switch family {
	case "ip":
		return ir.TableKey{Family: ir.IPv4, Name: name}, true
	case "ip6":
		return ir.TableKey{Family: ir.IPv6, Name: name}, true
	}
	return ir.TableKey{}, false
}

// nativeStatement is the first statement of a rule that iptables-nft would not
// write there, or "", and its number. What iptables-nft writes is: conditions, a counter, one
// action. nft shows xt matches and targets by name only, which is enough here.
func nativeStatement(stmts []nfttext.Statement) (expr string, at int) {
	seen := map[string]bool{}
	counted, acted := false, false
	for i, s := range stmts {
		for kind, body := range s {
			if acted {
				return kind + " behind the action", i
			}
			native, condition := "", false
			switch kind {
			case "match":
				var field string
				field, native = nativeMatch(body)
				if native == "" && field != "mark" && seen[field] {
					native = "second " + field
				}
				seen[field] = true
				condition = true
			case "xt":
				var xt struct{ Type string }
				_ = json.Unmarshal(body, &xt)
				condition, acted = xt.Type == "match", xt.Type == "target"
			case "limit":
				condition = true
				if has(body, "inv") || has(body, "rate_unit") {
					native = "limit"
				}
			case "counter":
				if counted {
					native = "second counter"
				}
				counted = true
			case "log":
				acted = true
				if !has(body, "group") {
					native = "log"
				}
			case "mangle":
				acted = true
				if !bytes.Contains(body, []byte(`"nftrace"`)) {
					native = "mangle"
				}
			case "accept", "drop", "return", "jump", "goto":
				acted = true
			default:
				native = kind
			}
			if native != "" {
				return native, i
			}
			if condition && counted {
				return "condition behind the counter", i
			}
		}
	}
	return "", 0
}

// nativeMatch names the field that a match statement compares, and what about it
// iptables would not write, or "".
func nativeMatch(body json.RawMessage) (field, native string) {
	var m struct {
		Op    string
		Left  map[string]json.RawMessage
		Right json.RawMessage
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return "", "match"
	}
	masked := false
	if and, ok := m.Left["&"]; ok {
		var parts []json.RawMessage
		if json.Unmarshal(and, &parts) != nil || len(parts) != 2 || json.Unmarshal(parts[0], &m.Left) != nil {
			return "", "match"
		}
		delete(m.Left, "&")
		masked = true
	}
	name, field, known := leftSide(m.Left)
	if !known {
		return field, name
	}
	right := bytes.TrimSpace(m.Right)
	kind := ""
	if len(right) > 0 && right[0] == '{' {
		var o map[string]json.RawMessage
		_ = json.Unmarshal(right, &o)
		for k := range o {
			kind = k
		}
	}
	ports := field == "sport" || field == "dport"
	switch {
	case kind == "set" || len(right) > 1 && right[0] == '"' && right[1] == '@':
		return field, name + " set"
	case len(right) > 0 && right[0] == '[' && field != "tcp flags":
		return field, name + " list"
	case kind == "range" && !ports, kind != "" && kind != "range" && kind != "prefix":
		return field, name + " " + kind
	case m.Op == "<" || m.Op == ">" || m.Op == "<=" || m.Op == ">=":
		return field, name + " " + m.Op
	case masked && (ports || field == "l4proto" || field == "iifname" || field == "oifname"):
		return field, name + " mask"
	}
	return field, ""
}

// leftSide names the left side of a comparison as nft writes it, and the field
// as iptables knows it, if it does.
func leftSide(left map[string]json.RawMessage) (name, field string, known bool) {
	for kind, body := range left {
		var x struct{ Protocol, Field, Key string }
		_ = json.Unmarshal(body, &x)
		switch kind {
		case "payload":
			name = x.Protocol + " " + x.Field
			switch name {
			case "ip saddr", "ip6 saddr", "ip daddr", "ip6 daddr":
				return name, x.Field, true
			case "tcp sport", "tcp dport", "udp sport", "udp dport":
				return name, x.Field, true
			case "tcp flags", "ip frag-off":
				return name, name, true
			case "ip protocol":
				return name, "l4proto", true
			}
			return name, name, false
		case "meta":
			switch x.Key {
			case "iifname", "iif":
				return x.Key, "iifname", true
			case "oifname", "oif":
				return x.Key, "oifname", true
			case "l4proto", "mark":
				return x.Key, x.Key, true
			}
			return "meta " + x.Key, x.Key, false
		case "ct":
			return "ct " + x.Key, "ct", false
		default:
			return kind, kind, false
		}
	}
	return "match", "", false
}

// has tells whether an object has a key.
func has(body json.RawMessage, key string) bool {
	var o map[string]json.RawMessage
	return json.Unmarshal(body, &o) == nil && o[key] != nil
}
