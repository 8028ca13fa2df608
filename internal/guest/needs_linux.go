package guest

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
)

// A Program is one that has to be there, and the Debian package that has it.
type Program struct{ Name, Package string }

// Needs says all that the machine lacks for guests, in one error, and else gives the
// kernel that is below root. programs are what is needed besides QEMU and busybox,
// others are things that are missing, a line each.
func Needs(root string, programs []Program, others ...string) (*Kernel, error) {
	var text strings.Builder
	if runtime.GOARCH != "amd64" {
		text.WriteString("\n  an amd64 processor: the guest is a PC, and runs programs of this machine")
	}
	for _, line := range others {
		text.WriteString("\n  " + line)
	}
	var lacks, packages []string
	for _, p := range append(programs[:len(programs):len(programs)], Program{QEMU, "qemu-system-x86"}, Program{"busybox", "busybox"}) {
		if _, err := exec.LookPath(p.Name); err != nil {
			lacks, packages = append(lacks, p.Name), append(packages, p.Package)
		}
	}
	k, err := FindKernel(root)
	if err != nil {
		lacks, packages = append(lacks, err.Error()), append(packages, "linux-image-amd64")
	}
	if len(lacks) > 0 {
		fmt.Fprintf(&text, "\n  %s:\n    apt-get install --no-install-recommends %s", strings.Join(lacks, ", "), strings.Join(packages, " "))
	}
	if err != nil {
		text.WriteString(kernelAside)
	}
	if text.Len() > 0 {
		return nil, fmt.Errorf("missing on this machine%s", &text)
	}
	return k, nil
}

// kernelAside is how to have a kernel without installing it.
const kernelAside = `
  or, not to install a kernel, unpack one into an empty directory:
    apt-get download $(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p')
    dpkg -x linux-image-*.deb . && export ` + KernelVariable + `=$PWD`
