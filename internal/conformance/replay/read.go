package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Damage says what kept a record from being read. Scenarios with damage are not
// replayed: the damage is their difference.
type Damage struct {
	Path string
	Line int  // counted from 1; 0 if the damage is in no line
	File bool // the file or folder could not be read, or not to its end
	Err  error
}

// Error gives the place and the fault in one line.
func (d *Damage) Error() string { return d.place() + ": " + d.Err.Error() }

// Unwrap gives the fault.
func (d *Damage) Unwrap() error { return d.Err }

func (d *Damage) place() string {
	if d.Line == 0 {
		return d.Path
	}
	return fmt.Sprintf("%s:%d", d.Path, d.Line)
}

// Read reads every scenario of the file path, or of all files below the folder
// path whose names end in .jsonl.gz or .jsonl, in the order of their names.
// Symbolic links are followed; what several of them lead to is read once.
//
// What is not as the format says (a cut line, an unknown key or operation) and
// what cannot be read (no such file, damaged compression) comes as one Scenario
// with Damage each, in its place, and the reading goes on behind it. Its family
// is the one the line tells, else the file's name without its ending; its name is
// the one the line tells, else the place. A folder may hold no scenario.
func Read(path string) []*Scenario {
	r := &reader{seen: map[string]bool{}}
	r.visit(path, true)
	return r.all
}

// reader collects the scenarios below one path.
type reader struct {
	all  []*Scenario
	seen map[string]bool // files and folders without links in their paths
}

// visit reads a file or folder. Other files than recordings are passed over
// unless they are what was asked for (root).
func (r *reader) visit(path string, root bool) {
	info, err := os.Stat(path)
	if err != nil {
		r.unreadable(path, err)
		return
	}
	if !info.IsDir() && !recording(path) {
		if root {
			r.unreadable(path, errors.New("is no recording: the name ends neither in .jsonl.gz nor in .jsonl"))
		}
		return
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		r.unreadable(path, err)
		return
	}
	if r.seen[real] {
		return
	}
	r.seen[real] = true
	switch {
	case info.IsDir():
		r.folder(path)
	case !info.Mode().IsRegular():
		r.unreadable(path, errors.New("is no regular file"))
	default:
		r.file(path)
	}
}

func (r *reader) folder(path string) {
	entries, err := os.ReadDir(path)
	if err != nil {
		r.unreadable(path, err)
	}
	for _, e := range entries {
		r.visit(filepath.Join(path, e.Name()), false)
	}
}

func (r *reader) file(path string) {
	f, err := os.Open(path)
	if err != nil {
		r.unreadable(path, err)
		return
	}
	defer f.Close()
	if !strings.HasSuffix(path, ".gz") {
		r.lines(path, f)
		return
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		r.unreadable(path, fmt.Errorf("is not compressed as its name says: %w", err))
		return
	}
	defer z.Close()
	r.lines(path, z)
}

// lines reads one scenario a line. Lines have no length limit: a recorded
// scenario is some 100 KB.
func (r *reader) lines(path string, from io.Reader) {
	in := bufio.NewReader(from)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		broken := err != nil && !errors.Is(err, io.EOF)
		if len(bytes.TrimSpace(line)) > 0 {
			s, wrong := decode(line)
			switch {
			case wrong == nil:
				r.all = append(r.all, s)
				line = nil
			case !broken:
				r.damaged(line, &Damage{Path: path, Line: n, Err: wrong})
			}
		}
		if broken {
			r.damaged(line, &Damage{Path: path, Line: n, File: true, Err: unread(err)})
		}
		if err != nil {
			return
		}
	}
}

// unread puts the fault of a reader in words.
func unread(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the compressed data is cut short: %w", err)
	}
	return fmt.Errorf("cannot be read on: %w", err)
}

func (r *reader) unreadable(path string, err error) {
	// The path is said by the Damage.
	var p *os.PathError
	if errors.As(err, &p) {
		err = fmt.Errorf("cannot be read: %w", p.Err)
	}
	r.damaged(nil, &Damage{Path: path, File: true, Err: err})
}

// damaged adds the scenario that line was to be, which is empty if unknown.
func (r *reader) damaged(line []byte, d *Damage) {
	name, family := identity(line)
	if name == "" {
		name = d.place()
	}
	if family == "" {
		family = filepath.Base(d.Path)
		family = strings.TrimSuffix(strings.TrimSuffix(family, ".gz"), ".jsonl")
	}
	r.all = append(r.all, &Scenario{Name: name, Family: family, Damage: d})
}

func recording(name string) bool {
	return strings.HasSuffix(name, ".jsonl.gz") || strings.HasSuffix(name, ".jsonl")
}

// decode reads one scenario. A key that the format does not know is an error:
// what is recorded and not read would not be compared.
func decode(line []byte) (*Scenario, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	s := new(Scenario)
	switch err := d.Decode(s); {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("the line is cut short: %w", err)
	case err != nil:
		return nil, fmt.Errorf("the line is no scenario: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value in the line")
	}
	return s, s.check()
}

// identity gives the name and the family that a line tells before whatever is
// wrong in its JSON, "" where it tells none.
func identity(line []byte) (name, family string) {
	d := json.NewDecoder(bytes.NewReader(line))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", ""
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			break
		}
		var value any
		if d.Decode(&value) != nil {
			break
		}
		text, _ := value.(string)
		switch key {
		case "name":
			name = text
		case "family":
			family = text
		}
	}
	return name, family
}
