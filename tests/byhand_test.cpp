// Labs by hand: students in pseudo-terminals type what the coach asks for, or something else, and the coach says what it saw.
#include "catch.hpp"
#include "support.hpp"
#include "terminal.hpp"

#include <iterator>
#include <map>
#include <regex>

using namespace test;

namespace {

// What varies with the name in the run of `name`: its line of student.txt.
std::string varies(const std::string& logs, const std::string& name, const std::string& what) {
    std::string value, command = "sed -n 's/^" + what + " //p' " + logs + "/*/*-" + name + "/student.txt 2>/dev/null";
    eventually([&] { return finish(popen(command.c_str(), "r"), value = ""), !value.empty(); });
    return value.substr(0, value.find('\n'));
}
// The first port of that run: its last three digits are the name's.
int first_port(const std::string& logs, const std::string& name) {
    return 8990 + (stoi(varies(logs, name, "ports")) + 10) % 1000;
}

// A student at a lab: the coach's terminal, one for each program that was started, and one for each host.
class Student {
public:
    explicit Student(const std::string& lab, const std::string& options = "", const std::string& logs = "",
                     const std::string& name = "eva")
        : logs_(logs.empty() ? own_logs_.path : logs),
          name_(name),
          one_stack_(options.find("loopback") != options.npos),
          coach_({"sh", "-c",
                  "LAB_PREPARED=yes LAB_KEY_TIME=1 LAB_PATIENCE=2 exec labs/run --plain --by-hand --student " + name +
                      " --logs " + logs_ + " " + options + " " + lab}) {}

