package survey

import (
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/timeline"
)

// means says of each setting what it does.
var means = map[ir.SettingName]string{
	ir.SettingNFTService:        "nftables.service starts at boot",
	ir.SettingFlushRuleset:      "deletes every table of nftables, those of iptables-nft too",
	ir.SettingFirewalldService:  "firewalld starts at boot",
	ir.SettingFlushAllOnReload:  "firewalld forgets what was added at runtime when it reloads",
	ir.SettingFirewalldBackend:  "the tables that firewalld writes",
	ir.SettingPersistentService: "restores saved tables at boot",
	ir.SettingRestoreNoFlush:    "the restore leaves rules that stand",
	ir.SettingSavedRules:        "a chain that is restored",
	ir.SettingUFW:               "ufw loads its rules at boot",
	ir.SettingUFWBuiltins:       "ufw empties the built-in chains when it starts and stops",
	ir.SettingUFWPolicy:         "a policy that ufw sets",
}

// settings lists the machine's settings and finds those that will hurt.
func (s *surveyor) settings() {
	if s.snap.Host == nil || s.snap.Host.Settings == nil {
		s.unknown("the settings of the machine were not looked at")
		return
	}
	s.report.Settings = []Setting{}
	for _, x := range s.snap.Host.Settings {
		s.report.Settings = append(s.report.Settings, Setting{x.Name, x.File, x.Line, x.Text, means[x.Name]})
	}
	by := s.settingsBy()
	s.flushRuleset(by)
	s.savedRules(by)
	s.ufw(by)
}

// settingsBy are the machine's settings by name; none if nobody looked.
func (s *surveyor) settingsBy() map[ir.SettingName][]ir.Setting {
	by := map[ir.SettingName][]ir.Setting{}
	if s.snap.Host != nil {
		for _, x := range s.snap.Host.Settings {
			by[x.Name] = append(by[x.Name], x)
		}
	}
	return by
}

// place is a setting for people.
func place(x ir.Setting) string {
	at := x.File
	if x.Line > 0 {
		at = fmt.Sprintf("%s:%d", x.File, x.Line)
	}
	if x.Text == "" {
		return at
	}
	return at + ": " + x.Text
}

func places(list []ir.Setting) []string {
	var out []string
	for _, x := range list {
		out = append(out, place(x))
	}
	return out
}

// flushRuleset is about nftables.service. Where it is not enabled, the file that
// its package brings hurts nobody until somebody starts it.
func (s *surveyor) flushRuleset(by map[ir.SettingName][]ir.Setting) {
	flushes := by[ir.SettingFlushRuleset]
	if len(flushes) == 0 {
		return
	}
	f := Finding{
		Severity: Hurts, Code: FlushRuleset, Message: "nftables.service is enabled and flushes the whole ruleset",
		Details: append(places(by[ir.SettingNFTService]), places(flushes)...),
		Effects: []string{
			"each start, reload and stop of the service, and each `nft -f` of its file, deletes every table: those of iptables-nft and of every other program",
			"kube-proxy puts its rules back within 30 s to 1 h, Calico within 180 s, host ports only when their pods are created again",
		},
		Help: "in the file, write `add table inet NAME` and `delete table inet NAME` ahead of each table of its own in place of `flush ruleset`; for the unit, override ExecStop=",
	}
	if len(by[ir.SettingNFTService]) == 0 {
		f.Severity, f.Message = Note, "nftables.service would flush the whole ruleset; it is not enabled"
		f.Effects = f.Effects[:1]
	}
	s.find(f)
}

