// labs/compare and labs/bench: a tiny run measures every server, one of the student's own too; what cannot be is
// said; nothing is left behind. How fast anything is, on this machine and today, is not asked.
#include "catch.hpp"
#include "support.hpp"

#include <map>

using namespace test;

namespace {

// A directory, a command in a shell that has it as $dir and in its processes' environment, and what the command
// printed.
struct Shell {
    Directory directory;
    std::string dir = directory.path, output;
    FILE* start(const std::string& command) const {
        return popen(("{ dir=" + dir + "; export dir; " + command + "; } 2>&1 </dev/null").c_str(), "r");
    }
    int run(const std::string& command) { return finish(start(command), output); }
    // A server of the student's own, called as "./yours PORT".
    void program(const std::string& name, const std::string& line) const {
        chmod(directory.write(name, "#!/bin/sh\n" + line + "\n").c_str(), 0755);
    }
    // Our processes that are called so; any name: "".
    int processes(const std::string& name = "") const {
        int n = 0;
        for (int pid : numbers_in("/proc")) {
            std::string called, environment;
            std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/comm"), called);
            std::ifstream file("/proc/" + std::to_string(pid) + "/environ");
            while (std::getline(file, environment, '\0'))
                n += environment == "dir=" + dir && (name.empty() || called == name);
        }
        return n;
    }
    bool has(const std::string& file) const { return access((dir + "/" + file).c_str(), R_OK) == 0; }
    // The rows of table.csv, by column.
    std::vector<std::map<std::string, std::string>> table() const {
        std::vector<std::map<std::string, std::string>> rows;
        std::vector<std::string> head;
        std::ifstream file(dir + "/table.csv");
        for (std::string line, cell; std::getline(file, line);) {
            std::istringstream cells(line + ",");
            std::vector<std::string> row;
            while (std::getline(cells, cell, ',')) row.push_back(cell);
            if (head.empty()) head = row;
            else
                for (size_t i = (rows.emplace_back(), 0); i < std::min(row.size(), head.size()); ++i)
                    rows.back()[head[i]] = row[i];
        }
        return rows;
    }
};
size_t lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

}  // namespace

TEST_CASE("compare: the family and a server of the student's own, with and without a hold", "[compare]") {
    Shell shell;
    shell.program("mine", "exec " + std::string(getenv("BIN") ? getenv("BIN") : "bin") + "/seqserver \"$1\"");
    int status = shell.run("exec timeout 100 labs/compare -o $dir --clients 2 --holds '0 50ms' --time 50ms $dir/mine");
    CAPTURE(shell.output);
    REQUIRE(status == 0);
    auto rows = shell.table();
    REQUIRE(rows.size() == 12);
    for (size_t i = 0; i < 12; ++i) {
        auto& row = rows[i];
        CAPTURE(i, row["server"], row["hold"]);
        CHECK(row["server"] ==
              std::vector<std::string>{"seqserver", "TCPechod", "TCPpechod", "TCPmtechod", "TCPmechod", "mine"}[i % 6]);
        CHECK(row["clients"] == "2");
        CHECK(row["failed"] == "0");
        CHECK(std::stoi(row["processes"]) >= 1);
        CHECK(std::stoi(row["threads"]) >= std::stoi(row["processes"]));
        CHECK(!row["queue"].empty());
        if (i < 6) {
            CHECK(row["hold"] == "0");
            CHECK(std::stod(row["per_s"]) > 0);
            CHECK(row["measured_s"].empty());
        } else {  // nobody can be faster than predicted
            bool one_by_one = i % 6 == 0 || i % 6 == 5;
            CHECK(std::stod(row["predicted_one_by_one_s"]) == 0.1);
            CHECK(std::stod(row["predicted_at_once_s"]) == 0.05);
            CHECK(std::stod(row["measured_s"]) >=
                  std::stod(row[one_by_one ? "predicted_one_by_one_s" : "predicted_at_once_s"]));
        }
    }
    CHECK_THAT(shell.output, ContainsSubstring("\nhold 0\n") && ContainsSubstring("\nhold 50ms\n") &&
                                 ContainsSubstring("server        n  1-by-1    done "));
    std::istringstream shown(shell.output);
    for (std::string line; std::getline(shown, line);)
        if (line.rfind("2 processors", 0) != 0 && line.find(shell.dir) == std::string::npos) CHECK(line.size() <= 80);
    std::ifstream file(shell.dir + "/chart.svg");
    std::string chart((std::istreambuf_iterator<char>(file)), {});
    for (auto part : {"2 clients at once, each stays for 50ms", ">TCPmechod</text>", ">mine</text>",
                      "one by one: 100 ms", "Connections a second", "</svg>"})
        CHECK_THAT(chart, ContainsSubstring(part));
    CHECK(shell.processes() == 0);
}

