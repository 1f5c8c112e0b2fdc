#!/bin/sh
# Builds build/packages/l3dsr_VERSION_ARCH.deb for SUITE: deb12 (bookworm), deb13 (trixie), ubuntu24.04 (noble) or
# ubuntu26.04 (resolute). The version contains the suite: l3dsr_0.1.0-1~deb12_amd64.deb. All suites have the same files.
# The suffixes sort like the releases, so that a system upgrade also upgrades the package. Without SUITE, no suffix.
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C TZ=UTC
. packaging/arch.sh
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(sh packaging/source-date.sh)}
export SOURCE_DATE_EPOCH
umask 022

case ${SUITE:-} in
'') suite=stable suffix= ;;
deb12 | bookworm) suite=bookworm suffix=~deb12 ;;
deb13 | trixie) suite=trixie suffix=~deb13 ;;
ubuntu24.04 | noble) suite=noble suffix=~ubuntu24.04 ;;
ubuntu26.04 | resolute) suite=resolute suffix=~ubuntu26.04 ;;
*) echo "deb: SUITE is deb12, deb13, ubuntu24.04 or ubuntu26.04, not $SUITE" >&2; exit 2 ;;
esac
node=$(sh packaging/prebuilt.sh node)
version=$("$node" packaging/metadata.mjs version)-1$suffix
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

sh packaging/install.sh "$root"
# Debian's zsh looks for completions in this folder.
mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"

doc=$root/usr/share/doc/l3dsr
"$node" packaging/metadata.mjs debian "$version" "$suite" | gzip -9n >"$doc/changelog.Debian.gz"
gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
cp packaging/deb/copyright "$doc/copyright"
install -Dm 644 packaging/deb/lintian-overrides "$root/usr/share/lintian/overrides/l3dsr"

mkdir "$root/DEBIAN"
size=$(find "$root" -type f -not -path '*/DEBIAN/*' -printf '%s\n' | awk '{ k += int(($1 + 1023) / 1024) } END { print k }')
glibc=$(sh packaging/abi.sh "$root/usr/lib/l3dsr/node" "$root"/usr/lib/l3dsr/node_modules/@koromix/*/*/koffi.node)
maintainer=$("$node" packaging/metadata.mjs maintainer)
homepage=$("$node" packaging/metadata.mjs homepage)
sed -e "s|@VERSION@|$version|" -e "s|@ARCH@|$deb_arch|" -e "s|@SIZE@|$size|" -e "s|@GLIBC@|$glibc|" \
	-e "s|@MAINTAINER@|$maintainer|" -e "s|@HOMEPAGE@|$homepage|" packaging/deb/control >"$root/DEBIAN/control"
(cd "$root" && find . -type f -not -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
for script in postinst prerm postrm; do install -m 755 "packaging/deb/$script" "$root/DEBIAN/$script"; done
chmod 644 "$root"/DEBIAN/control "$root"/DEBIAN/md5sums
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

mkdir -p build/packages
file=l3dsr_${version}_$deb_arch.deb
# All supported versions of dpkg read xz. Levels above 6 would need 65 MB or more of memory on the host to unpack.
dpkg-deb --root-owner-group -Zxz "-z${XZ_LEVEL:-6}" --build "$root" "$work/$file"
mv "$work/$file" build/packages/
echo "deb: build/packages/$file"
