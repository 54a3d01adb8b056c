# remote.sh - what the back ends for real hosts share. Such a back end sources this and adds three functions:
#
#   connect HOST               makes the connection; its stderr says why it cannot
#   reach HOST COMMAND...      becomes COMMAND on HOST
#   disconnect HOST            ends the connection
#
# On every host a keeper (labs/hosts/onhost.sh) holds the run's directory: the pids of what was started, the programs where the
# home is not shared. It lives as long as this shell says so every two seconds; after 20 s of silence (the hosts file may
# say otherwise: patience 60) it ends what is left. Nothing that a host prints is executed or used as a file name here:
# facts are checked against what they may look like.

labs=${labs:-$PWD/labs}
hosts_file=${LAB_HOSTS:-$labs/hosts/hosts.conf}

# ---- the hosts file: data, never executed -------------------------------------------------------------------------------

hosts() { awk 'NF && !/^[ \t]*#/ && $1 !~ /^(exec|ssh_config|bind|ports|patience|sysctls)$/ { print $1 }' "$hosts_file"; }
setting() { awk -v key="$1" '$1 == key { sub(/^[ \t]*[^ \t]+[ \t]*/, ""); sub(/[ \t]+$/, ""); print; exit }' "$hosts_file"; }
column() { awk -v host="$1" -v n="$2" '$1 == host { print n <= NF ? $n : "-"; exit }' "$hosts_file"; }

check_hosts_file() {
    [ -r "$hosts_file" ] || { echo "labs/run: cannot read the hosts file $hosts_file" >&2 && return 1; }
    file=$hosts_file LC_ALL=C awk '
        BEGIN { file = ENVIRON["file"] }
        function bad(what) { printf "%s:%d: %s\n", file, NR, what; wrong = 1 }
        !NF || /^[ \t]*#/ { next }
        $1 == "exec" { if (!index($0, "{command}") && !index($0, "{quoted}")) bad("exec needs {command} (as words) or {quoted} (as one word)"); next }
        $1 == "ssh_config" { if (NF != 2) bad("ssh_config takes one file"); next }
        $1 == "bind" { if ($0 !~ /^[ \t]*bind[ \t]+(data|all)[ \t]*$/) bad("bind is data or all"); next }
        $1 == "ports" { if (NF != 2 || $2 !~ /^[0-9]+$/ || $2 < 1024 || $2 > 65500) bad("ports takes the first port, 1024..65500"); next }
        $1 == "sysctls" { if ($0 !~ /^[ \t]*sysctls[ \t]+(yes|no)[ \t]*$/) bad("sysctls is yes or no"); next }
        $1 == "patience" { if (NF != 2 || $2 !~ /^[0-9]+$/ || $2 < 5 || $2 > 300) bad("patience takes seconds, 5..300"); next }
        $1 !~ /^[a-z][a-z0-9]*$/ { bad("a host is called [a-z][a-z0-9]*, as vit001"); next }
        seen[$1]++ { bad($1 " is there twice") }
        NF < 2 || NF > 4 { bad("a host has a name, how to reach it, its data address, its interface") }
        NF > 1 && $2 !~ /^[A-Za-z0-9_[][]A-Za-z0-9_.@:\/%+[-]*$/ { bad("how to reach " $1 ": not a host or user@host") }
        NF > 2 && $3 !~ /^(-|[0-9A-Fa-f.:]+)$/ { bad("the data address of " $1 " must be a number like 10.0.0.1, or -") }
        NF > 3 && $4 !~ /^(-|[A-Za-z0-9_][A-Za-z0-9_.@-]*)$/ { bad("the interface of " $1 " cannot be called so") }
        END {
            for (i = 1; i <= 3; i++) if (!(("vit00" i) in seen)) { printf "%s: no line for vit00%d (labs/hosts/README.md says how)\n", file, i; wrong = 1 }
            exit wrong
        }' "$hosts_file" >&2
}

# fact HOST KEY: what the keeper on HOST said, if it looks like a fact.
fact() {
    zeros=''
    case $2 in
    run) looks='\/tmp\/tcp-lab\.[A-Za-z0-9]\{6\}' ;;
    address) looks='[0-9A-Fa-f.:]\{1,45\}' ;;
    interface) looks='[A-Za-z0-9_][A-Za-z0-9_.@-]\{0,20\}' ;;
    first_port) looks='[1-9][0-9]\{3,4\}' ;;
    uid | gid | block | mtu | files | processes | disk | somaxconn | local_ports | tcp_*) zeros='0*' looks='[0-9]\{1,15\}' ;; # 0899 would be octal
    *) looks='[]A-Za-z0-9 ._:,;()@\/[+-]*' ;;
    esac
    LC_ALL=C sed -n "s/^tcp-lab $2 $zeros\($looks\)\$/\1/p" "$LAB_PRIVATE/$1.facts" | head -n 1 | cut -c 1-1000
}
# What came from a host and is to be seen on a terminal: no control characters.
plain_text() { tr -d '\r' | LC_ALL=C tr -c '\n\t -~' '?'; }

