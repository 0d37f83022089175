#!/usr/bin/env bash
# Boots a machine of its own beside this one, whose systemd is process 1, and runs inside.sh in it: machine.sh PROGRAMS [LIBRARIES].
# Its disk is this machine's, read, with all that is written in memory; its processes, network and cgroups are its own. Nothing of it is left.
# Exits with 77 and says why where that cannot be done here.
set -euo pipefail
programs=$(realpath "${1:?machine.sh PROGRAMS [LIBRARIES]}")
libraries=${2:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
skip() { printf '%s\n' "$*" >&2; exit 77; }

[ "$(uname -s)" = Linux ] || skip "machines are booted on Linux alone"
[ "$(id -u)" = 0 ] || skip "root alone boots a machine"
[ -x /lib/systemd/systemd ] || skip "there is no systemd to boot"
nspawn=${SYSTEMD_NSPAWN:-$(command -v systemd-nspawn || true)}
[ -x "$nspawn" ] || skip "systemd-nspawn is missing: apt-get install systemd-container, or name it with SYSTEMD_NSPAWN"
grep -q overlay /proc/filesystems || skip "this Linux has no overlay file system"
cgroups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$cgroups" ] || skip "this Linux has no cgroup2"
own=$cgroups/vertigo-daemons-$$
mkdir "$own" 2>/dev/null || skip "$cgroups cannot be written"
trap 'find "$own" -depth -type d -exec rmdir {} + 2>/dev/null || true' EXIT

work=$(mktemp -d)
trap 'rmdir "$work"; find "$own" -depth -type d -exec rmdir {} + 2>/dev/null || true' EXIT
export programs libraries here nspawn work
ended=0
# The machine's part of the cgroups begins where this process is when it unshares them. The inner shell reads the names itself.
# shellcheck disable=SC2016
(
  echo "$BASHPID" > "$own/cgroup.procs"
  exec unshare --mount --cgroup --pid --fork --kill-child --mount-proc bash -euo pipefail -c '
    mount --make-rprivate /
    mount -t cgroup2 none /sys/fs/cgroup
    mount -t tmpfs tmpfs "$work"
    mount -t tmpfs tmpfs /run
    mkdir "$work"/{up,work,root}
    mount -t overlay overlay -o "lowerdir=/,upperdir=$work/up,workdir=$work/work" "$work/root"
    root=$work/root
    mkdir -p "$root/opt/vertigo"
    for program in vertigo vertigo-coordinator vertigo-worker; do install -m 0755 "$programs/$program" "$root/usr/local/bin/"; done
    if [ -n "$libraries" ]; then
      # The programs of a build look for MLX in a home, which daemons do not see.
      cp -rL "$libraries/mlx/lib/." "$libraries/mlx_cpu.libs/." "$root/opt/vertigo/"
      chmod -R a+rX "$root/opt/vertigo"
      mkdir -p "$root/etc/systemd/system/vertigo-worker.service.d"
      printf "[Service]\nEnvironment=LD_LIBRARY_PATH=/opt/vertigo\n" > "$root/etc/systemd/system/vertigo-worker.service.d/libraries.conf"
    fi
    install -m 0755 "$here/inside.sh" "$root/opt/vertigo/inside.sh"
    cat > "$root/etc/systemd/system/inside.service" <<END
[Unit]
After=multi-user.target
[Service]
Type=oneshot
Environment=HOME=/root LD_LIBRARY_PATH=/opt/vertigo
ExecStart=/opt/vertigo/inside.sh
StandardOutput=append:/opt/vertigo/said
StandardError=append:/opt/vertigo/said
ExecStopPost=/bin/systemctl --no-block exit \$EXIT_STATUS
TimeoutStartSec=300
END
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -s ../inside.service "$root/etc/systemd/system/multi-user.target.wants/inside.service"
    rm -f "$root/etc/machine-id" "$root/var/lib/dbus/machine-id"
    touch "$root/etc/machine-id"
    export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
    ended=0
    "$nspawn" --quiet --directory="$root" --boot --private-network --register=no --keep-unit --link-journal=no --console=pipe \
      --machine=vertigo-daemons < /dev/null || ended=$?
    cat "$root/opt/vertigo/said" || true
    exit "$ended"'
) || ended=$?
exit "$ended"
