# coach.sh - sourced by byhand.sh: what the coach says, the keys that it hears, and how it looks around. Nobody's history is read: what
# counts are the kernels' tables (ss), /proc, and the capture (wire).
#
#   todo TEXT... | hint_is TEXT | command_is TEXT   what is to be done now; what helps after a while; the exact command after a longer one
#   await LOOK...            until LOOK... succeeds; it may say in $differs what it sees instead. Keys work meanwhile
#   look_around              $LAB_LOG/.rows: HOST STATE RECV-Q SEND-Q LOCAL PEER PID PROGRAM of each socket of the three hosts;
#                            $LAB_LOG/.wires: the connections in vit001's capture, as `wire --list` prints them
#
# LAB_HINT_AFTER (20): seconds until the hint; the exact command comes after three times as many, a way on after six times.

# ---- saying ----------------------------------------------------------------------------------------------------------

# measure: lines are as long as the terminal is wide; to read, 100 columns are enough
measure() {
    columns=$(stty size) columns=${columns#* }
    [ "$columns" -ge 40 ] || columns=80
    [ "$columns" -le 100 ] || columns=100
}
measure
# folded: at blanks; what goes on is indented. A word that is longer stays whole: it is there to be copied.
folded() {
    awk -v width="$columns" '{
        while (length($0) > width && (match(substr($0, 1, width + 1), /[^ ] +[^ ]*$/) || match($0, /[^ ] +/))) {
            print substr($0, 1, RSTART)
            $0 = substr($0, RSTART + 1)
            sub(/^ */, "    ")
            if ($0 ~ /^ *$/) next
        }
        print
    }'
}

