package machine_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"hookline/backend/machine"
)

// link is a symbolic link in a map of files.
const link = "-> "

// tree makes a file system of texts by path; a text that begins with link is one.
func tree(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for p, text := range files {
		f := &fstest.MapFile{Data: []byte(text), Mode: 0o644}
		if to, ok := strings.CutPrefix(text, link); ok {
			f.Data, f.Mode = []byte(to), 0o777|fs.ModeSymlink
		}
		out[strings.TrimPrefix(p, "/")] = f
	}
	return out
}

const (
	// nftUnit and fedoraUnit are what the packages of Debian 12 and Fedora install, cut
	// to what matters.
	nftUnit = "[Unit]\nDescription=nftables\n[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\n" +
		"ExecReload=/usr/sbin/nft -f /etc/nftables.conf\nExecStop=/usr/sbin/nft flush ruleset\n"
	fedoraUnit = "[Service]\nExecStart=/sbin/nft -f /etc/sysconfig/nftables.conf\n" +
		"ExecReload=/sbin/nft 'flush ruleset; include \"/etc/sysconfig/nftables.conf\";'\nExecStop=/sbin/nft flush ruleset\n"
	nftUnitFile = "/usr/lib/systemd/system/nftables.service"
	wanted      = "/etc/systemd/system/sysinit.target.wants/nftables.service"
)

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string // NAME FILE:LINE TEXT
		why   string
	}{
		{"an empty machine", nil, nil, ""},
		{
			"nftables as Debian installs it",
			map[string]string{nftUnitFile: nftUnit, "/etc/nftables.conf": "#!/usr/sbin/nft -f\n\nflush ruleset\n"},
			[]string{
				"flush-ruleset /etc/nftables.conf:3 flush ruleset",
				"flush-ruleset /usr/lib/systemd/system/nftables.service:6 ExecStop=/usr/sbin/nft flush ruleset",
			},
			"there, but not enabled",
		},
		{
			"enabled",
			map[string]string{nftUnitFile: nftUnit, wanted: link + nftUnitFile, "/etc/nftables.conf": "table inet x {\n}\n"},
			[]string{
				"nftables-service " + wanted + ":0 ",
				"flush-ruleset /usr/lib/systemd/system/nftables.service:6 ExecStop=/usr/sbin/nft flush ruleset",
			},
			"",
		},
		{
			"Fedora's",
			map[string]string{
				nftUnitFile: fedoraUnit, "/etc/systemd/system/multi-user.target.wants/nftables.service": link + nftUnitFile,
				"/etc/sysconfig/nftables.conf": "include \"/etc/nftables/*.nft\"\n",
				"/etc/nftables/b.nft":          "# flush ruleset\ntable inet b { comment \"flush ruleset\"; }\n",
				"/etc/nftables/a.nft":          "table ip a\nflush ruleset ip; add table ip a\n",
				"/etc/nftables/.hidden.nft":    "flush ruleset\n",
			},
			[]string{
				"flush-ruleset /etc/nftables/a.nft:2 flush ruleset ip",
				"nftables-service /etc/systemd/system/multi-user.target.wants/nftables.service:0 ",
				"flush-ruleset " + nftUnitFile + ":3 ExecReload=/sbin/nft 'flush ruleset; include \"/etc/sysconfig/nftables.conf\";'",
				"flush-ruleset " + nftUnitFile + ":4 ExecStop=/sbin/nft flush ruleset",
			},
			"a comment and a quoted text flush nothing, a hidden file is not included",
		},
		{
			"masked", map[string]string{
				nftUnitFile: nftUnit, wanted: link + nftUnitFile, "/etc/systemd/system/nftables.service": link + "/dev/null",
			}, nil, "",
		},
		{
			"a drop-in loads another file", map[string]string{
				nftUnitFile: nftUnit, wanted: link + nftUnitFile, "/etc/nftables.conf": "flush ruleset\n", "/etc/site.nft": "table ip x\n",
				"/etc/systemd/system/nftables.service.d/site.conf": "[Service]\nExecStart=\nExecStart=/usr/sbin/nft -f /etc/site.nft\nExecReload=\nExecStop=\n",
			}, []string{"nftables-service " + wanted + ":0 "}, "",
		},
		{
			"includes",
			map[string]string{
				"/etc/nftables.conf": "include \"loop\"\ninclude \"./etc/dot\"\n include \"gone\" ; include \"" + "/etc/link\"",
				"/etc/loop":          "include \"/etc/nftables.conf\"\nflush \\\n ruleset\n", "/etc/dot": "flush ruleset inet",
				"/etc/link": link + "../srv/real", "/srv/real": "flush\truleset",
			},
			[]string{
				"flush-ruleset /etc/dot:1 flush ruleset inet", "flush-ruleset /etc/link:1 flush ruleset", "flush-ruleset /etc/loop:2 flush ruleset",
			},
			"circles end; relative names are below /etc; links are followed",
		},
		{
			"firewalld",
			map[string]string{
				"/etc/systemd/system/multi-user.target.wants/firewalld.service": link + "/lib/systemd/system/firewalld.service",
				"/etc/firewalld/firewalld.conf":                                 "# c\nFirewallBackend=iptables\nFlushAllOnReload = yes\n",
			},
			[]string{
				"firewalld-backend /etc/firewalld/firewalld.conf:2 iptables", "flush-all-on-reload /etc/firewalld/firewalld.conf:3 yes",
				"firewalld-service /etc/systemd/system/multi-user.target.wants/firewalld.service:0 ",
			},
			"",
		},
		{
			"firewalld without a word about reloads",
			map[string]string{"/etc/firewalld/firewalld.conf": "#FlushAllOnReload=no\n"},
			[]string{"flush-all-on-reload /etc/firewalld/firewalld.conf:0 "},
			"its default is yes",
		},
		{"firewalld told no", map[string]string{"/etc/firewalld/firewalld.conf": "FlushAllOnReload=yes\nFlushAllOnReload=No\n"}, nil, "the last one counts"},
		{
			"saved rules",
			map[string]string{
				"/etc/systemd/system/multi-user.target.wants/netfilter-persistent.service": link + "/lib/systemd/system/netfilter-persistent.service",
				"/etc/iptables/rules.v4": "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]\n:KUBE-SVC-AABBBBBBBBBBBBBB - [0:0]\n" +
					":KUBE-SEP-X - [0:0]\n:SITE - [0:0]\n-A PREROUTING -j SITE\nCOMMIT\n",
				"/etc/default/netfilter-persistent": "IP6TABLES_RESTORE_NOFLUSH=yes\n", "/etc/iptables/rules.v6": "*filter\nCOMMIT\n",
			},
			[]string{
				"restore-noflush /etc/default/netfilter-persistent:1 /etc/iptables/rules.v6",
				"saved-rules /etc/iptables/rules.v4:3 KUBE-SVC-AAAAAAAAAAAAAAAA", "saved-rules /etc/iptables/rules.v4:5 KUBE-SEP-X",
				"saved-rules /etc/iptables/rules.v4:6 SITE",
				"persistent-service /etc/systemd/system/multi-user.target.wants/netfilter-persistent.service:0 /etc/iptables/rules.v4",
				"persistent-service /etc/systemd/system/multi-user.target.wants/netfilter-persistent.service:0 /etc/iptables/rules.v6",
			},
			"of names that begin alike one is kept",
		},
		{"saved rules that nobody restores", map[string]string{"/etc/iptables/rules.v4": "*nat\n:KUBE-X - [0:0]\nCOMMIT\n"}, nil, ""},
		{
			"ufw",
			map[string]string{
				"/etc/ufw/ufw.conf": "# c\nENABLED=yes\n",
				"/etc/default/ufw":  "DEFAULT_INPUT_POLICY=\"DROP\" # c\nDEFAULT_FORWARD_POLICY='ACCEPT'\nMANAGE_BUILTINS=yes # never\n",
			},
			[]string{"ufw-policy /etc/default/ufw:1 DEFAULT_INPUT_POLICY=DROP", "ufw-manage-builtins /etc/default/ufw:3 yes", "ufw-enabled /etc/ufw/ufw.conf:2 yes"},
			"",
		},
		{"ufw switched off", map[string]string{"/etc/ufw/ufw.conf": "ENABLED=no\n", "/etc/default/ufw": "MANAGE_BUILTINS=yes\n"}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			settings, troubles := machine.Settings(tree(c.files))
			var got []string
			for _, s := range settings {
				got = append(got, fmt.Sprintf("%s %s:%d %s", s.Name, s.File, s.Line, s.Text))
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("settings mismatch (-want +got):\n%s%s", d, c.why)
			}
			if settings == nil {
				t.Error("settings are nil, which says that nobody looked")
			}
			if len(troubles) > 0 {
				t.Errorf("troubles = %q, want none", troubles)
			}
		})
	}
}

