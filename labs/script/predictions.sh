# predictions.sh - sourced by verbs.sh and recorded: what a student believes before it happens, and what came true.
#
#   ask FILE STEP QUESTION [ANSWER...]   one question on the terminal; with ANSWERs, two to four, it is a closed one: a letter
#                                        or the answer's own words, nothing else. What was typed goes into FILE; nothing typed
#                                        stays nothing
#   compare FILE ANSWER                  ANSWER is what the last closed question's answer turned out to be: right, or what to look at
#   lettered ANSWER...                   "a) ANSWER", each on a line of its own
#   tally FILE                           how many closed predictions came true

lettered() {
    for letter in a b c d; do
        [ $# -gt 0 ] || return 0
        printf '%s) %s\n' "$letter" "$1"
        shift
    done
}

ask() {
    predictions=$1 question="step $2: $3"
    shift 3
    while
        printf '  Your prediction (%sEnter goes on): ' "${1:+a letter; }"
        read -r predicted || predicted=
        for choice in $(lettered "$@" | cut -c 1); do
            [ "$predicted" != "$choice" ] || predicted=$(lettered "$@" | sed -n "s/^$choice) //p")
        done
        [ $# != 0 ] && [ -n "$predicted" ] && ! lettered "$@" | sed 's/^..//' | grep -qxF -e " $predicted"
    do
        echo "  That is none of them."
    done
    {
        printf '%s\n' "$question"
        [ $# = 0 ] || lettered "$@" | sed 's/^/  /'
        printf '  predicted: %s\n' "$predicted"
    } >>"$predictions"
}

compare() {
    printf '  turned out: %s\n' "$2" >>"$1"
    case $predicted in
    '') ;;
    "$2") printf '%s\n' "  You said so: $predicted." ;;
    *) printf '%s\n' "  You said $predicted; it is $2. Look at what the lines above show." ;;
    esac
}

tally() {
    awk '/^  predicted: / { said = substr($0, 14) }
        /^  turned out: / { n++; if (substr($0, 15) == said) right++; else if (said == "") empty++ }
        END { if (n) printf "Predictions: %d of %d came true%s.\n", right, n, empty ? ", " empty " left empty" : "" }' "$1"
}
