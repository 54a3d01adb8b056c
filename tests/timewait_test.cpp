// timewait-server and timewait-client: what every pair of cases puts on the wire and leaves in the kernel, and what the
// options make of connections of others. The pairs run in a network namespace of their own, with a packet socket on
// its lo.
#include "catch.hpp"
#include "support.hpp"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <set>
#include <thread>

using namespace test;
using std::string;

namespace {

// A network namespace, what passes on its lo, and its table of sockets. Needs the right to make one: root.
class Wire {
public:
    Wire() {
        std::thread([this] {
            if (unshare(CLONE_NEWNET)) return;
            ifreq lo{};
            strcpy(lo.ifr_name, "lo");
            lo.ifr_flags = IFF_UP;
            int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
            if (ioctl(any, SIOCSIFFLAGS, &lo) == 0)
                packets_ = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_IP));
            close(any);
            table_ = open("/proc/thread-self/net/tcp", O_RDONLY | O_CLOEXEC);
            namespace_ = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        }).join();
    }
    ~Wire() {
        for (int fd : {packets_, table_, namespace_})
            if (fd >= 0) close(fd);
    }
    bool made() const { return packets_ >= 0 && table_ >= 0 && namespace_ >= 0; }
    std::function<void()> inside() const {
        return [fd = namespace_] {
            if (setns(fd, CLONE_NEWNET)) _exit(126);
        };
    }

    // Everything but pure ACKs, one string for each connection: "C:SYN S:SYN S:PSH(17) S:FIN C:FIN".
    std::vector<string> connections(int port) {
        unsigned char data[65536];
        sockaddr_ll from{};
        socklen_t size = sizeof from;
        for (ssize_t n;
             (n = recvfrom(packets_, data, sizeof data, 0, reinterpret_cast<sockaddr*>(&from), &size)) > 0;) {
            if (from.sll_pkttype != PACKET_HOST) continue;
            auto* ip = reinterpret_cast<iphdr*>(data);
            auto* tcp = reinterpret_cast<tcphdr*>(data + ip->ihl * 4);
            if (ip->protocol != IPPROTO_TCP) continue;
            segments_.push_back(
                {ntohs(tcp->source), ntohs(tcp->dest), *tcp, ntohs(ip->tot_len) - ip->ihl * 4 - tcp->doff * 4});
        }
        std::vector<string> found;
        for (auto& s : segments_) {
            if (s.from != port && s.to != port) continue;
            string side = s.from == port ? "S:" : "C:";
            auto note = [&](const string& text) {
                if (!found.empty()) found.back() += (found.back().empty() ? "" : " ") + side + text;
            };
            if (s.flags.syn && !s.flags.ack) found.emplace_back();
            if (s.flags.syn) note("SYN");
            if (s.bytes) note("PSH(" + std::to_string(s.bytes) + ")");
            if (s.flags.fin) note("FIN");
            if (s.flags.rst) note("RST");
        }
        return found;
    }
    // The sockets of the port, sides told apart: "S TIME_WAIT".
    std::multiset<string> states(int port) const {
        static const char* const names[] = {"?",         "ESTABLISHED", "SYN_SENT", "SYN_RECV",   "FIN_WAIT1",
                                            "FIN_WAIT2", "TIME_WAIT",   "CLOSE",    "CLOSE_WAIT", "LAST_ACK",
                                            "LISTEN",    "CLOSING",     "SYN_RECV"};
        string text(262144, 0);
        text.resize(std::max<ssize_t>(0, pread(table_, text.data(), text.size(), 0)));
        std::multiset<string> found;
        std::istringstream lines(text);
        unsigned local, remote, state;
        for (string line; std::getline(lines, line);)
            if (sscanf(line.c_str(), " %*d: %*[^:]:%x %*[^:]:%x %x", &local, &remote, &state) == 3 && state != 10 &&
                state < 13 && (int(local) == port || int(remote) == port))
                found.insert((int(local) == port ? "S " : "C ") + string(names[state]));
        return found;
    }

private:
    struct Segment {
        int from, to;
        tcphdr flags;
        int bytes;
    };
    int packets_ = -1, table_ = -1, namespace_ = -1;
    std::vector<Segment> segments_;
};

using States = std::multiset<string>;
const string handshake = "C:SYN S:SYN";

