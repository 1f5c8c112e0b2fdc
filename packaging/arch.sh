# Sourced by the other scripts. Sets the names of the target processor in npm (cpu), in .deb (deb_arch) and in .rpm
# (rpm_arch), and of this machine's processor in npm (build_cpu). ARCH selects the target by any of these names;
# default: this machine.
# shellcheck shell=sh disable=SC2034 # the scripts that source this file use them
case $(uname -m) in
x86_64) build_cpu=x64 ;;
aarch64) build_cpu=arm64 ;;
*) echo "packages are built on x86-64 and arm64, not on $(uname -m)" >&2; exit 2 ;;
esac
case ${ARCH:-$build_cpu} in
x64 | amd64 | x86_64) cpu=x64 deb_arch=amd64 rpm_arch=x86_64 ;;
arm64 | aarch64) cpu=arm64 deb_arch=arm64 rpm_arch=aarch64 ;;
*) echo "ARCH is amd64 (x86_64) or arm64 (aarch64), not $ARCH" >&2; exit 2 ;;
esac
