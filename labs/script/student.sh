# student.sh - sourced: whose run it is, and the word that shows it on the wire.
#
#   word_of NAME LAB NONCE     five letters or digits that nobody else types: they take the place of "hello" (verbs.sh)
#   sign_run DIRECTORY NAME LAB NONCE    writes student.txt there: name, lab, nonce, word
#   file_name NAME             NAME as a part of a file's name

word_of() { printf '%s\n' "$1" "$2" "$3" | sha256sum | tr 0-9a-f a-p | cut -c 1-5; }
sign_run() {
    printf 'name %s\nlab %s\nnonce %s\nword %s\n' "$2" "$3" "$4" "$(word_of "$2" "$3" "$4")" >"$1/student.txt"
}
file_name() { printf %s "$1" | LC_ALL=C tr -c 'A-Za-z0-9.\n-' '_' | cut -c 1-60; }
