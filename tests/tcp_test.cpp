// tcp_test.cpp - the helpers, called directly: tcp.hpp, program.hpp, and what every server has of seqserver/server.hpp.
#include "../seqserver/server.hpp"
#include "catch.hpp"
#include "support.hpp"

#include <sys/time.h>

#include <climits>

using std::string;
using test::Client;
using test::eventually;
using test::Listener;
using namespace std::chrono_literals;

// What the call throws, as "usage: text", "ERRNO: text" or "text"; "" if it throws nothing.
template <typename Call>
static std::string thrown(Call call) {
    try {
        call();
    } catch (const tcp::Usage_error& e) {
        return std::string("usage: ") + e.what();
    } catch (const std::system_error& e) {
        return std::to_string(e.code().value()) + ": " + e.what();
    } catch (const std::runtime_error& e) { return e.what(); }
    return "";
}
static std::string code(int number) { return std::to_string(number) + ": "; }

// What the call writes to stderr.
template <typename Call>
static std::string stderr_of(Call call) {
    int ends[2], saved = dup(2);
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    dup2(ends[1], 2);
    call();
    dup2(saved, 2), close(saved), close(ends[1]);
    std::string text(65536, 0);
    text.resize(std::max<ssize_t>(0, read(ends[0], text.data(), text.size())));
    close(ends[0]);
    return text;
}

// A connection whose near end is a tcp::Connection, as a program under test has it.
struct Pair {
    Listener listener;
    Client peer{listener.port()};
    tcp::Connection near{tcp::Descriptor(accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC)),
                         "127.0.0.1:" + std::to_string(peer.local_port())};
};

// Signals that interrupt system calls: SIGALRM every millisecond, ten times, no SA_RESTART.
struct Interruptions {
    static inline volatile sig_atomic_t count = 0;
    Interruptions() {
        count = 0;
        struct sigaction action {};
        action.sa_handler = [](int) {
            if ((count = count + 1) == 10) every(0);
        };
        sigaction(SIGALRM, &action, nullptr);
        every(1000);
    }
    ~Interruptions() { every(0), ::signal(SIGALRM, SIG_DFL); }
    static void every(int microseconds) {
        itimerval timer{{0, microseconds}, {0, microseconds}};
        setitimer(ITIMER_REAL, &timer, nullptr);
    }
};
// For a helper thread: the main thread is the one to be interrupted.
static void leave_signals_to_main() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

TEST_CASE("amounts are sums of numbers with units", "[tcp]") {
    using namespace tcp;
    CHECK(amount("0", plain) == 0);
    CHECK(amount("8990", plain) == 8990);
    CHECK(amount("64k", sizes) == 65536);
    CHECK(amount("1m", sizes) == 1048576);
    CHECK(amount("1k1", sizes) == 1025);
    CHECK(amount("1m30s", times) == 90e9);
    CHECK(amount("200us", times) == 200e3);
    CHECK(amount("0", times) == 0);
    CHECK(amount("1.5", sizes) == 1.5);
    CHECK(amount("1.5k", sizes) == 1536);
    CHECK(amount("0.25s", times) == 250e6);
    CHECK(amount("1µs", times) == 1000);
    for (const char* text :
         {"", " ", "k", "-1", "+1", " 1", "1 ", "1.5.0", ".", "0x10", "1e3", "12x", "1,5", "\n", "1k ", "k1", "1K"}) {
        CAPTURE(text);
        CHECK(std::isnan(amount(text, sizes)));
    }
    for (const char* text : {"5", "00", "1m30", "s", "5S", "5 s", "1d", "1.s.5"}) {
        CAPTURE(text);
        CHECK(std::isnan(amount(text, times)));
    }
}

