package machine

import (
	"path"
	"strings"
)

// unitDirs are the folders of units that an administrator and the runtime fill,
// strongest first, then those of packages (systemd.unit(5)).
var unitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// enabled is the link by which systemd starts a unit, or "" if it does not. A
// masked unit is never started.
func (t *tree) enabled(unit string) string {
	if t.masked(unit) {
		return ""
	}
	for _, dir := range unitDirs {
		for _, entry := range t.list(dir) {
			if !strings.HasSuffix(entry, ".wants") && !strings.HasSuffix(entry, ".requires") {
				continue
			}
			if link := path.Join(dir, entry, unit); t.there(link) {
				return link
			}
		}
	}
	return ""
}

// masked tells whether a unit is a link to /dev/null, or an empty file.
func (t *tree) masked(unit string) bool {
	for _, dir := range unitDirs[:2] {
		p := path.Join(dir, unit)
		if !t.there(p) {
			continue
		}
		if text, err := t.load(p); err == nil {
			return strings.TrimSpace(text) == ""
		}
		real, err := t.resolve(p)
		return err != nil || real == "/dev/null"
	}
	return false
}

// unitFile is a unit's own file, the strongest one, and its text.
func (t *tree) unitFile(unit string) (file, text string) {
	for _, dir := range unitDirs {
		p := path.Join(dir, unit)
		if !t.there(p) {
			continue
		}
		if text, ok := t.read(p); ok {
			return p, text
		}
		return p, ""
	}
	return "", ""
}

// command is one line of a unit that runs a program.
type command struct {
	file string
	line int
	key  string // ExecStart, ...
	text string
}

// commands are the lines of a unit that run programs, drop-ins included.
func (t *tree) commands(unit string) []command {
	file, text := t.unitFile(unit)
	if file == "" {
		return nil
	}
	out := commandsIn(file, text)
	for _, dir := range unitDirs {
		for _, conf := range t.list(path.Join(dir, unit+".d")) {
			if !strings.HasSuffix(conf, ".conf") {
				continue
			}
			p := path.Join(dir, unit+".d", conf)
			if text, ok := t.read(p); ok {
				out = override(out, commandsIn(p, text))
			}
		}
	}
	return out
}

func commandsIn(file, text string) []command {
	var out []command
	n := 0
	for line := range strings.Lines(text) {
		n++
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && strings.HasPrefix(key, "Exec") {
			out = append(out, command{file, n, strings.TrimSpace(key), strings.TrimSpace(value)})
		}
	}
	return out
}

// override adds a drop-in's lines: an empty one takes away what was there.
func override(have, more []command) []command {
	for _, c := range more {
		if c.text != "" {
			have = append(have, c)
			continue
		}
		var kept []command
		for _, h := range have {
			if h.key != c.key {
				kept = append(kept, h)
			}
		}
		have = kept
	}
	return have
}
