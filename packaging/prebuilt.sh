#!/bin/sh
# Fetches the native programs that we do not build, for each CPU, and compares them with prebuilt.sha512:
#   prebuilt.sh fetch      npm packages for ARCH and for this machine, into build/prebuilt/*.tgz; existing files stay
#   prebuilt.sh fetch all  those for every CPU, for the source RPM
#   prebuilt.sh unpack CPU unpacks those of a CPU into build/prebuilt/CPU/{node,koffi,esbuild}; needs no network
#   prebuilt.sh node       unpacks those of this machine and prints the path of Node: scripts do not use PATH
# node is the runtime in the packages, koffi makes system calls, esbuild builds the bundles.
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
