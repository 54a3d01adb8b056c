# byhand.sh - sourced by verbs.sh for `labs/run --by-hand`: the verbs once more. Where verbs.sh does a thing, these say what is to
# be done and wait until it is seen done, in the kernels' tables, in /proc or in the capture (coach.sh): with which program is the
# student's affair. A lab's script does not know which of the two it is run with.
#
#   start     waits for a listening socket on the port, or for a connection to it: socket and process get the name
#   type      waits for that many bytes on that connection        eof    for its FIN       stop    until the process is gone
#   on        waits for what can be seen of it (kill, sysctl), else for Enter; snapshots, too
#   says      is implied by what was seen, or becomes a question: a program's output is on the student's screen only
#   expect    what is not so is told, and never ends the lab: Enter goes on
#
# What no hand can do in time is done by the script: loads, proxies, measurements, and everything before the first step. So are the
# steps before LAB_STEP, in silence: that is how a step is begun again, left to the script (keys b and s) or gone on with (--resume).
. "$labs/script/coach.sh"

from_step=${LAB_STEP:-1} longest_life=7200 watch_for=3h watch_every=40ms free_fds='4 5 6 7 8 9' not_as_expected=0 aloud='' enter_here="Enter here"
[ -z "${LAB_TMUX:-}" ] || enter_here="F1, Enter"

# ---- who does what -----------------------------------------------------------------------------------------------------

by_hand() { [ $steps -ge $from_step ] && [ $steps -gt 0 ]; }
is_silent() { [ $from_step -gt 1 ] && ! by_hand && [ -z "$aloud" ]; } # what the transcript has from the student's own hands, or is left to the script
is_students() { [ -n "$(of hand "$1")" ]; }

show() { if is_silent; then cat >/dev/null; else visible | tee -a "$LAB_LOG/transcript.txt" | folded; fi; }
heading() {
    ! is_silent || return 0
    title=$(printf '%s' "$*" | visible)
    printf '\n%s%s%s\n' "$bold" "$(printf '%s\n' "$title" | folded)" "$plain"
    printf '\n%s\n' "$title" >>"$LAB_LOG/transcript.txt"
}
explain() { say "$*"; }

lab() {
    aloud=yes
    if [ -n "${LAB_HOSTS_ARE_UP:-}" ]; then
        hosts_again
    else
        heading "Lab $(basename "$(dirname "$0")"): $1"
        about_this_run
        hosts_up || {
            say "The hosts cannot be made on this machine (back end $LAB_BACKEND)."
            exit 1
        }
        [ $from_step = 1 ] || set_aside
        say_where_to_type
        [ $from_step = 1 ] || say "" "   (the script does what comes before step $from_step)"
    fi
    aloud='' can_sysctl=${can_sysctl:-$can_root}
    [ -z "$one_stack" ] || address_vit001=127.0.0.1 address_vit002=127.0.0.1 address_vit003=127.0.0.1
    [ -z "${LAB_PORT:-}" ] || PORT=$LAB_PORT
    keys_on
}

say_where_to_type() {
    say "" "You type, in other terminals; this one is the coach's. It sees what you do on the wire and in the kernels' tables."
    [ -z "${LAB_TMUX:-}" ] || open_terminals
    if [ -n "${LAB_TMUX:-}" ] && [ -z "$remote" ]; then
        say "   F2, F3, F4: a terminal of vit001, vit002, vit003; F6, F7, F8: one more there. F1: back to here. The line below says what is to be done."
    elif [ -n "$remote" ]; then
        for host in vit001 vit002 vit003; do eval "say \"   $host: as you log in there; then   PATH=\$bin_$host:\\\$PATH\""; done
    elif [ -n "$one_stack" ]; then
        say "   vit001, vit002 and vit003 are this machine: any terminal, in this directory; then   PATH=bin:\$PATH"
    else
        say "   In this directory, for as many terminals as you need (two or three for each host):"
        for host in vit001 vit002 vit003; do exactly "./labs/run --enter $host${LAB_STUDENT:+ --student $(as_typed "$LAB_STUDENT")}"; done
    fi
    keys_help
}

step() {
    step_ends
    steps=$((steps + 1)) LAB_PAUSE=''
    rm -f "$LAB_LOG/.long"
    if by_hand; then
        LAB_PAUSE=yes # predictions are asked, seconds counted
        echo $steps >"$LAB_LOG/resume.txt"
    fi
    heading "== Step $steps. $1"
    [ -z "${LAB_BOARD:-}" ] || is_silent || post "$LAB_BOARD" "${LAB_STUDENT:-$(id -un)}" "$(basename "$(dirname "$0")")" "step $steps: $1"
}