TEST_CASE("compare: a server that does not listen is told, the others are measured", "[compare]") {
    Shell shell;
    shell.program("broken", "echo no licence >&2; exit 1");
    CHECK(shell.run("exec timeout 100 labs/compare -o $dir -c 1 -H 0 -t 10ms $dir/broken") == 1);
    CAPTURE(shell.output);
    CHECK_THAT(shell.output, ContainsSubstring("broken      does not listen on port ") &&
                                 ContainsSubstring("; it says: no licence\n"));
    CHECK(shell.table().size() == 5);
}

TEST_CASE("compare: what a student's server does wrong stands in its row, and costs seconds", "[compare]") {
    Shell shell;
    std::string programs = (getenv("BIN") ? getenv("BIN") : "bin") + std::string("/");
    Listener somewhere;
    std::string port = std::to_string(somewhere.port());
    somewhere.close();
    shell.program("elsewhere", "exec " + programs + "seqserver " + port);
    shell.program("wrong", "exec " + programs + "faultserver \"$1\"");
    shell.program("deaf", "exec sleep 60");
    shell.program("silent", "exec " + programs + "seqserver --bug no-close \"$1\"");
    auto started = Clock::now();
    CHECK(shell.run("exec timeout 100 labs/compare -o $dir -c 2 -H '0 20ms' -t 10ms $dir/elsewhere $dir/wrong "
                    "$dir/deaf $dir/silent") == 1);
    CAPTURE(shell.output);
    CHECK(Clock::now() - started < 100s);
    CHECK_THAT(shell.output, ContainsSubstring("elsewhere   does not listen on port ") &&
                                 ContainsSubstring(", but on " + port + "\n"));
    CHECK_THAT(shell.output, ContainsSubstring("wrong       the client that comes first: 1 wrong bytes\n"));
    CHECK_THAT(shell.output, ContainsSubstring("deaf        does not listen on port "));
    CHECK_THAT(shell.output, ContainsSubstring(" not closed\n"));
    CHECK(shell.table().size() == 12);  // the suite's five and the one that does not close
    CHECK(shell.processes() == 0);
}

TEST_CASE("compare: rows appear as they are measured", "[compare]") {
    Shell shell;
    FILE* pipe = shell.start("exec timeout 100 labs/compare -o $dir -c 1 -H 0 -t 400ms");
    char line[300] = "";
    while (fgets(line, sizeof line, pipe) && std::string(line).rfind("seqserver ", 0) != 0) {}
    CHECK(shell.table().size() == 1);  // the next takes three times 400 ms
    CHECK(finish(pipe, shell.output) == 0);
    CHECK(shell.table().size() == 5);
}