# quoted WORD: as one word of a remote shell's command line, in $quoted; no process is made for it.
quoted() {
    rest=$1 quoted=
    while case $rest in *\'*) true ;; *) false ;; esac do
        quoted="$quoted${rest%%\'*}'\\''" rest=${rest#*\'}
    done
    quoted="'$quoted$rest'"
}

# bounded SECONDS FUNCTION...: becomes connect, reach or disconnect, and ends after that time, whatever the host does.
bounded() {
    seconds=$1
    shift
    exec timeout -k 2 "$seconds" sh -c '. "$0" && "$@"' "$labs/hosts/$LAB_BACKEND" "$@"
}
. "$labs/script/tools.sh" # labs/run has the lab started by a shell that knows this file alone
export labs patience LAB_BACKEND
# A file of what a host says is not larger than 64 MB: who writes more of it is ended, and that is often the connection.
longest_file=131072
# as_long_as_needed PID: its exit status; a signal that we get is passed on to it (hosts_enter), and does not end the waiting.
as_long_as_needed() {
    lab=$1
    while
        wait "$1"
        answer=$?
        kill -0 "$1" 2>/dev/null
    do :; done
    lab=''
    return $answer
}

# ---- around the lab -----------------------------------------------------------------------------------------------------

hosts_enter() {
    check_hosts_file || exit 2
    interrupted='' lab='' status=1 tell=$$
    trap 'interrupted=INT; [ -z "$lab" ] || kill -TERM "$lab" 2>/dev/null' INT
    trap 'interrupted=${interrupted:-TERM}; [ -z "$lab" ] || kill -TERM "$lab" 2>/dev/null' TERM HUP
    exec 5<&0
    open_hosts "$(programs_in "$2")" yes || exit 1
    unready=''
    for host in $list; do host_ready "$host" || { unready=$host && break; }; done
    if [ -z "$unready$interrupted" ]; then
        "$@" <&5 5<&- &
        as_long_as_needed $!
        status=$?
    elif [ "$interrupted" != INT ]; then # a TERM may be a keeper's, whose host is lost
        for host in $list; do [ ! -e "$LAB_PRIVATE/$host.failed" ] || { unready=$host interrupted='' && break; }; done
        [ -n "$interrupted" ] || say_why_not "$unready" >&2
    fi
    close_hosts
    exit $status
}
# programs_in SCRIPT: those of bin/ that it names.
programs_in() { (cd bin && for program in *; do [ ! -f "$program" ] || ! grep -qw -e "$program" "../$1" || echo "$program"; done) 2>/dev/null; }

# open_hosts PROGRAMS TIDY: connects to every host at once; TIDY=yes: what dead runs have left there is cleaned first.
open_hosts() {
    programs=$1 tidy=$2 keepers='' list=$(hosts)
    [ -n "$programs" ] || { echo "labs/run: the programs are not built: make" >&2 && return 1; }
    LAB_PRIVATE=$(mktemp -d /tmp/tcp-lab-run.XXXXXX) || return 1
    export LAB_PRIVATE
    ulimit -f $longest_file 2>/dev/null
    read -r line </proc/$$/stat && printf '%s\n' "$line" "$(readlink /proc/$$/ns/pid)" >"$LAB_PRIVATE/keeper"
    patience=$(setting patience)
    patience=${patience:-20}
    sum=$(cd bin && cksum $programs | cksum)
    for host in $list; do
        (
            keep "$host"
            : >"$LAB_PRIVATE/$host.ended"
        ) &
        keepers="$keepers $!"
    done
}
close_hosts() {
    : >"$LAB_PRIVATE/over"
    for host in $list; do end_recorded TERM "$LAB_PRIVATE/$host.beat"; done
    tries=$((patience * 20)) # then a host that does not let go is let go
    for host in $list; do
        while [ ! -e "$LAB_PRIVATE/$host.ended" ] && [ $tries -gt 0 ]; do sleep 0.05 && tries=$((tries - 1)); done
    done
    for host in $list; do
        (bounded 5 disconnect "$host") >/dev/null 2>&1
        [ -e "$LAB_PRIVATE/$host.ended" ] || end_recorded KILL "$LAB_PRIVATE/$host.reach" "$LAB_PRIVATE/$host.heard"
    done
    wait $keepers
    rm -rf "$LAB_PRIVATE"
}
# noting WHAT COMMAND...: becomes the command; the file WHAT is the record of its process.
noting() {
    read -r line </proc/self/stat && echo "$line" >"$1"
    shift
    "$@"
}

# keep HOST: connect, start the keeper there, and tell it every two seconds that we are still here.
keep() {
    exec </dev/null 5<&-
    trap : INT TERM HUP # to the end of the keeper, whoever interrupts us
    tries=3
    until (noting "$LAB_PRIVATE/$1.reach" bounded 40 connect "$1") >/dev/null 2>"$LAB_PRIVATE/$1.err"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] && [ ! -e "$LAB_PRIVATE/over" ] && grep -q 'kex_exchange_identification\|Connection reset' "$LAB_PRIVATE/$1.err" || {
            : >"$LAB_PRIVATE/$1.failed"
            return 1
        } # sshd turns some away when many come at once (MaxStartups)
        sleep 1
    done
    # csh cannot take words of several lines, and would run each line of ours by itself: these two do nothing
    (noting "$LAB_PRIVATE/$1.reach" bounded 20 reach "$1" sh -c ':
:') >/dev/null 2>"$LAB_PRIVATE/$1.err" || { : >"$LAB_PRIVATE/$1.failed" && return 1; }
    bind_ports='' ours=$PWD/bin
    case $ours in *:*) ours=/dev/null ;; esac # no entry of PATH can hold a colon: what is there is sent
    [ "$1" != vit001 ] || bind_ports=$(setting ports)
    sh -c 'read -r line </proc/$$/stat && echo "$line" >"$1.beat" && trap "kill \$nap; exit" TERM
        while [ -d "/proc/$2" ] && [ ! -e "${1%/*}/over" ] && printf .; do sleep 2 & nap=$! && wait $nap; done' sh "$LAB_PRIVATE/$1" $$ 2>/dev/null |
        (noting "$LAB_PRIVATE/$1.reach" reach "$1" sh -c "$(cat "$labs/script/tools.sh" "$labs/hosts/onhost.sh")" onhost keep "$ours" "$sum" "$programs" "$(column "$1" 3)" "$(column "$1" 4)" "$bind_ports" "$tidy" "$patience" "$(setting sysctls)") \
            2>"$LAB_PRIVATE/$1.err" | {
        (noting "$LAB_PRIVATE/$1.heard" exec dd bs=512 count=200) >"$LAB_PRIVATE/$1.facts" 2>/dev/null
        end_recorded TERM "$LAB_PRIVATE/$1.beat" "$LAB_PRIVATE/$1.reach"
    }
    [ ! -e "$LAB_PRIVATE/over" ] || return 0
    : >"$LAB_PRIVATE/$1.failed"
    [ -z "${tell:-}" ] || kill -TERM "$tell" # the connection is lost: the lab need not find out by waiting
}

