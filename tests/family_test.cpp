// family_test.cpp - what only some of the echo servers can do: pools, a graceful end, their limits.
#include "catch.hpp"
#include "support.hpp"

using namespace test;

static bool echoes(Client& client, const std::string& text) {
    return client.send(text) && client.receive(text.size()) == text;
}
static long resident_kb(pid_t pid) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(status, line);)
        if (line.rfind("VmRSS:", 0) == 0) return std::stol(line.substr(6));
    return 0;
}
static bool instrumented() { return getenv("UNDER") || (getenv("BIN") && strstr(getenv("BIN"), "san")); }

// ---- the pool -----------------------------------------------------------------------------------------------------

// The arguments of TCPpechod with so many children, on one listening socket or on one for each.
static std::vector<std::string> pool(const std::string& way, const std::string& children) {
    std::vector<std::string> args{"--max-children", children, "0"};
    if (way == "reuseport") args.insert(args.begin(), "--reuseport");
    return args;
}

TEST_CASE("pool: children killed are replaced, and no other client loses anything", "[family]") {
    auto way = GENERATE(as<std::string>{}, "shared", "reuseport");
    CAPTURE(way);
    Process server("TCPpechod", pool(way, "3"));
    int port = server.port();
    REQUIRE(eventually([&] { return children_of(server.pid()).size() == 3; }));

    // Clients until each child has one; whoever comes then waits in a queue.
    std::vector<Client> clients;
    for (int i = 0; i < 40; ++i) clients.emplace_back(port), clients.back().send("hello");
    REQUIRE(eventually([&] { return count(server.err(), " accepted ") == 3; }));
    std::string log = server.err();
    size_t at = log.find(" accepted ");
    size_t line = log.rfind('\n', at) + 1;
    pid_t victim = std::stoi(log.substr(log.find('[', line) + 1));
    int lost_port = std::stoi(log.substr(log.find(':', log.find("peer=", at)) + 1));

    kill(victim, SIGKILL);
    REQUIRE(
        eventually([&] { return children_of(server.pid()).size() == 3 && count(server.err(), " accepted ") == 4; }));
    CHECK(server.wait_for_stderr(std::to_string(victim) + " ended by signal 9"));
    size_t served = 0, lost = 0;
    while (served + lost < clients.size()) {  // whoever has been served leaves, so that the next is
        size_t before = served + lost;
        for (auto& client : clients) {
            pollfd readable{client.fd(), POLLIN, 0};
            if (client.fd() < 0 || poll(&readable, 1, 1) == 0) continue;
            bool mine = client.local_port() == lost_port;
            std::string back = client.receive(5, 1000ms);
            client.shutdown_write();
            lost += mine,
                served += !mine && back == "hello" && client.receive_all() == "" && client.end() == Client::Fin;
            client.close();
        }
        REQUIRE(eventually([&] {
            return served + lost == clients.size() || served + lost > before ||
                   std::any_of(clients.begin(), clients.end(), [](auto& c) {
                       pollfd p{c.fd(), POLLIN, 0};
                       return c.fd() >= 0 && poll(&p, 1, 0) > 0;
                   });
        }));
    }
    CHECK(served == clients.size() - 1);
    CHECK(lost == 1);
}

TEST_CASE("pool: children killed under load cost a connection each, at most", "[family]") {
    auto way = GENERATE(as<std::string>{}, "shared", "reuseport");
    CAPTURE(way);
    Process server("TCPpechod", pool(way, "4"));
    Process load("echoload", {"--clients", "16", "--requests", "3000", "--format", "json", "127.0.0.1",
                              std::to_string(server.port())});
    for (size_t killed = 0; killed < 3; ++killed) {
        REQUIRE(eventually([&] { return count(server.err(), " closed ") > 300 * (killed + 1); }));
        kill(children_of(server.pid()).front(), SIGKILL);
        REQUIRE(eventually([&] { return count(server.err(), "ended by signal 9") == killed + 1; }));
    }
    CHECK(load.wait_exit(3 * patience) <= 1);
    std::string result = load.out();
    CAPTURE(result);
    size_t at = result.find("\"failed\":");
    REQUIRE(at != result.npos);
    CHECK(std::stoi(result.substr(at + 9)) <= 3);
}

