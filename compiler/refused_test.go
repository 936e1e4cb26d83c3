package compiler

import (
	"strings"
	"testing"

	"hookline/dsl"
	"hookline/dsl/diag"
)

// every holds every place of the language that a value can stand in.
const every = `apiVersion: hookline/v1
kind: Ruleset
metadata:
  name: site
  version: 1.0.0
  description: words
spec:
  families: [ipv4, ipv6]
  backend: auto
  params:
    role: {type: string, enum: [a, b], default: a, description: words}
    ports: {type: map(list(port)), default: {a: [22, 80]}}
  owns:
    chains: [SITE-*]
    sets: [site-*]
    replaces: [kube-ovn]
  participants:
    agent:
      chains: [AGENT-*]
      comments: [agent]
      sets: [ag-*]
      rules: [{in: wt*, target: ACCEPT}]
      nftTables: [inet agent]
  sets:
    site-a: {type: cidr, elements: [192.0.2.0/24]}
  tables:
    filter:
      chains:
        SITE-A:
          families: [ipv4]
          when: params.role == "a"
          rules:
            - -i lo -j RETURN
            - name: one
              when: params.role == "a"
              families: [ipv4]
              match:
                protocol: tcp
                dport: [22, 80]
                source: {set: blocked, ifMissing: skip}
                hashlimit: {name: h, above: 5/minute, mode: [srcip], srcmask: {ipv4: 24}}
                not: {in: [lo, cni+]}
              action: {reject: {with: tcp-reset}}
              comment: words
            - name: two
              forEach: {p: params.ports}
              match: {protocol: udp, dport: "${p.value}"}
              action: {log: {prefix: "x ", level: 4}}
            - {iptables: -j DROP, name: three}
      anchors:
        - hook: INPUT
          name: first
          match: {in: eth0}
          jump: SITE-A
          families: [ipv4]
          when: params.role == "a"
          after: [calico, {chain: X, ifMissing: hold}, {comment: c*}]
          before: [{participant: kubelet}]
          at: first
          ifMissing: {calico: fail}
          comment: words
          force: false
    nat:
      adopt:
        - {hook: PREROUTING, jump: OVN-PREROUTING, after: [cali-PREROUTING], duplicates: collapse, ifMissing: ignore}
    mangle:
      collect:
        - {chain: X, where: rule.comment == "x", reason: words, dropEmpty: true, when: params.role == "a"}
  constraints:
    - name: c
      that: planned.chain("ipv4", "filter", "INPUT").exists
      message: words
      severity: error
      when: params.role == "a"
      families: [ipv4]
`

// TestRefusedValues puts a wrong value into every place of a ruleset: mistakes are
// reported together, so that Compile sees what Parse has refused.
func TestRefusedValues(t *testing.T) {
	doc := func(text string) (*diag.List, int) {
		list := &diag.List{}
		docs, l := dsl.Parse(diag.NewFile("site.yaml", text))
		list.Append(l)
		for _, d := range docs {
			_, l := Compile(d, CompileOptions{WithoutFacts: true})
			list.Append(l)
		}
		return list, len(docs)
	}
	if list, n := doc(every); n != 1 || !onlyUnsupported(list) {
		t.Fatalf("the ruleset is not read whole: %v", list.All())
	}
	wrong := []string{`"\t"`, "~", "[a]", "{a: b}"}
	tried := 0
	for _, span := range values(every) {
		for _, w := range wrong {
			text := every[:span[0]] + w + every[span[1]:]
			tried++
			func() {
				defer func() {
					if r := recover(); r != nil {
						t.Errorf("%s instead of %q, line %d: %v", w, every[span[0]:span[1]], 1+strings.Count(every[:span[0]], "\n"), r)
					}
				}()
				doc(text)
			}()
		}
	}
	if tried < 400 {
		t.Errorf("%d wrong values were tried, want every place of the ruleset", tried)
	}
}

func onlyUnsupported(list *diag.List) bool {
	for _, d := range list.All() {
		if d.Severity == diag.Error && d.Code != diag.UnsupportedBackend {
			return false
		}
	}
	return true
}

// values are the byte ranges of what stands behind "key:" and in lists: whole
// values on the line, and the items and values inside of flow style.
func values(text string) [][2]int {
	var out [][2]int
	at := 0
	for _, line := range strings.SplitAfter(text, "\n") {
		body := strings.TrimRight(line, "\n")
		for i := 0; i+1 < len(body); i++ {
			if (body[i] == ':' || body[i] == '-' || body[i] == ',') && body[i+1] == ' ' {
				out = append(out, [2]int{at + i + 2, at + i + 2 + valueEnd(body[i+2:])})
			}
			if body[i] == '[' || body[i] == '{' {
				out = append(out, [2]int{at + i + 1, at + i + 1 + valueEnd(body[i+1:])})
			}
		}
		if strings.HasSuffix(body, ":") {
			out = append(out, [2]int{at + len(body), at + len(body)})
		}
		at += len(line)
	}
	return out
}

// valueEnd is where a value ends: at the comma or bracket that closes it.
func valueEnd(s string) int {
	depth := 0
	for i, r := range s {
		switch r {
		case '[', '{', '(':
			depth++
		case ']', '}', ')':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(s)
}
