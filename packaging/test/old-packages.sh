#!/bin/sh
# Builds stand-ins for the packages of a host that uses the kernel module, with the same names:
# old-packages.sh deb|rpm DIRECTORY
#   iptables-daddr        the plugin of iptables
#   kmod-iptables-daddr   the module
#   dsrtools              /usr/sbin/dsrctl, and a configuration file in /etc/dsr.d; removing the rpm stops the services
set -eu
cd "$2"
mkdir -p plugin/usr/lib/xtables module/usr/lib/modules/extra tools/usr/sbin tools/etc/dsr.d
echo plugin >plugin/usr/lib/xtables/libxt_DADDR.so
echo module >module/usr/lib/modules/extra/xt_DADDR.ko
printf '#!/bin/sh\necho the old dsrctl\n' >tools/usr/sbin/dsrctl
chmod 755 tools/usr/sbin/dsrctl
echo '# VIP=DSCP' >tools/etc/dsr.d/www.conf

build_deb() {
	mkdir "$1/DEBIAN"
	cat >"$1/DEBIAN/control" <<CONTROL
Package: $2
Version: 0.2-1
Architecture: all
Maintainer: nobody <nobody@l3dsr.invalid>
Description: $2 of before
CONTROL
	[ ! -e "$1/etc" ] || echo /etc/dsr.d/www.conf >"$1/DEBIAN/conffiles"
	dpkg-deb --root-owner-group --build "$1" "$2.deb" >/dev/null
}

build_rpm() {
	cat >"$2.spec" <<SPEC
%global __os_install_post %{nil}
Name: $2
Version: 0.2
Release: 1
Summary: $2 of before
License: various
BuildArch: noarch
AutoReqProv: no
%description
%{summary}.
%install
cp -a $PWD/$1/. %{buildroot}/
%files
$(cd "$1" && find . -type f | sed -e 's|^\.||' -e 's|^/etc/|%config(noreplace) /etc/|')
SPEC
	[ "$2" != dsrtools ] || cat >>"$2.spec" <<SPEC
%preun
nft delete table ip module
ip address del 192.0.2.10/32 dev lo
SPEC
	rpmbuild -bb --quiet --nodeps --define "_topdir $PWD/rpm" --define "_rpmfilename $2.rpm" --define "_rpmdir $PWD" "$2.spec"
}

"build_$1" plugin iptables-daddr
"build_$1" module kmod-iptables-daddr
"build_$1" tools dsrtools
