// The labs: each runs, twice in a row, beside the others, as an ordinary user and on the loopback back end; each
// fails when its claim is false; and nothing is left behind, also when a run is interrupted.
#include "catch.hpp"
#include "support.hpp"

#include <fstream>
#include <sstream>

using namespace test;

namespace {

// `command` in a shell, without input, every descendant marked in its environment.
struct Shell {
    std::string mark = "lab-test-" + std::to_string(getpid()) + "-" + std::to_string(rand());
    std::string output;
    int run(const std::string& command) {
        std::string line = "LAB_TEST_MARK=" + mark + " timeout -k 5 300 sh -c '" + command + "' 2>&1 </dev/null";
        return finish(popen(line.c_str(), "r"), output);
    }
    // Processes that bear the mark and still live.
    int survivors() const {
        int n = 0;
        for (int pid : numbers_in("/proc")) {
            std::ifstream file("/proc/" + std::to_string(pid) + "/environ");
            std::stringstream all;
            all << file.rdbuf();
            n += all.str().find("LAB_TEST_MARK=" + mark) != std::string::npos;
        }
        return n;
    }
    std::string last_line() const {
        size_t end = output.find_last_not_of('\n');
        return output.substr(0, end + 1).substr(output.rfind('\n', end) + 1);
    }
};

// A copy of the tree that another user owns and a test may break.
struct Copy : Directory {
    explicit Copy(const std::string& owner = "") {
        std::string make = "mkdir " + path + "/bin && cp -p Makefile tcp.hpp program.hpp " + path +
                           " && cp -rp labs seqserver TCPechod TCPecho timewait halfclose " + path +
                           " && find bin -maxdepth 1 -type f -exec cp -p {} " + path + "/bin/ \\; " +
                           (owner.empty() ? "" : "&& chown -R " + owner + " " + path);
        REQUIRE(system(make.c_str()) == 0);
    }
};

// A copy whose directory's name a shell, awk or PATH could take for something else. For shells it is $tree.
struct Strange : Directory {
    std::string tree = *this / "o'brien: \"a b\" $(touch PWNED) `touch PWNED` \\n;\nz=1";
    Strange() {
        setenv("tree", tree.c_str(), 1);
        REQUIRE(
            system(
                "mkdir -p \"$tree\"/bin \"$tree\"/logs && cp -rp Makefile tcp.hpp program.hpp labs seqserver TCPechod "
                "TCPecho timewait halfclose \"$tree\" && "
                "cp -rp logs/01-first-echo \"$tree\"/logs && find bin -maxdepth 1 -type f -exec cp -p {} "
                "\"$tree\"/bin \\;") == 0);
    }
    ~Strange() { unsetenv("tree"); }
    /// Has anything that such a name says been done?
    bool executed() const { return system(("find . " + path + " -name 'PWNED*' | grep -q .").c_str()) == 0; }
};

bool namespaces_allowed() { return Shell().run("unshare -n -m -p --fork --kill-child --mount-proc true") == 0; }

const std::string prepared = "LAB_PREPARED=yes ";

}  // namespace

TEST_CASE("every lab passes, all in parallel, and the first ones once more at the same time", "[labs]") {
    if (!namespaces_allowed()) {
        WARN("no namespaces here: skipped");
        return;
    }
    Directory logs, other_logs;
    Shell shell;
    int status = shell.run(prepared + "labs/run --logs " + other_logs.path + " 01 02 03 04 05 >" + other_logs.path +
                           "/output 2>&1 & " + prepared + "labs/run --logs " + logs.path +
                           " all; first=$?; wait $! && exit $first; cat " + other_logs.path + "/output; exit 1");
    INFO(shell.output);
    CHECK(status == 0);
    CHECK(shell.output.find(" 0 failed") != std::string::npos);
    CHECK(eventually([&] { return shell.survivors() == 0; }));

    // What has been checked is what the reference run has checked: ports, pids and times differ, the claims do not.
    std::istringstream lines(shell.output);
    int compared = 0;
    for (std::string word, lab, verdict; lines >> word;) {
        if (word != "Lab" || !(lines >> lab >> verdict) || verdict.find("passed") != 0) continue;
        lab.pop_back();  // the colon
        Shell diff;
        std::string same = "sed s/[0-9][0-9]*/N/g ", passed = logs.path + "/passed";
        diff.run(same + "logs/" + lab + "/checks.txt >" + passed + "; " + same + logs.path + "/" + lab +
                 "/*/checks.txt | diff " + passed + " -");
        INFO("lab " << lab << " has checked other claims than its reference run in logs/" << lab
                    << "/checks.txt (<): another kernel, or a reference to be renewed");
        CHECK(diff.output == "");
        ++compared;
    }
    CHECK(compared >= 13);  // lab 11 skips without its proxies, lab 14 without the right to drop segments
}

TEST_CASE("guides show what the reference runs printed", "[labs]") {
    Shell shell;
    int status = shell.run("labs/script/render --check");
    INFO(shell.output);
    CHECK(status == 0);
}

