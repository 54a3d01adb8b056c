// ladder_test.cpp - bin/ladder and bin/statelog as programs: what the picture says, and that nothing in its sources can
// become markup, break the columns or be taken for observed when it was not.
#include "catch.hpp"
#include "segments.hpp"
#include "../labs/trace/observations.hpp"
#include "support.hpp"

using namespace test;

namespace {

struct Files : Directory {
    string read(const string& name) const {
        std::ifstream file(*this / name, std::ios::binary);
        std::stringstream all;
        all << file.rdbuf();
        return all.str();
    }
};

string ladder(const std::vector<string>& args, int status = 0) {
    auto result = run("ladder", args);
    INFO(result.err);
    CHECK(result.status == status);
    return status ? result.err : result.out;
}
// The line of the ladder that has `text`.
string line_with(const string& picture, const string& text) {
    size_t at = picture.find(text);
    if (at == string::npos) return "(no '" + text + "' in)\n" + picture;
    size_t start = picture.rfind('\n', at) + 1;
    return picture.substr(start, picture.find('\n', at) - start);
}
// Columns of a line of UTF-8.
size_t columns(const string& line) {
    return std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

const string echo = "C:SYN S:SYN+ACK C:ACK C:1(6) S:ACK S:1(6) C:ACK C:FIN S:FIN C:ACK",
             address = "10.98.0.2:40000 10.98.0.1:8990", mirrored = "10.98.0.1:8990 10.98.0.2:40000";

// Seconds that script() has reached: its clock runs through all tests.
double clock_of(const string& text) {
    int h, m;
    double s;
    sscanf(text.c_str(), "%d:%d:%lf", &h, &m, &s);
    return h * 3600 + m * 60 + s;
}
string at(double seconds) {
    char text[40];
    snprintf(text, sizeof text, "%02d:%02d:%09.6f", int(seconds) / 3600, int(seconds) / 60 % 60,
             std::fmod(seconds, 60));
    return text;
}

}  // namespace

TEST_CASE("a capture alone makes a ladder of inferred states", "[seeing]") {
    string picture = ladder({"tests/captures/echo.pcap"});
    CHECK_THAT(line_with(picture, "PSH(6) seq 1 ack 1"), ContainsSubstring("── PSH(6) seq 1 ack 1 ─"));
    CHECK_THAT(line_with(picture, "FIN+ACK seq 7 ack 7"),
               ContainsSubstring("(FIN_WAIT1)") && ContainsSubstring("(CLOSE_WAIT)"));
    CHECK_THAT(line_with(picture, "FIN+ACK seq 7 ack 8"),
               ContainsSubstring("(TIME_WAIT)") && ContainsSubstring("(LAST_ACK)"));
    CHECK(std::count(picture.begin(), picture.end(), '\n') <= 24);  // an ordinary connection fits one screen
    std::istringstream lines(picture);
    for (string line; std::getline(lines, line);) CHECK(columns(line) <= 100);
    CHECK_THAT(ladder({"--ascii", "tests/captures/echo.pcap"}), ContainsSubstring("|-- SYN seq 0 ---"));
    string text = script(
               "C:SYN S:SYN+ACK C:ACK C:1(10000) S:ACK S:1(10000) C:ACK C:10001(10000) S:ACK S:10001(10000) C:ACK"),
           twice;
    std::istringstream once(text);
    for (string line; std::getline(once, line);) twice += line + "\n" + line + "\n";  // as tcpdump -i any may see it
    Files files;
    CHECK_THAT(line_with(ladder({files.write("a.txt", twice)}), "segments, "),
               ContainsSubstring("S:(40000)") && !ContainsSubstring(" aga"));  // left out, not cut
}

TEST_CASE("what statelog saw is observed, what it did not see stays in parentheses, what cannot be is marked",
          "[seeing]") {
    Files files;
    string text = script(echo), later = script(".. C:SYN");
    double t = clock_of(text);
    later.replace(later.find("8990"), 4, "8991");
    string capture = files.write("a.txt", text + later);
    string states = files.write("vit002.states", at(t + 0.001) + " " + address + " - -> ESTABLISHED\n" + at(t + 0.002) +
                                                     " " + address + " ESTABLISHED -> TIME_WAIT\n");
    string picture = ladder({"--states", states, "--host", "10.98.0.2=vit002", capture});
    CHECK_THAT(line_with(picture, "SYN+ACK seq 0"), ContainsSubstring(" ESTABLISHED "));
    CHECK_THAT(line_with(picture, "FIN+ACK seq 7 ack 7"), ContainsSubstring("(FIN_WAIT1)"));
    CHECK_THAT(line_with(picture, "FIN+ACK seq 7 ack 8"),
               ContainsSubstring(" TIME_WAIT ") && ContainsSubstring("(LAST_ACK)"));
    CHECK_THAT(picture, ContainsSubstring("client vit002"));
    states = files.write("wrong.states", at(t + 0.003) + " " + mirrored + " ESTABLISHED -> FIN_WAIT2\n");
    picture = ladder({"--states", states, capture});
    CHECK_THAT(picture, ContainsSubstring("!!FIN_WAIT2"));
    CHECK_THAT(picture, ContainsSubstring("!! the kernel's FIN_WAIT2 does not follow"));
    states = files.write("after.states", at(t + 0.9) + " " + mirrored +
                                             " ESTABLISHED -> FIN_WAIT2\n");  // the capture is over: who knows
    CHECK_THAT(ladder({"--states", states, capture}),
               ContainsSubstring(" FIN_WAIT2") && !ContainsSubstring("!!FIN_WAIT2"));
    string json = files.write("j.states", "{\"time\":\"" + at(t + 0.002) +
                                              "\",\"local\":\"[::ffff:10.98.0.1]:8990\",\"remote\":\"[::ffff:10.98.0.2]"
                                              ":40000\",\"from\":\"LAST_ACK\",\"to\":\"-\"}\n");
    CHECK_THAT(line_with(ladder({"--states", json, capture}), "ACK ack 8"), ContainsSubstring(" CLOSED"));
}

TEST_CASE("a state that would have lasted and was not observed was not there", "[seeing]") {
    Files files;
    string text = script("C:SYN S:SYN+ACK C:ACK C:FIN S:ACK .. S:FIN C:ACK");
    double t = clock_of(text);
    string capture = files.write("a", text);
    CHECK_THAT(line_with(ladder({capture}), "<────────"), ContainsSubstring("SYN+ACK"));
    CHECK_THAT(line_with(ladder({capture}), "─ ACK ack 2 ──│"), ContainsSubstring("(FIN_WAIT2)"));
    string states = files.write("s", at(t + 0.0002) + " " + address + " - -> ESTABLISHED\n" + at(t + 0.0004) + " " +
                                         address + " ESTABLISHED -> FIN_WAIT1\n" + at(t + 0.202) + " " + address +
                                         " FIN_WAIT1 -> TIME_WAIT\n");
    string line = line_with(ladder({"--states", states, capture}), "─ ACK ack 2 ──│");
    CHECK_THAT(line, !ContainsSubstring("FIN_WAIT2") && ContainsSubstring("X──"));
}

TEST_CASE("the programs' calls stand where they belong, late ones at their own time", "[seeing]") {
    Files files;
    string text = script("C:SYN S:SYN+ACK C:ACK C:FIN S:ACK");
    double t = clock_of(text);
    string capture = files.write("a.txt", text);
    string server = files.write(
        "server.err", "seqserver[7]: " + at(t) + " listening on 0.0.0.0:8990 backlog=4096\nseqserver[7]: " + at(t + 3) +
                          " accepted peer=10.98.0.2:40000\nseqserver[7]: " + at(t + 3.001) +
                          " fin peer=10.98.0.2:40000 bytes=0\n");
    string client = files.write("client.err", "TCPecho[9]: " + at(t + 0.0002) +
                                                  " connected peer=10.98.0.1:8990 local=10.98.0.2:40000\nTCPecho[9]: " +
                                                  at(t + 0.0003) + " half-closed sent=0\n");
    string picture = ladder({"--log", server, "--log", "vit002=" + client, capture});
    CHECK_THAT(line_with(picture, "SYN+ACK seq 0"), ContainsSubstring("connect()"));
    CHECK_THAT(line_with(picture, "FIN+ACK"), ContainsSubstring("shutdown()"));
    CHECK_THAT(line_with(picture, "accept()"), ContainsSubstring("   3.000000 "));
    CHECK_THAT(line_with(picture, "read()=0"), ContainsSubstring("   3.001000 "));
}

TEST_CASE("a close() that sends no FIN stands at its own time, not at that of a FIN that leaves later", "[seeing]") {
    Files files;
    string text = script("C:SYN S:SYN+ACK C:ACK .. C:FIN S:FIN C:ACK");
    double t = clock_of(text);
    string capture = files.write("a.txt", text);
    string server = files.write(
        "server.err",
        "faultserver[7]: " + at(t) + " listening on 0.0.0.0:8990 backlog=4096\nfaultserver[7]: " + at(t + 0.0003) +
            " accepted peer=10.98.0.2:40000\nfaultserver[8]: " + at(t + 0.1) + " closed peer=10.98.0.2:40000\n");
    CHECK_THAT(line_with(ladder({"--log", server, capture}), "close()"), ContainsSubstring("   0.100000 "));
}

TEST_CASE("two servers, and one port pair used twice: each connection gets its own calls and states", "[seeing]") {
    Files files;
    string first = script("C:SYN S:SYN+ACK C:ACK C:FIN S:FIN C:ACK"),
           second = script("C:SYN S:SYN+ACK C:ACK C:FIN S:FIN C:ACK", 90000), other = script("C:SYN S:SYN+ACK C:ACK");
    for (size_t at = 0; (at = other.find("8990", at)) != string::npos;) other.replace(at, 4, "8991");
    double one = clock_of(first), two = clock_of(second), three = clock_of(other);
    string capture = files.write("a", first + second + other);
    string states = files.write("s", at(one + 0.0008) + " " + address + " - -> ESTABLISHED\n" + at(two + 0.0001) + " " +
                                         address + " ESTABLISHED -> TIME_WAIT\n" + at(two + 0.0005) + " " + address +
                                         " TIME_WAIT -> ESTABLISHED\n" + at(two + 0.0006) + " " + address +
                                         " ESTABLISHED -> FIN_WAIT2\n");
    string log = files.write("l", "TCPechod[1]: " + at(three) + " listening on 0.0.0.0:8991 backlog=5\nTCPechod[1]: " +
                                      at(three + 0.0004) + " accepted peer=10.98.0.2:40000 child=7\n");
    string picture = ladder({"--states", states, "--log", log, capture});
    size_t begin_two = picture.find("client", 20), begin_three = picture.find("client", begin_two + 9);
    string in_one = picture.substr(0, begin_two), in_two = picture.substr(begin_two, begin_three - begin_two),
           in_three = picture.substr(begin_three);
    CHECK_THAT(line_with(in_one, "FIN+ACK seq 1 ack 2"), ContainsSubstring(" TIME_WAIT "));
    CHECK_THAT(in_one, !ContainsSubstring("FIN_WAIT2"));
    CHECK_THAT(in_two, ContainsSubstring("!!FIN_WAIT2"));
    CHECK_THAT(in_one + in_two, !ContainsSubstring("accept()"));
    CHECK_THAT(line_with(in_three, "ACK ack 1 "), ContainsSubstring("accept()"));
}

TEST_CASE("a host whose clock is wrong is put right by cause and effect", "[seeing]") {
    Files files;
    string text = script(echo);
    string capture = files.write("a.txt", text);
    for (double wrong : {-1000.0, -0.5, 0.5, 1000.0}) {
        INFO(wrong);
        double t = clock_of(text) + wrong + 3600;
        string shifted = text;
        for (size_t hour = 0; (hour = shifted.find("12:00:", hour)) != string::npos; hour += 6)
            shifted.replace(hour, 6, "13:00:");
        capture = files.write("a.txt", shifted);
        string states = files.write("s", at(t + 0.0002) + " " + mirrored + " - -> ESTABLISHED\n" + at(t + 0.0007) +
                                             " " + mirrored + " ESTABLISHED -> CLOSE_WAIT\n" + at(t + 0.0009) + " " +
                                             mirrored + " CLOSE_WAIT -> -\n");
        string picture = ladder({"--states", states, capture});
        CHECK_THAT(line_with(picture, "ACK ack 1 "), ContainsSubstring(" ESTABLISHED"));
        CHECK_THAT(line_with(picture, "FIN+ACK seq 7 ack 7"), ContainsSubstring(" CLOSE_WAIT"));
        CHECK_THAT(line_with(picture, "ACK ack 8"), ContainsSubstring(" CLOSED"));
        CHECK(picture.find("!!CLOSE") == string::npos);
    }
    // A busy host: most of its states were seen late, and that is not its clock.
    text = script("C:SYN S:SYN+ACK C:ACK .. C:FIN S:ACK .. S:FIN C:ACK .. C:SYN");
    double t = clock_of(text);
    capture = files.write("a.txt", text);
    string states = files.write("s", at(t + 0.001) + " " + mirrored + " - -> ESTABLISHED\n" + at(t + 0.29) + " " +
                                         mirrored + " ESTABLISHED -> CLOSE_WAIT\n" + at(t + 0.48) + " " + mirrored +
                                         " CLOSE_WAIT -> LAST_ACK\n");
    CHECK_THAT(ladder({"--states", states, capture}),
               ContainsSubstring("ESTABLISHED") && !ContainsSubstring("!!ESTABLISHED"));
}

TEST_CASE("segments that cross, get lost and are sent again look so", "[seeing]") {
    Files files;
    string crossing = ladder({files.write("a", script("C:SYN S:SYN+ACK C:ACK C:FIN S:FIN(1) C:ACK S:ACK"))});
    CHECK_THAT(line_with(crossing, "C:FIN arrives"), ContainsSubstring("(CLOSING)"));
    string lost = ladder({"tests/captures/lost-fin.txt"});
    CHECK_THAT(line_with(lost, "FIN+ACK seq 3001 ack 7"), ContainsSubstring("X─"));
    CHECK_THAT(line_with(lost, "seq 3001 again"), ContainsSubstring("X┄"));
    CHECK_THAT(line_with(lost, "ack 7 again"), ContainsSubstring("<┄") && ContainsSubstring("(CLOSE_WAIT)"));
    CHECK_THAT(lost, ContainsSubstring(": 1200 ms :"));
}

TEST_CASE("a narrow picture is narrow in every line, and says what it leaves out", "[seeing]") {
    Files files;
    string text = script("C:SYN S:SYN+ACK C:ACK C:FIN S:ACK .. .. .. S:1(1000) C:2(6)"), six = text;
    auto each = [&](const string& from, const string& to) {
        for (size_t at = 0; (at = six.find(from, at)) != string::npos; at += to.size())
            six.replace(at, from.size(), to);
    };
    each("IP ", "IP6 ");
    each("10.98.0.", "2001:db8:1111:2222:3333:4444:5555:");
    string log = files.write("client.err", "TCPecho[9]: " + at(clock_of(text) + 0.0002) +
                                               " connected peer=10.98.0.1:8990 local=10.98.0.2:40000\n");
    string name = "--host=10.98.0.1=a.server.whose.name.is.long.enough", capture = files.write("4", text);
    string six_capture = files.write("6", six),
           states = files.write("s", at(clock_of(text) + 0.0003) + " " + mirrored + " - -> ESTABLISHED\n");
    for (string width : {"60", "80", "89"})
        for (auto& args :
             {std::vector<string>{capture}, {"--log", log, "--states", states, name, capture}, {six_capture}}) {
            auto with_width = args;
            with_width.insert(with_width.begin(), {"--width", width});
            string picture = ladder(with_width);
            INFO(picture);
            CHECK_THAT(picture, ContainsSubstring("(FIN_WAIT1)") && ContainsSubstring(" FIN+ACK seq 1"));
            CHECK_THAT(picture, ContainsSubstring("!!PSH(6)") && ContainsSubstring("behind its own FIN"));
            std::istringstream lines(picture);
            for (string line; std::getline(lines, line);) CHECK(columns(line) <= std::stoul(width));
            bool calls = args.size() > 1, room = width != "60";
            CHECK((picture.find("connect()") != picture.npos) == (calls && room));
            CHECK((picture.find("The calls are left out") != picture.npos) == (calls && !room));
        }
}

TEST_CASE("a segment that may not be is marked", "[seeing]") {
    Files files;
    string picture = ladder({files.write("a", script("C:SYN S:SYN+ACK C:ACK C:FIN S:ACK C:2(6)"))});
    CHECK_THAT(line_with(picture, "PSH(6)"), ContainsSubstring("── !!PSH(6) seq 2"));
    CHECK_THAT(picture, ContainsSubstring("!! C:PSH(6): the client sends behind its own FIN"));
}

TEST_CASE("100,000 segments become a few lines in seconds", "[seeing]") {
    Files files;
    string text = script("C:SYN S:SYN+ACK C:ACK"), line;
    text.reserve(16000000);
    for (int i = 0; i < 50000; ++i) {
        char pair[400];
        snprintf(
            pair, sizeof pair,
            "12:01:%02d.%06d IP 10.98.0.1.8990 > 10.98.0.2.40000: Flags [.], seq %d, ack 1001, win 9, length 1000\n"
            "12:01:%02d.%06d IP 10.98.0.2.40000 > 10.98.0.1.8990: Flags [.], ack %d, win 9, length 0\n",
            i / 1000, i % 1000 * 1000, 1078 + i * 1000, i / 1000, i % 1000 * 1000 + 500, 1078 + (i + 1) * 1000);
        text += pair;
    }
    string capture = files.write("big", text);
    auto start = Clock::now();
    string picture = ladder({capture});
    CHECK(Clock::now() - start < patience);
    CHECK(std::count(picture.begin(), picture.end(), '\n') < 20);
    CHECK_THAT(picture,
               ContainsSubstring("99997 segments, S:(49998000)") || ContainsSubstring("99996 segments, S:(49998000)"));
}

TEST_CASE("nothing in names, logs or captures becomes markup or a control sequence", "[seeing]") {
    Files files;
    const string evil = "<script>alert(1)</script>\x1b[31m&\"'\x01\xff";
    string text = script(echo),
           log = "x[1]: 12:00:00.000100 connected peer=10.98.0.1:8990 local=10.98.0.2:40000\nx[1]: 12:00:00.000100 " +
                 evil + " a\nx[1]: 12:00:00.1 evil-verb-is-long data=" + evil + "\n";
    string capture = files.write(
        "a", text + "12:00:01.0 IP " + evil + ".1 > " + evil + ".2: Flags [S], seq 1, win 1, length 0\n" + evil + "\n");
    string states =
        files.write("s", evil + "\n12:00:00.1 " + evil + " " + evil +
                             " - -> ESTABLISHED\n12:00:00.1 10.98.0.2:40000 10.98.0.1:8990 - -> " + evil + "\n");
    std::vector<string> args = {"--log",  files.write("l", log), "--states", states,
                                "--host", "10.98.0.1=" + evil,   capture};
    string picture = ladder(args);
    CHECK(picture.find('\x1b') == string::npos);
    CHECK(picture.find('\x01') == string::npos);
    args.insert(args.begin(), {"--svg", files / "a.svg"});
    ladder(args);
    string svg = files.read("a.svg");
    CHECK(svg.find("<script") == string::npos);
    CHECK(svg.find("&lt;script&gt;") != string::npos);
    CHECK(std::all_of(svg.begin(), svg.end(), [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
}

TEST_CASE("the SVG's text stays inside of the picture", "[seeing]") {
    Files files;
    string long_name(200, 'n');
    ladder({"--svg", files / "a.svg", "--host", "10.98.7.1=" + long_name, "--host", "10.98.7.2=" + long_name,
            "tests/captures/lost-fin.txt"});
    string svg = files.read("a.svg");
    size_t found = 0;
    for (size_t at = 0; (at = svg.find("<text x=", at)) != string::npos; ++found, ++at) {
        int x, y;
        char classes[40], anchor[20];
        REQUIRE(sscanf(svg.c_str() + at, "<text x=\"%d\" y=\"%d\" class=\"%39[^\"]\" text-anchor=\"%19[^\"]\"", &x, &y,
                       classes, anchor) == 4);
        size_t start = svg.find('>', at) + 1, length = svg.find('<', start) - start;
        int width = int(length * (classes[0] == 'h' ? 13.5 : 9.1)), left = anchor == string("end")      ? x - width
                                                                           : anchor == string("middle") ? x - width / 2
                                                                                                        : x;
        INFO(svg.substr(start, length));
        CHECK(left >= 0);
        CHECK(left + width <= 1250);
    }
    CHECK(found > 40);
}

TEST_CASE("two clients of one server stand on one time axis", "[seeing]") {
    Files files;
    string one = script("C:SYN S:SYN+ACK C:ACK"), two = script("C:SYN S:SYN+ACK C:ACK C:FIN S:FIN C:ACK"), three = one;
    for (size_t at = 0; (at = two.find("10.98.0.2.40000", at)) != string::npos;) two.replace(at, 15, "10.98.0.3.41000");
    for (size_t at = 0; (at = three.find("10.98.0.2.40000", at)) != string::npos;)
        three.replace(at, 15, "10.98.0.4.42000");
    string svg = files / "a.svg", both = files.write("both", one + two);
    ladder({"--together", "--svg", svg, both});
    string drawn = files.read("a.svg");
    for (string words : {">10.98.0.2<", ">10.98.0.1<", ">10.98.0.3<", "port 41000 to port 8990", "(LAST_ACK)"})
        CHECK_THAT(drawn, ContainsSubstring(words));
    CHECK_THAT(ladder({"--together", "--svg", svg, files.write("three", one + two + three)}, 1),
               ContainsSubstring("at most two"));
    CHECK_THAT(ladder({"--together", both}, 2), ContainsSubstring("--together needs --svg"));
}

TEST_CASE("ladder says in one line what it cannot do", "[seeing]") {
    CHECK_THAT(ladder({"/nonexistent"}, 1), ContainsSubstring("\"/nonexistent\": No such file"));
    CHECK_THAT(ladder({"--connection", "2", "tests/captures/echo.pcap"}, 1), ContainsSubstring("has 1"));
    CHECK_THAT(ladder({"/dev/null"}, 1), ContainsSubstring("\"/dev/null\": no TCP segments in it"));
    CHECK_THAT(ladder({"-"}, 1), ContainsSubstring("a pcap has to be a file"));
    CHECK_THAT(ladder({"--states", "/nonexistent", "tests/captures/echo.pcap"}, 1), ContainsSubstring("/nonexistent"));
    CHECK_THAT(ladder({"--svg", "/nonexistent/a.svg", "tests/captures/echo.pcap"}, 1),
               ContainsSubstring("/nonexistent/a.svg"));
    CHECK_THAT(ladder({"--host", "=x", "tests/captures/echo.pcap"}, 2), ContainsSubstring("ADDR=NAME"));
    CHECK_THAT(ladder({"--width", "5", "tests/captures/echo.pcap"}, 2), ContainsSubstring("--width must be 60..250"));
}

TEST_CASE("a report has the steps, the answers, the claims and the picture, and no markup but its own", "[seeing]") {
    Files files;
    const string evil = "<script>alert(1)</script><img src=x onerror=alert(1)>&\"'";
    files.write("transcript.txt",
                "\nLab 99-x: a question " + evil + "\n\n== Step 1. A step " + evil + "\n\nvit001$ seqserver " + evil +
                    "\nplain \x1b[31m" + evil + "\n? Why " + evil + "\n  ok: claim " + evil + "\n  FAILED: claim " +
                    evil + "\n  seen instead:\n    nothing\n\nLab 99-x: FAILED after 1 checks. Log: " + evil + "\n");
    files.write("predictions.txt", "step 1: Why " + evil + "\n  predicted: because " + evil + "\n");
    files.write("about.txt", evil + "\n");
    ladder({"--svg", files / "ladder.svg", "--host", "10.98.7.1=" + evil, "tests/captures/echo.pcap"});
    REQUIRE(system(("labs/script/report " + files.path).c_str()) == 0);
    string html = files.read("report.html");
    CHECK(html.find("<script") == string::npos);
    CHECK(html.find("<img") == string::npos);
    CHECK(html.find('\x1b') == string::npos);
    for (string words :
         {"<h2>Step 1. A step &lt;script&gt;", "Predicted: because &lt;script&gt;", "<b>FAILED: claim &lt;script&gt;",
          "class=\"verdict failed\">Lab 99-x: FAILED after 1 checks.", "<b>ok</b>", "<svg xmlns", "(TIME_WAIT)"})
        CHECK_THAT(html, ContainsSubstring(words));
    CHECK(html.find("http://") ==
          html.find("http://www.w3.org/2000/svg"));  // a name, not an address: nothing is loaded
    CHECK(html.find("https://") == string::npos);
    CHECK(html.find("\n\n</pre>") == string::npos);
    CHECK(system("labs/script/report /nonexistent 2>/dev/null") != 0);
}

// ---- statelog -----------------------------------------------------------------------------------------------------

TEST_CASE("statelog prints the life of a connection, and ends when told", "[seeing]") {
    Listener listener;
    string port = std::to_string(listener.port());
    Process log("statelog", {"--port", port, "--every", "1ms"});
    REQUIRE(log.wait_for_stderr("watching"));
    CHECK(log.wait_for_stdout(":" + port + " 0.0.0.0:0 - -> LISTEN"));
    {
        Client client(listener.port());
        CHECK(log.wait_for_stdout("-> ESTABLISHED"));
        auto accepted = listener.accept();
        client.shutdown_write();
        CHECK(log.wait_for_stdout("-> CLOSE_WAIT"));
        CHECK(log.wait_for_stdout("-> FIN_WAIT2"));
    }
    CHECK(log.wait_for_stdout("-> TIME_WAIT"));
    listener.close();
    CHECK(log.wait_for_stdout("LISTEN -> -"));
    log.signal(SIGINT);
    CHECK(log.wait_exit() == 0);
    std::istringstream lines(log.out());
    lab::Observation o;
    for (string line; std::getline(lines, line);) {
        INFO(line);
        long seconds, us;
        char local[80], remote[80], from[20], to[20];
        REQUIRE(sscanf(line.c_str(), "%ld.%6ld %79s %79s %19s -> %19s", &seconds, &us, local, remote, from, to) == 6);
        CHECK(std::labs(seconds - time(nullptr)) < 60);
        CHECK((string(local) + " " + remote).find(":" + port) != string::npos);
    }
}
TEST_CASE("statelog's options", "[seeing]") {
    auto ends = run("statelog", {"--for", "20ms"});
    CHECK(ends.status == 0);
    Listener listener;
    auto json =
        run("statelog", {"--json", "--time-of-day", "--for", "20ms", "--port", std::to_string(listener.port())});
    CHECK_THAT(json.out, ContainsSubstring("{\"time\":\"") &&
                             ContainsSubstring("\"remote\":\"0.0.0.0:0\",\"from\":\"-\",\"to\":\"LISTEN\"}\n"));
    CHECK_THAT(run("statelog", {"--every", "1us"}).err, ContainsSubstring("--every must be 100us..1m"));
    CHECK(run("statelog", {"--port", "0"}).status == 2);
    CHECK(run("statelog", {"operand"}).status == 2);
}

TEST_CASE("a damaged line of a log is left out of the picture, and counted", "[seeing]") {
    Files files;
    string text = script(echo), time = at(clock_of(text) + 0.00015);
    string log = "x[1]: " + time + " accepted peer=[::ffff:1.2.3.4\nx[1]: " + time +
                 " accepted peer=10.98.0.2\nx[1]: " + time + " accepted peer=10.98.0.2:40000\n";
    string picture = ladder({"--log", files.write("log", log), files.write("a.txt", text)});
    CHECK_THAT(picture,
               ContainsSubstring("2 damaged lines of logs and states are left out") && ContainsSubstring("accept()"));
}

TEST_CASE("names in error lines are escaped", "[seeing]") {
    const string evil =
                     "no\x1b]0;such\n\x9b"
                     "file",
                 echo_pcap = "tests/captures/echo.pcap";
    auto one_line = [](const string& program, const std::vector<string>& args) {
        auto result = run(program, args);
        CAPTURE(program, result.err);
        CHECK(result.status != 0);
        CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
        CHECK(std::all_of(result.err.begin(), result.err.end() - 1, [](char c) { return c >= ' ' && c <= '~'; }));
        CHECK_THAT(result.err, ContainsSubstring("no\\x1b]0;such"));
    };
    one_line("wire", {evil, "C:SYN"});
    one_line("wire", {"--client", evil, echo_pcap, "C:SYN"});
    one_line("ladder", {evil});
    one_line("ladder", {"--states", evil, echo_pcap});
    one_line("ladder", {"--svg", "/nowhere/" + evil, echo_pcap});
    one_line("ladder", {"--host", evil, echo_pcap});
    one_line("echoload", {"--merge", evil});
    one_line("echoload", {"--merge", "/dev/null", "--histogram", "/nowhere/" + evil});
    one_line("echoload", {"--merge", "/dev/null", "--each", "/nowhere/" + evil});
    one_line("echoload", {evil});
    one_line("halfclose-server", {evil, "0"});
    one_line("whowaits", {evil, evil});
    CHECK_THAT(run("wire", {echo_pcap, "C:\x1b[31mSYN"}).err, ContainsSubstring("'C:?[31mSYN' is no token"));
    one_line("enter", {"--", std::to_string(getpid()), evil, "true"});
}
