package dsl

import "hookline/dsl/diag"

func tableShape() *Shape {
	return &Shape{
		Name: "table", What: "a table", Doc: "Chains of ours and our jumps in shared chains.",
		Fields: []*Field{
			field("chains", mapOf("chains", chainName, chainShape()), "Chains that we own, by name."),
			field("anchors", list("a list of anchors", anchorShape()), "Our jumps in shared chains."),
			field("adopt", list("a list of adopted jumps", adoptShape()), "Jumps whose place and number we manage although somebody else fills the chain."),
			field("collect", list("a list of collections", collectShape()), "Stale rules of somebody else that we remove."),
		},
	}
}

func chainShape() *Shape {
	return &Shape{
		Name: "chain", What: "a chain", Doc: "A chain that we own.",
		Fields: []*Field{
			field("families", families(), "The chain is left out for other families."),
			field("when", scalar(celText, "true"), "The chain is left out if this is false."),
			required("rules", list("a list of rules", ruleShape()), "The rules in order: rule texts, or mappings."),
		},
	}
}

func ruleShape() *Shape {
	return &Shape{
		Name: "rule", What: "a rule", Doc: "A rule: an iptables rule text without -A CHAIN, or a mapping.",
		Text:    ruleText,
		Example: `"-j ACCEPT"`,
		Fields: []*Field{
			field("name", scalar(localName, "ssh"), "Name that addresses the rule in its chain; it is not written to the host."),
			field("when", scalar(celText, "true"), "The rule is left out if this is false."),
			field("forEach", forEachShape(), "Repeats the rule for each item of a list or mapping."),
			field("families", families(), "The rule is left out for other families."),
			field("match", matchShape(), "Conditions; all of them hold."),
			field("action", actionShape(), "What the rule does; without it the rule only counts."),
			field("comment", comments(), "Comment that is written to the rule, or a list of those."),
			field("iptables", scalar(ruleText, `"-j ACCEPT"`), "Raw text for the iptables backends."),
			field("nft", scalar(ruleText, `"accept"`), "Raw text for the nft backend."),
		},
	}
}

func forEachShape() *Shape {
	value := anyValue("argument", argument)
	loop := *value
	loop.Name, loop.What, loop.Text = "", "a list, a mapping or an expression", text(TextShape{Kind: CELText, What: "a list, a mapping or an expression", Template: true})
	loop.Example = "params.list"
	return &Shape{
		Name: "forEach", What: "a forEach", Doc: "One name and what it runs over: {NAME: CEL list or map}.",
		Key: variableName, Entry: &loop, Single: true, Example: "{x: params.list}",
	}
}

// setReference is {set: NAME} in a match.
func setReference() *Shape {
	ifMissing := text(TextShape{What: "a value of ifMissing", Enum: []string{"skip", "fail"}})
	return &Shape{
		Name: "setReference", What: "a set reference", Doc: "Members of a set.", Example: "{set: hosts}",
		Fields: []*Field{
			required("set", scalar(setName, "hosts"), "Name of a set, declared under sets or foreign."),
			field("dirs", listOf("directions", text(TextShape{What: "a direction", Enum: []string{"src", "dst"}}), "src"), "Side of the packet for each part of a set of several: src or dst."),
			field("ifMissing", scalar(ifMissing, "skip"), "What to do if a foreign set is not on the host: fail (default), or skip the rule."),
		},
	}
}

// matchValue accepts a scalar, a list of any-of values and, with sets, {set: NAME}.
func matchValue(what, example string, sets bool) *Shape {
	t := text(TextShape{What: what, Template: true, Free: true})
	item := scalar(t, example)
	s := &Shape{Name: "values", What: what, Doc: "A value, or a list of values of which one holds.", Text: t, Item: item, Example: example}
	if sets {
		s.Name, s.Doc = "members", "A value, a set, or a list of these of which one holds."
		ref := setReference()
		item.Fields, s.Fields = ref.Fields, ref.Fields
		item.MappingWhat, s.MappingWhat = ref.What, ref.What
	}
	return s
}

func matchShape() *Shape {
	fields := matchFields()
	not := &Shape{Name: "notMatch", What: "a negated match", Doc: "Each key is negated by itself; a list means none of them.", Fields: fields}
	return &Shape{
		Name: "match", What: "a match", Doc: "Conditions on a packet; all keys hold.",
		Fields: append(append([]*Field{}, fields...), field("not", not, "Conditions of which none holds; a list means none of its items.")),
	}
}

