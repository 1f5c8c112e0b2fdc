#!/bin/sh
# Builds the packages that the tests need, two at a time.
set -eu
cd "$(dirname "$0")/../.."
. packaging/arch.sh
case $build_cpu in x64) other=arm64 ;; *) other=x64 ;; esac
rm -rf build/packages
xargs -P 2 -I '{}' sh -euc '{} >"$0".$$ 2>&1 || { cat "$0".$$ >&2; exit 255; }; rm -f "$0".$$' "$(mktemp -u)" <<LIST
DIST=el9 sh packaging/rpm.sh
sh packaging/deb.sh
DIST=fc43 sh packaging/rpm.sh
DIST=el10 sh packaging/rpm.sh
SUITE=deb12 sh packaging/deb.sh
SUITE=deb13 sh packaging/deb.sh
ARCH=$other sh packaging/deb.sh
ARCH=$other DIST=el8 sh packaging/rpm.sh
sh packaging/npm.sh
LIST