TEST_CASE("a quantity is in its range or the message says option, range and what was given", "[tcp]") {
    using namespace tcp;
    CHECK(number("port", "0", "0", "65535") == 0);
    CHECK(number("port", "65535", "0", "65535") == 65535);
    CHECK(thrown([] { number("port", "65536", "0", "65535"); }) == "usage: port must be 0..65535, not \"65536\"");
    CHECK(thrown([] { number("--max-children", "0", "1", "100"); }) ==
          "usage: --max-children must be 1..100, not \"0\"");
    CHECK(thrown([] { number("port", "", "0", "65535"); }) == "usage: port must be 0..65535, not \"\"");
    CHECK(thrown([] { number("port", "http", "0", "65535"); }) == "usage: port must be 0..65535, not \"http\"");
    CHECK(thrown([] { number("port", "\x1b[2J", "0", "65535"); }) == "usage: port must be 0..65535, not \"\\x1b[2J\"");
    CHECK(bytes("--size", "64k", "1", "1m") == 65536);
    CHECK(thrown([] { bytes("--size", "1025k", "1", "1m"); }) == "usage: --size must be 1..1m, not \"1025k\"");
    CHECK(duration("--idle", "1m30s", "0", "24h") == 90s);
    CHECK(duration("--idle", "24h", "0", "24h") == 24h);
    CHECK(thrown([] { duration("--idle", "24h1ns", "0", "24h"); }) == "usage: --idle must be 0..24h, not \"24h1ns\"");
    CHECK(thrown([] { duration("--idle", "5", "0", "24h"); }) == "usage: --idle must be 0..24h, not \"5\"");
    CHECK(duration("--idle", "1.5s", "0", "24h") == 1500ms);
    CHECK(thrown([] { duration("--idle", "0.5ns", "0", "24h"); }) == "usage: --idle must be 0..24h, not \"0.5ns\"");
    CHECK(thrown([] { number("port", "1.5", "0", "65535"); }) == "usage: port must be 0..65535, not \"1.5\"");
    for (const std::string& digits :
         {string("18446744073709551617"), string(60, '9'), string(400, '9'), string(100000, '9')})
        CHECK(thrown([&] { number("port", digits.c_str(), "0", "65535"); }) ==
              "usage: port must be 0..65535, not \"" + digits.substr(0, 60) + (digits.size() > 60 ? "\"..." : "\""));
}

TEST_CASE("addresses are parsed and written the same way", "[tcp]") {
    auto all = [](const std::string& host) {
        std::string text;
        for (auto& address : tcp::server_addresses(host, 8990)) text += (text.empty() ? "" : " ") + address.text();
        return text;
    };
    CHECK(all("10.98.0.1") == "10.98.0.1:8990");
    CHECK(all("10.98.0.1:80") == "10.98.0.1:80");
    CHECK(all("0.0.0.0:0") == "0.0.0.0:0");
    CHECK(all("::1") == "[::1]:8990");
    CHECK(all("[::1]") == "[::1]:8990");
    CHECK(all("[::1]:80") == "[::1]:80");
    CHECK(all("::") == "[::]:8990");
    CHECK(all("fe80::1%lo") == "[fe80::1]:8990");
    CHECK(tcp::server_addresses("fe80::1%lo", 1).front().v6.sin6_scope_id == if_nametoindex("lo"));
    CHECK(all("localhost").find(":8990") != std::string::npos);
    CHECK(all("localhost:80").find(":80") != std::string::npos);
}

TEST_CASE("an address of a server is numbers, no name", "[tcp]") {
    CHECK(tcp::numeric_address("10.98.0.1", 80)->text() == "10.98.0.1:80");
    CHECK(tcp::numeric_address("::1", 0)->text() == "[::1]:0");
    CHECK(tcp::numeric_address("fe80::1%lo", 1)->v6.sin6_scope_id == if_nametoindex("lo"));
    for (const char* host : {"", "localhost", "8990", "10.98.0", "010.98.0.1x", "[::1]", "::1%", "fe80::1%nosuch"}) {
        CAPTURE(host);
        CHECK_FALSE(tcp::numeric_address(host, 1));
    }
    tcp::Server_options options{8990};
    auto listens_at = [&](const char* address) {
        options.address = address;
        return options.listen_address().text();
    };
    CHECK(listens_at("localhost") == "127.0.0.1:8990");
    CHECK(listens_at("::1") == "[::1]:8990");
    CHECK(thrown([&] { listens_at("example.org"); }) ==
          "usage: --address must be numbers, as 10.98.0.1 or ::1, or localhost, not \"example.org\"");
}

