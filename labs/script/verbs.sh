# verbs.sh - the verbs a lab is written in. A lab's script sources this file first and then reads like the transcript of a
# good session; it is the demo, the student's run (--pause) and the test. POSIX sh.
#
#   lab TITLE                      the hosts come up
#   new_port                       $PORT is a port that nobody uses: one for each experiment, TIME_WAIT outlives them
#   step TITLE | explain TEXT      a heading; a remark
#   predict QUESTION [ANSWER...]   with --pause: waits, and writes the prediction down; otherwise prints the question. With two
#                                  to four ANSWERs it is a closed question; then, after the claim that shows it:
#   turned_out ANSWER              which of them came true
#   capture HOST                   tcpdump there, from now on, into HOST.pcap
#   start NAME HOST COMMAND...     in the background, stdin typed by `type`, output in NAME.out and NAME.err
#   on HOST COMMAND...             to its end, with its output shown
#   type NAME LINE... | eof NAME   lines to its stdin, all in one write; the end of its stdin. $hello is the line to type where any
#                                  letters do: a student's own word takes its place. It is $bytes bytes with its end; in_words N
#                                  spells such a number. $turn is 0, or as the student's name has it 1: who leaves first, and the like
#   long SECONDS                   how long something takes that is looked at meanwhile; hands need ten times as long
#   stop NAME [SIGNAL]             TERM by default; returns when the process is gone
#   snapshot HOST                  netstat -ptan, the rows of $PORT; what else there is to look at: looks.sh
#   expect ...                     a claim, checked: see there
#   packets NAME EXPECTED          the segments of client NAME's connection, as bin/wire reads them
#   skip REASON                    ends the lab, exit status 4
#
# labs/run sets LAB_LOG (a directory of this run), LAB_BACKEND, LAB_PAUSE, LAB_KEEP and puts bin/ into PATH.

