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

check bin/l3dsr lab --datapath nft
check bin/l3dsr lab --datapath ebpf
export L3DSR_DIFFERENTIAL_RULESETS=12
check node_modules/.bin/node --conditions=@l3dsr/source --test-reporter=tap --test packages/l3dsr/test/rewrite/ebpf/differential.test.ts
check node_modules/.bin/node --conditions=@l3dsr/source --test-reporter=tap --test packages/l3dsr/test/rewrite/ebpf/listing.test.ts
check node_modules/.bin/node --conditions=@l3dsr/source --test-reporter=tap --test packages/bpf/test/map.test.ts
exit $failed