# begin_again STEP: the lab's script from its start; what it does by itself until STEP takes seconds. New ports; the hosts stay.
begin_again() {
    say "   (from step $1 on, on a new port: $([ "$1" = 1 ] || echo "the script does what comes before first, ")the programs of this lab are ended)"
    for old in $(printf '%s\n' $started | grep -v '^tcpdump-') $(printf '%s\n' $started | grep '^tcpdump-'); do
        gone "$old" || end_program "$old" TERM || end_program "$old" KILL
    done
    end_watchers
    step_ends
    set_aside
    sysctls_back
    rm -f "$LAB_LOG"/.[a-z]*
    export LAB_STEP="$1" LAB_PORT="$PORT" LAB_HOSTS_ARE_UP=yes LAB_RESERVED="$reserved_ports"
    keys_off
    exec sh "$0"
}
# What was seen until now stays in the log: it is the student's.
set_aside() {
    n=1
    while ls "$LAB_LOG"/*."$n".pcap "$LAB_LOG"/*."$n".states >/dev/null 2>&1; do n=$((n + 1)); done
    for file in "$LAB_LOG"/vit00?.pcap "$LAB_LOG"/vit00?.states; do [ ! -s "$file" ] || mv "$file" "${file%.*}.$n.${file##*.}"; done
}
hosts_again() {
    case $LAB_BACKEND in
    netns)
        for n in 1 2 3; do
            eval "vit00$n=vit00$n address_vit00$n=10.98.0.$n"
            grep -q vit001 /etc/hosts || eval "vit00$n=10.98.0.$n"
        done
        interface=eth0 can_capture=yes can_root=yes first_port=8990
        ;;
    *) hosts_up ;;
    esac
    reserved_ports=${LAB_RESERVED:-}
}
# What the lab changes is put back before its script runs anew. (On real hosts their keeper does that, when the run ends.)
remember_sysctls() (
    [ -z "$remote" ] || return
    shift 2
    for setting; do
        path=/proc/sys/$(printf '%s' "${setting%%=*}" | tr . /)
        grep -qsF "$host $path " "$LAB_LOG/.sysctls" || printf '%s %s %s\n' "$host" "$path" "$( (host_exec "$host" cat "$path") </dev/null)" >>"$LAB_LOG/.sysctls"
    done
)
sysctls_back() {
    [ -e "$LAB_LOG/.sysctls" ] || return 0
    while read -r changed_host path was; do
        (host_exec "$changed_host" sh -c 'echo "$1" >"$0"' "$path" "$was") </dev/null 2>/dev/null
    done <"$LAB_LOG/.sysctls"
}
end_by_hand() {
    say "   ended at step $steps; to go on there:  ./labs/run --by-hand --resume $(basename "$(dirname "$0")" | cut -c 1-2)"
    ended="ended at step $steps after $checks checks"
    exit 4
}

# ---- programs ----------------------------------------------------------------------------------------------------------

# A name's socket: NAME.local has its address, or the listening socket's; $LAB_LOG/.known the sockets that have a name.
local_now() {
    if [ -e "$LAB_LOG/.$1.local" ]; then cat "$LAB_LOG/.$1.local"; else local_in_log "$1"; fi
}
pid_of() { if [ -s "$LAB_LOG/$1.pid" ]; then sed 's/ .*//' "$LAB_LOG/$1.pid"; else echo none; fi; }
is_running() { # is_running HOST PID
    if [ -n "$remote" ]; then
        (host_exec "$1" kill -0 "$2") </dev/null 2>/dev/null
    else
        [ -d "/proc/$2" ] && ! is_zombie "$2"
    fi
}
gone() {
    if is_students "$1"; then ! is_running "$(of host "$1")" "$(pid_of "$1")"; else job_is_gone "$1"; fi
}
ended() { gone "$1" || { [ -n "$remote" ] && ! is_students "$1" && ! on_host_of "$1" kill -0 "$(pid_of "$1")" 2>/dev/null; }; }

# What a hand cannot do in time or nobody would learn from: the script does it. So does it what has no socket.
is_for_the_script() {
    case $1 in
    echoload | TCPmsgecho | haproxy | nginx | sh | tcpdump) return 0 ;;
    esac
    for word; do [ "$word" != "${PORT:-none}" ] || return 1; done
    case $last_word in
    *[!0-9]* | '') return 0 ;;
    esac
    [ "$last_word" -lt 1024 ]
}

begin() {
    begin_name=$1 begin_host=$2
    shift 2
    for last_word; do :; done
    if ! by_hand || is_for_the_script "$@"; then
        ! by_hand || say ">> The script does this itself:"
        heading "$begin_host\$ $*"
        predicted_now='' # what is over from now on may be its doing
        launch "$begin_name" "$begin_host" "$@"
        eval "hand_$(key "$begin_name")= load_$(key "$begin_name")="
        if is_for_the_script "$@"; then
            eval "load_$(key "$begin_name")=yes load_port=\${PORT:-}"
        fi
        return
    fi
    eval "hand_$(key "$begin_name")=yes program_$(key "$begin_name")=\$1 load_$(key "$begin_name")= host_$(key "$begin_name")=$begin_host job_$(key "$begin_name")= sent_$(key "$begin_name")=0 line_end_$(key "$begin_name")=$(line_end "$@")"
    case " $started " in *" $begin_name "*) ;; *) started="$started $begin_name" ;; esac
    rm -f "$LAB_LOG/$begin_name.pid" "$LAB_LOG/.$begin_name".*
    own_program=$1 want_port=$last_word words_wanted=$(as_typed "$@")
    meant_to_end='' taken='' want_server=''
    if grep -qE "expect \"?$begin_name\"? exits [1-9]" "$0"; then meant_to_end=yes; fi
    forget_the_dead "$want_port" # before anything is asked for: who is quick is none of them
    if is_taken; then taken=yes; fi
    todo "$begin_name, on $begin_host: $words_wanted"
    command_is "$begin_host\$ $words_wanted"
    if is_client "$@"; then
        [ -z "$predicted_now" ] || [ ! -s "$LAB_LOG/.over" ] || say "   (A client was there before you had answered, and has gone: once more.)"
        hint_is "a client of yours, on $begin_host, that connects to port $want_port: $1, nc, telnet, ..."
        wanted=connection want_server=$(server_of "$@")
    else
        hint_is "a server, on $begin_host, that listens on port $want_port: $1, or your own"
        wanted=listener
        [ -z "$taken" ] || say "   (Something has this port already: when your program ends by itself, press e.)"
    fi
    act seen_started
    heading "$begin_host\$ $words_wanted" >/dev/null
    case $seen in
    itself) say "   it has ended by itself" ;;
    *) say "   seen: $seen" ;;
    esac
}
# forget_the_dead PORT: what was over before it was asked for is nobody's: a client may have connected many times.
forget_the_dead() {
    look_around
    known_sockets | LC_ALL=C awk -v number="$1" -v port=":$1\$" '
        FILENAME == "-" { known[$1, $2] = 1; next }
        FILENAME ~ /rows$/ { if ($2 != "TIME_WAIT") lives[$5] = lives[$6] = 1; else { if ($5 ~ port) over[$6]; if ($6 ~ port) over[$5] } next }
        $3 ~ port { over[$2] }
        END { for (client in over) if (!(client in lives || known[client, number])) print client, number }' - "$LAB_LOG/.rows" "$LAB_LOG/.wires" >"$LAB_LOG/.over"
    cat "$LAB_LOG/.over" >>"$LAB_LOG/.known"
}
# line_end WORDS...: how many bytes the program puts behind a line, on the wire
line_end() {
    case " $* " in
    *" --eol crlf "* | *" --eol=crlf "*) echo 2 ;;
    *" --eol none "* | *" --eol=none "*) echo 0 ;;
    *) echo 1 ;;
    esac
}
# is_client WORDS...: the word before the port is a host's name or address, and no server's own
is_client() (
    option='' before='' word=''
    for next; do option=$before before=$word word=$next; done
    [ "$option" != -a ] || return 1
    case $before in 127.0.0.1 | localhost) return 0 ;; esac
    [ -n "$(server_of "$@")" ]
)
server_of() ( # which host that is
    before='' word=''
    for next; do before=$word word=$next; done
    for host in vit001 vit002 vit003; do
        for address in "$(eval "echo \$$host")" $(addresses_of $host); do [ "${before%\%*}" != "$address" ] || { echo $host && exit; }; done
    done
)
addresses_of() ( # addresses_of HOST...
    for host; do eval "printf '%s ' \"\${address_$host:-}\" \"\${address6_$host:-}\" \"\${link_$host:-}\""; done
)
# is_taken: a server that has no name yet is the student's, who was quick
is_taken() {
    look_around
    known_sockets | awk -v host="$begin_host" -v port=":$want_port\$" '
        FILENAME == "-" { known[$1, $2] = 1; next }
        $1 == host && $5 ~ port && ($2 != "LISTEN" || known[$5, $7]) { n++ }
        END { exit !n }' - "$LAB_LOG/.rows"
}

