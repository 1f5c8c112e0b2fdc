#!/bin/sh
# Builds the sources of the packages in build/packages, reproducibly:
#   l3dsr-VERSION.tar.gz           the commit's files
#   l3dsr-VERSION-modules.tar.gz   node_modules: the npm packages that a build needs, and the links to our own packages
# Copies what prebuilt.sh fetches to the same folder. With all of these files, a build needs no network.
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C TZ=UTC
umask 022
version=$("$(sh packaging/prebuilt.sh node)" packaging/metadata.mjs version)
epoch=$(sh packaging/source-date.sh)
mkdir -p build/packages
work=$(mktemp -d build/tarball.XXXXXX)
trap 'rm -rf "$work"' EXIT

[ -z "$(git status --porcelain --untracked-files=no)" ] || echo "tarball: contains the last commit; changes that are not committed are left out" >&2
git archive --format=tar --prefix="l3dsr-$version/" HEAD | gzip -9n >"$work/l3dsr-$version.tar.gz"

# Without esbuild's native program: it depends on the processor, and prebuilt.sh fetches it.
tar --create --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
	--mtime="@$epoch" --hard-dereference --exclude='node_modules/koffi/vendor' --exclude='node_modules/koffi/lib' \
	--exclude='node_modules/koffi/doc' --exclude='node_modules/esbuild/bin' \
	--exclude='*.map' --exclude='*.d.cts' --exclude='*.d.mts' --exclude='*.d.ts' \
	--exclude='node_modules/bintrees/[det]*' --exclude='node_modules/uplot/demos' \
	node_modules/@l3dsr node_modules/@opentelemetry/api node_modules/bintrees node_modules/commander node_modules/esbuild \
	node_modules/koffi node_modules/preact node_modules/prom-client node_modules/tdigest node_modules/uplot \
	node_modules/yaml node_modules/zod |
	gzip -9n >"$work/l3dsr-$version-modules.tar.gz"
mv "$work"/*.tar.gz build/packages/
