#!/bin/sh
# Builds build/packages/l3dsr-VERSION-1.DIST.ARCH.rpm and the .src.rpm. DIST: el8, el9, el10, fc43.
# rpm.sh --rebuild FILE.src.rpm builds the binary package from a source package; one source package serves every ARCH.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export LC_ALL=C TZ=UTC
umask 022
# shellcheck source=arch.sh
. "$here/arch.sh"
node=$(sh "$here/prebuilt.sh" node)
dist=${DIST:-el9}
case $dist in
el[0-9]* | fc[0-9]*) ;;
*) echo "rpm: DIST is el8, el9, el10 or fc43, not $dist" >&2; exit 2 ;;
esac
mkdir -p "$here/../build/packages"
out=$(cd "$here/../build/packages" && pwd)
work=$(mktemp -d "$(dirname "$out")/rpm.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/BUILD" "$work/RPMS" "$work/SOURCES" "$work/SRPMS"

# rpmbuild with the settings of both kinds of package. xz, because rpm of el8 does not read zstd. Fedora's /usr/sbin is
# /usr/bin.
case $dist in fc*) sbindir=/usr/bin ;; *) sbindir=/usr/sbin ;; esac
build() {
	# On Debian, rpm does not know the installed packages, so it cannot check what the build requires.
	rpm -q rpm >/dev/null 2>&1 || set -- --nodeps "$@"
	rpmbuild "$@" --quiet --define "packager $("$node" "$here/metadata.mjs" maintainer)" --define "dist .$dist" --define "_sbindir $sbindir" \
		--define "_buildhost reproducible" --define "use_source_date_epoch_as_buildtime 1" \
		--define "clamp_mtime_to_source_date_epoch 1" --define "_binary_payload w${XZ_LEVEL:-6}.xzdio" --define "_source_payload w1.gzdio"
}

if [ "${1:-}" = --rebuild ]; then
	source=$(realpath "$2")
else
	sh "$here/tarball.sh"
	version=$("$node" "$here/metadata.mjs" version)
	source=$out/l3dsr-$version-1.$dist.src.rpm
	SOURCE_DATE_EPOCH=$(sh "$here/source-date.sh")
	export SOURCE_DATE_EPOCH
	ln "$out/l3dsr-$version.tar.gz" "$out/l3dsr-$version-modules.tar.gz" "$work/SOURCES"
	cp "$here"/../build/prebuilt/*.tgz "$work/SOURCES"
	sources=$(awk '{ print "Source" NR + 1 ": " $2 }' "$here/prebuilt.sha512")
	(cd "$work/SOURCES" && sha512sum --check --quiet "$here/prebuilt.sha512")
	chmod 644 "$work"/SOURCES/*
	find "$work/SOURCES" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
	"$node" "$here/metadata.mjs" rpm "$version-1.$dist" >"$work/changelog"
	echo "$sources" >"$work/sources"
	sed -e "s|@VERSION@|$version|" -e "s|@EPOCH@|$SOURCE_DATE_EPOCH|" \
		-e "s|@HOMEPAGE@|$("$node" "$here/metadata.mjs" homepage)|" \
		-e "/@SOURCES@/{
r $work/sources
d
}" -e "/@CHANGELOG@/{
r $work/changelog
d
}" "$here/rpm/l3dsr.spec" >"$work/l3dsr.spec"
	touch -d "@$SOURCE_DATE_EPOCH" "$work/l3dsr.spec"
	# rpm writes the name of this folder into the source package, so it must be the same on every machine.
	(cd "$work" && build -bs l3dsr.spec --define "_topdir /proc/self/cwd")
	mv "$work"/SRPMS/*.src.rpm "$source"
fi

# Build the binary package from the source package, with its date, so that a rebuild gives the same file.
SOURCE_DATE_EPOCH=$(rpm -qp --queryformat '%{BUILDTIME}' "$source")
export SOURCE_DATE_EPOCH
build --rebuild "$source" --target "$rpm_arch" --define "_topdir $work"
mv "$work/RPMS/$rpm_arch"/*.rpm "$out"
echo "rpm: build/packages/$(basename "$(ls -t "$out"/*."$dist.$rpm_arch".rpm | head -1)")"
