# table.sh - the table of labs/compare: its CSV, table.csv in the directory $output, and its rows as they are shown.

heading() {
    echo "server,clients,hold,per_s,wait_p50_us,wait_p99_us,predicted_one_by_one_s,predicted_at_once_s,measured_s,server_cpu_us,processes,threads,kB,queue,retried_syns,failed,client_cpu,per_s_low,per_s_high,server_cpu_low_us,server_cpu_high_us,why"
}
# summary NAME HOLD UNCLOSED SAMPLES ROUNDS: the line of the CSV. Of several rounds, the one with the median of connections a
# second, and how far the others are from it; of the samples, the most.
summary() {
    samples=$4 awk -F, -v name="$1" -v hold="$2" -v unclosed="$3" -v hz="$(getconf CLK_TCK)" '
        BEGIN {
            while ((getline line < ENVIRON["samples"]) > 0) {
                split(line, v, " ")
                for (i = 1; i <= 4; ++i) most[i] = v[i] + 0 > most[i] ? v[i] : most[i] + 0
            }
            OFS = ","
        }
        $1 == "mode" { for (i = 1; i <= NF; ++i) column[$i] = i; next }
        {
            at = ++rounds
            while (at > 1 && rate[at - 1] > $column["per_s"]) { rate[at] = rate[at - 1]; round[at] = round[at - 1]; --at }
            rate[at] = $column["per_s"] + 0; round[at] = $0
            cpu = $column["requests"] && $column["used"] >= 5 ? $column["used"] / hz / $column["requests"] * 1e6 : ""  # less than five ticks are no measurement
            if (cpu != "") { if (low == "" || cpu < low) low = cpu; if (cpu > high) high = cpu; cpus += cpu; ++counted }
            failed += $column["failed"]; syns += $column["retried_syns"]; answered += $column["requests"]
            if ($column["errors"] != "") why = $column["errors"]
        }
        END {
            split(round[int((rounds + 1) / 2)], v, ",")
            n = v[column["clients"]]; h = v[column["hold_s"]]
            if (unclosed) why = why (why ? "; " : "") unclosed " not closed"
            if (!answered) why = why (why ? "; " : "") "no echo"
            print name, n, hold, v[column["per_s"]], v[column["wait_p50_us"]], v[column["wait_p99_us"]], h ? n * h : "", h ? h : "", h ? v[column["elapsed_s"]] : "",
                counted ? cpus / counted : "", most[1] + 0, most[2] + 0, most[3] + 0, most[4] + 0, syns, failed, v[column["client_cpu"]], rate[1], rate[rounds], low, high, why
        }' "$5"
}
table_of() {
    if [ "$1" = 0 ]; then set -- "$1" per-s p50 p99; else set -- "$1" "1-by-1" "done" p99; fi
    printf '\nhold %s\n%-11s %3s %7s %7s %7s %7s %4s %4s %6s %5s %4s %4s\n' "$1" server n "$2" "$3" "$4" CPU proc thr. kB queue SYNs fail
}
# The last row of the CSV.
row() {
    tail -n 1 "$output/table.csv" | awk -F, '
        function us(x) { return x == "" ? "-" : x < 10000 ? sprintf("%.0f us", x) : x < 1e6 ? sprintf("%.0f ms", x / 1000) : sprintf("%.1f s", x / 1e6) }
        function s(x) { return sprintf("%.2f s", x) }
        {
            if ($3 == 0) three = sprintf("%7.0f %7s %7s", $4, us($5), us($6))
            else three = sprintf("%7s %7s %7s", s($7), s($9), us($6))
            printf "%-11s %3d %s %7s %4d %4d %6d %5d %4d %4d\n", substr($1, 1, 11), $2, three, us($10), $11, $12, $13, $14, $15, $16
            if ($22 != "") printf "%15s %s\n", "", $22
            if ($17 > 0.9) printf "%15s (the client is the limit)\n", ""
        }'
}
