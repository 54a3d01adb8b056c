# eyes.sh - looks at the whole family of a server: all processes that came of it, wherever they have detached to. Sourced by
# check.sh; a look prints what is so now (script/looks.sh), and they work with expect and a comparison as all looks do.
#
#   family                     a line for each process: pid, parent, state, threads, kB of memory, name
#   processes, threads         how many there are, zombies not counted; zombies: how many of these
#   descriptors                how many descriptors the family has open
#   memory                     kB in memory, of all
#   asleep                     a test: nobody of the family runs or waits for a disk
#   running                    in how many of 20 looks, 50 ms apart, somebody ran
#   waits_in PID               where in the kernel it sleeps
#   listener                   the pid of the oldest process that listens on $PORT
#   accepted                   how many connections of $PORT have a descriptor in some process: they have been accepted
#   owners NAME                the pids that have the socket open that is connected to client NAME

# The first process of the sandbox is ours, the family are its descendants.
root_of() { if [ "$LAB_BACKEND" = netns ]; then pgrep -P "$(pid_of "$1")"; else pid_of "$1"; fi; }
family() { family_of $servers; }
family_of() {
    cat /proc/[0-9]*/status 2>/dev/null | awk -v roots="$(for s; do root_of "$s"; done | paste -s -d ' ' -)" '
        $1 == "Name:" { name = $2; kb = 0 }
        $1 == "State:" { s = $2 }
        $1 == "Pid:" { pid = $2 }
        $1 == "PPid:" { parent[pid] = $2; state[pid] = s; names[pid] = name }
        $1 == "VmRSS:" { kb = $2 }
        $1 == "Threads:" { threads[pid] = $2; memory[pid] = kb }
        END {
            for (n = split(roots, word, " "); n; n--) root[word[n]] = 1
            for (pid in parent) {
                for (p = pid; (p in parent) && !(p in root); p = parent[p]) continue
                if ((p in root) && !(pid in root) && !(state[pid] == "Z" && parent[pid] in root)) print pid, parent[pid], state[pid], threads[pid], memory[pid], names[pid]
            }
        }' | sort -n
}
pids() { pids_of $servers; }
pids_of() { family_of "$@" | awk '$3 != "Z" { print $1 }'; }
processes() { family | awk '$3 != "Z" { n++ } END { print n + 0 }'; }
threads() { family | awk '$3 != "Z" { n += $4 } END { print n + 0 }'; }
zombies() { family | awk '$3 == "Z" { n++ } END { print n + 0 }'; }
memory() { family | awk '{ n += $5 } END { print n + 0 }'; }
descriptors() { for pid in $(pids); do ls "/proc/$pid/fd"; done 2>/dev/null | wc -l; }
asleep() { for pid in $(pids); do cat "/proc/$pid/task/"*/stat; done 2>/dev/null | sed 's/.*) //' | awk '$1 ~ /[RD]/ { n++ } END { exit n > 0 }'; }
# Who has been ended does not sleep.
running() {
    n=0
    for look in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        { asleep && [ -n "$(pids)" ]; } || n=$((n + 1))
        sleep 0.05
    done
    echo $n
}
waits_in() { cat "/proc/$1/wchan" 2>/dev/null; }

rows() { (host_exec vit001 ss -Htanp "sport = :$PORT") </dev/null 2>/dev/null | visible; }
# It gets signals: a program may be called pid=1, and what is no process of the family is none of ours.
listener() { rows | grep '^LISTEN' | grep -o 'pid=[0-9]*' | sed 's/pid=//' | grep -xF -e "$(pids)" | sort -n | head -n 1; }
accepted() { rows | grep -v '^LISTEN' | grep -c 'pid='; }
owners() { rows | awk -v a="$(local_of "$1")" '$5 == a' | grep -o 'pid=[0-9]*' | sed 's/pid=//' | sort -un; }

# The family as a table, with what each of them waits for and holds: evidence.
show_family() {
    echo "    pid  parent state threads     kB sockets  sleeps in             name"
    family | head -n 12 | while read -r pid parent state threads kb name; do
        printf '%7s %7s %5s %7s %6s %7s  %-21s %s\n' "$pid" "$parent" "$state" "$threads" "$kb" \
            "$(find "/proc/$pid/fd" -lname 'socket:*' 2>/dev/null | wc -l)" "$(waits_in "$pid")" "$name"
    done
}
