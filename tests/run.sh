#!/usr/bin/env bash
# Runs every test: unit, property, corpus and end-to-end; as root the end-to-end tests run a second
# time as an ordinary user. Installs what they need where it is missing (Debian, Ubuntu, as root).
# Its last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."

user=vswitch-test
tun=/dev/net/tun
threads=$(($(nproc) * 2))

say() { printf '== %s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

# Command and the package that has it.
needed=(
    cc:gcc ip:iproute2 ping:iputils-ping arping:arping nc:netcat-openbsd iperf3:iperf3
    tcpdump:tcpdump tshark:tshark capinfos:wireshark-common ps:procps newuidmap:uidmap
    unshare:util-linux nsenter:util-linux setpriv:util-linux flock:util-linux useradd:passwd udhcpc:udhcpc
    dig:bind9-dnsutils sysctl:procps curl:curl traceroute:traceroute stun:stun-client
    etcdctl:etcd-client ethtool:ethtool git:git
)
# Where programs are put whose packages would start a service.
programs=${CARGO_TARGET_DIR:-$PWD/target}/test-programs
PATH=$PATH:/usr/sbin:/sbin:$programs

missing_packages() {
    local pair
    for pair in "${needed[@]}"; do
        command -v "${pair%%:*}" >/dev/null || printf '%s\n' "${pair##*:}"
    done
    [ -e /usr/include/stdio.h ] || printf 'libc6-dev\n'
    # tcpdump looks up the names of ports there.
    [ -e /etc/services ] || printf 'netbase\n'
}

# Files out of a package that would bring a service and start it.
unpack() {
    local package=$1 dir file
    shift
    dir=$(mktemp -d) && chmod 0755 "$dir"
    (cd "$dir" && apt-get download -q "$package" </dev/null >/dev/null 2>&1) \
        && dpkg-deb --fsys-tarfile "$dir/$package"_*.deb | tar -x -C "$dir" "${@/#/./}" \
        || fail "$* could not be taken out of the package $package: install it."
    for file in "$@"; do
        install -D -m 0755 "$dir/$file" "$programs/${file##*/}"
    done
    rm -rf "$dir"
}

# The libraries that a package names.
satisfy() {
    local libraries
    libraries=$(apt-cache show --no-all-versions "$1" | sed -n 's/^Depends: //p' | tr ',' '\n' | grep '^ *lib' | paste -sd,)
    apt-get satisfy -q -y --no-install-recommends "$libraries" </dev/null >/dev/null \
        || fail "apt-get could not install what $1 needs: $libraries."
}

has_openvswitch() {
    local program
    for program in ovsdb-tool ovsdb-server ovs-vsctl ovs-vswitchd; do
        command -v "$program" >/dev/null || return
    done
    [ -e /usr/share/openvswitch/vswitch.ovsschema ] || [ -e "$programs/vswitch.ovsschema" ]
}

install_missing() {
    local packages
    mapfile -t packages < <(missing_packages | sort -u)
    command -v etcd >/dev/null || packages+=(etcd-server)
    command -v docker >/dev/null || packages+=(docker-cli)
    # Only root joins two hosts, one of which it is.
    [ "$(id -u)" -ne 0 ] || has_openvswitch || packages+=(openvswitch-switch)
    [ ${#packages[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        fail "These packages are missing: ${packages[*]}. Install them, or run this once as root on Debian or Ubuntu."
    fi
    say "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q </dev/null >/dev/null || say "apt-get update failed, going on with the lists that are here"
    local package rest=()
    for package in "${packages[@]}"; do
        case $package in
            etcd-server) unpack etcd-server usr/bin/etcd ;;
            openvswitch-switch)
                satisfy openvswitch-switch
                unpack openvswitch-common usr/bin/ovsdb-tool usr/sbin/ovsdb-server
                unpack openvswitch-switch usr/bin/ovs-vsctl usr/lib/openvswitch-switch/ovs-vswitchd \
                    usr/share/openvswitch/vswitch.ovsschema
                ;;
            docker-cli)
                if apt-cache show docker-cli >/dev/null 2>&1; then rest+=(docker-cli); else unpack docker.io usr/bin/docker; fi
                ;;
            *) rest+=("$package") ;;
        esac
    done
    packages=("${rest[@]}")
    [ ${#packages[@]} -eq 0 ] && return
    apt-get install -q -y --no-install-recommends "${packages[@]}" </dev/null >/dev/null \
        || fail "apt-get could not install ${packages[*]}."
}

# Only one run at a time: the mode of /dev/net/tun and the user are the machine's.
take_turn() {
    exec 9>>"/tmp/vswitch-tests.$(id -u).lock"
    flock --nonblock 9 && return
    say "waiting for another run of the tests to end"
    flock 9
}

tun_mode=
stage=
clean_up() {
    [ -z "$tun_mode" ] || chmod "$tun_mode" "$tun"
    [ -z "$stage" ] || rm -rf "$stage"
}

open_tun() {
    if [ ! -e "$tun" ] && [ "$(id -u)" -eq 0 ]; then
        modprobe tun 2>/dev/null || { mkdir -p /dev/net && mknod "$tun" c 10 200; }
    fi
    [ -e "$tun" ] || fail "There is no $tun: load the driver with \`modprobe tun\`."
    if [ "$(id -u)" -eq 0 ]; then
        # As distributions have it: whoever opens it still needs a network namespace of their own.
        tun_mode=$(stat -c %a "$tun")
        chmod 0666 "$tun"
    elif [ ! -r "$tun" ] || [ ! -w "$tun" ]; then
        fail "$tun may not be opened: as root, \`chmod 0666 $tun\`."
    fi
}

passed=0
failed=0
# Runs a command, prints what it prints, and adds up the lines in which its test programs close.
count() {
    local log status ok bad
    log=$(mktemp)
    timeout --kill-after=30s 20m "$@" 2>&1 </dev/null 9>&- | tee "$log"
    status=${PIPESTATUS[0]}
    read -r ok bad < <(awk '/^test result: / {
        for (i = 2; i <= NF; i++) { if ($i == "passed;") ok += $(i - 1); if ($i == "failed;") bad += $(i - 1) }
    } END { print ok + 0, bad + 0 }' "$log")
    rm -f "$log"
    # A program that crashed, or did not build, closes with no such line.
    [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    passed=$((passed + ok))
    failed=$((failed + bad))
}

as_ordinary_user() {
    local tests=$1 target=$2
    id "$user" >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin "$user" \
        || fail "useradd could not make the user $user."
    # The clone may lie where this user cannot look, and so may directories of root's PATH.
    local path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    stage=$(mktemp -d /tmp/vst.XXXXXX)
    chmod 0755 "$stage"
    install -m 0755 "$tests" "$stage/e2e"
    install -m 0755 "$target"/{vswitch,frames,stream,nameserver,killer,peer} "$(command -v docker)" "$stage"
    install -d -m 0700 -o "$user" "$stage"/{home,run,tmp}
    count env -i -C "$stage/home" PATH="$path:$stage" LANG=C.UTF-8 RUST_BACKTRACE=1 USER="$user" \
        HOME="$stage/home" XDG_RUNTIME_DIR="$stage/run" TMPDIR="$stage/tmp" \
        setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all \
        "$stage/e2e" --test-threads="$threads" "${filters[@]}"
}

# A function, so that the whole file is read before any of it runs.
main() {
    command -v cargo >/dev/null || fail "cargo is missing: install a Rust toolchain (rustup.rs) first."
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    install_missing
    take_turn
    open_tun

    say "building"
    built=$(cargo build --workspace --bins 2>&1 && cargo test --workspace --no-run 2>&1) || {
        printf '%s\n0 passed, 1 failed\n' "$built"
        exit 1
    }
    tests=$(sed -n 's/.*Executable tests\/e2e\/main\.rs (\(.*\))$/\1/p' <<<"$built")
    [ -x "$tests" ] || fail "cargo did not say where the end-to-end tests are."

    if [ "$(id -u)" -eq 0 ]; then who=root; else who=$(id -un); fi
    say "all tests as $who"
    RUST_TEST_THREADS=$threads count cargo test --workspace --no-fail-fast -- "${filters[@]}"
    if [ "$(id -u)" -eq 0 ]; then
        say "end-to-end tests as the ordinary user $user"
        as_ordinary_user "$tests" "$(dirname "$(dirname "$tests")")"
    else
        say "run this as root to have the end-to-end tests run as root too"
    fi

    printf '%s passed, %s failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
}

filters=("$@")
main
exit
