// echoload_test.cpp - the measuring client: does it count what happened, and nothing else?
#include "catch.hpp"
#include "support.hpp"

#include <sys/mount.h>

#include <atomic>
#include <cmath>

using namespace test;

// "name": NUMBER in the JSON, first after `after`.
static double value(const std::string& json, const std::string& name, const std::string& after = "") {
    size_t at = json.find("\"" + name + "\":", after.empty() ? 0 : json.find("\"" + after + "\":"));
    return at == json.npos ? -1 : std::stod(json.substr(at + name.size() + 3));
}
static Result load(int port, std::vector<std::string> args) {
    args.insert(args.end(), {"--format", "json", "127.0.0.1", std::to_string(port)});
    return run("echoload", args, "", 3 * patience);
}
static std::vector<std::string> servers() { return {"seqserver", "TCPechod", "TCPpechod", "TCPmtechod", "TCPmechod"}; }

// A server that does with each connection what the test says.
class Fake {
    Listener listener_;
    std::atomic<bool> stop_{false};
    std::thread thread_;

public:
    explicit Fake(std::function<void(Client&)> serve)
        : thread_([this, serve] {
              while (!stop_) try {
                      Client client = listener_.accept(20ms);
                      serve(client);
                  } catch (const std::exception&) {}
          }) {}
    ~Fake() { stop_ = true, thread_.join(); }
    int port() const { return listener_.port(); }
};

TEST_CASE("echoload: connect mode makes as many connections as asked, on every server", "[echoload]") {
    auto name = GENERATE(from_range(servers()));
    CAPTURE(name);
    Process server(name, {"0"});
    auto result = load(server.port(), {"--clients", "7", "--requests", "100", "--size", "1000"});
    CAPTURE(result.out, result.err);
    CHECK(result.status == 0);
    CHECK(value(result.out, "requests") == 100);
    CHECK(value(result.out, "failed") == 0);
    CHECK(value(result.out, "most_open") <= 7);
    for (auto kind : {"connect", "wait", "total"}) CHECK(value(result.out, "count", kind) == 100);
    CHECK(value(result.out, "p50_us", "total") >= value(result.out, "p50_us", "wait") * 0.98);
    CHECK(value(result.out, "max_us", "total") >= value(result.out, "p99_us", "total"));
    CHECK(eventually([&] { return count(server.err(), " closed ") == 100; }));
    CHECK(count(server.err(), " accepted ") == 100);
}

TEST_CASE("echoload: on loopback the source address goes round, so that free ports are found at once", "[echoload]") {
    Process server("TCPmechod", {"0"});
    CHECK(load(server.port(), {"--clients", "8", "--requests", "9100"}).status == 0);
    REQUIRE(eventually([&] { return count(server.err(), " closed ") == 9100; }));
    auto from = [&](int i) { return count(server.err(), " accepted peer=127.0.0." + std::to_string(i) + ":"); };
    CHECK(from(1) == 1100);
    for (int i = 2; i <= 9; ++i) CHECK(from(i) == 1000);
}

TEST_CASE("echoload: request mode keeps its connections", "[echoload]") {
    Process server("TCPmechod", {"0"});
    auto result = load(server.port(), {"--mode", "request", "--clients", "5", "--requests", "500"});
    CHECK(result.status == 0);
    CHECK(value(result.out, "requests") == 500);
    CHECK(value(result.out, "count", "connect") == 5);
    CHECK(count(server.err(), " accepted ") == 5);
}

TEST_CASE("echoload: requests larger than the socket buffers", "[echoload]") {
    Process server("TCPmechod", {"0"});
    auto result = load(server.port(), {"--mode", "request", "--clients", "2", "--requests", "6", "--size", "9m"});
    CHECK(result.status == 0);
    CHECK(value(result.out, "requests") == 6);
}

