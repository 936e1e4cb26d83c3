package property

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"hookline/compiler/ir"
	"hookline/internal/converge"
	"hookline/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Main(m)) }

const (
	// perHost is the number of rounds that share a namespace and a recorded node.
	perHost = 20
	// mostKept bounds the broken rounds that are written down.
	mostKept = 20
	// mostRefused is the share of rulesets, in percent, that may be refused before
	// the test says too little.
	mostRefused = 20
)

// tally counts what the rounds of a variant were about.
type tally struct {
	sync.Mutex
	rounds, recorded, clean, killed, ops, collected, wrong int
	refused                                                map[string]int
}

func (c *tally) String() string {
	n := 0
	var codes []string
	for _, code := range slices.Sorted(maps.Keys(c.refused)) {
		n += c.refused[code]
		codes = append(codes, fmt.Sprintf("%s %d", code, c.refused[code]))
	}
	return fmt.Sprintf("%d rounds (%d on recorded nodes, %d without anything of ours before, %d killed), %d ops, %d rules and chains of others collected, %d refused (%s), %d wrong",
		c.rounds, c.recorded, c.clean, c.killed, c.ops, c.collected, n, strings.Join(codes, ", "), c.wrong)
}

// number reads a variable of the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s=%q is no number", name, s)
	}
	return n
}

func TestRandomRulesets(t *testing.T) {
	rounds := 100
	if os.Getenv("HOOKLINE_LONG") == "1" {
		rounds = 2000
	}
	rounds = number(t, "HOOKLINE_ROUNDS", rounds)
	seed, only := number(t, "HOOKLINE_SEED", 1), number(t, "HOOKLINE_ROUND", -1)
	rounds = max(rounds, only+1)
	t.Logf("seed %d", seed)
	for _, kind := range []string{"nft", "legacy"} {
		t.Run(kind, func(t *testing.T) {
			count := &tally{refused: map[string]int{}}
			nodes := recordedNodes(t, kind)
			t.Run("rounds", func(t *testing.T) {
				for first := 0; first < rounds; first += perHost {
					if only >= 0 && (only < first || only >= first+perHost) {
						continue
					}
					t.Run(strconv.Itoa(first), func(t *testing.T) {
						t.Parallel()
						n := nodes[first/perHost%len(nodes)]
						h := newHost(t, kind, hostSets+n.sets)
						for i := first; i < min(first+perHost, rounds); i++ {
							if only < 0 || only == i {
								oneRound(t, h, n, seed, i, count)
							}
						}
					})
				}
			})
			t.Log(count)
			n := 0
			for _, c := range count.refused {
				n += c
			}
			if only < 0 && rounds >= 100 && count.collected == 0 {
				t.Error("nothing of others was collected: the test says too little")
			}
			if only < 0 && n*100 > count.rounds*mostRefused {
				t.Errorf("%d of %d rulesets are refused: the test says too little", n, count.rounds)
			}
		})
	}
}

// oneRound makes the ruleset and the state of a round and runs it.
func oneRound(t *testing.T, h *host, n node, seed, i int, count *tally) {
	t.Helper()
	d := newDice(uint64(seed), uint64(i))
	_, facts := h.glance()
	r := &round{host: h, rules: newRuleset(d, pool(t), allUsers()), facts: facts, kill: i%7 == 3, recorded: d.one(3) && allUsers()}
	states := map[ir.Family]save{}
	for _, f := range ir.Families {
		states[f] = randomState(d, f, pool(t))
		if r.recorded {
			states[f] = readSave(n.saves[f].String())
		}
		if !r.rules.clean {
			states[f] = litter(d, states[f], r.rules)
		}
	}
	if d.one(2) {
		r.store = converge.OpenStore(t.TempDir())
	}
	if err := h.load(states); err != nil {
		r.errorf("the state cannot be loaded: %v", err)
		r.before = map[ir.Family]string{ir.IPv4: states[ir.IPv4].String(), ir.IPv6: states[ir.IPv6].String()}
	} else {
		r.run()
	}
	count.Lock()
	defer count.Unlock()
	count.rounds++
	count.ops += r.ops
	count.collected += r.collected
	for what, is := range map[*int]bool{&count.recorded: r.recorded, &count.clean: r.rules.clean, &count.killed: r.rewrote} {
		if is {
			*what++
		}
	}
	if r.refused != "" {
		count.refused[r.refused]++
		t.Logf("round %d is refused: %s", i, r.why)
	}
	if len(r.wrong) == 0 {
		return
	}
	count.wrong++
	if count.wrong > mostKept {
		t.Errorf("round %d: %s", i, r.wrong[0])
		return
	}
	dir, err := r.keep(filepath.Join(os.TempDir(), fmt.Sprintf("hookline-property-%s-%d-%d", h.kind, seed, i)))
	if err != nil {
		t.Error(err)
	}
	t.Errorf("round %d: %s\nruleset and host are in %s; HOOKLINE_SEED=%d HOOKLINE_ROUND=%d runs it again", i, strings.Join(r.wrong, "\n"), dir, seed, i)
}

// allUsers tells whether the kernel knows every user number. In a user namespace
// of one user it refuses the others, and a transaction of more than some 250 rules
// (FIELD M-3), such as a recorded node.
var allUsers = sync.OnceValue(func() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(text))
	return err == nil && len(f) == 3 && f[2] != "1"
})