# seen_started: a socket as it is wanted that has no name yet; or says in $differs which one comes nearest.
seen_started() {
    [ -z "$ended_itself" ] || { seen=itself && return 0; }
    look_around
    local_alone=''
    case " $words_wanted " in *" 127.0.0.1 "* | *" localhost "*) local_alone=yes ;; esac
    found=$(known_sockets | LC_ALL=C awk -v wanted=$wanted -v host="$begin_host" -v port="$want_port" -v addresses="$(addresses_of "$begin_host")" \
        -v one_stack="$one_stack" -v local_alone="$local_alone" -v words="$words_wanted" -v server="$want_server" -v there="$([ -n "$remote$one_stack" ] || addresses_of $want_server)" -v meant_to_end="$meant_to_end" '
        function port_of(a) { sub(/.*:/, "", a); return a }
        function address_of(a) { sub(/:[0-9]*$/, "", a); return a }
        function is_of(addresses, a) { gsub(/[][]/, "", a); return index(" " addresses, " " a " ") }
        function from_here(a) { return one_stack || is_of(addresses, a) }
        function to_server(a) { return !there || is_of(there, a) }
        function done(text) { if (!result) result = text }
        FILENAME == "-" { known[$1, $2] = 1; next }
        FILENAME ~ /rows$/ && $2 == "LISTEN" {
            if (port_of($5) == port && $1 == server) listens = $5
            if (known[$5, $7] || wanted != "listener") next
            if (port_of($5) == port && ($1 == host || one_stack)) {
                if (address_of($5) == "127.0.0.1" && !one_stack && !local_alone) differs = "seen: " $8 " (process " $7 ") listens on 127.0.0.1 alone, where no other host gets to; waited for: port " port " on every address"
                else if (address_of($5) == "[::]" && index(words, "::") == 0) differs = "seen: " $8 " (process " $7 ") listens on IPv6 addresses alone; waited for: port " port " on every address"
                else done("listener " $5 " " $7 " " $8)
            } else if (port_of($5) == port) differs = "seen: " $8 " (process " $7 ") listens on " $1 "; waited for: a server on " host
            else if ($7 != "-" && $1 == host && !one_stack) differs = "seen: " $8 " (process " $7 ") listens on port " port_of($5) "; waited for: port " port
            next
        }
        FILENAME ~ /rows$/ && wanted == "connection" && $2 == "TIME_WAIT" { # over already, and no capture that has it
            if (port_of($5) == port && to_server(address_of($5)) && from_here(address_of($6)) && !known[$6, port]) dead = "connection " $6 " - -"
            if (port_of($6) == port && to_server(address_of($6)) && $1 == host && !known[$5, port]) dead = "connection " $5 " - -"
            next
        }
        FILENAME ~ /rows$/ && wanted == "connection" && port_of($6) == port && $2 !~ /TIME_WAIT|NEW_SYN/ && !known[$5, port] {
            if (!to_server(address_of($6))) differs = "seen: a connection to " $6 " (" $8 ", process " $7 "); waited for: one to " server
            else if ($1 == host || one_stack) done("connection " $5 " " $7 " " $8)
            else differs = "seen: a connection from " $1 " (" $8 ", process " $7 "); waited for: one from " host
            next
        }
        FILENAME ~ /wires$/ && !known[$2, port_of($3)] {
            segments = $0; sub(/^[^ ]* [^ ]* [^ ]* /, "", segments)
            if (segments == "C:SYN S:RST") { if (wanted == "listener" || from_here(address_of($2))) { refused = port_of($3); at = $3; its = $2 " " port_of($3) } }
            else if (wanted == "connection" && from_here(address_of($2)) && port_of($3) == port) dead = "connection " $2 " - -"
        }
        END {
            if (!result && dead) result = dead
            if (!result && refused == port && meant_to_end) result = "refused " its
            if (!result && !differs && refused && (wanted == "connection" || refused == port)) {
                differs = "seen: a SYN to port " refused ", answered by RST"
                if (wanted == "listener") differs = differs "; waited for: first the server"
                else if (refused != port) differs = differs ": nothing listens there; waited for: a connection to port " port
                else if (listens) differs = "seen: a SYN to " at ", answered by RST; waited for: one to " listens ", where the server listens"
                else differs = differs ": nothing listens there; start the server again, or press b"
            }
            print result; print differs; print its
        }' - "$LAB_LOG/.rows" "$LAB_LOG/.wires")
    refused=$(printf '%s\n' "$found" | sed -n 3p)
    [ -z "$refused" ] || is_told_once .known "$refused"
    differs=$(printf '%s\n' "$found" | sed -n 2p) found=$(printf '%s\n' "$found" | sed -n 1p)
    [ -n "$found" ] || {
        [ -z "$went_on$differs" ] || not_yet
        return 1
    }
    # the tables were read before the capture: it may have come in between, and live
    case $found in *" - -") [ "$found" = "${over_already:-}" ] || { over_already=$found && look_again && return 1; } ;; esac
    set -- $found
    [ "$1" != refused ] || { name_it "$begin_name" "$2" - connection && seen=itself && return 0; }
    is_as_meant "$3" || return 1
    name_it "$begin_name" "$2" "$3" "$1"
    seen=$(if [ "$1" = listener ]; then echo "$4 (process $3) listens on $2"; else echo "a connection from $2$([ "$3" = - ] || echo ", of $4 (process $3)")"; fi)
}
not_yet() {
    [ -z "$went_on" ] || [ -n "$differs" ] || differs="seen: nothing of it yet; waited for: a $wanted, port $want_port, on $begin_host. e when the program has ended by itself"
    went_on=''
}
# name_it NAME LOCAL PID listener|connection
name_it() {
    printf '%s %s\n' "$2" "$(if [ "$4" = listener ]; then echo "$3"; else echo "$want_port"; fi)" >>"$LAB_LOG/.known"
    if [ "$4" = listener ]; then printf '%s\n' "$words_wanted" >"$LAB_LOG/.$1.listens.$want_port"; else printf '%s\n' "$2" >"$LAB_LOG/.$1.local"; fi
    [ "$3" = - ] || (host_exec "$(of host "$1")" cat "/proc/$3/stat") </dev/null 2>/dev/null | head -c 1000 >"$LAB_LOG/$1.pid"
}
# LOCAL PORT of clients and LOCAL PID of listeners that have names, or had them; "process" PID of what has a name.
known_sockets() (
    [ ! -e "$LAB_LOG/.known" ] || cat "$LAB_LOG/.known"
    for name in $started; do
        is_students "$name" || printf '%s %s\n' "$(local_in_log "$name")" "${want_port:-${PORT:-}}"
        { read -r process rest <"$LAB_LOG/$name.pid" && echo "process $process"; } 2>/dev/null
    done
)

