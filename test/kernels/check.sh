#!/bin/sh
# What has to hold under every kernel that is supported; runs as root in the guest of boot.sh. A guest without KVM
# is ten times slower: each command is the shortest that still shows its point.
cd "$(dirname "$0")/../.."
failed=0

# Its last lines are enough.
check() {
	echo "== $*"
	"$@" >/tmp/output 2>&1
	status=$?
	tail -n 30 /tmp/output
	[ $status = 0 ] || { echo "FAILED ($status): $*"; failed=1; }
}

files() {
	for file; do
		check node_modules/.bin/node --conditions=@l3dsr/source --test-reporter=tap "$file"
	done
}

# What the first of them compiles, the others need not.
export NODE_COMPILE_CACHE="$PWD/node_modules/.cache/node"
export L3DSR_DIFFERENTIAL_RULESETS=12 L3DSR_NFT_DIFFERENTIAL_RULESETS=32 L3DSR_DIRECTOR_PACKETS=1000
# Some hosts forbid to trace programs; here nothing does.
export L3DSR_REQUIRE_TRACING=1
files packages/bpf/test/exit-link.test.ts packages/l3dsr/test/inspect/watch/director.test.ts
files packages/l3dsr/test/rewrite/ebpf/differential.test.ts packages/l3dsr/test/rewrite/ebpf/listing.test.ts \
	packages/l3dsr/test/rewrite/nft/differential.test.ts packages/l3dsr/test/balance/differential.test.ts \
	packages/bpf/test/map.test.ts packages/bpf/test/feature.test.ts packages/nftables/test/read-back.test.ts
check node_modules/.bin/node --conditions=@l3dsr/source --test-reporter=tap --test-name-pattern='^without nft, ip and tc' \
	packages/l3dsr/test/cli/services/verbs.test.ts
check bin/l3dsr lab --datapath nft
check bin/l3dsr lab --datapath ebpf
exit $failed
