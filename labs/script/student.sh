# student.sh - sourced: whose run it is, and what in it is this name's alone.
#
#   varied NAME LAB NONCE      what varies with the name, a line each: `word`, six to nine letters that take the place of "hello";
#                              `ports` 0..999, where the run's ports begin; `turn` 0 or 1, who leaves first (verbs.sh)
#   sign_run DIRECTORY NAME LAB NONCE    writes student.txt there: name, lab, nonce, and what varies
#   file_name NAME             NAME as a part of a file's name
#   is_a_name NAME | is_remote_file TEXT | visible_name TEXT    what --student and --board take; what is shown of what they do not
#   remembered_student LOGS | remember_student LOGS NAME      who works with these logs
#   post BOARD NAME LAB WHAT   one line on the class's board, a directory
#   post_afar HOST:FILE        the lines of its input, through ssh, until one of them is "over"

# The word is never as long as hello: who copies a guide's number of bytes has the wrong one.
varied() {
    digest=$(printf '%s\n' "$1" "$2" "$3" | sha256sum | cut -c 1-24)
    chance=${digest#????????????????}
    echo "word $(echo "$digest" | tr 0-9a-f a-p | cut -c 1-$((6 + 0x${chance%?????} % 4)))"
    echo "ports $((0x${chance#???} % 1000))"
    echo "turn $((0x${chance%?????} / 4 % 2))"
}
sign_run() {
    printf 'name %s\nlab %s\nnonce %s\n' "$2" "$3" "$4" >"$1/student.txt"
    varied "$2" "$3" "$4" >>"$1/student.txt"
}
file_name() { printf %s "$1" | LC_ALL=C tr -c 'A-Za-z0-9.\n-' '_' | cut -c 1-60; }

# Nothing that a terminal, a shell, a page or a file's name takes for something else.
is_a_name() { [ ${#1} -le 60 ] && ! printf %s "$1" | LC_ALL=C grep -q '[^A-Za-z0-9 ._'"'"'-]'; }
visible_name() { printf %s "$1" | LC_ALL=C tr -c ' -~' '?' | cut -c 1-60; }

remembered_student() { head -n 1 "$1/.student" 2>/dev/null | LC_ALL=C tr -dc "A-Za-z0-9 ._'-" | cut -c 1-60; }
remember_student() {
    [ -z "$2" ] || [ "$(remembered_student "$1")" = "$2" ] || printf '%s\n' "$2" >"$1/.student"
} 2>/dev/null

is_remote_file() { case ${1%%:*}${1#*:} in '' | -* | *[!A-Za-z0-9._/@-]*) return 1 ;; esac }
post() {
    printf '%s\n' "$(date -u +%H:%M) $(file_name "$2") $3 $4" >>"$1/$(file_name "$2").status"
} 2>/dev/null
# What could not be sent, as the network was slow or away, goes with the next line.
post_afar() {
    unsent='' line=''
    while [ "$line" != over ] && read -r line; do
        [ "$line" = over ] || unsent="$unsent$line
"
        [ -z "$unsent" ] || printf %s "$unsent" | timeout 10 ssh -o BatchMode=yes "${1%%:*}" "cat >>'${1#*:}'" && unsent=''
    done
} >/dev/null 2>&1
