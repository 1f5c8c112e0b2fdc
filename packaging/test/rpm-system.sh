#!/bin/sh
# Builds system-1-1.ARCH.rpm in DIRECTORY: a shell, env and the C and C++ libraries of this machine, so that an empty
# root has what l3dsr's package requires: rpm-system.sh DIRECTORY
set -eu
cd "$1"
mkdir -p files/usr/bin files/lib64 files/dev
cp -L "$(command -v busybox)" files/usr/bin/busybox
for name in sh cat stat mkdir; do ln -s busybox "files/usr/bin/$name"; done
# env of coreutils: the first line of each command uses env -S, which busybox does not have.
cp -L "$(command -v env)" files/usr/bin/env
ln -s usr/bin files/bin
triplet=$(uname -m)-linux-gnu
for library in ld-linux-x86-64.so.2 ld-linux-aarch64.so.1 libc.so.6 libdl.so.2 libm.so.6 libpthread.so.0 libstdc++.so.6 libgcc_s.so.1; do
	for folder in "/lib/$triplet" "/usr/lib/$triplet" /lib64; do
		[ ! -e "$folder/$library" ] || [ -e "files/lib64/$library" ] || install -m 755 "$folder/$library" files/lib64/
	done
done
ln -s lib64 files/lib
cat >system.spec <<SPEC
%global __os_install_post %{nil}
%global debug_package %{nil}
%global _build_id_links none
Name: system
Version: 1
Release: 1
Summary: What a root needs to run programs
License: various
Provides: /bin/sh rtld(GNU_HASH)
%description
%{summary}.
%install
cp -a $PWD/files/. %{buildroot}/
%files
/*
SPEC
rpmbuild -bb --quiet --nodeps --define "_topdir $PWD/rpm" system.spec
mv rpm/RPMS/*/*.rpm .
