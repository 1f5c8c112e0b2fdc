#!/bin/sh
# On Debian, installs what building packages needs; with ARCH also what building for that processor needs:
#   setup.sh [all]  to build every kind
#   setup.sh deb    to build a .deb
#   setup.sh test   to build and test every kind
set -eu
cd "$(dirname "$0")/.."
. packaging/arch.sh
# On other systems, the build reports what is missing.
command -v apt-get >/dev/null || exit 0

wanted() {
	echo strip binutils
	[ "$1" = deb ] || echo rpmbuild rpm
	[ "$1" = test ] || [ "$cpu" != "$build_cpu" ] || return 0
	[ "$cpu" != "$build_cpu" ] || case $cpu in x64) rpm_arch=aarch64 ;; *) rpm_arch=x86_64 ;; esac
	package_arch=$(echo "$rpm_arch" | tr _ -)
	case $rpm_arch in aarch64) deb_arch=arm64 ;; *) deb_arch=amd64 ;; esac
	cat <<LIST
$rpm_arch-linux-gnu-strip binutils-$package_arch-linux-gnu
qemu-$rpm_arch-static qemu-user-static
/usr/$rpm_arch-linux-gnu/lib/libstdc++.so.6 libstdc++6-$deb_arch-cross
LIST
	[ "$1" = test ] || return 0
	cat <<LIST
debootstrap debootstrap
lintian lintian
rpmlint rpmlint
mandoc mandoc
man man-db
busybox busybox-static
systemd-nspawn systemd-container
dnf dnf
zsh zsh
fish fish
/usr/share/bash-completion/bash_completion bash-completion
LIST
}

missing=
while read -r program package; do
	command -v "$program" >/dev/null || [ -e "$program" ] || missing="$missing $package"
done <<LIST
$(wanted "${1:-all}")
LIST
[ -n "$missing" ] || exit 0
echo "setup: apt-get install$missing"
apt-get update -qq
# shellcheck disable=SC2086 # split into packages
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