TEST_CASE("every sentence of a guide that says what is so cites a check of its lab, or a source", "[labs][claims]") {
    Shell shell;
    int status = shell.run("labs/script/claims");
    INFO(shell.output);
    CHECK(status == 0);
    CHECK(shell.output == "");

    // Broken in each of the ways that it looks for, it says so.
    Copy copy;
    auto broken = [&](const std::string& how) {
        CHECK(shell.run("rm -rf " + copy.path + "/logs && cp -r logs " + copy.path +
                        " && cp labs/03-missing-close/guide.md " + copy.path + "/labs/03-missing-close && cd " +
                        copy.path + " && " + how + " && labs/script/claims 03-missing-close") == 1);
        return shell.output;
    };
    const std::string guide = " labs/03-missing-close/guide.md";
    CHECK(broken("sed -i \"/peer-of bob is CLOSE_WAIT/d\" logs/03-missing-close/checks.txt")
              .find("no check of lab 03, step 3 begins so: peer-of bob is CLOSE_WAIT") != std::string::npos);
    CHECK(broken("sed -i \"s/ \\[1a\\]//\"" + guide).find("no check, no source: ana gets her line back.") !=
          std::string::npos);
    CHECK(broken("sed -i \"/^.getrlimit(2).: /d\"" + guide).find("[getrlimit(2)] is cited and not defined") !=
          std::string::npos);
    CHECK(broken("sed -i \"s/ .getrlimit(2)\\]//\"" + guide).find("[getrlimit(2)] is defined and not cited") !=
          std::string::npos);
    CHECK(broken("sed -i \"/^.getrlimit(2).: /s/ .not checked here.//\"" + guide)
              .find("[getrlimit(2)] needs an address") != std::string::npos);
}

TEST_CASE("a closed prediction is compared with what the run then showed", "[labs][predictions]") {
    Directory logs;
    Shell shell;
    auto run = [&](const std::string& answers) {
        shell.run("printf \"" + answers + "\" >" + logs.path + "/answers; rm -rf " + logs.path + "/03*; " + prepared +
                  "labs/run -b loopback --pause --logs " + logs.path + " 03 <" + logs.path + "/answers; cat " +
                  logs.path + "/03*/*/predictions.txt");
        return shell.output;
    };
    // Right by its letter; what is not offered is asked for again, then wrong by words; nothing; a letter too many.
    std::string output = run("a\\nneither\\nuntil tcp_fin_timeout is over: 60 seconds\\n\\nx\\n");
    INFO(output);
    auto has = [&](const std::string& text) { return output.find(text) != std::string::npos; };
    CHECK(has("  You said so: "));
    CHECK(has("  You said until tcp_fin_timeout is over: 60 seconds; it is "));
    CHECK(has("  predicted: until tcp_fin_timeout is over: 60 seconds\n  turned out: "));
    CHECK(has("  predicted: \n  turned out: "));
    CHECK(has("That is none of them."));
    CHECK_FALSE(has("  predicted: x"));
    CHECK(has("Predictions: 1 of "));
    CHECK(has(": passed, "));

    // A script whose prediction does not turn out, or turns out to be what was not offered, fails.
    Copy copy;
    const std::string lab = copy.path + "/labs/03-missing-close/run";
    auto broken = [&](const std::string& how) {
        shell.run("cp labs/03-missing-close/run " + lab + " && sed -i \"" + how + "\" " + lab + " && cd " + copy.path +
                  " && " + prepared + "labs/run -b loopback --logs " + logs.path + " 03");
        return shell.output;
    };
    CHECK(
        broken("0,/^turned_out/s/^turned_out.*/true/").find("FAILED: the prediction before this one has turned out") !=
        std::string::npos);
    CHECK(broken("0,/^turned_out/s/^turned_out.*/turned_out elsewhere/")
              .find("is one of the answers that were offered") != std::string::npos);
}

TEST_CASE("every exercise of a guide has an answer, and the guide leads to it", "[labs]") {
    Shell shell;
    shell.run(
        "for lab in labs/[0-9]*; do "
        "asked=$(sed -n \"/^## On your own/,/^## Notes/p\" $lab/guide.md | grep -c \"^[0-9][0-9]*[.] \"); "
        "answered=$(grep -c \"^## [0-9][0-9]*[.] \" $lab/answers.md); "
        "[ \"$asked\" = \"$answered\" ] && grep -qF \"](answers.md)\" $lab/guide.md || "
        "echo $lab: $asked asked, $answered answered; done");
    CHECK(shell.output == "");
}

TEST_CASE("the time of a guide is the sum of its steps", "[labs]") {
    Shell shell;
    REQUIRE(shell.run("for guide in labs/[0-9]*/guide.md; do "
                      "awk \"/^Time:/ { said = \\$2 } /^[*][*]Do[*][*] [(]/ { steps += substr(\\$2, 2) } "
                      "END { if (said != steps) print FILENAME, said, steps }\" $guide; done") == 0);
    CHECK(shell.output == "");
}

TEST_CASE("labs/script/render --record takes a run of this suite only, and deletes nothing of the user's",
          "[labs][paths]") {
    Strange strange;
    Shell shell;
    auto in_tree = [&](const std::string& command) {
        return shell.run("cd \"$tree\"/logs/01-first-echo && " + command);
    };
    REQUIRE(in_tree("mkdir 20991231T000000Z-netns mine && cp transcript.txt about.txt checks.txt ladder.txt ladder.svg "
                    "20991231T000000Z-netns && "
                    "echo new >>20991231T000000Z-netns/about.txt && echo old >together-1.svg && echo kept | tee notes "
                    "20991231T000000Z-netns/ana.err >mine/file && "
                    "mkdir -p \"$tree\"/home/20991231T000000Z-netns && cp *.txt \"$tree\"/home/20991231T000000Z-netns "
                    "&& cp notes \"$tree\"/home && "
                    "ln -s ../../home/20991231T000000Z-netns 20link && ln -s home \"$tree\"/01-first-echo") == 0);
    const std::string record = "\"$tree\"/labs/script/render --record ";
    for (std::string run : {"\"$tree\"/home/20991231T000000Z-netns", "../../home/20991231T000000Z-netns", "20link", ".",
                            "mine", "../../01-first-echo/20991231T000000Z-netns", "/", "\"\"", "\"$tree\"/logs"}) {
        INFO(run);
        CHECK(in_tree(record + run) == 2);
        INFO(shell.output);
        CHECK(shell.output.find("needs a run of this suite") != std::string::npos);
        CHECK(in_tree("[ -s notes ] && [ -s ../../home/notes ] && [ -s together-1.svg ] && ! grep -q new about.txt") ==
              0);
    }

    // As many at once as there may be: each of them finds a whole reference run, and leaves one.
    std::string all = "cd ..; for n in 1 2 3 4 5 6; do " + record +
                      "01-first-echo/../01-first-echo/20991231T000000Z-netns & done; wait; cd 01-first-echo";
    CHECK(in_tree(all) == 0);
    INFO(shell.output);
    CHECK(shell.output.find("rror") == std::string::npos);
    CHECK(in_tree("grep -q new about.txt && [ -s transcript.txt ] && [ -s notes ] && [ -s mine/file ] && [ -s "
                  "20991231T000000Z-netns/transcript.txt ]") == 0);
    CHECK(in_tree("! ls together-1.svg 2>/dev/null && ls *-replaced.*/together-1.svg && ! grep -q kept ana.err") ==
          0);  // not of the new run; not of a reference
    CHECK(in_tree("ls -d 20-new*") != 0);
    CHECK(in_tree("\"$tree\"/labs/script/render --check 01-first-echo") == 0);
    CHECK(!strange.executed());
}

