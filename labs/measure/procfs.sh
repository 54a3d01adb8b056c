# procfs.sh - what /proc says of a server that listens on $port. For labs/compare.

children() { cat /proc/"$1"/task/*/children 2>/dev/null; }
family() { echo "$1" $(children "$1"); }
# Processor time in ticks: of the process, of the children it has reaped, and of those that live.
ticks() { for pid in $(family "$1"); do cat /proc/"$pid"/stat; done 2>/dev/null | sed 's/.*) //' | awk '{ n += $12 + $13; if (NR == 1) n += $14 + $15 } END { print n + 0 }'; }
listens() { awk -v port=":$(printf %04X "$port")\$" '$4 == "0A" && $2 ~ port { found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6; }
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