TEST_CASE("whowaits: a table that is none draws nothing, and nothing in it is markup", "[compare]") {
    Directory directory;
    std::string
        table = directory.write(
            "table.csv",
            "server,clients,hold,per_s,per_s_low,per_s_high\n<b>x,1,0,10,5,20\n<b>x,nan,0,-1,inf,1e999\n,,,,,\nx\n"),
        waits = directory.write(
            "waits.csv", "server,hold,clients,began_us,answered_us,closed_us\na,1s,1,0,5,9\na,1s,1e30,9,,0\nb,<i>,1\n");
    auto result = run("whowaits", {table, waits});
    CHECK(result.status == 0);
    CHECK_THAT(result.out, ContainsSubstring("&lt;b&gt;x") && !ContainsSubstring("<b>") && !ContainsSubstring("<i>") &&
                               !ContainsSubstring("nan") && !ContainsSubstring("inf\""));
    CHECK(run("whowaits", {directory.write("empty", ""), directory / "empty"}).status == 0);
    CHECK(run("whowaits", {directory / "none", waits}).status == 1);
    CHECK(run("whowaits", {table}).status == 2);
}

TEST_CASE("the picture in the guide is the one of the table beside it", "[compare]") {
    auto drawn = run("whowaits", {"logs/13-compare/table.csv", "logs/13-compare/waits.csv"});
    CHECK(drawn.status == 0);
    std::ifstream file("logs/13-compare/chart.svg");
    CHECK((std::string((std::istreambuf_iterator<char>(file)), {}) == drawn.out));
    CHECK(drawn.out.size() > 10000);
}

TEST_CASE("compare: a wrong command line is one clear line and exit status 2, and nothing is measured", "[compare]") {
    Shell shell;
    auto words = GENERATE(as<std::string>{}, "--clients 0", "--clients '8 many'", "--clients ''", "--holds 100",
                          "--holds ''", "--time 0", "--time 2h", "--time", "--fast", "./no-such-server");
    CAPTURE(words);
    CHECK(shell.run("exec timeout 100 labs/compare -o $dir/out " + words) == 2);
    CAPTURE(shell.output);
    CHECK(shell.output.rfind("compare: ", 0) == 0);
    CHECK(lines(shell.output) == 1);
    CHECK(!shell.has("out"));
}

TEST_CASE("compare: interrupted, it leaves no process behind", "[compare]") {
    Shell shell;
    FILE* pipe = shell.start("echo $$; exec labs/compare -o $dir -c 1 -H 0 -t 1m");
    char line[32] = "";
    REQUIRE(fgets(line, sizeof line, pipe));
    CHECK(eventually([&] { return shell.processes("echoload") == 1 && shell.processes("seqserver") == 1; }));
    int signal = GENERATE(SIGTERM, SIGKILL);
    kill(std::stoi(line), signal);
    CHECK(finish(pipe, shell.output) == 128 + signal);
    CHECK(eventually([&] { return shell.processes() == 0; }));
}

TEST_CASE("bench: pairs, their median and their range", "[compare]") {
    Shell shell;
    CHECK(shell.run("exec timeout 100 labs/bench --rounds 1 noise") == 0);
    CAPTURE(shell.output);
    double a = 0, b = 0, ratio = 0, low = 0, high = 0;
    size_t row = shell.output.find("\nnoise: ");
    REQUIRE(row != std::string::npos);
    REQUIRE(sscanf(shell.output.c_str() + shell.output.find("clients ", row), "clients %lf %lf %lf (%lf..%lf)", &a, &b,
                   &ratio, &low, &high) == 5);
    CHECK(a > 0);
    CHECK(b > 0);
    CHECK(ratio == low);
    CHECK(ratio == high);
    CHECK(lines(shell.output) == 4);
    CHECK(eventually([&] { return shell.processes() == 0; }));
}

TEST_CASE("bench: a wrong command line", "[compare]") {
    Shell shell;
    auto words = GENERATE(as<std::string>{}, "--rounds 0", "--rounds many", "--rounds", "--fast", "no-such-row");
    CAPTURE(words);
    CHECK(shell.run("exec timeout 100 labs/bench " + words) == 2);
    CHECK_THAT(shell.output, ContainsSubstring("labs/bench: "));
}
