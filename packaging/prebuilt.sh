#!/bin/sh
# Brings the programs that nobody builds here, by CPU, and compares them with prebuilt.sha512:
#   prebuilt.sh fetch      the npm packages for ARCH and for this machine, into build/prebuilt/*.tgz; what is there stays
#   prebuilt.sh fetch all  those of every CPU, which the sources of an RPM hold
#   prebuilt.sh unpack CPU those of one, into build/prebuilt/CPU/{node,koffi,esbuild}; needs no network
#   prebuilt.sh node       unpacks this machine's, and prints where its Node is: scripts do not look for one in PATH
# node is the runtime that the packages bring, koffi what it calls the kernel with, esbuild builds.
set -eu
cd "$(dirname "$0")"
# shellcheck source=arch.sh
. ./arch.sh
list=$PWD/prebuilt.sha512
mkdir -p ../build/prebuilt
cd ../build/prebuilt
exec 9>.lock
flock 9

case ${1:-} in
fetch)
	case ${2:-} in
	all) cpus="x64 arm64" ;;
	*) cpus="$cpu $build_cpu" ;;
	esac
	while read -r _ file; do
		of=${file##*-linux-}
		case " $cpus " in *" ${of%%-*} "*) ;; *) continue ;; esac
		[ ! -e "$file" ] || continue
		base=${file%.tgz}
		package=${base%-*}@${base##*-}
		case $package in
		esbuild-*) package=@esbuild/${package#esbuild-} ;;
		koromix-*) package=@koromix/${package#koromix-} ;;
		esac
		echo "prebuilt: npm pack $package"
		npm pack --silent --prefer-offline "$package" >/dev/null
	done <"$list"
	sha512sum --check --quiet --ignore-missing "$list"
	;;
unpack | node)
	cpu=${2:-$build_cpu}
	for name in node koffi esbuild; do
		sum=$(grep -E "[ -]$name-linux-$cpu-[0-9.]+\.tgz$" "$list")
		file=${sum##* }
		[ "$(cat "$cpu/$name/.unpacked" 2>/dev/null)" != "$sum" ] || continue
		[ -e "$file" ] || { echo "prebuilt: build/prebuilt/$file is missing; packaging/prebuilt.sh fetch gets it" >&2; exit 1; }
		echo "$sum" | sha512sum --check --quiet
		rm -rf "${cpu:?}/$name"
		mkdir -p "$cpu/$name"
		tar -xzf "$file" -C "$cpu/$name" --strip-components=1 --no-same-owner --exclude='package/include' --exclude='package/share'
		echo "$sum" >"$cpu/$name/.unpacked"
	done
	[ "$1" = unpack ] || echo "$PWD/$cpu/node/bin/node"
	;;
*)
	echo "usage: packaging/prebuilt.sh fetch [all] | unpack CPU | node" >&2
	exit 2
	;;
esac
