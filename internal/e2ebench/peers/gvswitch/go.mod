module github.com/ddfb540f/bridge/internal/e2ebench/peers/gvswitch

go 1.26.0

require (
	github.com/containers/gvisor-tap-vsock v0.8.9
	golang.org/x/sys v0.49.0
	gvisor.dev/gvisor v0.0.0-20260224225140-573d5e7127a8
)

require (
	github.com/apparentlymart/go-cidr v1.1.1 // indirect
	github.com/google/gopacket v1.1.19 // indirect
	github.com/sirupsen/logrus v1.9.4 // indirect
	golang.org/x/exp v0.0.0-20231110203233-9a3e6036ecaa // indirect
	golang.org/x/time v0.12.0 // indirect
)
