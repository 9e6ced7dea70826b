#!/bin/bash
# A whole machine for the tests: systemd as PID 1, two networks with a DHCP and a DNS server each. Everything is in namespaces
# of its own that die with the test. Reads commands from standard input, ends with it.
# Run as: setpriv --bounding-set … unshare --mount --net --pid --uts --ipc --fork --kill-child machine_lab.sh ROOT WORK UPSTREAM KNOTWORK
#   ROOT      an unpacked Debian with systemd-sysv, ifupdown and a DHCP client; only read, an overlay takes what is written
#   WORK      a directory of the test; WORK/isp and WORK/inside are those of the servers of the two networks
#   UPSTREAM  the test program, which is also the servers
#   KNOTWORK  the program under test, /usr/local/bin/knotwork in there
set -u

# The clock, modules and devices are in no namespace: they would be those of the build machine.
for bit in 16 17 25 27 34; do
    if (((0x$(sed -n 's/^CapBnd:\t//p' /proc/self/status) >> bit) & 1)); then echo "FAILED capability $bit is there"; exit 1; fi
done

# What a container manager does before it starts PID 1 (systemd's CONTAINER_INTERFACE.md): an API file system each, and
# nothing of the kernel that is not in a namespace may be written, as this is root of the build machine.
if [ "$1" = --init ]; then
    R=$2
    mount --make-rprivate /
    mount -t proc proc "$R/proc" && mount -t sysfs -o ro s "$R/sys" && mount -t cgroup2 none "$R/sys/fs/cgroup" || exit 1
    mount --bind "$R/proc/sys" "$R/proc/sys" && mount --bind "$R/proc/sys/net" "$R/proc/sys/net" || exit 1
    mount -o remount,bind,ro "$R/proc/sys" || exit 1
    mount --bind /dev/null "$R/proc/sysrq-trigger"
    mount -t tmpfs -o mode=755 run "$R/run" && mount -t tmpfs -o mode=755 dev "$R/dev" || exit 1
    for n in null zero full random urandom tty; do touch "$R/dev/$n" && mount --bind /dev/$n "$R/dev/$n" || exit 1; done
    mkdir "$R/dev/pts" "$R/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 pts "$R/dev/pts" && ln -s pts/ptmx "$R/dev/ptmx"
    mount -t tmpfs shm "$R/dev/shm"
    cd "$R" && pivot_root . mnt && umount -l /mnt || exit 1
    exec env -i container=knotwork PATH=/usr/sbin:/usr/bin TERM=dumb \
        /lib/systemd/systemd --log-target=journal --show-status=no
fi

base=$1 work=$2 upstream=$3 knotwork=$4
exec 2> "$work/stderr"
die() { echo "FAILED $*"; exit 1; }
mount --make-rprivate / && mount -t proc proc /proc || die "private mounts"
mount -t tmpfs lab "$work/mnt" || die "tmpfs"
mkdir -p "$work"/mnt/{upper,overlay,root}
mount -t overlay lab -o "lowerdir=$base,upperdir=$work/mnt/upper,workdir=$work/mnt/overlay" "$work/mnt/root" || die "overlay"
R=$work/mnt/root
touch "$R/usr/local/bin/knotwork" && mount --bind "$knotwork" "$R/usr/local/bin/knotwork" || die "the program"

# The unified hierarchy alone, whatever the build machine shows: systemd has refused the legacy one since 258. No controller
# is needed. The machine's tree of groups hangs below a group of its own; those of machines that are gone are swept.
umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup || die "cgroup2"
group=/sys/fs/cgroup/knotwork-machine-$(basename "$work")
ungroup() { find "$1" -depth -type d -exec rmdir {} \; 2> /dev/null; }
for old in /sys/fs/cgroup/knotwork-machine-*; do grep -q '^populated 0' "$old/cgroup.events" 2> /dev/null && ungroup "$old"; done

echo kwhost > "$R/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 kwhost\n' > "$R/etc/hosts"
tr -d - < /proc/sys/kernel/random/uuid > "$R/etc/machine-id"
printf 'auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n\nauto eth1\niface eth1 inet dhcp\n' > "$R/etc/network/interfaces"
# What stands in there NetworkManager leaves alone, and its trees are for what it configures. No udev tells it here what a link
# is, and a link that the kernel shows as virtual it would leave alone, too.
if [ -x "$R/usr/sbin/NetworkManager" ]; then
    printf 'auto lo\niface lo inet loopback\n' > "$R/etc/network/interfaces"
    printf '[device]\nmatch-device=interface-name:eth*\nmanaged=1\n' > "$R/etc/NetworkManager/conf.d/lab.conf"
