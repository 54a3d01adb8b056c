// pages_test.cpp - the guides in a terminal, and as HTML pages that stand alone.
#include "catch.hpp"
#include "support.hpp"

#include <map>
#include <regex>

using namespace test;

static int shell(const std::string& command, std::string& output) {
    return finish(popen(("(" + command + ") 2>&1 </dev/null").c_str(), "r"), output);
}
static bool converter() {
    std::string output;
    if (shell("command -v lowdown || command -v pandoc", output) == 0) return true;
    WARN("neither lowdown nor pandoc here: skipped");
    return false;
}

TEST_CASE("documents: what a page of the labs links to is there", "[pages]") {
    std::regex link("\\]\\(([^)# ]+)(#[^)]*)?\\)");
    size_t links = 0;
    for (auto& entry : std::filesystem::recursive_directory_iterator("labs")) {
        if (entry.path().extension() != ".md") continue;
        std::ifstream file(entry.path());
        for (std::string line; std::getline(file, line);)
            for (std::sregex_iterator at(line.begin(), line.end(), link), end; at != end; ++at) {
                std::string to = (*at)[1];
                if (to.rfind("https://", 0) == 0) continue;
                CAPTURE(entry.path(), to);
                CHECK(access((entry.path().parent_path() / to).c_str(), R_OK) == 0);
                ++links;
            }
    }
    CHECK(links > 200);
}

TEST_CASE("labs/guide: a guide as text, with what is folded and without", "[pages]") {
    if (!converter()) return;
    std::string all, questions, output;
    REQUIRE(shell("labs/guide 15", all) == 0);
    REQUIRE(shell("cd / && \"$OLDPWD\"/labs/guide --questions 15-one-call", questions) == 0);
    for (auto text : {"Which call does what?", "Step 2. ", "vit001$ sockcalls\n", "a) nothing"}) {
        CHECK_THAT(all, ContainsSubstring(text));
        CHECK_THAT(questions, ContainsSubstring(text));
    }
    for (auto text : {"Explain.", "ok: server says bind", "= a) nothing", "[1b] netstat has no row"}) {
        CHECK_THAT(all, ContainsSubstring(text));
    }
    CHECK(questions.find("ok: server says bind") == questions.npos);
    CHECK(questions.find("Explain.") == questions.npos);
    for (auto raw : {"<details>", "<!--", "@@", "\x1b"}) CHECK(all.find(raw) == all.npos);
    CHECK(shell("labs/guide", output) == 0);
    CHECK_THAT(output, ContainsSubstring("15-one-call              Which call does what?\n"));
    CHECK(shell("labs/guide --answers 15", output) == 0);
    CHECK_THAT(output, ContainsSubstring("Answers to lab 15"));
    for (auto wrong : {"77", "../15-one-call", "--nosuch", "01 02", "'$(id)'"}) {
        CAPTURE(wrong);
        CHECK(shell(std::string("labs/guide ") + wrong, output) == 2);
    }
}

TEST_CASE("handout: pages that stand alone, and lead to each other", "[pages]") {
    if (!converter()) return;
    Directory place;
    std::string output, directory = place / "a b/hand'out";
    REQUIRE(shell("HANDOUT=\"" + directory + "\" && make -s handout HANDOUT=\"$HANDOUT\"", output) == 0);
    std::map<std::string, std::string> pages;
    for (auto& entry : std::filesystem::directory_iterator(directory)) {
        std::ifstream file(entry.path());
        pages[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
    }
    for (auto& entry : std::filesystem::directory_iterator("labs"))
        if (access((entry.path() / "guide.md").c_str(), R_OK) == 0)
            CHECK(pages.count(entry.path().filename().string() + ".html") == 1);
    REQUIRE(pages.count("reading.html") == 1);
    CHECK(count(pages["reading.html"], "<svg") == 4);
    CHECK(count(pages["01-first-echo.html"], "<svg") >= 1);
    CHECK(count(pages["15-one-call.html"], "<sup><a href=\"#step-1-socket-and-bind\" title=\"") >= 3);
    std::regex link("<a href=\"([^\"#]*)(#[^\"]*)?\"");
    for (auto& [name, page] : pages) {
        CAPTURE(name);
        for (auto loads : {"<img", "<link", "<script", "@import", "url(http", "@@", "<!--", "Notes for the teacher"})
            CHECK(page.find(loads) == page.npos);
        CHECK(count(page, "<details>") == count(page, "</details>"));
        CHECK(count(page, "id=\"unfold\"") == (page.find("<details>") != page.npos));  // print what is folded, too
        for (std::sregex_iterator at(page.begin(), page.end(), link), end; at != end; ++at) {
            std::string to = (*at)[1], anchor = (*at)[2];
            if (to.rfind("https://", 0) == 0) continue;
            CAPTURE(to, anchor);
            auto found = pages.find(to.empty() ? name : to);
            REQUIRE(found != pages.end());
            CHECK((anchor.empty() || found->second.find("id=\"" + anchor.substr(1) + "\"") != std::string::npos));
        }
    }
    CHECK(shell("labs/script/handout", output) == 2);
}