    Terminal& coach() { return coach_; }
    const std::string& logs() const { return logs_; }
    std::string port(int nth = 0) const { return std::to_string(first_port(logs_, name_) + nth); }
    size_t letters() const { return varies(logs_, name_, "word").size(); }
    Terminal& window(const std::string& name, const std::string& host = "") {
        auto& window = windows_[name];
        if (!window) {
            std::vector<std::string> command{"labs/run", "--enter", host, "--logs", logs_, "--student", name_};
            if (one_stack_) command = {"sh", "-c", "PATH=bin:$PATH PS1='" + host + "$ ' exec sh -i"};
            window = std::make_unique<Terminal>(command);
            eventually([&] { return waits(window->text()); });
        }
        return *window;
    }
    /// The next complete line of the coach's, or a question that waits at its end; false when nothing comes.
    bool next(std::string& line, Time deadline = patience) {
        return eventually(
            [&] {
                const std::string& text = coach_.text();
                size_t end = text.find('\n', read_);
                if (end != text.npos) line = text.substr(read_, end - read_), read_ = end + 1;
                else if (text.size() > 2 && text.compare(text.size() - 1, 1, " ") == 0 &&
                         std::regex_search(text.substr(read_), std::regex("\\(.*Enter.*\\):? $")))
                    line = text.substr(read_), read_ = text.size();
                else return false;
                return true;
            },
            deadline);
    }
    /// Until the coach has said this, wherever its lines end; false when it never does.
    bool hears(const std::string& what) {
        return eventually([&] {
            for (size_t start = read_, end; start < coach_.text().size(); ++start)
                if ((end = said(coach_.text(), start, what)) > start) return read_ = end, true;
            return false;
        });
    }
    /// `keys` in a terminal of the host, which is called so.
    void types(const std::string& name, const std::string& host, const std::string& keys) {
        window(name, host).type(keys);
    }
    /// Does what the coach asks for, with exactly the commands that it shows, until the lab is over: its last line.
    std::string do_all() { return do_until("^Lab [0-9].*: (passed|skipped|FAILED|interrupted|ended)"); }
    /// The same until the coach says a line like this, which is not done.
    std::string do_until(const std::string& like) {
        std::string line, question;
        for (std::smatch m;;) {
            if (!next(line, 90s)) return "nothing more from the coach";
            if (std::regex_search(line, std::regex(like))) return line;
            if (getenv("TRACE"))
                std::ofstream(getenv("TRACE"), std::ios::app)
                    << Clock::now().time_since_epoch().count() / 10000000 % 10000 << " " << line << std::endl;
            // what is folded goes on in lines that begin with four blanks, and is one
            if (line.rfind("    ", 0) == 0 && line.find("Enter: not looked") == line.npos) question += line.substr(3);
            if (line.rfind("   ? ", 0) == 0) question = line;
            if (line.rfind("!! ", 0) == 0) complaints_ += line + "\n";
            else if (line.rfind(">> ", 0) == 0) obey(line.substr(3));
            else if (line.find("Your prediction (") != line.npos) {
                if (getenv("THINK")) std::this_thread::sleep_for(std::chrono::seconds(atoi(getenv("THINK"))));
                coach_.type("\r");
            } else if (line.find("Enter: not looked) ") == line.npos) continue;
            else if (std::regex_search(question, m, std::regex("in (.*)'s window: do you see   (.*)$")))
                answer(m[1], m[2]);
            else if (std::regex_search(question, m,
                                       std::regex("stands behind  (.*)  in the last line of (.*)'s window")))
                tell_value(m[2], m[1]);
            else if (std::regex_search(question, m,
                                       std::regex("how many lines of (.*)'s window have the word  (.*) \\?")))
                coach_.type(std::to_string(count(window(m[1]).text(), " " + m[2].str() + " ")) + "\r");
            else coach_.type("\r");
        }
    }
    /// What the coach found wrong meanwhile.
    const std::string& complaints() const { return complaints_; }

private:
    void obey(const std::string& task) {
        if (task.rfind("The script ", 0) == 0) return;
        std::smatch m;
        if (task.rfind("put it right", 0) == 0 && coach_.shows("  ok: ", read_)) return;  // it was only late
        if (task.rfind("put it right", 0) == 0 || task.rfind("look, ", 0) == 0) return coach_.type("\r");
        coach_.type("c");
        std::string command;
        do
            if (!next(command)) return;
        while (!std::regex_search(command, m, std::regex("^   ([^ ]+)([$<]) (.*)$")));
        std::string place = m[1], words = m[3], program = task.substr(0, task.find_first_of(", "));
        if (m[2] == "<") {
            window(place).type(words == "Ctrl-D" ? "\4" : words + "\r");
            if (std::regex_search(words, std::regex("^(short|timeout|shutdown) ")))
                coach_.type("\r");  // the coach sees nothing
            return;
        }
        bool starts = task.find(", on ") == program.size();
        Terminal& at = window(starts ? program + " " : place, place);
        if (starts && windows_.count(program)) windows_.erase(program);
        size_t before = at.text().size();
        at.type(words + "\r");
        if (!starts) {
            if (std::regex_search(words, std::regex("^(kill .*[0-9]$|sysctl )"))) return;
            eventually([&] { return ended(at, before); });
            return coach_.type("\r");
        }
        windows_[program] = std::move(windows_[program + " "]);
        windows_.erase(program + " ");
        // it may end by itself, and nothing be seen of it
        eventually([&] { return coach_.text().find("seen: ", read_) != coach_.text().npos || ended(at, before); });
        if (ended(at, before) && !coach_.shows("seen: ", read_, 5s)) coach_.type("e");
    }
    // The shell waits at its prompt again, "vit001$ " or root's "vit001# ".
    static bool waits(const std::string& text) {
        std::string end = text.substr(text.size() - std::min<size_t>(text.size(), 8));
        return end.rfind("vit00", 0) == 0 && (end.substr(6) == "$ " || end.substr(6) == "# ");
    }
    static bool ended(Terminal& window, size_t from) {
        return window.text().find('\n', from) != std::string::npos && waits(window.text());
    }
    // Where `what` ends in the text when it begins at `at`, any blanks being as good as others; 0: it is not there.
    static size_t said(const std::string& text, size_t at, const std::string& what) {
        for (size_t i = 0; i < what.size();) {
            if (isspace(what[i])) {
                if (at == text.size() || !isspace(text[at])) return 0;
                while (i < what.size() && isspace(what[i])) ++i;
                while (at < text.size() && isspace(text[at])) ++at;
            } else if (at == text.size() || text[at++] != what[i++]) return 0;
        }
        return at;
    }
    void answer(const std::string& name, const std::string& words) {
        coach_.type(windows_.count(name) && window(name).shows(words, 0, 6000ms) ? "y" : "n");
    }
    void tell_value(const std::string& name, const std::string& key) {
        std::smatch m;
        std::string text = window(name).text(), value;
        for (; std::regex_search(text, m, std::regex("(?:^|[ \n])" + key + " ?([^ \n]*)")); text = m.suffix())
            value = m[1];
        coach_.type(value + "\r");
    }

