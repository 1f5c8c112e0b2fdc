#!/bin/sh
# Builds l3dsr and puts it below DESTDIR as the packages have it: packaging/install.sh DESTDIR
#
# NODE is the runtime that comes along (default: the node in PATH), SBINDIR where the commands go.
# Needs node_modules/ and no network. The same tree, runtime and SOURCE_DATE_EPOCH give the same files.
set -eu
[ $# = 1 ] || { echo "usage: packaging/install.sh DESTDIR" >&2; exit 2; }
mkdir -p "$1"
destdir=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."

node=$(readlink -f "${NODE:-$(command -v node)}")
sbindir=${SBINDIR:-/usr/sbin}
home=/usr/lib/l3dsr
epoch=${SOURCE_DATE_EPOCH:-$(sh packaging/source-date.sh)}
umask 022

# A runtime whose code lies in a shared libnode would not run elsewhere.
if readelf -d "$node" | grep -q 'NEEDED.*libnode'; then
	echo "install: $node needs a shared libnode; set NODE to a self-contained one, as nodejs.org has it" >&2
	exit 1
fi

mkdir -p "$destdir$home" "$destdir$sbindir"
strip --strip-unneeded -o "$destdir$home/node" "$node"
# V8 hashes strings with a random seed, which would show in its code cache.
"$node" --random-seed=1 scripts/build.mjs --out "$destdir$home" --runtime "$home/node"

# The one dependency that is not in the bundles: native code.
modules=$destdir$home/node_modules
native=@koromix/koffi-linux-$("$node" -p process.arch)
mkdir -p "$modules/koffi/src/koffi/src" "$modules/$native"
cp node_modules/koffi/package.json node_modules/koffi/index.cjs "$modules/koffi/"
cp node_modules/koffi/src/koffi/index.cjs "$modules/koffi/src/koffi/"
cp node_modules/koffi/src/koffi/src/static.cjs "$modules/koffi/src/koffi/src/"
cp "node_modules/$native/package.json" "node_modules/$native/index.js" "$modules/$native/"
for library in "node_modules/$native"/linux_*/koffi.node; do
	folder=$(basename "$(dirname "$library")")
	mkdir "$modules/$native/$folder"
	strip --strip-unneeded -o "$modules/$native/$folder/koffi.node" "$library"
	chmod 644 "$modules/$native/$folder/koffi.node"
done

for command in "$destdir$home"/bin/*; do
	name=$(basename "$command")
	[ "$name" = package.json ] || ln -s "$(realpath -m --relative-to="$sbindir" "$home/bin/$name")" "$destdir$sbindir/$name"
done
install -m 755 packaging/stop-datapath "$destdir$home/stop-datapath"

# The operator's files: none comes along, so none is ever replaced.
install -d "$destdir/etc/l3dsr" "$destdir/etc/dsr.d"
install -Dm 644 -t "$destdir/usr/lib/systemd/system" systemd/*
install -Dm 644 -t "$destdir/usr/share/l3dsr" docs/reference/l3dsr.schema.json

doc=$destdir/usr/share/doc/l3dsr
install -d "$doc"
cp README.md "$doc/"
install -Dm 644 -t "$doc/examples" examples/*.yaml
install -Dm 644 -t "$doc/guide" docs/guide/*.md
for module in commander koffi yaml zod; do
	install -Dm 644 "$(ls node_modules/$module/LICENSE* | head -1)" "$doc/licenses/$module"
done
for license in ${NODE_LICENSE:-} "$(dirname "$node")/../LICENSE" "$(dirname "$node")"/../share/doc/node*/LICENSE; do
	if [ -e "$license" ]; then
		install -m 644 "$license" "$doc/licenses/node"
		break
	fi
done
[ -e "$doc/licenses/node" ] || { echo "install: set NODE_LICENSE to the LICENSE file of $node" >&2; exit 1; }

generate=$(mktemp -d)
trap 'rm -rf "$generate"' EXIT
for script in man-pages completion; do
	node_modules/.bin/esbuild "scripts/$script.ts" --bundle --platform=node --format=cjs --target=node20 \
		'--define:import.meta.url=""' \
		--outfile="$generate/$script.cjs" --log-level=warning
done
"$node" "$generate/man-pages.cjs" "$destdir/usr/share/man" "$epoch"
"$node" "$generate/completion.cjs" "$destdir/usr/share"
find "$destdir/usr/share/man" -type f -exec gzip -9n {} +

chmod -R u=rwX,go=rX "$destdir"
find "$destdir" -exec touch -h -d "@$epoch" {} +
