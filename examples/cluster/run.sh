#!/usr/bin/env bash
# Three nodes and a balancer on this machine, without containers. Ctrl-C ends them all.
#
#   examples/cluster/run.sh
#   PORT=9000 examples/cluster/run.sh
#
# The balancer has PORT (8000), the nodes have PORT+1 to PORT+3 for clients, and PORT+11 to PORT+13 for each other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

port=${PORT:-8000}
work=$(mktemp -d)
nodes=()
balancer=

finish() {
	trap '' INT TERM
	# The balancer last: through it the nodes send their clients away.
	kill "${nodes[@]}" 2>/dev/null || true
	wait "${nodes[@]}" 2>/dev/null || true
	kill $balancer 2>/dev/null || true
	wait $balancer 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 0' INT TERM

go build -trimpath -o "$work/" ./cmd/skein ./examples/cluster/balancer
(umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$work/auth-key")

# Each child gets a process group of its own, so that Ctrl-C reaches this script alone: a second signal ends a node at once.
set -m

"$work/balancer" -listen "127.0.0.1:$port" "127.0.0.1:$((port + 1))" "127.0.0.1:$((port + 2))" "127.0.0.1:$((port + 3))" &
balancer=$!

# All get the same seeds, their own address included, and the same key, so that a token of one is good on all.
seeds=127.0.0.1:$((port + 11)),127.0.0.1:$((port + 12)),127.0.0.1:$((port + 13))
i=0
for name in a b c; do
	i=$((i + 1))
	"$work/skein" serve --node $name --addr "127.0.0.1:$((port + i))" \
		--cluster-listen "127.0.0.1:$((port + 10 + i))" --cluster-join "$seeds" --cluster-min 3 \
		--auth-key "@$work/auth-key" --log-level warn >"$work/$name.out" &
	nodes+=($!)
	echo "node $name on 127.0.0.1:$((port + i)), process $!"
done

list() { "$work/skein" nodes --url "http://127.0.0.1:$((port + 1))"; }
until [ "$(list 2>/dev/null | grep -c serving)" = 3 ]; do
	kill -0 $balancer "${nodes[@]}"
	sleep 0.2
done
list
echo "ready: ws://127.0.0.1:$port/socketcluster/ and http://127.0.0.1:$port/"
wait
