package dsl

import (
	"sync"

	"hookline/dsl/diag"
)

// APIVersion and Kind are what a document must say of itself.
const (
	APIVersion = "hookline/v1"
	Kind       = "Ruleset"
)

// Grammar is the shape of a ruleset document. It is read-only.
var Grammar = sync.OnceValue(newGrammar)

func newGrammar() *Shape {
	apiVersion := text(TextShape{What: "an apiVersion", Enum: []string{APIVersion}, Code: diag.APIVersion})
	kind := text(TextShape{What: "a kind", Enum: []string{Kind}, Code: diag.APIVersion})
	metadata := &Shape{
		Name: "metadata", What: "metadata", Doc: "What the ruleset is called.",
		Fields: []*Field{
			required("name", scalar(metadataName, "site"), "Name of the ruleset, unique on a host; part of the comment of every anchor."),
			required("version", scalar(versionText, "1.0.0"), "Semantic version of this ruleset, shown in plans and recorded when it is applied."),
			field("description", scalar(proseText, "text"), "What the ruleset is for."),
		},
	}
	return &Shape{
		Name: "document", What: "a ruleset", Doc: "A ruleset: what we own on a host, where our jumps stand, and what must hold.",
		Fields: []*Field{
			required("apiVersion", scalar(apiVersion, APIVersion), "Version of the ruleset language."),
			required("kind", scalar(kind, Kind), "Kind of the document."),
			required("metadata", metadata, "Name, version and description of the ruleset."),
			required("spec", specShape(), "The ruleset itself."),
		},
	}
}

func specShape() *Shape {
	backend := text(TextShape{What: "a backend", Enum: []string{"auto", "iptables-nft", "iptables-legacy", "nft"}})
	intrusions := text(TextShape{What: "a value of intrusions", Enum: []string{"tolerate", "remove", "fail"}})
	table := text(TextShape{What: "a table", Enum: []string{"raw", "mangle", "nat", "filter", "security"}})
	return &Shape{
		Name: "spec", What: "a spec", Doc: "The ruleset itself.",
		Fields: []*Field{
			field("families", families(), "Address families of the ruleset; both if absent. A rule with addresses goes to its own family only."),
			field("backend", scalar(backend, "auto"), "Kind of tables to write; auto is the iptables variant in use."),
			field("counters", scalar(boolWord, "true"), "false: rules of the nft backend do not count, but for those that do nothing else. iptables always counts."),
			field("intrusions", scalar(intrusions, "tolerate"), "What to do with rules that other programs put into our table of nftables: tolerate (default, a warning), remove, or fail. iptables has no such table."),
			field("params", mapOf("params", variableName, paramShape()), "Typed variables of expressions, by name."),
			field("owns", ownsShape(), "Names of chains and sets that belong to this ruleset alone."),
			field("participants", mapOf("participants", participantName, participantShape()), "Programs that write rules on the host, added to the built-in catalogue."),
			field("sets", mapOf("sets", setName, setShape()), "Sets of addresses, ports and the like, by name."),
			field("tables", mapOf("tables", table, tableShape()), "Chains and jumps, by table."),
			field("constraints", list("a list of constraints", constraintShape()), "What must hold on the host, before and after."),
		},
	}
}

// families narrows what it stands in.
func families() *Shape {
	s := list("a list of families", scalar(familyWord, "ipv4"))
	s.NonEmpty = true
	return s
}

// mapOf is a mapping whose keys are free.
func mapOf(what string, key *TextShape, entry *Shape) *Shape {
	return &Shape{What: "a mapping of " + what, Key: key, Entry: entry}
}

// listOf is a list of that text.
func listOf(what string, t *TextShape, example string) *Shape {
	return list("a list of "+what, scalar(t, example))
}

// anyValue accepts scalars, lists and mappings of them.
func anyValue(name string, t *TextShape) *Shape {
	s := &Shape{Name: name, What: "a value", Doc: "A value of any shape.", Text: t, Key: factName, Example: "x"}
	s.Item, s.Entry = s, s
	return s
}

func paramShape() *Shape {
	value := anyValue("value", literalOf)
	return &Shape{
		Name: "param", What: "a param", Doc: "A typed variable.",
		Fields: []*Field{
			required("type", scalar(typeText, "string"), "Type: string, bool, int, port, address, cidr, interface, mark, duration, list(T) or map(T)."),
			field("default", value, "Value if nothing sets the param."),
			field("enum", list("a list of values", value), "All values that are allowed."),
			field("description", scalar(proseText, "text"), "What the param is for."),
		},
	}
}

