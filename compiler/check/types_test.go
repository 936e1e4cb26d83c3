package check

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseType(t *testing.T) {
	str := Type{Kind: String}
	for _, tt := range []struct {
		in      string
		want    Type
		wantErr string
	}{
		{in: "string", want: str},
		{in: "bool", want: Type{Kind: Bool}},
		{in: "int", want: Type{Kind: Int}},
		{in: "port", want: Type{Kind: Port}},
		{in: "address", want: Type{Kind: Address}},
		{in: "cidr", want: Type{Kind: CIDR}},
		{in: "interface", want: Type{Kind: Interface}},
		{in: "mark", want: Type{Kind: Mark}},
		{in: "duration", want: Type{Kind: Duration}},
		{in: "list(string)", want: ListOf(str)},
		{in: " map( list( port ) ) ", want: MapOf(ListOf(Type{Kind: Port}))},
		{in: "", wantErr: "a type is missing: " + strings.Join(typeWords, ", ")},
		{in: "list", wantErr: "the type list needs the type of its items: list(string)"},
		{in: "map", wantErr: "the type map needs the type of its items: map(string)"},
		{in: "list()", wantErr: "a type is missing: " + strings.Join(typeWords, ", ")},
		{in: "list(string", wantErr: `the type "list(string" lacks a closing parenthesis`},
		{in: "list(string))", wantErr: `unknown type "string)", did you mean "string"?`},
		{in: "port(80)", wantErr: "the type port takes no type in parentheses"},
		{in: "sting", wantErr: `unknown type "sting", did you mean "string"?`},
		{in: "number", wantErr: `unknown type "number", known are ` + strings.Join(typeWords, ", ")},
		{in: "any", wantErr: `unknown type "any", known are ` + strings.Join(typeWords, ", ")},
		{in: strings.Repeat("list(", 20) + "int" + strings.Repeat(")", 20), wantErr: "the type nests deeper than 8 levels"},
	} {
		got, err := ParseType(tt.in)
		if gotErr := errText(err); gotErr != tt.wantErr {
			t.Errorf("ParseType(%q) error = %q, want %q", tt.in, gotErr, tt.wantErr)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("ParseType(%q) mismatch (-want +got):\n%s", tt.in, diff)
		}
		if err == nil {
			again, err := ParseType(got.String())
			if diff := cmp.Diff(got, again); err != nil || diff != "" {
				t.Errorf("ParseType(%q) of the printed type: %v\n%s", got, err, diff)
			}
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