// The waits of the seeds, made short.
std::vector<string> server_args(int number) {
    std::vector<string> args = {"-s", std::to_string(number), "-p", "0"};
    if (number == 2) args.insert(args.end(), {"--closewait", "150ms"});
    return args;
}
std::vector<string> client_args(int number, int port) {
    std::vector<string> args = {"-s", std::to_string(number), "-t", "127.0.0.1", "-c", std::to_string(port)};
    if (number >= 1 && number <= 5) args.insert(args.end(), {"--readwait", "300ms"});
    if (number == 3) args.insert(args.end(), {"--pause", "50ms"});
    return args;
}
struct Expected {
    int server, client;
    std::vector<string> wire;  // of each connection
    States states;
    int exit_status;  // of the client; -1: it stays until it is interrupted, and says so
    string says = "";
};

}  // namespace

TEST_CASE("every pair of cases that the seed names: the wire and what it leaves", "[timewait]") {
    Wire wire;
    if (!wire.made()) {
        WARN("no right to make a network namespace: the pairs are not checked");
        return;
    }
    const string bip_close = handshake + " S:PSH(17) S:FIN C:FIN", host_close = " C:PSH(67) ",
                 host_keep = " C:PSH(72) ";
    const std::vector<Expected> pairs = {
        {1, 0, {bip_close, bip_close}, {"S TIME_WAIT"}, 0},
        {3, 3, {handshake}, {"C ESTABLISHED", "S ESTABLISHED"}, -1},
        {1, 1, {handshake + " S:PSH(17) S:FIN C:RST", handshake + " S:PSH(17) S:FIN C:RST"}, {}, 0, "by=RST unread=17"},
        {1, 2, {bip_close}, {"S TIME_WAIT"}, 1, "Address already in use"},
        {1, 3, {bip_close}, {"S TIME_WAIT"}, 1, "Address already in use"},
        {1, 4, {bip_close, bip_close}, {"S TIME_WAIT"}, 0, "bytes=17"},
        {1, 5, {bip_close, bip_close}, {"S TIME_WAIT"}, 0, "bytes=17"},
        {2, 4, {bip_close, bip_close}, {"S TIME_WAIT"}, 0, "bytes=17"},
        {2, 5, {bip_close, bip_close}, {"S TIME_WAIT"}, 0, "bytes=17"},
        {3, 0, {handshake}, {"C ESTABLISHED", "S ESTABLISHED"}, -1},
        {3, 6, {handshake + " C:FIN S:FIN"}, {"C TIME_WAIT"}, 1, "Address already in use"},
        {4, 0, {handshake}, {"C ESTABLISHED", "S ESTABLISHED"}, -1},
        {6, 8, {handshake + host_close + "S:PSH(154)"}, {"C ESTABLISHED", "S ESTABLISHED"}, -1},
        {6, 10, {handshake + host_keep + "S:PSH(154)"}, {"C ESTABLISHED", "S ESTABLISHED"}, -1},
        {7, 8, {handshake + host_close + "S:PSH(154) S:FIN C:FIN"}, {"S TIME_WAIT"}, 0},
        {7, 9, {handshake + host_close + "S:PSH(154) S:FIN C:FIN"}, {"S TIME_WAIT"}, 0},
        {8, 8, {handshake + host_close + "S:PSH(159)"}, {"C ESTABLISHED", "S ESTABLISHED"}, -1},
        {8, 9, {handshake + host_close + "S:PSH(159) C:FIN S:FIN"}, {"C TIME_WAIT"}, 0},
        {8, 10, {handshake + host_keep + "S:PSH(159)"}, {"C ESTABLISHED", "S ESTABLISHED"}, -1},
        {9, 8, {handshake + host_close + "S:PSH(154) S:FIN C:FIN"}, {"S TIME_WAIT"}, 0},
        {9, 10, {handshake + host_keep + "S:PSH(154) S:FIN C:FIN"}, {"S TIME_WAIT"}, 0},
    };
    for (auto& pair : pairs) {
        DYNAMIC_SECTION("server " << pair.server << ", client " << pair.client) {
            Process server("timewait-server", server_args(pair.server), wire.inside());
            int port = server.port();
            Process client("timewait-client", client_args(pair.client, port), wire.inside());
            if (pair.exit_status >= 0) REQUIRE(client.wait_exit() == pair.exit_status);
            bool as_expected =
                eventually([&] { return wire.connections(port) == pair.wire && wire.states(port) == pair.states; });
            INFO("client says: " << client.err());
            if (!as_expected) {
                CHECK(wire.connections(port) == pair.wire);
                CHECK(wire.states(port) == pair.states);
            }
            REQUIRE(as_expected);
            REQUIRE_THAT(client.err(), ContainsSubstring(pair.says));
            if (pair.exit_status >= 0) continue;
            // it is interrupted: its FIN first, unless the server never answers one
            client.signal(SIGINT);
            REQUIRE(client.wait_exit() == 128 + SIGINT);
            States after = pair.server == 4 ? States{"C FIN_WAIT2", "S CLOSE_WAIT"} : States{"C TIME_WAIT"};
            CHECK(eventually([&] { return wire.states(port) == after; }));
            if (pair.server != 4) continue;
            server.signal(SIGINT);
            REQUIRE(server.wait_exit() == 0);
            CHECK(eventually([&] { return wire.states(port) == States{"C TIME_WAIT"}; }));
            CHECK(wire.connections(port).front() == "C:SYN S:SYN C:FIN S:FIN");
        }
    }
}

