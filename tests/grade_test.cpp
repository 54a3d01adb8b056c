// labs/grade and the zoo: the grader tells servers with one mistake each from those without, names the mistake, and
// survives the programs that it grades.
#include "catch.hpp"
#include "support.hpp"

#include <sstream>

using namespace test;

namespace {

// A directory that every user may write to, and labs/grade with its output there.
struct Grade {
    Directory directory;
    std::string dir = directory.path, output;
    Grade() { chmod(dir.c_str(), 0777); }
    FILE* start(const std::string& arguments, const std::string& before = "") const {
        std::string command = "dir=" + dir + "; export dir; " + before + " timeout 400 labs/grade -o $dir/out ";
        return popen((command + arguments + " 2>&1 </dev/null").c_str(), "r");
    }
    int run(const std::string& arguments, const std::string& before = "") {
        return finish(start(arguments, before), output);
    }
    std::string text(const std::string& name) const {
        std::ifstream file(dir + "/" + name);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    // A program of a student, in sh.
    std::string program(const std::string& name, const std::string& lines) const {
        std::string path = directory.write(name, "#!/bin/sh\n" + lines + "\n");
        return chmod(path.c_str(), 0755), path;
    }
    // The verdict on a check, and its cause.
    std::string verdict(const std::string& check) const {
        std::string all = text("out/" + check + "/verdict");
        return all.substr(0, all.find('\n'));
    }
    std::string cause(const std::string& check) const {
        std::istringstream lines(text("out/" + check + "/verdict"));
        std::string line;
        return std::getline(lines, line), std::getline(lines, line), line;
    }
};
std::string zoo(const std::string& name) { return std::filesystem::absolute(bin("zoo/" + name)); }
// How many processes have this directory in their command line or environment.
int processes_of(const std::string& dir) {
    int n = 0;
    for (int pid : numbers_in("/proc"))
        for (const char* file : {"/cmdline", "/environ"}) {
            std::ifstream in("/proc/" + std::to_string(pid) + file);
            std::stringstream all;  // empty when the process ends meanwhile
            all << in.rdbuf();
            std::string text = all.str();
            if (text.find(dir) != text.npos && pid != getpid()) ++n;
        }
    return n;
}

// Where the file system and the processes of a program can be kept apart from ours: only there may one attack them.
bool isolates() { return system("(. labs/hosts/netns && hosts_enter true) >/dev/null 2>&1") == 0; }

}  // namespace

TEST_CASE("grade: a server that does all of it right passes all that is asked of its kind", "[grade]") {
    Grade grade;
    int status = grade.run("TCPechod");
    CAPTURE(grade.output);
    CHECK(status == 0);
    CHECK_THAT(grade.output, ContainsSubstring("Kind of server: a process for each connection") &&
                                 ContainsSubstring("27 passed, 0 failed, 2 do not apply, 0 not checked"));
}

TEST_CASE("grade: each check is failed by a specimen of the zoo, and the mistake is named", "[grade][zoo]") {
    std::string output;
    std::ifstream file("labs/zoo/matrix.txt");
    std::string stored((std::istreambuf_iterator<char>(file)), {});
    for (auto& entry : std::filesystem::directory_iterator("labs/zoo/servers"))
        CHECK_THAT("\n" + stored, ContainsSubstring("\n" + entry.path().stem().string() + " "));
    for (auto& entry : std::filesystem::directory_iterator("labs/zoo/clients"))
        CHECK_THAT("\n" + stored, ContainsSubstring("\nclients/" + entry.path().stem().string() + " "));
    for (auto& entry : std::filesystem::directory_iterator("labs/checks"))
        if (entry.is_directory()) CHECK_THAT(stored, ContainsSubstring(" " + entry.path().filename().string() + " "));
    // Seven of them here; labs/zoo/matrix --check grades the whole zoo, and takes half an hour.
    CHECK(finish(popen("timeout 500 labs/zoo/matrix --quick 10 11 16 23 25 26 61 2>&1 </dev/null", "r"), output) == 0);
    CHECK(output == "");
}

TEST_CASE("grade: the kind of server is found out, and asked for or not", "[grade]") {
    auto [program, kind, word] = GENERATE(table<std::string, std::string, std::string>(
        {{"seqserver", "sequential: one connection at a time", "sequential"},
         {"TCPpechod --max-children=3 {port}", "a pool: 4 processes and 4 threads, for 3 connections", "pool"},
         {"TCPmtechod", "a thread for each connection", "thread"},
         {"TCPmechod", "an event loop", "loop"}}));
    Grade grade;
    grade.directory.write("points", "kinds process\ncheck 02-kind 7\n");
    CHECK(grade.run("--points $dir/points " + program) == 1);
    CAPTURE(program, grade.output);
    CHECK(grade.text("out/kind") == word + "\n");
    CHECK_THAT(grade.output, ContainsSubstring("this kind of server was not asked for: " + kind) &&
                                 ContainsSubstring("Score: 0 of 7."));
}

TEST_CASE("grade: a client that does it right passes, wherever host and port stand", "[grade][client]") {
    Grade grade;
    std::string client = std::filesystem::absolute(bin("TCPecho"));
    std::string program = grade.program("client", "exec " + client + " \"${1#--to=}\" \"${2#--port=}\"");
    int status = grade.run("--client --only 51,53,56 " + program + " --to={host} --port={port}");
    CAPTURE(grade.output);
    CHECK(status == 0);
    CHECK_THAT(grade.output, ContainsSubstring("Score: 18 of 18. 3 passed, 0 failed"));
}

TEST_CASE("grade: a client's mistake is named, shown, and written for other graders", "[grade][client]") {
    Grade grade;
    auto backend = GENERATE(as<std::string>{}, "netns", "loopback");
    if (backend == "netns" && !isolates()) return;
    int status = grade.run("--client --backend " + backend + " --only 51,56,64 --json $dir/r.json --autolab " +
                           zoo("clients/closes-at-eof"));
    CAPTURE(backend, grade.output);
    CHECK(status == 1);
    CHECK_THAT(grade.cause("56-last-answer"), ContainsSubstring("it closes at the end of its input"));
    CHECK_THAT(grade.output, ContainsSubstring("lab 09 shows it: ") &&
                                 ContainsSubstring("{\"51-echo\": 6, \"56-last-answer\": 0, \"64-refused\": 4}"));
    CHECK_THAT(grade.text("r.json"), ContainsSubstring("\"score\": 10, \"output\": \"a client\""));
    CHECK(eventually([&] { return processes_of("clients/closes-at-eof") == 0; }));
}

// Each is made of a client without that mistake, by the shell. The cause that is named is the one that is true.
TEST_CASE("grade: of several causes that seem to fit the client's own is named, or none", "[grade][client]") {
    Grade grade;
    std::string echo = std::filesystem::absolute(bin("TCPecho")).string() + " \"$@\"";
    auto [check, lines, cause] = GENERATE_COPY(table<std::string, std::string, std::string>(
        {// its first process ends with its input, and another one still shows what comes
         {"56-last-answer", "f=$(mktemp -u); mkfifo $f; " + echo + " <$f & cat >$f", ""},
         {"58-zeros", echo + " | sed 's/$/\r/'", ""},
         {"58-zeros", "{ head -c 4; cat >/dev/null; exec tail -f /dev/null; } | " + echo,
          "only as far as its zero byte: strlen"},
         {"57-big", zoo("clients/closes-at-eof") + " \"$@\"; echo bye", "it closes at the end of its input"},
         {"61-reset", echo + " 2>/dev/null || { echo closed by the other side; exit 1; }", "said of an orderly end"},
         {"64-refused", "exec " + echo + " 2>/dev/null", "it fails without a word"}}));
    int status = grade.run("--client --only " + check + " " + grade.program("client", lines));
    CAPTURE(check, lines, grade.output);
    CHECK(status == !cause.empty());
    CHECK_THAT(grade.cause(check), ContainsSubstring(cause));
}

TEST_CASE("grade: what does not connect is not asked the rest", "[grade][client]") {
    Grade grade;
    CHECK(grade.run("--client --only 51,52,53 " + grade.program("client", "cat")) == 1);
    CAPTURE(grade.output);
    CHECK_THAT(grade.cause("51-echo"), ContainsSubstring("it does not connect"));
    CHECK_THAT(grade.output, ContainsSubstring("not tried: see 51-echo") && ContainsSubstring("0 passed, 3 failed"));
}

TEST_CASE("grade: a program that has been ended does not pass for one that sleeps", "[grade]") {
    std::string looks;
    CHECK(finish(popen(". labs/checks/eyes.sh; pids() { :; }; running", "r"), looks) == 0);
    CHECK(looks == "20\n");
}

TEST_CASE("grade: for other graders: results.json, JUnit's XML, Autolab's last line", "[grade]") {
    Grade grade;
    int status = grade.run("--only 01,04,16 --json $dir/r.json --junit $dir/r.xml --autolab " + zoo("strlen"));
    CAPTURE(grade.output);
    CHECK(status == 1);
    std::string last = "\n{\"scores\": {\"01-listens\": 4, \"04-binary\": 0, \"16-zombies\": 0}}\n";
    CHECK(grade.output.substr(grade.output.size() - std::min(grade.output.size(), last.size())) == last);
    std::string json = grade.text("r.json");
    CHECK_THAT(json,
               ContainsSubstring("{\"score\": 4, \"output\": ") && ContainsSubstring("\"status\": \"passed\"") &&
                   ContainsSubstring("\"name\": \"04-binary\", \"number\": \"4\", \"score\": 0, \"max_score\": 4") &&
                   ContainsSubstring("strcpy() or printf(\\\"%s\\\")"));
    CHECK_THAT(grade.text("r.xml"), ContainsSubstring("tests=\"3\" failures=\"1\" skipped=\"1\"") &&
                                        ContainsSubstring("<failure message=\"it stops at a zero byte: strlen()"));
    CHECK_THAT(grade.text("out/04-binary/ladder.svg"), ContainsSubstring("</svg>"));
    CHECK_THAT(grade.output, ContainsSubstring("lab 01 shows it: ") && ContainsSubstring("ESTABLISHED"));
}

TEST_CASE("grade: who ignores SIGCHLD has no zombies, whatever its parent does", "[grade]") {
    Grade grade;
    REQUIRE(system(("sed 's/^    signal(SIGPIPE/    signal(SIGCHLD, SIG_IGN);\\n&/' labs/zoo/servers/no-reaping.cpp | "
                    "${CXX:-g++} -std=c++17 -x c++ -o " +
                    grade.dir + "/server -")
                       .c_str()) == 0);
    CHECK(grade.run("--only 16 $dir/server") == 0);
    CAPTURE(grade.output);
    CHECK(grade.verdict("16-zombies") == "passed");
}

TEST_CASE("grade: a class in one table, whatever its programs are called", "[grade]") {
    Grade grade;
    std::filesystem::create_directory(grade.dir + "/class");
    std::filesystem::create_directory(grade.dir + "/class/ana's \x1b[2J server");
    grade.program("class/ana's \x1b[2J server/grade.sh", "exec " + zoo("strlen") + " \"$1\"");
    grade.program("class/bob", "exec " + std::string(std::filesystem::absolute(bin("TCPmtechod"))) + " \"$1\"");
    CHECK(grade.run("--only 01,04 --all $dir/class") == 1);
    CAPTURE(grade.output);
    CHECK_THAT(grade.output, ContainsSubstring("ana's ?[2J server") && ContainsSubstring("4 of 8   +  F") &&
                                 ContainsSubstring("8 of 8   +  +"));
    grade.program("class/bob", "exec " + std::string(std::filesystem::absolute(bin("TCPecho"))) + " \"$@\"");
    CHECK(grade.run("--client --only 51 --all $dir/class") == 1);
    CHECK_THAT(grade.output, ContainsSubstring("client         0 of 6   F") && ContainsSubstring("6 of 6   +"));
}

// Its name stands in what ss prints of it, and the grader kills the server by the number that stands there.
TEST_CASE("grade: a program that is called like a process number gets nobody else killed", "[grade][hostile]") {
    if (!isolates()) {
        WARN("no namespaces: not tested");
        return;
    }
    Grade grade;  // 1 is the grader's own there
    std::filesystem::copy_file(bin("TCPechod"), grade.dir + "/pid=1");
    CHECK(grade.run("--only 24,25 $dir/pid=1") == 0);
    CAPTURE(grade.output);
    CHECK(grade.verdict("25-sigterm") == "passed");
}

TEST_CASE("grade: a server that a signal's EINTR ends fails for that, and keeps nothing", "[grade]") {
    Grade grade;
    CHECK(grade.run("--only 13,18 " + zoo("dies-of-eintr")) == 1);
    CAPTURE(grade.output);
    for (auto& check : {"13-reset-queued", "18-memory"}) CHECK_THAT(grade.cause(check), ContainsSubstring("(EINTR; "));
}

TEST_CASE("grade: programs that attack the grader are ended, leave nothing, and get no points", "[grade][hostile]") {
    if (!isolates()) {
        WARN("no namespaces: not tested");
        return;
    }
    std::string checkout = std::filesystem::current_path();
    auto points = [] {
        std::ifstream file("labs/checks/points");
        return std::string((std::istreambuf_iterator<char>(file)), {});
    };
    std::string before = points();
    const std::vector<std::pair<std::string, std::string>> programs{
        {"bomb", "bomb() { bomb | bomb & }\nbomb\nwait"},
        {"noise", "exec yes 'ok  listens passed 4 of 4'"},
        {"killer", "kill -KILL $PPID; kill -KILL -1; kill -STOP -1; exit"},
        {"forger", "echo passed >" + checkout + "/labs/checks/forged; echo x >>" + checkout +
                       "/labs/checks/points; for v in $dir/out/*/; do echo passed >$v/verdict; done; echo; echo "
                       "'Score: 4 of 4. 1 passed, 0 failed'"},
        {"daemon", "setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 1; done' &\nexit 0"},
        {"swarm", "i=0; while [ $i -lt 500 ]; do sleep 1000 & i=$((i + 1)); done; wait"},
    };
    std::vector<Grade> grades(programs.size());
    std::vector<FILE*> running;
    for (size_t i = 0; i < programs.size(); ++i)
        running.push_back(
            grades[i].start("--only 01,02,03 " + grades[i].program(programs[i].first, programs[i].second)));
    for (size_t i = 0; i < programs.size(); ++i) {
        auto& grade = grades[i];
        CAPTURE(programs[i].first);
        CHECK(finish(running[i], grade.output) == 1);
        CAPTURE(grade.output);
        CHECK_THAT(grade.output, ContainsSubstring("01-listens         failed           0 of 4") &&
                                     ContainsSubstring("\nScore: 0 of 12. 0 passed, 3 failed"));
        CHECK(eventually([&] { return processes_of(grade.dir + "/" + programs[i].first) == 0; }));
    }
    CHECK_THAT(grades.back().cause("01-listens"), ContainsSubstring("it starts processes without end"));
    CHECK(access("labs/checks/forged", F_OK) != 0);
    CHECK(points() == before);
}

TEST_CASE("grade: what a server writes goes to its scratch directory alone, and it reads nobody's passwords",
          "[grade][hostile]") {
    if (!isolates()) {
        WARN("no namespaces: not tested");
        return;
    }
    Grade grade;
    std::string server = std::filesystem::absolute(bin("TCPmtechod"));
    std::string lines =
        "echo x >$dir/mine && echo WROTE; echo y >/tmp/scratch && echo SCRATCH; trap '' TERM; id -u; env; exec " +
        server + " \"$1\"";
    CHECK(grade.run("--only 01 " + grade.program("server", lines), "TOKEN=of_the_teacher LC_TIME=C") == 0);
    CAPTURE(grade.output);
    CHECK(access((grade.dir + "/mine").c_str(), F_OK) != 0);
    CHECK_THAT(grade.text("out/01-listens/server.out"), ContainsSubstring("SCRATCH") && !ContainsSubstring("WROTE") &&
                                                            ContainsSubstring("LC_TIME=C") &&
                                                            !ContainsSubstring("of_the_teacher"));
}

TEST_CASE("grade: without a right to namespaces the same verdicts, and what is not isolated is said", "[grade]") {
    Grade grade;
    CHECK(grade.run("--backend loopback --only 01,02,04,11,25 " + zoo("parent-keeps")) == 1);
    CAPTURE(grade.output);
    CHECK_THAT(grade.output, ContainsSubstring("Not isolated here: the file system") &&
                                 ContainsSubstring("Not isolated here: the network") &&
                                 ContainsSubstring("4 passed, 1 failed"));
    CHECK_THAT(grade.cause("11-fin"), ContainsSubstring("the parent keeps the connected socket open after fork()"));
    CHECK(eventually([&] { return processes_of("zoo/parent-keeps") == 0; }));
}

TEST_CASE("grade: an ordinary user grades as well", "[grade]") {
    Grade grade;
    std::string somebody = geteuid() ? "" : "setpriv --reuid=61999 --regid=61999 --clear-groups";
    CHECK(grade.run("--only 01,02,11 " + zoo("no-close"), "LAB_PREPARED=yes " + somebody) == 1);
    CAPTURE(grade.output);
    CHECK(grade.verdict("01-listens") == "passed");
    CHECK(grade.text("out/kind") == "sequential\n");
    CHECK_THAT(grade.cause("11-fin"), ContainsSubstring("nobody closes the connected socket"));
}

TEST_CASE("grade: a wrong command line is one clear line and exit status 2", "[grade]") {
    Grade grade;
    grade.directory.write("p1", "check 01-listens many\n");
    grade.directory.write("p2", "check 99-none 4\n");
    grade.directory.write("p3", "kinds fork\n");
    grade.directory.write("p4", "pass all\n");
    auto words = GENERATE(as<std::string>{}, "", "./no-such-program", "--only 77 TCPechod", "--jobs 0 TCPechod",
                          "--jobs many TCPechod", "--backend ssh TCPechod", "--only", "--fast TCPechod",
                          "--points $dir/none TCPechod", "--points $dir/p1 TCPechod", "--points $dir/p2 TCPechod",
                          "--points $dir/p3 TCPechod", "--points $dir/p4 TCPechod", "--all $dir/none",
                          "--all $dir TCPechod", "--list 77", "--client --only 01 TCPecho", "--only 51 TCPechod");
    CAPTURE(words);
    CHECK(grade.run(words) == 2);
    CAPTURE(grade.output);
    CHECK(grade.output.rfind("grade: ", 0) == 0);
    CHECK(count(grade.output, "\n") == 1);
    CHECK(access((grade.dir + "/out").c_str(), F_OK) != 0);
}

TEST_CASE("grade: --list has the checks and their questions, --list CHECK what it does", "[grade]") {
    Grade grade;
    std::string checks;
    CHECK(grade.run("--client --list") == 0);
    checks = grade.output;
    CHECK(grade.run("--list") == 0);
    CHECK_THAT(grade.output, ContainsSubstring("11-fin                   6  When a client has closed its side"));
    CHECK(grade.output.find("51-echo") == std::string::npos);
    checks += grade.output;
    for (auto& entry : std::filesystem::directory_iterator("labs/checks"))
        if (entry.is_directory()) CHECK_THAT(checks, ContainsSubstring(entry.path().filename().string() + " "));
    CHECK(grade.run("--client --list 61") == 0);
    CHECK_THAT(grade.output, ContainsSubstring("fails with ECONNRESET"));
    CHECK(grade.run("--list 12") == 0);
    CHECK_THAT(grade.output, ContainsSubstring("of a socket whose peer has closed"));
}