TEST_CASE("the headline lab as an ordinary user", "[labs]") {
    if (geteuid() != 0) {
        WARN("this test needs root, to become somebody else: skipped");
        return;
    }
    Copy copy("65534:65534");
    Shell shell;
    std::string as_nobody =
        "cd " + copy.path + " && HOME=/tmp exec setpriv --reuid 65534 --regid 65534 --clear-groups env ";
    if (shell.run(as_nobody + "unshare -U --map-current-user --keep-caps -n true")) {
        WARN("no user namespaces here: skipped");
        return;
    }
    int status = shell.run(as_nobody + prepared + "labs/run");
    INFO(shell.output);
    CHECK(status == 0);
    CHECK(shell.output.find("Verdict: bob waits until ana has gone.") != std::string::npos);
    CHECK(shell.output.find("Verdict: bob does not notice that ana is there.") != std::string::npos);
    CHECK(shell.output.find("ok: bob-seqserver\047s packets: C:SYN S:SYN+ACK") != std::string::npos);
    CHECK(eventually([&] { return shell.survivors() == 0; }));
}

TEST_CASE("a fact is waited for five seconds and a last look, however long a look takes", "[labs]") {
    Shell shell;
    CHECK(shell.run("eval \"$(sed -n \"/^eventually()/,/^}/p; /^centiseconds()/p\" labs/script/verbs.sh)\"; looks=0; "
                    "slow() { looks=$((looks + 1)); sleep 1.5; false; }; ! eventually slow && echo $looks") == 0);
    int looks = atoi(shell.output.c_str());
    INFO(shell.output);
    CHECK((looks >= 2 && looks <= 5));
}

TEST_CASE("what a board elsewhere did not hear when the network was away, it hears with the next line", "[labs]") {
    Directory away;
    std::ofstream(away.path + "/ssh") << "#!/bin/sh\n[ -e " << away.path << "/tried ] || { : >" << away.path
                                      << "/tried; exit 255; }\necho \"$*\"; cat\n";
    REQUIRE(chmod((away.path + "/ssh").c_str(), 0755) == 0);
    Shell shell;
    CHECK(shell.run(". labs/script/student.sh; PATH=" + away.path +
                    ":$PATH; exec 3>&1; ssh() { command ssh \"$@\" >&3; }; timeout() { shift; \"$@\"; }; "
                    "printf \"one\\ntwo\\nover\\n\" | post_afar host:/a/b") == 0);
    CHECK(shell.output == "-o BatchMode=yes host cat >>'/a/b'\none\ntwo\n");
}

TEST_CASE("a student's ports begin where the name says, and go round the run's block", "[labs]") {
    Shell shell;
    const std::string count_on =
        "eval \"$(sed -n \"/^new_port()/,/^}/p; /^first_of_ports()/,/^}/p\" labs/script/verbs.sh)\"; set -u; "
        "fail() { echo no $* && exit 1; }; for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do "
        "new_port; echo $PORT; done";
    CHECK(shell.run("first_port=21000 last_port=21019; " + count_on) == 1);
    CHECK(shell.output.rfind("21000\n21001\n", 0) == 0);
    CHECK(shell.run("first_port=21000 last_port=21019 LAB_PORTS=537; " + count_on) == 1);
    INFO(shell.output);
    CHECK(shell.output.rfind("21017\n21018\n21019\n21000\n", 0) == 0);
    CHECK(shell.output.find("21016\nno a free port from 21000 to 21019\n") != std::string::npos);
    CHECK(shell.run("first_port=8990 last_port=65535 LAB_PORTS=989; " + count_on) == 0);
    CHECK(shell.output.rfind("9989\n9990\n", 0) == 0);
}

TEST_CASE("a script's own directory goes with it, however the script ends", "[labs]") {
    for (auto end : {"exit 0", "kill -INT $$", "kill -QUIT $$", "kill -TERM $$", "kill -KILL $$"}) {
        CAPTURE(end);
        Directory own;
        std::string script = own / "script";
        std::ofstream(script) << ". labs/script/tools.sh\nscratch\necho $work\n" << end << "\nsleep 60\n";
        Shell shell;
        shell.run("sh " + script);
        INFO(shell.output);
        std::string work = shell.output.substr(0, shell.output.find('\n'));
        REQUIRE(work.find("/tmp/tmp.") == 0);
        CHECK(eventually([&] { return access(work.c_str(), F_OK) != 0; }));
        CHECK(eventually([&] { return shell.survivors() == 0; }));
    }
}

// A lab of the test's own, in the verbs: its exit status.
int run_own_lab(Shell& shell, const Copy& copy, const std::string& backend, const std::string& script) {
    REQUIRE(mkdir((copy.path + "/labs/99-own").c_str(), 0755) == 0);
    std::ofstream(copy.path + "/labs/99-own/run") << "#!/bin/sh\n. \"$(dirname \"$0\")/../script/verbs.sh\"\n"
                                                  << script;
    return shell.run("cd " + copy.path + " && " + prepared + "labs/run --backend " + backend + " 99");
}