# host_ready HOST: its keeper has said so within 30 s; the programs are there, and run; the clocks are compared.
host_ready() {
    is_ready "$1" && return
    ended_silently "$1"
    return 1
}
is_ready() {
    too_late=$(($(date +%s) + 30))
    until grep -qx 'tcp-lab ready' "$LAB_PRIVATE/$1.facts" 2>/dev/null; do
        [ "$(date +%s)" -lt $too_late ] && [ -z "${interrupted:-}" ] && [ ! -e "$LAB_PRIVATE/$1.failed" ] || return 1
        sleep 0.05
    done
    [ -n "$(fact "$1" run)" ] || { echo "the host does not say where its run's directory is" >"$LAB_PRIVATE/$1.err" && return 1; }
    [ -n "$(fact "$1" address)" ] || { echo "its data address is not known: the hosts file has to say it" >"$LAB_PRIVATE/$1.err" && return 1; }
    if [ "$(fact "$1" programs)" != here ] && [ "$(fact "$1" programs)" != copied ]; then
        tar -C bin -czf - $programs 2>/dev/null | (bounded 120 reach "$1" tar -C "$(fact "$1" run)/bin" -xzf -) >/dev/null 2>"$LAB_PRIVATE/$1.err" &
        as_long_as_needed $! || return 1
    fi
    program=${programs%%[!A-Za-z0-9_-]*} there=$(bin_on "$1")
    (bounded 20 reach "$1" "$there/$program" --version) </dev/null >"$LAB_PRIVATE/$1.said" 2>"$LAB_PRIVATE/$1.err" &
    as_long_as_needed $! && [ -z "${interrupted:-}" ] || return 1
    # what start files print would be in every answer, and in every capture
    [ "$(head -c 1000 "$LAB_PRIVATE/$1.said")" = "$("bin/$program" --version)" ] || {
        echo "its shell prints something before every command: $(head -c 100 "$LAB_PRIVATE/$1.said" | head -n 1)" >"$LAB_PRIVATE/$1.err"
        return 1
    }
    clock "$1" >"$LAB_PRIVATE/$1.clock"
}
bin_on() { if [ "$(fact "$1" programs)" = here ]; then printf '%s\n' "$PWD/bin"; else echo "$(fact "$1" run)/bin"; fi; }