fi
# What tells the lab that a hook run of the DHCP client has ended: the last of its hooks.
say='echo "$reason $interface" >> /run/lab-dhcp'
if [ -d "$R/etc/dhcp/dhclient-exit-hooks.d" ]; then echo "$say" > "$R/etc/dhcp/dhclient-exit-hooks.d/zz-lab"
elif [ -e "$R/etc/dhcpcd.conf" ]; then echo "$say" > "$R/etc/dhcpcd.exit-hook"; printf 'noarp\nnodelay\nipv4only\n' >> "$R/etc/dhcpcd.conf"; fi

mkdir -p /run/netns && mount -t tmpfs t /run/netns || die "netns directory"
net() { ip netns exec "$@"; }
# far NAMESPACE SERVER…: a network's far side; whoever asks a public resolver from the machine is seen there too.
far() {
    local n=$1 a; shift
    ip netns add "$n" && ip -n "$n" link set lo up || die "namespace $n"
    for a in "$@" 1.1.1.1 9.9.9.9; do ip -n "$n" addr add "$a/32" dev lo || die "address $a"; done
}
far isp 10.11.0.53 10.11.0.54; far inside 192.168.4.53 192.168.4.54
# plug LINK: a new link of the machine (its ifindex is new), at the far side with the server's address.
plug() {
    local far=isp at=10.11.0.53 mac=02:00:00:00:00:10
    [ "$1" = eth1 ] && far=inside at=192.168.4.53 mac=02:00:00:00:00:11
    ip link add "$1" netns host address $mac type veth peer name "$1" netns $far || return 1
    ip -n $far addr add "$at/24" dev "$1" && ip -n $far link set "$1" up && ip -n $far route add default dev "$1"
}
# Always seen by the far end at once, as the namespace alone goes later.
unplug() { ip -n host link del "$1"; }
serve() {
    local n=$1 client=$2; shift 2
    KNOTWORK_LAB_DHCP="$work/$n $client" KNOTWORK_LAB_UPSTREAM="$work/$n $*" \
        ip netns exec "$n" "$upstream" --exact upstream --ignored --nocapture > "$work/$n/out" 2>&1 &
    for i in $(seq 400); do [ -e "$work/$n/ready" ] && return; sleep 0.05; done
    die "the servers of $n did not start: $(cat "$work/$n/out")"
}
serve isp 10.11.0.20 10.11.0.53 10.11.0.54 1.1.1.1 9.9.9.9
serve inside 192.168.4.20 192.168.4.53 192.168.4.54 1.1.1.1 9.9.9.9

child= init=
# Runs a program inside, as if on the machine's console.
m() {
    timeout 300 nsenter -t "$init" --mount --uts --ipc --net --pid --cgroup -- \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb "$@" < /dev/null
}
boot() {
    local state='' i
    ip netns add host && plug eth0 && plug eth1 || { echo "no network for the machine"; return 1; }
    (
        for i in $(seq 100); do mkdir -p "$group" && echo "$BASHPID" > "$group/cgroup.procs" && break; done
        exec ip netns exec host unshare --cgroup --pid --mount --uts --ipc --fork --kill-child bash "$0" --init "$R"
    ) < /dev/null > "$work/init.out" 2>&1 &
    child=$!
    for i in $(seq 600); do
        init=$(cat "/proc/$child/task/$child/children" 2> /dev/null); init=${init% }
        [ "$(cat "/proc/${init:-0}/comm" 2> /dev/null)" = systemd ] && break
        [ -d "/proc/$child" ] || { echo "PID 1 ended: $(cat "$work/init.out")"; return 1; }
        sleep 0.05
    done
    for i in $(seq 1200); do
        state=$(m systemctl is-system-running 2> /dev/null)
        case "$state" in running) return 0 ;; degraded) break ;; esac
        sleep 0.05
    done
    echo "the machine is $state"; m systemctl --failed --no-legend; m systemctl list-jobs; m journalctl -b --no-pager -p warning
    [ "$state" = degraded ]
}
# Waits until the machine is off, and takes its links away as a machine that is off has none.
gone() {
    local i
    for i in $(seq 2400); do [ -d "/proc/$init" ] || break; sleep 0.05; done
    wait "$child"; ended=$?
    unplug eth0; unplug eth1; ip netns del host
}
reboot() { m systemctl reboot; gone; boot; }
# The plug is pulled: nothing inside is told.
power_cycle() { kill -KILL "$init"; gone; boot; }
boot && [ "$(m systemctl is-system-running)" = running ] || die "boot: $(cat "$work/stderr")"
echo READY
while read -r line; do
    eval "$line"
    printf '\001%d\n' $?
done
kill -KILL "$init"; wait "$child"
ungroup "$group"