TEST_CASE("the number of a process that has ended may be another's: that one is not signalled", "[labs]") {
    Copy copy;
    Shell shell;
    int status = run_own_lab(shell, copy, "loopback", R"sh(
lab "Numbers"
new_port
start short vit001 true
expect short exits 0
start other vit001 sleep 60
cp "$LAB_LOG/other.pid" "$LAB_LOG/short.pid"
stop short
expect other runs
awk '{ $22 = 1; print }' "$LAB_LOG/other.pid" >"$LAB_LOG/another"
end_recorded TERM "$LAB_LOG/another"
expect other runs
end_recorded TERM "$LAB_LOG/other.pid"
expect other exits 143
)sh");
    INFO(shell.output);
    CHECK(status == 0);
    CHECK(shell.output.find("passed, 4 checks") != std::string::npos);
}

TEST_CASE("a lab says when tcpdump has lost packets", "[labs]") {
    if (!namespaces_allowed()) {
        WARN("no network namespaces here: skipped");
        return;
    }
    Copy copy;
    Shell shell;
    int status = run_own_lab(shell, copy, "netns", R"sh(
lab "Losses"
capture vit001
new_port
start server vit001 seqserver "$PORT"
expect server says "listening on"
on vit001 kill -STOP "$(pid_of tcpdump-vit001)"
on vit002 echoload --clients 1 --requests 3000 "$vit001" "$PORT"
on vit001 kill -CONT "$(pid_of tcpdump-vit001)"
)sh");
    INFO(shell.output);
    CHECK(status == 0);
    CHECK(shell.output.find("A capture is not whole, tcpdump says: ") != std::string::npos);
}

// What is claimed in words, and whether it is so, once everything has settled: each form of expect, and its contrary.
struct Claim {
    bool holds;
    const char* words;
};
const Claim claims[] = {
    {true, "ana says 'bob says hello'"},
    {false, "ana says 'bob says nothing'"},
    {true, "ana never-says 'bob says nothing'"},
    {false, "ana never-says 'bob says hello'"},  // the text has a verb of another form, and of each
    {false, "ana never-says 'that runs is exits has children'"},
    {true, "ana says 'that runs is exits has children'"},
    {true, "bob exits 0"},
    {false, "carol exits 1"},
    {false, "ana exits 0"},
    {true, "ana runs"},
    {false, "bob runs"},
    {true, "ana is ESTABLISHED"},
    {false, "ana is gone"},
    {false, "bob is ESTABLISHED"},
    {true, "peer-of ana is ESTABLISHED"},
    {false, "peer-of ana is CLOSE_WAIT"},
    {true, "peer-of bob is gone"},
    {false, "peer-of bob is TIME_WAIT"},
    {true, "vit001 has 1 LISTEN"},
    {false, "vit001 has 0 LISTEN"},
    {false, "vit001 has 1 CLOSE_WAIT"},
    {true, "server has 1 children"},
    {false, "server has 0 children"},
    {false, "ana has 1 children"},
    {true, "parent has 1 zombies"},
    {false, "parent has 0 zombies"},
    {true, "server has 0 zombies"},
    {true, "that 'one is one' test 1 = 1"},
    {false, "that 'ana never-says it' test 1 = 2"},
    {true, "that 'one child' equals children_of 1 server"},
    {false, "that 'two children' equals children_of 2 server"},
    {true, "that 'a child or more' at_least children_of 1 server"},
    {false, "that 'two or more' at_least children_of 2 server"},
    {true, "that 'a child or none' at_most children_of 1 server"},
    {false, "that 'no child' at_most children_of 0 server"},
    {false, "that 'what is not there is no number' at_most recv_q 1 peer-of bob"},
    {true, "that 'none or one' between children_of 0 1 server"},
    {false, "that 'two or three' between children_of 2 3 server"},
    {true, "that 'somebody says hello' like output_of 'b.b says hel+o$' ana"},
    {false, "that 'somebody says hello' like output_of '^says hello' ana"},
    // no claims at all: too many words, too few, a program that was never started, a form that there is not
    {false, "ana says bob says hello"},
    {false, "ana never-says"},
    {false, "nobody never-says 'bob says hello'"},
    {false, "peer-of ana has ESTABLISHED"},
    {false, "vit001 has 0 listeners"},
    {false, "ana does-not-say it"},
    {false, "that 'all is well'"}};

TEST_CASE("each form of expect fails when it is not so", "[labs]") {
    Copy copy;
    std::string file = copy.path + "/claims";
    for (auto& claim : claims) std::ofstream(file, std::ios::app) << claim.words << "\n";
    Shell shell;
    int status = run_own_lab(shell, copy, "loopback", R"sh(
lab "Claims"
new_port
start server vit001 TCPechod "$PORT"
expect server says "listening on"
for name in bob carol; do
    start $name vit002 TCPecho "$vit001" "$PORT"
    expect $name says "connected peer="
    eof $name
    until gone $name; do sleep 0.02; done
done
start late vit002 sh -c 'read -r go; exec TCPecho "$@"' sh "$vit001" "$PORT"
has_local() { [ -n "$(local_now "$1")" ] || { echo go >&"$(of fd late)" && false; }; } # it connects when somebody has looked
expect server says "accepted peer=$(local_of late)"
echo "late is $(local_of late)"
eof late
expect server has 0 children
start ana vit002 TCPecho "$vit001" "$PORT"
type ana "bob says hello" "that runs is exits has children"
expect ana says "has children"
expect server has 1 children
start parent vit001 sh -c 'sleep 0 & exec sleep 300'
until [ "$(zombies_of parent)" = 1 ]; do :; done
eventually() { "$@"; } # all of it has settled
fail() { verdict=fails; }
passed() { verdict=${verdict:-holds}; }
while IFS= read -r words <&8; do
    verdict=''
    eval "expect $words"
    echo "claim $verdict: $words"
done 8<claims
expect that "two segments" at_least count_segments 2 tcp
)sh");
    INFO(shell.output);
    CHECK(status == 0);
    for (auto& claim : claims) {
        CAPTURE(claim.words);
        std::string line = std::string("claim ") + (claim.holds ? "holds" : "fails") + ": " + claim.words + "\n";
        CHECK(shell.output.find(line) != std::string::npos);
    }
    CHECK(shell.output.find("late is 127.0.0.1:") != std::string::npos);  // its log line is waited for
    CHECK(shell.output.find("NOT CHECKED (no right to capture on this back end): two segments") != std::string::npos);
    CHECK(eventually([&] { return shell.survivors() == 0; }));
}