ended_silently() {
    [ -z "$(find "$LAB_PRIVATE/$1.facts" -size +90 2>/dev/null)" ] || echo "it talks without end" >"$LAB_PRIVATE/$1.err"
    [ -s "$LAB_PRIVATE/$1.err" ] || echo "the connection has ended" >"$LAB_PRIVATE/$1.err"
}
say_why_not() {
    ended_silently "$1"
    echo "labs/run: $1 cannot be used ($(column "$1" 2)):"
    tail -n 5 "$LAB_PRIVATE/$1.err" | tail -c 1000 | plain_text | sed 's/^/    /'
    printf '%s\n' "labs/run: $(cure_of "$1"). ./labs/doctor --hosts $hosts_file looks at every host and pair."
}
cure_of() {
    case $(tail -c 5000 "$LAB_PRIVATE/$1.err") in
    *"Permission denied (pub"*) echo "put a key of yours there with ssh-copy-id; or ssh-add it, when it has a passphrase" ;;
    *"Host key verification failed"*) echo "ssh there by hand once, and compare the fingerprint with the teacher's: its key is unknown or has changed" ;;
    *"Could not resolve"*) echo "see that the VPN is up: the name is not known here" ;;
    *"timed out"* | *"No route"* | *unreachable*) echo "see that the VPN is up and the host on: nothing answers" ;;
    *refused*) echo "see that sshd runs there, and on which port: this one is refused" ;;
    *"has ended"* | *kex_exchange* | *"from master failed"*) echo "see that the VPN is up, and try again" ;;
    *"No space"*) echo "make room on it: its /tmp is full" ;;
    *"Read-only"*) echo "have its /tmp mounted so that it can be written to: a run needs a directory there" ;;
    *"prints something"*) echo "on the host: in ~/.bashrc (or what your shell reads), print only in interactive shells" ;;
    *"missing on it"*) echo "on the host: sudo apt-get install coreutils findutils mawk procps net-tools tar gzip" ;;
    *Unmatched*) echo "have sh or bash as the login shell there (chsh): what we send is not for csh" ;;
    *"Exec format"* | *noexec* | *"Permission denied"*) echo "see whether it has another processor, or /tmp mounted noexec: our programs cannot run there" ;;
    *"yours alone"*) echo "ask whose it is, or root, to remove it" ;;
    *"has to say it"*) echo "write the host's data address into its line, as \`ip addr\` shows it there" ;;
    *) echo "try by hand what the hosts file says" ;;
    esac
}

