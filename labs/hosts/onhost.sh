# onhost.sh - what happens on a real host before and after a lab's programs run there. Never installed: labs/hosts/remote.sh and
# labs/doctor send it over the connection, tools.sh before it, as the text of `sh -c`. POSIX sh; needs no rights.
#
#   keep BIN SUM PROGRAMS ADDRESS INTERFACE PORTS TIDY PATIENCE SYSCTLS
#                       prints facts, "tcp-lab KEY VALUE" a line, the last is "tcp-lab ready"; then reads its stdin, where the lab sends a
#                       byte every two seconds. At its end, or after PATIENCE s of silence, ends what the run started here
#   sysctl -w NAME=VALUE...     sets, and notes what was there before
#   orphans LOGS        the pids of what a lab on this machine has left that was killed
#   settings            the kernel's settings that change what labs show, as facts
#   leftovers           how many dead runs there are, and how many processes of theirs still live
#   clean               ends and removes it
PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
export PATH LC_ALL
umask 077
me=$(id -u)

fact() { printf 'tcp-lab %s\n' "$*" | sed 's/^\(.\{900\}\).*/\1/; q'; }

# ---- processes ---------------------------------------------------------------------------------------------------------

# processes_of DIRECTORY: what that run started, and what its programs forked: they have its name in their environment.
processes_of() {
    for record in "$1"/*.pid; do ! lives "$record" || echo "$pid"; done
    grep -lzxF "TCP_LAB_RUN=$1" /proc/[0-9]*/environ 2>/dev/null | sed 's/[^0-9]//g'
}
end_run() {
    for signal in TERM KILL; do
        pids=$(processes_of "$1")
        [ -n "$pids" ] || break
        kill -$signal $pids 2>/dev/null
        tries=20
        while [ -n "$(processes_of "$1")" ] && [ $tries -gt 0 ]; do sleep 0.05 && tries=$((tries - 1)); done
    done
    rm -rf "$1"
}
# Runs of ours whose keeper is dead: a directory that is ours, no link, with a name that mktemp gave.
abandoned() {
    for run in /tmp/tcp-lab.?????? /tmp/tcp-lab-run.??????; do
        [ -d "$run" ] && [ ! -L "$run" ] && [ -O "$run" ] || continue
        if [ "$(sed -n 2p "$run/keeper" 2>/dev/null)" = "$(readlink /proc/self/ns/pid)" ]; then
            lives "$run/keeper" || echo "$run"
        else # just being made, or of another pid namespace, where we cannot know
            find "$run" -prune -mmin +1440
        fi
    done
}
leftovers() {
    runs=0 processes=0
    for run in $(abandoned); do runs=$((runs + 1)) processes=$((processes + $(processes_of "$run" | sort -u | wc -l))); done
    echo "$runs $processes"
}
clean() {
    for run in $(abandoned); do end_run "$run"; done
    [ ! -L "$sysctls_lock" ] || is_alive "$(readlink "$sysctls_lock")" as_root || { take_sysctls && restore; }
    [ -n "$private" ] || return 0
    for lock in "$private"/port*; do
        case $lock in
        *.dead) rmdir "$lock" ;;
        *) [ ! -L "$lock" ] || is_alive "$(readlink "$lock")" || { take "$lock" && rm -f "$lock"; } ;;
        esac
    done
} 2>/dev/null

# orphans LOGS: on one stack nothing takes a lab's programs with it when it is killed. Those whose timeout(1) is no longer
# the child of a lab that writes there.
orphans() {
    for record in "$1"/*/*/*.pid; do
        lives "$record" && shell=$(parent_of "$(parent_of "$pid")") && ! grep -qszxF "LAB_LOG=${record%/*}" "/proc/$shell/environ" && echo "$pid"
    done
}
parent_of() { sed -n 's/^PPid:[^0-9]*//p' "/proc/$1/status" 2>/dev/null; }

# ---- sysctls: changed for one run at a time, put back when it ends, however it ends ----------------------------------