TEST_CASE("labs/run builds what the lab needs, says so while it takes long, and draws when ladder is there", "[labs]") {
    Copy copy;
    Shell shell;
    auto in_copy = [&](const std::string& command) { return shell.run("cd " + copy.path + " && " + command); };
    // a compiler that takes its time, and then has the program from the shelf
    REQUIRE(in_copy("mv bin shelf && rm -f shelf/run-tests") == 0);
    std::string compiler = copy.path + "/slow";
    std::ofstream(compiler) << R"sh(#!/bin/sh
while [ $# -gt 0 ] && [ "$1" != -o ]; do shift; done
case ${2:-} in
bin/*) sleep 2.5 && cp "shelf/${2#bin/}" "$2" ;;
esac
)sh";
    chmod(compiler.c_str(), 0755);
    int status = in_copy("CXX=" + compiler + " labs/run 01");
    INFO(shell.output);
    CHECK(status == 0);
    CHECK(shell.output.find("building TCPecho seqserver statelog wire (2 s)\n") != std::string::npos);
    size_t first_line = shell.output.find("Lab 01-first-echo: ");
    CHECK(shell.output.find("building") < first_line);
    bool draws = namespaces_allowed();
    if (draws) CHECK(in_copy("ls logs/01-first-echo/*/ladder.svg") == 0);
    CHECK(in_copy("ls bin") == 0);
    CHECK(shell.output == "TCPecho\nladder\nseqserver\nstatelog\nwire\n");
}

TEST_CASE("labs without any right: loopback, packets loudly not checked", "[labs]") {
    Directory logs;
    Shell shell;
    int status = shell.run(prepared + "labs/run --backend loopback --logs " + logs.path + " 01 03 05");
    INFO(shell.output);
    CHECK(status == 0);
    CHECK(shell.output.find("packet checks NOT made on this back end") != std::string::npos);
    CHECK(shell.output.find("3 passed, 0 failed, 0 skipped") != std::string::npos);
    CHECK(eventually([&] { return shell.survivors() == 0; }));
}

TEST_CASE("a lab whose claim is false fails and shows what was seen instead", "[labs]") {
    Copy copy;
    {
        std::ofstream wrapper(copy.path + "/bin/forgetful");
        wrapper << "#!/bin/sh\nexec " << copy.path << "/bin/real --bug no-close \"$@\"\n";
    }
    REQUIRE(system(("cd " + copy.path + "/bin && mv seqserver real && mv forgetful seqserver && chmod +x seqserver")
                       .c_str()) == 0);
    Shell shell;
    int status = shell.run("cd " + copy.path + " && " + prepared + "labs/run --backend loopback 01");
    INFO(shell.output);
    CHECK(status == 1);
    CHECK(shell.output.find("FAILED: server says closed peer=") != std::string::npos);
    CHECK(shell.output.find("seen instead") != std::string::npos);
}

TEST_CASE("the name of a directory is never executed, and hinders nothing", "[labs][paths]") {
    Strange strange;
    Shell shell;
    auto passes = [&](const std::string& command) {
        int status = shell.run("cd " + strange.path + " && export BIN= " + prepared + "&& " + command);
        INFO(command << "\n" << shell.output);
        CHECK(status == 0);
    };
    setenv("logs", "x\047;touch PWNED;\047\\n:", 1);  // relative: to where we are
    passes("\"$tree\"/labs/run --backend loopback 01");
    passes("\"$tree\"/labs/run --backend loopback --logs \"$logs\" 01 05");
    if (namespaces_allowed()) passes("\"$tree\"/labs/run --logs \"$logs\" 01");
    CHECK(system(("cd " + strange.path + " && ls -d \"$logs\"/05*/2*-loopback/report.html >/dev/null").c_str()) == 0);
    passes("\"$tree\"/labs/run --recorded 01");
    passes("\"$tree\"/labs/script/render --check 01-first-echo");
    passes("\"$tree\"/labs/doctor || [ $? = 3 ]");
    passes(
        "printf \"exec seqserver \\$1\" >\"$tree\"/mine && chmod +x \"$tree\"/mine && PATH=bin:$PATH && cd \"$tree\" "
        "&& "
        "labs/compare --output \"$logs\" --clients 2 --holds \"0 20ms\" --time 50ms \"$tree\"/mine && [ -s "
        "\"$logs\"/table.csv ] && "
        "[ -s \"$logs\"/chart.svg ]");
    CHECK(shell.output.find("\nmine ") != std::string::npos);
    passes("\"$tree\"/labs/bench --rounds 1 \"TCPmechod / TCPechod, stream\"");
    CHECK(shell.output.find(" - ") == std::string::npos);

    // What is seen instead of a claim comes out of such a directory, too.
    REQUIRE(system("cd \"$tree\"/bin && mv seqserver real && printf '#!/bin/sh\nexec bin/real --bug no-close \"$@\"\n' "
                   ">seqserver && chmod +x seqserver") == 0);
    int status = shell.run("cd \"$tree\" && " + prepared + "labs/run --backend loopback 01");
    INFO(shell.output);
    CHECK(status == 1);
    size_t instead = shell.output.find("seen instead:");
    REQUIRE(instead != std::string::npos);
    CHECK(shell.output.find("accepted peer=", instead) != std::string::npos);
    unsetenv("logs");
    CHECK(!strange.executed());
    CHECK(eventually([&] { return shell.survivors() == 0; }));
}

TEST_CASE("an interrupted run leaves no process, port, namespace or file behind", "[labs]") {
    bool allowed = namespaces_allowed();
    // Ports of this run that it has locked and left so. Others' labs may be killed beside this one.
    auto dead_locks = [](Shell& shell, const std::string& logs) {
        CHECK(shell.run(". labs/script/tools.sh; for lock in /tmp/tcp-lab-$(id -u)/port-*; do "
                        "[ ! -L $lock ] || is_alive \"$(readlink $lock)\" || "
                        "! grep -q \":${lock##*-}\" " +
                        logs + "/*/*/transcript.txt || echo $lock; done") == 0);
        return shell.output;
    };
    for (std::string backend : {"netns", "loopback"}) {
        if (backend == "netns" && !allowed) continue;
        for (auto [signal, labs] : std::vector<std::pair<int, std::vector<std::string>>>{{SIGTERM, {"04"}},
                                                                                         {SIGTERM, {"04", "03"}},
                                                                                         {SIGINT, {"04"}},
                                                                                         {SIGQUIT, {"04"}},
                                                                                         {SIGQUIT, {"04", "03"}},
                                                                                         {SIGKILL, {"04"}},
                                                                                         {SIGKILL, {"04", "03"}}}) {
            if (signal == SIGKILL && backend == "loopback") continue;  // there the longest life of each program ends it
            Directory logs, temporary;
            Shell shell;
            setenv("LAB_TEST_MARK", shell.mark.c_str(), 1);
            setenv("LAB_PREPARED", "yes", 1);
            setenv("TMPDIR", temporary.path.c_str(), 1);
            std::vector<std::string> words = {"--backend", backend, "--logs", logs.path};
            words.insert(words.end(), labs.begin(), labs.end());
            Process lab("../labs/run", words);
            for (auto name : {"LAB_TEST_MARK", "LAB_PREPARED", "TMPDIR"}) unsetenv(name);
            INFO(backend << " signal " << signal << " labs " << labs.size());
            // a server and two clients are there
            CHECK(eventually([&] {
                return shell.run("grep -q \"ok: bob is ESTABLISHED\" " + logs.path + "/04-queue/*/transcript.txt") == 0;
            }));
            lab.signal(signal);
            CHECK(lab.wait_exit() == 128 + signal);
            CHECK(eventually([&] { return shell.survivors() == 0; }));
            CHECK(dead_locks(shell, logs.path) == "");
            CHECK(shell.run("find " + temporary.path + " -mindepth 1") == 0);
            CHECK(shell.output == "");
            if (signal == SIGKILL) continue;  // its log is what it was then
            CHECK(shell.run("find " + logs.path + " -name \".*\" -o -name \"*.pid\" -o -type p") == 0);
            CHECK(shell.output == "");
            CHECK_THAT(lab.err(), ContainsSubstring("labs/run: interrupted\n"));
            CHECK_THAT(lab.out(), !ContainsSubstring("FAILED"));
            if (backend == "loopback" && labs.size() == 1)
                CHECK_THAT(lab.out(), ContainsSubstring("Lab 04-queue: interrupted after "));
        }
    }
}

TEST_CASE("left on one stack by a lab that was killed: the doctor finds it and --clean ends it", "[labs]") {
    Copy copy;
    Shell shell;
    setenv("LAB_TEST_MARK", shell.mark.c_str(), 1);
    setenv("LAB_PREPARED", "yes", 1);
    Process lab("../labs/run", {"--backend", "loopback", "--pause", "03"}, [&] { (void)!chdir(copy.path.c_str()); });
    for (auto name : {"LAB_TEST_MARK", "LAB_PREPARED"}) unsetenv(name);
    REQUIRE(eventually([&] {
        lab.write_stdin("\n");
        return count(lab.out(), "CLOSE_WAIT") > 0;  // a server and a client are there
    }));
    CHECK(shell.run("cd " + copy.path + " && labs/doctor | grep \"left over\"") == 1);  // they are a living lab's
    lab.signal(SIGKILL);
    CHECK(lab.wait_exit() == 137);
    for (int pid : numbers_in("/proc")) {
        std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline");
        std::string line, environment;
        std::getline(file, line);
        std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/environ"), environment);
        if (environment.find("LAB_TEST_MARK=" + shell.mark) != environment.npos &&
            line.compare(0, 3, std::string("sh\0", 3)) == 0)
            kill(pid, SIGKILL);
    }
    CHECK(shell.survivors() > 0);
    CHECK(eventually([&] {
        return shell.run("cd " + copy.path +
                         " && labs/doctor | grep \"left over: 1 dead run.s. with [1-9] process\"") == 0;
    }));
    shell.run("cd " + copy.path + " && labs/doctor --clean");
    CHECK(eventually([&] { return shell.survivors() == 0; }));
}

TEST_CASE("the doctor sees the settings of this machine that break labs on one stack", "[labs]") {
    Shell shell;
    if (shell.run("unshare -Urn ip link set lo up") != 0) {
        WARN("no namespaces here: skipped");
        return;
    }
    shell.run(
        "exec unshare -Urn sh -c \"cd /proc/sys/net && echo 0 >ipv4/tcp_timestamps && echo 40000 40100 "
        ">ipv4/ip_local_port_range "
        "&& echo 0 >ipv4/tcp_max_tw_buckets && echo 5 >ipv4/tcp_fin_timeout && echo 2 >ipv4/tcp_syncookies && "
        "echo 16 >core/somaxconn; cd - >/dev/null; labs/doctor\"");
    CAPTURE(shell.output);
    for (auto finding : {"tcp_timestamps is 0", "only 101 ports", "only 0 TIME_WAIT", "tcp_fin_timeout is 5",
                         "tcp_syncookies is 2", "only 16 for somaxconn"})
        CHECK(count(shell.output, std::string("warning here: with --backend loopback: ") + finding) == 1);
    shell.run("exec unshare -Urn labs/doctor");
    CHECK(count(shell.output, "with --backend loopback") == 0);

    // and a lab that fails under them says which it may be
    Directory logs;
    shell.run("exec unshare -Urn sh -c \"ip link set lo up && echo 1 >/proc/sys/net/core/somaxconn && " + prepared +
              "exec labs/run --backend loopback --logs " + logs.path + " 04\"");
    CHECK(shell.output.find("FAILED: ") != std::string::npos);
    CHECK(shell.output.find("may be the reason (labs/doctor):\nonly 1 for somaxconn") != std::string::npos);
}

TEST_CASE("labs/run that is interrupted while it builds leaves no compiler", "[labs]") {
    Copy copy;
    std::string compiler = copy.path + "/slow", compiles = copy.path + "/compiles";
    std::ofstream(compiler) << "#!/bin/sh\ncase $* in *-c*|*bin/*) echo $$ >>" << compiles
                            << "; sleep 60; exit ;; esac\n";
    chmod(compiler.c_str(), 0755);
    REQUIRE(system(("rm -f " + copy.path + "/bin/*").c_str()) == 0);
    for (int signal : {SIGTERM, SIGINT, SIGKILL}) {
        CAPTURE(signal);
        Shell shell;
        unlink(compiles.c_str());
        setenv("LAB_TEST_MARK", shell.mark.c_str(), 1);
        setenv("CXX", compiler.c_str(), 1);
        Process lab("../labs/run", {"01"}, [&] { (void)!chdir(copy.path.c_str()); });
        for (auto name : {"LAB_TEST_MARK", "CXX"}) unsetenv(name);
        REQUIRE(eventually([&] { return access(compiles.c_str(), F_OK) == 0; }));
        lab.signal(signal);
        CHECK(lab.wait_exit() == 128 + signal);
        CHECK(eventually([&] { return shell.survivors() == 0; }));
    }
}

TEST_CASE("labs/run whose reader goes away, or without a stdin", "[labs]") {
    Directory logs;
    Shell shell;
    CHECK(shell.run(prepared + "env --default-signal=PIPE labs/run -b loopback --logs " + logs.path +
                    " 01 | head -n 4") == 0);
    CHECK(std::count(shell.output.begin(), shell.output.end(), '\n') >= 4);
    CHECK(eventually([&] { return shell.survivors() == 0; }));
    CHECK(shell.run("find " + logs.path + " -name \".*\" -o -name \"*.pid\" -o -type p") == 0);
    CHECK(shell.output == "");
    CHECK(shell.run(prepared + "labs/run -b loopback --logs " + logs.path + " 01 <&-") == 0);
    CHECK_THAT(shell.last_line(), ContainsSubstring("Lab 01-first-echo: passed, "));
    CHECK_THAT(shell.last_line(), ContainsSubstring(" packet checks NOT made"));
}

TEST_CASE("a full disk is called full", "[labs]") {
    if (!namespaces_allowed()) {
        WARN("no namespaces here: skipped");
        return;
    }
    Directory logs;
    Shell shell;
    // full from the start, and before a lab's end; and no room for one more file
    auto full = GENERATE(as<std::string>{}, "size=64k", "size=64k,nr_inodes=3");
    CAPTURE(full);
    CHECK(shell.run("exec unshare -m sh -c \"mount -t tmpfs -o " + full + " none " + logs.path +
                    " && head -c 65536 /dev/zero >" + logs.path + "/much; " + prepared +
                    "exec labs/run -b loopback --logs " + logs.path + " 01\"") == 1);
    CAPTURE(shell.output);
    CHECK_THAT(shell.output,
               ContainsSubstring(full.size() > 8 ? "No space left on device" : "The disk is full: " + logs.path));
}

TEST_CASE("no user namespaces: labs/run and the doctor name the same cause and cure", "[labs]") {
    Shell shell;
    std::string user = geteuid() == 0 ? "setpriv --reuid 65534 --regid 65534 --clear-groups " : "";
    if (shell.run(user + "unshare -U --map-current-user --keep-caps true") != 0) {
        WARN("no user namespaces here: skipped");
        return;
    }
    shell.run(user +
              "unshare -U --map-current-user --keep-caps sh -c \"echo 0 >/proc/sys/user/max_user_namespaces && " +
              prepared + "labs/run --logs /tmp/tcp-test-no-logs -b netns 01; echo $?; labs/doctor\"");
    CAPTURE(shell.output);
    CHECK(count(shell.output, "cannot be made here: user.max_user_namespaces is 0\n") == 1);
    CHECK(count(shell.output, "no network namespaces: user.max_user_namespaces is 0") == 1);
    CHECK(count(shell.output, "Do: sudo sysctl user.max_user_namespaces=10000, or sudo ./labs/run") == 2);
}

TEST_CASE("labs/run --enter: of several runs that are held the newest, or the one with the logs that are named",
          "[labs][keep]") {
    if (!namespaces_allowed()) {
        WARN("no namespaces here: skipped");
        return;
    }
    Strange strange;
    Directory first_logs, second_logs;
    Shell shell;
    // What a shell on vit002 says of where its programs are, and which run it is on: each has a network of its own.
    auto entered = [&](const std::string& options) {
        CHECK(shell.run("echo \"command -v seqserver; readlink /proc/self/ns/net; ip -o -4 addr show eth0\" | "
                        "\"$tree\"/labs/run --enter vit002 " +
                        options) == 0);
        INFO(shell.output);
        CHECK(shell.output.find("bin/seqserver\n") != std::string::npos);
        CHECK(shell.output.find(" 10.98.0.2/24 ") != std::string::npos);
        size_t at = shell.output.find("net:[");
        REQUIRE(at != std::string::npos);
        return shell.output.substr(at, shell.output.find(']', at) - at);
    };
    setenv("LAB_PREPARED", "yes", 1);
    Process first("../labs/run", {"--keep", "--logs", first_logs.path});
    REQUIRE(first.wait_for_stdout("./labs/run --enter vit001"));
    std::string network = entered("");
    {
        Process second("../labs/run", {"--keep", "--logs", second_logs.path});
        REQUIRE(second.wait_for_stdout("./labs/run --enter vit001"));
        std::string other = entered("");
        CHECK(other != network);
        CHECK(entered("--logs " + second_logs.path) == other);
        CHECK(entered("--logs " + first_logs.path) == network);
        second.write_stdin("\n");
        CHECK(second.wait_exit() == 0);
    }
    unsetenv("LAB_PREPARED");
    CHECK(entered("") == network);
    CHECK(shell.run("\"$tree\"/labs/run --enter vit001 --logs " + second_logs.path) == 1);
    CHECK(shell.output.find("no hosts to enter with their logs in " + second_logs.path) != std::string::npos);
    first.write_stdin("\n");
    CHECK(first.wait_exit() == 0);
    CHECK(shell.run("\"$tree\"/labs/run --enter vit001 --logs " + first_logs.path) == 1);
    CHECK(!strange.executed());
}

TEST_CASE("labs/run --enter and enter go into nobody else's namespaces, also for root", "[labs][keep]") {
    if (geteuid() != 0 || !namespaces_allowed()) {
        WARN("this test needs root, to become somebody else, and namespaces: skipped");
        return;
    }
    Strange strange;
    REQUIRE(system("chown -R 65534:65534 \"$tree\"") == 0);
    // A user's namespaces that look like the hosts of a run; and a process of root's own in the user namespace of that user.
    std::string script = strange.write("script", R"sh(cd "$tree" || exit
trap 'kill $user $root' EXIT
setpriv --reuid 65534 --regid 65534 --clear-groups unshare -U --map-current-user --keep-caps -n -m -p --fork --kill-child sh -c '
    mount -t tmpfs none /run && mkdir /run/netns && touch /run/netns/vit001 && mount --bind /proc/self/ns/net /run/netns/vit001 &&
    touch ready && exec sleep 60' &
user=$!
until [ -e ready ]; do kill -0 $user || exit; done
echo $user >logs/.kept && chown 65534 logs/.kept
nsenter --preserve-credentials -U -m -p --no-fork -t $user sleep 60 &
root=$!
until [ "$(readlink /proc/$user/ns/user)" = "$(readlink /proc/$root/ns/user)" ]; do kill -0 $root || exit; done
bin/enter -- $user vit001 touch PWNED; echo "$?"
bin/enter -- $root vit001 touch PWNED; echo "$?"
echo touch PWNED | labs/run --enter vit001 --logs logs; echo "$?"
)sh");
    Shell shell;
    CHECK(shell.run("sh " + script) == 0);
    INFO(shell.output);
    std::istringstream lines(shell.output);
    std::vector<std::string> said;
    for (std::string line; std::getline(lines, line);) said.push_back(line);
    REQUIRE(said.size() == 6);
    CHECK(said[0].find("enter: process ") == 0);
    CHECK(said[0].find(" is not yours") != std::string::npos);
    CHECK(said[2].find("enter: the user namespace of process ") == 0);
    CHECK(said[4].find("no hosts to enter") != std::string::npos);
    for (int i : {1, 3, 5}) CHECK(said[i] == "1");
    CHECK(!strange.executed());
}

TEST_CASE("a recorded run: labs/run --recorded walks through the reference run and runs nothing", "[labs]") {
    Shell shell;
    CHECK(shell.run("env -i PATH=/bin:/usr/bin labs/run --recorded 03") == 0);
    CHECK(shell.output.find("This is a recording: nothing runs now.") == 0);
    CHECK(shell.output.find("== Step 9. The server that does close") != std::string::npos);
    CHECK(shell.output.find("Flags [S.]") != std::string::npos);
}

TEST_CASE("labs/run says what is wrong with its arguments", "[labs]") {
    Shell shell;
    CHECK(shell.run(prepared + "labs/run 77") == 2);
    CHECK(shell.last_line() == "labs/run: no lab \04777\047; --list shows them");
    CHECK(shell.run(prepared + "labs/run --backend nowhere 01") == 2);
    CHECK(shell.output.find("not \047nowhere\047") != std::string::npos);
    CHECK(shell.run(prepared + "labs/run --frobnicate") == 2);
    for (std::string option : {"--student", "--board", "--student \"\""}) {
        CHECK(shell.run(prepared + "labs/run " + option) == 2);
        CHECK(shell.output.find(" needs a value") != std::string::npos);
    }
    CHECK(shell.run(prepared + "labs/run --student a/b 01") == 2);
    CHECK(shell.output.find("--student must be 1 to 60 letters") != std::string::npos);
    CHECK(shell.run(prepared + "labs/run --board nowhere 01") == 2);
    CHECK(shell.output.find("--board must be a directory") != std::string::npos);
    CHECK(shell.run(prepared + "labs/run ../../etc") == 2);
    CHECK(shell.run("labs/run --list") == 0);
    CHECK(shell.output.find("05-sequential-concurrent") != std::string::npos);
}
