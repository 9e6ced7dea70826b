#!/bin/bash
# A host for one systemd-resolved, in namespaces of its own that die with the test; reads commands from standard input.
# Run as: unshare --mount --net --pid --uts --fork --kill-child resolved_lab.sh ROOT WORK UPSTREAM
#   ROOT      an unpacked Debian with systemd-resolved and dbus; only read, an overlay takes what is written
#   WORK      a directory of the test; the upstream's log is WORK/log
#   UPSTREAM  the test program, which is also the upstream
set -u
base=$1 work=$2 upstream=$3
exec 2> "$work/stderr"
die() { echo "FAILED $*"; exit 1; }
mount --make-rprivate / || die "private mounts"
mount -t tmpfs lab "$work/mnt" || die "tmpfs"
mkdir -p "$work"/mnt/{upper,overlay,root}
mount -t overlay lab -o "lowerdir=$base,upperdir=$work/mnt/upper,workdir=$work/mnt/overlay" "$work/mnt/root" || die "overlay"
R=$work/mnt/root
mkdir -p /run/netns "$R"/{proc,sys,run,dev,tmp}
mount -t tmpfs t /run/netns || die "netns directory"
mount -t proc proc /proc && mount -t proc proc "$R/proc" && mount -t sysfs -o ro s "$R/sys" && mount -t tmpfs t "$R/run" || die "proc, sys, run"
mount --bind /dev "$R/dev" || die "dev"
mkdir -p "$R/run/dbus" "$R/run/systemd/resolve" "$R/etc/systemd/resolved.conf.d" "$R/etc/systemd/dns-delegate.d"
chroot "$R" chown systemd-resolve: /run/systemd/resolve || die "no user systemd-resolve"
# What 257 takes for its name here whatever the kernel says: it finds no libidn2 to check another one with.
hostname linux
printf '127.0.0.1 localhost\n198.51.100.7 listed.hosts.test\n' > "$R/etc/hosts"
ip link set lo up || die "lo"
ip netns add srv && ip -n srv link set lo up || die "second namespace"
nodad() { case $1 in *:*) echo nodad ;; esac; }
# link NAME ADDRESS… -- SERVER…
link() {
    local n=$1 to=l; shift
    ip link add "$n" type veth peer name "p$n" && ip link set "p$n" netns srv && ip link set "$n" up && ip -n srv link set "p$n" up || die "veth"
    for a; do
        if [ "$a" = -- ]; then to=p; continue; fi
        if [ $to = l ]; then ip addr add "$a" dev "$n" $(nodad "$a"); else ip -n srv addr add "$a" dev "p$n" $(nodad "$a"); fi || die "address $a"
    done
}
for n in 1 2 3; do link "e$n" "10.$n.0.1/24" "fd00:$n::1/64" -- "10.$n.0.53/24" "10.$n.0.54/24" "fd00:$n::53/64"; done
# Servers of the global scope and of delegates stand behind a link that never has any of its own.
link g0 10.9.0.1/24 -- 10.9.0.{53,54,60,61,62}/24
servers=$(ip -n srv -o addr show scope global | sed 's/.*inet6\? \([^/]*\).*/\1/' | tr '\n' ' ')
KNOTWORK_LAB_UPSTREAM="$work $servers" ip netns exec srv "$upstream" --exact upstream --ignored --nocapture > "$work/upstream.out" 2>&1 &
for i in $(seq 200); do [ -e "$work/ready" ] && break; sleep 0.05; done
[ -e "$work/ready" ] || die "the upstream did not start: $(cat "$work/upstream.out")"
chroot "$R" dbus-uuidgen --ensure
chroot "$R" dbus-daemon --system --nopidfile --nofork > "$work/dbus.out" 2>&1 &
daemon=
bus() { chroot "$R" busctl --system "$@"; }
up() { bus call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus NameHasOwner s org.freedesktop.resolve1 2> /dev/null | grep -q true; }
for i in $(seq 400); do bus list > /dev/null 2>&1 && break; sleep 0.025; done
# A resolved without memory of the one before, with the files as they are now.
fresh() {
    if [ -n "$daemon" ]; then kill "$daemon"; wait "$daemon" 2> /dev/null; fi
    rm -rf "$R"/run/systemd/resolve/*
    SYSTEMD_LOG_LEVEL=${LAB_LOG:-warning} chroot "$R" /usr/lib/systemd/systemd-resolved > "$work/resolved.out" 2>&1 &
    daemon=$!
    for i in $(seq 400); do up && return 0; sleep 0.025; done
    echo "resolved did not come up: $(tail -3 "$work/resolved.out")"; return 1
}
M="org.freedesktop.resolve1 /org/freedesktop/resolve1 org.freedesktop.resolve1.Manager"
nss() { bus --timeout=12 call $M ResolveHostname isit 0 "$1" "$2" 4096 2>&1; }
stub() { dig +tries=1 +time=12 +noall +comments +answer +noedns @127.0.0.53 "$1" "$2" 2>&1; }
ctl() { chroot "$R" resolvectl "$@"; }
# Waits until resolved has (1) or has not (0) a unicast scope on a link.
settled() {
    local at; at=$(bus call $M GetLink i "$(ip -o link show "$1" | cut -d: -f1)" | cut -d'"' -f2)
    for i in $(seq 200); do
        local mask; mask=$(bus get-property org.freedesktop.resolve1 "$at" org.freedesktop.resolve1.Link ScopesMask | cut -d' ' -f2)
        [ $((mask & 1)) = "$2" ] && return 0
        sleep 0.02
    done
    echo "link $1 did not settle: ScopesMask $mask"; return 1
}
echo READY
while read -r line; do
    eval "$line"
    printf '\001%d\n' $?
done