# clock HOST: its clock minus ours, and how wrong that can be, in seconds: the fastest of five questions. An answer is
# nanoseconds since 1970, nineteen digits, within eight seconds, or nothing is known.
clock() {
    mkfifo "$LAB_PRIVATE/$1.ask" "$LAB_PRIVATE/$1.tell"
    (bounded 8 reach "$1" sh -c 'while read -r ask; do date +%s%N; done') <"$LAB_PRIVATE/$1.ask" >"$LAB_PRIVATE/$1.tell" 2>/dev/null &
    lab=$! # a signal that we get ends it
    exec 6>"$LAB_PRIVATE/$1.ask" 7<"$LAB_PRIVATE/$1.tell"
    best='' offset=''
    for round in 1 2 3 4 5; do
        before=$(date +%s%N)
        echo "$round" >&6
        read -r there <&7 || break
        after=$(date +%s%N)
        case $there in *[!0-9]*) break ;; [1-8]*) [ ${#there} = 19 ] || break ;; *) break ;; esac
        if [ -z "$best" ] || [ $((after - before)) -lt "$best" ]; then
            best=$((after - before)) offset=$((there - (after + before) / 2))
        fi
    done
    exec 6>&- 7<&-
    kill $lab 2>/dev/null
    wait $lab 2>/dev/null
    lab=''
    [ -z "$best" ] || awk -v o="$offset" -v b="$best" 'BEGIN { printf "%.6f %.6f\n", o / 1e9, b / 2e9 }'
}

# ---- inside the lab -----------------------------------------------------------------------------------------------------

hosts_up() {
    remote=yes interface='' capture_filter='' can_capture=no can_root=no one_stack='' no_capture=''
    first_port=$(fact vit001 first_port)
    [ -n "$first_port" ] || { echo "no twenty free ports in a row on vit001" && return 1; }
    last_port=$((first_port + 19)) capture_filter="tcp portrange $first_port-$((first_port + 19))"
    for host in $(hosts); do
        run=$(fact "$host" run) raise=''
        case $(fact "$host" capture) in
        yes) ;;
        sudo) raise="sudo -n setpriv --reuid $(fact "$host" uid) --regid $(fact "$host" gid) --init-groups --inh-caps +net_raw --ambient-caps +net_raw env TCP_LAB_RUN=$run" ;;
        *)
            no_capture="$no_capture $host"
            say "!! NO PACKETS from $host, states only: $(sed -n 's/^tcp-lab capture no//p' "$LAB_PRIVATE/$host.facts" | plain_text | cut -c 1-120)"
            ;;
        esac
        [ "$host" != vit001 ] || [ "$no_capture" ] || can_capture=yes
        address=$(fact "$host" address)
        case $host in vit00[123]) eval "$host=\$address" ;; esac # what labs call these three; another may be called as a variable of ours
        eval "address_$host=\$address run_$host=\$run bin_$host=\$(bin_on $host) raise_$host=\$raise interface_$host=\$(fact $host interface)"
        [ ! -s "$LAB_PRIVATE/$host.clock" ] || echo "$host $(cat "$LAB_PRIVATE/$host.clock")" >>"$LAB_LOG/clocks.txt"
    done
    can_sysctl=yes
    for host in vit001 vit002 vit003; do [ "$(fact "$host" sysctls)" = yes ] || can_sysctl=no; done
    bind_address=$(setting bind) patience=$(setting patience)
    patience=${patience:-20}
}

# host_exec HOST COMMAND...: become COMMAND on HOST, for $limit seconds at most (20). The shell there turns a death by signal into a status, as every shell does.
host_exec() {
    to=$1
    shift
    [ "$1" != sysctl ] || set -- sh -c "$(cat "$labs/script/tools.sh" "$labs/hosts/onhost.sh")" onhost "$@" # saved there, put back by the keeper
    eval "set -- \"\$to\" env \"TCP_LAB_RUN=\$run_$to\" \"TZ=\$TZ\" sh -c 'PATH=\$0:\$PATH:/usr/sbin:/sbin; \"\$@\"; exit \$?' \"\$bin_$to\" \"\$@\""
    bounded "${limit:-20}" reach "$@"
}
