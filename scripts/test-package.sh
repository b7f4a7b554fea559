#!/usr/bin/env bash
# Installs, starts, upgrades and removes the Debian package that `make dist` has built, in a Debian of its own that is started with
# its own systemd, network and processes. What runs on this machine is not touched.
#
#   scripts/test-package.sh [FOLDER]     FOLDER keeps that Debian for the next run; by default one in TMPDIR
#
# Needs root, debootstrap, dpkg-deb and unshare. Where that Debian's systemd can't be started it says so and fails.
set -uo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-${TMPDIR:-/tmp}/netdrift-package}")
root=$folder/root
failures=0 init=

give_up() {
  echo "error: $*" >&2
  exit 1
}

# check WHAT COMMAND: a line of shell; its output is shown where it fails.
check() {
  local output
  if output=$(eval "$2" 2>&1); then echo "ok    $1"; else
    echo "FAIL  $1"
    tail -n 15 <<<"$output" | sed 's/^/      /'
    failures=$((failures + 1))
  fi
}

within() {
  local n=$1 tries
  shift
  for ((tries = 0; tries < n; tries++)); do
    eval "$@" && return
    sleep 1
  done
  return 1
}

# inside COMMAND…: in that Debian, as root.
inside() { nsenter --target "$init" --mount --uts --ipc --net --pid /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }

finish() {
  if [ -n "$init" ]; then kill -KILL "$init" 2>/dev/null; fi
}

make_debian() {
  local tool
  [ "$(id -u)" = 0 ] || give_up "a Debian of its own needs root"
  for tool in debootstrap dpkg-deb unshare nsenter; do command -v "$tool" >/dev/null || give_up "$tool is not installed"; done
  if [ -e "$folder/made" ]; then return; fi
  local mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | head -n 1)
  rm -rf "$root" && mkdir -p "$root"
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates,curl,procps,init-system-helpers bookworm \
    "$root" ${mirror:+"$mirror"} >"$folder/debootstrap.log" || give_up "debootstrap: $(tail -n 2 "$folder/debootstrap.log")"
  touch "$folder/made"
}

# Its init is process 1 of its own; mounts and network go with it.
boot() {
  unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child bash -c '
    set -e
    root=$1
    mount --make-rprivate /
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    mount -t tmpfs tmpfs "$root/dev"
    for device in null zero full random urandom tty; do
      touch "$root/dev/$device"
      mount --bind "/dev/$device" "$root/dev/$device"
    done
    # A service with devices of its own (PrivateDevices=) is given these two.
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ip link set lo up
    # Not chroot: services have mounts of their own, which begin at the real root.
    cd "$root"
    mkdir -p mnt
    pivot_root . mnt
    umount --lazy /mnt
    exec /usr/bin/env -i container=netdrift PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system' _ "$root" \
    >"$folder/boot.log" 2>&1 &
  local outer=$!
  within 10 'init=$(pgrep -P '"$outer"')' || give_up "no process of its own: $(tail -n 3 "$folder/boot.log")"
  within 30 'inside systemctl is-system-running 2>/dev/null | grep -Ex "running|degraded"' >/dev/null ||
    give_up "its systemd does not start: $(tail -n 5 "$folder/boot.log")"
}

main_pid() { inside systemctl show --property=MainPID --value netdrift; }
active() { inside systemctl is-active --quiet netdrift; }
healthy() { inside netdrift healthcheck --control-socket /run/netdrift/proxy.sock; }

package=$(ls dist/netdrift_*.deb 2>/dev/null | head -n 1)
[ -n "$package" ] || give_up "there is no dist/netdrift_*.deb; run: make dist"
mkdir -p "$folder"
make_debian
trap finish EXIT
boot

# The next version: the same, under another number.
rm -rf "$folder/next" && dpkg-deb -R "$package" "$folder/next"
sed -i 's/^Version: .*/&+next/' "$folder/next/DEBIAN/control"
cp "$package" "$root/srv/first.deb" && dpkg-deb --root-owner-group -b "$folder/next" "$root/srv/next.deb" >/dev/null