TEST_CASE("a name that is no host is a usage error, and shown escaped and cut", "[tcp]") {
    for (const std::string& host :
         {string(), string("no.such.host.invalid"), string("8990"), string("$(reboot)"), string("x\ny"), string("-h"),
          string("["), string("]"), string("[]"), string("[::1"), string("[::1]x"), string("1.2.3.4.5"),
          string("host name"), string("\x1b[2J"), string(100000, 'a'), string("fe80::1%nosuch")}) {
        CAPTURE(host.substr(0, 40));
        std::string error = thrown([&] { tcp::server_addresses(host, 1); });
        CHECK_THAT(error, ContainsSubstring("usage: no host "));
        CHECK(error.find_first_of("\x1b\n") == std::string::npos);
        CHECK(error.size() < 200);
    }
    CHECK_THAT(thrown([] { tcp::server_addresses("127.0.0.1:http", 1); }),
               ContainsSubstring("usage: port must be 0..65535, not \"http\""));
    CHECK_THAT(thrown([] { tcp::server_addresses("127.0.0.1:", 1); }),
               ContainsSubstring("usage: port must be 0..65535"));
    CHECK_THAT(thrown([] { tcp::server_addresses("[::1]:65536", 1); }), ContainsSubstring("not \"65536\""));
}

TEST_CASE("what is printed of the network's bytes is printable", "[tcp]") {
    auto shown = [](const std::string& data, size_t limit = 60) {
        return tcp::printable(data.data(), data.size(), limit);
    };
    CHECK(shown("hello") == "\"hello\"");
    CHECK(shown("") == "\"\"");
    CHECK(shown("a\r\nb") == "\"a\\r\\nb\"");
    CHECK(shown("\x1b[2J\x7f\t") == "\"\\x1b[2J\\x7f\\x09\"");
    CHECK(shown(std::string("\0\xff", 2)) == "\"\\x00\\xff\"");
    CHECK(shown("\"\\") == "\"\\x22\\x5c\"");
    CHECK(shown("abcdef", 3) == "\"abc\"...");
    CHECK(shown("abc", 3) == "\"abc\"");
    std::string every;
    for (int i = 0; i < 256; ++i) every += char(i);
    std::string text = shown(every, 256);
    CHECK(std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; }));
}

TEST_CASE("a descriptor has one owner", "[tcp]") {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    auto open = [](int fd) { return fcntl(fd, F_GETFD) >= 0; };
    {
        tcp::Descriptor first(ends[0]), second(std::move(first));
        CHECK(first.fd() == -1);
        CHECK(second.fd() == ends[0]);
        tcp::Descriptor third(ends[1]);
        third = std::move(second);  // what it had goes with `second`, or is closed at once
        CHECK(third.fd() == ends[0]);
        CHECK(open(ends[0]));
    }
    CHECK_FALSE(open(ends[0]));
    CHECK_FALSE(open(ends[1]));
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    tcp::Descriptor owner(ends[0]);
    owner.close(), owner.close();
    CHECK_FALSE(open(ends[0]));
    {
        tcp::Descriptor gone(ends[1]);
        CHECK(gone.release() == ends[1]);
    }
    CHECK(open(ends[1]));
    close(ends[1]);
}

TEST_CASE("read tells the peer's FIN from its RST", "[tcp]") {
    Pair pair;
    char buffer[16];
    pair.peer.send("abc");
    CHECK(tcp::read(pair.near, buffer, sizeof buffer) == 3);
    SECTION("FIN") {
        pair.peer.close();
        CHECK(tcp::read(pair.near, buffer, sizeof buffer) == 0);
    }
    SECTION("RST") {
        pair.peer.reset();
        CHECK_THAT(thrown([&] { tcp::read(pair.near, buffer, sizeof buffer); }),
                   ContainsSubstring(code(ECONNRESET) + "read 127.0.0.1:"));
    }
}