TEST_CASE("echoload: stream mode half-closes and reads to the FIN", "[echoload]") {
    auto name = GENERATE(as<std::string>{}, "TCPechod", "TCPmechod");
    Process server(name, {"0"});
    auto result = load(server.port(), {"--mode", "stream", "--clients", "2", "--requests", "4", "--size", "5m"});
    CHECK(result.status == 0);
    CHECK(value(result.out, "requests") == 4);
    CHECK(eventually([&] { return count(server.err(), " bytes=5242880\n") == 4; }));
}

TEST_CASE("echoload: idle connections stay until the end, and are all answered before", "[echoload]") {
    Process server("TCPmechod", {"0"});
    int port = server.port();
    Process client("echoload", {"--mode", "idle", "--clients", "500", "--for", "1h", "--format", "json", "127.0.0.1",
                                std::to_string(port)});
    REQUIRE(client.wait_for_stderr("waiting connections=500 all answered"));
    CHECK(eventually([&] { return sockets("ESTABLISHED", port) == 500; }));  // a busy table is read more than once
    client.signal(SIGINT);
    CHECK(client.wait_exit() == 0);
    CHECK(value(client.out(), "most_open") == 500);
    CHECK(value(client.out(), "count", "wait") == 500);
}

TEST_CASE("echoload: an idle client that is not answered is told", "[echoload]") {
    Process server("seqserver", {"0"});
    auto result = load(server.port(), {"--mode", "idle", "--clients", "3", "--for", "300ms"});
    CHECK(result.status == 1);
    CHECK(value(result.out, "count", "wait") == 1);
    CHECK_THAT(result.out, ContainsSubstring("\"unanswered\":2"));
}

