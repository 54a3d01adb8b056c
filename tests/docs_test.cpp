// docs_test.cpp - --help, man page and README say the same of every program.
#include "catch.hpp"
#include "support.hpp"

#include <map>
#include <set>

using namespace test;
using Names = std::set<std::string>;

// Every program that there is a source for, with its man page.
static std::vector<std::pair<std::string, std::string>> programs() {
    std::vector<std::pair<std::string, std::string>> found;
    for (auto& entry : std::filesystem::recursive_directory_iterator(".")) {
        auto path = entry.path();
        bool elsewhere = path.string().rfind("./tests/", 0) == 0 || path.string().rfind("./logs/", 0) == 0 ||
                         path.string().rfind("./labs/zoo/", 0) == 0;
        if (path.extension() != ".cpp" || elsewhere) continue;
        found.emplace_back(path.stem().string(), (path.parent_path() / path.stem()).string() + ".1");
    }
    return found;
}

static std::string text_of(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

// What stands behind `before` in each line that has it: the name of an option, with its letter as "-a, --address" has it.
static Names options_in(const std::string& text) {
    Names names;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        size_t start = line.find_first_not_of(' ');
        if (start == line.npos || line[start] != '-') continue;
        size_t name = line.find("--", start);
        if (name == line.npos) continue;
        std::string letter = line.compare(start, 2, "--") == 0 ? "" : line.substr(start, 2) + " ";
        names.insert(letter + line.substr(name, line.find_first_of(" ,=[", name) - name));
    }
    return names;
}

// The options that have a paragraph of their own in the man page: .TP, and then a line of the options.
static Names options_of_man_page(const std::string& path) {
    std::string plain, line;
    bool tagged = false;
    std::istringstream page(text_of(path));
    while (std::getline(page, line)) {
        if (tagged) {
            for (const char* noise : {".BR ", ".BI ", ".B ", ".IP ", "\\fB", "\\fI", "\\fR", "\"", "\\"})
                for (size_t at; (at = line.find(noise)) != line.npos;) line.erase(at, strlen(noise));
            // "-h , --help , -V , --version": several on one line
            std::istringstream words(line);
            std::string letter, text;
            for (std::string word; words >> word;) {
                word = word.substr(0, word.find_first_of(",=["));
                if (word.size() == 2 && word[0] == '-' && word[1] != '-') letter = word + " ";
                else if (word.rfind("--", 0) == 0) plain += std::exchange(letter, "") + word + "\n";
            }
        }
        tagged = line == ".TP";
    }
    Names names;
    std::istringstream lines(plain);
    while (std::getline(lines, line)) names.insert(line);
    return names;
}

TEST_CASE("documents: each program has a man page with exactly the options that --help shows", "[docs]") {
    for (auto& [name, man_page] : programs()) {
        CAPTURE(name, man_page);
        auto help = run(name, {"--help"});
        REQUIRE(help.status == 0);
        CHECK(help.out.rfind("Usage: " + name, 0) == 0);
        std::string listed = help.out;
        Names of_help;
        for (auto& option : options_in(listed)) of_help.insert(option);
        CHECK(options_of_man_page(man_page) == of_help);
        for (std::istringstream lines(help.out); std::getline(lines, listed);) CHECK(listed.size() <= 80);
    }
}

TEST_CASE("documents: the README names every program, and no other", "[docs]") {
    std::string readme = text_of("README.md");
    for (auto& [name, man_page] : programs()) {
        CAPTURE(name);
        CHECK(readme.find("[" + name + "](" + man_page.substr(2, man_page.size() - 4) + ".cpp)") != std::string::npos);
    }
    for (size_t at = 0; (at = readme.find(".cpp)", at + 1)) != readme.npos;) {
        size_t start = readme.rfind('(', at) + 1;
        CHECK(access(readme.substr(start, at + 4 - start).c_str(), R_OK) == 0);
    }
}

TEST_CASE("documents: the diff in the README is of the sources as they are", "[docs]") {
    std::string readme = text_of("README.md"), line;
    size_t start = readme.find("```diff\n") + 8, lines = 0;
    std::istringstream block(readme.substr(start, readme.find("```\n", start) - start));
    std::string left = "\n" + text_of("seqserver/seqserver.cpp"), right = "\n" + text_of("TCPechod/TCPechod.cpp");
    for (; std::getline(block, line); ++lines) {
        CAPTURE(line);
        std::string text = "\n" + line.substr(1) + "\n";
        CHECK((line[0] == '+' || left.find(text) != left.npos));
        CHECK((line[0] == '-' || right.find(text) != right.npos));
    }
    CHECK(lines > 20);
}

// What an option's letter means is the same in all programs; a seed's program may have kept its own.
TEST_CASE("documents: one letter, one meaning", "[docs]") {
    std::map<std::string, std::map<std::string, Names>> meanings;  // letter, option, programs
    for (auto& [name, man_page] : programs()) {
        bool seeds = name.rfind("timewait", 0) == 0 || name.rfind("fault", 0) == 0 || name.rfind("halfclose", 0) == 0;
        if (seeds) continue;
        for (auto& option : options_in(run(name, {"--help"}).out))
            if (option[1] != '-') {
                std::string meaning = option.substr(3);
                if (meaning.rfind("--max-", 0) == 0)
                    meaning = "--max-";  // so many at once: children, threads or clients
                meanings[option.substr(0, 2)][meaning].insert(name);
            }
    }
    for (auto& [letter, options] : meanings) {
        CAPTURE(letter, options);
        CHECK(options.size() == 1);
    }
}
