// labs/quiz: students in pseudo-terminals find the mistake of a server of the zoo, or name something that does not show it.
#include "catch.hpp"
#include "support.hpp"
#include "terminal.hpp"

#include <map>
#include <regex>
#include <set>

using namespace test;

namespace {

// What the quiz's own functions print.
std::string asked(const std::string& words) {
    std::string output;
    int status = finish(popen(("labs=$PWD/labs; . labs/zoo/quiz/choose.sh; " + words).c_str(), "r"), output);
    INFO(words << output);
    REQUIRE(status == 0);
    return output.substr(0, output.find_last_not_of('\n') + 1);
}

// A student who gets this specimen, with a terminal for the quiz and one for each host.
class Student {
public:
    Student(int level, const std::string& specimen, const std::string& options = "")
        : level_(std::to_string(level)),
          name_(
              asked("n=1; until [ $(chosen s$n " + level_ + ") = " + specimen + " ]; do n=$((n + 1)); done; echo s$n")),
          quiz_({"sh", "-c",
                 "trap : INT; LAB_PREPARED=yes labs/quiz --plain --level " + level_ + " --student " + name_ +
                     " --logs " + logs_.path + " " + options + "; echo status $?; read -r line"}) {}

    Terminal& quiz() { return quiz_; }
    const std::string& name() const { return name_; }
    const std::string& logs() const { return logs_.path; }
    /// What stands in the text behind `before`, which is an expression: the last time.
    std::string last(const std::string& before) {
        std::string found;
        std::smatch m;
        for (std::string rest = quiz_.text(); std::regex_search(rest, m, std::regex(before + "([0-9]+)"));
             rest = m.suffix())
            found = m[1];
        return found;
    }
    std::string port() { return last("\\./server "); }
    std::string pid() { return last("# process "); }
    /// Until the quiz says this, after all that it has said before.
    bool hears(const std::string& what, Time deadline = patience) {
        bool heard = quiz_.shows(what, read_, deadline);
        if (heard) read_ = quiz_.text().find(what, read_) + what.size();
        INFO("the quiz should have said: " << what << "\n" << quiz_.text());
        CHECK(heard);
        return heard;
    }
    Terminal& on(const std::string& host) {
        auto& window = windows_[host];
        if (!window) {
            window.reset(new Terminal({"labs/run", "--enter", host, "--logs", logs_.path}));
            window->shows(host);
        }
        return *window;
    }
    void answer(const std::string& specimen, const std::string& evidence) {
        if (!hears("Your answer, a to f")) return;
        std::string offer = asked("offered " + name_ + " " + level_);
        quiz_.type(char('a' + std::count(offer.begin(), offer.begin() + long(offer.find(specimen)), '\n')) +
                   std::string("\r"));
        if (hears("Your evidence")) quiz_.type(evidence + "\r");
    }
    /// The last line of the source that is like this.
    void repair(const std::string& line) {
        if (hears("The line that is wrong")) quiz_.type(last_line(line) + "\r");
    }

private:
    std::string last_line(const std::string& like) {
        std::smatch m;
        std::string found, rest = quiz_.text();
        for (; std::regex_search(rest, m, std::regex("\n *([0-9]+)  [^\n]*" + like)); rest = m.suffix()) found = m[1];
        return found;
    }

    std::string level_, name_;
    Directory logs_;
    std::map<std::string, std::unique_ptr<Terminal>> windows_;
    size_t read_ = 0;
    Terminal quiz_;
};

// The class's page and the quiz's table, after `change` in the directory of the only level that is handed in.
std::string collected(Student& student, const std::string& change) {
    std::string output, archive = "handin-" + student.name();
    std::string commands =
        "top=$PWD && cd " + student.logs() + " && rm -rf in && mkdir in && $top/labs/handin --logs . --student " +
        student.name() + " -o in/x && tar -xzf in/x && rm in/x && (cd " + archive + "/quiz-? && " + change +
        ") && (cd " + archive +
        " && find . -type f ! -name manifest.txt | xargs sha256sum >manifest.txt) && tar -czf in/" + archive +
        ".tar.gz " + archive +
        " && LAB_PREPARED=yes $top/labs/collect -o class in >/dev/null && cat class-quiz.csv class.html";
    CHECK(finish(popen(("{ " + commands + "; } 2>&1").c_str(), "r"), output) == 0);
    return output;
}

bool has_namespaces() {
    if (system("(. labs/hosts/netns && hosts_enter true) >/dev/null 2>&1") == 0) return true;
    WARN("no namespaces here: not tested");
    return false;
}

// Processes that have something to do with these logs; one is the shell in which the quiz was started.
size_t processes_of(const std::string& logs) {
    size_t n = 0;
    for (pid_t pid : numbers_in("/proc")) {
        std::string proc = "/proc/" + std::to_string(pid);
        std::error_code error;
        std::ifstream file(proc + "/cmdline");
        std::string command;
        std::getline(file, command, char(1));
        n += command.find(logs) != command.npos ||
             std::filesystem::read_symlink(proc + "/exe", error).string().find(logs) != std::string::npos;
    }
    return n;
}

}  // namespace

