package participant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Word is a 32-bit number that is written as a string of hexadecimal digits
// with 0x in front, as iptables prints marks.
type Word uint32

// UnmarshalJSON reads "0x4000".
func (w *Word) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		return fmt.Errorf("%q is not a 32-bit number", s)
	}
	*w = Word(n)
	return nil
}

// MarshalJSON writes "0x4000".
func (w Word) MarshalJSON() ([]byte, error) { return json.Marshal(w.String()) }

func (w Word) String() string { return "0x" + strconv.FormatUint(uint64(w), 16) }

// decode reads one catalogue file strictly.
func decode(data []byte) (*Entry, error) {
	if err := repeatedKey(json.NewDecoder(bytes.NewReader(data))); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	e := &Entry{}
	if err := d.Decode(e); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value in the file")
	}
	return e, e.check()
}

// repeatedKey refuses what encoding/json lets pass: the same key twice in one
// object, of which the last would win silently.
func repeatedKey(d *json.Decoder) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			k, err := d.Token()
			if err != nil {
				return err
			}
			key, _ := k.(string)
			if seen[key] {
				return fmt.Errorf("the key %q stands twice", key)
			}
			seen[key] = true
		}
		if err := repeatedKey(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
