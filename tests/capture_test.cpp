// capture_test.cpp - the reading of captures: bin/wire and bin/ladder stand on it. tests/captures/ has what tcpdump
// recorded and printed in real runs; short scripts of segments, in tcpdump's own notation, are written here.
#include "catch.hpp"
#include "segments.hpp"
#include "support.hpp"

using namespace lab;
using test::Process;

static const string captures = "tests/captures/";
static Capture read_file(const string& name) { return read_capture(captures + name); }

TEST_CASE("a pcap is read through tcpdump", "[seeing]") {
    auto capture = read_file("echo.pcap");
    REQUIRE(capture.connections.size() == 1);
    auto& c = capture.connections[0];
    CHECK(c.end[client].host == "10.98.7.2");
    CHECK(c.end[server].text() == "10.98.7.1:8990");
    CHECK(c.whole);
    REQUIRE(c.segments.size() == 10);
    CHECK(c.segments[3].text() == "C:PSH(6)");
    CHECK(c.segments[3].seq == 1);
    CHECK(c.segments[9].ack == 8);
    CHECK(capture.epoch);
}

TEST_CASE("every way tcpdump prints the same capture reads the same", "[seeing]") {
    auto wanted = read_file("echo.pcap");
    for (string options : {"", "-S", "-t", "-tt", "-ttt", "-tttt", "-ttttt", "-e", "-v", "-vv", "-S -v -e", "-A",
                           "-X -ttt", "-#", "-# -ttttt"}) {
        INFO("tcpdump " + options);
        FILE* printed = popen(("tcpdump -n " + options + " -r " + captures + "echo.pcap 2>/dev/null").c_str(), "r");
        auto capture = read_lines(printed, Printed::unknown);
        pclose(printed);
        REQUIRE(capture.connections.size() == 1);
        auto &seen = capture.connections[0].segments, &expected = wanted.connections[0].segments;
        REQUIRE(seen.size() == expected.size());
        for (size_t i = 0; i < seen.size(); ++i) {
            CHECK(seen[i].text() == expected[i].text());
            CHECK(seen[i].seq == expected[i].seq);
            CHECK(seen[i].ack == expected[i].ack);
            if (options != "-t") CHECK(seen[i].time - seen[0].time == expected[i].time - expected[0].time);
        }
    }
}

TEST_CASE("names for hosts and ports, and no SYN in the capture", "[seeing]") {
    auto capture = read_file("names-and-no-syn.txt");
    REQUIRE(capture.connections.size() == 2);
    auto& c = capture.connections[0];
    CHECK(!c.whole);
    CHECK(c.segments[0].text() == "C:FIN");
    CHECK(c.segments[1].ack == 2);
    CHECK(c.segments[2].seq == 2);
}

TEST_CASE("a capture of SYN and FIN only: the data in between is missing, the numbers are right", "[seeing]") {
    auto c = read_file("only-syn-and-fin.txt").connections.at(0);
    REQUIRE(c.segments.size() == 4);
    CHECK(c.segments[2].seq == 1);
    CHECK(c.segments[2].ack == 18762191);
    CHECK(c.segments[3].seq == 104857601);
    CHECK(c.segments[3].ack == 2);
}

TEST_CASE("what is sent again and what comes out of order is marked", "[seeing]") {
    auto fins = read_file("lost-fin.txt").connections.at(0).segments;
    CHECK(std::count_if(fins.begin(), fins.end(), [](auto& s) { return s.fin && s.again; }) == 4);
    auto c = connection("C:SYN S:SYN+ACK C:ACK C:21(10) C:1(10) C:11(10) C:11(10) C:5(20)");
    CHECK(!c.segments[3].fills_gap);
    CHECK(c.segments[4].fills_gap);
    CHECK(c.segments[5].fills_gap);
    CHECK(c.segments[6].again);
    CHECK(c.segments[7].again);
    auto partly = connection("C:SYN S:SYN+ACK C:ACK C:1(10) C:6(10)");
    CHECK(partly.segments[4].fresh == 5);
    CHECK(!partly.segments[4].fills_gap);  // nothing overtook it
}

TEST_CASE("sequence numbers wrap", "[seeing]") {
    auto c = connection("C:SYN S:SYN+ACK C:ACK C:1(1000) C:1001(1000) S:ACK C:FIN", 4294966795u);
    CHECK(c.segments[4].seq == 1001);
    CHECK(c.segments[5].ack == 2001);
    CHECK(c.segments[6].seq == 2001);
}