TEST_CASE("pairs that are races: every outcome is one of those that can be", "[timewait]") {
    Wire wire;
    if (!wire.made()) {
        WARN("no right to make a network namespace: the pairs are not checked");
        return;
    }
    auto run_pair = [&](int server_case, int client_case) {
        Process server("timewait-server", server_args(server_case), wire.inside());
        int port = server.port();
        Process client("timewait-client", client_args(client_case, port), wire.inside());
        REQUIRE(client.wait_exit() >= 0);
        REQUIRE(server.running());
        string first;
        REQUIRE(eventually([&] {
            first = wire.connections(port).at(0);
            return count(first, "FIN") + 2 * count(first, "RST") >= 2;  // a RST ends both directions
        }));
        return first;
    };
    SECTION("0_6, 1_6 and 7_9: either side is first, as the lists say") {
        auto first_end = [](const string& seen) {
            return seen.substr(std::min(seen.find("FIN"), seen.find("RST")) - 2, 5);
        };
        auto [server, client] = GENERATE(values<std::pair<int, int>>({{0, 6}, {1, 6}, {7, 9}}));
        auto said_of = [](const string& program, int number) {
            string list = "\n" + run(program, {"--list"}).out;
            size_t at = list.find((number < 10 ? "\n " : "\n") + std::to_string(number) + "  ");
            return list.substr(at, list.find('\n', at + 1) - at);
        };
        CHECK_THAT(said_of("timewait-server", server), ContainsSubstring("client " + std::to_string(client)));
        CHECK_THAT(said_of("timewait-server", server), ContainsSubstring(": either"));
        CHECK_THAT(said_of("timewait-client", client), ContainsSubstring("either"));
        string end = first_end(run_pair(server, client));
        CHECK((end == "S:FIN" || end == "C:FIN" || (server == 1 && end == "C:RST")));
    }
    SECTION("1_7: the close race, either side first or both at once") {
        string seen = run_pair(1, 7);
        CHECK((seen == handshake + " S:PSH(17) S:FIN C:FIN" || seen == handshake + " S:PSH(17) C:FIN S:FIN"));
    }
    SECTION("5_6: data after the FIN meets nobody, and the server lives on") {
        CHECK(run_pair(5, 6) == handshake + " C:FIN S:PSH(17) C:RST");
    }
    SECTION("9_9: the server waits a little longer than the client") {
        string seen = run_pair(9, 9), reply = handshake + " C:PSH(67) S:PSH(154)";
        CHECK((seen == reply + " S:FIN C:FIN" || seen == reply + " C:FIN S:FIN"));
    }
}

TEST_CASE("SO_REUSEADDR on both sides: a client's own TIME_WAIT holds nothing", "[timewait]") {
    Wire wire;
    if (!wire.made()) {
        WARN("no right to make a network namespace");
        return;
    }
    Process server("timewait-server", {"-s", "3", "-p", "0"}, wire.inside());
    Process client("timewait-client",
                   {"-s", "6", "--reuseaddr", "-n", "3", "--pause", "50ms", "127.0.0.1", std::to_string(server.port())},
                   wire.inside());
    REQUIRE(client.wait_exit() == 0);
    CHECK(count(client.err(), "connected") == 3);
}

