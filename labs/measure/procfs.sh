# procfs.sh - what /proc says of a server that listens on $port. For labs/compare.

children() { cat /proc/"$1"/task/*/children 2>/dev/null; }
tree() {
    echo "$1"
    for below in $(children "$1"); do tree "$below"; done
}
family() { echo "$1" $(children "$1"); }
# Processor time in ticks: of the process, of the children it has reaped, and of those that live.
ticks() { for pid in $(family "$1"); do cat /proc/"$pid"/stat; done 2>/dev/null | sed 's/.*) //' | awk '{ n += $12 + $13; if (NR == 1) n += $14 + $15 } END { print n + 0 }'; }
listens() { awk -v port=":$(printf %04X "$port")\$" '$4 == "0A" && $2 ~ port { found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6; }
# ports_of PID: where it listens, or what it has started.
ports_of() {
    sockets=$(for pid in $(tree "$1"); do ls -l /proc/"$pid"/fd; done 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p' | tr '\n' ' ')
    awk -v sockets=" $sockets" '$4 == "0A" && index(sockets, " " $10 " ") { sub(".*:", "", $2); print $2 }' /proc/net/tcp /proc/net/tcp6 |
        sort -u | while read -r hex; do printf '%d ' "0x$hex"; done | sed 's/ $//'
}
# unclosed: how many connections of $port the server has not closed, though their client has, for two seconds; nothing for none.
unclosed() {
    tries=100
    while
        left=$(awk -v port=":$(printf %04X "$port")\$" '$4 == "08" && $2 ~ port { n++ } END { print n }' /proc/net/tcp /proc/net/tcp6)
        [ -n "$left" ] && [ $tries -gt 0 ]
    do
        tries=$((tries - 1))
        sleep 0.02
    done
    echo "$left"
}
# A line for now: processes, threads, kB, and Recv-Q of the listening sockets, which /proc/net/tcp has before all others. With
# as few processes of our own as can be: they take their time, from the server too.
sample() {
    {
        head -n 99 /proc/net/tcp /proc/net/tcp6
        cat $(family "$1" | sed 's,[0-9][0-9]*,/proc/&/status /proc/&/smaps_rollup,g')
    } 2>/dev/null | awk -v port=":$(printf %04X "$port")\$" '
        function number(hex, i, n) { for (i = 1; i <= length(hex); i++) n = n * 16 + index("123456789ABCDEF", substr(hex, i, 1)); return n }
        $4 == "0A" && $2 ~ port { sub(".*:", "", $5); queue += number($5) }
        $1 == "Threads:" { processes++; threads += $2 }
        $1 == "Pss:" { kb += $2 }
        END { print processes + 0, threads + 0, kb + 0, queue + 0 }'
}