[ -n "${LAB_LOG:-}" ] || exec "$(dirname "$0")/../run" "$(basename "$(dirname "$0")")" "$@"
set -u
labs=${labs:-$(CDPATH='' cd -- "$(dirname "$0")/.." && pwd)} # labs/run and labs/grade have said where
. "$labs/script/tools.sh"
. "$labs/script/looks.sh"
. "$labs/script/predictions.sh"
. "$labs/script/student.sh"
. "$labs/hosts/$LAB_BACKEND"
one_stack='' started='' checks=0 steps=0 skipped_packets=0 free_fds='3 4 5 6 7 8 9' longest_life=300 reserved_ports='' to_settle=''
watchers='' remote='' no_capture='' capture_filter=tcp last_port=65535 bind_address='' output='' raise='' can_sysctl='' # what a back end may say otherwise
watch_every=5ms watch_for=10m ended='' not_as_expected=0
hello=${LAB_WORD:-hello} turn=${LAB_TURN:-0} # without a name: as in the guides
bytes=$((${#hello} + 1))

# ---- saying ----------------------------------------------------------------------------------------------------------

bold='' plain=''
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] && bold=$(printf '\033[1m') plain=$(printf '\033[0m')

# What came from a host is shown without control characters: nothing there can write our terminal's sequences.
visible() { LC_ALL=C tr -c '\n\t -~' '?'; }
# Everything a lab shows goes to the terminal and, without the bold, into the transcript.
show() { visible | tee -a "$LAB_LOG/transcript.txt"; }
say() { printf '%s\n' "$@" | show; }
heading() {
    title=$(printf '%s' "$*" | visible)
    printf '\n%s%s%s\n' "$bold" "$title" "$plain"
    printf '\n%s\n' "$title" >>"$LAB_LOG/transcript.txt"
}
prompt() {
    prompt_host=$1
    shift
    heading "$prompt_host\$ $*"
}
explain() { printf '%s\n' "$*" | fold -s -w 80 | sed 's/ *$//' | show; }

lab() {
    heading "Lab $(basename "$(dirname "$0")"): $1"
    about_this_run
    hosts_up || {
        say "The hosts cannot be made on this machine (back end $LAB_BACKEND)."
        exit 1
    }
    can_sysctl=${can_sysctl:-$can_root} # can_root is more: the hosts are ours alone
}
about_this_run() { echo "$(date -u '+%Y-%m-%d %H:%M UTC') on $(uname -s) $(uname -r), back end $LAB_BACKEND" >"$LAB_LOG/about.txt"; }
step() {
    step_ends
    steps=$((steps + 1))
    heading "== Step $steps. $1"
    [ -z "${LAB_BOARD:-}" ] || post "$LAB_BOARD" "${LAB_STUDENT:-$(id -un)}" "$(basename "$(dirname "$0")")" "step $steps: $1"
}
# Where somebody thinks: how many seconds the step has taken, into minutes.txt.
step_ends() {
    now=$(centiseconds)
    [ $steps = 0 ] || [ -z "${LAB_PAUSE:-}" ] || echo "$steps $(((now - step_began + 50) / 100))" >>"$LAB_LOG/minutes.txt"
    step_began=$now
}
predict() {
    [ -z "$to_settle" ] || fail "the prediction before this one has turned out: $to_settle"
    say "? $1"
    asked=$1
    shift
    [ $# = 0 ] || to_settle=$(lettered "$@")
    [ $# = 0 ] || lettered "$@" | sed 's/^/    /' | show
    [ -z "${LAB_PAUSE:-}" ] || at_the_keyboard ask "$LAB_LOG/predictions.txt" "$steps" "$asked" "$@"
}
at_the_keyboard() { "$@"; } # a line is read there
turned_out() {
    settled=$(printf '%s\n' "$to_settle" | while read -r letter choice; do [ "$choice" != "$1" ] || printf '%s' "$letter $choice"; done)
    [ -n "$settled" ] || fail "'$1' is one of the answers that were offered" printf '%s\n' "$to_settle"
    to_settle=''
    say "  = $settled"
    [ -z "${LAB_PAUSE:-}" ] || compare "$LAB_LOG/predictions.txt" "$1"
}
skip() {
    say "skipped: $*"
    exit 4
}

# ---- waiting ---------------------------------------------------------------------------------------------------------

# eventually COMMAND...: until it succeeds, for five seconds and a last look. A fact is waited for, time never is. Who looks often has
# it early, and takes the processor from what is waited for: after ten looks the pauses are longer.
eventually() {
    late='' looked=0 deadline=$(($(centiseconds) + 500))
    until "$@"; do
        [ -z "$late" ] || return 1
        read -r now rest </proc/uptime
        [ "${now%.*}${now#*.}" -lt $deadline ] || late=yes
        looked=$((looked + 1))
        if [ $looked -le 10 ]; then sleep 0.02; else sleep 0.08; fi
    done
}
centiseconds() { read -r up rest </proc/uptime && echo "${up%.*}${up#*.}"; }

# ---- programs --------------------------------------------------------------------------------------------------------

new_port() {
    if [ -n "$first_port" ]; then
        from=$(first_of_ports) PORT=${PORT:+$((PORT < last_port ? PORT + 1 : first_port))}
        [ "$PORT" != "$from" ] || fail "a free port from $first_port to $last_port"
        PORT=${PORT:-$from}
        return
    fi
    # one network stack for everybody: each user has 500 ports, a lock keeps them apart among the user's labs, /proc knows the rest
    private_directory 2>/dev/null || fail "a directory of our own, for locks" private_directory
    PORT=${PORT:-$((19999 + $(id -u) % 24 * 500 + ${LAB_PORTS:-$$} % 20 * 25))} tries=12000
    until PORT=$((PORT < 31999 ? PORT + 1 : 20000)) && reserve $PORT; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "a free port from 20000 to 31999"
    done
}
# A student's ports begin somewhere in the run's block, and go round it; the last digits say whose they are, whatever the block is.
first_of_ports() {
    [ -n "${LAB_PORTS:-}" ] || { echo "$first_port" && return; }
    block=$((last_port - first_port < 1000 ? last_port - first_port + 1 : 1000))
    echo $((first_port + (100000 + LAB_PORTS - first_port) % block))
}
reserve() {
    take "$private/port-$1"
    case $? in
    0) reserved_ports="$reserved_ports $1" ;;
    1) return 1 ;;
    2) fail "a lock can be made" ls -ld "$private" ;;
    esac
    ! grep -qi ":$(printf %04X "$1") " /proc/net/tcp /proc/net/tcp6
}

capture() {
    can_capture_on "$1" || return 0
    watch_states
    eval "interface=\${interface_$1:-\$interface} raise=\${raise_$1:-}"
    output=$LAB_LOG/$1.pcap
    # -s: of its buffer, 2 MiB, libpcap sets aside for each packet what the longest may take: 64 KiB where cards join segments
    launch "tcpdump-$1" "$1" tcpdump -i "$interface" -s 2048 -n -U --immediate-mode -w - "$capture_filter"
    output='' raise=''
    eventually grep -q 'listening on' "$LAB_LOG/tcpdump-$1.err" || fail "tcpdump starts on $1" tail -n 3 "$LAB_LOG/tcpdump-$1.err"
}

# The kernels' states, from the first capture on, into HOST.states: with them the ladder shows what was so and not only what
# must have been. Hosts that are reached over a network do without.
watch_states() {
    [ -z "$watchers$remote" ] && command -v statelog >/dev/null || return 0
    for host in ${one_stack:-vit001 vit002 vit003}; do
        [ "$host" != yes ] || host=vit001
        (
            exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
            host_exec "$host" statelog --every $watch_every --for $watch_for
        ) </dev/null >"$LAB_LOG/$host.states" 2>"$LAB_LOG/.$host.statelog" &
        watchers="$watchers $!"
    done
    for host in ${one_stack:-vit001 vit002 vit003}; do
        [ "$host" != yes ] || host=vit001
        eventually grep -qs watching "$LAB_LOG/.$host.statelog" || fail "statelog starts on $host" cat "$LAB_LOG/.$host.statelog"
    done
}

end_watchers() {
    for watcher in $watchers; do ! our_child "$watcher" || kill -TERM "$watcher"; done
    [ -z "$watchers" ] || wait $watchers
} 2>/dev/null

can_capture_on() { [ "$can_capture" = yes ] && case " $no_capture " in *" $1 "*) return 1 ;; esac }

