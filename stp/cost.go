package stp

// Cost is the path cost that Linux's bridge gives a port by the speed of its link, in
// Mb/s (port_cost); 0 is a speed that is not known. It is not that of 802.1D-2004, Table
// 17-3.
func Cost(mbps int) int {
	switch mbps {
	case 10:
		return 100
	case 100:
		return 19
	case 1000:
		return 5
	case 2500:
		return 4
	case 5000:
		return 3
	case 10000:
		return 2
	}
	if mbps > 10000 {
		return 1
	}
	return 100
}