    Directory own_logs_;
    std::string logs_, name_, complaints_;
    bool one_stack_;
    std::map<std::string, std::unique_ptr<Terminal>> windows_;
    size_t read_ = 0;
    Terminal coach_;
};

// What is wider than the terminal. What is to be typed is one line, behind three blanks; a word that is longer stays whole.
std::string too_wide(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        size_t word = line.find_first_not_of(' ');
        if (line.size() > 80 && word != 3 && line.find(' ', word) != line.npos) return line;
    }
    return "";
}

// Four at once, with the commands that the coach shows.
void do_labs(std::vector<std::string> labs) {
    if (labs.size() > 4) {
        do_labs({labs.begin() + 4, labs.end()});
        labs.resize(4);
    }
    std::map<std::string, std::string> ends, shown, complaints;
    std::mutex mutex;
    std::vector<std::thread> students;
    for (auto& lab : labs)
        students.emplace_back([&, lab] {
            Student student(lab);
            std::string end = student.do_all(), text = student.coach().text();
            std::lock_guard lock(mutex);
            ends[lab] = end, shown[lab] = text, complaints[lab] = student.complaints();
        });
    for (auto& student : students) student.join();
    for (auto& lab : labs) {
        INFO(shown[lab]);
        CHECK(ends[lab].find("passed, ") != std::string::npos);
        CHECK(ends[lab].find("not as expected") == std::string::npos);
        CHECK(complaints[lab] == "");
        CHECK(too_wide(shown[lab]) == "");
    }
}

}  // namespace

// LABS="07 11": these, as often as you like. THINK=5: the student takes so many seconds for each prediction.
TEST_CASE("by hand: each lab, with the commands that the coach shows", "[byhand]") {
    std::vector<std::string> labs = {"01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12"};
    if (getenv("LABS")) {
        std::istringstream chosen(getenv("LABS"));
        labs.assign(std::istream_iterator<std::string>(chosen), {});
    }
    do_labs(labs);
}

TEST_CASE("by hand: the labs of calls, messages, families and logs", "[byhand]") {
    do_labs({"14", "15", "16", "17", "18"});
}

TEST_CASE("by hand: a student who does nothing is helped; any program counts, and its RST is told", "[byhand]") {
    setenv("LAB_HINT_AFTER", "1", 1);
    Student student("01");
    unsetenv("LAB_HINT_AFTER");
    CHECK(student.do_until(">> server, on vit001: ").rfind(">> ", 0) == 0);
    CHECK(student.hears("hint: a server, on vit001, that listens on port " + student.port()));
    CHECK(student.hears("vit001$ seqserver -v " + student.port()));
    CHECK(student.hears("s lets the script do this step; q ends"));
    student.types("server", "vit001", "seqserver -v " + student.port() + "\r");
    student.do_until(">> ana, on vit002: ");
    std::string own = student.logs() + "/own";
    REQUIRE(system(("cp bin/TCPecho " + own).c_str()) == 0);
    student.types("ana", "vit002", own + " --close abort vit001 " + student.port() + "\r");
    std::smatch m;
    std::string task = student.do_until("type the line   [a-p]{6,9}");
    INFO(student.coach().text() << student.window("ana").text());
    REQUIRE(std::regex_search(task, m, std::regex("type the line   ([a-p]{6,9})$")));
    student.types("ana", "vit002", m[1].str() + "\26\r\r");  // a CR, and the LF of its line
    CHECK(student.hears("seen: " + std::to_string(student.letters() + 2) + " bytes of ana in all"));
    student.do_until("end the input with Ctrl-D");
    INFO(student.coach().text());
    CHECK(student.complaints().empty());
    student.types("ana", "vit002", "\4");
    CHECK(student.hears("seen: a RST from ana; waited for: a FIN."));
    student.coach().type("\r");
    CHECK(student.do_all().find("not as expected") != std::string::npos);
    CHECK(student.coach().ends() == 1);
}

