// The labs at a terminal, and without one: who types does so into one lab at a time, Ctrl-C is no failure, a closed stdin
// or a reader that goes away leaves nothing behind.
#include "catch.hpp"
#include "support.hpp"

#include <sys/ioctl.h>

using namespace test;

namespace {

// A program of labs/ on a terminal of its own.
class Terminal {
    int master_ = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    std::string name_;
    Process process_;
    std::string shown_;

public:
    Terminal(const std::string& program, const std::vector<std::string>& args)
        : name_(grantpt(master_) || unlockpt(master_) ? "" : ptsname(master_)),
          process_("../labs/" + program, args, [this] {
              setsid();
              int fd = open(name_.c_str(), O_RDWR);
              if (fd < 0 || ioctl(fd, TIOCSCTTY, 0)) _exit(126);
              for (int standard : {0, 1, 2}) dup2(fd, standard);
          }) {}
    ~Terminal() { close(master_); }
    Process& process() { return process_; }
    void type(const std::string& text) const {
        REQUIRE(write(master_, text.data(), text.size()) == ssize_t(text.size()));
    }
    // Everything shown so far.
    const std::string& shown() {
        char part[4096];
        for (pollfd readable{master_, POLLIN, 0}; poll(&readable, 1, 0) > 0;) {
            ssize_t n = read(master_, part, sizeof part);
            if (n <= 0) break;
            shown_.append(part, n);
        }
        return shown_;
    }
    // After the first `from` characters.
    bool shows(const std::string& text, size_t from = 0) {
        return eventually([&] { return shown().find(text, from) != std::string::npos; });
    }
    int ends() {
        eventually([&] { return shown(), !process_.running(); });
        return shown(), process_.wait_exit();
    }
};

}  // namespace

TEST_CASE("labs/run --pause and --keep with several labs: one after the other, in sight", "[labs][terminal]") {
    Directory logs;
    setenv("LAB_PREPARED", "yes", 1);
    auto option = GENERATE(as<std::string>{}, "--pause", "--keep");
    CAPTURE(option);
    Terminal terminal("run", {option, "--backend", "loopback", "--logs", logs.path, "01", "03"});
    size_t asked = 0;  // each question wants an Enter
    auto until = [&](const std::string& text) {
        return eventually([&] {
            for (; asked < count(terminal.shown(), "Enter"); ++asked) terminal.type("\n");
            return terminal.shown().find(text) != std::string::npos;
        });
    };
    CHECK(terminal.shows("Lab 01-first-echo: "));
    CHECK(terminal.shown().find("Lab 03-missing-close: ") == std::string::npos);
    CHECK(until("Lab 01-first-echo: passed"));
    CHECK(until("Lab 03-missing-close: passed"));
    CHECK(terminal.shows("2 passed, 0 failed, 0 skipped"));
    CHECK(terminal.ends() == 0);
    CHECK(terminal.shown().find("Lab 03-missing-close: ") > terminal.shown().find("Lab 01-first-echo: passed"));
    unsetenv("LAB_PREPARED");
}

TEST_CASE("Ctrl-C is no failure", "[labs][terminal]") {
    Directory logs;
    setenv("LAB_PREPARED", "yes", 1);
    Terminal terminal("run", {"--backend", "loopback", "--logs", logs.path, "04"});
    REQUIRE(terminal.shows("ok: bob is ESTABLISHED"));
    terminal.type("\003");
    CHECK(terminal.ends() == 130);
    CHECK_THAT(terminal.shown(), ContainsSubstring("Lab 04-queue: interrupted after ") && !ContainsSubstring("FAILED"));
    unsetenv("LAB_PREPARED");
}

TEST_CASE("labs/run --enter at a terminal: a line is edited and found again", "[labs][keep][terminal]") {
    if (system("unshare -U true 2>/dev/null || [ $(id -u) = 0 ]") || system("command -v bash >/dev/null")) {
        WARN("no namespaces or no bash here: skipped");
        return;
    }
    Directory logs;
    setenv("LAB_PREPARED", "yes", 1);
    Process keeper("../labs/run", {"--keep", "--logs", logs.path});
    REQUIRE(keeper.wait_for_stdout("./labs/run --enter vit001"));
    setenv("HISTFILE", (logs / "history").c_str(), 1);
    Terminal terminal("run", {"--enter", "vit002", "--logs", logs.path});
    unsetenv("HISTFILE");
    CHECK(terminal.shows("vit002"));
    terminal.type("echo said X\b\"$((40+2))\"\n");
    CHECK(terminal.shows("said 42"));
    size_t until_now = terminal.shown().size();
    terminal.type("\x1b[A\n");
    CHECK(terminal.shows("said 42", until_now));
    terminal.type("exit\n");
    CHECK(terminal.ends() == 0);
    keeper.write_stdin("\n");
    CHECK(keeper.wait_exit() == 0);
    unsetenv("LAB_PREPARED");
}

TEST_CASE("what is shown of the labs has room in 80 columns", "[labs][terminal]") {
    std::string output;
    finish(popen("for program in run doctor compare bench guide collect handin measure/clients-on; do labs/$program "
                 "--help; done; labs/run "
                 "--list",
                 "r"),
           output);
    CHECK(output.size() > 3000);
    std::istringstream lines(output);
    for (std::string line; std::getline(lines, line);) {
        CAPTURE(line);
        CHECK(line.size() <= 80);
    }
}