start() {
    start_name=$1 start_host=$2
    shift 2
    case $bind_address,$1,${2:-} in # the hosts file wants servers on the data address, not on every address
    data,*server,* | data,*echod,* | data,TCPmsgecho,--listen) program=$1 && shift && eval "set -- \"\$program\" -a \"\$$start_host\" \"\$@\"" ;;
    esac
    begin "$start_name" "$start_host" "$@"
}
begin() {
    begin_name=$1 begin_host=$2
    shift 2
    prompt "$begin_host" "$@"
    launch "$begin_name" "$begin_host" "$@"
}

# Nothing outlives the lab for long, whatever happens to this shell. Its stdin is a FIFO that this shell holds open on a descriptor of
# its own, until `eof`; for both directions, so that nobody who opens it waits for the other end.
launch() {
    name=$1 host=$2 key=$(key "$1")
    shift 2
    for fd in 3 4 5 6 7 8 9; do
        eval "finished=\${input_$fd:-}"
        [ -z "$finished" ] || ! gone "$finished" || close_input "$finished"
    done
    fd=${free_fds%% *}
    [ -n "$fd" ] || fail "fewer than eight programs at once"
    free_fds=${free_fds#"$fd"} free_fds=${free_fds# }
    rm -f "$LAB_LOG/$name.pid" "$LAB_LOG/.$name.in"
    mkfifo "$LAB_LOG/.$name.in" && eval "exec $fd<>\"\$LAB_LOG/.\$name.in\"" || fail "$name gets a stdin"
    (
        exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- # nobody else's stdin stays open because of us
        limit=$((longest_life + 10))
        host_exec "$host" $raise timeout --foreground -k 5 "$longest_life" sh -c '
            read -r line </proc/$$/stat && echo "$line" >"${TCP_LAB_RUN:-$0}/$1.pid" && shift && exec "$@"' "$LAB_LOG" "$name" "$@"
    ) <"$LAB_LOG/.$name.in" >"${output:-$LAB_LOG/$name.out}" 2>"$LAB_LOG/$name.err" &
    eval "job_$key=$! host_$key=$host fd_$key=$fd input_$fd=\$name"
    started="$started $name"
    eventually has_pid "$name" || fail "$name starts" cat "$LAB_LOG/$name.err"
    rm -f "$LAB_LOG/.$name.in"
}
# key NAME: what stands for it in the names of variables.
key() {
    word=$1
    while case $word in *[!a-zA-Z0-9_]*) true ;; *) false ;; esac do
        word=${word%%[!a-zA-Z0-9_]*}_${word#*[!a-zA-Z0-9_]}
    done
    printf %s "$word"
}
of() { eval "printf %s \"\${$1_$(key "$2"):-}\""; } # of job ana: what the shell knows about a started program
# A program's record is its line of /proc/PID/stat, written on its host: pid, start time. From a real host we take the pid.
has_pid() {
    [ -z "$remote" ] || on_host_of "$1" sh -c 'cat "$TCP_LAB_RUN/$0.pid"' "$1" 2>/dev/null | head -c 1000 | sed -n 's/^\([0-9][0-9]*\) .*/\1/p' >"$LAB_LOG/$1.pid"
    [ -s "$LAB_LOG/$1.pid" ]
}
pid_of() { sed 's/ .*//' "$LAB_LOG/$1.pid"; }
on_host_of() {
    of_program=$1
    shift
    (host_exec "$(of host "$of_program")" "$@") </dev/null
}

