# client.sh - what the check of a client is written in: the verbs of the labs and of check.sh, and these. The graded program is
# `ana`, on vit002: `type`, `send` and `give` go to its standard input, `eof` ends that; `freeze` and `thaw` are for it.
#
#   serves COMMAND...       one of the suite's servers, `server` on vit001, listens on $PORT
#   by_hand                 the same with sockcalls(1): what the server does is typed
#   calls LINE...           calls of that server, each when the one before has returned
#   ask                     ana, shut in (sandbox), is to connect to vit001
#   ask_at ADDRESS NAME     the program once more, as NAME: is to connect to this address
#   hold | let_go           the server is stopped (SIGSTOP), and goes on
#   quiet                   until all of them sleep and nothing moves any more, or until ana has ended
#   ended                   a test: it has; fails_plainly: with an exit status that is not 0, and a message
#   on_screen LINE...       a test: it has printed these lines, in this order. In each a prompt may stand before
#   unread HOST             how many bytes wait in the connected socket there

. "$labs/checks/check.sh"
evidence_hosts='vit001 vit002'
early='' at_end=''
export GRADE_INPUT=yes

check() {
    asks "$1"
    case $check_name in 5[2-68]-*) suspect 01 "it ends before its input does: it is not there for the next line" was_early ;; esac
    suspect 09 "at the end of its input it says nothing: no shutdown(SHUT_WR), no close(). The server waits for its FIN, and it for the server's" no_fin
    suspect 16 "a line is not sent when it has been typed: the client waits until its input ends, or a buffer is full" nothing_sent
}

serves() {
    start server vit001 "$@"
    expect server says "listening on"
}
by_hand() {
    start server vit001 sockcalls --log
    calls "socket inet" "bind 3 0.0.0.0 $PORT" "listen 3 5"
    expect vit001 has 1 LISTEN
}
calls() {
    for call; do
        returned=$(count_returned)
        type server "$call"
        expect that "the server: $call" at_least count_returned $((returned + 1))
    done
}
count_returned() { grep -c ') = ' "$LAB_LOG/server.out"; }

ask() { ask_at "${address_vit001:-$vit001}" ana; }
ask_at() {
    serve_as=$2 servers=''
    launch_graded "$2" vit002 "$1"
}
has_exited() { [ -n "$(status_of "$1")" ]; }
ended() { has_exited ana; }
signalled() { at_least status_of 129 ana; }
complains() { [ -s "$LAB_LOG/ana.err" ] || grep -qiE 'error|exception|fail|refused|reset|cannot|unable|unknown|not known|no such|invalid' "$LAB_LOG/ana.out"; }
says_nothing() { between status_of 1 124 ana && [ "$(bytes_printed ana)" = 0 ] && [ ! -s "$LAB_LOG/ana.err" ]; }
fails_plainly() { between status_of 1 124 ana && complains; }
eof() {
    ! has_exited "$1" || early=yes
    at_end=yes
    close_input "$1"
}

server_processes() { pid_of server && pgrep -P "$(pid_of server)"; }
hold() { kill -STOP $(server_processes); }
let_go() { kill -CONT $(server_processes); }
clients_asleep() { for pid in $(server_processes); do cat "/proc/$pid/stat"; done 2>/dev/null | sed 's/.*) //' | awk '$1 ~ /[RD]/ { n++ } END { exit n > 0 }'; }
quiet() { still=0 && settles 15 10 ended_or_still || true; }
# Of a client that never sleeps: 40 looks, and nothing has moved.
ended_or_still() {
    ! ended || return 0
    now_open=$(rows)
    if clients_asleep && [ "$now_open" = "${were_open:-}" ]; then still=$((still + 1)); else still=0; fi
    were_open=$now_open
    [ $still -ge 40 ]
}

connected() { says server " accepted " || says server "accept(3) = "; }
unread() { sockets "$1" | awk -v own=":$PORT\$" -v host="$1" '$6 != "LISTEN" && (host == "vit001" ? $4 : $5) ~ own { n += $2 } END { print n + 0 }'; }
on_screen() {
    printf '%s\n' "$@" >"$LAB_LOG/wanted"
    has_lines "$LAB_LOG/wanted"
}
# Each line of the file is the end of a line on the screen, one after the other.
has_lines() {
    LC_ALL=C awk 'NR == FNR { line[NR] = $0; n = NR; next }
        { sub(/\r$/, "") }
        found < n && substr($0, length($0) - length(line[found + 1]) + 1) == line[found + 1] { found++ }
        END { exit found < n }' "$1" "$LAB_LOG/ana.out"
}

# ---- why ---------------------------------------------------------------------------------------------------------------------

is_lost() { false; } # a client ends
what_else() {
    last=$(cat "$LAB_LOG/$serve_as.out" "$LAB_LOG/$serve_as.err" 2>/dev/null | tail -n 1 | cut -c 1-120)
    code=$(status_of "$serve_as")
    case $code in
    125) verdict 1 failed "the grader could not start it: $last" ;;
    126 | 127) verdict 1 failed "it cannot be run: $last" ;;
    141) verdict 1 failed "SIGPIPE ended the client without a word: it wrote to a connection that the server had left. Ignore it, or send() with MSG_NOSIGNAL" 07 ;;
    152) verdict 1 failed "the client was ended: it had used 60 seconds of processor time" 16 ;;
    153) verdict 1 failed "the client was ended: it had written a file of more than 32 MB" 16 ;;
    1[3-9]?) verdict 1 failed "the client was killed by SIG$(kill -l "$code" 2>/dev/null)${last:+; it had said: $last}" ;;
    esac
}
# What is on the screen is right as far as it goes, or it left while the server still wrote.
cut_off() { ended && ! signalled && { says server " reset " || is_prefix ana; }; }
was_early() { [ -n "$early" ] && ! signalled; }
nothing_sent() { waits && connected && ! says server " read " && ! says server " closed " && equals unread 0 vit001; }
# All of its input is sent, both sides have read what came, and no FIN has left.
no_fin() { [ -n "$at_end" ] && waits && equals count_state 1 vit002 ESTABLISHED && equals unread 0 vit001 && equals unread 0 vit002 && all_sent; }
all_sent() { [ ! -e "$LAB_LOG/sent" ] || equals bytes_read "$(wc -c <"$LAB_LOG/sent")"; }
bytes_read() { sed -n 's/.* read .*bytes=\([0-9]*\).*/\1/p' "$LAB_LOG/server.err" | awk '{ n += $1 } END { print n + 0 }'; }
runs_on() { ! ended && ! asleep; }
waits() { ! ended && asleep; }
# It is blocked in a write, and does not read what is there for it.
writes_only() { waits && at_least unread 1 vit002; }
