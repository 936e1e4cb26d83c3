package check_test

import (
	"context"
	"fmt"

	"hookline/compiler/check"
	"hookline/dsl/diag"
)

// A misspelled param is found without a host; a good expression is evaluated.
func Example() {
	port := check.Type{Kind: check.Port}
	params := []check.Param{
		{Name: "role", Type: check.Type{Kind: check.String}},
		{Name: "ports", Type: check.MapOf(check.ListOf(port))},
	}
	env, err := check.NewEnv(params, check.EnvOptions{})
	if err != nil {
		panic(err)
	}
	file := diag.NewFile("rules.yaml", `dport: "${params.ports[params.rol]}"`)
	_, findings := env.Compile(check.Source{Text: "params.ports[params.rol]", Span: file.Span(10, 34), Exact: true}, check.WantAny)
	for _, d := range findings.All() {
		fmt.Printf("%s: %s, %s\n", d.Span, d.Message, d.Help)
	}

	x, _ := env.Compile(check.Source{Text: "params.ports[params.role]"}, check.WantAny)
	result, _ := x.Eval(context.Background(), check.Activation{Params: check.NewParams(map[string]check.Value{
		"role":  {Type: params[0].Type, Go: "worker"},
		"ports": {Type: params[1].Type, Go: map[string]any{"worker": []any{"22", "10250"}}},
	})})
	fmt.Println(x.Type(), result.Value)
	// Output:
	// rules.yaml:1:31: unknown param "rol", did you mean "role"?
	// list(string) [22 10250]
}