type() {
    typist=$1
    shift
    for line; do say "$typist< $line"; done
    eval "printf '%s\n' \"\$@\" >&$(of fd "$typist")" # all lines in one write
}
eof() {
    say "$1< (end of input)"
    close_input "$1"
}
close_input() {
    fd=$(of fd "$1")
    [ -n "$fd" ] || return 0
    eval "exec $fd>&-; fd_$(key "$1")='' input_$fd=''"
    free_fds="$fd $free_fds"
}

on() {
    host=$1
    shift
    prompt "$host" "$@"
    (host_exec "$host" "$@" </dev/null 2>&1) | head -c 100000 | show
}

stop() {
    heading "$(of host "$1")\$ kill -${2:-TERM} $(pid_of "$1")     # $1"
    end_program "$1" "${2:-TERM}" || fail "$1 ends on ${2:-TERM}" sockets "$(of host "$1")"
}
end_program() {
    gone "$1" || on_host_of "$1" kill -"$2" "$(pid_of "$1")" 2>/dev/null
    eventually ended "$1" || return 1
    close_input "$1"
}
gone() { job_is_gone "$1"; }
job_is_gone() { ! our_child "$(of job "$1")"; }
# A real host is asked too: the connection's end of a dead parent stays open as long as its children live.
ended() { gone "$1" || { [ -n "$remote" ] && ! on_host_of "$1" kill -0 "$(pid_of "$1")" 2>/dev/null; }; }
is_zombie() { grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

# long D: how long something is to take that must be looked at while it lasts, in seconds.
long() { printf '%ss' "$1"; }

# ---- checking --------------------------------------------------------------------------------------------------------

# A claim. Facts are waited for; "never" and "none" are looked at once, after a fact that shows they have had their chance.
#   expect NAME says TEXT            its output or its log has it        expect NAME never-says TEXT
#   expect NAME exits STATUS         it has ended, with that status      expect NAME runs
#   expect NAME is STATE             its socket; `gone` for none         expect peer-of NAME is STATE    the server's socket
#   expect HOST has N STATE          that many sockets of $PORT there
#   expect NAME has N children       its child processes                 expect NAME has N zombies
#   expect that TEXT COMMAND...      COMMAND succeeds: equals, at_least, at_most, like and a look (looks.sh), or any other
# Which of them it is, the places of the words tell, whatever TEXT says. A word too many or too few is no claim, and of a program
# that was never started there is nothing to claim.
expect() {
    claim=$* evidence=true form=${2:-}
    case $1 in
    that) form=that ;;
    peer-of) form=peer-of && shift ;;
    esac
    case $form,$# in
    that,[12]) unclear ;;
    that,*)
        claim=$2 && shift 2
        [ "$1" != matches ] || evidence=wire_said
        case ${2:-} in segments | count_segments | gap) can_capture_on vit001 || { not_checked "$claim" && return; } ;; esac
        set -- eventually "$@"
        ;;
    says,3) of_program "$1" && set -- eventually says "$1" "$3" ;;
    never-says,3) of_program "$1" && set -- not says "$1" "$3" ;;
    exits,3) of_program "$1" && set -- exits "$1" "$3" ;;
    runs,2) of_program "$1" && set -- not gone "$1" ;;
    is,3) of_program "$1" && evidence="sockets $(of host "$1")" && set -- eventually equals state "$3" "$1" ;;
    peer-of,3) of_program "$1" && [ "$2" = is ] && evidence="sockets vit001" && set -- eventually equals state "$3" peer-of "$1" || unclear ;;
    has,4)
        case $4 in
        children | zombies) of_program "$1" && evidence="on_host_of $1 ps -ef" && set -- eventually equals "$4_of" "$3" "$1" ;;
        *[!A-Z0-9_]*) unclear ;;
        *) evidence="sockets $1" && set -- eventually equals count_state "$3" "$1" "$4" ;;
        esac
        ;;
    *) unclear ;;
    esac
    settle "$claim" "$evidence" "$@"
}
# settle CLAIM EVIDENCE COMMAND...: EVIDENCE is a command that shows what is the case instead.
settle() {
    claim=$1 evidence=$2
    shift 2
    "$@" || fail "$claim" $evidence
    passed "$claim"
}
unclear() { fail "a claim that the verb knows: $claim"; }
# of_program NAME: what it has printed is the evidence.
of_program() {
    case " $started " in *" $1 "*) evidence="output_of $1" ;; *) fail "$1 was started, and: $claim" ;; esac
}
not() { ! "$@"; }
exits() {
    eventually gone "$1" || return 1
    wait "$(of job "$1")"
    [ $? = "$2" ]
}
passed() {
    checks=$((checks + 1))
    say "  ok: $1"
    printf 'ok\t%s\t%s\n' "$steps" "$1" >>"$LAB_LOG/checks.txt"
}
# not_checked CLAIM: about segments, on a back end that shows none.
not_checked() {
    skipped_packets=$((skipped_packets + 1))
    say "  NOT CHECKED (no right to capture on this back end): $1"
}
# fail CLAIM [COMMAND WORD...]: the command shows what is the case instead.
fail() {
    failed=$1 aloud=yes # whatever was to be silent (byhand.sh)
    shift
    say "  FAILED: $failed"
    say "  seen instead:"
    "$@" 2>&1 | sed 's/^/    /' | tail -n 20 | tail -c 10000 | show
    [ "$(df -Pk "$LAB_LOG" | awk 'END { print $4 }')" != 0 ] || say "  The disk is full: $(df -Pk "$LAB_LOG" | awk 'END { print $6 }'), where the log of this run is."
    printf 'FAILED\t%s\t%s\n' "$steps" "$failed" >>"$LAB_LOG/checks.txt"
    exit 1
}

