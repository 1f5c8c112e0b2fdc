#!/bin/sh
# Builds build/packages/l3dsr-VERSION.tgz, the commands for an installed Node, and one .tgz for each library.
set -eu
cd "$(dirname "$0")/.."
umask 022
sh scripts/build.sh >&2
node=node_modules/.bin/node
stage=build/npm/l3dsr
rm -rf "$stage"
mkdir -p "$stage/bin" "$stage/dist" build/packages

# The commands find Node by PATH. V8's code caches are left out: they are for one processor, and V8 crashes with a
# cache for another.
for command in bin/*; do
	[ "$command" != bin/package.json ] || continue
	sed -e '1s|.*|#!/usr/bin/env node|' "$command" >"$stage/$command"
	chmod 755 "$stage/$command"
done
cp bin/package.json "$stage/bin/"
cp dist/*.js "$stage/dist/"
cp -r dist/web "$stage/dist/"
"$node" packaging/documents.mjs "$stage" README.md LICENSE CHANGELOG.md docs examples

# The licences of the bundled packages.
mkdir "$stage/licenses"
for module in @opentelemetry/api bintrees commander preact prom-client tdigest uplot yaml zod; do
	install -Dm 644 "$(ls node_modules/$module/LICENSE* | head -1)" "$stage/licenses/${module##*@}"
done
chmod 644 "$stage"/licenses/*

"$node" --conditions=@l3dsr/source scripts/man-pages.ts "$stage/man" "$(sh packaging/source-date.sh)"
# npm does not pack symbolic links, so write pages that include the linked ones.
find "$stage/man" -type l | while read -r link; do
	page=$(readlink "$link")
	printf '.so man%s/%s\n' "$(basename "$(dirname "$link")" | tail -c 2)" "${page%.gz}" >"${link%.gz}"
	rm "$link"
done
"$node" packaging/npm-manifest.mjs "$stage"
npm pack --silent --pack-destination build/packages "./$stage" | sed "s|^|npm: build/packages/|"

for library in linux packet bpf nftables records; do
	npm pack --silent --pack-destination build/packages --workspace "packages/$library" | sed -n "s|^\(l3dsr.*tgz\)$|npm: build/packages/\1|p"
done