TEST_CASE("by hand: four students on one machine do not disturb each other, and the board shows them", "[byhand]") {
    Directory logs, board;
    std::vector<std::unique_ptr<Student>> students;
    std::vector<std::string> ends(4);
    std::vector<int> status(4);
    std::vector<std::thread> hands;
    for (std::string name : {"ann", "bob", "cid", "dan"})
        students.push_back(std::make_unique<Student>(
            "01", "--board " + board.path + (name < "c" ? "" : " --backend loopback"), logs.path, name));
    for (size_t i = 0; i < 4; ++i)
        hands.emplace_back([&, i] { ends[i] = students[i]->do_all(), status[i] = students[i]->coach().ends(); });
    for (auto& hand : hands) hand.join();
    for (size_t i = 0; i < 4; ++i) {
        INFO(students[i]->coach().text());
        CHECK(ends[i].find("passed, ") != std::string::npos);
        CHECK(students[i]->complaints().empty());
        CHECK(status[i] == 0);
    }
    std::string shown;
    finish(popen(("labs/collect --watch --once " + board.path).c_str(), "r"), shown);
    INFO(shown);
    for (std::string name : {"ann", "bob", "cid", "dan"})
        CHECK(std::regex_search(shown, std::regex("   done  " + name + " +01 +passed, ")));
}

TEST_CASE("by hand: what a clumsy student does is named in one line, and never ends the lab", "[byhand]") {
    Student student("03");
    Terminal& coach = student.coach();
    INFO(coach.text());
    auto hears = [&](const std::string& what) {
        bool heard = student.hears(what);
        INFO("the coach should have said: " << what << "\n" << coach.text());
        REQUIRE(heard);
    };

    hears(">> buggy, on vit001: ");
    const std::string port = student.port();
    student.types("wrong host", "vit002", "seqserver --bug no-close " + port + "\r");
    hears("listens on vit002; waited for:");
    student.types("wrong host", "vit002", "\3");
    student.types("server", "vit001", "seqserver --bug no-close " + student.port(9) + "\r");
    hears("listens on port " + student.port(9) + ";");
    student.types("server", "vit001", "\3seqserver " + port + "\r");
    hears("without --bug; waited for: seqserver --bug");
    student.types("server", "vit001", "\3seqserver --bug no-close " + port + "\r");
    hears("seen: seqserver (process");

    hears(">> ana, on vit002: ");
    student.types("client", "vit002", "TCPecho vit001 " + student.port(1) + "\r");
    hears("seen: a SYN to port " + student.port(1) + ", answered by RST");
    student.types("other", "vit003", "TCPecho vit001 " + port + "\r");
    hears("seen: a connection from vit003 ");
    student.types("other", "vit003", "\3");
    student.types("server", "vit001", "\3");  // too early
    hears("seen: buggy's program has ended; start it again");
    student.types("client", "vit002", "TCPecho vit001 " + port + "\r");
    hears("seen: a SYN to port " + port + ", answered by RST");
    student.types("server", "vit001", "seqserver --bug no-close " + port + "\r");
    hears("seen: buggy is back, process");
    // any program counts
    student.types("client", "vit002", "bash -c 'exec 3<>/dev/tcp/vit001/" + port + "; cat >&3'\r");
    hears("seen: a connection from 10.98.0.2:");
    hears("type the line");
    student.types("other", "vit003", "TCPecho vit001 " + port + "\r");
    hears("seen: an extra client, on vit003: TCPecho");
    student.types("other", "vit003", "\3");
    student.types("client", "vit002", "abc\r");
    hears("seen: 4 bytes of ana; waited for: " + std::to_string(student.letters() + 1));
    student.types("client", "vit002", "\3");
    hears("ana's connection is closed");

    coach.type("b");
    hears("from step 1 on, on a new port");
    hears(">> buggy, on vit001: ");
    coach.type("s");  // let the script do it
    hears("== Step 2.");
    hears("Enter goes on): ");
    coach.type("\r");
    hears(">> on vit002: end ana's program:   kill -KILL ");
    coach.type("q");
    hears("labs/run --by-hand --resume 03");
    hears("ended at step 2");

    Student later("03", "--resume", student.logs());
    later.hears("the script does what comes before step 2");
    CHECK(later.hears("== Step 2. "));
    CHECK(later.hears("Enter goes on): "));
    later.coach().type("\r");
    CHECK(later.hears(">> on vit002: end ana's program: kill -KILL "));
    later.coach().type("q");
    CHECK(later.hears("ended at step 2"));
    std::string log;
    finish(popen(("cd " + student.logs() +
                  "/03*/*-eva && cat minutes.txt student.txt resume.txt && ls && grep -o '<h2>Step 1.* s)' report.html")
                     .c_str(),
                 "r"),
           log);
    INFO(log);
    CHECK(log.rfind("1 ", 0) == 0);
    CHECK(log.find("name eva\nlab 03-missing-close\nnonce ") != log.npos);
    CHECK(log.find("\n2\n") != log.npos);
    CHECK(log.find("(0 min ") != log.npos);
    for (std::string file : {"vit001.1.pcap", "vit001.2.pcap", "vit001.pcap"})
        CHECK(log.find("\n" + file + "\n") != log.npos);
}