# packets NAME EXPECTED [HOST]: what tcpdump on HOST (vit001) saw of client NAME's connection, against bin/wire's notation.
packets() {
    can_capture_on "${3:-vit001}" || { not_checked "$1's packets: $2" && return; }
    pcap=$LAB_LOG/${3:-vit001}.pcap
    eventually matches "$pcap" "$(local_of "$1")" "$2" || :
    prompt "${3:-vit001}" "tcpdump -n port $PORT     # $1's connection, port $(local_of "$1" | sed 's/.*://')"
    tcpdump -n -r "$pcap" "tcp port $PORT and port $(local_of "$1" | sed 's/.*://')" 2>/dev/null |
        sed 's/, options \[[^]]*\]//' | show
    settle "$1's packets: $2" wire_said matches "$pcap" "$(local_of "$1")" "$2"
}
wire_said() { cat "$LAB_LOG/.wire"; }

matches() { wire --port "$PORT" --client "$2" "$1" "$3" >"$LAB_LOG/.wire" 2>&1; }

# ---- the end ---------------------------------------------------------------------------------------------------------

finish() {
    status=$?
    trap - EXIT
    step_ends
    trap '' INT QUIT TERM HUP PIPE
    [ $status != 141 ] || exec >/dev/null # nobody reads any more
    [ -z "${LAB_BY_HAND:-}" ] || hands_off
    if [ -n "${LAB_KEEP:-}" ] && [ $status -le 1 ]; then
        say "" "The hosts stay up until you press Enter here. A shell on one of them, in another terminal:"
        if [ -n "$remote" ]; then
            say "    as the hosts file reaches it; the programs are in $bin_vit001 there, ports $first_port to $last_port are this run's"
        elif [ -n "$one_stack" ]; then
            say "    this machine is all three of them: any terminal here"
        else
            say "    ./labs/run --enter vit001"
        fi
        read -r _
    fi
    lost=''
    [ $status = 0 ] || [ -z "$remote" ] || for host in vit001 vit002 vit003; do
        (limit=5 && host_exec "$host" true) </dev/null >/dev/null 2>&1 || lost="$lost $host"
    done
    captures=$(printf '%s\n' $started | grep '^tcpdump-') # see the others end
    for name in $(printf '%s\n' $started | grep -v '^tcpdump-') $captures; do
        case " $lost " in *" $(of host "$name") "*) ! gone "$name" && kill "$(of job "$name")" && continue ;; esac
        case $name in tcpdump-*) eventually written "$name" ;; esac
        gone "$name" || end_program "$name" TERM || end_program "$name" KILL
    done
    end_watchers
    for port in $reserved_ports; do rm -f "$private/port-$port"; done
    [ -z "$reserved_ports" ] || rmdir "$private" 2>/dev/null
    rm -f "$LAB_LOG"/.wire "$LAB_LOG"/.*.statelog "$LAB_LOG"/.*.in "$LAB_LOG"/*.pid
    after_lab
    name=$(basename "$(dirname "$0")")
    case $status in
    0)
        verdict="passed, $(counted $checks check)"
        [ $not_as_expected = 0 ] || verdict="$verdict, $not_as_expected not as expected" status=1
        [ -z "$to_settle" ] || verdict="FAILED: the last prediction has not turned out" status=1
        ;;
    4) verdict=skipped ;;
    130 | 131 | 141 | 143) verdict="interrupted after $(counted $checks check)" ;;
    *) verdict="FAILED after $(counted $checks check)" status=1 ;;
    esac
    [ -z "$ended" ] || verdict=$ended
    [ -z "$lost" ] || {
        say "" "The connection to$lost was lost. What came from there until then is in the log; what still runs there ends itself" \
            "within ${patience:-20} seconds. When the network is back, the same command just works; ./labs/doctor finds what is wrong."
        verdict="CUT after $(counted $checks check), no connection to$lost" status=1
    }
    [ $skipped_packets = 0 ] || verdict="$verdict, $(counted $skipped_packets "packet check") NOT made on this back end"
    sed -n 's/^\([1-9][0-9]* packets\{0,1\} dropped by kernel\)$/  A capture is not whole, tcpdump says: \1. The machine was too busy./p' \
        "$LAB_LOG"/tcpdump-*.err 2>/dev/null | show
    [ ! -f "$LAB_LOG/predictions.txt" ] || tally "$LAB_LOG/predictions.txt" | show
    [ -z "${LAB_BOARD:-}" ] || post "$LAB_BOARD" "${LAB_STUDENT:-$(id -un)}" "$name" "$verdict"
    heading "Lab $name: $verdict. Log: ${LAB_LOG#"$PWD/"}"
    "$labs/script/report" "$LAB_LOG"
    exit $status
}
in_words() {
    set -- "$1" one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    eval "printf %s \"\${$(($1 + 1))}\""
}
counted() { [ "$1" = 1 ] && echo "1 $2" || echo "$1 $2s"; }
# written tcpdump-HOST: its file has not grown for a moment; a signal makes tcpdump forget what it has not read yet.
written() {
    size=$(wc -c <"$LAB_LOG/${1#tcpdump-}.pcap" 2>/dev/null) && sleep 0.05 && [ "$size" = "$(wc -c <"$LAB_LOG/${1#tcpdump-}.pcap")" ]
}
# What is made of a run's records once its programs have ended.
after_lab() {
    for pcap in "$LAB_LOG"/*.pcap; do
        [ ! -f "$pcap" ] || tcpdump -n -r "$pcap" >"${pcap%.pcap}.txt" 2>/dev/null
    done
    draw
    # clocks of real hosts: how far from this machine's, and how sure that is
    [ ! -s "$LAB_LOG/clocks.txt" ] || [ ! -f "$LAB_LOG/ladder.txt" ] ||
        awk '{ printf "  the clock of %s: %+.3f ms from the one that ran the lab, sure to %.3f ms\n", $1, $2 * 1000, $3 * 1000 }' \
            "$LAB_LOG/clocks.txt" >>"$LAB_LOG/ladder.txt"
    find "$LAB_LOG" -type f -size 0 -exec rm -f {} + # programs that printed nothing
}
# ladder.txt, ladder.svg, together-PORT.svg: the capture of vit001, or of the first host that has one, and what else was seen.
draw() {
    # labs/run may still be building ladder
    [ ! -e bin/.deps/ladder.lock ] || flock -n bin/.deps/ladder.lock true || telling "building ladder" flock bin/.deps/ladder.lock true
    set --
    for file in "$LAB_LOG"/*.states; do [ ! -s "$file" ] || set -- "$@" --states "$file"; done
    for file in "$LAB_LOG"/*.err; do
        case $file in */tcpdump-*.err) ;; *) [ ! -s "$file" ] || set -- "$@" --log "$file" ;; esac
    done
    for host in vit001 vit002 vit003; do
        eval "addresses=\"\${address_$host:-} \${address6_$host:-} \${link_$host:-}\""
        for address in $addresses; do set -- "$@" --host "$address=$host"; done
    done
    for file in "$LAB_LOG"/vit00[123].pcap; do
        [ -s "$file" ] || continue
        ladder "$@" "$file" >"$LAB_LOG/ladder.txt" 2>/dev/null && ladder "$@" --svg "$LAB_LOG/ladder.svg" "$file" || continue
        # and for each server that two hosts connected to: both on one time axis
        for served in $(wire --list "$file" | sed 's/^[0-9]* \([^ ]*\):[0-9]* [^ ]*:\([0-9]*\) .*/\2 \1/' | sort -u | awk '++n[$1] == 2 { print $1 }'); do
            ladder "$@" --port "$served" --together --svg "$LAB_LOG/together-$served.svg" "$file" 2>/dev/null
        done
        return
    done
    rm -f "$LAB_LOG/ladder.txt"
}
[ -z "${LAB_BY_HAND:-}" ] || . "$labs/script/byhand.sh"
[ -z "${LAB_FORETELL:-}" ] || . "$labs/script/foretell.sh"
trap finish EXIT
trap 'exit 130' INT
trap 'exit 131' QUIT
trap 'exit 141' PIPE # dash would end without the EXIT trap
trap 'exit 143' TERM HUP
