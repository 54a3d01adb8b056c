# choose.sh - sourced: what mistakes says of a specimen, and which of them a student gets.
#
#   field KEY SPECIMEN          what mistakes says; level_title N
#   specimens                   all of them, "LEVEL SPECIMEN"
#   number_of N WORD...         0 to N-1: the same for the same words, and nothing that one could guess
#   chosen NAME LEVEL           the student's specimen: the same name has the same one at a level
#   offered NAME LEVEL          that and five others, of this level before those of the nearest; in an order that is the student's own
#   port_of NAME LEVEL          the server listens on one of the next ports
#   source_of SPECIMEN          its source, without the comments that name the mistake; repaired SPECIMEN
#   is_repaired_at SPECIMEN N FILE   a test: in line N of FILE, which is that source, or beside it

quiz=$labs/zoo/quiz
field() { awk -v key="$1" -v specimen="$2" '$1 == "==" { here = $2 == specimen } here && $1 == key { sub(/^[^ ]* /, ""); print }' "$quiz/mistakes"; }
level_title() { sed -n "/^==/q; s/^level $1 //p" "$quiz/mistakes"; }
specimens() { awk '$1 == "==" { specimen = $2 } specimen && $1 == "level" { print $2, specimen }' "$quiz/mistakes"; }

number_of() {
    modulus=$1
    shift
    echo $((0x$(printf '%s\n' "$@" | sha256sum | cut -c 1-7) % modulus))
}
chosen() {
    set -- "$1" "$2" $(specimens | sed -n "s/^$2 //p")
    shift $(($(number_of $(($# - 2)) "$1" "$2") + 2))
    echo "$1"
}
# in_own_order WORD...: lines "DISTANCE SPECIMEN", the nearest first, as the WORDs shuffle them.
in_own_order() {
    awk -v n="$(number_of 2147483646 "$@")" '{ n = (n + 1) * 16807 % 2147483647; print $1, n, $2 }' | sort -k1,1n -k2,2n | sed 's/.* //'
}
offered() {
    right=$(chosen "$1" "$2")
    {
        echo "$right"
        specimens | awk -v level="$2" -v right="$right" '$2 != right { print ($1 > level ? $1 - level : level - $1), $2 }' | in_own_order "$1" "$2" | head -n 5
    } | sed 's/^/0 /' | in_own_order "$1" "$2" order
}
port_of() { echo $((20000 + $(number_of 11000 "$1" "$2" port))); }

source_of() { sed '/^ *\/\//d; s, *//.*,,' "$labs/zoo/servers/$1.cpp"; }
repaired() { source_of "$1" | sed "$(field fix "$1")"; }
is_repaired_at() {
    {
        repaired "$1" | diff "$3" - | sed -n 's/^\([0-9][0-9,]*\)[acd].*/\1/p' | tr , ' '
        grep -nF "$(field where "$1" | tr '|' '\n' | grep . || echo '/*')" "$3" | sed 's/:.*//'
    } | awk -v n="$2" 'n >= $1 - 1 && n <= $NF + 1 { found = 1 } END { exit !found }'
}
