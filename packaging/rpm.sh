#!/bin/sh
# Builds build/packages/l3dsr-VERSION-1.DIST.ARCH.rpm and the .src.rpm. DIST: el8, el9, el10, fc43.
# rpm.sh --rebuild FILE.src.rpm builds the binary package from a source package.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export LC_ALL=C TZ=UTC
dist=${DIST:-el9}
case $dist in
el[0-9]* | fc[0-9]*) ;;
*) echo "rpm: DIST is el8, el9, el10 or fc43, not $dist" >&2; exit 2 ;;
esac
out=$here/../build/packages
mkdir -p "$out"
out=$(cd "$out" && pwd)
# The same folder each time: rpm writes its name into the source package.
work=$(dirname "$out")/rpm
trap 'rm -rf "$work"' EXIT
rm -rf "$work"
mkdir -p "$work/BUILD" "$work/RPMS" "$work/SOURCES" "$work/SRPMS"

if [ "${1:-}" = --rebuild ]; then
	# A rebuild is dated as its source was.
	SOURCE_DATE_EPOCH=$(rpm -qp --queryformat '%{BUILDTIME}' "$2")
	export SOURCE_DATE_EPOCH
	set -- --rebuild "$(realpath "$2")"
else
	sh "$here/tarball.sh"
	SOURCE_DATE_EPOCH=$(sh "$here/source-date.sh")
	export SOURCE_DATE_EPOCH
	version=$(node "$here/changelog.mjs" version)
	cp "$out/l3dsr-$version.tar.gz" "$out/l3dsr-$version-modules-$(node -p process.arch).tar.gz" "$work/SOURCES"
	touch -d "@$SOURCE_DATE_EPOCH" "$work"/SOURCES/*
	node "$here/changelog.mjs" rpm "$version-1" >"$work/changelog"
	sed -e "s/@VERSION@/$version/" -e "s/@EPOCH@/$SOURCE_DATE_EPOCH/" -e "s/@CPU@/$(node -p process.arch)/" \
		-e "/@CHANGELOG@/{
r $work/changelog
d
}" "$here/rpm/l3dsr.spec" >"$work/l3dsr.spec"
	touch -d "@$SOURCE_DATE_EPOCH" "$work/l3dsr.spec"
	set -- -bs "$work/l3dsr.spec"
fi

# Where rpm knows of no packages (on Debian), it cannot judge what the build requires.
rpm -q rpm >/dev/null 2>&1 || set -- --nodeps "$@"
# Fedora's /usr/sbin is /usr/bin. gzip: every rpm reads it.
case $dist in fc*) sbindir=/usr/bin ;; *) sbindir=/usr/sbin ;; esac
rpmbuild "$@" --quiet \
	--define "_topdir $work" --define "dist .$dist" --define "_sbindir $sbindir" \
	--define "_buildhost reproducible" --define "use_source_date_epoch_as_buildtime 1" \
	--define "clamp_mtime_to_source_date_epoch 1" --define "_binary_payload w6.gzdio" --define "_source_payload w6.gzdio"
find "$work/RPMS" "$work/SRPMS" -name '*.rpm' -exec cp -v {} "$out" \;

# The binary package is built from the source package: so whoever rebuilds that gets the same.
[ -n "${version:-}" ] || exit 0
rm -rf "$work"
DIST=$dist exec sh "$here/rpm.sh" --rebuild "$out/l3dsr-$version-1.$dist.src.rpm"