func matchFields() []*Field {
	word := func(what, example string) *Shape { return matchValue(what, example, false) }
	member := func(what, example string) *Shape { return matchValue(what, example, true) }
	sub := func(name, what string, fields ...*Field) *Shape {
		return &Shape{Name: name, What: what, Doc: "All given keys hold.", Fields: fields}
	}
	return []*Field{
		field("protocol", word("a protocol", "tcp"), "Protocol by name or number."),
		field("source", member("an address", "10.0.0.0/8"), "Source address, prefix, range or set."),
		field("destination", member("an address", "10.0.0.0/8"), "Destination address, prefix, range or set."),
		field("sport", member("a port", "80"), "Source port, range or set."),
		field("dport", member("a port", "80"), "Destination port, range or set."),
		field("in", member("an interface", "eth0"), "Incoming interface or set; + at the end stands for anything."),
		field("out", member("an interface", "eth0"), "Outgoing interface or set; + at the end stands for anything."),
		field("state", word("a conntrack state", "new"), "State of connection tracking: new, established, related, invalid, untracked, snat, dnat."),
		field("mark", member("a mark", "0x1/0x1"), "Mark of the packet: VALUE or VALUE/MASK."),
		field("ctmark", word("a mark", "0x1/0x1"), "Mark of the connection: VALUE or VALUE/MASK."),
		field("icmpType", word("an ICMP type", "echo-request"), "ICMP type, by name or TYPE/CODE."),
		field("icmpv6Type", word("an ICMPv6 type", "echo-request"), "ICMPv6 type, by name or TYPE/CODE."),
		field("tcpFlags", word("TCP flags", `"SYN,ACK SYN"`), "TCP flags: syn, or the flags to look at, a blank, and those of them that are set."),
		field("addrtype", sub("addrtype", "addrtype",
			field("source", word("an address type", "LOCAL"), "Type of the source address."),
			field("destination", word("an address type", "LOCAL"), "Type of the destination address.")), "Type of an address: LOCAL, UNICAST, MULTICAST, ..."),
		field("limit", limitShape(), "At most so many packets in a time, such as 5/minute."),
		field("hashlimit", hashlimitShape(), "Limits for each address or port."),
		field("statistic", statisticShape(), "A part of the packets, by chance or by number."),
		field("owner", sub("owner", "an owner",
			field("uid", word("a user number", "1000"), "User number or range."),
			field("gid", word("a group number", "1000"), "Group number or range.")), "Owner of the local socket."),
		field("mac", member("a MAC address", `"02:00:00:00:00:01"`), "Source MAC address, or set."),
		field("physdev", sub("physdev", "physdev",
			field("in", word("a bridge port", "eth0"), "Bridge port that the packet came in."),
			field("out", word("a bridge port", "eth0"), "Bridge port that the packet leaves."),
			field("bridged", one("true", "true"), "true: the packet is bridged, not routed.")), "Ports of a bridge."),
		field("length", word("a length", "0-100"), "Length of the packet in bytes, or a range."),
		field("ttl", word("a TTL", "64"), "TTL or hop limit."),
		field("helper", word("a conntrack helper", "ftp"), "Conntrack helper of the connection."),
	}
}

func one(what, example string) *Shape {
	return scalar(text(TextShape{What: what, Template: true, Free: true}), example)
}

func limitShape() *Shape {
	rate := one("a rate", "5/minute")
	return &Shape{
		Name: "limit", What: "a rate", Doc: "A rate such as 5/minute, or {rate, burst}.", Text: rate.Text, Example: "5/minute",
		Fields: []*Field{
			required("rate", rate, "Packets per second, minute, hour or day."),
			field("burst", one("a number", "10"), "Packets that may pass at once."),
		},
	}
}

func statisticShape() *Shape {
	return &Shape{
		Name: "statistic", What: "a statistic", Doc: "A part of the packets: {probability}, or {every, packet}.",
		OneOf: [][]string{{"probability"}, {"every", "packet"}},
		Fields: []*Field{
			field("probability", one("a probability", "0.5"), "Part of the packets, between 0 and 1, chosen by chance."),
			field("every", one("a number", "3"), "One packet of so many."),
			field("packet", one("a number", "0"), "Which of them, counted from 0 (default)."),
		},
	}
}

func hashlimitShape() *Shape {
	mask := &Shape{
		What: "a prefix length", Text: one("a prefix length", "24").Text, Example: "24",
		Fields: []*Field{
			field("ipv4", one("a prefix length", "24"), "Prefix length of IPv4 addresses."),
			field("ipv6", one("a prefix length", "64"), "Prefix length of IPv6 addresses."),
		},
	}
	return &Shape{
		Name: "hashlimit", What: "a hashlimit", Doc: "A rate for each group of addresses or ports.",
		OneOf: either("upto", "above"),
		Fields: []*Field{
			required("name", one("a name", "web"), "Name of the table of counters in the kernel."),
			field("upto", one("a rate", "5/minute"), "Holds up to this rate."),
			field("above", one("a rate", "5/minute"), "Holds above this rate."),
			field("burst", one("a number", "10"), "Packets that may pass at once."),
			field("mode", matchValue("a mode", "srcip", false), "What is counted by: srcip, srcport, dstip, dstport."),
			field("srcmask", mask, "Prefix length by which sources are grouped; one for each family."),
			field("dstmask", mask, "Prefix length by which destinations are grouped; one for each family."),
			field("htableSize", one("a number", "1024"), "Buckets of the table."),
			field("htableMax", one("a number", "4096"), "Most entries of the table."),
			field("htableExpire", one("a number", "10000"), "Milliseconds after which an entry is forgotten."),
		},
	}
}