TEST_CASE("server options on connections of others", "[timewait]") {
    auto with = [](std::vector<string> args) {
        args.push_back("0");
        return args;
    };
    SECTION("a RST by linger 0") {
        Process server("timewait-server", with({"--close", "connect", "--how", "rst"}));
        Client client(server.port());
        CHECK(client.receive_all() == "");
        CHECK(client.end() == Client::Reset);
        CHECK(server.wait_for_stderr("by=RST"));
    }
    SECTION("a RST by unread data") {
        Process server("timewait-server", with({"--close", "unread"}));
        Client client(server.port());
        client.send("never read");
        client.receive_all();
        CHECK(client.end() == Client::Reset);
        CHECK(server.wait_for_stderr("by=RST unread=10"));
    }
    SECTION("a half-close that goes on reading") {
        Process server("timewait-server", with({"--close", "connect", "--how", "shutdown"}));
        Client client(server.port());
        CHECK(client.receive_all() == "");
        CHECK(client.end() == Client::Fin);
        client.send("after your FIN");
        CHECK(server.wait_for_stderr("bytes=14"));
        client.close();
        CHECK(server.wait_for_stderr("closed"));
    }
    SECTION("a FIN is answered with a bip, and then with a FIN") {
        Process server("timewait-server", with({"--send-bip-on-close"}));
        Client client(server.port());
        client.shutdown_write();
        string bip = client.receive_all();
        CHECK(bip.size() == 17);
        CHECK(bip.substr(0, 4) == "BIP:");
        CHECK(client.end() == Client::Fin);
    }
    SECTION("a RST ends a child that never closes") {
        Process server("timewait-server", with({"--case", "never-close"}));
        Client client(server.port());
        REQUIRE(server.wait_for_stderr("accepted"));
        client.reset();
        CHECK(server.wait_for_stderr("reset"));
        CHECK(eventually([&] { return children_of(server.pid()).empty(); }));
    }
    SECTION("an idle client is given up") {
        Process server("timewait-server", with({"--case", "4", "--idle-timeout", "50ms"}));
        Client client(server.port());
        client.receive_all();
        CHECK(client.end() == Client::Fin);
    }
}

