#!/bin/sh
# Says which packages `make demo` or `make check` still needs, and installs them; or, for `build`,
# what the program alone is built from.
#
#   install-packages.sh check|demo|build          installs what is missing
#   install-packages.sh --check check|demo|build  only says; 1 when something is missing
#
# Debian and Ubuntu only: elsewhere it says what to do instead. No service that
# a package brings is started.
set -eu

only_say=no
if [ "${1:-}" = "--check" ]; then
    only_say=yes
    shift
fi
purpose=${1:-check}

build="build-essential pkg-config python3 libnats-dev libpq-dev libcjson-dev libpcre2-dev
libmicrohttpd-dev libcurl4-openssl-dev libssl-dev zlib1g-dev libisal-dev libexpat1-dev
openssl ca-certificates"
servers="postgresql nats-server"
# Not for its service: promtool reads the alerts, and a server asks what the dashboards ask.
metrics="prometheus"
# A private network in namespaces: its resolver, and a pooler before Postgres.
network="dnsmasq-base pgbouncer"
s3="ceph-mon ceph-osd radosgw ceph-common"
# The image is built by buildah on a base that debootstrap makes; strace sees what it writes, and
# libfaketime gives it a clock that is wrong.
image="buildah debootstrap debian-archive-keyring strace libfaketime"
tools="clang-14 clang-tidy-14 clang-format-14 libclang-rt-14-dev cppcheck shellcheck
libcmocka-dev iproute2 util-linux procps git"

case $purpose in
build) wanted=$build ;;
demo) wanted="$build $servers" ;;
check) wanted="$build $servers $s3 $metrics $network $image $tools" ;;
*)
    echo "usage: $0 [--check] check|demo|build" >&2
    exit 2
    ;;
esac
wanted=$(echo "$wanted" | tr '\n' ' ')

system=unknown
if [ -r /etc/os-release ]; then
    # shellcheck disable=SC1091 # every system has its own
    system=$(. /etc/os-release && echo "${ID:-} ${ID_LIKE:-}")
fi
case " $system " in
*" debian "* | *" ubuntu "*) ;;
*)
    cat >&2 <<TEXT
This installs packages on Debian and Ubuntu only. Elsewhere, either run it in a container:

    docker run --rm -it -v "\$PWD:/flytrail" -w /flytrail debian:12 \\
        sh -c "apt-get update && apt-get install -y make && make $purpose"

or install what these Debian packages hold, then call make with PACKAGES=no:

    $wanted
TEXT
    exit 1
    ;;
esac

missing=
for package in $wanted; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    if [ "$state" != "installed" ]; then
        missing="$missing $package"
    fi
done
missing=${missing# }
if [ -z "$missing" ]; then
    exit 0
fi
if [ "$only_say" = yes ]; then
    echo "missing packages: $missing"
    exit 1
fi

as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "These packages are missing, and there is no sudo. As root, call:" >&2
        echo "    apt-get update && apt-get install -y --no-install-recommends $missing" >&2
        exit 1
    fi
    as_root=sudo
fi

echo "Installing from ${system%% *}'s own packages, to $purpose:"
echo "    $missing"

# A package's own start of its service is refused: the tests and the demo start private
# servers of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap '$as_root rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
    $as_root chmod 755 $policy
fi

$as_root apt-get -qq update
# shellcheck disable=SC2086 # a list of names
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
    -o Dpkg::Use-Pty=0 --no-install-recommends install $missing

# Nor is it to come up with the next boot, unless it was here before us.
if [ -d /run/systemd/system ]; then
    for service in postgresql nats-server prometheus pgbouncer; do
        case " $missing " in
        *" $service "*) $as_root systemctl --quiet disable "$service" ;;
        esac
    done
fi
