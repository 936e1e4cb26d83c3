package property

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// dice make random choices; the same seed makes the same ones.
type dice struct{ *rand.Rand }

func newDice(words ...uint64) dice {
	a, b := uint64(0x9e3779b97f4a7c15), uint64(0xbf58476d1ce4e5b9)
	for _, w := range words {
		a, b = (a^w)*0x94d049bb133111eb, b*0xff51afd7ed558ccd+w
	}
	return dice{rand.New(rand.NewPCG(a, b))}
}

// one is true once in n times.
func (d dice) one(n int) bool { return d.IntN(n) == 0 }

func (d dice) pick(list ...string) string { return list[d.IntN(len(list))] }

// some picks up to n different entries, in random order.
func (d dice) some(n int, list []string) []string {
	list = slices.Clone(list)
	d.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(n, len(list))]
}

var plainScalar = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./]*$`)

// wordsOfYAML are plain scalars that YAML, or a reader of it, may take for
// something else than text.
var wordsOfYAML = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}

// quote writes a text as a YAML scalar in one of its styles.
func (d dice) quote(s string) string {
	switch {
	case plainScalar.MatchString(s) && !slices.Contains(wordsOfYAML, strings.ToLower(s)) && d.one(2):
		return s
	case d.one(3):
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r > 0x7f && d.one(4):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// remarks are texts that are hard to carry from YAML through a rule to the
// kernel and back. None holds a word by which a killall script deletes rules.
var remarks = []string{
	"plain", "two words", `say "hi"`, `it's`, `back\slash`, `ends in \`, `\"both\"`, "größer — 東京 ✓", "a # b", "key: value",
	"a - dash", "j -j ACCEPT", "tab? no", "50%", "$HOME `id`", "{curly} [square]", "!bang", "comma, semi;", `'`, `"`, `\`, `\\`, `"" ''`,
	strings.Repeat("long ", 40), "COMMIT", "*filter", ":INPUT DROP [0:0]", "# no comment", "[1:2] -A INPUT -j DROP", "&anchor *alias", "| > %", "~", "null",
}

func (d dice) remark() string { return remarks[d.IntN(len(remarks))] }

// remarkScalar is a remark where `${` would begin an expression.
func (d dice) remarkScalar() string {
	if d.one(10) {
		return d.quote("cost $${x} " + d.remark())
	}
	return d.quote(d.remark())
}

// chainName makes a name of a chain that is odd but legal.
func (d dice) chainName(prefix string) string {
	tails := []string{"IN", "out", "a.b", "x+y", "1", "A:b", "n/m", "#4", "%s", "[q]", "~t", "k=v", "at@", "(p)", "<l>", "a,b", "$v", "a&b", "c;d", "u_v", "e!f", "p^q", "w|x", "really-long-name-of-it"}
	return clip(prefix + d.pick(tails...) + d.pick("", "", "2", "3", "4", "-z"))
}

// clip cuts a name to what a chain can be called.
func clip(s string) string { return s[:min(len(s), 28)] }