exactly() { printf '   %s\n' "$*" | visible; } # in one line, to be copied
# task_is TEXT: what the line below says in tmux, or the two lines
task_is() {
    [ -n "${LAB_TMUX:-}" ] || return 0
    task_lines=$(printf '%s\n' "$*" | visible | folded | sed 's/#/##/g')
    more=$(printf '%s\n' "$task_lines" | sed -n 2p)
    in_tmux set -g @task "${task_lines%%"$newline"*} " ';' set -g @more "$more " ';' set -g status $((${#more} > 0 ? 3 : 2))
}

todo() {
    measure
    say ">> $*"
    task=$* hint='' command=''
    task_is ">> $*"
}
hint_is() { hint=$*; }
command_is() { command=$*; } # how it is typed: HOST$ WORDS, NAME< LINE

# In tmux (terminals): a pane for each host, side by side where the screen is wide enough, else one behind the other.
in_tmux() { tmux -S "$LAB_TMUX" "$@" 2>/dev/null; }
open_terminals() {
    size=$(stty size) lines=${size% *} wide=''
    [ "${size#* }" -lt 160 ] || [ "$lines" -lt 40 ] || wide=yes
    n=2
    for terminal_host in vit001 vit002 vit003; do
        case $remote,$one_stack in
        ,) at_host="labs/run --enter $terminal_host --logs $(as_typed "${LAB_LOG%/*/*}")${LAB_STUDENT:+ --student $(as_typed "$LAB_STUDENT")}" ;;
        *,) at_host=${SHELL:-sh} ;;
        *) at_host="PATH=bin:\$PATH PS1='$terminal_host\$ ' sh" ;;
        esac
        at_host="$at_host; echo '(ended; F$n starts it again)'"
        if [ -n "$wide" ]; then
            pane=$(in_tmux split-window -d -h -P -F '#{pane_id}' -c "$PWD" "$at_host")
        else
            pane=$(in_tmux new-window -d -n $terminal_host -P -F '#{pane_id}' -c "$PWD" "$at_host")
        fi
        in_tmux set -p -t "$pane" remain-on-exit on
        in_tmux bind -n F$n select-window -t "$pane" '\;' select-pane -t "$pane" '\;' if-shell -F -t "$pane" '#{pane_dead}' "respawn-pane -t $pane"
        in_tmux bind -n F$((n + 4)) select-window -t "$pane" '\;' split-window -t "$pane" -c "$PWD" "$at_host"
        n=$((n + 1))
    done
    [ -z "$wide" ] || in_tmux select-layout main-vertical
    [ -z "$wide" ] || in_tmux resize-pane -t coach.0 -x 80
}

# ---- keys ------------------------------------------------------------------------------------------------------------

keys_help() {
    say "   keys: r what is to be done   c the exact command   l the picture so far" \
        "         s let the script do the step   b begin it again, on a new port" \
        "         e the program has ended by itself   Enter go on   q end   ? this"
}
# One key at a time, without echo; a key that does not come within 0.2 s is none. Enter is CR: $() would eat LF. Ctrl-S and Ctrl-Z
# are keys like others: nobody would know what has become of the coach.
keys_on() { stty -icanon -echo -icrnl -ixon susp undef min 0 time "${LAB_KEY_TIME:-2}"; }
keys_off() { stty icanon echo icrnl; }
hands_off() {
    keys_off
    aloud=yes
    rm -f "$LAB_LOG"/.[a-z]*
    [ $status != 0 ] || rm -f "$LAB_LOG/resume.txt"
}
next_key() { pressed_key=$(dd bs=1 count=1 2>/dev/null); }
# What was pressed just as it was seen is not meant for what comes next.
drop_keys() {
    next_key
    while [ -n "$pressed_key" ]; do next_key; done
}
time_now() {
    read -r now rest </proc/uptime
    now=${now%.*}
}

# pressed: what a key asks for that means the same everywhere; fails for the others, which are the wait's own.
pressed() {
    case $pressed_key in
    r) say ">> $task" ;;
    c) exactly "$command" ;;
    l) picture_so_far ;;
    b) begin_again "$steps" ;;
    s) begin_again $((steps + 1)) ;;
    q) end_by_hand ;;
    '?') keys_help ;;
    *) return 1 ;;
    esac
}

await() {
    time_now
    since=$now told='' suspected='' asked_for='' helped=0 ended_itself='' went_on='' predicted_now='' hint_after=${LAB_HINT_AFTER:-20}
    look_again
    while :; do
        changed=''
        ! has_changed || changed=yes
        case $changed$remote,$1 in
        ,seen_gone | ,seen_signalled | ,seen_set) changed=perhaps ;; # no socket has to do with it, and /proc is near
        esac
        if [ -n "$changed" ]; then
            differs='' once_file='' rows_are_fresh=''
            if "$@"; then
                drop_keys
                task_is "F1: seen; the coach goes on"
                return
            fi
            [ -n "$differs" ] || [ -z "$acting" ] || [ "$changed" = perhaps ] || watch_out
            [ -z "$differs" ] || [ "$differs" = "$told" ] || tell_what_differs
            asked_for=''
        fi
        next_key
        case $pressed_key in
        '') ;;
        "$carriage_return") went_on=yes asked_for=yes && look_again ;;
        e) ended_itself=yes && look_again ;;
        *) pressed ;;
        esac
        time_now
        if [ $helped = 0 ] && [ $((now - since)) -ge "$hint_after" ] && [ -n "$hint" ]; then
            say "   hint: $hint"
            helped=1
        fi
        if [ $helped -lt 2 ] && [ $((now - since)) -ge $((hint_after * 3)) ] && [ -n "$command" ]; then
            exactly "$command"
            helped=2
        fi
        if [ $helped = 2 ] && [ $((now - since)) -ge $((hint_after * 6)) ]; then
            say "   (no hurry. s lets the script do this step; q ends, and --resume goes on here another day)"
            helped=3
        fi
    done
}
# tell_what_differs: it is told when it has lasted for a second, or when a key asks for it: what is half done differs, too.
tell_what_differs() {
    differs_at=$(centiseconds)
    if [ "$differs" != "$suspected" ]; then suspected=$differs suspected_at=$differs_at; fi
    [ -n "$asked_for" ] || [ $((differs_at - suspected_at)) -ge 100 ] || { look_again && return; }
    told=$differs
    say "!! $differs"
    [ -z "$once_file" ] || printf '%s\n' "$once_line" >>"$LAB_LOG/$once_file"
    task_is "!! $differs"
}
is_told_once() { once_file=$1 once_line=$2; }
look_again() { rm -f "$LAB_LOG/.looked"; }
carriage_return=$(printf '\r') newline='
' acting='' rows_are_fresh=''

# act LOOK...: the student's action; what the state log has seen since the one before counts for it.
act() {
    rm -f "$LAB_LOG"/.*.answer
    mark=${done_at:-0} acting=yes
    await "$@"
    acting='' done_at=$(date +%s.%N)
}

# has_changed: a state log or the capture has grown since the last look; at the latest after twenty keys' times there is one anyway.
has_changed() {
    idle=$((${idle:-0} + 1))
    [ -e "$LAB_LOG/.looked" ] || idle=20
    # shellcheck disable=SC3013 # POSIX has it since 2024, and every sh that labs run with
    for grown in "$LAB_LOG"/*.states "$LAB_LOG"/vit001.pcap; do [ ! "$grown" -nt "$LAB_LOG/.looked" ] || idle=20; done
    [ $idle -ge 20 ] || return 1
    idle=0
    : >"$LAB_LOG/.looked"
}

went_on() { [ -n "$went_on" ]; } # for what cannot be seen from outside

# yes_or_no QUESTION: $answer is y, n, or nothing
yes_or_no() {
    question "$1" "y, n; Enter: not looked"
    answer=none command='' task=$1
    while [ "$answer" = none ]; do
        next_key
        case $pressed_key in
        y | n) answer=$pressed_key ;;
        "$carriage_return") answer='' ;;
        '') ;;
        *) pressed ;;
        esac
    done
    printf '%s\n' "$answer"
    printf '   ? %s %s\n' "$1" "${answer:--}" | visible >>"$LAB_LOG/transcript.txt"
}
question() {
    task_is "?? F1: $1"
    printf '   ? %s\n' "$1" | visible | folded
    printf '     (%s) ' "$2"
}

picture_so_far() (
    [ -s "$LAB_LOG/vit001.pcap" ] || { say "   (no capture here, no picture)" && return; }
    set --
    for host in vit001 vit002 vit003; do eval "set -- \"\$@\" --host \"\$address_$host=$host\""; done
    for file in "$LAB_LOG"/*.states; do [ ! -s "$file" ] || set -- "$@" --states "$file"; done
    measure
    ladder --ascii --width $((columns > 60 ? columns : 60)) "$@" "$LAB_LOG/vit001.pcap" 2>/dev/null | visible | tail -n 60
)

# ---- looking ---------------------------------------------------------------------------------------------------------

look_around() {
    rows_are_fresh=yes
    look_at_hosts
}
look_at_hosts() (
    for host in ${one_stack:+vit001} $([ -n "$one_stack" ] || echo vit001 vit002 vit003); do
        (host_exec "$host" ss -Htanp) </dev/null 2>/dev/null | LC_ALL=C awk -v host="$host" '
            {
                while (match($0, /\[::ffff:[0-9.]+]/)) $0 = substr($0, 1, RSTART - 1) substr($0, RSTART + 8, RLENGTH - 9) substr($0, RSTART + RLENGTH)
                gsub(/%[a-z0-9]+/, "")
                sub("ESTAB", "ESTABLISHED", $1); gsub("-", "_", $1); sub("WAIT_", "WAIT", $1)
                pid = "-"; name = "-"; rest = $0 # several processes: the oldest is the one that was started
                while (match(rest, /\("[^"]*",pid=[0-9]+/)) {
                    found = substr(rest, RSTART, RLENGTH); rest = substr(rest, RSTART + RLENGTH)
                    number = found; sub(/.*pid=/, "", number)
                    if (pid == "-" || number + 0 < pid + 0) { pid = number; name = found; sub(/^\("/, "", name); sub(/".*/, "", name); gsub(/[^!-~]/, "?", name) }
                }
                print host, $1, $2, $3, $4, $5, pid, name
            }'
    done >"$LAB_LOG/.rows"
    [ ! -s "$LAB_LOG/vit001.pcap" ] || wire --list "$LAB_LOG/vit001.pcap" >"$LAB_LOG/.wires" 2>/dev/null
    [ -e "$LAB_LOG/.wires" ] || : >"$LAB_LOG/.wires"
)

# as_typed WORD...: as one types it in a shell
as_typed() (
    typed=''
    for word; do
        case $word in
        *[!A-Za-z0-9_./:=,@%+-]* | '') word="'$(printf '%s' "$word" | sed "s/'/'\\\\''/g")'" ;;
        esac
        typed="$typed $word"
    done
    printf '%s' "${typed# }"
)