TEST_CASE("by hand: a program that is stopped, one too many, or too early is named, too", "[byhand]") {
    Student student("03");
    Terminal& coach = student.coach();
    const std::string own = student.logs() + "/own";  // a server that is none of ours to the coach
    REQUIRE(system(("cp bin/seqserver " + own).c_str()) == 0);
    const std::string port = student.port(), line = std::to_string(student.letters() + 1);
    auto hears = [&](const std::string& what) {
        bool heard = student.hears(what);
        INFO("the coach should have said: " << what << "\n" << coach.text());
        REQUIRE(heard);
    };

    hears(">> buggy, on vit001: ");
    coach.type("\023?");  // Ctrl-S stops nothing here
    hears("keys: r what is to be done");
    student.types("client", "vit002", "TCPecho vit001 " + port + "\r");
    hears("seen: a SYN to port " + port + ", answered by RST; waited for: first the server");
    if (coach.text().find("sysctl -w") != std::string::npos) {  // we may set it
        student.types("server", "vit001", "sysctl -w net.ipv6.bindv6only=1; " + own + " -a :: " + port + "\r");
        hears("listens on IPv6 addresses alone; waited for: port " + port + " on every address");
    }
    student.types("server", "vit001", "\3" + own + " -o reuseport " + port + "\r");
    hears("seen: own (process");
    hears(">> ana, on vit002: ");
    student.types("second", "vit001", own + " -o reuseport " + port + "\r");
    hears("seen: an extra server, on vit001: own (process");
    student.types("second", "vit001", "\3");
    student.types("server", "vit001", "\032");  // Ctrl-Z
    hears("is stopped, as Ctrl-Z does it; waited for: that it runs.");
    student.types("server", "vit001", "fg\r");
    student.types("elsewhere", "vit003", "seqserver " + port + "\r");
    REQUIRE(student.window("elsewhere").shows("listening on"));
    student.types("client", "vit002", "TCPecho vit003 " + port + "\r");
    hears("seen: a connection to 10.98.0.3:" + port + " (TCPecho, process ");
    hears("waited for: one to vit001");
    student.types("client", "vit002", "\3TCPecho fd98::1 " + port + "\r");
    hears("seen: a SYN to [fd98::1]:" + port + ", answered by RST; waited for: one to 0.0.0.0:" + port +
          ", where the server listens");
    student.types("client", "vit002", "TCPecho vit001 " + port + "\r");
    hears("type the line");
    student.types("client", "vit002", "a\4");  // and a line that never ends
    hears("seen: 1 bytes of ana; waited for: " + line);
    student.types("client", "vit002", "bcdefghij \r");
    hears("seen: 12 bytes of ana; waited for: " + line + ". What is counted later will differ");
    hears("ok: ana says");
    hears("Enter goes on): ");
    coach.type("TCPecho vit001 " + port + "\r");  // the wrong window
    hears("That is none of them.");
    coach.type("\r");
    hears(">> on vit002: end ana's program:");
    student.types("client", "vit002", "\032");
    hears("is stopped, as Ctrl-Z does it; waited for: its end.");
    student.types("client", "vit002", "fg\r");
    REQUIRE(student.window("client").shows("fg\nTCPecho"));
    student.types("client", "vit002", "\3");
    hears("seen: ana's process is gone");
}

