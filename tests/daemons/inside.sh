#!/usr/bin/env bash
# What has to hold of daemons on a machine whose systemd is process 1. machine.sh boots it; tests/daemons.rs asks for that.
set -Eeuo pipefail
trap 'cat /tmp/said /tmp/why 2> /dev/null || true; journalctl --no-pager -n 40 -u vertigo-worker -u vertigo-coordinator -u luau; echo "failed in line $LINENO: $BASH_COMMAND"' ERR
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

# Where other machines reach the coordinator: whoever has it installed is its administrator, and a worker joins by what was printed.
ip address add 10.77.0.1/24 dev lo
for person in ada eve; do useradd --create-home --shell /bin/bash "$person"; done
as() { local person=$1; shift; setpriv --reuid="$person" --regid="$person" --clear-groups env -i HOME="/home/$person" PATH=/usr/local/bin:/usr/bin:/bin "$@"; }
# What sudo says of who called it.
called_by() { SUDO_USER=$1 SUDO_UID=$(id -u "$1") SUDO_GID=$(id -g "$1") "${@:2}"; }
principals() { as ada vertigo principals --json | tr -d '[:space:]' | grep -o '"name":"[^"]*"'; }
of_root() { ls -A /root/.vertigo/contexts /root/.local/state/vertigo/contexts 2>&1 || true; }
installs() { called_by "$1" vertigo-coordinator install --listen 0.0.0.0:7420; }

called_by ada vertigo-coordinator install --listen 0.0.0.0:7420 --dry-run | grep '^next, here: sudo cat /var/lib/vertigo/coordinator/access/admin-token'
[ -z "$(find /home/ada -name contexts)" ]
before=$(of_root)
installs ada > /tmp/said
grep '^you administer it now: admin, in the context 10.77.0.1$' /tmp/said
# No terminal, no secret.
grep '^next, for each Mac' /tmp/said
refused grep 'vertigo1\.' /tmp/said
[ "$(as ada vertigo token list --json | tr -d '[:space:]')" = '[]' ]
[ -z "$(find /home/ada ! -user ada)" ]
[ "$(of_root)" = "$before" ]
as ada vertigo workers > /dev/null
holds "who had the coordinator installed is its administrator, as themselves"

before=$(stat -c %Y.%i /home/ada/.local/state/vertigo/contexts/*.json)
# As a person at a terminal sees it. Its lines end as a terminal's do.
export -f installs called_by
SHELL=/bin/bash script -qec 'installs ada' /dev/null | tr -d '\r' > /tmp/said
grep '^you administer it as before: admin' /tmp/said
[ "$before" = "$(stat -c %Y.%i /home/ada/.local/state/vertigo/contexts/*.json)" ]
[ "$(principals)" = '"name":"admin"' ]
[ "$(grep -c '^vertigo1\.' /tmp/said)" = 1 ]
grep '^next, on a Mac that is to work: sudo vertigo-worker join$' /tmp/said
refused grep -rqF "$(grep '^vertigo1\.' /tmp/said)" /var/log /run/log /home /var/lib/vertigo
holds "installed again it keeps the context, and shows a terminal what the next Mac joins with"

grep '^vertigo1\.' /tmp/said | vertigo-worker join --name inside | grep '^joined https://10.77.0.1:7420 as inside'
is_joined() { as ada vertigo workers --json | grep -q '"inside"'; }
soon is_joined
holds "a worker joins by the line that was shown"

# Another person, and one whose context is gone: others than the first, each with a name of their own.
installs eve | grep '^you administer it now: eve-'
as eve vertigo token list > /dev/null
as ada vertigo context remove 10.77.0.1
installs ada > /tmp/said
grep '^you administer it now: ada-' /tmp/said
grep 'vertigo revoke admin' /tmp/said
# A login that fails leaves the daemon, says why and how it is done by hand.
refused called_by nobody-there vertigo-coordinator install --listen 0.0.0.0:7420 > /tmp/said 2> /tmp/why
grep 'no account `nobody-there`' /tmp/why
grep '^next, here: sudo cat /var/lib/vertigo/coordinator/access/admin-token | vertigo login$' /tmp/said
mv /usr/local/bin/vertigo /usr/local/bin/vertigo.away
called_by ada vertigo-coordinator install --listen 0.0.0.0:7420 | grep '^next, here: sudo cat'
mv /usr/local/bin/vertigo.away /usr/local/bin/vertigo
soon is_joined
holds "others are administrators beside the first, and what cannot be done is said"

vertigo-worker uninstall | grep '^stays: /var/lib/vertigo/worker'
vertigo-coordinator uninstall
for name in coordinator worker; do
  refused systemctl cat "vertigo-$name.service" --no-pager
  refused pgrep -u vertigo
  [ -e "/var/lib/vertigo/$name/lock" ]
done
holds "what was taken away runs no more, and its folder stays"
echo "all of it holds"
