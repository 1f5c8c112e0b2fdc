#!/bin/sh
# Runs a command of this checkout, as root, under the kernel of a Debian release, in a virtual machine without KVM:
#
#     sh test/kernels/boot.sh bookworm 'bin/l3dsr lab --hook clsact'
#
# The guest's root is this machine's, read-only, with what it writes kept in its memory; it has no network card.
# Kernels are Debian's packages, fetched once into build/kernels. Exits as the command does.
set -eu
cd "$(dirname "$0")/../.."
suite=${1:?a Debian suite: bullseye, bookworm, trixie, sid}
command=${2:?a command}
here=$PWD
place=$here/build/kernels/$suite

fail() { echo "test/kernels: $1" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "needs root"
missing=
while read -r program package; do
	command -v "$program" >/dev/null || missing="$missing $package"
done <<LIST
qemu-system-x86_64 qemu-system-x86
busybox busybox-static
cpio cpio
depmod kmod
LIST
if [ -n "$missing" ]; then
	echo "test/kernels: apt-get install$missing" >&2
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# The suite's newest kernel, checked by apt against Debian's keys.
if [ ! -e "$place/vmlinuz" ]; then
	rm -rf "$place"
	mkdir -p "$place/apt/lists/partial" "$place/cache/archives/partial"
	mirror=$(sed -n 's/^\(URIs: \|deb \(\[[^]]*\] \)\?\)\(https\?:[^ ]*\/debian\)\/\?\( .*\)\?$/\3/p' \
		/etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $suite main" \
		>"$place/sources.list"
	cat >"$place/apt.conf" <<-CONF
		Dir::Etc::sourcelist "$place/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::State "$place/apt";
		Dir::State::status "/dev/null";
		Dir::Cache "$place/cache";
		APT::Sandbox::User "root";
	CONF
	export APT_CONFIG="$place/apt.conf"
	apt-get update -qq
	package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: //p' | tail -n 1)
	[ -n "$package" ] || fail "$suite has no linux-image-amd64"
	(cd "$place" && apt-get download -qq "$package" && dpkg-deb -x "$package"_*.deb image && rm "$package"_*.deb)
	unset APT_CONFIG
	version=$(ls "$place/image/lib/modules" 2>/dev/null || ls "$place/image/usr/lib/modules")
	[ -d "$place/image/lib/modules" ] || mv "$place/image/usr/lib" "$place/image/lib"
	depmod -b "$place/image" "$version"
	cp "$place/image/boot/vmlinuz-$version" "$place/vmlinuz"
	rm -rf "$place/apt" "$place/cache" "$place/image/boot"
fi

# An initramfs that mounts this machine's root, and then runs the command there.
version=$(ls "$place/image/lib/modules")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/initrd/bin" "$work/initrd/modules" "$work/initrd/low" "$work/initrd/upper" "$work/initrd/root"
cp "$(command -v busybox)" "$work/initrd/bin/busybox"
for module in virtio_pci 9pnet_virtio 9p overlay; do
	modprobe -d "$place/image" -S "$version" --show-depends "$module"
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r file; do
	name=$(printf %02d "$(ls "$work/initrd/modules" | wc -l)")
	case $file in
	*.xz) xz -dc "$file" >"$work/initrd/modules/$name" ;;
	*) cp "$file" "$work/initrd/modules/$name" ;;
	esac
done
cat >"$work/initrd/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do /bin/busybox insmod $module; done
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose root /low
/bin/busybox mount -t tmpfs tmpfs /upper
/bin/busybox mkdir /upper/written /upper/work
/bin/busybox mount -t overlay -o lowerdir=/low,upperdir=/upper/written,workdir=/upper/work overlay /root
for d in proc sys dev; do /bin/busybox mount --move /$d /root/$d; done
/bin/busybox cp /guest.sh /command.sh /root/
exec /bin/busybox switch_root /root /bin/sh /guest.sh
INIT
cat >"$work/initrd/guest.sh" <<GUEST
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /lib/modules /run/netns
mount --bind "$place/image/lib/modules" /lib/modules
modprobe -q tun
ip link set lo up
cd "$here"
echo "test/kernels: Linux $version"
sh /command.sh 2>&1
echo "test/kernels: exit \$?"
echo o >/proc/sysrq-trigger
sleep 60
GUEST
printf '%s\n' "$command" >"$work/initrd/command.sh"
chmod +x "$work/initrd/init"
(cd "$work/initrd" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd.gz"

# Without KVM: where it can be had at all, the guest of a guest, it does not run everywhere.
qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 4096 -display none -monitor none -serial stdio \
	-nic none -no-reboot -kernel "$place/vmlinuz" -initrd "$work/initrd.gz" \
	-append "console=ttyS0 quiet loglevel=1 panic=-1" \
	-virtfs local,path=/,mount_tag=root,security_model=passthrough,readonly=on,multidevs=remap \
	</dev/null | sed -u 's/\r$//' | tee "$work/output"
status=$(sed -n 's/^test\/kernels: exit //p' "$work/output" | tail -n 1)
[ -n "$status" ] || fail "the guest ended before the command did"
exit "$status"
