#!/bin/sh
# Builds the two sources of the packages in build/packages, both reproducible:
#   l3dsr-VERSION.tar.gz               the commit's files
#   l3dsr-VERSION-modules-ARCH.tar.gz  the npm packages that a build needs, so that it needs no network
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C TZ=UTC
version=$(node packaging/changelog.mjs version)
epoch=$(sh packaging/source-date.sh)
cpu=$(node -p process.arch)
mkdir -p build/packages

[ -z "$(git status --porcelain --untracked-files=no)" ] || echo "tarball: of the last commit, without what is not committed" >&2
git archive --format=tar --prefix="l3dsr-$version/" HEAD | gzip -9n >"build/packages/l3dsr-$version.tar.gz"

set -- commander esbuild koffi yaml zod "@esbuild/linux-$cpu" "@koromix/koffi-linux-$cpu"
paths=
for module; do paths="$paths node_modules/$module"; done
# shellcheck disable=SC2086 # names of modules have no blanks
tar --create --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
	--mtime="@$epoch" --hard-dereference --exclude='node_modules/koffi/vendor' --exclude='node_modules/koffi/lib' \
	--exclude='node_modules/koffi/doc' --exclude='*.map' --exclude='*.d.cts' --exclude='*.d.mts' \
	$paths node_modules/.bin/esbuild | gzip -9n >"build/packages/l3dsr-$version-modules-$cpu.tar.gz"