TEST_CASE("a new SYN on the same pair of ports begins another connection", "[seeing]") {
    string twice =
        script("C:SYN S:SYN+ACK C:ACK C:FIN S:FIN C:ACK", 1000) + script("C:SYN S:SYN+ACK C:ACK C:RST", 900000);
    CHECK(text_capture(twice).connections.size() == 2);
    string again = script("C:SYN C:SYN C:SYN S:SYN+ACK C:ACK", 1000);
    CHECK(text_capture(again).connections.size() == 1);
    CHECK(text_capture(script("C:SYN S:SYN C:SYN+ACK S:SYN+ACK", 1000)).connections.size() == 1);  // simultaneous open
}

TEST_CASE("IPv6, and a text that ends in the middle", "[seeing]") {
    auto c = read_file("ipv6-cut-off.txt").connections.at(0);
    CHECK(c.end[server].text() == "[fd00:98::1]:7003");
    CHECK(c.segments[3].text() == "C:FIN");
    std::ifstream file(captures + "ipv6-cut-off.txt");
    std::stringstream whole;
    whole << file.rdbuf();
    for (size_t size = 0; size < whole.str().size(); size += 7)
        CHECK(text_capture(whole.str().substr(0, size)).connections.size() <= 1);
}

TEST_CASE("a pcap that is cut off anywhere is read as far as it goes, or refused in one line", "[seeing]") {
    std::ifstream file(captures + "echo.pcap", std::ios::binary);
    std::stringstream whole;
    whole << file.rdbuf();
    test::Directory directory;
    for (size_t size : {0, 3, 4, 20, 24, 30, 60, 113, 115, 200, 205}) {
        string path = directory.write("cut.pcap", whole.str().substr(0, size));
        INFO(size);
        string said;
        size_t segments = 0;
        try {
            segments = read_capture(path).segments;
        } catch (const Unreadable& error) { said = error.what(); }
        CHECK(segments ==
              (size < 114 ? 0 : (size - 24) / 90));  // a record is 16 bytes of its own and 74 of a packet, or some more
        CHECK((said.empty() || said.rfind(tcp::printable(path) + ": ", 0) == 0));
    }
}

TEST_CASE("hostile text neither crashes nor gets through", "[seeing]") {
    string evil =
        "12:00:00.0 IP <script>.1 > b\x1b[31m.\x07.2: Flags [S], seq 1, length 0\n"
        "12:00:00.0 IP 1.2.3.4.5 > 6.7.8.9.10: Flags [S], seq 99999999999999999999, ack 99999999999, length "
        "18446744073709551615\n"
        "IP . > .: Flags [S], seq 1\nIP a. > .b: Flags [S]\n > : Flags []\n: Flags [\n > x: Flags [S\n"
        "99999999999999999999.5 IP a.1 > b.2: Flags [S.], seq 4294967295, ack 0, length 0\n"
        "-1:-1:-1.-1 IP a.1 > b.2: Flags [F], seq 5:1, length 99999\n0000-99-99 99:99:99 IP a.1 > b.2: Flags [R], seq "
        "7\n2026--2147483648-01 10:00:00.0 IP a.1 > b.2: Flags [R], seq 7\n2026-01-2147483647 10:00:00.0 IP a.1 > b.2: "
        "Flags [R], "
        "seq 7\n" +
        string(100000, 'A') + "\n";
    auto capture = text_capture(evil + string("\0\xff\xfe", 3));
    for (auto& c : capture.connections) CHECK(c.end[client].text().find_first_of("<>\x1b\x07") == string::npos);
    auto timeless = text_capture("12:00:nan IP 1.2.3.4.5 > 6.7.8.9.10: Flags [S], seq 1, length 0\n").connections.at(0);
    CHECK(timeless.segments[0].time == int64_t(12) * 3600 * 1000000);
    unsigned random = 1;
    for (int round = 0; round < 300; ++round) {
        string text = script("C:SYN S:SYN+ACK C:ACK C:1(6) S:ACK S:1(6) C:ACK C:FIN S:FIN C:ACK", 1000);
        for (int i = 0; i < 20; ++i)
            random = random * 1103515245 + 12345, text[(random >> 4) % text.size()] = char(random >> 20);
        for (auto& c : text_capture(text).connections) {
            State initial[2];
            transitions(c, initial);
            Events events(c);
            Automaton("C:SYN ... { C:(*) S:(*) } ... C:ACK", c, events.all()).run();
        }
    }
}