# is_as_meant PID: one of our programs has the options that are meant; another program may have any.
is_as_meant() {
    eval "foreign_$(key "$begin_name")="
    [ "$1" != - ] || return 0
    real=$( (host_exec "$begin_host" cat "/proc/$1/cmdline") </dev/null 2>/dev/null | head -c 2000 | tr '\0\n' '\n ' | visible)
    case $(printf '%s\n' "$real" | sed -n '1{s,.*/,,;p;}') in
    "$own_program") ;;
    *)
        eval "foreign_$(key "$begin_name")=yes"
        return 0
        ;;
    esac
    missing=$({
        printf '%s\n' "$real" | sed 1d | tr "=" '\n' | sed 's/^/is /'
        printf '%s\n' $words_wanted | sed 1d | tr "=" '\n' | sed 's/^/wanted /'
    } | awk '$1 == "is" { is[$2] = 1; next } { wanted[$2] = 1 }
        END {
            for (word in wanted) if (word ~ /^-/ && !(word in is)) print "without " word
            for (word in is) if (word ~ /^-/ && !(word in wanted) && word != "-v" && word != "--verbose") print "with " word
        }' | paste -s -d ' ' -)
    [ -n "$missing" ] || return 0
    differs="seen: $own_program, process $1, $missing; waited for: $words_wanted. End it (Ctrl-C, or kill $1) and start it so"
    return 1
}

