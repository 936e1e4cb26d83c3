package survey

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// tools lists the machine's programs, and finds what is wrong with them.
func (s *surveyor) tools() {
	if s.snap.Host == nil || s.snap.Host.Binaries == nil {
		for _, name := range sorted(s.snap.Tools) {
			s.report.Tools = append(s.report.Tools, Tool{Name: name, Version: s.snap.Tools[name]})
		}
		s.unknown("which tools are installed was not looked at")
	} else {
		s.report.Tools = []Tool{}
		for _, b := range s.snap.Host.Binaries {
			s.report.Tools = append(s.report.Tools, Tool{Name: path.Base(b.Path), Path: b.Path, Version: b.Version, Target: b.Target})
		}
		s.missingTools()
		s.variantOfTool()
	}
	s.severalVersions()
	s.knownBugs()
}

// isTool tells whether a tool is one of iptables' own, of any name.
func (t Tool) isIptables() bool {
	return strings.HasPrefix(t.Name, "iptables") || strings.HasPrefix(t.Name, "ip6tables")
}

// missingTools is about what others do where a tool is missing (N-11).
func (s *surveyor) missingTools() {
	has := func(name string) bool {
		return slices.ContainsFunc(s.report.Tools, func(t Tool) bool { return t.Name == name })
	}
	if !has("iptables") {
		s.find(Finding{
			Severity: Warning, Code: MissingTool, Message: "no program is called iptables",
			Effects: []string{
				"NetBird and Tailscale then write native nft rules into ip filter, which the iptables that other programs bring along (k3s, Calico, kube-proxy) cannot read",
				"CNI plugins that call it, such as portmap and bridge, fail for every pod",
			},
			Help: "install iptables, of the version that the other programs bring along or a newer one",
		})
	}
	if has("iptables") && !has("ip6tables") {
		s.find(Finding{Severity: Warning, Code: MissingTool, Message: "no program is called ip6tables", Help: "install it if the host has IPv6"})
	}
}

// variantOfTool is about a command `iptables` that is of the other variant than
// the one in use (V-7).
func (s *surveyor) variantOfTool() {
	for _, t := range s.report.Tools {
		if t.Name != "iptables" || t.Version == "" || !systemPath(t.Path) {
			continue
		}
		v := ir.IptablesLegacy
		if strings.Contains(t.Version, "(nf_tables)") {
			v = ir.IptablesNFT
		}
		if v == s.report.Backend || s.report.Variants[0].rules() == 0 {
			continue
		}
		s.find(Finding{
			Severity: Hurts, Code: OtherVariant,
			Message: fmt.Sprintf("%s is %s, but %s is in use: %s", t.Path, v, s.report.Backend, s.report.Why),
			Effects: []string{"what calls iptables without asking which variant is in use, such as CNI plugins, kube-vip, scripts and people, writes to tables that the other programs do not see"},
			Help:    fmt.Sprintf("update-alternatives --set iptables /usr/sbin/%s, and the same for ip6tables", s.report.Backend),
		})
	}
}

// systemPath tells the machine's own tools from those that programs bring along.
func systemPath(p string) bool {
	return slices.Contains([]string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}, path.Dir(p))
}

// versionIn finds the version in what a tool prints.
var versionIn = regexp.MustCompile(`v?(\d+\.\d+(?:\.\d+)*)`)

func (t Tool) version() string {
	if m := versionIn.FindStringSubmatch(t.Version); m != nil {
		return m[1]
	}
	return ""
}

// severalVersions finds copies of iptables of different versions: each reads and
// some write back what the others wrote.
func (s *surveyor) severalVersions() {
	by := map[string][]string{}
	for _, t := range s.report.Tools {
		if v := t.version(); v != "" && t.isIptables() && t.Path != "" {
			by[v] = append(by[v], t.Path)
		}
	}
	if len(by) < 2 {
		return
	}
	f := Finding{
		Severity: Warning, Code: SeveralVersions, Message: fmt.Sprintf("%d versions of iptables are installed: %s", len(by), strings.Join(sorted(by), ", ")),
		Effects: []string{"an older one can read a rule of a newer one with another meaning, and a program that saves, edits and restores (kube-router) then writes that back"},
		Help:    "have them all of one version; k3s uses the machine's iptables with --prefer-bundled-bin=false, which is its default",
	}
	for _, v := range sorted(by) {
		f.Details = append(f.Details, v+": "+strings.Join(by[v], ", "))
	}
	s.find(f)
}

// bug is a fault of released versions of iptables.
type bug struct {
	versions []string
	nftOnly  bool
	does     string
}

// bugs that were seen in the field (FIELD 1.2, 1.4).
var bugs = []bug{
	{[]string{"1.8.0", "1.8.1", "1.8.2", "1.8.3", "1.8.4"}, true, "does not find rules that stand, so that programs put them in again and again: duplicates grow without end (k3s#3117)"},
	{[]string{"1.8.7"}, true, "loses the mark match of a rule when it saves and restores: a DROP for marked packets became one for all (kubernetes#112477); -C does not find rules that stand (Flatcar#954)"},
	{[]string{"1.8.10"}, true, "does not find rules that stand with -C, so that kube-router duplicates them (kube-router#1676)"},
}

func (s *surveyor) knownBugs() {
	for _, b := range bugs {
		var at []string
		for _, t := range s.report.Tools {
			if t.isIptables() && slices.Contains(b.versions, t.version()) && (!b.nftOnly || strings.Contains(t.Version, "(nf_tables)")) {
				at = append(at, strings.TrimSpace(t.Path+" "+t.Version))
			}
		}
		if len(at) > 0 {
			s.find(Finding{
				Severity: Warning, Code: KnownBug, Message: "a version of iptables is installed that is known to fail", Details: at,
				Effects: []string{"it " + b.does}, Help: "install 1.8.9, or 1.8.11 or newer",
			})
		}
	}
}
