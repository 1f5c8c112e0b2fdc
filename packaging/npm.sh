#!/bin/sh
# Builds build/packages/l3dsr-VERSION.tgz, as `npm pack` does: commands for a Node that is there, and l3dsr/bpf.
# npm.sh --files makes only the folder npm/ that package.json names, which is what npm runs before it packs.
set -eu
cd "$(dirname "$0")/.."
umask 022

if [ "${1:-}" != --files ]; then
	mkdir -p build/packages
	npm pack --silent --pack-destination build/packages >/dev/null
	exit 0
fi

sh scripts/build.sh >&2
rm -rf npm
mkdir -p npm/bin

# A Node is looked for where the shell looks. V8's code caches stay out (package.json): they are of this processor,
# and V8 crashes with one of another.
for command in bin/*; do
	[ "$command" != bin/package.json ] || continue
	sed -e '1s|.*|#!/usr/bin/env node|' -e 's|require("\.\./dist/|require("../../dist/|' "$command" >"npm/$command"
	chmod 755 "npm/$command"
done
cp bin/package.json npm/bin/

# Of what is in the bundles.
mkdir npm/licenses
for module in commander yaml zod; do cp "$(ls node_modules/$module/LICENSE* | head -1)" "npm/licenses/$module"; done
chmod 644 npm/licenses/*

node_modules/.bin/tsc -p packaging/tsconfig.types.json
# The files that the types name are .d.ts, which are found by .js.
find npm/types -name '*.d.ts' -exec sed -i -E 's|(from "\.[^"]*)\.ts"|\1.js"|' {} +
sed -i '1i /// <reference lib="esnext.disposable" />' npm/types/bpf/index.d.ts

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
node_modules/.bin/esbuild scripts/man-pages.ts --bundle --platform=node --format=cjs --target=node20 \
	'--define:import.meta.url=""' --outfile="$work/man-pages.cjs" --log-level=warning
node "$work/man-pages.cjs" npm/man "$(sh packaging/source-date.sh)"
# npm packs no links.
find npm/man -type l | while read -r link; do
	page=$(readlink "$link")
	printf '.so man%s/%s\n' "$(basename "$(dirname "$link")" | tail -c 2)" "${page%.gz}" >"${link%.gz}"
	rm "$link"
done
