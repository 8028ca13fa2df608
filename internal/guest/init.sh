#!/bin/busybox sh
# The guest's first program: it loads the drivers, gives eth0 its address and then
# runs, line by line, what comes by the serial line.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
ip link set lo up
[ -z "$GUEST_IP6" ] || echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad # an address is used at once
ip link set eth0 up
ip addr add "$GUEST_IP/24" dev eth0
[ -z "$GUEST_IP6" ] || ip -6 addr add "$GUEST_IP6/64" dev eth0
for conf in default eth0; do # no ARP of its own accord while the lesson lasts
	echo 600 >/proc/sys/net/ipv4/neigh/$conf/delay_first_probe_time
	echo 3600000 >/proc/sys/net/ipv4/neigh/$conf/base_reachable_time_ms
	echo 20000 >/proc/sys/net/ipv4/neigh/$conf/retrans_time_ms
done
until [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do usleep 20000; done
nc -ll -p 9 -e sha256sum </dev/null >/dev/null 2>&1 & # what comes is answered with its sum,
nc -ll -p 10 -e wc -c </dev/null >/dev/null 2>&1 &    # or with its length
dmesg -n 1
stty -echo
echo "the guest is ready"
while read -r line; do
	eval "$line"
	echo "status $?"
done
