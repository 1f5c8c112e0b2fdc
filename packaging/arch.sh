# Read by the other scripts: what each world calls the processor that is built for, ARCH, and this one's.
# ARCH may be said in any of their words; without it, it is this machine's.
# shellcheck shell=sh disable=SC2034 # used where this is read
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