TEST_CASE("quiz: level 1, a row of netstat; what is wrong costs a point, and is handed in", "[quiz]") {
    if (!has_namespaces()) return;
    Student student(1, "no-close");
    student.hears("Which mistake has it?", 60s);
    student.answer("parent-keeps", "CLOSE_WAIT 41234");
    student.hears("!! No. ");
    student.answer("no-close", "LISTEN " + student.port());
    student.hears("Nothing of");

    student.on("vit002").type("TCPecho vit001 " + student.port() + " </dev/null\r");
    student.on("vit001").type("until netstat -ptan | grep CLOSE; do :; done\r");
    REQUIRE(student.on("vit001").shows(student.pid() + "/"));
    std::smatch row;
    std::string text = student.on("vit001").text();
    REQUIRE(std::regex_search(text, row, std::regex("\ntcp .*CLOSE_WAIT.*")));
    student.answer("no-close", row.str().substr(1));
    student.hears("Yes, that is the mistake");
    student.repair("serve\\(connection\\);");
    student.hears("+        close(connection);");
    student.hears("level 1 solved, 1 of 3 points");
    student.hears("status 0\n");

    std::string solved = "\"" + student.name() + "\",1,solved,";
    std::string page = collected(student, "true");
    CHECK_THAT(page, ContainsSubstring(solved + "1,2,right,\"claimed\",right,\"\"\r\n") &&
                         ContainsSubstring("solved, 1 of 3") && ContainsSubstring("Evidence: claimed. Repair: right"));
    // What quiz.txt says of points is not believed; what it says was seen has to be in the tables.
    CHECK_THAT(collected(student, "sed -i 's/^points 1/points 3/; s/^wrong 2/wrong 0/' quiz.txt"),
               ContainsSubstring(solved + "1,2,right,\"claimed\",right,\"its own points are not what its answers") &&
                   ContainsSubstring("quiz, level 1: its own points are not"));
    CHECK_THAT(collected(student, "rm seen-3.txt"), ContainsSubstring(solved + "1,2,right,\"claimed, no table\""));
    CHECK_THAT(collected(student, "sed -i 's/CLOSE_WAIT/LISTEN/' seen-3.txt"),
               ContainsSubstring(",1,not solved,0,3,right,\"not shown\",right,"));
    CHECK_THAT(collected(student, "sed -i 's/^line .*/line 1/' quiz.txt"),
               ContainsSubstring(",1,not solved,0,3,right,\"claimed\",wrong,"));
    CHECK_THAT(collected(student, "sed -i 's/^name .*/name x/' student.txt"),
               ContainsSubstring("not the port that this name gets"));
}

TEST_CASE("quiz: level 5, a segment of one's own capture; another one is no evidence", "[quiz]") {
    if (!has_namespaces()) return;
    Student student(5, "linger");
    student.hears("Which mistake has it?", 60s);
    student.on("vit001").type("tcpdump -n -l -i eth0 tcp\r");
    REQUIRE(student.on("vit001").shows("listening on"));
    student.on("vit002").type("echo hello | TCPecho vit001 " + student.port() + "\r");
    auto segment = [&](const std::string& flags) {
        std::smatch m;
        REQUIRE(student.on("vit001").shows("Flags [" + flags));
        std::string text = student.on("vit001").text();
        REQUIRE(std::regex_search(text, m, std::regex("\n([0-9:.]+ IP [^\n]*Flags \\[" + flags + "[^\n]*)")));
        return m[1].str();
    };
    segment("R");
    student.answer("linger", segment("F"));
    student.hears("There is");
    student.answer("linger", segment("R"));
    student.hears("Yes, that is the mistake");
    student.repair("SO_LINGER");
    student.hears("level 5 solved, 2 of 3 points");
    student.hears("status 0\n");
    CHECK_THAT(collected(student, "true"), ContainsSubstring(",5,solved,2,1,right,\"shown again\",right,\"\"") &&
                                               ContainsSubstring("Evidence: shown again. Repair: right"));
    CHECK_THAT(collected(student, "head -c 24 vit001.pcap >x; mv x vit001.pcap"),
               ContainsSubstring(",5,not solved,0,2,right,\"not shown\",right,"));
}

TEST_CASE("quiz: level 2, a process and its state; who leaves has not solved it, and that counts", "[quiz]") {
    Student student(2, "no-reaping", "--backend loopback");
    student.hears("Which mistake has it?", 60s);
    Client(std::stoi(student.port())).close();
    pid_t server = std::stoi(student.pid());
    REQUIRE(eventually([&] { return zombies_of(server).size() == 1; }));
    std::string zombie = std::to_string(zombies_of(server)[0]);
    for (auto& evidence : {student.pid() + " S", zombie + " S"}) {
        student.answer("no-reaping", evidence);
        student.hears("There is");
    }
    student.answer("no-reaping", zombie + " Z");
    student.hears("Yes, that is the mistake");
    student.quiz().type("q\r");
    student.hears("level 2 ended, 0 of 3 points");
    student.hears("status 1\n");
    std::string output;
    CHECK(finish(popen(("labs/handin --logs " + student.logs() + " --student " + student.name() + " -o " +
                        student.logs() + "/x.tar.gz")
                           .c_str(),
                       "r"),
                 output) == 0);
    CHECK_THAT(output, ContainsSubstring("quiz-2: not solved") && ContainsSubstring("packed 1 "));
}

