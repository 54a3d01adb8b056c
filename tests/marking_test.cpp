// Hand-ins: packed with what a teacher can check, unpacked with distrust, read again; copies and forgeries are found.
#include "catch.hpp"
#include "support.hpp"

#include <fstream>
#include <regex>
#include <sstream>

using namespace test;

namespace {

// What a class hands in: one real run of lab 03 for each student, in logs of its own.
struct Class : Directory {
    std::string output;
    int run(const std::string& command) {
        return finish(popen(("cd " + path + " && { " + command + "; } 2>&1 </dev/null").c_str(), "r"), output);
    }
    // `name` does a lab with their own word, and predicts `answer` whatever the question is.
    std::string does_the_lab(const std::string& name, const std::string& lab = "03", const std::string& answer = "a") {
        std::string log = path + "/" + name;
        int status = run("yes " + answer + " | head -n 20 >answers; LAB_PREPARED=yes " + top +
                         "/labs/run --pause --board . --student " + name + " --logs " + log + " " + lab + " <answers");
        INFO(output);
        REQUIRE(status == 0);
        return log;
    }
    int hands_in(const std::string& name, const std::string& as = "") {
        return run("mkdir -p in; " + top + "/labs/handin --student " + name + " --logs " + path + "/" + name +
                   " -o in/handin-" + (as.empty() ? name : as) + ".tar.gz");
    }
    // `name` takes ann's run for theirs, with a number that gives what `like` says of their $word and $ports, and of $a and
    // $p, which are ann's.
    void takes_anns_run(const std::string& name, const std::string& like) {
        REQUIRE(run("[ -e " + name + " ] || cp -r ann " + name + "; set -- $(echo " + name + "/03*/20*); . " + top +
                    "/labs/script/student.sh; of() { sed -n \"s/^$1 //p\" $2/student.txt; }; n=0; "
                    "a=$(of word ann/03*/20*) p=$(of ports ann/03*/20*); until sign_run $1 " +
                    name + " 03-missing-close $n && word=$(of word $1) ports=$(of ports $1) && { " + like +
                    "; }; do n=$((n + 1)); done; echo $a $word $1") == 0);
    }
    // The row of `student` in the table.
    std::string row(const std::string& student) {
        std::ifstream table(path + "/class.csv");
        for (std::string line; std::getline(table, line);)
            if (line.find("\"" + student + "\"") == 0) return line;
        return "";
    }
    int collect() { return run(top + "/labs/collect -o class in"); }
    std::string page() {
        std::ifstream file(path + "/class.html");
        std::stringstream all;
        all << file.rdbuf();
        return all.str();
    }
    const std::string top = std::filesystem::current_path();
};

// A capture as another student's: each word replaced, an hour later, all sequence numbers higher by a constant; each packet later by
// chance, by less than `jitter` microseconds.
void forge(const std::string& path, const std::string& word, const std::string& by, uint32_t jitter = 0) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    std::string pcap((std::istreambuf_iterator<char>(file)), {});
    auto add = [&](size_t at, uint32_t n) {  // in the network's order
        for (int i = 3; i >= 0; --i, n >>= 8) {
            n += (unsigned char)pcap[at + size_t(i)];
            pcap[at + size_t(i)] = char(n);
        }
    };
    for (size_t at = 24; at < pcap.size();) {
        uint32_t seconds, microseconds, length;
        memcpy(&seconds, &pcap[at], 4);
        memcpy(&microseconds, &pcap[at + 4], 4);
        if (jitter) microseconds = std::min(microseconds + uint32_t(rand()) % jitter, 999999u);
        memcpy(&pcap[at + 4], &microseconds, 4);
        memcpy(&length, &pcap[at + 8], 4);
        seconds += 3600;
        memcpy(&pcap[at], &seconds, 4);
        size_t ip = at + 16 + 14, tcp = ip + size_t(pcap[ip] & 15) * 4;
        bool up = pcap[ip + 15] > pcap[ip + 19];  // clients are on the higher addresses
        add(tcp + 4, up ? 1000000 + jitter : 3000000);
        if (pcap[tcp + 13] & 16) add(tcp + 8, up ? 3000000 : 1000000 + jitter);
        at += 16 + length;
    }
    for (size_t at; (at = pcap.find(word)) != pcap.npos;) pcap.replace(at, word.size(), by);
    file.seekp(0);
    file << pcap;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("hand-ins: an honest one is shown again, copies and forgeries are told", "[labs][marking]") {
    if (system("unshare -n true 2>/dev/null")) {
        WARN("no namespaces here: skipped");
        return;
    }
    Class all;
    std::string ann = all.does_the_lab("ann");
    REQUIRE(all.run("echo x >\"$(echo ann/03*/20*)/server-cork=1.err\"") == 0);  // as lab 12 calls its programs
    REQUIRE(all.hands_in("ann") == 0);
    CHECK(has(all.output, "packed 1 labs of ann"));
    CHECK(all.run(all.top + "/labs/collect --watch --once .") == 0);
    CHECK(has(all.output, "1 student, 1 done."));
    CHECK(std::regex_search(all.output, std::regex("   done  ann +03 +passed, ")));
    CHECK(all.run("grep -c . ann/03*/*/minutes.txt") == 0);
    CHECK(all.output == "11\n");  // steps

    // Another name on ann's run; ann's capture under a transcript of one's own; the suite's reference run.
    all.takes_anns_run("bob", "[ ${#word} != ${#a} ] && [ $(((ports - p + 1000) % 1000)) -gt 9 ]");
    REQUIRE(all.run("sed -i 's/ok: buggy says fin peer=/ok: bob says everything/' bob/03*/20*/transcript.txt") == 0);
    REQUIRE(all.hands_in("bob") == 0);
    REQUIRE(all.run("mkdir -p eve/03-missing-close/20991231T000000Z-netns && set -- eve/03*/20* && cp " + all.top +
                    "/logs/03-missing-close/*.* $1 && . " + all.top +
                    "/labs/script/student.sh && sign_run $1 eve 03-missing-close abc") == 0);
    REQUIRE(all.hands_in("eve") == 0);
    CHECK(has(all.output, "03-missing-close: no predictions"));
    // A capture that is another lab's, and a file that was changed after it was packed.
    REQUIRE(all.run("cp -r ann ida && set -- ida/03*/20* && cp " + all.top +
                    "/logs/09-half-close/vit001.pcap $1/ && . " + all.top +
                    "/labs/script/student.sh && sign_run $1 ida 03-missing-close abc") == 0);
    REQUIRE(all.hands_in("ida") == 0);
    REQUIRE(
        all.run(
            "mkdir x && tar -C x -xzf in/handin-ida.tar.gz && echo more >>x/handin-ida/03-missing-close/checks.txt && "
            "tar -C x -czf in/handin-ida.tar.gz handin-ida") == 0);

    // ann's capture as another's, with all that a constant can change; and with a little chance for each packet.
    for (std::string name : {"kim", "lee"}) {
        all.takes_anns_run(name, "[ ${#word} = ${#a} ]");
        std::istringstream said(all.output);
        std::string word, own_word, run;
        said >> word >> own_word >> run;
        forge(all.path + "/" + run + "/vit001.pcap", word, own_word, name == "lee" ? 200 : 0);
        REQUIRE(all.run("rm " + name + "/03*/20*/vit00[23].pcap; rm " + name + "/03*/20*/*.states") <= 1);
        REQUIRE(all.hands_in(name) == 0);
    }
    // Somebody honest, who says b whatever is asked.
    all.does_the_lab("zoe", "04", "b");
    REQUIRE(all.hands_in("zoe") == 0);

    int status = all.collect();
    INFO(all.output);
    REQUIRE(status == 0);
    INFO(all.run("cat class.csv") << all.output);
    CHECK(has(all.row("ann"),
              "a copy of bob's 03-missing-close and of 2 more: the same initial sequence numbers, distances of initial "
              "sequence numbers, "));
    CHECK(!has(all.row("ann"), "no packet"));
    CHECK(has(all.row("bob"), "is in no packet"));
    CHECK(has(all.row("bob"), "the ports are not those that this name gets"));
    CHECK(has(all.page(), "bob</b>, 03-missing-close: the capture does not show: ana's packets: "));
    CHECK(!has(all.row("ann"), "the ports"));
    CHECK(has(all.row("bob"), "transcript and list of checks differ"));
    CHECK(has(all.row("kim"),
              "a copy of ann's 03-missing-close and of 2 more: the same distances of initial sequence numbers, times "
              "between segments, "));
    CHECK(!has(all.row("kim"), "the same initial sequence numbers"));
    CHECK(!has(all.row("kim"), "is in no packet"));
    CHECK(!has(all.row("lee"), "times between segments"));
    CHECK(has(all.row("lee"),
              "a copy of ann's 03-missing-close and of 2 more: the same distances of initial sequence numbers, "
              "timestamps, ports of "
              "clients\""));
    CHECK(has(all.row("zoe"), "\"04-queue\",shown again,"));
    // Recv-Q is another number for each; it is in the guide's place on the page.
    CHECK(has(all.page(),
              "<div class=\"answer\"><span>7 &#10003;</span><span class=\"track\"><span class=\"bar right\" "
              "style=\"display:block;width:100%\"></span></span><span>1</span></div>"));
    CHECK(has(all.row("eve"), "a copy of the reference run's 03-missing-close: "));
    CHECK(has(all.row("eve"), "is in no packet"));
    CHECK(has(all.row("ida"), "changed after it was packed: 03-missing-close/checks.txt"));
    CHECK(has(all.page(), "ida</b>, 03-missing-close: the capture does not show: "));
    CHECK(has(all.page(), "predictions 3 of 10"));

    // Without the forgers nothing of ann's is to be looked at.
    REQUIRE(all.run("rm in/handin-[!az]*") == 0);
    REQUIRE(all.collect() == 0);
    INFO(all.row("ann"));
    CHECK(has(all.row("ann"), ",shown again,"));
}

// checks.txt and transcript.txt of a lab as it would be for somebody with this word and turn.
struct Foretold : Directory {
    std::vector<std::string> claims, questions;
    Foretold(const std::string& lab, const std::string& varies) {
        int status = system(("env " + varies + " labs=$PWD/labs LAB_FORETELL=yes LAB_BACKEND=netns LAB_LOG=" + path +
                             " sh labs/" + lab + "/run >/dev/null 2>&1 </dev/null")
                                .c_str());
        CHECK(status == 0);
        read(path);
    }
    explicit Foretold(const std::string& reference) { read(reference); }
    bool claims_that(const std::string& text) const {
        return std::find(claims.begin(), claims.end(), text) != claims.end();
    }
    bool asks(const std::string& line) const {
        return std::find(questions.begin(), questions.end(), line) != questions.end();
    }

private:
    // What a capture can show, and what is asked; the numbers in a question may be this machine's.
    void read(const std::string& from) {
        std::ifstream checks(from + "/checks.txt"), transcript(from + "/transcript.txt");
        for (std::string line; std::getline(checks, line);) {
            std::string text = line.substr(line.rfind('\t') + 1);
            if (has(text, "'s packets: ") || std::regex_match(text, std::regex("(peer-of )?[a-z0-9-]+ is [A-Z_0-9]+")))
                claims.push_back(text);
        }
        for (std::string line; std::getline(transcript, line);)
            if (std::regex_search(line, std::regex("^([?] |    [a-d]\\) |  = |== Step)"))) questions.push_back(line);
    }
};

TEST_CASE("hand-ins: what a name leads to is told by the lab's own script, and without a name it is the reference run",
          "[labs][marking]") {
    auto without_numbers = [](std::vector<std::string> lines) {
        for (auto& line : lines) line = std::regex_replace(line, std::regex("[0-9]+"), "0");
        return lines;
    };
    for (std::string lab :
         {"01-first-echo", "02-two-clients", "03-missing-close", "04-queue", "05-sequential-concurrent", "12-options",
          "15-one-call", "16-messages", "17-two-families"}) {
        INFO(lab);
        Foretold own(lab, ""), reference("logs/" + lab);
        CHECK(reference.claims.size() > 2);
        CHECK(own.claims == reference.claims);
        CHECK(without_numbers(own.questions) == without_numbers(reference.questions));
    }
    Foretold second("02-two-clients", "LAB_WORD=pppppppp LAB_TURN=1");
    CHECK(second.claims_that(
        "ana's packets: C:SYN S:SYN+ACK C:ACK C:PSH(9) S:ACK S:PSH(9) C:ACK C:FIN S:ACK S:FIN C:ACK"));
    CHECK(second.asks("? ana ends her input. What changes for bob?"));
    Foretold fourth("04-queue", "LAB_WORD=pppppp");
    CHECK(fourth.asks("  = b) 8"));
    Foretold last("16-messages", "LAB_WORD=ppppppppp");
    CHECK(last.asks("? Ten bytes come, and the server reads three at each event. How often does epoll_wait() return?"));
    CHECK(last.asks("  = b) four times"));
}

TEST_CASE("the board: who has been longest at a step comes first, who is done last, and nothing is shown raw",
          "[labs][marking]") {
    Class all;
    CHECK(all.run("mkdir board && " + all.top + "/labs/collect --watch --once board") == 0);
    CHECK(has(all.output, "Nobody has said anything here yet."));
    auto says = [&](const std::string& name, int minutes_ago, const std::string& what) {
        char hour[6];
        time_t when = time(nullptr) - minutes_ago * 60;
        strftime(hour, sizeof hour, "%H:%M", gmtime(&when));
        std::ofstream(all.path + "/board/" + name + ".status", std::ios::app)
            << hour << " " << name << " 03-missing-close " << what << "\n";
    };
    says("ann", 50, "step 1: A server that forgets close()");
    says("ann", 40, "passed, 75 checks");
    says("bob", 2, "step 5: The buggy server is killed");
    says("cid", 12, "step 4: \033]0;owned\007A second server on the port");
    std::ofstream(all.path + "/board/noise.status") << "no line of ours\n";
    CHECK(all.run(all.top + "/labs/collect --watch --once board") == 0);
    INFO(all.output);
    CHECK(all.output.rfind("3 students, 1 done. ", 0) == 0);
    CHECK(std::regex_search(all.output, std::regex("\n +1[2-9] min  cid +03 +step 4: .*\n +[2-9] min  bob +03 +step 5: "
                                                   ".*\n +done  ann +03 +passed, 75 checks\n$")));
    CHECK(!has(all.output, "\033"));
    // Without drawing: a line when it is new, and no other.
    REQUIRE(all.run("timeout 60 " + all.top + "/labs/collect --watch board >out 2>&1 & echo $!") == 0);
    const int pid = stoi(all.output);
    auto printed = [&](const std::string& text) { return all.run("cat out") == 0 && has(all.output, text); };
    CHECK(eventually([&] { return printed("step 5: The buggy server is killed"); }));
    says("bob", 0, "step 6: A new server on the port");
    CHECK(eventually([&] { return printed("step 6: A new server on the port"); }));
    kill(pid, SIGTERM);
    CHECK(count(all.output, "step 5: The buggy server is killed") == 1);
}

TEST_CASE("hand-ins: what is no plain archive of plain files is refused, and nothing leaves its place",
          "[labs][marking]") {
    Class all;
    REQUIRE(all.run("mkdir -p in a/handin-x/03-missing-close && echo x >a/handin-x/03-missing-close/transcript.txt") ==
            0);
    std::vector<std::pair<std::string, std::string>> archives{
        {"link", "ln -s /etc/passwd a/handin-x/03-missing-close/checks.txt"},
        {"hard", "ln a/handin-x/03-missing-close/transcript.txt a/handin-x/03-missing-close/checks.txt"},
        {"fifo", "mkfifo a/handin-x/03-missing-close/checks.txt"},
        {"deep", "mkdir -p a/handin-x/03-missing-close/a/b && touch a/handin-x/03-missing-close/a/b/c"},
        {"name", "touch \"a/handin-x/03-missing-close/$(printf \"a\\nb\")\""},
        {"dash", "touch a/handin-x/03-missing-close/-rf"},
    };
    for (auto& [name, make] : archives) {
        INFO(name);
        REQUIRE(all.run("rm -rf a/handin-x/03-missing-close/[!t]* a/handin-x/03-missing-close/-rf; " + make +
                        " && tar -C a -czf in/handin-" + name + ".tar.gz handin-x") == 0);
    }
    REQUIRE(all.run("touch in/out.txt && tar -czf in/handin-parent.tar.gz -P a/../in/out.txt && tar -czf "
                    "in/handin-absolute.tar.gz -P " +
                    all.path +
                    "/in/out.txt && head -c 300000000 /dev/zero | gzip >in/handin-bomb.tar.gz && "
                    "head -c 1000 /dev/urandom >in/handin-noise.tar.gz") == 0);
    CHECK(all.collect() == 1);
    INFO(all.output);
    for (std::string name : {"link", "hard", "fifo", "deep", "name", "dash", "parent", "absolute", "bomb", "noise"})
        CHECK(has(all.output, "refused: handin-" + name + ".tar.gz: "));
    CHECK(count(all.output, "refused: ") == 10);
}

TEST_CASE("hand-ins: what a student's files say is shown escaped", "[labs][marking]") {
    Class all;
    REQUIRE(all.run("mkdir -p in a/handin-x/03-missing-close && cd a/handin-x/03-missing-close && "
                    "printf \"ok\\t1\\t<script>alert(1)</script>\\n\" >checks.txt && "
                    "printf \"step 6: <b>\\033[31m\\n  predicted: <img src=x>\\n\" >predictions.txt && "
                    "printf \"name =cmd()\\033[2J<i>\\nnonce 1\\n\" >student.txt && echo x >remarks.txt && cd ../.. && "
                    "tar -czf ../in/handin-=x.tar.gz handin-x") == 0);
    REQUIRE(all.collect() == 0);
    INFO(all.output);
    for (std::string bad : {"<script", "<img", "<i>", "\033"}) CHECK(!has(all.page() + all.output, bad));
    CHECK(has(all.page(), "_x"));
}