TEST_CASE("writing to a peer that is gone is an exception, never SIGPIPE", "[tcp]") {
    static volatile sig_atomic_t sigpipe;
    sigpipe = 0;
    signal(SIGPIPE, [](int) { sigpipe = 1; });
    Pair pair;
    pair.peer.reset();
    REQUIRE(eventually([&] {
        pollfd p{pair.near.socket.fd(), 0, 0};
        return poll(&p, 1, 0) == 1;
    }));
    CHECK_THAT(thrown([&] { tcp::write_all(pair.near, "x", 1); }),
               ContainsSubstring(code(ECONNRESET) + "write 127.0.0.1:"));
    CHECK_THAT(thrown([&] { tcp::write_all(pair.near, "x", 1); }), ContainsSubstring(code(EPIPE) + "write 127.0.0.1:"));
    CHECK(sigpipe == 0);
    signal(SIGPIPE, SIG_IGN);
}

TEST_CASE("a signal interrupts neither read nor write_all", "[tcp]") {
    Pair pair;
    std::string big(32 << 20, 'x'), got;
    char buffer[16];
    SECTION("read") {
        std::thread later([&] {
            leave_signals_to_main();
            eventually([] { return Interruptions::count >= 5; });
            pair.peer.send("late");
        });
        Interruptions interruptions;
        CHECK(tcp::read(pair.near, buffer, sizeof buffer) == 4);
        later.join();
    }
    SECTION("write_all") {
        std::thread later([&] {
            leave_signals_to_main();
            eventually([] { return Interruptions::count >= 5; });
            got = pair.peer.receive(big.size());
        });
        Interruptions interruptions;
        CHECK(thrown([&] { tcp::write_all(pair.near, big.data(), big.size()); }) == "");
        later.join();
        CHECK(got.size() == big.size());
    }
}

TEST_CASE("the idle timeout ends a wait in both directions", "[tcp]") {
    Pair pair;
    char buffer[16];
    std::string big(32 << 20, 'x');
    tcp::set_idle_timeout(pair.near.socket, 20ms);
    CHECK_THAT(thrown([&] { tcp::read(pair.near, buffer, sizeof buffer); }),
               ContainsSubstring(code(ETIMEDOUT) + "read "));
    CHECK_THAT(thrown([&] { tcp::write_all(pair.near, big.data(), big.size()); }),
               ContainsSubstring(code(ETIMEDOUT) + "write "));
}

TEST_CASE("a port in use is explained", "[tcp]") {
    Listener holder;
    auto loopback = *tcp::numeric_address("127.0.0.1", holder.port());
    CHECK(tcp::port_holders(holder.port()) == " (the port has 1 LISTEN: ss -ltnp shows whose)");
    for (bool reuseaddr : {false, true})
        CHECK_THAT(thrown([&] { tcp::listening_socket(loopback, 1, reuseaddr); }),
                   ContainsSubstring(code(EADDRINUSE) + "bind " + loopback.text() + ": Address already in use"));
    tcp::Server_options options{holder.port(), "127.0.0.1"};
    CHECK(thrown([&] { options.listen(); }) ==
          "bind " + loopback.text() + ": Address already in use" + " (the port has 1 LISTEN: ss -ltnp shows whose)");
    Client client(holder.port());
    Client connection = holder.accept();
    holder.close();
    CHECK(tcp::port_holders(holder.port()) == " (the port has 1 ESTABLISHED: old connections hold it)");
    options.reuseaddr = false;
    CHECK_THAT(thrown([&] { options.listen(); }), ContainsSubstring("1 ESTABLISHED: old connections hold it"));
    client.reset();
    CHECK(eventually([&] { return tcp::port_holders(holder.port()).empty(); }));
}

TEST_CASE("a server says where it listens, with the port that the kernel chose", "[tcp]") {
    tcp::Server_options options{0, "127.0.0.1", 7};
    std::string said = stderr_of([&] { options.listen(); });
    int port = 0, backlog = 0;
    REQUIRE(said.find("listening on ") != said.npos);
    CHECK(sscanf(said.c_str() + said.find("listening on "), "listening on 127.0.0.1:%d backlog=%d\n", &port,
                 &backlog) == 2);
    CHECK(port > 0);
    CHECK(port == options.port);
    CHECK(backlog == 7);
}

