#!/bin/sh
# Puts together the root of the image: the program, stripped, what it loads, a shell, certificates,
# a user; and of each package that a file is from its licence and its entry for scanners.
#
#   image-root.sh PROGRAM FOLDER DATA     in a Debian where PROGRAM was built
#
# DATA is what the image has at the place of the volume.
set -eu

program=$1
root=$2
data=$3
user=10001 # also in the Dockerfile
packages=

# The name that dpkg knows a file by: /lib is a link to /usr/lib, and packages may name either.
owner() {
    for name in "$1" "${1#/usr}" "/usr$1"; do
        if found=$(dpkg-query -S "$name" 2>/dev/null); then
            echo "${found%%: *}"
            return
        fi
    done
    echo "no package has $1" >&2
    return 1
}

# As it is named, and what that is a link to.
add() {
    real=$(readlink -f "$1")
    mkdir -p "$root$(dirname "$real")"
    cp -n "$real" "$root$real"
    if [ ! -e "$root$1" ]; then
        mkdir -p "$root$(dirname "$1")"
        ln -s "$real" "$root$1"
    fi
    package=$(owner "$real")
    packages="$packages $package"
}

mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/local/bin" "$root/etc/ssl/certs" \
    "$root/dev" "$root/proc" "$root/sys" "$root/run" "$root/var/lib/dpkg/status.d"
for folder in bin lib lib64; do
    if [ -L "/$folder" ]; then
        mkdir -p "$root/usr/$folder"
        ln -s "usr/$folder" "$root/$folder"
    fi
done

strip -o "$root/usr/local/bin/flytrail" "$program"
add /usr/bin/dash
ln -s dash "$root/usr/bin/sh"
# What the linker finds, and what a thread that ends makes libc load.
for library in $(ldd "$program" | sed -n 's|[^/]*\(/[^ ]*\) (0x.*|\1|p') \
    "$(ldconfig -p | sed -n "s/.*libgcc_s\.so\.1 .*=> //p")"; do
    add "$library"
done

# Whom TLS trusts, and how: all in one file, as libcurl and OpenSSL look for it.
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp /etc/ssl/openssl.cnf "$root/etc/ssl/"
mkdir -p "$root/usr/lib/ssl"
ln -s /etc/ssl/certs "$root/usr/lib/ssl/certs"
ln -s /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"
ln -s /etc/ssl/openssl.cnf "$root/usr/lib/ssl/openssl.cnf"
packages="$packages ca-certificates openssl"

# shellcheck disable=SC2086 # a list of names
for package in $(printf '%s\n' $packages | sed 's/:.*//' | sort -u); do
    mkdir -p "$root/usr/share/doc/$package"
    cp "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/"
    dpkg-query -s "$package" >"$root/var/lib/dpkg/status.d/$package"
done
cp /etc/os-release /etc/debian_version "$root/etc/"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
printf 'root:x:0:0::/:/bin/sh\nflytrail:x:%s:%s::/:/bin/sh\n' $user $user >"$root/etc/passwd"
printf 'root:x:0:\nflytrail:x:%s:\n' $user >"$root/etc/group"

# A volume that is mounted there hides the file, by which `run` knows that there is none.
mkdir -p "$data"
echo "No volume is mounted here: what is written here is lost when the machine restarts." \
    >"$data/NO-VOLUME"
