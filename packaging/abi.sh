#!/bin/sh
# Checks which library versions native files need: packaging/abi.sh FILE... It fails if they need more than the oldest
# supported system, Enterprise Linux 8, has. Otherwise it prints the glibc version that all of them need.
set -eu
GLIBC=2.28 GLIBCXX=3.4.25 CXXABI=1.3.11

asked=$(readelf --wide --version-info "$@" | grep -oE '\b(GLIBC|GLIBCXX|CXXABI)_[0-9.]+' | sort -u)
for limit in "GLIBC_$GLIBC" "GLIBCXX_$GLIBCXX" "CXXABI_$CXXABI"; do
	highest=$(echo "$asked" | grep "^${limit%%_*}_" | sort -V | tail -1)
	[ "$(printf '%s\n%s\n' "$highest" "$limit" | sort -V | tail -1)" = "$limit" ] || {
		echo "abi: $* need $highest, and Enterprise Linux 8 has $limit" >&2
		exit 1
	}
done
echo "$asked" | sed -n 's/^GLIBC_//p' | sort -V | tail -1