# They are the network stack's, whoever may set them: the lock and what is to be put back lie where only root can write.
sysctls_lock=/run/tcp-lab-sysctls-$(readlink /proc/self/ns/net | tr -cd 0-9)
as_root() { if [ "$me" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
# may_set WANTED: yes when the hosts file wants it, there is the right, and no other run has it.
may_set() {
    [ "$1" = yes ] && as_root true 2>/dev/null || { echo no && return; }
    take_sysctls
    case $? in
    0) echo yes ;;
    1) echo "no another run holds them" ;;
    *) echo "no lock can be made in /run" ;;
    esac
}
take_sysctls() { take "$sysctls_lock" as_root && put_back; }
set_sysctls() { # -w NAME=VALUE...
    shift
    for pair; do printf '%s=%s\n' "${pair%%=*}" "$(sysctl -n "${pair%%=*}" | tr '\t' ' ')"; done | as_root tee -a "$sysctls_lock.saved" >/dev/null
    as_root sysctl -w "$@"
}
# What a run has changed, and could not put back when it was killed: the next one does.
put_back() {
    [ ! -s "$sysctls_lock.saved" ] || as_root cat "$sysctls_lock.saved" | awk -F = '!seen[$1]++' | while read -r pair; do as_root sysctl -qw "$pair"; done
    as_root rm -f "$sysctls_lock.saved"
}
restore() { put_back && as_root rm -f "$sysctls_lock"; }

# ---- ports: twenty for a run, out of a hundred that belong to the user --------------------------------------------------

# in_use FIRST: does any socket, in any state, have one of the twenty?
in_use() {
    port=$1 pattern=
    while [ $port -lt $(($1 + 20)) ]; do pattern="$pattern|$(printf ':%04X ' $port)" port=$((port + 1)); done
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qE "${pattern#|}"
}
# listeners: PORT:UID of every listening socket from 8990 and 20000 to 31999, as /proc/net/tcp has them.
listeners() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '
        function number(text, i, n) { for (i = 1; i <= 4; i++) n = n * 16 + index("123456789ABCDEF", substr(text, i, 1)); return n }
        $4 == "0A" { port = number(substr($2, length($2) - 3)); if (port == 8990 || (port >= 20000 && port < 32000)) print port ":" $8 }' | sort -u | tr '\n' ' '
}
# reserve [FIRST]: prints the first port of a block that is this run's until it ends. The lock keeps it from the user's other
# runs; other users have other hundreds, and their sockets are seen.
reserve() {
    first=${1:-$((20000 + me % 120 * 100))} blocks=600
    while [ $blocks -gt 0 ]; do
        if ! in_use "$first"; then
            take "$private/ports-$first"
            case $? in
            0) echo "$first" && return ;;
            2) return ;;
            esac
        fi
        blocks=$((blocks - 1)) first=$((first + 20))
        [ $first -lt 32000 ] || first=20000
    done
}

# ---- facts ---------------------------------------------------------------------------------------------------------------

# what_capture INTERFACE: yes, sudo, or no and why.
what_capture() {
    command -v tcpdump >/dev/null || { echo "no tcpdump is not installed" && return; }
    why=$(tcpdump -i "$1" -L 2>&1 >/dev/null) && echo yes && return
    as_me="sudo -n setpriv --reuid $me --regid $(id -g) --init-groups --inh-caps +net_raw --ambient-caps +net_raw"
    $as_me tcpdump -i "$1" -L >/dev/null 2>&1 && echo sudo && return
    echo "no" $why
}
show_facts() {
    address=$1 interface=$2
    set -- ${SSH_CONNECTION:-}
    [ "$address" != - ] || address=${3:-}
    has=$(ip -o addr show 2>/dev/null | awk -v a="$address" '{ split($4, part, "/") } part[1] == a { print $2; exit }')
    fact address "$address"
    fact has_address "${has:-$(command -v ip >/dev/null && echo no || echo unknown)}"
    [ "$interface" != - ] || interface=${has:-$(ip -o route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)}
    fact interface "${interface:-any}"
    fact mtu "$(cat "/sys/class/net/$interface/mtu" 2>/dev/null || ip -o link show dev "$interface" 2>/dev/null | sed -n 's/.* mtu \([0-9]*\) .*/\1/p')"
    fact mac "$(ip -o link show dev "$interface" 2>/dev/null | sed -n 's/.*link\/ether \([0-9a-f:]*\).*/\1/p')"
    fact uid "$me"
    fact gid "$(id -g)"
    fact user "$(id -un)"
    fact system "$(uname -srm)"
    fact machine "$(cat /etc/machine-id 2>/dev/null)"
    fact boot "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
    fact network "$(readlink /proc/self/ns/net)"
    fact capture "$(what_capture "${interface:-any}")"
    fact net_raw "$((0x0$(sed -n 's/^CapBnd:[^0-9a-f]*//p' /proc/self/status) >> 13 & 1))" # may anybody have it here? Not in every container
    fact sudo "$(sudo -n true 2>/dev/null && echo yes || echo no)"
    fact tools "$(for tool in timeout setpriv ps netstat ss tcpdump ip tar gzip; do command -v $tool >/dev/null && printf '%s ' $tool; done)"
    fact files "$(ulimit -n)"
    fact processes "$(ulimit -u 2>/dev/null)"
    fact disk "$(df -Pk /tmp | awk 'NR == 2 { print $4 }')"
    settings
    fact offloads "$(offloads "$interface")"
}
# What the kernel is told that changes what labs show.
settings() {
    for name in tcp_tw_reuse tcp_syncookies tcp_abort_on_overflow tcp_fin_timeout tcp_max_tw_buckets tcp_timestamps; do
        fact $name "$(cat /proc/sys/net/ipv4/$name 2>/dev/null)"
    done
    fact somaxconn "$(cat /proc/sys/net/core/somaxconn 2>/dev/null)"
    fact local_ports "$(awk '{ print $2 - $1 + 1 }' /proc/sys/net/ipv4/ip_local_port_range 2>/dev/null)"
}
# offloads INTERFACE: what it does that makes captures show segments which are larger than those on the wire; "unknown".
offloads() {
    { command -v ethtool >/dev/null && features=$(ethtool -k "$1" 2>/dev/null); } || { echo unknown && return; }
    printf '%s\n' "$features" | sed -n 's/^\(tcp-segmentation\|generic-segmentation\|generic-receive\|large-receive\)-offload: on.*/\1/p' |
        sed 's/tcp-segmentation/TSO/; s/generic-segmentation/GSO/; s/generic-receive/GRO/; s/large-receive/LRO/' | paste -s -d ' ' -
}

