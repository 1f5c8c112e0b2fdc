#!/bin/sh
# Runs a command of this checkout, as root, under the kernel of a Debian release, in a virtual machine without KVM:
#
#     sh test/kernels/boot.sh bookworm 'bin/l3dsr lab --hook clsact'
#
# The guest is a minimal Debian of that release with a copy of the checkout, on a disk that is made anew each time; it
# has no network card. Exits as the command does.
set -eu
cd "$(dirname "$0")/../.."
suite=${1:?a Debian suite: bullseye, bookworm, trixie, sid}
command=${2:?a command}
here=$PWD

fail() { echo "test/kernels: $1" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "needs root"
missing=
while read -r program package; do
	command -v "$program" >/dev/null || missing="$missing $package"
done <<LIST
qemu-system-x86_64 qemu-system-x86
debootstrap debootstrap
mke2fs e2fsprogs
LIST
if [ -n "$missing" ]; then
	echo "test/kernels: apt-get install$missing" >&2
	apt-get update -qq
	# shellcheck disable=SC2086 # several packages
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

root=$(sh packaging/test/debian-root.sh "$suite" kernel)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/init" <<GUEST
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/netns
modprobe -q tun
ip link set lo up
cd '$here'
echo "test/kernels: Linux \$(uname -r)"
sh build/command 2>&1
echo "test/kernels: exit \$?"
echo o >/proc/sysrq-trigger
sleep infinity
GUEST
chmod +x "$work/init"
printf '%s\n' "$command" >"$work/command"

# What the disk holds is put together without a copy, in mounts of its own. Commands in bin/ need the checkout's path.
mkdir -p "$root$here"
truncate -s 4G "$work/disk"
unshare --mount sh -euc '
	mount --bind "$2" "$1$2"
	mount -t tmpfs tmpfs "$1$2/build"
	cp "$3/init" "$3/command" "$1$2/build/"
	mke2fs -q -t ext4 -O ^has_journal -d "$1" "$3/disk"
' - "$root" "$here" "$work"

# An emulated timer may be late on a busy machine. The emulated TSC is steady, and read in a moment: the HPET, which the
# kernel would choose, takes an exit from translated code for each reading.
clock="no_timer_check clocksource=tsc tsc=reliable"

# Without KVM: where it can be had at all, the guest of a guest, it does not run everywhere. With protection keys, V8 guards
# its machine code, and its account of that ends Node.js now and then in emulation.
qemu-system-x86_64 -accel tcg,thread=multi -cpu max,-pku -smp 2 -m 4096 -display none -monitor none -serial stdio \
	-nic none -no-reboot -kernel "$root/vmlinuz" -initrd "$root/initrd.img" \
	-drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" \
	-append "root=/dev/vda rw init=$here/build/init console=ttyS0 quiet loglevel=1 panic=-1 $clock" \
	</dev/null | sed -u 's/\r$//' | tee "$work/output"
status=$(sed -n 's/^test\/kernels: exit //p' "$work/output" | tail -n 1)
[ -n "$status" ] || fail "the guest ended before the command did"
exit "$status"