TEST_CASE("pool: idle children killed, also in both ways", "[family]") {
    auto way = GENERATE(as<std::string>{}, "shared", "reuseport");
    CAPTURE(way);
    Process server("TCPpechod", pool(way, "3"));
    int port = server.port();
    REQUIRE(eventually([&] { return children_of(server.pid()).size() == 3; }));
    auto first = children_of(server.pid());
    for (pid_t pid : first) kill(pid, SIGKILL);
    REQUIRE(eventually(
        [&] { return count(server.err(), "ended by signal 9") == 3 && children_of(server.pid()).size() == 3; }));
    for (int i = 0; i < 12; ++i) {
        Client client(port);
        CHECK(echoes(client, "after the murder"));
    }
}

TEST_CASE("pool: a child that was killed in service is not counted as serving", "[family]") {
    Process server("TCPpechod", {"--max-children", "2", "0"});
    Client client(server.port());
    REQUIRE(echoes(client, "x"));
    REQUIRE(server.wait_for_stderr("accepted peer=127.0.0.1:" + std::to_string(client.local_port()) + "\n"));
    std::string log = server.err();
    size_t at = log.rfind('\n', log.find(" accepted ")) + 1;
    kill(std::stoi(log.substr(log.find('[', at) + 1)), SIGKILL);
    REQUIRE(server.wait_for_stderr("ended by signal 9"));
    server.signal(SIGUSR1);
    CHECK(server.wait_for_stderr("stats current=0"));
}

TEST_CASE("pool: a killed parent takes its pool with it, also one that is still being forked", "[family]") {
    for (size_t complete : {0, 0, 0, 0, 0, 0, 0, 0, 0, 1}) {
        Process server("TCPpechod", {"--max-children", "100", "0"});
        int port = server.port();
        REQUIRE(eventually([&] { return children_of(server.pid()).size() >= 100 * complete; }));
        server.signal(SIGKILL);
        CHECK(server.wait_exit() == 128 + SIGKILL);
        CHECK(eventually([&] { return sockets("LISTEN", port) == 0; }));
    }
}

TEST_CASE("pool: one listening socket, or one for each child", "[family]") {
    Process shared("TCPpechod", {"--max-children", "5", "0"}), each("TCPpechod", pool("reuseport", "5"));
    CHECK(sockets("LISTEN", shared.port()) == 1);
    int port = each.port();
    CHECK(eventually([&] { return sockets("LISTEN", port) == 5; }));
}

// ---- SIGTERM and --grace ------------------------------------------------------------------------------------------

TEST_CASE("grace: connections in service are finished, new ones refused", "[family]") {
    // not with --reuseport: there both may be given to one child, and bob waits for ana
    auto args = GENERATE(values<std::vector<std::string>>(
        {{"TCPechod"}, {"TCPpechod"}, {"TCPmtechod"}, {"TCPptechod", "-m", "4"}, {"TCPmechod"}}));
    CAPTURE(args);
    std::string name = args[0];
    args.erase(args.begin());
    args.insert(args.end(), {"--grace", "1m", "0"});
    Process server(name, args);
    int port = server.port();
    Client ana(port), bob(port);
    REQUIRE(echoes(ana, "ana"));
    REQUIRE(echoes(bob, "bob"));
    server.signal(SIGTERM);
    REQUIRE(eventually([&] { return sockets("LISTEN", port) == 0; }));
    CHECK_THROWS(Client(port));
    CHECK(echoes(ana, "still in service"));
    ana.shutdown_write();
    CHECK(ana.receive_all() == "");
    CHECK(ana.end() == Client::Fin);
    CHECK(echoes(bob, "bob too"));
    CHECK(server.running());
    bob.close();
    CHECK(server.wait_exit() == 0);
    CHECK(eventually([&] { return children_of(server.pid()).empty(); }));
}

