#!/bin/sh
# Builds build/packages/l3dsr_VERSION_ARCH.deb. SUITE (deb12, deb13, ubuntu24.04, ubuntu26.04) is told by the
# version: l3dsr_0.1.0-1~deb12_amd64.deb. The files are the same: what the runtime needs, all four have.
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C TZ=UTC
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(sh packaging/source-date.sh)}
export SOURCE_DATE_EPOCH
umask 022

version=$(node packaging/changelog.mjs version)-1${SUITE:+~$SUITE}
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

sh packaging/install.sh "$root"

doc=$root/usr/share/doc/l3dsr
node packaging/changelog.mjs debian "$version" | gzip -9n >"$doc/changelog.Debian.gz"
gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
cp packaging/deb/copyright "$doc/copyright"
install -Dm 644 packaging/deb/lintian-overrides "$root/usr/share/lintian/overrides/l3dsr"

# What the two native files need, with the oldest versions that have it.
mkdir -p "$work/debian"
printf 'Source: l3dsr\n\nPackage: l3dsr\nArchitecture: any\n' >"$work/debian/control"
libraries=$(cd "$work" && dpkg-shlibdeps -O --warnings=0 -S"$root" root/usr/lib/l3dsr/node \
	root/usr/lib/l3dsr/node_modules/@koromix/*/*/koffi.node | sed -n 's/^shlibs:Depends=//p')

mkdir "$root/DEBIAN"
size=$(find "$root" -type f -not -path '*/DEBIAN/*' -printf '%s\n' | awk '{ k += int(($1 + 1023) / 1024) } END { print k }')
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" -e "s/@LIBRARIES@/$libraries/" -e "s/@MAINTAINER@/$(node packaging/changelog.mjs maintainer)/" \
	packaging/deb/control >"$root/DEBIAN/control"
(cd "$root" && find . -type f -not -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
for script in postinst prerm postrm; do install -m 755 "packaging/deb/$script" "$root/DEBIAN/$script"; done
chmod 644 "$root"/DEBIAN/control "$root"/DEBIAN/md5sums
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

mkdir -p build/packages
dpkg-deb --root-owner-group -Zgzip -z6 --build "$root" "build/packages/l3dsr_${version}_$arch.deb"
