#!/bin/sh
# Prints the time that everything in the packages is dated to, in seconds since 1970: that of the commit.
# In a tarball `git archive` has written it into source-date.
set -eu
cd "$(dirname "$0")"
date=$(cat source-date)
case $date in
*Format*) exec git log -1 --format=%ct ;;
*) echo "$date" ;;
esac
