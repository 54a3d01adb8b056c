# table.sh - the table of labs/compare, and its chart, out of table.csv in the directory $output.

table() {
    awk -F, -v wanted="$1" '
        function us(x) { return x == "" ? "-" : x < 10000 ? sprintf("%.0f us", x) : x < 1e7 ? sprintf("%.0f ms", x / 1000) : sprintf("%.1f s", x / 1e6) }
        function s(x) { return x == "" ? "" : sprintf("%.2f s", x) }
        NR > 1 && $3 == wanted {
            if (!head++) {
                printf "\nhold %s\n", $3
                printf "%-12s %7s", "server", "clients"
                if ($3 == 0) printf " %9s %9s %9s", "per s", "wait p50", "p99"
                else printf " %11s %11s %9s %9s", "one by one", "all at once", "measured", "wait p99"
                printf " %9s %5s %7s %8s %6s %5s %6s\n", "CPU each", "proc.", "threads", "kB", "queue", "SYNs", "failed"
            }
            printf "%-12s %7d", $1, $2
            if ($3 == 0) printf " %9.0f %9s %9s", $4, us($5), us($6)
            else printf " %11s %11s %9s %9s", s($7), s($8), s($9), us($6)
            printf " %9s %5d %7d %8d %6d %5d %6d%s\n", us($10), $11, $12, $13, $14, $15, $16, ($17 > 0.9 ? "  (the client is the limit)" : "")
        }' "$output/table.csv"
}
# curves HOLD COLUMN: a curve for each server. gnuplot works in the output's directory, whose name it does not see.
curves() {
    line=0
    printf 'plot '
    awk -F, 'NR > 1 && !seen[$1]++ { print $1 }' "$output/table.csv" | while read -r name; do
        line=$((line + 1))
        printf "'table.csv' using (strcol(1) eq '%s' && strcol(3) eq '%s' ? \$2 : NaN):%s with linespoints lw 2 pt %s lc %s title '%s', " "$name" "$1" "$2" $line $line "$name"
    done
}
chart() {
    command -v gnuplot >/dev/null || { echo "(no gnuplot, no chart)" && return; }
    {
        echo "set terminal svg noenhanced size $(echo "$holds" | wc -w)*500,480 font 'sans,12' background '#ffffff'; set output 'chart.svg'; set datafile separator ','; set linetype 5 lc rgb '#cc3311'"
        echo "set multiplot layout 1,$(echo "$holds" | wc -w); set logscale x 2; set xlabel 'clients'; set key above; set grid; set xtics ($(echo $clients | sed 's/ /, /g'))"
        echo "set xrange [0.9:$(echo "$clients" | tr ' ' '\n' | sort -n | tail -n 1)*1.15]"
        for hold in $holds; do
            if [ "$hold" = 0 ]; then
                echo "set title 'hold 0: connections per second'; unset logscale y; set yrange [0:*]"
                curves "$hold" 4
                echo
            else
                echo "set title 'hold $hold: seconds until all are done'; set logscale y; set autoscale y"
                curves "$hold" 9
                printf "'table.csv' using (strcol(1) eq 'seqserver' && strcol(3) eq '%s' ? \$2 : NaN):7 with lines dt 2 lc 'gray' title 'clients x hold'\n" "$hold"
            fi
        done
    } >"$output/chart.gnuplot"
    (cd "$output" && gnuplot chart.gnuplot) && printf '%s\n' "chart: $output/chart.svg"
}
