package machine

import (
	"cmp"
	"io/fs"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// Settings reads from a machine's file system what will change its netfilter
// tables behind everybody's back. Troubles are sentences about files that are
// there and could not be read: what they say is unknown.
func Settings(root fs.FS) (settings []ir.Setting, troubles []string) {
	t := &tree{fs: root}
	settings = []ir.Setting{}
	for _, look := range []func(*tree) []ir.Setting{nftables, firewalld, persistent, ufw} {
		settings = append(settings, look(t)...)
	}
	slices.SortStableFunc(settings, func(a, b ir.Setting) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Text, b.Text))
	})
	slices.Sort(t.troubles)
	return slices.Compact(settings), slices.Compact(t.troubles)
}

// assignment finds KEY=VALUE in a file of that form, the last one if there are
// several: firewalld.conf, and files that a shell reads.
func assignment(text, key string) (value string, line int) {
	n := 0
	for l := range strings.Lines(text) {
		n++
		l = strings.TrimSpace(l)
		k, v, ok := strings.Cut(l, "=")
		if !ok || strings.TrimSpace(k) != key {
			continue
		}
		value, line = unquote(strings.TrimSpace(v)), n
	}
	return value, line
}

// unquote is a value as a shell reads it: quotes off, and what a # behind it
// begins.
func unquote(v string) string {
	if v != "" && (v[0] == '"' || v[0] == '\'') {
		if end := strings.IndexByte(v[1:], v[0]); end >= 0 {
			return v[1 : 1+end]
		}
	}
	if i := strings.Index(v, " #"); i >= 0 {
		v = v[:i]
	}
	return strings.TrimSpace(v)
}

// firewalld: whether it starts, what it does at a reload, and to which tables.
func firewalld(t *tree) []ir.Setting {
	const conf = "/etc/firewalld/firewalld.conf"
	var out []ir.Setting
	link := t.enabled("firewalld.service")
	if link != "" {
		out = append(out, ir.Setting{Name: ir.SettingFirewalldService, File: link})
	}
	text, ok := t.read(conf)
	if !ok {
		return out
	}
	// firewalld.conf(5): yes is what is done if nothing is said.
	value, line := assignment(text, "FlushAllOnReload")
	if v := strings.ToLower(value); v != "no" && v != "false" {
		out = append(out, ir.Setting{Name: ir.SettingFlushAllOnReload, File: conf, Line: line, Text: value})
	}
	if value, line := assignment(text, "FirewallBackend"); line > 0 {
		out = append(out, ir.Setting{Name: ir.SettingFirewalldBackend, File: conf, Line: line, Text: value})
	}
	return out
}

// ufw: whether it is switched on, and whether it empties built-in chains.
func ufw(t *tree) []ir.Setting {
	const conf, defaults = "/etc/ufw/ufw.conf", "/etc/default/ufw"
	text, ok := t.read(conf)
	if !ok {
		return nil
	}
	value, line := assignment(text, "ENABLED")
	if strings.ToLower(value) != "yes" || t.masked("ufw.service") {
		return nil
	}
	out := []ir.Setting{{Name: ir.SettingUFW, File: conf, Line: line, Text: value}}
	if text, ok := t.read(defaults); ok {
		if value, line := assignment(text, "MANAGE_BUILTINS"); value == "yes" {
			out = append(out, ir.Setting{Name: ir.SettingUFWBuiltins, File: defaults, Line: line, Text: value})
		}
		for _, key := range []string{"DEFAULT_INPUT_POLICY", "DEFAULT_FORWARD_POLICY"} {
			if value, line := assignment(text, key); line > 0 && value != "ACCEPT" {
				out = append(out, ir.Setting{Name: ir.SettingUFWPolicy, File: defaults, Line: line, Text: key + "=" + value})
			}
		}
	}
	return out
}
