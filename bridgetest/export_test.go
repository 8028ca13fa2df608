package bridgetest

// Miscount has the first cable deny a frame that it took.
func Miscount(l *Lab) { l.plugs[0].out.taken-- }
