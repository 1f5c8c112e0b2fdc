#!/bin/sh
# Builds bin/ and dist/ if a source is newer. Several processes may run it at the same time.
set -eu
cd "$(dirname "$0")/.."
exec 9>.build-lock
flock 9
if [ ! -e .setup-stamp ] || [ -n "$(find packages/*/src packages/*/package.json scripts/build.ts scripts/page.ts scripts/parts.ts scripts/direct-imports.ts scripts/code-cache.ts scripts/hot-functions.txt package.json package-lock.json -newer .setup-stamp -print -quit)" ]; then
	echo "setup: building bin/"
	touch .setup-stamp.new # before the build, so that a file saved during the build is newer
	node_modules/.bin/node scripts/build.ts
	mv .setup-stamp.new .setup-stamp
fi