// ---- wire ---------------------------------------------------------------------------------------------------------

static bool as_expected(const string& seen, const string& expectation) {
    auto c = connection(seen);
    Events events(c);
    return Automaton(expectation, c, events.all()).run().as_expected;
}

TEST_CASE("what TCP leaves to chance makes no difference to wire", "[seeing]") {
    const string open = "C:SYN S:SYN+ACK C:ACK ", echo = open + "C:PSH(6) S:ACK S:PSH(6) C:ACK C:FIN S:ACK S:FIN C:ACK";
    CHECK(as_expected(open + "C:1(6) S:ACK S:1(6) C:ACK C:FIN S:ACK S:FIN C:ACK", echo));
    CHECK(as_expected(open + "C:1(6) S:1(6) C:FIN S:FIN C:ACK", echo));                              // ACKs merged
    CHECK(as_expected(open + "C:1(2) C:3(4) S:ACK S:1(1) S:2(5) C:ACK C:FIN S:FIN C:ACK", echo));    // data split
    CHECK(as_expected(open + "C:1(6)F S:1(6)F C:ACK", open + "C:(6) C:FIN S:(6) S:FIN+ACK C:ACK"));  // FIN on data
    CHECK(as_expected("C:SYN C:SYN S:SYN+ACK C:ACK C:1(6) C:1(6) S:ACK", open + "C:(6) S:ACK"));     // sent again
    CHECK(as_expected(open + "C:4(3) C:1(3) C:7F S:ACK", open + "C:(6) C:FIN S:ACK"));               // out of order
    CHECK(as_expected(open + "C:7F C:1(6) S:ACK", open + "C:(6) C:FIN S:ACK"));                      // the FIN overtook
    CHECK(as_expected(open + "C:1(13) S:ACK", open + "C:(6) C:(7) S:ACK"));  // two writes merged
    CHECK(as_expected(open + "C:1(6) S:RST S:RST", open + "C:(6) S:RST"));
}

TEST_CASE("what TCP promises is demanded", "[seeing]") {
    const string open = "C:SYN S:SYN+ACK C:ACK ";
    CHECK(!as_expected(open + "C:1(6)", open + "C:(6) S:ACK"));                         // never acknowledged
    CHECK(!as_expected(open + "C:1(6) S:ACK", open + "C:(5)"));                         // a byte more
    CHECK(!as_expected(open + "C:1(6) S:ACK", open + "C:(7)"));                         // a byte less
    CHECK(!as_expected(open + "C:FIN S:FIN C:ACK", open + "S:FIN C:FIN S:ACK"));        // the wrong side first
    CHECK(!as_expected(open + "C:FIN S:FIN C:ACK C:RST", open + "C:FIN S:FIN C:ACK"));  // something more at the end
    CHECK(!as_expected(open + "C:FIN S:FIN C:ACK", open));
    CHECK(!as_expected("C:SYN S:RST", open));
}

TEST_CASE("wire's groups, options, repetitions and gaps", "[seeing]") {
    const string open = "C:SYN S:SYN+ACK C:ACK ";
    for (string seen : {"C:FIN S:FIN(1) C:ACK S:ACK", "S:FIN C:FIN(1) C:ACK S:ACK"})
        CHECK(as_expected(open + seen, open + "{ C:FIN S:FIN } C:ACK S:ACK"));
    CHECK(as_expected(open + "C:1(5) S:1(2) C:6(5) S:3(8) C:ACK S:ACK", open + "{ C:(10) S:(10) }"));
    CHECK(as_expected(open + "C:1(6) S:ACK", open + "C:(6) S:(6)?"));
    CHECK(!as_expected(open + "C:1(6) S:1(5) C:ACK", open + "C:(6) S:(6)?"));
    CHECK(as_expected(open + "C:1(6) S:ACK", open + "C:(*)"));
    CHECK(as_expected(open + "C:1(6) S:ACK", open + "C:(3+)"));
    CHECK(!as_expected(open + "C:1(6) S:ACK", open + "C:(7+)"));
    CHECK(as_expected(open + "C:1(6) S:1(9) C:FIN S:RST", "C:SYN ... C:FIN S:RST"));
    CHECK(!as_expected(open + "C:1(6) S:1(9) C:FIN S:FIN", "C:SYN ... C:FIN S:RST"));
    CHECK(as_expected("C:SYN C:SYN S:SYN+ACK C:ACK", "C:SYN* S:SYN+ACK C:ACK"));
    CHECK(!as_expected("C:SYN S:SYN+ACK C:ACK", "C:SYN* S:SYN+ACK C:ACK"));
    CHECK(as_expected(open + "C:1(6) C:1(6) S:ACK S:FIN S:FIN C:ACK", open + "C:(6)* S:ACK S:FIN* C:ACK"));
    CHECK(!as_expected(open + "C:1(6) S:ACK", open + "C:(6)* S:ACK"));
    for (string bad : {"X:SYN", "C:", "C:SYNS", "{ C:SYN", "C:SYN }", "{ { } }", "{ ... }", "C:(0)", "C:(x)", "C:(6",
                       "C:()", "SYN", "C:(6)(7)"})
        CHECK_THROWS_AS(parse_expectation(bad), Bad_token);
    string many = "{";  // the places in two lists multiply
    for (int i = 0; i < 32; ++i) many += " C:(3+)? S:(3+)?";
    CHECK(parse_expectation(many + " }").size() == 1);
    CHECK_THROWS_AS(parse_expectation(many + " C:FIN }"), Bad_token);
}

