package machine

import (
	"strings"

	"hookline/compiler/ir"
)

// savedFile is a file of saved tables, the service that restores it at boot, and
// the word by which the service is told not to empty the tables first.
type savedFile struct {
	unit, file      string
	config, noFlush string
}

// savedFiles of the packages iptables-persistent and netfilter-persistent
// (Debian) and iptables-services (Fedora and its relatives).
var savedFiles = []savedFile{
	{"netfilter-persistent.service", "/etc/iptables/rules.v4", "/etc/default/netfilter-persistent", "IPTABLES_RESTORE_NOFLUSH"},
	{"netfilter-persistent.service", "/etc/iptables/rules.v6", "/etc/default/netfilter-persistent", "IP6TABLES_RESTORE_NOFLUSH"},
	{"iptables.service", "/etc/sysconfig/iptables", "", ""},
	{"ip6tables.service", "/etc/sysconfig/ip6tables", "", ""},
}

// persistent looks for services that restore saved tables, and for what they
// restore.
func persistent(t *tree) []ir.Setting {
	var out []ir.Setting
	for _, s := range savedFiles {
		link := t.enabled(s.unit)
		if link == "" {
			continue
		}
		text, ok := t.read(s.file)
		if !ok {
			continue
		}
		out = append(out, ir.Setting{Name: ir.SettingPersistentService, File: link, Text: s.file})
		if line := t.noFlush(s); line > 0 {
			out = append(out, ir.Setting{Name: ir.SettingRestoreNoFlush, File: s.config, Line: line, Text: s.file})
		}
		out = append(out, savedChains(s.file, text)...)
	}
	return out
}

// noFlush is the line by which a service leaves rules that stand, or 0.
func (t *tree) noFlush(s savedFile) int {
	if s.config == "" {
		return 0
	}
	text, _ := t.read(s.config)
	value, line := assignment(text, s.noFlush)
	if value != "yes" {
		return 0
	}
	return line
}

// stem is how much of a chain's name tells it from others: of chains that share
// it, one is kept. A Kubernetes node has thousands of KUBE-SVC-*.
const stem = 10

// savedChains are the user-defined chains in a save, one for each beginning of
// their names.
func savedChains(file, text string) []ir.Setting {
	var out []ir.Setting
	seen := map[string]bool{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		if !strings.HasPrefix(line, ":") {
			continue
		}
		words := strings.Fields(line[1:])
		// A built-in chain has a policy, a user-defined one a dash.
		if len(words) < 2 || words[1] != "-" {
			continue
		}
		begin := words[0][:min(stem, len(words[0]))]
		if seen[begin] {
			continue
		}
		seen[begin] = true
		out = append(out, ir.Setting{Name: ir.SettingSavedRules, File: file, Line: n, Text: words[0]})
	}
	return out
}
