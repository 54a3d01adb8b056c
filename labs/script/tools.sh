# tools.sh - sourced by labs/run, tests/run and the verbs, and sent to hosts before onhost.sh: what they need from the system.
#
#   need COMMAND:PACKAGE ...       installs the Debian packages of the commands that are missing: as root or through
#                                  sudo; otherwise prints the exact line for somebody who may, and exits 1
#   telling WHAT COMMAND...        COMMAND to its end; every two seconds a line on stderr says WHAT takes so long
#   scratch                        $work is a directory for this script alone; it goes with the script, however that ends
#   private_directory              $private is this user's own directory; fails, with the reason on stderr
#   take LOCK [AS...]              the lock is this shell's until it removes it or ends; fails: 1 another has it, 2 it cannot be made

PATH=$PATH:/usr/sbin:/sbin # ordinary users on Debian do not have these

need() {
    missing=
    for pair; do
        command=${pair%%:*} package=${pair##*:}
        case $command in
        /*) [ -e "$command" ] || missing="$missing $package" ;;
        *) command -v "$command" >/dev/null 2>&1 || missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    install="apt-get install -y --no-install-recommends$missing"
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "missing, and this is not Debian or Ubuntu: please install what is called$missing there" >&2
        exit 1
    fi
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        as_root=sudo
    else
        echo "missing:$missing. Somebody with the right to do so has to run" >&2
        echo "    sudo apt-get update && sudo $install" >&2
        exit 1
    fi
    echo "installing:$missing" >&2
    report=$(mktemp)
    if ! telling "installing$missing" install_missing; then
        cat "$report" >&2
        rm -f "$report"
        echo "could not install; by hand: $install" >&2
        exit 1
    fi
    rm -f "$report"
}
# A new machine has no package lists yet, an old one stale ones: new lists are asked for only when the first try fails.
install_missing() {
    try() { $as_root env DEBIAN_FRONTEND=noninteractive $install >"$report" 2>&1 </dev/null; }
    try || { $as_root apt-get update >/dev/null 2>&1 </dev/null && try; }
}

# Ctrl-C does not reach what runs in the background: it looks whether we are still there.
telling() {
    what=$1
    shift
    (
        trap 'kill "$nap" 2>/dev/null; exit' TERM
        seconds=0
        while
            sleep 2 &
            nap=$! && wait "$nap" && kill -0 $$ 2>/dev/null
        do
            seconds=$((seconds + 2))
            [ ! -t 2 ] || printf '\r%s (%s s)' "$what" $seconds >&2 # a terminal's line is written again
            [ -t 2 ] || [ $((seconds % 10)) != 2 ] || echo "$what ($seconds s)" >&2
        done
    ) </dev/null >/dev/null &
    ticker=$! done_with=0
    "$@" || done_with=$?
    kill "$ticker" 2>/dev/null || :
    wait "$ticker" 2>/dev/null || : # who sourced this may have said set -e
    ticker=''
    [ ! -t 2 ] || printf '\r\033[K' >&2
    return $done_with
}

# A trap cannot know of SIGKILL: a process of its own looks whether we are still there.
scratch() {
    work=$(mktemp -d) || exit 1
    (setsid sh -c 'while kill -0 "$0"; do sleep 1; done; rm -rf "$1"' $$ "$work" </dev/null >/dev/null 2>&1 &) # no child: `wait` is for others
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 131' QUIT
    trap 'exit 143' TERM HUP
}

# One place for all sessions of a user, so /tmp first: XDG_RUNTIME_DIR is not set in each of them, and the labs' namespaces
# have a /run of their own. It is for when somebody else has made what is called like ours. Who uses the directory removes it
# when it is empty.
private_directory() {
    private=/tmp/tcp-lab-$(id -u)
    ! is_private "$private" || return 0
    case ${XDG_RUNTIME_DIR:-} in
    /*) [ -O "$XDG_RUNTIME_DIR" ] && is_private "$XDG_RUNTIME_DIR/tcp-lab" && private=$XDG_RUNTIME_DIR/tcp-lab && return 0 ;;
    esac
    if ls -d "$private" >/dev/null 2>&1; then
        echo "$private is not a directory that is yours alone: $(ls -ld "$private" | tr -c ' -~' '?'). Its owner or root has to remove it" >&2
    else
        mkdir -m 700 "$private" && return # or it says why not
    fi
    return 1
}
# is_private DIRECTORY: made when it is not there; ours, and nobody else may look into it or change it. In a sticky /tmp nobody
# can put another one in its place. Another shell of ours may remove it, empty, between the two looks: then again.
is_private() {
    for look in 1 2 3 4 5 6 7 8 9 10 11 12; do
        mkdir -m 700 "$1" 2>/dev/null && return
        [ -z "$(find "$1" -prune -type d -user "$(id -u)" -perm 700 2>/dev/null)" ] || return 0
    done
    return 1
}

# A lock is a link that says who has it, in a directory where only its users may make one. One at a time looks whether the
# holder is dead; AS is as_root for a lock that root alone may make.
take() {
    lock=$1 us=$(identity $$)
    shift
    for attempt in 1 2 3; do
        ! "$@" ln -s "$us" "$lock" 2>/dev/null || return 0
        [ ! -L "$lock" ] || break
        is_private "${lock%/*}" # another shell has just removed it, empty
    done
    [ -L "$lock" ] || return 2
    "$@" mkdir "$lock.dead" 2>/dev/null || return 1
    was=$(readlink "$lock")
    is_alive "$was" "$@" || "$@" rm -f "$lock"
    "$@" rmdir "$lock.dead"
    "$@" ln -s "$us" "$lock" 2>/dev/null
}
# identity PID [AS...]: pid, moment of its start, pid namespace: no other process ever has the same. A zombie has none.
identity() {
    of=$1
    shift
    stat=$("$@" cat "/proc/$of/stat" 2>/dev/null) || return 1
    set -- ${stat##*) }
    [ "$1" = Z ] || echo "$of ${20} $(readlink /proc/self/ns/pid)"
}
# is_alive IDENTITY [AS...]: of another pid namespace we cannot know.
is_alive() {
    process=$1
    shift
    case $process in
    *" $(readlink /proc/self/ns/pid)") [ "$(identity "${process%% *}" "$@")" = "$process" ] ;;
    esac
}

# ---- processes: found again by pid and start time, never by name -------------------------------------------------------

# A record of a process is its line of /proc/PID/stat: the first field is the pid, the 22nd the moment of its start.
read_record() {
    { read -r line <"$1"; } 2>/dev/null || return 1
    pid=${line%% *}
    set -- ${line##*) }
    state=$1 start=${20:-}
}
lives() {
    read_record "$1" && recorded=$start || return 1
    case $pid in '' | *[!0-9]*) return 1 ;; esac
    read_record "/proc/$pid/stat" && [ "$start" = "$recorded" ] && [ "$state" != Z ]
}
# end_recorded SIGNAL RECORD...: whoever has ended is not meant by its number any more.
end_recorded() {
    signal=$1
    shift
    for record; do ! lives "$record" || kill "-$signal" "$pid"; done
} 2>/dev/null
# our_child PID: of this shell, and still running. The number of one that has ended may soon be somebody else's.
our_child() {
    { read -r child child_name child_state child_parent child_rest <"/proc/$1/stat"; } 2>/dev/null &&
        [ "$child_state" != Z ] && [ "$child_parent" = $$ ]
}
