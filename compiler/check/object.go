package check

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// typePrefix begins the names of our object types. The blank keeps them apart
// from every name that an expression can hold.
const typePrefix = "hookline "

// class is a type of object that expressions can select fields of.
type class struct {
	name   string
	typ    *cel.Type
	fields map[string]field
	// open classes have a dynamic field of every other name.
	open func(name string) field
}

// field is one field of a class. get is given the data of an object of the
// class; it may answer with an error or an unknown.
type field struct {
	typ *cel.Type
	get func(data any) ref.Val
	// has answers has(x.f); nil means that the field is always there.
	has func(data any) bool
}

func newClass(name string) *class {
	return &class{name: name, typ: cel.ObjectType(typePrefix + name), fields: map[string]field{}}
}

// object makes a value of the class.
func (c *class) object(data any) object { return object{c, data} }

func (c *class) field(name string) (field, bool) {
	if f, found := c.fields[name]; found {
		return f, true
	}
	if c.open != nil {
		return c.open(name), true
	}
	return field{}, false
}

// names lists the fields in the order of the alphabet.
func (c *class) names() []string { return slices.Sorted(maps.Keys(c.fields)) }

// define adds a field whose getter knows the type of the object's data.
func define[T any](c *class, name string, typ *cel.Type, get func(T) ref.Val) {
	c.fields[name] = field{typ: typ, get: func(data any) ref.Val {
		v, ok := data.(T)
		if !ok {
			return types.NewErr("the value is no %s", c.name)
		}
		return get(v)
	}}
}

// object is a value of a class: a CEL value that hides Go data.
type object struct {
	class *class
	data  any
}

// comparer is data that is equal to other data by what it says, not by identity.
type comparer interface{ equal(other any) bool }

// ConvertToNative implements ref.Val; objects do not leave expressions.
func (o object) ConvertToNative(reflect.Type) (any, error) {
	return nil, fmt.Errorf("a %s cannot be the result of an expression", o.class.name)
}

// ConvertToType implements ref.Val.
func (o object) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return o.class.typ
	}
	return types.NewErr("a %s cannot become a %s", o.class.name, t.TypeName())
}

// Equal implements ref.Val.
func (o object) Equal(other ref.Val) ref.Val {
	p, ok := other.(object)
	if !ok || p.class != o.class {
		return types.False
	}
	if c, ok := o.data.(comparer); ok {
		return types.Bool(c.equal(p.data))
	}
	return types.Bool(o.data == p.data)
}

// Type implements ref.Val.
func (o object) Type() ref.Type { return o.class.typ }

// Value implements ref.Val.
func (o object) Value() any { return o.data }

// Get implements traits.Indexer for objects whose type got lost in a dynamic
// value.
func (o object) Get(index ref.Val) ref.Val {
	name, ok := index.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(index)
	}
	f, found := o.class.field(string(name))
	if !found {
		return types.NewErr("a %s has no field %q", o.class.name, string(name))
	}
	return f.get(o.data)
}

// IsSet implements traits.FieldTester for the same case.
func (o object) IsSet(index ref.Val) ref.Val {
	name, ok := index.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(index)
	}
	f, found := o.class.field(string(name))
	return types.Bool(found && (f.has == nil || f.has(o.data)))
}

// provider tells CEL about our classes and about the names of CEL's own types.
// Nothing else can be named: protocol buffers have no place in a ruleset.
type provider struct {
	base    types.Provider
	classes map[string]*class
}

func (p *provider) with(classes ...*class) *provider {
	n := &provider{base: p.base, classes: maps.Clone(p.classes)}
	if n.classes == nil {
		n.classes = map[string]*class{}
	}
	for _, c := range classes {
		n.classes[c.typ.TypeName()] = c
	}
	return n
}

// EnumValue implements types.Provider.
func (p *provider) EnumValue(name string) ref.Val { return types.NewErr("unknown name %q", name) }

// FindIdent implements types.Provider.
func (p *provider) FindIdent(name string) (ref.Val, bool) {
	if strings.Contains(name, ".") {
		return nil, false
	}
	return p.base.FindIdent(name)
}

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	c, found := p.classes[name]
	if !found {
		return nil, false
	}
	return types.NewTypeTypeWithParam(c.typ), true
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	c, found := p.classes[name]
	if !found {
		return nil, false
	}
	return c.names(), true
}

// FindStructFieldType implements types.Provider.
func (p *provider) FindStructFieldType(name, fieldName string) (*types.FieldType, bool) {
	c, found := p.classes[name]
	if !found {
		return nil, false
	}
	f, found := c.field(fieldName)
	if !found {
		return nil, false
	}
	return &types.FieldType{
		Type: f.typ,
		IsSet: func(target any) bool {
			return f.has == nil || f.has(target)
		},
		GetFrom: func(target any) (any, error) {
			if u, unknown := target.(*types.Unknown); unknown {
				return u, nil
			}
			v := f.get(target)
			if err, failed := v.(*types.Err); failed {
				return nil, err
			}
			return v, nil
		},
	}, true
}

// NewValue implements types.Provider.
func (p *provider) NewValue(name string, _ map[string]ref.Val) ref.Val {
	return types.NewErr("%s{} makes nothing", strings.TrimPrefix(name, typePrefix))
}
