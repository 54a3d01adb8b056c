// The labs at a terminal, and without one: who types does so into one lab at a time, Ctrl-C is no failure, a closed stdin
// or a reader that goes away leaves nothing behind.
#include "catch.hpp"
#include "support.hpp"
#include "terminal.hpp"

using namespace test;

TEST_CASE("labs/run --pause and --keep with several labs: one after the other, in sight", "[labs][terminal]") {
    Directory logs;
    setenv("LAB_PREPARED", "yes", 1);
    auto option = GENERATE(as<std::string>{}, "--pause", "--keep");
    CAPTURE(option);
    Terminal terminal({"labs/run", option, "--backend", "loopback", "--logs", logs.path, "01", "03"});
    size_t asked = 0;  // each question wants an Enter
    auto until = [&](const std::string& text) {
        return eventually([&] {
            for (; asked < count(terminal.text(), "Enter"); ++asked) terminal.type("\n");
            return terminal.text().find(text) != std::string::npos;
        });
    };
    CHECK(terminal.shows("Lab 01-first-echo: "));
    CHECK(terminal.text().find("Lab 03-missing-close: ") == std::string::npos);
    CHECK(until("Lab 01-first-echo: passed"));
    CHECK(until("Lab 03-missing-close: passed"));
    CHECK(terminal.shows("2 passed, 0 failed, 0 skipped"));
    CHECK(terminal.ends() == 0);
    CHECK(terminal.text().find("Lab 03-missing-close: ") > terminal.text().find("Lab 01-first-echo: passed"));
    unsetenv("LAB_PREPARED");
}

TEST_CASE("Ctrl-C is no failure", "[labs][terminal]") {
    Directory logs;
    setenv("LAB_PREPARED", "yes", 1);
    Terminal terminal({"labs/run", "--backend", "loopback", "--logs", logs.path, "04"});
    REQUIRE(terminal.shows("ok: bob is ESTABLISHED"));
    terminal.type("\003");
    CHECK(terminal.ends() == 130);
    CHECK_THAT(terminal.text(), ContainsSubstring("Lab 04-queue: interrupted after ") && !ContainsSubstring("FAILED"));
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
    Terminal terminal({"labs/run", "--enter", "vit002", "--logs", logs.path});
    unsetenv("HISTFILE");
    CHECK(terminal.shows("vit002"));
    terminal.type("echo said X\b\"$((40+2))\"\n");
    CHECK(terminal.shows("said 42"));
    size_t until_now = terminal.text().size();
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