TEST_CASE("HTTP requests as they come: split, merged, malformed, endless", "[timewait]") {
    Process server("timewait-server", {"--case", "http-keep-alive", "0"});
    int port = server.port();
    SECTION("byte by byte") {
        Client client(port);
        for (char c : string("GET / HTTP/1.1\r\n\r\n")) REQUIRE(client.send(string(1, c)));
        CHECK(client.receive(159).substr(0, 15) == "HTTP/1.1 200 OK");
    }
    SECTION("three in one segment, with bare line feeds and blank lines between") {
        Client client(port);
        client.send("GET / HTTP/1.0\n\n\r\n\nGET / HTTP/1.1\r\nA: b\r\n\r\nGET /\r\n\r\n");
        CHECK(client.receive(3 * 159).size() == 3 * 159);
        client.shutdown_write();
        CHECK(client.receive_all() == "");
    }
    SECTION("a header that never ends disturbs nobody") {
        Client endless(port), other(port);
        REQUIRE(endless.send(string(1 << 20, 'x')));
        other.send("GET / HTTP/1.1\r\n\r\n");
        CHECK(other.receive(159).size() == 159);
    }
    SECTION("the reply that closes answers one request") {
        Process closing("timewait-server", {"--case", "http-close", "0"});
        Client client(closing.port());
        client.send("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
        CHECK(client.receive_all().size() == 154);
        CHECK(client.end() == Client::Fin);
    }
}

TEST_CASE("client options, with a server of the test", "[timewait]") {
    Listener listener;
    string port = std::to_string(listener.port());
    SECTION("close after the reply waits for all of it") {
        Process client("timewait-client", {"--case", "http-close", "127.0.0.1", port});
        Client connection = listener.accept();
        CHECK(connection.receive(67).substr(0, 14) == "GET / HTTP/1.1");
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12");
        CHECK(connection.receive(1, std::chrono::milliseconds(50)) == "");
        CHECK(connection.end() == Client::Timeout);
        connection.send("345");
        connection.receive_all();
        CHECK(connection.end() == Client::Fin);
        CHECK(client.wait_exit() == 0);
    }
    SECTION("a server that resets: said, and exit status 1") {
        Process client("timewait-client", {"127.0.0.1", port});
        listener.accept().reset();
        CHECK(client.wait_exit() == 1);
        CHECK_THAT(client.err(), ContainsSubstring("reset"));
    }
    SECTION("nobody listens") {
        listener.close();
        auto result = run("timewait-client", {"127.0.0.1", port});
        CHECK(result.status == 1);
        CHECK_THAT(result.err, ContainsSubstring("Connection refused"));
    }
}

TEST_CASE("every case of both programs is words that getopt knows", "[timewait]") {
    auto names = [](const string& program) {
        std::istringstream lines(run(program, {"--list"}).out);
        std::vector<string> found;
        int number;
        for (string line, name; std::getline(lines, line);)
            if (std::istringstream(line) >> number >> name) found.push_back(name);
        return found;
    };
    auto of_server = names("timewait-server"), of_client = names("timewait-client");
    CHECK(of_server.size() == 10);
    CHECK(of_client.size() == 11);
    for (size_t i = 0; i < of_server.size(); ++i)
        for (auto& which : {std::to_string(i), of_server[i]}) {
            Process server("timewait-server", {"--case", which, "0"});
            INFO(which << ": " << server.err());
            CHECK(server.wait_for_stderr("listening on"));
        }
    Listener gone;
    string port = std::to_string(gone.port());
    gone.close();
    for (size_t i = 0; i < of_client.size(); ++i)
        for (auto& which : {std::to_string(i), of_client[i]}) {
            auto result =
                run("timewait-client", {"--case", which, "--nbrequest", "1", "--pause", "0", "127.0.0.1", port});
            INFO(which << ": " << result.err);
            CHECK(result.status == 1);
            CHECK_THAT(result.err, ContainsSubstring("failed connect"));
        }
}

TEST_CASE("the user's own options change a case, wherever they stand", "[timewait]") {
    auto args =
        GENERATE(values<std::vector<string>>({{"--how", "rst", "--case", "close", "0"},
                                              {"-s0", "--how", "rst", "0"},
                                              {"0", "--how", "rst", "--case=0"},
                                              {"--case", "bip-close", "--how", "rst", "--scenario", "0", "0"}}));
    CAPTURE(args);
    Process server("timewait-server", args);
    Client client(server.port());
    CHECK(client.receive_all() == "");
    CHECK(client.end() == Client::Reset);
}

TEST_CASE("the seed's --scenario and -d", "[timewait]") {
    Process server("timewait-server", {"--scenario", "3", "-d", "0"});
    Process client("timewait-client", {"--debug", "--scenario", "http", "127.0.0.1", std::to_string(server.port())});
    CHECK(server.wait_for_stderr("bytes=67 data=\"GET / HTTP/1.1\\r\\n"));
}

TEST_CASE("what cannot be meant is a usage error that says why", "[timewait]") {
    const std::vector<std::pair<std::vector<string>, string>> wrong = {
        {{"--case", "99"}, "--case must be 0.."},
        {{"--case", "\x1b[2J"}, "\\x1b"},
        {{"--close", "sometimes"}, "--close must be one of connect, unread"},
        {{"--close", "reply"}, "needs --http"},
        {{"--close", "never", "--how", "rst"}, "contradicts"},
        {{"--close", "connect", "--http", "close"}, "contradicts"},
        {{"--readwait", "soon"}, "--readwait must be 0..1h"}};
    for (auto& [args, text] : wrong)
        for (string program : {"timewait-server", "timewait-client"}) {
            auto with_host = args;
            if (program == "timewait-client") with_host.push_back("127.0.0.1");
            auto result = run(program, with_host);
            INFO(program << ": " << result.err);
            CHECK(result.status == 2);
            CHECK_THAT(result.err, ContainsSubstring(text));
            CHECK(count(result.err, "\n") == 1);
        }
    CHECK(run("timewait-client", {}).status == 2);
    CHECK_THAT(run("timewait-client", {"-t", "127.0.0.1", "vit001"}).err, ContainsSubstring("port must be 1..65535"));
    CHECK(run("timewait-client", {"-t", "127.0.0.1", "127.0.0.1", "6666"}).status == 2);
    CHECK(count(run("timewait-server", {"--list"}).out, "\n") == 21);
    CHECK(count(run("timewait-client", {"--list"}).out, "\n") == 23);
}
