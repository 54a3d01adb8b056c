# markdown.sh - sourced by labs/guide and labs/script/handout: the pages of the labs, through lowdown or pandoc.
#
#   markdown html|term        Markdown on stdin as HTML, or as text for a terminal of $columns
#   plain KIND PAGE           PAGE's Markdown as both converters understand it: what is hidden in it left out; what is folded between
#                             @@open SUMMARY@@ and @@close@@; links as KIND wants them. student: for the handout, without the teacher's
#                             notes; term: for a terminal, with what is cited as a list at the end; questions: without what is folded

command -v lowdown >/dev/null || command -v pandoc >/dev/null || need lowdown:lowdown

markdown() {
    case $(command -v lowdown),$1 in
    ,html) pandoc -f gfm-smart-gfm_auto_identifiers -t html --no-highlight --wrap=preserve ;;
    ,*) pandoc -f gfm-smart -t plain --columns="$columns" ;;
    *,html) lowdown -thtml --html-no-head-ids --out-no-smarty --parse-no-metadata --parse-no-intraemph --parse-no-super --parse-no-math ;;
    *) lowdown -tterm --term-nolinks --term-columns="$columns" --term-width="$columns" --term-hmargin=0 --out-no-smarty --parse-no-metadata \
        --parse-no-intraemph --parse-no-super --parse-no-math $no_colour ;;
    esac
}

plain() {
    LC_ALL=C awk -v kind="$1" '
        # Where a link of a page leads in the handout: the other page there, or nowhere.
        function handout(target) {
            if (target ~ /^(https:|#)/) return target
            if (match(target, /[0-9][0-9]-[a-z-]+\/guide\.md/)) return substr(target, RSTART, RLENGTH - 9) ".html" substr(target, RSTART + RLENGTH)
            if (target ~ /(^|\/)reading\.md$/) return "reading.html"
            return ""
        }
        function with_links(text, done, whole, label, target) {
            while (match(text, /!?\[[^][]*\]\([^()]*\)/)) {
                done = done substr(text, 1, RSTART - 1)
                whole = substr(text, RSTART, RLENGTH); text = substr(text, RSTART + RLENGTH)
                label = whole; sub(/\]\([^()]*\)$/, "", label); sub(/^\[/, "", label)
                target = whole; sub(/.*\]\(/, "", target); sub(/\)$/, "", target)
                if (whole ~ /^!/) done = done whole
                else if (kind == "student" && handout(target) != "") done = done "[" label "](" handout(target) ")"
                else done = done label
            }
            return done text
        }
        /^```/ { fenced = !fenced }
        fenced { if (!(folded && kind == "questions")) print; next }
        /^<!-- .* -->$/ { next }
        { gsub(/ ?<!-- [^>]* -->/, "") }
        kind == "student" && /^## Notes for the teacher/ { left_out = 1 }
        /^\[[^]]+\]: / {
            left_out = 0
            label = $0; sub(/^\[/, "", label); sub(/\]: .*/, "", label)
            words = $0; sub(/^[^"]*"/, "", words); sub(/"$/, "", words)
            target = $0; sub(/^\[[^]]+\]: /, "", target); sub(/ .*/, "", target)
            if (kind == "questions") next
            if (kind == "term") { if (!cited++) print "\n## What is cited\n"; print "- \\[" label "\\] " (words == "not checked here" ? target : words); next }
            target = handout(target)
            print "[" label "]: " (target == "" ? "#" : target) " \"" words "\""
            next
        }
        left_out { next }
        /^<details><summary>/ {
            folded = 1
            gsub(/<\/?(details|summary)>/, "")
            if (kind != "questions") print "@@open " $0 "@@"
            next
        }
        /^<\/details>/ { folded = 0; if (kind != "questions") print "@@close@@"; next }
        folded && kind == "questions" { next }
        kind != "student" && /^!\[/ { next }
        /^    / { print; next }
        { # a link may go over the end of a line
            line = $0
            while (line ~ /\[[^][]*$|\]\([^()]*$/ && (getline more) > 0) line = line " " more
            gsub(/\] \(/, "]\\&#32;(", line); sub(/^\(/, "\\&#40;", line) # lowdown takes "[1a] (words)" for a link
            print with_links(line)
        }' "$2"
}
