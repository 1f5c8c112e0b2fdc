#!/bin/sh
# Prints the date of all files in the packages, in seconds since 1970: the date of the commit.
# In a tarball, `git archive` has written it into the file source-date.
set -eu
cd "$(dirname "$0")"
date=$(cat source-date)
case $date in
*Format*) exec git log -1 --format=%ct ;;
*) echo "$date" ;;
esac
