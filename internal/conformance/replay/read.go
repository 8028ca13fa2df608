package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Read reads every scenario of the named files, and of all files below the named
// folders whose names end in .jsonl.gz or .jsonl, in the order of their names.
// Whatever is not as the format says (damaged compression, a cut line, an
// unknown key or operation) is an error that names the file and, where known,
// the line. A folder may hold none.
func Read(paths ...string) ([]*Scenario, error) {
	var all []*Scenario
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			if !recording(path) {
				if path == root {
					return fmt.Errorf("%s: is no recording: the name ends neither in .jsonl.gz nor in .jsonl", path)
				}
				return nil
			}
			ss, err := readFile(path)
			all = append(all, ss...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func recording(name string) bool {
	return strings.HasSuffix(name, ".jsonl.gz") || strings.HasSuffix(name, ".jsonl")
}

func readFile(path string) ([]*Scenario, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		defer z.Close()
		r = z
	}
	return readLines(path, r)
}

// readLines reads one scenario a line. Lines have no length limit: a recorded
// scenario is some 100 KB.
func readLines(path string, r io.Reader) ([]*Scenario, error) {
	var all []*Scenario
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			s, err := decode(line)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, n, err)
			}
			all = append(all, s)
		}
		if err != nil {
			return all, nil
		}
	}
}

// decode reads one scenario. A key that the format does not know is an error:
// what is recorded and not read would not be compared.
func decode(line []byte) (*Scenario, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	s := new(Scenario)
	if err := d.Decode(s); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("scenario %s: more than one value in a line", s.Name)
	}
	return s, s.check()
}