# watch_out: what has nothing to do with what is waited for, and will be in its way: a server that is gone, a program that is
# stopped, a client too many.
watch_out() {
    [ -n "${PORT:-}" ] || return 0
    [ -n "$rows_are_fresh" ] || look_around
    for listens in "$LAB_LOG"/.*.listens."$PORT"; do
        [ -e "$listens" ] || continue
        other=${listens##*/.} other=${other%.listens.*}
        gone "$other" || continue
        back=$(known_sockets | awk -v host="$(of host "$other")" -v port=":$PORT\$" '
            FILENAME == "-" { known[$1, $2] = 1; next }
            $1 == host && $2 == "LISTEN" && $5 ~ port && !known[$5, $7] { print $5, $7; exit }' - "$LAB_LOG/.rows")
        if [ -n "$back" ]; then
            (want_port=$PORT words_wanted=$(cat "$listens") && name_it "$other" $back listener)
            say "   seen: $other is back, process ${back#* }"
            task_is ">> $task"
        elif ! is_told "$other ended"; then
            is_told_once .told "$other ended"
            differs="seen: $other's program has ended; start it again ($(of host "$other")\$ $(cat "$listens")), or b begins this step again"
        fi
    done
    for other in $started; do
        ! stands_still "$other" || differs="$still; waited for: that it runs. fg in its window"
    done
    [ "$PORT" != "${load_port:-}" ] || return 0
    extra=$(known_sockets | awk -v port=":$PORT\$" '
        FILENAME == "-" { known[$1, $2] = 1; next }
        $2 == "LISTEN" && $5 ~ port && $7 != "-" && !known[$5, $7] && !known["process", $7] { print $7, "server, on " $1 ": " $8 " (process " $7 ") listens on"; exit }
        $6 ~ port && $2 ~ /ESTABLISHED|CLOSE_WAIT/ && !known[$5, substr(port, 2, length(port) - 2)] && !known["process", $7] { print $5, "client, on " $1 ": " $8 " (process " $7 ") is connected to"; exit }' - "$LAB_LOG/.rows")
    [ -z "$extra" ] || is_told "${extra%% *}" || is_forked "${extra%% *}" || {
        is_told_once .told "${extra%% *}"
        differs="seen: an extra ${extra#* } port $PORT, too. End it, Ctrl-C there, or it will be in the way"
    }
}
is_forked() { # by a program that has a name, or by one that has ended
    { read -r process called state parent rest <"/proc/$1/stat"; } 2>/dev/null &&
        { [ "$parent" = 1 ] || known_sockets | grep -qx "process $parent"; }
}
stands_still() { # on this machine, and nobody has asked for that
    [ -z "$remote" ] && { read -r process rest <"$LAB_LOG/$1.pid"; } 2>/dev/null && state_of_process here "$process" T &&
        is_students "$1" && ! is_told "$process is to stand still" && still="seen: $1's process ($process) is stopped, as Ctrl-Z does it"
}
is_told() { grep -qsxF "$1" "$LAB_LOG/.told"; }

# progress NAME: bytes from the client and from the server of its connection, and C:FIN, S:FIN, C:RST, S:RST, as far as seen.
# Where no capture has it, as of a connection from a host to itself, the kernel's table says so.
progress() {
    captured=''
    if can_capture_on vit001 && ! gone tcpdump-vit001; then
        captured=$(wire --port "$PORT" --client "$(local_now "$1")" --list "$LAB_LOG/vit001.pcap" 2>/dev/null | tail -n 1)
    fi
    if [ -n "$captured" ]; then
        printf '%s\n' "$captured" | awk '
            {
                for (i = 4; i <= NF; i++) {
                    n = $i; sub(/[^(]*\(/, "", n); sub(/[^0-9].*/, "", n)
                    if ($i ~ /^C:.*\(/) c += n
                    if ($i ~ /^S:.*\(/) s += n
                    if ($i ~ /^[CS]:(FIN|RST)/) flags = flags " " substr($i, 1, 5)
                }
            }
            END { print c + 0, s + 0, flags }'
    else
        (host_exec "$(of host "$1")" ss -Htani "src $(local_now "$1")") </dev/null 2>/dev/null | tr '\n' ' ' | awk '
            function value(name) { return match($0, name ":[0-9]+") ? substr($0, RSTART + length(name) + 1, RLENGTH - length(name) - 1) : 0 }
            { c = value("bytes_sent"); s = value("bytes_received"); flags = $1 ~ /FIN|TIME|LAST|CLOSING/ ? "C:FIN" : "" }
            END { print c + 0, s + 0, NR ? flags : "C:FIN" }'
    fi
}

type() {
    typist=$1
    shift
    if ! is_students "$typist"; then
        ! by_hand || say ">> The script types this itself: $typist is its own."
        for line; do say "$typist< $line"; done
        eval "printf '%s\n' \"\$@\" >&$(of fd "$typist")"
        return
    fi
    for line; do
        if is_for_the_client "$typist" "$line"; then
            todo "in $typist's window ($(of host "$typist")): type the line (then $enter_here):   $line"
            command_is "$typist< $line"
            printf '%s< %s\n' "$typist" "$line" | visible >>"$LAB_LOG/transcript.txt"
            act went_on
            continue
        fi
        line_begins_at=$(of sent "$typist") line_is=${#line} seen_bytes=none
        printf '%s\n' "$line" >>"$LAB_LOG/.$typist.typed"
        todo "in $typist's window ($(of host "$typist")): type the line   $line"
        hint_is "${#line} characters and Enter, in the window where $typist runs"
        command_is "$typist< $line"
        printf '%s< %s\n' "$typist" "$line" | visible >>"$LAB_LOG/transcript.txt"
        act seen_typed "$typist"
    done
}
# A line that its program keeps to itself: nothing of it can be seen from outside.
is_for_the_client() {
    case $(of program "$1"),$2 in
    faultclient,shutdown* | faultclient,timeout* | faultclient,linger* | faultclient,short* | faultclient,cork | faultclient,passive) return 0 ;;
    esac
    return 1
}
seen_typed() {
    set -- "$1" $(progress "$1")
    fewest=$((line_begins_at + line_is + $(of line_end "$1"))) most=$fewest waited_for="waited for: $fewest"
    # another program ends a line as it likes: not at all, with LF, with CR LF
    [ -z "$(of foreign "$1")" ] || fewest=$((line_begins_at + line_is)) most=$((line_begins_at + line_is + 2))
    if [ "$2" -gt $most ]; then
        say "!! seen: $2 bytes of $1; $waited_for. What is counted later will differ: b begins this step again"
        eval "sent_$(key "$1")=$2"
        return 0
    fi
    case "${4:-} ${5:-}" in
    *C:*) differs="seen: $2 bytes, and $1's connection is closed (${4#C:}); $waited_for. b begins this step again" ;;
    esac
    if [ "$2" -ge $fewest ]; then
        # the end of the line may be on its way
        [ "$2" = $most ] || [ "$2" = "$seen_bytes" ] || { seen_bytes=$2 && look_again && return 1; }
        say "   seen: $2 bytes of $1 in all"
        eval "sent_$(key "$1")=$2"
        return 0
    fi
    if [ -n "$went_on" ]; then
        [ -n "$differs" ] && eval "sent_$(key "$1")=$2" && return 0
        went_on='' differs="seen: $2 bytes of $1; $waited_for. A line ends with Enter"
    elif [ -z "$differs" ] && [ "$2" -gt "$line_begins_at" ]; then
        differs="seen: $2 bytes of $1; $waited_for. Type the rest, or b begins this step again"
    fi
    return 1
}

eof() {
    if ! is_students "$1"; then
        ! by_hand || say ">> The script does this itself: the end of $1's input."
        say "$1< (end of input)"
        close_input "$1"
        return
    fi
    todo "in $1's window ($(of host "$1")): end the input with Ctrl-D"
    hint_is "Ctrl-D at the beginning of a line; not Ctrl-C, which ends the program"
    command_is "$1< Ctrl-D"
    printf '%s< (end of input)\n' "$1" >>"$LAB_LOG/transcript.txt"
    act seen_fin "$1"
    say "   seen: $1's FIN"
}
seen_fin() {
    case $(progress "$1") in
    *C:FIN*) return 0 ;;
    *C:RST*) differs="seen: a RST from $1; waited for: a FIN. It had bytes unread, or was told to reset. b begins this step again" ;;
    *) ! gone "$1" || differs="seen: $1's program has ended, no FIN; waited for: a FIN. b begins this step again" ;;
    esac
    [ -n "$went_on" ] && [ -n "$differs" ]
}

# Who reads what is to be done, and goes to another window for it, needs half a minute. faultserver lets no command take more than a
# whole one. What is claimed of such a step may be true only when the time is over.
long() {
    seconds=$1 patience=${LAB_PATIENCE:-10}
    if by_hand; then
        seconds=$((seconds < 3 ? 3 * patience : seconds * patience))
        seconds=$((seconds < 60 ? seconds : 60))
        echo $seconds >"$LAB_LOG/.long"
    fi
    printf '%ss' $seconds
}

stop() {
    case $1 in tcpdump-*) is_load=yes ;; *) is_load=$(of load "$1") ;; esac
    if ! by_hand || [ -n "$is_load" ]; then
        heading "$(of host "$1")\$ kill -${2:-TERM} $(pid_of "$1")     # $1"
        end_program "$1" "${2:-TERM}" || fail "$1 ends on ${2:-TERM}" sockets "$(of host "$1")"
        return
    fi
    how="in another terminal of $(of host "$1")"
    ! is_students "$1" || case ${2:-TERM} in
    INT) how="Ctrl-C in $1's window" ;;
    TERM) how="Ctrl-C in $1's window will do" ;;
    esac
    if ended "$1"; then
        say "   ($1's program has ended already)"
        return
    fi
    stop_words="kill -${2:-TERM} $(pid_of "$1")"
    todo "on $(of host "$1"): end $1's program:   $stop_words"
    hint_is "$how"
    command_is "$(of host "$1")\$ $stop_words"
    printf '\n%s$ %s     # %s\n' "$(of host "$1")" "$stop_words" "$1" >>"$LAB_LOG/transcript.txt"
    remember_running
    rm -f "$LAB_LOG/.$1.listens".*
    act seen_gone "$1"
    # who still listens has inherited that, and is no new server
    look_around
    awk '$2 == "LISTEN" { print $5, $7 }' "$LAB_LOG/.rows" >>"$LAB_LOG/.known"
    close_input "$1"
    say "   seen: $1's process is gone"
}
remember_running() {
    running=''
    for other in $started; do gone "$other" || running="$running $other"; done
}
seen_gone() {
    ! ended "$1" || return 0
    [ "$changed" != yes ] || ! stands_still "$1" || differs="$still; waited for: its end. fg in its window, then Ctrl-C"
    for other in $running; do
        [ "$other" = "$1" ] || ! gone "$other" || differs="seen: $other's process is gone; waited for: $1's ($(pid_of "$1")). b begins this step again"
    done
    return 1
}