TEST_CASE("socket options by name", "[tcp]") {
    std::vector<tcp::Socket_option> asked;
    for (const char* text : {"nodelay", "linger=0", "rcvbuf=64k"}) asked.push_back(tcp::socket_option(text));
    CHECK((asked[0].value == 1 && asked[1].value == 0 && asked[2].value == 65536));
    CHECK_THAT(thrown([] { tcp::socket_option("nagle"); }),
               ContainsSubstring("usage: --option: no socket option \"nagle\""));
    CHECK_THAT(thrown([] { tcp::socket_option(""); }), ContainsSubstring("usage: --option: no socket option \"\""));
    CHECK_THAT(thrown([] { tcp::socket_option("\x1b"); }), !ContainsSubstring("\x1b"));
    for (const char* bad : {"nodelay=", "nodelay=x", "nodelay=-1", "nodelay=2g"})
        CHECK_THAT(thrown([&] { tcp::socket_option(bad); }),
                   ContainsSubstring("usage: --option nodelay must be 0..1g, not "));
    tcp::Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    for (auto& option : asked) tcp::set_option(socket, option);
    int nodelay = 0;
    linger lingers{};
    socklen_t size = sizeof nodelay;
    getsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &nodelay, &size);
    getsockopt(socket.fd(), SOL_SOCKET, SO_LINGER, &lingers, &(size = sizeof lingers));
    CHECK(nodelay == 1);
    CHECK((lingers.l_onoff == 1 && lingers.l_linger == 0));
    CHECK_THAT(thrown([&] { tcp::set_option(socket, tcp::socket_option("maxseg=1")); }),
               ContainsSubstring(code(EINVAL) + "setsockopt maxseg=1"));
}

TEST_CASE("accept returns nothing for a signal and keeps the address of a peer that has reset", "[tcp]") {
    Listener listener;
    tcp::Descriptor socket(dup(listener.fd()));
    {
        Interruptions interruptions;
        CHECK_FALSE(tcp::accept(socket));
    }
    Client client(listener.port());
    int port = client.local_port();
    client.reset();
    auto connection = tcp::accept(socket);
    REQUIRE(connection);
    CHECK(connection->peer == "127.0.0.1:" + std::to_string(port));
    tcp::Descriptor closed;
    CHECK_THAT(thrown([&] { tcp::accept(closed); }), ContainsSubstring(code(EBADF) + "accept"));
}

TEST_CASE("a server without a free descriptor says so once, and again after it has recovered", "[tcp]") {
    Listener listener;
    tcp::Descriptor socket(dup(listener.fd()));
    Client client(listener.port());
    rlimit before{}, none{};
    getrlimit(RLIMIT_NOFILE, &before);
    none = {0, before.rlim_max};
    auto starve = [&] {
        setrlimit(RLIMIT_NOFILE, &none);
        for (int i = 0; i < 2; ++i) tcp::accept_or_wait(socket);
        setrlimit(RLIMIT_NOFILE, &before);
    };
    auto waits = [](const std::string& text) {
        size_t at = text.find("waiting accept: Too many open files\n");
        return at != text.npos && text.find("waiting", at + 1) == text.npos;
    };
    CHECK(waits(stderr_of(starve)));
    CHECK(tcp::accept_or_wait(socket));
    CHECK(waits(stderr_of(starve)));
}

TEST_CASE("connected_socket tries every address and gives up when told", "[tcp]") {
    Listener listener, gone, full(0);
    gone.close();
    auto here = *tcp::numeric_address("127.0.0.1", listener.port()),
         nobody = *tcp::numeric_address("127.0.0.1", gone.port());
    auto connection = tcp::connected_socket({nobody, here}, 0, {});
    CHECK(connection.peer == here.text());
    CHECK((fcntl(connection.socket.fd(), F_GETFL) & O_NONBLOCK) == 0);
    CHECK_THAT(thrown([&] { tcp::connected_socket({nobody}, 0, {}); }),
               ContainsSubstring(code(ECONNREFUSED) + "connect " + nobody.text()));
    Client occupies(full.port());  // backlog 0: the accept queue holds one
    CHECK_THAT(thrown([&] { tcp::connected_socket({*tcp::numeric_address("127.0.0.1", full.port())}, 0, 50ms); }),
               ContainsSubstring(code(ETIMEDOUT) + "connect "));
    CHECK_THAT(thrown([&] { tcp::connected_socket({here}, listener.port(), {}); }),
               ContainsSubstring(code(EADDRINUSE) + "bind 0.0.0.0:"));
}

