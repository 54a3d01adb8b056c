# looks.sh - what a lab's script can look at, sourced by verbs.sh. A look is a command that prints what is so now, and
# changes nothing; a claim compares it:
#
#   expect that TEXT equals LOOK VALUE [WORD...]       what LOOK WORD... prints is VALUE
#   expect that TEXT at_least LOOK N [WORD...]         it is a number, N or more; at_most: N or less
#   expect that TEXT between LOOK LOW HIGH [WORD...]   it is a number of these, or from one to the other
#   expect that TEXT like LOOK REGEX [WORD...]         a line of it is like the extended regular expression
#
#   sockets HOST                    the rows of $PORT, as netstat prints them; snapshot HOST shows them
#   timers HOST                     the same with their timers; show_timers HOST
#   state | recv_q | send_q | owner | timer [peer-of] NAME
#                                   of client NAME's socket, or of the server's that is connected to it
#   port_of NAME                    the port of client NAME
#   local_port_range HOST           from which port to which its kernel chooses
#   accept_queues                   Recv-Q of the sockets that listen on $PORT, the shortest first
#   count_state HOST STATE          how many rows are in that state
#   children_of NAME, zombies_of NAME, sockets_held NAME      of a process: how many there are
#   listeners, count_listeners      the pids of those that listen on $PORT; how many they are
#   output_of NAME, show_output NAME; logged NAME KEY; count_logged NAME VERB
#                                   what it has printed; the last value of KEY=; how many lines of its log have that verb
#   ports_of NAME                   how many ports it has connected from
#   last_line NAME START            what stands behind START in the last line of its output that begins so; bytes_printed NAME
#   size_of FILE                    bytes, on vit001
#   printed_on HOST COMMAND...      what it prints there
#   segments [-OPTION...] FILTER    tcpdump's lines of $PORT's segments in vit001's capture; count_segments FILTER,
#                                   show_segments N FILTER: the first N of them
#   gap N FILTER                    milliseconds from the segment before the N-th that FILTER lets through to the N-th