// firewalld is about what it does to the tables of everybody.
// Its rules tell of it as well as its settings do.
func (s *surveyor) firewalld() {
	const name = "firewalld"
	by := s.settingsBy()
	enabled, there := len(by[ir.SettingFirewalldService]) > 0, s.present(name)
	reload := by[ir.SettingFlushAllOnReload]
	if !enabled && !there {
		return
	}
	f := Finding{
		Severity: Hurts, Code: FirewalldFlush, Message: "firewalld is enabled",
		Details: append(places(by[ir.SettingFirewalldService]), places(by[ir.SettingFirewalldBackend])...),
		Effects: []string{
			"its start, reload and stop each empty every table of iptables, whoever wrote it; tables of nftables stay",
		},
		Help: "apply again after every `firewall-cmd --reload`, or keep firewalld off hosts whose rules others write; FlushAllOnReload=no keeps firewalld's own runtime settings, the tables of iptables are emptied all the same (1.3)",
	}
	if !enabled {
		f.Message = "firewalld has written rules here"
	}
	if s.snap.Host != nil && slices.ContainsFunc(s.snap.Host.NFTTables, func(t ir.NFTTable) bool { return timeline.Owner(s.cat, t) == name }) {
		f.Effects = append(f.Effects, "its own chains stand at priority 10 of nftables: what iptables accepts at 0, firewalld can still reject")
	}
	for _, x := range reload {
		if x.Line == 0 {
			f.Details = append(f.Details, x.File+": FlushAllOnReload is not set, and yes by default")
		} else {
			f.Details = append(f.Details, fmt.Sprintf("%s:%d: FlushAllOnReload=%s", x.File, x.Line, x.Text))
		}
	}
	s.find(f)
}

// savedRules is about services that restore saved tables, with what other
// programs had in them when they were saved.
func (s *surveyor) savedRules(by map[ir.SettingName][]ir.Setting) {
	for _, service := range by[ir.SettingPersistentService] {
		file := service.Text
		keeps := slices.ContainsFunc(by[ir.SettingRestoreNoFlush], func(x ir.Setting) bool { return x.Text == file })
		programs := map[string][]string{}
		for _, x := range by[ir.SettingSavedRules] {
			if h, ok := s.cat.Chain(x.Text); ok && x.File == file {
				programs[h.Entry.Name] = append(programs[h.Entry.Name], fmt.Sprintf("%s at line %d", x.Text, x.Line))
			}
		}
		f := Finding{
			Severity: Warning, Code: SavedRules, Message: fmt.Sprintf("%s is restored at boot", file), Details: []string{service.File},
			Effects: []string{"the restore replaces whole tables: run late, or by hand, it deletes what others wrote"},
			Help:    "save without other programs' rules, restore with --noflush, or leave these tables to a ruleset",
		}
		if keeps {
			f.Severity, f.Effects = Note, nil
		}
		if len(programs) > 0 {
			f.Severity = Hurts
			f.Message = fmt.Sprintf("%s is restored at boot, and holds rules of %s", file, strings.Join(sorted(programs), ", "))
			f.Effects = append([]string{"they come back as they were when they were saved: services, pods and addresses of then, which their programs do not all recognise as their own"}, f.Effects...)
			for _, name := range sorted(programs) {
				f.Details = append(f.Details, name+": "+strings.Join(programs[name], ", "))
			}
		}
		s.find(f)
	}
}

func (s *surveyor) ufw(by map[ir.SettingName][]ir.Setting) {
	if list := by[ir.SettingUFWBuiltins]; len(list) > 0 {
		s.find(Finding{
			Severity: Hurts, Code: UFWBuiltins, Message: "ufw is enabled and manages the built-in chains", Details: places(list),
			Effects: []string{"each start, reload and stop of ufw empties INPUT, FORWARD and OUTPUT, with every other program's jumps in them"},
			Help:    "MANAGE_BUILTINS=no, which is the default",
		})
	}
	if list := by[ir.SettingUFWPolicy]; len(list) > 0 {
		s.find(Finding{
			Severity: Note, Code: UFWPolicy, Message: "ufw is enabled and lets nothing pass that no rule accepts", Details: places(list),
			Effects: []string{
				"rules of others that only return or count do not let a packet pass: pods and containers need an accept ahead of the policy",
				"ports that Docker publishes are forwarded, and not seen by ufw's rules for INPUT",
			},
		})
	}
}
