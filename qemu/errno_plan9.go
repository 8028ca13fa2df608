package qemu

// Plan 9 has neither unix sockets nor numbers for these.

func inUse(error) bool { return false }

func nobodyThere(error) bool { return false }

func noMemory(error) bool { return false }

func noRoom(error) bool { return false }

func tooLong(error) bool { return false }