on() {
    host=$1
    shift
    [ "$1 ${2:-}" != "sysctl -w" ] || remember_sysctls "$@"
    if ! by_hand; then
        heading "$host\$ $*"
        (host_exec "$host" "$@" </dev/null 2>&1) | head -c 100000 | show
        return
    fi
    look=went_on how=" (then $enter_here)"
    case "$1 ${2:-} ${3:-}" in
    "kill -"*[0-9] | "kill "[0-9]*) look=seen_signalled how='' ;;
    "sysctl -w "*) look=seen_set how='' ;;
    esac
    todo "on $host$how: $(as_typed "$@")"
    command_is "$host\$ $(as_typed "$@")"
    heading "$host\$ $*" >/dev/null
    if [ -n "$how" ]; then
        await went_on
        (host_exec "$host" "$@" </dev/null 2>&1) | head -c 100000 | show
    else
        act $look "$@"
        say "   seen"
    fi
}
seen_signalled() {
    case $2 in
    -STOP) state_of_process "$host" "$3" T && echo "$3 is to stand still" >>"$LAB_LOG/.told" ;;
    -CONT) ! state_of_process "$host" "$3" T ;;
    *) ! is_running "$host" "${3:-$2}" ;;
    esac
}
state_of_process() { # state_of_process HOST PID STATE
    stat=''
    if [ -n "$remote" ]; then
        stat=$( (host_exec "$1" cat "/proc/$2/stat") </dev/null 2>/dev/null)
    else
        { read -r stat <"/proc/$2/stat"; } 2>/dev/null
    fi
    case ${stat##*) } in "$3"*) ;; *) return 1 ;; esac
}
seen_set() (
    shift 2
    for setting; do
        path=/proc/sys/$(printf '%s' "${setting%%=*}" | tr . /)
        [ "$( (host_exec "$host" cat "$path") </dev/null | tr '\t' ' ')" = "${setting#*=}" ] || return 1
    done
)

# ---- looking and claiming ----------------------------------------------------------------------------------------------

# What is to be looked at is looked at by the student first. (A capture cannot be taken afterwards.)
prompt() {
    prompt_host=$1
    shift
    case $1 in
    tcpdump*) ;;
    *)
        if by_hand; then
            todo "look, on $prompt_host (then $enter_here):   $*"
            hint_is "type it in a terminal of $prompt_host, look at it; then $enter_here"
            command_is "$prompt_host\$ $*"
            await went_on
        fi
        ;;
    esac
    heading "$prompt_host\$ $*"
}