TEST_CASE("grace: under load, whoever has been accepted is served to the end", "[family]") {
    auto args = GENERATE(values<std::vector<std::string>>({{"TCPechod"},
                                                           {"TCPpechod"},
                                                           {"TCPpechod", "--reuseport"},
                                                           {"TCPmtechod"},
                                                           {"TCPptechod", "-m", "4"},
                                                           {"TCPmechod"}}));
    CAPTURE(args);
    std::string name = args[0];
    args.erase(args.begin());
    args.insert(args.end(), {"--grace", "1m", "0"});
    Process server(name, args);
    Process load("echoload", {"--clients", "16", "--for", "1m", "127.0.0.1", std::to_string(server.port())});
    REQUIRE(eventually([&] { return count(server.err(), " closed ") > 300; }));
    server.signal(SIGTERM);
    CHECK(server.wait_exit() == 0);
    std::string log = server.err();
    CHECK(count(log, " accepted ") == count(log, " closed "));
    CHECK(log.find("reset by peer") == std::string::npos);
}

TEST_CASE("grace: it ends, clients or not", "[family]") {
    auto name = GENERATE(as<std::string>{}, "TCPechod", "TCPpechod", "TCPmtechod", "TCPmechod");
    CAPTURE(name);
    Process server(name, {"--grace", "100ms", "0"});
    Client stays(server.port());
    REQUIRE(echoes(stays, "x"));
    server.signal(SIGTERM);
    CHECK(server.wait_exit() == 0);
    CHECK(stays.receive_all() == "");
    CHECK(stays.end() == Client::Fin);
    CHECK(server.err().find(" stopped ") != std::string::npos);
}

TEST_CASE("grace: nobody in service, nothing to wait for", "[family]") {
    auto name = GENERATE(as<std::string>{}, "TCPechod", "TCPpechod", "TCPmtechod", "TCPmechod");
    CAPTURE(name);
    Process server(name, {"--grace", "1h", "0"});
    {
        Client client(server.port());
        REQUIRE(echoes(client, "x"));
        client.shutdown_write();
        client.receive_all();
    }
    server.signal(SIGTERM);
    CHECK(server.wait_exit() == 0);
}

// ---- limits -------------------------------------------------------------------------------------------------------

TEST_CASE("threads: none to be had: it says so once, serves on, and recovers", "[family]") {
    if (instrumented()) return;  // they need more address space than the limit leaves
    Process server("TCPmtechod", {"0"}, [] { limit(RLIMIT_AS, 16 << 20); });
    std::vector<Client> clients;
    while (clients.size() < 400 && server.err().find(" waiting ") == std::string::npos) {
        clients.emplace_back(server.port());
        if (!clients.back().send("x") || clients.back().receive(1, 500ms) != "x") break;
    }
    REQUIRE(server.wait_for_stderr(" waiting pthread_create: "));
    CAPTURE(clients.size());
    REQUIRE(clients.size() > 10);
    CHECK(echoes(clients[0], "still served"));
    Time before = cpu_time(server.pid());
    clients[1].close();
    CHECK(clients.back().receive(1) == "x");  // it has waited, and been served
    CHECK(cpu_time(server.pid()) - before < 100ms);
    CHECK(count(server.err(), " waiting ") == 1);
}

TEST_CASE("epoll: out of descriptors it says so once, does not spin, and serves who waits when one is free",
          "[family]") {
    Process server("TCPmechod", {"0"}, [] { limit(RLIMIT_NOFILE, 24); });
    int port = server.port();
    std::vector<Client> clients;
    for (int i = 0; i < 40; ++i) clients.emplace_back(port), clients.back().send("x");
    REQUIRE(server.wait_for_stderr(" waiting accept: Too many open files"));
    CHECK(clients[0].receive(1) == "x");
    CHECK(echoes(clients[0], "served all the same"));
    REQUIRE(clients[0].send("x"));
    Time before = cpu_time(server.pid());
    size_t served = 0;
    for (auto& client : clients) served += client.receive(1).size(), client.close();  // in the order they came
    CHECK(served == 40);
    CHECK(cpu_time(server.pid()) - before < 500ms);
    CHECK(eventually([&] { return count(server.err(), " closed ") + count(server.err(), "reset by peer") == 40; }));
    CHECK(count(server.err(), " waiting ") == 1);
}