TEST_CASE("echoload: when each connection began, was answered, and closed", "[echoload]") {
    Process server("seqserver", {"0"});
    Directory directory;
    auto result =
        load(server.port(), {"--clients", "3", "--requests", "4", "--hold", "20ms", "--each", directory / "each"});
    CHECK(result.status == 0);
    std::ifstream file(directory / "each");
    std::string line;
    REQUIRE(std::getline(file, line));
    CHECK(line == "began_us,answered_us,closed_us");
    long began = 0, answered = 0, closed = 0, last_closed = 0;
    int lines = 0;
    for (; std::getline(file, line); ++lines, last_closed = closed) {
        CAPTURE(line);
        REQUIRE(sscanf(line.c_str(), "%ld,%ld,%ld", &began, &answered, &closed) == 3);
        CHECK(began <= answered);
        CHECK(closed - answered >= 20'000);  // the hold
        CHECK(answered >= last_closed);      // one after the other
    }
    CHECK(lines == 4);
    CHECK(load(server.port(), {"--requests", "1", "--each", "/no/such/file"}).status == 1);
}

TEST_CASE("echoload: with a hold the sequential server takes clients x hold", "[echoload]") {
    Process server("seqserver", {"0"});
    auto result = load(server.port(), {"--clients", "5", "--requests", "5", "--hold", "60ms"});
    CHECK(result.status == 0);
    CHECK(value(result.out, "elapsed_s") >= 5 * 0.060);  // nobody can be faster: each holds, one after the other
    CHECK(value(result.out, "max_us", "wait") >= 4 * 60'000 * 0.98);  // the last waits for four
    CHECK(value(result.out, "max_us", "connect") < 4 * 60'000);       // though all were connected long ago
}

TEST_CASE("echoload: what it sends are lines, for servers that read lines, and no two clients' are alike",
          "[echoload]") {
    std::mutex mutex;
    std::vector<std::string> seen;
    {
        Fake server([&](Client& c) {
            std::string request = c.receive(64);
            std::lock_guard<std::mutex> lock(mutex);
            seen.push_back(request);
            c.send(request);
        });
        CHECK(load(server.port(), {"--clients", "3", "--requests", "3"}).status == 0);
    }
    REQUIRE(seen.size() == 3);
    for (auto& request : seen) {
        CHECK(request.find('\n') == 63);
        CHECK(count(request, request.substr(0, 1)) == 63);
        CHECK(std::count(seen.begin(), seen.end(), request) == 1);
    }
}

TEST_CASE("echoload: failures by kind", "[echoload]") {
    struct Case {
        std::string kind;
        std::function<void(Client&)> serve;
    };
    auto one = GENERATE(values<Case>({{"wrong bytes",
                                       [](Client& c) {
                                           std::string x = c.receive(64);
                                           x[40] ^= 1;
                                           c.send(x);
                                       }},
                                      {"wrong bytes",
                                       [](Client& c) {
                                           std::string x = c.receive(64);
                                           c.send(x + "!");
                                           c.receive_all(500ms);
                                       }},
                                      {"closed early", [](Client& c) { c.send(c.receive(64).substr(0, 63)); }},
                                      {"reset",
                                       [](Client& c) {
                                           c.receive(64);
                                           c.reset();
                                       }},
                                      {"timeout", [](Client& c) { c.receive_all(1000ms); }}}));
    CAPTURE(one.kind);
    Fake server(one.serve);
    auto result = load(server.port(), {"--requests", "1", "--deadline", "300ms"});
    CAPTURE(result.out);
    CHECK(result.status == 1);
    CHECK(value(result.out, "requests") == 0);
    CHECK(value(result.out, "failed") == 1);
    CHECK(value(result.out, one.kind, "errors") == 1);
}

TEST_CASE("echoload: nobody listens", "[echoload]") {
    int port = Listener().port();
    auto result = load(port, {"--clients", "3", "--requests", "9"});
    CHECK(result.status == 1);
    CHECK(value(result.out, "refused", "errors") == 9);
    result = load(port, {"--clients", "3", "--for", "200ms"});  // and does not ask in a loop
    CHECK(result.status == 1);
    CHECK(value(result.out, "failed") <= 3 * 21);
}

TEST_CASE("echoload: a full accept queue shows in the retried SYNs", "[echoload]") {
    Listener listener(0);  // one connection fits, nobody accepts
    auto result = load(listener.port(), {"--mode", "idle", "--clients", "4", "--for", "1s500ms"});
    CHECK(result.status == 1);
    CHECK(value(result.out, "count", "connect") == 1);
    CHECK(value(result.out, "retried_syns") == 3);  // one each, a second later
    CHECK(value(result.out, "unanswered", "errors") == 4);
}

TEST_CASE("echoload: no load on strangers", "[echoload]") {
    for (auto address :
         {"8.8.8.8", "172.32.0.1", "172.15.255.255", "192.169.0.1", "11.0.0.1", "2001:db8::1", "169.253.0.1"}) {
        auto result = run("echoload", {"--requests", "1", address, "9"});
        CAPTURE(address, result.err);
        CHECK(result.status == 2);
        CHECK_THAT(result.err, ContainsSubstring("--yes"));
    }
}

TEST_CASE("echoload: of the addresses that a name has, the first of IPv4", "[echoload]") {
    Directory directory;
    std::string hosts = directory.write("hosts", "::1 both\n127.0.0.1 both\n");
    Process server("TCPmechod", {"-a", "127.0.0.1", "0"});
    Process client("echoload", {"--requests", "3", "both", std::to_string(server.port())}, [&] {
        int user = geteuid() ? CLONE_NEWUSER : 0;
        if (unshare(CLONE_NEWNS | user) || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) ||
            mount(hosts.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr))
            _exit(77);
    });
    int status = client.wait_exit();
    if (status == 77) WARN("not tested: no right to show a hosts file of our own");
    else CHECK(status == 0);
}

TEST_CASE("echoload: a wrong command line is one clear line and exit status 2", "[echoload]") {
    for (auto& args : std::vector<std::vector<std::string>>{{},
                                                            {"--mode", "x", "127.0.0.1"},
                                                            {"--clients", "0", "127.0.0.1"},
                                                            {"--clients", "1000000", "127.0.0.1"},
                                                            {"--for", "2h", "127.0.0.1"},
                                                            {"--size", "0", "127.0.0.1"},
                                                            {"--format", "xml", "127.0.0.1"},
                                                            {"--deadline", "0", "127.0.0.1"},
                                                            {"127.0.0.1", "0"},
                                                            {"a", "1", "2"}}) {
        auto result = run("echoload", args);
        CHECK(result.status == 2);
        CHECK(count(result.err, "\n") == 1);
        CHECK(result.out.empty());
    }
    Process server("TCPmechod", {"0"});
    Process limited("echoload", {"--clients", "100", "127.0.0.1", std::to_string(server.port())},
                    [] { limit(RLIMIT_NOFILE, 64); });
    CHECK(limited.wait_exit() == 2);
    CHECK_THAT(limited.err(), ContainsSubstring("ulimit -Hn) is 64"));
}

TEST_CASE("echoload: histograms of several runs are added, percentiles are right", "[echoload]") {
    Directory directory;
    std::string a = directory / "a", b = directory / "b", sum = directory / "sum";
    {
        std::ofstream one(a), two(b);
        for (int i = 1; i <= 1000; ++i)
            (i % 2 ? one : two) << "total " << i * 1000 << " 1\n";  // 1 to 1,000 us, dealt to two hosts
        two << "total 1000000 0\n";
    }
    auto result = run("echoload", {"--merge", a, "--merge", b, "--format", "json", "--histogram", sum});
    CAPTURE(result.out, result.err);
    CHECK(result.status == 0);
    CHECK(value(result.out, "count", "total") == 1000);
    CHECK(value(result.out, "max_us", "total") == 1000);
    for (auto& [name, us] : {std::pair("p50_us", 500.0), {"p95_us", 950.0}, {"p99_us", 990.0}})
        CHECK(std::abs(value(result.out, name, "total") / us - 1) < 0.017);
    auto again = run("echoload", {"--merge", sum, "--merge", sum, "--format", "json"});
    CHECK(value(again.out, "count", "total") == 2000);
    CHECK(value(again.out, "p95_us", "total") == value(result.out, "p95_us", "total"));

    Process server("TCPmechod", {"0"});
    std::string port = std::to_string(server.port());
    CHECK(run("echoload", {"--requests", "10", "--histogram", a, "127.0.0.1", port}).status == 0);
    auto both = run("echoload", {"--requests", "7", "--merge", a, "--format", "json", "127.0.0.1", port});
    CHECK(value(both.out, "requests") == 7);
    CHECK(value(both.out, "count", "total") == 17);

    std::ofstream(b) << "nonsense 1 1\n";
    CHECK(run("echoload", {"--merge", b}).status == 1);
    CHECK(run("echoload", {"--merge", directory / "none"}).status == 1);
}

TEST_CASE("echoload: text and CSV", "[echoload]") {
    Process server("TCPmechod", {"0"});
    std::string port = std::to_string(server.port());
    auto text = run("echoload", {"--requests", "3", "127.0.0.1", port});
    CHECK(text.status == 0);
    CHECK_THAT(text.out,
               ContainsSubstring("3 requests in ") && ContainsSubstring("p95") && ContainsSubstring("retried SYNs: 0"));
    CHECK(text.err.empty());  // the progress line is for terminals
    auto csv = run("echoload", {"--requests", "3", "--format", "csv", "127.0.0.1", port});
    std::istringstream lines(csv.out);
    std::string head, row;
    REQUIRE(std::getline(lines, head));
    REQUIRE(std::getline(lines, row));
    CHECK(count(head, ",") == count(row, ","));
    CHECK(row.rfind("connect,1,64,", 0) == 0);
}

TEST_CASE("echoload: the warm-up is not counted", "[echoload]") {
    Process server("TCPmechod", {"0"});
    auto result = load(server.port(), {"--requests", "5", "--warm-up", "10m"});
    CHECK(value(result.out, "requests") == 0);
    CHECK(value(result.out, "count", "total") == 0);
}
