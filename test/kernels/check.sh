#!/bin/sh
# What has to hold under every kernel that is supported; runs as root in the guest of boot.sh. A guest without KVM
# is ten times slower: each command is the shortest that still shows its point. The environment variable ONLY selects
# some of them by patterns of the shell: "*differential* *lab*".
cd "$(dirname "$0")/../.."
passed=0
failed=

# ONLY is split into words, and they are not names of files.
set -f

wanted() {
	for pattern in ${ONLY:-*}; do
		# shellcheck disable=SC2254 # a pattern
		case $1 in $pattern) return 0 ;; esac
	done
	return 1
}

attempt() {
	timeout 900 "$@" >/tmp/output 2>&1
	status=$?
}

check() {
	wanted "$*" || return
	echo "== $*"
	started=$(date +%s)
	attempt "$@"
	# In emulation, V8 has ended Node.js by a check of its own (boot.sh). A fault of ours would do it again.
	case $status in
	133 | 139)
		tail -n 30 /tmp/output
		echo "Node.js died of signal $((status - 128)): once more"
		attempt "$@"
		;;
	esac
	seconds=$(($(date +%s) - started))
	# Node.js takes a file for passed in which no test has the wanted name.
	if grep -q '^1\.\.0$' /tmp/output; then status=1; fi
	if [ $status = 0 ]; then
		passed=$((passed + 1))
		grep -E '^ *(ok|not ok) |^# (pass|skipped|duration_ms) |proved' /tmp/output
	else
		failed="$failed$*
"
		grep -A 30 '^ *not ok' /tmp/output | head -n 200
		tail -n 30 /tmp/output
		echo "FAILED ($status): $*"
	fi
	echo "   after $seconds s"
}

# A test file; more options select its tests.
file() {
	file=packages/$1
	shift
	check node_modules/.bin/node --conditions=@l3dsr/source --test-reporter=tap "$@" "$file"
}

# What the first of them compiles, the others need not.
export NODE_COMPILE_CACHE="$PWD/node_modules/.cache/node"
export L3DSR_DIFFERENTIAL_RULESETS=12 L3DSR_NFT_DIFFERENTIAL_RULESETS=32 L3DSR_DIRECTOR_PACKETS=1000
# Deadlines of the tests and of the lab, ten times as long.
export L3DSR_PATIENCE=10
# Some hosts forbid to trace programs; here nothing does.
export L3DSR_REQUIRE_TRACING=1

file bpf/test/feature.test.ts
file bpf/test/map.test.ts
file bpf/test/exit-link.test.ts
file nftables/test/read-back.test.ts
file nftables/test/transact.test.ts --test-skip-pattern='ten thousand rules'
file l3dsr/test/rewrite/ebpf/differential.test.ts
file l3dsr/test/rewrite/nft/differential.test.ts
file l3dsr/test/balance/differential.test.ts
file l3dsr/test/rewrite/ebpf/listing.test.ts
file l3dsr/test/inspect/watch/director.test.ts
file l3dsr/test/inspect/watch/watch.test.ts
file l3dsr/test/cli/services/ports.test.ts --test-name-pattern='unchanged: (nft|ebpf at clsact)$'
file l3dsr/test/cli/services/verbs.test.ts --test-name-pattern='without nft, ip and tc'
check bin/l3dsr lab --datapath nft
check bin/l3dsr lab --datapath ebpf

echo "passed: $passed"
printf '%s' "$failed" | sed 's/^/FAILED: /'
[ -z "$failed" ] && [ "$passed" -gt 0 ]
