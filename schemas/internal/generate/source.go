package generate

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"reflect"
	"strconv"
	"strings"
)

// foreign are the types of other packages that JSON outputs use.
var foreign = map[string]*Schema{
	"ir.Variant":      {Type: "string", Enum: []any{"iptables-legacy", "iptables-nft", "nft"}},
	"ir.SettingName":  {Type: "string"},
	"diag.Code":       {Type: "string"},
	"json.RawMessage": {},
	"time.Time":       {Type: "string"},
}

// Source is the schema of the JSON form of a Go type, read from the source of its
// package: json tags become keys, comments become descriptions, a field without
// omitempty is required. It needs no compiled package, so that types need not be
// exported.
func Source(dir, root string) (*Schema, error) {
	files := token.NewFileSet()
	notTest := func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }
	//nolint:staticcheck // because one folder of source is wanted, and build tags do not matter
	packages, err := parser.ParseDir(files, dir, notTest, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("reading the types of %s: %w", dir, err)
	}
	s := source{types: map[string]*goType{}, defs: map[string]*Schema{}}
	for _, p := range packages {
		for _, f := range p.Files {
			s.collect(f)
		}
	}
	t := s.types[root]
	if t == nil {
		return nil, fmt.Errorf("%s has no type %s", dir, root)
	}
	s.root = root
	out, err := s.expr(t.spec.Type)
	if err != nil {
		return nil, fmt.Errorf("type %s: %w", root, err)
	}
	out.Description, out.Defs = t.doc, s.defs
	return out, nil
}

type goType struct {
	spec *ast.TypeSpec
	doc  string
}

type source struct {
	types map[string]*goType
	defs  map[string]*Schema
	root  string // stands at the top, not among the definitions
}

// collect finds the types that a file declares.
func (s *source) collect(f *ast.File) {
	for _, d := range f.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			t, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			doc := t.Doc
			if doc == nil {
				doc = gen.Doc
			}
			s.types[t.Name.Name] = &goType{t, sentence(doc.Text(), t.Name.Name)}
		}
	}
}

// sentence makes a description of a comment, which begins with the name.
func sentence(doc, name string) string {
	doc = strings.Join(strings.Fields(doc), " ")
	for _, lead := range []string{name + " is ", name + " are ", name + " "} {
		if rest, ok := strings.CutPrefix(doc, lead); ok && rest != "" {
			doc = rest
			break
		}
	}
	if doc == "" {
		return ""
	}
	return strings.ToUpper(doc[:1]) + doc[1:]
}

// named is a reference to a type of the package.
func (s *source) named(name string) (*Schema, error) {
	if name == s.root {
		return &Schema{Ref: "#"}, nil
	}
	t := s.types[name]
	if t == nil {
		return nil, fmt.Errorf("unknown type %s", name)
	}
	if s.defs[name] == nil {
		s.defs[name] = &Schema{} // types may hold themselves
		x, err := s.expr(t.spec.Type)
		if err != nil {
			return nil, fmt.Errorf("type %s: %w", name, err)
		}
		x.Description = t.doc
		*s.defs[name] = *x
	}
	return &Schema{Ref: "#/$defs/" + name}, nil
}

// expr is the schema of a type expression.
func (s *source) expr(e ast.Expr) (*Schema, error) {
	switch x := e.(type) {
	case *ast.StarExpr:
		return s.expr(x.X)
	case *ast.Ident:
		if b := basic(x.Name); b != nil {
			return b, nil
		}
		return s.named(x.Name)
	case *ast.SelectorExpr:
		name := fmt.Sprintf("%s.%s", x.X, x.Sel.Name)
		if f := foreign[name]; f != nil {
			c := *f
			return &c, nil
		}
		return nil, fmt.Errorf("the schema of %s is not known", name)
	case *ast.ArrayType:
		item, err := s.expr(x.Elt)
		if err != nil {
			return nil, err
		}
		return &Schema{Type: "array", Items: item}, nil
	case *ast.MapType:
		value, err := s.expr(x.Value)
		if err != nil {
			return nil, err
		}
		return &Schema{Type: "object", AdditionalProperties: value}, nil
	case *ast.InterfaceType:
		return &Schema{}, nil
	case *ast.StructType:
		return s.fields(x)
	default:
		return nil, fmt.Errorf("no schema for %T", e)
	}
}

func basic(name string) *Schema {
	zero := 0
	switch name {
	case "string":
		return &Schema{Type: "string"}
	case "bool":
		return &Schema{Type: "boolean"}
	case "int", "int8", "int16", "int32", "int64":
		return &Schema{Type: "integer"}
	case "uint", "uint8", "uint16", "uint32", "uint64":
		return &Schema{Type: "integer", Minimum: &zero}
	case "float32", "float64":
		return &Schema{Type: "number"}
	case "any":
		return &Schema{}
	}
	return nil
}

func (s *source) fields(x *ast.StructType) (*Schema, error) {
	out := &Schema{Type: "object", Properties: map[string]*Schema{}, AdditionalProperties: false}
	for _, f := range x.Fields.List {
		key, options := jsonTag(f)
		if key == "-" || len(f.Names) == 0 || !f.Names[0].IsExported() {
			continue
		}
		for _, n := range f.Names {
			name := key
			if name == "" {
				name = n.Name
			}
			p, err := s.expr(f.Type)
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", n.Name, err)
			}
			optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
			if _, pointer := f.Type.(*ast.StarExpr); pointer && !optional {
				p = &Schema{AnyOf: []*Schema{p, {Type: "null"}}}
			}
			if doc := sentence(f.Doc.Text(), n.Name); doc != "" {
				p.Description = doc
			}
			out.Properties[name] = p
			if !optional {
				out.Required = append(out.Required, name)
			}
		}
	}
	return out, nil
}

// jsonTag is the key and the options of a field's json tag.
func jsonTag(f *ast.Field) (key, options string) {
	if f.Tag == nil {
		return "", ""
	}
	tag, err := strconv.Unquote(f.Tag.Value)
	if err != nil {
		return "", ""
	}
	key, options, _ = strings.Cut(reflect.StructTag(tag).Get("json"), ",")
	return key, options
}