# nobody_else_writes DIRECTORY FILE...: they, and all directories above, are root's or ours, and only the owner may write to them.
nobody_else_writes() {
    cd -P "$1" 2>/dev/null && directory=$(pwd -P) || return 1
    shift
    for file; do [ -f "$file" ] && [ ! -L "$file" ] || return 1; done
    while [ -n "$directory" ]; do set -- "$@" "$directory" && directory=${directory%/*}; done
    others=$(find "$@" / -prune \( ! \( -user 0 -o -user "$me" \) -o -perm -020 -o -perm -002 \) 2>&1) && [ -z "$others" ]
}
# found BIN SUM PROGRAMS: are the laptop's programs here, too, in BIN? copied into the run's directory; here: only there they
# may be run; or ship. What somebody else can change is not looked at, and what was compared is what will run.
found() {
    (nobody_else_writes "$1" $3 && cp $3 "$run/bin") 2>/dev/null &&
        [ "$(cd "$run/bin" && cksum $3 2>/dev/null | cksum)" = "$2" ] || { rm -f "$run"/bin/* && echo ship && return; }
    if "$run/bin/${3%%[!A-Za-z0-9_-]*}" --version >/dev/null 2>&1; then echo copied; else echo here; fi
}

needs() {
    missing=$(for tool; do command -v "$tool" >/dev/null || printf '%s ' "$tool"; done)
    [ -z "$missing" ] || { echo "missing on it: $missing" >&2 && return 1; }
}
give_up() {
    rm -rf "$run"
    rmdir "$private" 2>/dev/null
    exit 1
}

keep() {
    trap '' HUP INT PIPE
    run=''
    needs timeout ps find mktemp awk sed grep && { command -v ss >/dev/null || needs netstat; } && private_directory || exit 1
    fact leftovers "$(leftovers)"
    [ "$7" != yes ] || clean
    run=$(mktemp -d /tmp/tcp-lab.XXXXXX) && mkdir "$run/bin" && { cat /proc/$$/stat && readlink /proc/$$/ns/pid; } >"$run/keeper" || give_up
    trap 'ended=yes' TERM
    fact run "$run"
    programs=$(found "$@")
    fact programs "$programs"
    [ "$programs" != ship ] || needs tar gzip || give_up
    show_facts "$4" "$5"
    sysctls=$(may_set "$9")
    fact sysctls "$sysctls"
    first=$(reserve $6)
    fact first_port "$first"
    fact block "$((20000 + me % 120 * 100))"
    fact listeners "$(listeners)"
    fact ready
    ended=
    # dd returns at the end of the input with nothing, at a heartbeat with a byte; timeout is for a silent network
    while [ -z "$ended" ] && [ -n "$(timeout "$8" dd bs=1 count=1 2>/dev/null)" ]; do :; done
    end_run "$run"
    [ "$sysctls" != yes ] || restore
    [ -z "$first" ] || rm -f "$private/ports-$first"
    rmdir "$private" 2>/dev/null
}

case $1 in
keep) shift && keep "$@" ;;
sysctl) shift && set_sysctls "$@" ;;
leftovers) leftovers ;;
settings) settings ;;
orphans) orphans "$2" ;;
clean)
    private_directory 2>/dev/null || private=''
    clean
    rmdir "$private" 2>/dev/null
    ;;
esac
