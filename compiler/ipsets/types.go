package ipsets

import (
	"fmt"
	"slices"

	"hookline/compiler/ir"
)

// layout is how a type of ipset holds a type of the language.
type layout struct {
	name   string
	fields ir.SetType
	// noFamily tells that the ipset belongs to both families.
	noFamily bool
	// anyNet tells that the ipset has a network ahead of what the set holds, which is
	// always the whole family.
	anyNet bool
	// whole tells that the ipset holds /0.
	whole bool
}

var layouts = []layout{
	{name: "hash:ip", fields: ir.SetType{ir.AddressField}},
	{name: "hash:net", fields: ir.SetType{ir.CIDRField}},
	{name: "bitmap:port", fields: ir.SetType{ir.PortField}, noFamily: true},
	{name: "hash:mac", fields: ir.SetType{ir.MACField}, noFamily: true},
	{name: "hash:net,iface", fields: ir.SetType{ir.InterfaceField}, anyNet: true, whole: true},
	{name: "hash:net,iface", fields: ir.SetType{ir.CIDRField, ir.InterfaceField}, whole: true},
	{name: "hash:net,iface", fields: ir.SetType{ir.AddressField, ir.InterfaceField}, whole: true},
	{name: "hash:ip,port", fields: ir.SetType{ir.AddressField, ir.PortField}},
	{name: "hash:net,port", fields: ir.SetType{ir.CIDRField, ir.PortField}},
	{name: "hash:ip,mark", fields: ir.SetType{ir.AddressField, ir.MarkField}},
	{name: "hash:ip,mac", fields: ir.SetType{ir.AddressField, ir.MACField}},
	{name: "hash:net,net", fields: ir.SetType{ir.AddressField, ir.AddressField}},
	{name: "hash:net,net", fields: ir.SetType{ir.AddressField, ir.CIDRField}},
	{name: "hash:net,net", fields: ir.SetType{ir.CIDRField, ir.AddressField}},
	{name: "hash:net,net", fields: ir.SetType{ir.CIDRField, ir.CIDRField}},
	{name: "hash:ip,port,ip", fields: ir.SetType{ir.AddressField, ir.PortField, ir.AddressField}},
	{name: "hash:ip,port,net", fields: ir.SetType{ir.AddressField, ir.PortField, ir.CIDRField}},
	{name: "hash:net,port,net", fields: ir.SetType{ir.CIDRField, ir.PortField, ir.AddressField}},
	{name: "hash:net,port,net", fields: ir.SetType{ir.CIDRField, ir.PortField, ir.CIDRField}},
}

// typeOf finds the layout of a type; the problem says why there is none.
func typeOf(t ir.SetType) (l layout, problem string) {
	i := slices.IndexFunc(layouts, func(l layout) bool { return slices.Equal(l.fields, t) })
	switch {
	case i >= 0:
		return layouts[i], ""
	case len(t) == 1:
		return layout{}, fmt.Sprintf("ipset has no type for %s alone", t)
	}
	return layout{}, fmt.Sprintf("ipset has no type for %s", t)
}

// Supported says why no ipset holds a type of the language, or "".
func Supported(t ir.SetType) string {
	_, problem := typeOf(t)
	return problem
}

// features of a type that a swap must not change, besides the family: the kernel
// compares them, and they are the parts of the type's name but for hash:ip, which
// has no exceptions (nomatch).
func swaps(from, to string) bool { return from == to }
