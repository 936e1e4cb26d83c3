package diag

import "io"

// The part of SARIF 2.1.0 that findings in text files need.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string       `json:"id"`
		ShortDescription sarifMessage `json:"shortDescription"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex *int            `json:"ruleIndex,omitempty"`
		Level     string          `json:"level"`
		Message   sarifMessage    `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
		Related   []sarifLocation `json:"relatedLocations,omitempty"`
	}
	sarifLocation struct {
		ID       *int          `json:"id,omitempty"`
		Physical sarifPhysical `json:"physicalLocation"`
		Message  *sarifMessage `json:"message,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
		EndLine     int `json:"endLine"`
		EndColumn   int `json:"endColumn"`
	}
)

// WriteSARIF prints a list as a SARIF 2.1.0 log. The rules are the table of
// codes; file names become URIs, relative ones stay relative.
func WriteSARIF(w io.Writer, l *List) error {
	driver := sarifDriver{Name: "hookline"}
	index := map[Code]int{}
	for i, c := range Codes {
		index[c.Code] = i
		driver.Rules = append(driver.Rules, sarifRule{string(c.Code), sarifMessage{c.Meaning}})
	}
	run := sarifRun{Tool: sarifTool{driver}, ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	for _, r := range l.Records() {
		res := sarifResult{RuleID: string(r.Code), Level: r.Severity, Message: sarifMessage{Visible(r.Message)}}
		if i, ok := index[r.Code]; ok {
			res.RuleIndex = &i
		}
		if res.Level == Info.String() {
			res.Level = "note"
		}
		if r.Place != nil {
			res.Locations = []sarifLocation{{Physical: r.Place.sarif()}}
		}
		for _, n := range r.Notes {
			if n.Place == nil {
				res.Message.Text += "\n" + Visible(n.Message)
				continue
			}
			id := len(res.Related) + 1
			res.Related = append(res.Related, sarifLocation{&id, n.Place.sarif(), &sarifMessage{Visible(n.Message)}})
		}
		if r.Help != "" {
			res.Message.Text += "\nhelp: " + Visible(r.Help)
		}
		run.Results = append(run.Results, res)
	}
	return writeJSON(w, sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}})
}

func (p *Place) sarif() sarifPhysical {
	return sarifPhysical{sarifArtifact{uri(p.File)}, sarifRegion{p.Line, p.Column, p.EndLine, p.EndColumn}}
}
