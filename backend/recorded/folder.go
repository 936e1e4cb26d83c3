package recorded

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// parts are the texts of which a snapshot is made.
type parts struct {
	// saves by variant ("" if the file does not say) and family.
	saves map[ir.Variant]map[ir.Family]source
	nft   source // nft -j list ruleset
	ipset source // ipset save
	// archive is a file that Write made; it stands alone, or beside values and facts.
	archive source
	// values and facts of the host, YAML.
	values, facts source
}

// source is one file's name and text; the zero source is no file.
type source struct{ name, text string }

// kind is what a file's name says about its content.
type kind struct {
	variant ir.Variant
	family  ir.Family
	// other is "nft", "ipset", "archive", "values" or "facts" for what is no save.
	other string
}

// wholeNames are the names that say all by themselves.
var wholeNames = map[string]kind{
	"iptables-save": {family: ir.IPv4}, "ip6tables-save": {family: ir.IPv6},
	"iptables-save.txt": {family: ir.IPv4}, "ip6tables-save.txt": {family: ir.IPv6},
	"rules.v4": {family: ir.IPv4}, "rules.v6": {family: ir.IPv6},
	"iptables-nft-save.txt":     {ir.IptablesNFT, ir.IPv4, ""},
	"ip6tables-nft-save.txt":    {ir.IptablesNFT, ir.IPv6, ""},
	"iptables-legacy-save.txt":  {ir.IptablesLegacy, ir.IPv4, ""},
	"ip6tables-legacy-save.txt": {ir.IptablesLegacy, ir.IPv6, ""},
	"nft-list-ruleset.json":     {other: "nft"},
	"ipset-save.txt":            {other: "ipset"},
	"values.yaml":               {other: "values"},
	"facts.yaml":                {other: "facts"},
}

// endings are the ends of names that begin with a name of the user's.
var endings = []struct {
	end  string
	kind kind
}{
	{".nft.v4.save", kind{ir.IptablesNFT, ir.IPv4, ""}},
	{".nft.v6.save", kind{ir.IptablesNFT, ir.IPv6, ""}},
	{".legacy.v4.save", kind{ir.IptablesLegacy, ir.IPv4, ""}},
	{".legacy.v6.save", kind{ir.IptablesLegacy, ir.IPv6, ""}},
	{".v4.save", kind{family: ir.IPv4}},
	{".v6.save", kind{family: ir.IPv6}},
	{".nft.nft.json", kind{other: "nft"}},
	{".nft.json", kind{other: "nft"}},
	{".ipset.save", kind{other: "ipset"}},
	{".txtar", kind{other: "archive"}},
}

// kindOf reads a file's name; prefix is the user's part of it.
func kindOf(name string) (prefix string, k kind, ok bool) {
	name = strings.TrimSuffix(name, ".gz")
	if k, ok := wholeNames[name]; ok {
		return "", k, true
	}
	for _, e := range endings {
		if prefix, ok := strings.CutSuffix(name, e.end); ok && prefix != "" {
			return prefix, e.kind, true
		}
	}
	return "", kind{}, false
}

// readFolder collects the parts in a folder whose names begin with a prefix. If
// the prefix is empty and several are found, it is an error that names them.
func readFolder(dir, prefix string) (*parts, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading a snapshot folder: %w", err)
	}
	var prefixes []string
	for _, e := range entries {
		if p, _, ok := kindOf(e.Name()); ok && p != "" && !slices.Contains(prefixes, p) {
			prefixes = append(prefixes, p)
		}
	}
	if prefix == "" && len(prefixes) > 1 {
		return nil, fmt.Errorf("folder %s holds several snapshots: name one, e.g. %s", dir, filepath.Join(dir, prefixes[0]))
	}
	p := &parts{saves: map[ir.Variant]map[ir.Family]source{}}
	for _, e := range entries {
		got, k, ok := kindOf(e.Name())
		if !ok || e.IsDir() || prefix != "" && got != "" && got != prefix {
			continue
		}
		path := filepath.Join(dir, e.Name())
		text, err := readFile(path)
		if err != nil {
			return nil, err
		}
		if err := p.put(k, source{path, text}); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// put adds one file to the parts.
func (p *parts) put(k kind, s source) error {
	var at *source
	switch k.other {
	case "nft":
		at = &p.nft
	case "ipset":
		at = &p.ipset
	case "archive":
		at = &p.archive
	case "values":
		at = &p.values
	case "facts":
		at = &p.facts
	default:
		if p.saves[k.variant] == nil {
			p.saves[k.variant] = map[ir.Family]source{}
		}
		if old, ok := p.saves[k.variant][k.family]; ok {
			return fmt.Errorf("both %s and %s are a save of %s", old.name, s.name, k.family)
		}
		p.saves[k.variant][k.family] = s
		return nil
	}
	if at.name != "" {
		return fmt.Errorf("%s and %s hold the same part of a snapshot", at.name, s.name)
	}
	*at = s
	return nil
}

// maxFile is how much text a file may hold once it is unpacked.
const maxFile = 1 << 30

// readFile reads a file, unpacked if its name ends in .gz.
func readFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading a snapshot: %w", err)
	}
	defer file.Close()
	var in io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(file); err != nil {
			return "", fmt.Errorf("reading %s: %w", path, err)
		}
	}
	var text strings.Builder
	n, err := io.Copy(&text, io.LimitReader(in, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	if n > maxFile {
		return "", fmt.Errorf("reading %s: it holds more than %d bytes", path, maxFile)
	}
	return text.String(), nil
}

// stat tells what a path names: a folder, a file, or, if there is nothing of
// that name, the files in its folder that begin with its last part.
func stat(path string) (dir, prefix string, isFile bool, err error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return path, "", false, nil
	case err == nil:
		return "", "", true, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", "", false, fmt.Errorf("reading a snapshot: %w", err)
	}
	entries, rerr := os.ReadDir(filepath.Dir(path))
	if rerr == nil {
		for _, e := range entries {
			if p, _, ok := kindOf(e.Name()); ok && p == filepath.Base(path) {
				return filepath.Dir(path), p, false, nil
			}
		}
	}
	return "", "", false, fmt.Errorf("reading a snapshot: %w", err)
}