// Sends until all buffers on the way are full.
static Client who_never_reads(int port) {
    static const std::string flood(64 * 1024, 'f');
    Client client(port, 4096);
    while (send(client.fd(), flood.data(), flood.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {}
    return client;
}

TEST_CASE("300 clients that never read hold their own connections, and nobody else's", "[family]") {
    auto name = GENERATE(as<std::string>{}, "TCPechod", "TCPmtechod", "TCPmechod");
    CAPTURE(name);
    Process server(name, {"-o", "rcvbuf=16k", "-o", "sndbuf=16k", "0"});  // else the kernel holds 6 MB for each
    int port = server.port();
    std::vector<Client> silent;
    for (int i = 0; i < 300; ++i) silent.push_back(who_never_reads(port));
    Client client(port);
    CHECK(echoes(client, "and me?"));
    Time before = cpu_time(server.pid());
    CHECK(echoes(client, std::string(100'000, 'y')));
    if (name == "TCPmechod") CHECK(resident_kb(server.pid()) < 300 * 300 + 20'000);
    for (auto& s : silent) s.reset();
    CHECK(eventually([&] { return count(server.err(), "reset by peer") + count(server.err(), " failed ") == 300; }));
    CHECK(echoes(client, "alone again"));
    CHECK(cpu_time(server.pid()) - before < 5s);
}

TEST_CASE("a pool full of clients that never read is freed by --idle-timeout", "[family]") {
    auto args = GENERATE(values<std::vector<std::string>>({{"TCPpechod", "-m", "2"}, {"TCPptechod", "-m", "2"}}));
    std::string name = args[0];
    CAPTURE(name);
    args.erase(args.begin());
    args.insert(args.end(), {"-o", "rcvbuf=16k", "-o", "sndbuf=16k", "--idle-timeout", "100ms", "0"});
    Process server(name, args);
    int port = server.port();
    std::vector<Client> silent;
    for (int i = 0; i < 4; ++i) silent.push_back(who_never_reads(port));
    Client client(port);
    CHECK(echoes(client, "at last"));
}

TEST_CASE("epoll: --max-clients holds the rest in the accept queue", "[family]") {
    auto args = GENERATE(values<std::vector<std::string>>({{"TCPmechod"}, {"TCPmtechod"}}));
    Process server(args[0], {"-m", "2", "0"});
    int port = server.port();
    Client a(port), b(port), c(port);
    REQUIRE(echoes(a, "a"));
    REQUIRE(echoes(b, "b"));
    REQUIRE(c.send("c"));
    CHECK(echoes(a, "still a"));
    CHECK(eventually([&] { return count(server.err(), " accepted ") == 2; }));  // the log may come after the echo
    b.close();
    CHECK(c.receive(1) == "c");
}

TEST_CASE("sockopts: what was asked, what the kernel made of it, who inherits", "[family]") {
    auto result = run("sockopts", {"rcvbuf=64k", "keepalive", "linger=0", "defer-accept=5"});
    CHECK(result.status == 0);
    auto row = [&](const std::string& name) {
        std::istringstream lines(result.out);
        for (std::string line, word; std::getline(lines, line);)
            if (std::istringstream words(line); words >> word && word == name) {
                std::string text;
                for (words >> word; words >> word;) text += (text.empty() ? "" : " ") + word;
                return text;
            }
        return std::string("no row");
    };
    CHECK_THAT(row("rcvbuf"), ContainsSubstring(" 65536 131072 131072"));
    CHECK(row("keepalive") == "0 1 1 1");
    CHECK(row("linger") == "off 0 0 0");
    CHECK(row("defer-accept") == "0 5 7 0");
    CHECK(row("O_NONBLOCK") == "0 1 1 0");
    CHECK(run("sockopts", {"rcvbuf=x"}).status == 2);
    CHECK(run("sockopts", {"nosuch"}).status == 2);
    CHECK(run("sockopts", {"maxseg=1"}).status == 1);
}
