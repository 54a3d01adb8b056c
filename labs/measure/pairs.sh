# pairs.sh - A and B take turns, a pair in each round, and what counts is the ratio of the pairs. For labs/bench, which sets
# rounds, only (a part of the rows' names) and tmp.

heading='' rows=0
headline() { heading=$1; } # printed with the first row below it
# row NAME A B: A and B are commands that print one number each, or nothing if they cannot.
row() {
    case $1 in
    *"$only"*) ;;
    *) return 0 ;;
    esac
    [ -z "$heading" ] || printf '\n%-58s %8s %8s   %s\n' "$heading" A B "ratio (range)"
    heading='' rows=$((rows + 1))
    round=0
    : >"$tmp/pairs"
    while [ $round -lt "$rounds" ]; do
        round=$((round + 1))
        if [ $((round % 2)) = 1 ]; then a=$($2) b=$($3); else b=$($3) a=$($2); fi
        [ -z "$a" ] || [ -z "$b" ] || echo "$a $b" | awk '{ print $1, $2, $1 / $2 }' >>"$tmp/pairs"
    done
    printf '%-58s %8s %8s   %s\n' "$1" "$(median 1)" "$(median 2)" "$(median 3) ($(column 3 | head -n 1)..$(column 3 | tail -n 1))"
}
column() { awk -v n="$1" '{ printf "%.2f\n", $n }' "$tmp/pairs" | sort -n; }
median() { column "$1" | awk '{ v[NR] = $1 } END { x = v[int((NR + 1) / 2)]; print (NR == 0 ? "-" : (x >= 100) ? sprintf("%.0f", x) : x) }'; }