TEST_CASE("connecting is not disturbed by signals", "[tcp]") {
    Listener full(0);
    Client occupies(full.port());
    auto there = *tcp::numeric_address("127.0.0.1", full.port());
    Interruptions interruptions;
    CHECK_THAT(thrown([&] { tcp::connected_socket({there}, 0, 50ms); }), ContainsSubstring(code(ETIMEDOUT)));
    CHECK(Interruptions::count > 0);
}

TEST_CASE("a log line is one line, however long what it tells", "[tcp]") {
    std::string line = stderr_of([] { tcp::log("read", "peer=%s bytes=%d", "10.98.0.1:8990", 6); });
    std::string head = line.substr(0, line.find(']'));
    CHECK(head == std::string(program_invocation_short_name) + "[" + std::to_string(getpid()));
    int h = -1, m = -1, s = -1, us = -1, end = 0;
    sscanf(line.c_str() + head.size(), "]: %2d:%2d:%2d.%6d read peer=10.98.0.1:8990 bytes=6\n%n", &h, &m, &s, &us,
           &end);
    CHECK(head.size() + end == line.size());
    CHECK((h >= 0 && h < 24 && m >= 0 && m < 60 && s >= 0 && s <= 60 && us >= 0));
    std::string endless = stderr_of([] { tcp::log("read", "%s", std::string(5000, 'x').c_str()); });
    CHECK(endless.size() <= 512);
    CHECK(endless.find('\n') == endless.size() - 1);
}

TEST_CASE("a log line says what printf would", "[tcp]") {
    auto told = [](auto... values) {
        std::string line = stderr_of([&] { tcp::log("x", values...); });
        return line.substr(line.find(" x ") + 3);
    };
    CHECK(told("%s|%d|%d|%d|%zu|%lu", "a%sb", 0, -12, INT_MAX, size_t(7), 4294967296ul) ==
          "a%sb|0|-12|2147483647|7|4294967296\n");
    CHECK(told("%s %.3f%% %d %s", "half", 0.5, 6, "end") == "half 0.500% 6 end\n");
    CHECK(told("no conversion%s", "") == "no conversion\n");
    for (int size : {400, 470, 490, 511, 512, 5000}) {  // around the longest line
        std::string text(size, 'x');
        CHECK(told("%s%x", text.c_str(), 0xabc).find_first_not_of("xabc\n") == std::string::npos);
        CHECK(told("%.*s", size, text.c_str()).find_first_not_of("x\n") == std::string::npos);
    }
    time_t now = time(nullptr);
    char clock[8];
    strftime(clock, sizeof clock, ": %H:", localtime(&now));
    CHECK_THAT(stderr_of([] { tcp::log("x", "y"); }), ContainsSubstring(clock));
}

TEST_CASE("a program may keep its log in another form", "[tcp]") {
    static std::string told;
    told.clear();
    tcp::log_elsewhere = [](const char* verb, const char* text) { told += verb + (":" + string(text)) + "\n"; };
    std::string said = stderr_of([] { tcp::log("read", "peer=%s bytes=%d", "10.98.0.1:8990", 6); });
    tcp::log_elsewhere = nullptr;
    CHECK(said == "");
    CHECK(told == "read:peer=10.98.0.1:8990 bytes=6\n");
}

TEST_CASE("a signal that comes before the wait is not lost", "[tcp]") {
    static volatile sig_atomic_t seen;
    seen = 0;
    Listener listener;
    tcp::Signals signals{{SIGUSR2, [](int) { seen = 1; }}};
    raise(SIGUSR2);
    CHECK(seen == 0);  // held back
    CHECK_FALSE(signals.wait(listener.fd()));
    CHECK(seen == 1);
    CHECK_FALSE(signals.wait(listener.fd(), 1ms));  // the time is over
    Client client(listener.port());
    CHECK(signals.wait(listener.fd()));
    signals.let_in();
    signal(SIGUSR2, SIG_DFL);
}
