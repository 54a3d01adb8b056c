# evidence.sh - sourced by run: what there is to be seen, a line each, and which of it the student means. Nobody's history is read. And by
# ../../marking/quizzes, where all of it is in a hand-in's $LAB_LOG.
#
#   rows         now, of each socket of vit001, and each process that has it open: STATE HERE THERE QUEUE PID FD NAME; ports of here and there, Recv-Q, states
#                as netstat spells them
#   processes    now, of the server: PID PARENT STATE SOCKETS MASK; the mask of ignored signals as /proc has it
#   segments_in  the capture of vit001: NUMBER FROM SYN FIN RST LEN, and of the connection until then C S CFIN AGAIN: bytes of both sides, whether
#                the client's FIN was there, whether this SYN was
#   look N       writes seen-N.txt: the server's process, how many segments the capture has, the rows and the processes
#   shows SPECIMEN TEXT N  true: TEXT names something that showed this mistake then; otherwise $seen_instead says what is wrong

rows() {
    (host_exec vit001 ss -Htanp) </dev/null 2>/dev/null | visible | awk '{
        sub("ESTAB", "ESTABLISHED", $1); gsub("-", "_", $1); sub("WAIT_", "WAIT", $1)
        sub(/.*:/, "", $4); sub(/.*:/, "", $5); users = 0
        for (rest = $0; match(rest, /\("[^"]*",pid=[0-9]+,fd=[0-9]+/); rest = substr(rest, RSTART + RLENGTH)) {
            split(substr(rest, RSTART + 2, RLENGTH - 2), user, /",pid=|,fd=/)
            gsub(" ", "_", user[1]); users++
            print $1, $4, $5, $2, user[2], user[3], user[1]
        }
        if (!users) print $1, $4, $5, $2, "-", "-", "-"
    }'
}
processes() {
    cat /proc/[0-9]*/status 2>/dev/null | awk -v main="$main" '
        $1 == "Name:" { name = $2 }
        $1 == "State:" { state = $2 }
        $1 == "Pid:" { pid = $2 }
        $1 == "PPid:" { parent = $2 }
        $1 == "SigIgn:" && name == "server" && (pid == main || parent == main) { print pid, parent, state, $2 }' |
        while read -r pid parent state ignored; do
            echo "$pid $parent $state $(find "/proc/$pid/fd" -lname 'socket:*' 2>/dev/null | wc -l) $ignored"
        done
}
look() {
    {
        echo "server $main"
        echo "segments $(captured | wc -l)"
        rows | sed 's/^/row /'
        processes | sed 's/^/process /'
    } >"$LAB_LOG/seen-$1.txt"
}
# seen KEY N: what seen-N.txt says of it.
seen() { head -c 1000000 "$LAB_LOG/seen-$2.txt" 2>/dev/null | visible | sed -n "s/^$1 //p"; }
captured() { tcpdump -n "$@" -r "$LAB_LOG/vit001.pcap" tcp 2>/dev/null | visible; }
segments_in() {
    captured -tt | awk -v port="$PORT" '{
        here = $3; there = $5; sub(/:$/, "", there); flags = $7
        from = here ~ "\\." port "$" ? "S" : "C"; who = from == "S" ? there : here
        len = match($0, /length [0-9]+/) ? substr($0, RSTART + 7, RLENGTH - 7) : 0
        syn = flags ~ /S/; fin = flags ~ /F/; rst = flags ~ /R/
        print NR, from, syn, fin, rst, len, c[who] + 0, s[who] + 0, cfin[who] + 0, syns[who] + 0
        if (from == "C") { c[who] += len; cfin[who] += fin; syns[who] += syn } else s[who] += len
    }'
}
# named_segment TEXT N: the number of the segment that is meant, of the first N. A time is looked for in the capture: hosts, interfaces and time zones differ,
# so the nearest counts that has the same flags where TEXT has some, and is not further than 10 ms away.
named_segment() {
    captured -tt | head -n "$2" | TEXT=$1 awk '
        BEGIN {
            text = ENVIRON["TEXT"]
            if (match(text, /[0-9]?[0-9]:[0-9][0-9]:[0-9][0-9]\.[0-9]+/)) {
                split(substr(text, RSTART, RLENGTH), t, ":"); asked = (t[2] % 15) * 60 + t[3]; nearest = 0.01
            } else if (match(text, /[0-9]+/)) print substr(text, RSTART, RLENGTH)
            flags = match(text, /\[[SFRPEWU.]+\]/) ? substr(text, RSTART, RLENGTH) : ""
        }
        nearest && (flags == "" || index($0, "Flags " flags)) {
            split($1, t, "."); off = t[1] % 900 + ("0." t[2]) - asked; if (off < 0) off = -off
            if (off < nearest) { nearest = off; number = NR }
        }
        END { if (number) print number }'
}

# what_shows SPECIMEN N: of all that was to be seen then what shows it: the words that name it, a line each.
what_shows() {
    main=$(seen server "$2" | grep -x -m 1 '[0-9]*') until=$(seen segments "$2" | grep -x -m 1 '[0-9]*')
    condition=$(field evidence "$1")
    kind=${condition%% *} condition=${condition#* }
    words=$(printf '%s' "${condition%% : *}" | tr ' ' ,) condition=${condition#* : }
    case $kind in
    row) seen row "$2" | awk -v port="$PORT" -v main="$main" "{ state = \$1; here = \$2; there = \$3; queue = \$4; pid = \$5; fd = \$6; name = \$7; end = state == \"LISTEN\" ? here : there } $condition { print $words }" ;;
    process) seen process "$2" | awk -v main="$main" "{ pid = \$1; parent = \$2; state = \$3; sockets = \$4; mask = \$5 } $condition { print $words }" ;;
    segment) segments_in | head -n "${until:-0}" | awk "{ number = \$1; from = \$2; syn = \$3; fin = \$4; rst = \$5; len = \$6; c = \$7; s = \$8; cfin = \$9; again = \$10 } $condition { print $words }" ;;
    esac
}
# words_of TEXT: a row of netstat or ss, of ps, a descriptor's path, cut into its words; states as netstat spells them, a process's state by
# its letter, numbers without zeros before them.
words_of() {
    printf '%s' "$1" | cut -c 1-300 | tr -c 'A-Za-z0-9_-' '\n' | awk '{
        $0 = toupper($0); gsub("-", "_"); sub("WAIT_", "WAIT"); sub(/^ESTAB$/, "ESTABLISHED"); sub(/^DEFUNCT$/, "Z")
        if ($0 ~ /^[RSDZTI][<NLS]*$/) $0 = substr($0, 1, 1)
        sub(/^0+/, "")
        if ($0 != "") print
    }'
}
shows() {
    candidates=$(what_shows "$1" "$3")
    case $(field evidence "$1") in
    segment*) named=$(named_segment "$2" "$(seen segments "$3" | grep -x -m 1 '[0-9]*' || echo 0)") ;;
    *) named=$(words_of "$2") ;;
    esac
    seen_instead="There is something that shows it, and this is not it."
    if [ -z "$candidates" ]; then
        seen_instead="Nothing of it can be seen there now. Make it happen, and look again."
    elif [ "$(printf '%s\n' "$named" | grep -c '^[0-9]')" -gt 24 ]; then
        seen_instead="Name one row, one process, or one segment."
    else
        printf '%s\n' "$candidates" | while read -r first second; do is_named "$first" && is_named "${second:-$first}" && echo yes; done | grep -q yes
        return
    fi
    return 1
}
is_named() { printf '%s\n' "$named" | grep -qxF -e "$(words_of "$1")"; }
