#!/bin/sh
# Lets the conformance suite and the attacks at skein and at socketcluster-server, one after the other, and prints how many
# of their cases pass, as the table of docs/security.md. SUITES is the folder of both suites.
set -eu
cd "$(dirname "$0")/.."
suites=${SUITES:-../shared}
[ -d "$suites/wsconf" ] || { echo "there are no suites at $suites: set SUITES" >&2; exit 1; }
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$dir"' EXIT
for suite in wsconf abuse; do go build -C "$suites/$suite" -o "$dir/$suite" .; done
go build -o "$dir/skein" ./cmd/skein
secret=0123456789abcdef0123456789abcdef

# row SUITE SERVER prints the last line of a suite as a row.
row() { awk -v suite="$1" -v server="$2" '/^[0-9]+ passed, /{gsub(",", ""); print "| " suite " | " server " | " $1 " | " $3 " | " $5 " |"}'; }

# conform SERVER PATH COMMAND… runs the conformance suite against what the command says that it serves.
conform() {
	name=$1 path=$2
	shift 2
	"$@" >"$dir/out" 2>&1 &
	pid=$!
	until grep -q 'ws://' "$dir/out"; do sleep 0.1; done
	base=$(grep -o 'ws://[0-9.:]*' "$dir/out" | head -1)
	"$dir/wsconf" -url "$base$path" -strict -max 16777216 >"$dir/log" || true
	row 'wsconf -strict' "$name" <"$dir/log"
	kill "$pid"
	wait "$pid" 2>/dev/null || true
	pid=
}

# attack SERVER PORT COMMAND runs the attacks in full.
attack() {
	"$dir/abuse" -url "ws://127.0.0.1:$2/socketcluster/" -start "$3" -log "$dir/server.log" -jwt-hs "$secret" >"$dir/log" || true
	row abuse "$1" <"$dir/log"
	grep '^FAIL' "$dir/log" | cut -c 1-100 >&2 || true
}

echo '| suite | server | passed | failed | skipped |'
echo '|---|---|---|---|---|'
for driver in auto park; do
	conform "skein, driver $driver" /echo "$dir/skein" serve --addr 127.0.0.1:0 --echo /echo --compression --driver "$driver"
done
conform "ws $(node -p "require('./bench/node_modules/ws/package.json').version")" / node bench/servers/echo.mjs
for driver in auto park; do
	attack "skein, driver $driver" 18731 "$dir/skein serve --addr 127.0.0.1:18731 --driver $driver --auth-key $secret"
done
attack "socketcluster-server $(node -p "require('./bench/node_modules/socketcluster-server/package.json').version")" 18732 \
	"env PORT=18732 HS_KEY=$secret NODE_PATH=$PWD/bench/node_modules node $suites/abuse/fixtures/sc-server.js"
