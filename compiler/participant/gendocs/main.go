package main

import (
	"fmt"
	"os"

	"hookline/compiler/participant"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want the file to write, got %d arguments", len(args))
	}
	cat, err := participant.Builtin()
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], []byte(cat.Markdown()), 0o644)
}