at_the_keyboard() {
    task_is "?? F1: your prediction"
    [ -z "${PORT:-}" ] || forget_the_dead "$PORT"
    keys_off
    "$@"
    keys_on
    predicted_now=yes # nothing else has happened since
}

eventually() {
    if [ "$1" = says ] && is_students "$2"; then
        "$@" # has its own waits, or asks
        return
    fi
    late='' deadline=$(($(centiseconds) + 500))
    until "$@"; do
        [ -z "$late$looking_once" ] || return 1
        [ "$(centiseconds)" -lt $deadline ] || late=yes
        sleep 0.02
    done
}
looking_once='' predicted_now=''

# settle CLAIM EVIDENCE COMMAND...: see verbs.sh. Here a claim that is not so waits for the student, who may put it right or go on.
settle() {
    claim=$1 evidence=$2 unlooked='' asked=''
    shift 2
    if ! by_hand; then
        "$@" || fail "$claim" $evidence
        passed "$claim"
        return
    fi
    if "$@"; then
        if [ -n "$unlooked" ]; then not_looked_at "$claim"; else passed "$claim"; fi
        return
    fi
    if [ -n "$unlooked" ] || [ -e "$LAB_LOG/.unlooked" ]; then
        not_looked_at "$claim"
        rm -f "$LAB_LOG/.unlooked"
        return
    fi
    if was_so "$@"; then
        passed "$claim"
        say "   (the state log has seen it; a moment later it was over)"
        return
    fi
    [ ! -s "$LAB_LOG/.long" ] || wait_for_what_lasts "$@" || return 0
    case $evidence in "output_of "*) ! is_students "${evidence#* }" || evidence="seen_of ${evidence#* }" ;; esac
    evidence=$($evidence 2>/dev/null | cut -c 1-200 | tail -n 8 | sed 's/^/     /')
    say "!! not so, or not yet: $claim${evidence:+. Seen:}" ${evidence:+"$evidence"}
    if [ -z "$asked" ]; then
        todo "put it right, or Enter to go on, or b to begin the step again"
        looking_once=yes acting=yes
        await settled "$@"
        looking_once='' acting=''
        [ -n "$went_on" ] || { passed "$claim" && return; }
    fi
    not_as_expected=$((not_as_expected + 1))
    say "  NOT AS EXPECTED: $claim"
    printf 'differs\t%s\t%s\n' "$steps" "$claim" >>"$LAB_LOG/checks.txt"
}
# matches CAPTURE LOCAL EXPECTED: see verbs.sh. How many bytes another program's lines have is its own affair.
matches() {
    wire --port "$PORT" --client "$2" "$1" "$3" >"$LAB_LOG/.wire" 2>&1 || {
        is_foreign "$2" && wire --port "$PORT" --client "$2" "$1" "$(printf '%s\n' "$3" | sed 's/([0-9]*)/(*)/g')" >"$LAB_LOG/.wire" 2>&1
    }
}
is_foreign() (
    for name in $started; do [ -z "$(of foreign "$name")" ] || [ "$(local_now "$name")" != "$1" ] || exit 0; done
    exit 1
)
settled() { [ -n "$went_on" ] || "$@"; }
seen_of() {
    [ ! -e "$LAB_LOG/.$1.local" ] || {
        set -- "$1" $(progress "$1")
        echo "$2 bytes of $1's, $3 of the server's ${4:-} ${5:-}"
    }
}
# wait_for_what_lasts COMMAND...: fails when that has made the claim true.
wait_for_what_lasts() {
    lasts=$(cat "$LAB_LOG/.long") over_at=$((${done_at%.*} + lasts + 5))
    if [ "$1 $2" != "eventually says" ] && [ "$(date +%s)" -lt $over_at ]; then
        say "   (not yet: $claim. What was typed takes $lasts seconds)"
        task="wait for: $claim" command='' hint=''
        looking_once=yes
        await so_or_late "$@"
        "$@" && looking_once='' && passed "$claim" && return 1
        looking_once=''
    fi
    [ -n "$went_on" ] || say "   (what was typed took $lasts seconds, and that is over)"
}
so_or_late() { settled "$@" || [ "$(date +%s)" -gt $over_at ]; }
not_looked_at() {
    say "  not looked at: $1"
    printf 'open\t%s\t%s\n' "$steps" "$1" >>"$LAB_LOG/checks.txt"
}
passed() {
    ! is_silent || return 0
    checks=$((checks + 1))
    say "  ok: $1"
    printf 'ok\t%s\t%s\n' "$steps" "$1" >>"$LAB_LOG/checks.txt"
}