TEST_CASE("quiz: the right mistake without what shows it is not solved; the answer is shown then", "[quiz]") {
    Student student(1, "parent-keeps", "--backend loopback");
    student.hears("Which mistake has it?", 60s);
    Client client(std::stoi(student.port()));
    client.close();
    REQUIRE(eventually([&] { return sockets("CLOSE_WAIT", std::stoi(student.port())) == 1; }));
    for (const char* evidence : {"CLOSE_WAIT", "the parent", "CLOSE_WAIT 1"}) student.answer("parent-keeps", evidence);
    student.hears("+        close(connection);");
    student.hears("level 1 not solved, 0 of 3 points");
    student.hears("status 1\n");
}

TEST_CASE("quiz: however it ends, neither a process nor the server is left", "[quiz]") {
    auto [backend, key, status] = GENERATE(
        table<std::string, std::string, int>({{"netns", "\3", 130}, {"loopback", "\3", 130}, {"loopback", "q\r", 1}}));
    if (backend == "netns" && !has_namespaces()) return;
    CAPTURE(backend, status);
    Student student(2, "child-keeps-listener", "--backend " + backend);
    student.hears("Your answer", 60s);
    std::unique_ptr<Client> client;
    if (backend == "loopback") {
        client = std::make_unique<Client>(std::stoi(student.port()));
        client->send("x");
        client->receive(1);  // by a child
    }
    CHECK(processes_of(student.logs()) > 2);
    student.quiz().type(key);
    student.hears("status " + std::to_string(status) + "\n");
    CHECK(eventually([&] { return processes_of(student.logs()) == 1; }));
    std::string left;
    finish(popen(("cd " + student.logs() + "/quiz-2/* && ls -A").c_str(), "r"), left);
    CHECK_THAT(left, ContainsSubstring("quiz.txt") && !ContainsSubstring("server\n") && !ContainsSubstring(".pid"));
}

TEST_CASE("quiz: the name decides, and a level has enough to choose from", "[quiz]") {
    CHECK(asked("chosen ann 1; offered ann 1") == asked("chosen ann 1; offered ann 1"));
    for (std::string level : {"1", "2", "3", "4", "5"}) {
        CAPTURE(level);
        std::istringstream of_names(
            asked("for n in 1 2 3 4 5 6 7 8; do echo $(chosen s$n " + level + ") $(offered s$n " + level + "); done"));
        std::set<std::string> specimens, orders;
        for (std::string line, right; std::getline(of_names, line);) {
            std::istringstream words(line);
            words >> right;
            std::set<std::string> offered;
            for (std::string each; words >> each;) offered.insert(each);
            CAPTURE(line);
            CHECK(offered.size() == 6);
            CHECK(offered.count(right) == 1);
            specimens.insert(right), orders.insert(line);
        }
        CHECK(specimens.size() > 2);
        CHECK(orders.size() == 8);
    }
}

TEST_CASE("quiz: each specimen that is asked has a repair, a sentence that fits, and evidence", "[quiz]") {
    CHECK(asked("specimens | while read -r level s; do "
                "[ \"$(source_of $s | wc -l)\" -gt 20 ] || echo no source: $s; "
                "! source_of $s | grep -q '//' || echo a comment: $s; "
                "[ -n \"$(repaired $s)\" ] && [ \"$(repaired $s)\" != \"$(source_of $s)\" ] || echo no repair: $s; "
                "case \"$(field evidence $s)\" in 'row '*' : '* | 'process '*' : '* | 'segment number : '*) ;; "
                "*) echo no evidence: $s ;; esac; "
                "for key in shown lab; do [ -n \"$(field $key $s)\" ] || echo no $key: $s; done; "
                "field mistake $s | awk 'length > 69 || !NF { print \"not a line: \" $0 }'; done") == "");
}

TEST_CASE("quiz: what cannot be done is said, with its status", "[quiz]") {
    std::string output;
    CHECK(finish(popen("labs/quiz --level 6 2>&1", "r"), output) == 2);
    CHECK_THAT(output, ContainsSubstring("--level must be 1..5, not '6'"));
    CHECK(finish(popen("labs/quiz --backend ssh 2>&1", "r"), output) == 2);
    CHECK(finish(popen("labs/quiz </dev/null 2>&1", "r"), output) == 2);
    CHECK_THAT(output, ContainsSubstring("a terminal is needed"));
    Student student(5, "strlen", "--backend loopback");
    student.hears("level 5 needs a capture", 60s);
    student.hears("status 4\n");
}
