package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const head = `<!-- Made by make field-tests from the results of the suite. Do not edit. -->
# Field tests

What went wrong on real nodes, and what shows that it does not go wrong here. Each line is a scenario or a test that
passed, in a private network namespace on a real kernel where it writes, and says on which backends and for
which families. The series are H (Harvester), R (RKE2), N (k3s with NetBird), F (flannel), V (kube-vip) and T (everything
that is written).

| ID | what must hold | shown by | iptables-nft | iptables-legacy | nft |
|---|---|---|---|---|---|
`

// variants are the columns.
var variants = []string{"iptables-nft", "iptables-legacy", "nft"}

// write prints the page, or says which IDs nothing shows.
func write(out io.Writer, rows []*row) error {
	var b strings.Builder
	b.WriteString(head)
	var errs []error
	for _, r := range rows {
		slices.SortFunc(r.shown, func(a, b *shown) int { return strings.Compare(a.name, b.name) })
		switch {
		case len(r.shown) == 0 && r.why == "":
			errs = append(errs, fmt.Errorf("%s has no test and no reason", r.name))
		case len(r.shown) == 0:
			fmt.Fprintf(&b, "| %s | %s | nothing: %s | | | |\n", r.name, r.what, r.why)
		case r.why != "":
			errs = append(errs, fmt.Errorf("%s has a test and a reason why it has none", r.name))
		}
		for i, s := range r.shown {
			name, what := r.name, r.what
			if i > 0 {
				name, what = "", ""
			}
			fmt.Fprintf(&b, "| %s | %s | %s |", name, what, s.name)
			for _, v := range variants {
				fmt.Fprintf(&b, " %s |", cell(s, v))
			}
			b.WriteString("\n")
		}
		if r.rest != "" {
			fmt.Fprintf(&b, "| | | not shown: %s | | | |\n", r.rest)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// cell says for which families a test passed on a variant.
func cell(s *shown, variant string) string {
	families, ok := s.on[variant]
	switch {
	case !ok:
		return "-"
	case len(families) == 0:
		return "passed"
	}
	return "passed: " + strings.Join(families, ", ")
}
