#!/bin/sh
# Builds bin/ and dist/ if a source is newer than they are. Safe to run from several processes at once.
set -eu
cd "$(dirname "$0")/.."
exec 9>.build-lock
flock 9
if [ ! -e .setup-stamp ] || [ -n "$(find packages/*/src packages/*/package.json scripts/build.ts scripts/page.ts scripts/parts.ts scripts/direct-imports.ts scripts/code-cache.ts scripts/hot-functions.txt package.json package-lock.json -newer .setup-stamp -print -quit)" ]; then
	echo "setup: building bin/"
	touch .setup-stamp.new # before the build: a file saved meanwhile is newer
	node_modules/.bin/node scripts/build.ts
	mv .setup-stamp.new .setup-stamp
fi