TEST_CASE("wire: thousands of segments and several places for each take neither time nor memory", "[seeing]") {
    string words = "C:SYN S:SYN+ACK C:ACK";
    for (int i = 0; i < 1000; ++i) words += " C:" + std::to_string(1 + i) + "(1) S:" + std::to_string(1 + i) + "(1)";
    for (int i = 0; i < 1000; ++i) words += " C:1(1000)";  // all of it again
    test::Directory directory;
    string file = directory.write("many.txt", script(words + " C:FIN S:FIN C:ACK"));
    for (string expectation : {"C:SYN S:SYN+ACK C:ACK { C:(*) C:(*) S:(*) S:(*) } C:FIN S:FIN C:ACK",
                               "C:SYN ... C:(*) ... S:(*) ... C:FIN S:FIN"}) {
        CAPTURE(expectation);
        Process wire("wire", {file, expectation}, [] { test::limit(RLIMIT_AS, rlim_t(300) << 20); });  // it were 800 MB
        CHECK(wire.wait_exit() == 0);
        CHECK(wire.out() == "");
    }
}

TEST_CASE("wire as a program: silence, or the table with an arrow", "[seeing]") {
    const string file = captures + "echo.pcap",
                 echo = "C:SYN S:SYN+ACK C:ACK C:PSH(6) S:ACK S:PSH(6) C:ACK C:FIN S:ACK S:FIN C:ACK";
    auto wire = [](const std::vector<string>& args, int status) {
        Process p("wire", args);
        CHECK(p.wait_exit() == status);
        return p.out() + p.err();
    };
    CHECK(wire({file, echo}, 0) == "");
    CHECK(wire({"--port", "8990", "--client", "10.98.7.2", file, echo}, 0) == "");
    CHECK_THAT(
        wire({"--list", file}, 0),
        ContainsSubstring(" 10.98.7.1:8990 C:SYN S:SYN+ACK C:ACK C:PSH(6) S:ACK S:PSH(6) C:ACK C:FIN S:FIN C:ACK\n"));
    string table = wire({file, "C:SYN S:SYN+ACK C:ACK C:PSH(6) S:PSH(6) S:FIN"}, 1);
    CHECK_THAT(table, ContainsSubstring("  --> S:FIN "));
    CHECK_THAT(table.substr(table.find("-->")), ContainsSubstring("C:FIN"));
    CHECK_THAT(wire({"--nth", "2", file, echo}, 1), ContainsSubstring("no connection number 2"));
    CHECK_THAT(wire({"--port", "1", file, echo}, 1), ContainsSubstring("to port \"1\""));
    CHECK_THAT(wire({"/nonexistent", echo}, 1), ContainsSubstring("No such file"));
    CHECK_THAT(wire({"/bin/sh", echo}, 1), ContainsSubstring("neither a pcap"));
    CHECK_THAT(wire({file, "C:NOPE"}, 2), ContainsSubstring("'C:NOPE'"));
    wire({file}, 2), wire({}, 2), wire({"--nth", "0", file, echo}, 2), wire({"--list", file, echo}, 2);
}