# sockets HOST [netstat]: the rows of $PORT as netstat prints them; from ss, respelled, where netstat is missing. Where all hosts
# share one stack, vit001 has the rows whose own port it is, and the others those that are connected to it; and what is only looked
# at, not shown, comes from ss there: it asks for these rows alone, netstat goes through every TIME_WAIT of the other labs.
sockets() {
    (host_exec "$1" sh -c 'for tool in $2 netstat ss; do command -v $tool >/dev/null && break; done
        if [ $tool = ss ]; then exec ss -Htanp "( sport = :$1 or dport = :$1 )"; else exec netstat -ptan; fi' sh "$PORT" "${2:-${one_stack:+ss}}") </dev/null 2>/dev/null |
        visible | awk -v port=":$PORT\$" -v side="${one_stack:+$1}" '
        $1 ~ /^[A-Z0-9-]+$/ {
            sub("ESTAB", "ESTABLISHED", $1); gsub("-", "_", $1); sub("WAIT_", "WAIT", $1)
            pid = match($0, /pid=[0-9]+/) ? substr($0, RSTART + 4, RLENGTH - 4) : "-"
            $0 = sprintf("tcp    %6s %6s %-23s %-23s %-11s %s", $2, $3, $4, $5, $1, pid)
        }
        $1 ~ /^tcp/ && (side == "" ? $4 ~ port || $5 ~ port : side == "vit001" ? $4 ~ port : $5 ~ port)'
}
snapshot() {
    prompt "$1" "netstat -ptan | grep :$PORT"
    sockets "$1" netstat | show
}

# timers HOST: netstat's rows, or ss's.
timers() { (host_exec "$1" sh -c 'netstat -tano 2>/dev/null || ss -tano') </dev/null | visible | grep -E ":$PORT( |\$)"; }
show_timers() {
    prompt "$1" "netstat -tano | grep :$PORT"
    timers "$1" | show
}
no_timer='off|[0-9] *$' # as netstat prints it, or ss

# A client logs "connected peer=ADDR:PORT local=ADDR:PORT": with that its two sockets are found, also after its death. A script's
# next line often has it before the client has written it, so local_of waits; a look, local_now, does not.
local_of() { eventually has_local "$1" && local_now "$1"; }
has_local() { [ -n "$(local_now "$1")" ]; }
local_now() { local_in_log "$1"; }
local_in_log() { sed -n 's/.* connected .*local=\([][0-9A-Fa-f.:]*\) *$/\1/p' "$LAB_LOG/$1.err" 2>/dev/null | tail -n 1; }
port_of() { local_of "$1" | sed 's/.*://'; }
# row_of LOOK [peer-of] NAME: that socket's row of `sockets` or `timers`. [fd98::2]:40000 is fd98::2:40000 to netstat, and to a
# listener of both families 10.98.0.2 is ::ffff:10.98.0.2.
row_of() {
    if [ "$2" = peer-of ]; then
        "$1" vit001 | row_with "$(local_now "$3")" 5
    else
        "$1" "$(of host "$2")" | row_with "$(local_now "$2")" 4
    fi
}
row_with() {
    awk -v a="$1" -v column="$2" '
        function plain(address) { gsub(/[][]|%[^:]*/, "", address); sub(/^::ffff:/, "", address); return address }
        plain($column) == plain(a)'
}
state() { row_of sockets "$@" | awk '{ s = $6 } END { print s ? s : "gone" }'; }
recv_q() { row_of sockets "$@" | awk '{ print $2 }'; }
send_q() { row_of sockets "$@" | awk '{ print $3 }'; }
owner() { row_of sockets "$@" | awk '{ sub("/.*", "", $7); print $7 }'; } # PID/program
timer() { row_of timers "$@"; }
count_state() { sockets "$1" | awk -v s="$2" '$6 == s { n++ } END { print n + 0 }'; }
local_port_range() { (host_exec "$1" cat /proc/sys/net/ipv4/ip_local_port_range) </dev/null; }
accept_queues() { sockets vit001 | awk '$6 == "LISTEN" { print $2 + 0 }' | sort -n | paste -s -d ' ' -; }
listeners() { (host_exec vit001 ss -Hltnp "sport = :$PORT") </dev/null | grep -o 'pid=[0-9]*' | sed 's/pid=//'; }
count_listeners() { listeners | wc -l; }

children_of() { on_host_of "$1" ps -o stat= --ppid "$(pid_of "$1")" | wc -l; }
zombies_of() { on_host_of "$1" ps -o stat= --ppid "$(pid_of "$1")" | grep -c Z; }
sockets_held() { on_host_of "$1" ls -l "/proc/$(pid_of "$1")/fd" 2>/dev/null | grep -c 'socket:'; }

output_of() { cat "$LAB_LOG/$1.out" "$LAB_LOG/$1.err"; }
show_output() { head -c 10000 "$LAB_LOG/$1.out" | show; }
says() { grep -qsF -- "$2" "$LAB_LOG/$1.out" "$LAB_LOG/$1.err"; }
ports_of() { sed -n 's/.* connected .*local=.*:\([0-9]*\) *$/\1/p' "$LAB_LOG/$1.err" | sort -u | wc -l; }
last_line() { sed -n "s/^$2//p" "$LAB_LOG/$1.out" | tail -n 1; }
bytes_printed() { wc -c <"$LAB_LOG/$1.out"; }
logged() { sed -n "s/.* $2=\([^ ]*\).*/\1/p" "$LAB_LOG/$1.err" | tail -n 1; }
count_logged() { grep -c " $2 " "$LAB_LOG/$1.err"; }

printed_on() {
    printing_host=$1
    shift
    (host_exec "$printing_host" "$@") </dev/null 2>&1 | visible
}
size_of() { (host_exec vit001 cat "$1") </dev/null | wc -c; }

segments() {
    tcpdump_options=''
    while case $1 in -*) true ;; *) false ;; esac do tcpdump_options="$tcpdump_options $1" && shift; done
    tcpdump -n $tcpdump_options -r "$LAB_LOG/vit001.pcap" "tcp port $PORT and $1" 2>/dev/null | visible
}
count_segments() { segments "$1" | wc -l; }
gap() { segments -ttt "$2" | awk -v n="$1" 'NR == n { split($1, t, ":"); print int((t[1] * 3600 + t[2] * 60 + t[3]) * 1000) }'; }
show_segments() {
    can_capture_on vit001 || return 0
    prompt vit001 "tcpdump -n 'port $PORT and $2'"
    segments "$2" | sed 's/, options \[[^]]*\]//' | head -n "$1" | show
}

# ---- comparing what a look prints --------------------------------------------------------------------------------------

equals() {
    look=$1 wanted=$2
    shift 2
    [ "$("$look" "$@")" = "$wanted" ]
}
at_least() {
    look=$1 wanted=$2
    shift 2
    [ "$("$look" "$@")" -ge "$wanted" ]
} 2>/dev/null # nothing yet is no number
at_most() {
    look=$1 wanted=$2
    shift 2
    [ "$("$look" "$@")" -le "$wanted" ]
} 2>/dev/null
between() {
    look=$1 low=$2 high=$3
    shift 3
    found=$("$look" "$@")
    [ "$found" -ge "$low" ] && [ "$found" -le "$high" ]
} 2>/dev/null
like() {
    look=$1 wanted=$2
    shift 2
    "$look" "$@" | grep -qE -- "$wanted"
}