# was_so eventually equals state STATE [peer-of] NAME: since the student's last action, says the state log. A hand is slower than the kernel.
was_so() (
    [ "$1 $2 $3" = "eventually equals state" ] || return 1
    if [ "$5" = peer-of ]; then
        column=3 name=$6 log=$LAB_LOG/vit001.states
    else
        column=2 name=$5 log=$LAB_LOG/${one_stack:+vit001}.states
        [ -n "$one_stack" ] || log=$LAB_LOG/$(of host "$5").states
    fi
    [ -s "$log" ] && awk -v c=$column -v address="$(local_now "$name")" -v state="$4" -v since="${mark:-0}" '
        $c == address && $NF == state && $1 >= since { found = 1 } END { exit !found }' "$log"
)

exits() {
    eventually gone "$1" || return 1
    if is_students "$1"; then
        claim="$1 has ended" # with which status, only its own shell knows
    else
        wait "$(of job "$1")"
        exited=$?
        [ $exited = "$2" ] || { evidence="echo its exit status is $exited; a signal's is 128 more" && return 1; }
    fi
}

not() {
    looking_once=yes
    ! "$@"
    negated=$? looking_once=''
    return $negated
}

# says NAME TEXT: what the tables and the capture show as well is looked up there; the rest is asked.
says() {
    if ! is_students "$1"; then
        grep -qsF -- "$2" "$LAB_LOG/$1.out" "$LAB_LOG/$1.err"
        return
    fi
    case $2 in
    "listening on"*) [ "$(pid_of "$1")" != none ] && eventually listens "$1" ;;
    "connected peer="*) eventually is_connected "$1" ;;
    accepted*) is_accepted "${2##*[ =]}" || { [ -z "$looking_once" ] && { eventually is_accepted "${2##*[ =]}" || asked_whether "$@"; }; } ;;
    "half-closed sent="* | "half-closed direction=write"* | half-closed) eventually has_sent_fin "$1" ;;
    *)
        if [ -s "$LAB_LOG/.$1.typed" ] && grep -qF -- "$2" "$LAB_LOG/.$1.typed"; then
            eventually is_echoed "$1"
        else
            asked_whether "$1" "$2"
        fi
        ;;
    esac
}
asked_whether() {
    unlooked=yes asked=yes
    [ -z "$(of foreign "$1")" ] || return 0 # another program has other words
    # a line of another program has as many bytes as it likes
    case $2 in
    *" bytes="*) for other in $started; do [ -z "$(of foreign "$other")" ] || set -- "$1" "${2%% bytes=*}"; done ;;
    esac
    yes_or_no "in $1's window: do you see   $2"
    [ -z "$answer" ] || unlooked=''
    [ "$answer" = y ]
}
listens() {
    look_around
    awk -v pid="$(pid_of "$1")" '$2 == "LISTEN" && $7 == pid { n++ } END { exit !n }' "$LAB_LOG/.rows"
}
is_connected() { case $(state "$1") in SYN_SENT) return 1 ;; *) [ -e "$LAB_LOG/.$1.local" ] ;; esac }
is_accepted() { # is_accepted LOCAL, or nothing that is an address: any
    sockets vit001 | awk -v a="$1" '$6 != "LISTEN" && $7 ~ /^[0-9]/ && (a !~ /:/ || $5 == a) { n++ } END { exit !n }'
}
has_sent_fin() { case $(progress "$1") in *C:FIN*) return 0 ;; *) return 1 ;; esac }
is_echoed() {
    set -- $(progress "$1")
    [ "$1" -gt 0 ] && [ "$2" -ge "$1" ]
}

# What only a program's log has, the student is asked for: once.
logged() {
    if is_students "$1"; then
        value_of "$1" "what stands behind  $2=  in the last line of $1's window that has it?"
    else
        sed -n "s/.* $2=\([^ ]*\).*/\1/p" "$LAB_LOG/$1.err" | tail -n 1
    fi
}
count_logged() {
    if ! is_students "$1"; then
        grep -c " $2 " "$LAB_LOG/$1.err"
    elif [ "$2" = connected ] && can_capture_on vit001 && ! gone tcpdump-vit001; then
        wires_of "$1" | awk '$5 == "S:SYN+ACK"' | wc -l
    else
        value_of "$1" "how many lines of $1's window have the word  $2 ?"
    fi
}
ports_of() {
    if is_students "$1" && can_capture_on vit001; then
        wires_of "$1" | awk '{ print $2 }' | sort -u | wc -l
    else
        sed -n 's/.* connected .*local=.*:\([0-9]*\) *$/\1/p' "$LAB_LOG/$1.err" 2>/dev/null | sort -u | wc -l
    fi
}
wires_of() { # wires_of NAME: the connections from its host to the port
    look_around
    awk -v client="$(of address "$(of host "$1")"):" -v port=":$PORT" '
        index($2, client) == 1 && substr($3, length($3) - length(port) + 1) == port' "$LAB_LOG/.wires"
}
last_line() {
    if is_students "$1"; then
        value_of "$1" "what stands behind  $2  in the last line of $1's window that has it?"
    else
        sed -n "s/^$2//p" "$LAB_LOG/$1.out" | tail -n 1
    fi
}
show_output() { is_students "$1" || head -c 10000 "$LAB_LOG/$1.out" | show; } # who has it on the screen has seen it
bytes_printed() {
    if is_students "$1"; then
        : >"$LAB_LOG/.unlooked"
    else
        wc -c <"$LAB_LOG/$1.out"
    fi
}
value_of() (
    memo=$LAB_LOG/.$1.$(printf '%s' "$2" | cksum | tr -d ' ').answer
    if [ ! -e "$memo" ]; then
        keys_off
        question "$2" "Enter: not looked" >&3
        read -r value || value=''
        keys_on
        printf '%s\n' "$value" | visible >"$memo"
        [ -n "$value" ] || : >"$LAB_LOG/.unlooked"
    fi
    cat "$memo"
)
exec 3>&1