// TestSettingsThatCannotBeRead: what is unknown is said, and nothing waits for a
// pipe.
func TestSettingsThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"etc/ufw", "etc/firewalld"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "etc/nftables.conf"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("ufw.conf", filepath.Join(dir, "etc/ufw/ufw.conf")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "etc/firewalld/firewalld.conf"), 0o755); err != nil {
		t.Fatal(err)
	}
	settings, troubles := machine.Settings(os.DirFS(dir))
	want := []string{
		"/etc/firewalld/firewalld.conf could not be read: it is no regular file",
		"/etc/nftables.conf could not be read: it is no regular file",
		"/etc/ufw/ufw.conf could not be read: too many links",
	}
	if d := cmp.Diff(want, troubles); d != "" || len(settings) > 0 {
		t.Errorf("settings = %v, troubles mismatch (-want +got):\n%s", settings, d)
	}
}

// FuzzSettings: no text of a configuration file ends the program, and every line
// that is named is one of the file.
func FuzzSettings(f *testing.F) {
	for _, seed := range []string{"flush ruleset", "include \"/etc/nftables.conf\"", "\"", "flush ruleset ip\\", "a=b\nENABLED=yes # \"x", ":X - [0:0]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		files := map[string]string{"/etc/systemd/system/multi-user.target.wants/iptables.service": "x"}
		for _, p := range []string{"/etc/nftables.conf", "/etc/ufw/ufw.conf", "/etc/default/ufw", "/etc/firewalld/firewalld.conf", "/etc/sysconfig/iptables", nftUnitFile} {
			files[p] = "x" + text
		}
		settings, _ := machine.Settings(tree(files))
		for _, s := range settings {
			if n := strings.Count("x"+text, "\n") + 1; s.Line < 0 || s.Line > n {
				t.Errorf("%s names line %d of %d", s.File, s.Line, n)
			}
		}
	})
}