// actionWords are the actions that need no argument.
var actionWords = []string{"accept", "drop", "return", "reject", "masquerade", "redirect", "log"}

func actionShape() *Shape {
	args := func(what string, oneOf [][]string, fields ...*Field) *Shape {
		return &Shape{What: what, Fields: fields, OneOf: oneOf}
	}
	chain := scalar(chainName, "SITE")
	yes := one("true", "true")
	prefix := field("prefix", one("a prefix", `"SITE "`), "Text in front of each line; iptables keeps 29 bytes, nflog 63.")
	s := &Shape{
		Name: "action", What: "an action", Doc: "What the rule does: a word, or {KIND: arguments} with one kind.",
		Text:    text(TextShape{What: "an action", Enum: actionWords, Code: diag.UnknownKey}),
		Example: "accept",
		Fields: []*Field{
			field("reject", args("reject", nil, field("with", one("an answer", "admin-prohibited"), "What is answered.")), "Refuses the packet with an answer."),
			field("jump", chain, "Goes on in a chain and comes back."),
			field("goto", chain, "Goes on in a chain and does not come back."),
			field("log", args("log", nil, prefix, field("level", one("a level", "warning"), "Level of the kernel's log.")), "Writes a line to the kernel's log."),
			field("nflog", args("nflog", nil, field("group", one("a group", "1"), "Group of nflog."), prefix), "Hands the packet to a program that logs."),
			field("dnat", args("dnat", nil, required("to", matchValue("an address", "192.0.2.1:80", false), "Address, range, ports; a list has one for each family.")), "Rewrites the destination."),
			field("snat", args("snat", nil, required("to", matchValue("an address", "192.0.2.1", false), "Address, range, ports; a list has one for each family."),
				field("randomFully", yes, "Chooses source ports at random.")), "Rewrites the source."),
			field("masquerade", args("masquerade", nil, field("randomFully", yes, "Chooses source ports at random.")), "Rewrites the source to the address of the outgoing interface."),
			field("redirect", args("redirect", nil, field("to", one("a port", "8080"), "Port or range of ports.")), "Rewrites the destination to this host."),
			field("mark", args("mark", either("set", "xor"),
				field("set", one("a mark", "0x1/0x1"), "VALUE or VALUE/MASK."),
				field("xor", one("a value", "0x1"), "Bits that are turned over.")), "Sets the packet's mark."),
			field("connmark", args("connmark", either("set", "save", "restore"),
				field("set", one("a mark", "0x1/0x1"), "VALUE or VALUE/MASK."),
				field("save", yes, "true or a mask: copies the packet's mark to the connection."),
				field("restore", yes, "true or a mask: copies the connection's mark to the packet.")), "Sets or copies the connection's mark."),
			field("ct", args("ct", either("zone", "notrack", "helper"),
				field("zone", one("a zone", "1"), "Zone of connection tracking."),
				field("notrack", yes, "true: the packet is not tracked."),
				field("helper", one("a conntrack helper", "ftp"), "Helper of the connection.")), "Steers connection tracking."),
			field("tcpmss", args("tcpmss", either("set", "clampToPMTU"),
				field("set", one("a segment size", "1360"), "Segment size in bytes."),
				field("clampToPMTU", yes, "true: the size that fits the path.")), "Changes the maximum segment size of TCP."),
			field("tproxy", args("tproxy", nil, required("port", one("a port", "8080"), "Port of the proxy."),
				field("address", one("an address", "127.0.0.1"), "Address of the proxy."),
				field("mark", one("a mark", "0x1/0x1"), "Mark that the packet gets.")), "Hands the packet to a local proxy."),
			field("dscp", args("dscp", nil, required("set", one("a DSCP value", "10"), "Value or class.")), "Sets the DSCP field."),
		},
	}
	var kinds []string
	for _, f := range s.Fields {
		kinds = append(kinds, f.Name)
	}
	s.OneOf = either(kinds...)
	return s
}

// comments is a comment that is written to the host, or several.
func comments() *Shape {
	t := text(TextShape{What: "a comment", Template: true, Free: true})
	return &Shape{What: "a comment", Text: t, Item: scalar(t, "text"), Example: "text"}
}

