// harm_test.cpp - what no server may do, whatever happens to it: touch a process that it has not forked, hang at its
// end, wait for somebody who reads its log, end for all clients because of one.
#include "catch.hpp"
#include "support.hpp"

#include <sys/mman.h>

using namespace test;

static bool echoes(Client& client, const std::string& text) {
    return client.send(text) && client.receive(text.size()) == text;
}

// Every server that forks, with arguments that let it start on a port of the kernel's choice.
static std::vector<std::vector<std::string>> forking_servers() {
    return {{"TCPechod", "0"},
            {"TCPpechod", "-m", "2", "0"},
            {"timewait-server", "0"},
            {"faultserver", "0"},
            {"halfclose-server", "/proc/self/exe", "0"}};
}
static std::vector<std::string> arguments(const std::vector<std::string>& words) {
    return {words.begin() + 1, words.end()};
}

// Children that the server finds when it begins, as a shell leaves them to the program that it becomes. They do
// nothing.
struct Foreign {
    static constexpr size_t count = 5;
    pid_t* pids = static_cast<pid_t*>(
        mmap(nullptr, sizeof(pid_t) * count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    void end(size_t i) const {
        REQUIRE(pids[i] > 1);
        kill(pids[i], SIGKILL);
    }
    // For Process's `prepare`.
    void fork_all() const {
        for (size_t i = 0; i < count; ++i) {
            pid_t pid = fork();
            if (pid < 0) fail("fork");
            if (pid > 0) {
                pids[i] = pid;
                continue;
            }
            alarm(120);  // whatever becomes of the test
            for (int fd = 0; fd < 3; ++fd) close(fd);
            for (;;) pause();
        }
    }
    ~Foreign() { munmap(pids, sizeof(pid_t) * count); }
};

TEST_CASE("harm: a child that the server never forked ends, and nothing changes", "[harm]") {
    auto words = GENERATE(from_range(forking_servers()));
    CAPTURE(words);
    Foreign foreign;
    Process server(words[0], arguments(words), [&] { foreign.fork_all(); });
    int port = server.port();
    size_t own = words[0] == "TCPpechod" ? 2 : 0;
    REQUIRE(eventually([&] { return children_of(server.pid()).size() == own + foreign.count; }));
    for (size_t i = 0; i < foreign.count; ++i) foreign.end(i);
    REQUIRE(eventually(
        [&] { return children_of(server.pid()).size() == own; }));  // reaped, and no child more in their place
    for (int i = 0; i < 3; ++i) CHECK(Client(port).fd() >= 0);
    CHECK(eventually([&] { return sockets("ESTABLISHED", port) == 0 && children_of(server.pid()).size() == own; }));
    server.signal(SIGTERM);
    CHECK(server.wait_exit() == 0);
}

TEST_CASE("harm: SIGTERM ends a server beside children that are not its own, and does not touch them", "[harm]") {
    auto words = GENERATE(from_range(forking_servers()));
    CAPTURE(words);
    Foreign foreign;
    Process server(words[0], arguments(words), [&] { foreign.fork_all(); });
    Client client(server.port());
    REQUIRE(eventually([&] { return children_of(server.pid()).size() > foreign.count; }));
    server.signal(SIGTERM);
    CHECK(server.wait_exit() == 0);
    for (size_t i = 0; i < foreign.count; ++i) {
        auto fields = stat_fields(foreign.pids[i]);
        CHECK((!fields.empty() && fields[3] == "S"));
        foreign.end(i);  // ours now (main.cpp)
        waitpid(foreign.pids[i], nullptr, 0);
    }
}

TEST_CASE("harm: a stopped child does not keep a server from its end", "[harm]") {
    auto words = GENERATE(from_range(forking_servers()));
    CAPTURE(words);
    Process server(words[0], arguments(words));
    Client client(server.port());
    REQUIRE(eventually([&] { return !children_of(server.pid()).empty(); }));
    auto children = children_of(server.pid());
    for (pid_t child : children) kill(child, SIGSTOP);
    REQUIRE(eventually([&] { return children_of(server.pid(), 'T').size() == children.size(); }));
    server.signal(SIGTERM);
    CHECK(server.wait_exit() == 0);
    for (pid_t child : children) CHECK(stat_fields(child).empty());
}

TEST_CASE("harm: a second SIGTERM or SIGINT ends the grace", "[harm]") {
    auto name = GENERATE(as<std::string>{}, "TCPechod", "TCPpechod", "TCPmtechod", "TCPmechod");
    auto second = GENERATE(SIGTERM, SIGINT);
    CAPTURE(name, second);
    Process server(name, {"--grace", "1h", "0"});
    int port = server.port();
    Client stays(port);
    REQUIRE(echoes(stays, "x"));
    server.signal(SIGTERM);
    // it has begun to end: nobody can connect any more
    REQUIRE(eventually([&] {
        try {
            Client late(port);
            return false;
        } catch (const std::system_error&) { return true; }
    }));
    CHECK(server.running());
    CHECK(echoes(stays, "still served"));
    server.signal(second);
    CHECK(server.wait_exit() == 0);
    CHECK(stays.receive_all() == "");
}

// ---- a log that nobody reads --------------------------------------------------------------------------------------

// stderr is a pipe, a socket or a terminal that nobody reads until the test does.
struct Unread_log {
    int reader = -1, writer = -1;
    explicit Unread_log(const std::string& kind) {
        int ends[2];
        if (kind == "pipe" && pipe2(ends, O_CLOEXEC)) fail("pipe");
        if (kind == "socket" && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) fail("socketpair");
        if (kind == "terminal") {
            ends[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
            if (ends[0] < 0 || grantpt(ends[0]) || unlockpt(ends[0])) fail("posix_openpt");
            ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
            if (ends[1] < 0) fail("open pts");
        }
        reader = ends[0], writer = ends[1];
    }
    ~Unread_log() { close(reader), close(writer); }
    // What is there by now.
    std::string take() const {
        std::string text;
        fcntl(reader, F_SETFL, O_NONBLOCK);
        for (char part[65536];;) {
            ssize_t n = ::read(reader, part, sizeof part);
            if (n <= 0) return text;
            text.append(part, n);
        }
    }
};

TEST_CASE("harm: a log that nobody reads stops no server: clients are served, signals heard, lines counted", "[harm]") {
    auto words = GENERATE(values<std::vector<std::string>>(
        {{"seqserver"}, {"TCPechod"}, {"TCPpechod"}, {"TCPmtechod"}, {"TCPptechod", "-m", "4"}, {"TCPmechod"}}));
    auto kind = GENERATE(as<std::string>{}, "pipe", "socket", "terminal");
    CAPTURE(words, kind);
    Unread_log log(kind);
    auto args = arguments(words);
    args.insert(args.end(), {"-v", "0"});
    Process server(words[0], args, [&] { dup2(log.writer, 2); });
    std::string said;
    REQUIRE(eventually([&] {
        said += log.take();
        return said.find("listening on") != said.npos && said.back() == '\n';
    }));
    int port = std::stoi(said.substr(said.find(':', said.find("listening on ")) + 1));
    int flags = fcntl(log.writer, F_GETFL);
    CHECK((flags & O_NONBLOCK) == 0);  // ours, shared with it, is as it was

    // until the log is full, and as many again: each is served. (A terminal has no room for a moment while somebody writes.)
    std::string much(100, 'm');
    size_t served = 0;
    for (pollfd room{log.writer, POLLOUT, 0}; served < 5000 && poll(&room, 1, 200) > 0; ++served) {
        Client client(port);
        REQUIRE(echoes(client, much));
    }
    CAPTURE(served);
    REQUIRE(served < 5000);
    for (int i = 0; i < 50; ++i) {
        Client client(port);
        REQUIRE(echoes(client, much));
    }
    // somebody reads again: the next line says how many were lost
    REQUIRE(eventually([&] {
        said += log.take();
        Client client(port);
        REQUIRE(echoes(client, much));
        return said.find(" lost=") != said.npos;
    }));
    for (pollfd room{log.writer, POLLOUT, 0}; poll(&room, 1, 200) > 0;) {
        Client client(port);
        REQUIRE(echoes(client, much));
    }
    server.signal(SIGTERM);
    CHECK(server.wait_exit() == 0);
}

// A terminal says EAGAIN also to who writes while another process does.
TEST_CASE("harm: children that log to one terminal at the same moment lose no line", "[harm]") {
    Unread_log log("terminal");
    Process server("TCPechod", {"0"}, [&] { dup2(log.writer, 2); });
    std::string said;
    auto says = [&](const std::string& word, size_t times) {
        return eventually([&] { return said += log.take(), count(said, word) == times; });
    };
    REQUIRE(says("listening on", 1));
    int port = std::stoi(said.substr(said.find(':', said.find("listening on ")) + 1));
    const size_t rounds = 100, clients = 16;
    for (size_t round = 1; round <= rounds; ++round) {
        {
            std::vector<Client> at_once;
            for (size_t i = 0; i < clients; ++i) at_once.emplace_back(port);
            for (auto& client : at_once) REQUIRE(echoes(client, "x"));
            for (auto& client : at_once) client.shutdown_write();
        }
        bool all = says(" closed ", round * clients);
        INFO(said.substr(said.size() - std::min<size_t>(said.size(), 3000)));
        REQUIRE(all);
    }
    CHECK(said.find(" lost=") == said.npos);
}

TEST_CASE("harm: records that nobody reads stop no halfclose-server", "[harm]") {
    Directory directory;
    Unread_log records("pipe");
    Process server(
        "halfclose-server",
        {"--json", "--log-level", "debug", "-c", "10", directory.write("file", std::string(50'000, 'f')), "0"},
        [&] { dup2(records.writer, 1); });
    std::string said, start = "\"start the server\",\"server\":{\"listen\":\"0.0.0.0:";
    REQUIRE(eventually([&] {
        said += records.take();
        return said.find(start) != said.npos && said.back() == '\n';
    }));
    Client client(std::stoi(said.substr(said.find(start) + start.size())));
    CHECK(client.receive_all().size() == 50'000);
    CHECK(client.end() == Client::Fin);
    server.signal(SIGTERM);
    CHECK(server.wait_exit() == 0);
}

// ---- no memory for one client -------------------------------------------------------------------------------------

static rlim_t address_space(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
    rlim_t pages = 0;
    file >> pages;
    return pages * rlim_t(sysconf(_SC_PAGESIZE));
}

TEST_CASE("harm: no memory for one client is that client's trouble alone", "[harm]") {
    if (getenv("UNDER") || (getenv("BIN") && strstr(getenv("BIN"), "san")))
        return;  // they need more address space than the limit leaves
    Process server("TCPmechod", {"-o", "rcvbuf=64k", "-o", "sndbuf=16k", "0"});
    Client good(server.port());
    REQUIRE(echoes(good, "good"));
    rlimit limits{address_space(server.pid()) + 64 * 1024, address_space(server.pid()) + 64 * 1024};
    REQUIRE(prlimit(server.pid(), RLIMIT_AS, &limits, nullptr) == 0);
    std::vector<Client> silent;  // who never reads: what the kernel has no room for stays with the server
    std::string much(64 * 1024, 'm');
    while (silent.size() < 100 && server.err().find(" failed ") == std::string::npos) {
        silent.emplace_back(server.port(), 4096);
        while (send(silent.back().fd(), much.data(), much.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {}
    }
    CHECK(server.wait_for_stderr(" failed std::bad_alloc"));
    CHECK(server.running());
    CHECK(echoes(good, "good"));
    silent.clear();
    Client another(server.port());
    CHECK(echoes(another, "good"));
}
