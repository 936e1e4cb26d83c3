package integrations

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// fakeGH makes this test binary the command gh, in place of its tests: its value
// is the folder of the repository that it speaks of.
const fakeGH = "HOOKLINE_FAKE_GH"

// comment is a comment on the pull request, in the form of GitHub's API.
type comment struct {
	ID   int    `json:"id"`
	User user   `json:"user"`
	Body string `json:"body"`
}

type user struct {
	Login string `json:"login"`
}

// commentLimit is how many characters GitHub takes.
const commentLimit = 65536

// gh does what the workflow asks of `gh api`: list comments, make one, change one.
// Everything else is an error. With a file called read-only in the folder the token
// may not write. Each call is a line in the file calls.
func gh(dir string, args []string, out, errs io.Writer) int {
	log, err := os.OpenFile(filepath.Join(dir, "calls"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Fprintln(errs, err)
		return 1
	}
	defer log.Close()
	fmt.Fprintln(log, strings.Join(args, " "))
	if err := api(dir, args, out); err != nil {
		fmt.Fprintf(errs, "gh: %v\n", err)
		return 1
	}
	return 0
}

// call are the arguments of one `gh api`.
type call struct {
	path, method, jq, body string
}

func parseCall(args []string) (*call, error) {
	if len(args) == 0 || args[0] != "api" {
		return nil, fmt.Errorf("unknown command %q", args)
	}
	c := &call{method: "GET"}
	for i := 1; i < len(args); i++ {
		switch value := func() string { i++; return append(args, "", "")[i] }; args[i] {
		case "--paginate", "--silent":
		case "--method":
			c.method = value()
		case "--jq":
			c.jq = value()
		case "--field":
			name, found := strings.CutPrefix(value(), "body=@")
			if !found {
				return nil, fmt.Errorf("the field %q is no body", args[i])
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			c.body = string(text)
		default:
			if strings.HasPrefix(args[i], "-") || c.path != "" {
				return nil, fmt.Errorf("unknown argument %q", args[i])
			}
			c.path = args[i]
		}
	}
	return c, nil
}

func api(dir string, args []string, out io.Writer) error {
	if os.Getenv("GH_TOKEN") == "" {
		return fmt.Errorf("to use the GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment variable")
	}
	c, err := parseCall(args)
	if err != nil {
		return err
	}
	comments, err := loadComments(dir)
	if err != nil {
		return err
	}
	if c.method != "GET" {
		if _, err := os.Stat(filepath.Join(dir, "read-only")); err == nil {
			return fmt.Errorf("resource not accessible by integration (HTTP 403)")
		}
		if utf8.RuneCountInString(c.body) > commentLimit {
			return fmt.Errorf("body is too long (maximum is 65536 characters) (HTTP 422)")
		}
	}
	const list, one = "repos/site/rules/issues/7/comments", "repos/site/rules/issues/comments/"
	switch {
	case c.method == "GET" && c.path == list:
		text, err := json.Marshal(comments)
		if err != nil {
			return err
		}
		// gh has the language of jq built in.
		cmd := exec.Command("jq", "--raw-output", c.jq)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(string(text)), out, os.Stderr
		return cmd.Run()
	case c.method == "POST" && c.path == list:
		return saveComments(dir, append(comments, comment{100 + len(comments), user{"github-actions[bot]"}, c.body}))
	case c.method == "PATCH" && strings.HasPrefix(c.path, one):
		for i := range comments {
			if strconv.Itoa(comments[i].ID) == strings.TrimPrefix(c.path, one) {
				comments[i].Body = c.body
				return saveComments(dir, comments)
			}
		}
	}
	return fmt.Errorf("%s %s: not found (HTTP 404)", c.method, c.path)
}

func loadComments(dir string) ([]comment, error) {
	comments := []comment{}
	text, err := os.ReadFile(filepath.Join(dir, "comments.json"))
	if os.IsNotExist(err) {
		return comments, nil
	}
	if err != nil {
		return nil, err
	}
	return comments, json.Unmarshal(text, &comments)
}

func saveComments(dir string, comments []comment) error {
	text, err := json.Marshal(comments)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "comments.json"), text, 0o600)
}