// duplicatesWord is what to do with copies of a jump.
var duplicatesWord = text(TextShape{What: "a value of duplicates", Enum: []string{"collapse", "keep"}})

// missingWord is what to do without a reference.
var missingWord = text(TextShape{What: "a value of ifMissing", Enum: []string{"ignore", "fail", "hold"}})

func refShape() *Shape {
	var conditions []string
	for _, f := range globFields(refGlob) {
		conditions = append(conditions, f.Name)
	}
	missing := field("ifMissing", scalar(missingWord, "ignore"), "What to do if the reference is not on the host.")
	return &Shape{
		Name: "reference", What: "a reference", Doc: "A participant or a chain by name, {chain: NAME}, {participant: NAME}, or conditions on a rule of which all hold.",
		Text: refName, Example: "calico",
		OneOf: [][]string{{"chain"}, {"participant"}, conditions},
		Fields: append([]*Field{
			field("chain", scalar(chainName, "KUBE-SERVICES"), "Jumps to this chain, whoever owns it."),
			field("participant", scalar(refName, "calico"), "Rules of this participant; NAME/tail for those at the end."),
			missing,
		}, globFields(refGlob)...),
	}
}

// placementFields are what anchors and adopted jumps have in common.
func placementFields() []*Field {
	at := text(TextShape{What: "a place", Enum: []string{"first", "last"}})
	ifMissing := &Shape{
		What: "ifMissing", Text: missingWord, Key: refName, Entry: scalar(missingWord, "ignore"), Example: "ignore",
		Doc: "One word for all references, or a word by name.",
	}
	return []*Field{
		required("hook", scalar(chainName, "INPUT"), "Shared chain that the jump stands in: a base chain, or one that a program gives to its users."),
		field("families", families(), "The jump is left out for other families."),
		field("when", scalar(celText, "true"), "The jump is left out if this is false."),
		field("match", matchShape(), "Condition on the jump."),
		field("iptables", scalar(ruleText, `"-m rpfilter"`), "Condition on the jump as iptables text, in place of match."),
		field("after", list("a list of references", refShape()), "The jump stands behind the last rule of each."),
		field("before", list("a list of references", refShape()), "The jump stands ahead of the first rule of each."),
		field("at", scalar(at, "first"), "End of the free room to take when the jump is put in or moved."),
		field("ifMissing", ifMissing, "What to do if a reference is not on the host: ignore (default), fail or hold."),
		field("force", scalar(boolWord, "true"), "Makes a placement that another program undoes a warning."),
	}
}

func anchorShape() *Shape {
	return &Shape{
		Name: "anchor", What: "an anchor", Doc: "A jump of ours in a shared chain.", OneOf: either("jump", "goto"),
		Fields: append(placementFields(),
			field("name", scalar(localName, "entry"), "Name of the anchor; the chain that it jumps to if absent."),
			field("jump", scalar(chainName, "SITE"), "Chain of ours that the jump goes to."),
			field("goto", scalar(chainName, "SITE"), "Like jump, without coming back."),
			field("comment", comments(), "Comment behind hookline:NAME, or a list of those."),
			field("duplicates", scalar(duplicatesWord, "keep"), "collapse (default) keeps one copy of the jump, keep leaves those that stand."),
		),
	}
}

func adoptShape() *Shape {
	return &Shape{
		Name: "adopt", What: "an adopted jump", Doc: "A jump of somebody else whose place and number we manage.", OneOf: either("jump", "goto"),
		Fields: append(placementFields(),
			field("name", scalar(localName, "entry"), "Name of the entry; the chain that it jumps to if absent."),
			field("jump", scalar(chainName, "OVN-PREROUTING"), "Chain that the jump goes to."),
			field("goto", scalar(chainName, "OVN-PREROUTING"), "Like jump, without coming back."),
			field("duplicates", scalar(duplicatesWord, "collapse"), "collapse keeps one copy of the jump."),
		),
	}
}

func collectShape() *Shape {
	return &Shape{
		Name: "collect", What: "a collection", Doc: "Removes rules of somebody else, chosen by an expression, and nothing but those.",
		Fields: []*Field{
			required("chain", scalar(chainName, "KUBE-VIP-EGRESS"), "Chain to look in."),
			required("where", scalar(celText, `'rule.comment == "x"'`), "CEL over rule and params that chooses the rules."),
			field("reason", scalar(proseText, "text"), "Why the rules are stale; shown in the plan."),
			field("dropEmpty", scalar(boolWord, "true"), "Removes the chain and the jumps to it once nothing is left in it."),
			field("families", families(), "Nothing is collected for other families."),
			field("when", scalar(celText, "true"), "Nothing is collected if this is false."),
		},
	}
}