TEST_CASE("by hand: what was done before the prediction counts once more, and a hand takes over from the script",
          "[byhand]") {
    Student student("01");
    Terminal& coach = student.coach();
    auto hears = [&](const std::string& what) {
        bool heard = student.hears(what);
        INFO("the coach should have said: " << what << "\n" << coach.text());
        REQUIRE(heard);
    };
    student.do_until(">> server, on vit001: ");
    coach.type("s");
    hears("== Step 2.");
    hears("Enter goes on): ");
    Terminal& early = student.window("early", "vit002");
    early.type("TCPecho -v vit001 " + student.port(1) + "\r");
    REQUIRE(early.shows("connected"));
    early.type("\4");
    REQUIRE(early.shows("the server has closed"));
    coach.type("\r");
    hears("A client was there before you had answered, and has gone: once more.");
    early.type("TCPecho -v vit001 " + student.port(1) + "\r");
    hears("seen: a connection from 10.98.0.2:");
    coach.type("s");
    for (std::string step : {"3", "4", "5"}) {
        hears("== Step " + step + ".");
        hears("Enter goes on): ");
        coach.type("\r");
        hears(step == "3"   ? "The script types this itself"
              : step == "4" ? ">> look, "
                            : ">> on vit001: end server's program: ");
        if (step == "4") coach.type("s");
    }
    std::string task = student.do_until("kill -TERM [0-9]+");
    student.types("any", "vit001", task + "\r");
    CHECK(student.do_all().find("passed, ") != std::string::npos);
    INFO(coach.text());
    CHECK(coach.text().find("parameter not set") == std::string::npos);
    CHECK(coach.text().find("in server's window") == std::string::npos);
}

TEST_CASE("by hand: another student's server on the same network stack is nobody's mistake", "[byhand]") {
    Student first("01", "--backend loopback"), second("01", "--backend loopback", "", "bob");
    first.do_until(">> ana, on vit002: ");
    second.do_until(">> server, on vit001: ");
    second.coach().type("\r");
    bool heard = second.hears("seen: nothing of it yet");
    INFO(second.coach().text());
    CHECK(heard);
}

TEST_CASE("by hand: without any right there are states to be seen, and no packets", "[byhand]") {
    Student student("01", "--backend loopback");
    std::string end = student.do_all();
    INFO(student.coach().text());
    CHECK(end.find("passed, ") != end.npos);
    CHECK(end.find("not as expected") == end.npos);
}

TEST_CASE("by hand: in tmux each host has its terminal, and every one says what is to be done", "[byhand]") {
    if (system("command -v tmux >/dev/null")) {
        WARN("no tmux here: skipped");
        return;
    }
    Directory logs;
    auto left = [] { return system("ls -d /tmp/tcp-lab-$(id -u)/tmux-* >/dev/null 2>&1") == 0; };
    bool before = left();
    std::string command =
        "TERM=xterm LAB_PREPARED=yes exec labs/run --by-hand --student eva --logs " + logs.path + " 03";
    Terminal screen({"sh", "-c", command});
    INFO(screen.text());
    REQUIRE(screen.shows(">> buggy, on vit001: seqserver"));
    screen.type("\033OQ");  // F2
    REQUIRE(screen.shows("vit001"));
    screen.type("\4");  // once too often: the shell has ended
    REQUIRE(screen.shows("(ended; F2 starts it again)"));
    screen.type("\033OQ");
    size_t from = screen.text().size();
    screen.type("\f");
    REQUIRE(screen.shows("vit001", from));
    const std::string port = std::to_string(first_port(logs.path, "eva"));
    screen.type("seqserver --bug no-close " + port + "\r");
    REQUIRE(screen.shows(">> ana, on vit002: TCPecho"));
    screen.type("\033OR");
    screen.type("TCPecho vit001 " + port + "\r");
    REQUIRE(screen.shows(">> in ana's window (vit002): type the line"));
    screen.type("\033OP");
    screen.type("q");
    REQUIRE(screen.shows("Enter closes these terminals."));
    screen.type("\r");
    REQUIRE(screen.shows("ended at step 1 after"));
    CHECK(screen.ends() == 4);
    CHECK((before || !left()));
}