inside dpkg --purge netdrift >/dev/null 2>&1
check "install" 'inside dpkg -i /srv/first.deb'
check "it is not started before it is configured" '! active && ! inside systemctl is-enabled --quiet netdrift'
check "manual and completions are there" 'test -s "$root/usr/share/man/man1/netdrift.1.gz" && test -s "$root/usr/share/bash-completion/completions/netdrift"'
check "started without its variables it fails once, with 78, and is not started again" \
  '! inside systemctl start netdrift; inside systemctl show --property=ExecMainStatus --value netdrift | grep -x 78 && inside systemctl is-failed netdrift'
hash=$(printf s3cret | inside netdrift hash-password)
install -m 0600 /dev/null "$root/etc/netdrift/environment"
printf '%s\n' "PROXY_PASSWORD_HASH='$hash'" UPSTREAM_USERNAME=up UPSTREAM_PASSWORD=p UPSTREAM_A=127.0.0.1:9 UPSTREAM_B=127.0.0.2:9 \
  >"$root/etc/netdrift/environment"
check "start, and ready once systemctl returns" 'inside systemctl reset-failed netdrift; inside systemctl start netdrift && healthy'
check "a status line" 'inside systemctl show --property=StatusText --value netdrift | grep "Serving on 0.0.0.0:3130 with configuration 1"'
check "a user of its own" 'test "$(inside stat -c %u /proc/$(main_pid))" -gt 1000'
check "reload" 'inside systemctl reload netdrift && inside systemctl show --property=StatusText --value netdrift | grep "configuration 2"'
check "a reload that is refused fails, and the service goes on" \
  'cp "$root/etc/netdrift/proxy.json" "$folder/good" && echo "{" >"$root/etc/netdrift/proxy.json"; ! inside systemctl reload netdrift && active; r=$?; cat "$folder/good" >"$root/etc/netdrift/proxy.json"; test $r = 0'

# One client after another while the next version is installed.
echo " " >>"$root/etc/netdrift/proxy.json"
rm -f "$folder/over"
(until [ -e "$folder/over" ]; do inside curl -s -o /dev/null -m 5 -w '%{http_code}\n' http://127.0.0.1:3130/healthz; done) >"$folder/codes" &
load=$!
before=$(main_pid)
check "upgrade" 'inside dpkg -i --force-confold /srv/next.deb'
check "the new version has taken over" 'within 20 "test \"\$(main_pid)\" != $before && active && healthy"'
check "the old one is gone" 'within 20 "! inside kill -0 $before 2>/dev/null"'
sleep 2
touch "$folder/over"
wait "$load"
check "no client was refused meanwhile" 'test "$(sort -u "$folder/codes")" = 200'
check "the configuration that was changed is kept" 'inside test -s /etc/netdrift/proxy.json && tail -n 1 "$root/etc/netdrift/proxy.json" | grep -x " "'
check "the service is watched on" 'main=$(main_pid); inside kill -KILL "$main"; within 20 "test \"\$(main_pid)\" != $main && active && healthy"'

check "with a socket unit, clients wait during a restart" \
  'inside systemctl stop netdrift && inside systemctl start netdrift.socket && inside systemctl start netdrift && healthy &&
   { inside systemctl restart netdrift & r=$!; sleep 1; for n in 1 2 3; do inside curl -s -o /dev/null -m 60 -w "%{http_code}\n" http://127.0.0.1:3130/healthz; done | sort -u | grep -x 200 && wait $r; }'
check "remove: nothing runs, the configuration stays" \
  'inside dpkg -r netdrift && ! inside pgrep -x netdrift && test -e "$root/etc/netdrift/proxy.json" && test ! -e "$root/usr/bin/netdrift"'
check "purge: nothing is left" 'inside dpkg -P netdrift && test ! -e "$root/etc/netdrift"'
[ "$failures" = 0 ]