func ownsShape() *Shape {
	return &Shape{
		Name: "owns", What: "owns", Doc: "Globs with * of the names that belong to this ruleset alone.",
		Fields: []*Field{
			field("chains", listOf("globs", chainGlob, `"SITE-*"`), "Chains; the declared ones and those recorded at the last apply if absent."),
			field("sets", listOf("globs", setGlob, `"site-*"`), "Sets; the declared ones if absent."),
			field("replaces", listOf("participants", participantName, "kube-ovn"), "Participants whose names this ruleset takes over."),
		},
	}
}

// globFields are the conditions on a rule of somebody else, each a glob of a kind.
func globFields(glob *TextShape) []*Field {
	f := func(name, doc string) *Field { return field(name, scalar(glob, `"x*"`), doc) }
	return []*Field{
		f("comment", "Glob that one of the rule's comments matches."),
		f("text", "Glob that the rule's text matches."),
		f("target", "Glob of the rule's target."),
		f("in", "Glob of the incoming interface."),
		f("out", "Glob of the outgoing interface."),
		f("set", "Glob of a set that the rule matches."),
	}
}

func participantShape() *Shape {
	glob := &Shape{Name: "ruleGlob", What: "a rule glob", Doc: "All given keys hold; values are globs with *.", Fields: globFields(textGlob)}
	return &Shape{
		Name: "participant", What: "a participant", Doc: "How a program's rules are recognised.",
		Fields: []*Field{
			field("chains", listOf("globs", chainGlob, `"AGENT-*"`), "Chains of the program."),
			field("comments", listOf("globs", textGlob, `"agent:*"`), "Comments of its rules."),
			field("sets", listOf("globs", setGlob, `"ag-*"`), "Sets of the program."),
			field("rules", list("a list of rule globs", glob), "Its rules that have neither such a chain nor such a comment."),
			field("nftTables", listOf("nftables tables", nftTable, `"inet agent"`), "Its nftables tables: family and name."),
		},
	}
}

func setShape() *Shape {
	setType := text(TextShape{What: "a set type", Problem: setTypeProblem, MaxBytes: 128})
	element := text(TextShape{What: "an element", Template: true, Free: true})
	seconds := one("a duration", "1h")
	item := scalar(element, "10.0.0.0/8")
	item.MappingWhat = "an element with a comment or a timeout"
	item.Fields = []*Field{
		required("element", scalar(element, "10.0.0.0/8"), "The element, or one expression that yields a list of them."),
		field("comment", one("a comment", "text"), "Comment that the kernel keeps beside the element."),
		field("timeout", seconds, "Time after which the element ends: seconds, or a duration such as 12h."),
	}
	return &Shape{
		Name: "set", What: "a set", Doc: "A set in the kernel, NAME for one family, NAME-4 and NAME-6 for two.",
		Fields: []*Field{
			required("type", scalar(setType, "cidr"), "Type of the elements: address, cidr, port, interface, mac, mark, or several of these with \" . \" between them."),
			field("families", families(), "Address families of the set; those of the ruleset if absent."),
			field("elements", &Shape{What: "a list of elements", Item: item, Text: element, Example: "[10.0.0.0/8]"}, "The elements, or one expression that yields them."),
			field("file", scalar(text(TextShape{What: "a file name", Problem: fileProblem, Free: true}), "blocklist.txt"), "File beside the ruleset with one element in a line; a # begins a comment."),
			field("timeout", seconds, "Time after which elements end that have no timeout of their own."),
		},
	}
}

func constraintShape() *Shape {
	severity := text(TextShape{What: "a severity", Enum: []string{"error", "warning"}})
	return &Shape{
		Name: "constraint", What: "a constraint", Doc: "An expression that must be true of the host.",
		Fields: []*Field{
			required("name", scalar(localName, "ours-first"), "Name of the constraint."),
			required("that", scalar(celText, "true"), "CEL over params, facts, live and planned."),
			field("message", scalar(proseText, "text"), "What it means if the expression is false."),
			field("severity", scalar(severity, "error"), "error stops the apply, warning is reported."),
			field("when", scalar(celText, "true"), "The constraint is left out if this is false."),
			field("families", families(), "The constraint is left out for other families."),
		},
	}
}
