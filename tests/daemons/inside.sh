#!/usr/bin/env bash
# What has to hold of daemons on a machine whose systemd is process 1. machine.sh boots it; tests/daemons.rs asks for that.
set -Eeuo pipefail
trap 'journalctl --no-pager -n 40 -u vertigo-worker -u vertigo-coordinator -u luau; echo "failed in line $LINENO: $BASH_COMMAND"' ERR
holds() { printf 'holds: %s\n' "$*"; }
soon() {
  for _ in $(seq 600); do
    if "$@" > /dev/null 2>&1; then return; fi
    sleep 0.1
  done
  echo "waited a minute for: $*"
  false
}
refused() { if "$@"; then echo "it was not refused: $*"; false; fi; }
pid() { systemctl show -p MainPID --value "$1"; }
is_connected() { vertigo workers --json | grep -q '"inside"'; }

refused vertigo-coordinator status
vertigo-coordinator install | grep '^vertigo-coordinator runs'
vertigo-worker install --name inside | grep '^vertigo-worker runs'
for name in coordinator worker; do
  unit=vertigo-$name
  systemctl is-enabled --quiet "$unit"
  [ "$(stat -c '%a %U' /var/lib/vertigo/$name)" = "700 vertigo" ]
  [ "$(ps -o user= -p "$(pid "$unit")")" = vertigo ]
  grep -q '^NoNewPrivs:.*1$' "/proc/$(pid "$unit")/status"
  grep -q '^Seccomp:.*2$' "/proc/$(pid "$unit")/status"
  "$unit" status | grep "as vertigo"
done
holds "both run as their own account, in folders of their own, behind walls"

soon is_connected
holds "the worker is connected"
vertigo doctor

# The worker's own walls around Luau stand within those of its unit: a program runs, and its process has one filter more.
mkdir -p /srv/luau
echo 'return { sum = 1 + 1 }' > /srv/luau/sum.luau
echo 'test("adds", function() assert(require("answer").sum == 2) end)' > /srv/luau/adds.luau
echo 'while true do end' > /srv/luau/endless.luau
behind_the_same_walls() {
  sed -e "s|^Type=.*|Type=$1|" -e "s|^ExecStart=.*|ExecStart=/usr/local/bin/vertigo luau run $2|" \
    -e '/^Restart/d; /^WatchdogSec=/d; /^NotifyAccess=/d' /etc/systemd/system/vertigo-worker.service > /run/systemd/system/luau.service
  systemctl daemon-reload
  systemctl start luau.service
}
filters() { awk '$1 == "Seccomp_filters:" { print $2 }' "/proc/$1/status"; }
behind_the_same_walls oneshot '/srv/luau/sum.luau --test /srv/luau/adds.luau'
behind_the_same_walls exec /srv/luau/endless.luau
has_child() { pgrep -P "$(pid luau)"; }
soon has_child
child=$(has_child | head -n 1)
is_walled() { [ "$(filters "$child")" -gt "$(filters "$(pid luau)")" ]; }
soon is_walled
systemctl stop luau.service
holds "Luau runs, behind walls of its own within those of the unit"

before=$(pid vertigo-worker)
kill -KILL "$before"
comes_back() { [ "$(pid vertigo-worker)" != "$before" ] && systemctl is-active --quiet vertigo-worker; }
soon comes_back
soon is_connected
holds "a worker that was killed comes back"

before=$(pid vertigo-coordinator)
vertigo-coordinator install --keep checkpoints=3d | grep '^installed anew'
[ "$(pid vertigo-coordinator)" != "$before" ]
tr '\0' ' ' < "/proc/$(pid vertigo-coordinator)/cmdline" | grep -- '--keep checkpoints=3d'
soon is_connected
holds "installing again starts anew, with the new options"

chmod 0755 /var/lib/vertigo/worker
refused vertigo doctor
eval "$( { vertigo doctor --json 2> /dev/null || true; } | sed -n 's/.*"cure": "sudo \(chmod .*\)".*/\1/p')"
vertigo doctor > /dev/null
holds "what the doctor finds is cured by the command that it names"

mkdir -p /srv/letters
touch /srv/letters/first.txt
refused vertigo-worker install --state /srv/letters
[ "$(stat -c '%U' /srv/letters/first.txt)" = root ]
holds "a folder of somebody else does not become the worker's"

vertigo-worker uninstall | grep '^stays: /var/lib/vertigo/worker'
vertigo-coordinator uninstall
for name in coordinator worker; do
  refused systemctl cat "vertigo-$name.service" --no-pager
  refused pgrep -u vertigo
  [ -e "/var/lib/vertigo/$name/lock" ]
done
holds "what was taken away runs no more, and its folder stays"
echo "all of it holds"
