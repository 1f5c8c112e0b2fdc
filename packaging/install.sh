#!/bin/sh
# Builds l3dsr and installs it below DESTDIR, with the layout of the packages: packaging/install.sh DESTDIR
#
# ARCH is the target processor (default: this machine's), SBINDIR the folder of the commands.
# Needs node_modules/ and what prebuilt.sh fetches, but no network. The same tree and SOURCE_DATE_EPOCH give the same files.
set -eu
[ $# = 1 ] || { echo "usage: packaging/install.sh DESTDIR" >&2; exit 2; }
mkdir -p "$1"
destdir=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
. packaging/arch.sh

sbindir=${SBINDIR:-/usr/sbin}
home=/usr/lib/l3dsr
epoch=${SOURCE_DATE_EPOCH:-$(sh packaging/source-date.sh)}
umask 022

sh packaging/prebuilt.sh unpack "$build_cpu"
sh packaging/prebuilt.sh unpack "$cpu"
prebuilt=$PWD/build/prebuilt
node=$prebuilt/$build_cpu/node/bin/node
export ESBUILD_BINARY_PATH="$prebuilt/$build_cpu/esbuild/bin/esbuild"

# For another processor: a strip that supports it, and an emulator that makes V8's code cache.
strip=strip
emulator=
if [ "$cpu" != "$build_cpu" ]; then
	strip=$rpm_arch-linux-gnu-strip
	emulator="qemu-$rpm_arch-static -L /usr/$rpm_arch-linux-gnu"
	for program in "$strip" ${emulator%% *}; do
		command -v "$program" >/dev/null ||
			{ echo "install: $program is missing, to build for $rpm_arch on $(uname -m); packaging/setup.sh installs it on Debian" >&2; exit 1; }
	done
fi

mkdir -p "$destdir$home" "$destdir$sbindir"
"$strip" --strip-unneeded --remove-section=.comment -o "$destdir$home/node" "$prebuilt/$cpu/node/bin/node"
"$node" scripts/build.ts --out "$destdir$home" --runtime "$home/node" --no-code-cache
# In separate processes: a cache depends on what else the process has compiled (or has read from a compile cache), on V8's
# hash seed, and on when it collects garbage, which a process for eight parts need not do.
unset NODE_COMPILE_CACHE NODE_OPTIONS
# shellcheck disable=SC2086 # split into the emulator and its options
find "$destdir$home/dist" -maxdepth 1 -name '*.js' -print0 | LC_ALL=C sort -z |
	xargs -0 -n 8 $emulator "$destdir$home/node" --random-seed=1 --single-threaded-gc scripts/code-cache.ts

# koffi is native code, the only dependency that is not in the bundles.
modules=$destdir$home/node_modules
native=$modules/@koromix/koffi-linux-$cpu
mkdir -p "$modules/koffi/src/koffi/src" "$native/linux_$cpu"
cp node_modules/koffi/package.json node_modules/koffi/index.cjs "$modules/koffi/"
cp node_modules/koffi/src/koffi/index.cjs "$modules/koffi/src/koffi/"
cp node_modules/koffi/src/koffi/src/static.cjs "$modules/koffi/src/koffi/src/"
cp "$prebuilt/$cpu/koffi/package.json" "$prebuilt/$cpu/koffi/index.js" "$native/"
"$strip" --strip-unneeded --remove-section=.comment -o "$native/linux_$cpu/koffi.node" "$prebuilt/$cpu/koffi/linux_$cpu/koffi.node"
chmod 644 "$native/linux_$cpu/koffi.node"
sh packaging/abi.sh "$destdir$home/node" "$native/linux_$cpu/koffi.node" >/dev/null

for command in "$destdir$home"/bin/*; do
	name=$(basename "$command")
	[ "$name" = package.json ] || ln -s "$(realpath -m --relative-to="$sbindir" "$home/bin/$name")" "$destdir$sbindir/$name"
done
install -m 755 packaging/stop-datapath "$destdir$home/stop-datapath"

# The operator's folders. The package has no file in them, so an upgrade replaces none.
install -d "$destdir/etc/l3dsr" "$destdir/etc/dsr.d"
install -Dm 644 -t "$destdir/usr/lib/systemd/system" systemd/*
install -Dm 644 -t "$destdir/usr/lib/sysusers.d" packaging/sysusers/l3dsr.conf
install -Dm 644 -t "$destdir/usr/share/l3dsr" docs/reference/l3dsr.schema.json docs/reference/fleet.schema.json

doc=$destdir/usr/share/doc/l3dsr
"$node" packaging/documents.mjs "$doc" README.md docs examples
for module in @opentelemetry/api bintrees commander koffi preact prom-client tdigest uplot yaml zod; do
	install -Dm 644 "$(ls node_modules/$module/LICENSE* | head -1)" "$doc/licenses/${module##*@}"
done
install -m 644 "$prebuilt/$cpu/node/LICENSE" "$doc/licenses/node"

"$node" --conditions=@l3dsr/source scripts/man-pages.ts "$destdir/usr/share/man" "$epoch"
"$node" --conditions=@l3dsr/source scripts/completion.ts "$destdir/usr/share"
find "$destdir/usr/share/man" -type f -exec gzip -9n {} +

chmod -R u=rwX,go=rX "$destdir"
find "$destdir" -exec touch -h -d "@$epoch" {} +
