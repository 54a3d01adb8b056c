// TCPecho_test.cpp - the client: against servers of every kind, the friendly ones of this suite and unfriendly ones
// made here.
#include "catch.hpp"
#include "support.hpp"

using namespace test;

static std::string number(int n) { return std::to_string(n); }
static std::string lines(size_t size) {
    std::string text;
    while (text.size() < size) text += "line " + number(int(text.size())) + "\n";
    return text;
}
static std::vector<std::string> to(int port, std::vector<std::string> options = {}) {
    options.push_back("127.0.0.1"), options.push_back(number(port));
    return options;
}

TEST_CASE("TCPecho: every byte back, exit status 0", "[TCPecho]") {
    std::string name = GENERATE("seqserver", "TCPechod");
    std::string input = GENERATE(std::string(), std::string("hello\n"), std::string("no newline"),
                                 std::string("\0\xff\x1b[2J", 6), lines(8 << 20));
    CAPTURE(name, input.size());
    Process server(name, {"0"});
    auto result = run("TCPecho", to(server.port()), input, 6 * patience);
    CHECK(result.status == 0);
    CHECK((result.out == input));
    std::string size = number(int(input.size()));
    CHECK_THAT(result.err,
               ContainsSubstring("connected peer=127.0.0.1:" + number(server.port()) + " local=127.0.0.1:"));
    CHECK_THAT(result.err,
               ContainsSubstring("fin the server has closed its side: sent=" + size + " received=" + size + "\n"));
}

TEST_CASE("TCPecho: a line comes back before the next is typed", "[TCPecho]") {
    Process server("seqserver", {"0"}), client("TCPecho", to(server.port()));
    for (int i = 1; i < 4; ++i) {
        client.write_stdin("line " + number(i) + "\n");
        CHECK(client.wait_for_stdout("line " + number(i) + "\n"));
    }
    CHECK(client.running());
    client.close_stdin();
    CHECK(client.wait_exit() == 0);
}

TEST_CASE("TCPecho: half-closes at the end of stdin and reads on to the server's FIN", "[TCPecho]") {
    Listener listener;
    Process client("TCPecho", to(listener.port()));
    Client server = listener.accept();
    client.write_stdin("slow");
    CHECK(server.receive(4) == "slow");
    client.close_stdin();
    CHECK(server.receive_all() == "");
    CHECK(server.end() == Client::Fin);
    CHECK(client.wait_for_stderr("half-closed sent=4"));
    CHECK(sockets("CLOSE_WAIT", listener.port(), 0) == 1);
    CHECK(client.running());
    SECTION("every byte comes") {
        server.send("slow");
        server.close();
        CHECK(client.wait_exit() == 0);
    }
    SECTION("fewer bytes come") {
        server.send("slo");
        server.close();
        CHECK(client.wait_exit() == 1);
    }
    SECTION("more bytes come") {
        server.send("slowly");
        server.close();
        CHECK(client.wait_exit() == 1);
    }
    SECTION("other bytes come") {
        server.send("fast");
        server.close();
        CHECK(client.wait_exit() == 1);
    }
    SECTION("RST comes") {
        server.send("slow");
        CHECK(client.wait_for_stdout("slow"));
        server.reset();
        CHECK(client.wait_exit() == 1);
        CHECK_THAT(client.err(), ContainsSubstring("reset the server sent RST"));
    }
}

TEST_CASE("TCPecho: the server ends in mid-stream, exit status 1", "[TCPecho]") {
    Listener listener;
    Process client("TCPecho", to(listener.port()));
    Client server = listener.accept();
    client.write_stdin("hello");
    CHECK(server.receive(5) == "hello");
    server.send("hello");
    SECTION("with FIN") {
        server.close();
        CHECK(client.wait_exit() == 1);
        CHECK_THAT(
            client.err(),
            ContainsSubstring("fin the server has closed its side: sent=5 received=5 before the end of our input"));
    }
    SECTION("with RST") {
        server.reset();
        CHECK(client.wait_exit() == 1);
        CHECK_THAT(client.err(), ContainsSubstring("reset the server sent RST"));
    }
    SECTION("while we are writing") {
        std::thread typing([&] { client.write_stdin(lines(32 << 20)); });
        CHECK(server.receive(100000).size() == 100000);
        server.reset();
        CHECK(client.wait_exit() == 1);
        typing.join();
    }
}

TEST_CASE("TCPecho: a killed server", "[TCPecho]") {
    Process server("seqserver", {"0"}), client("TCPecho", to(server.port()));
    client.write_stdin("x\n");
    REQUIRE(client.wait_for_stdout("x\n"));
    server.signal(SIGKILL);
    CHECK(client.wait_exit() == 1);
    CHECK_THAT(client.err(), ContainsSubstring("before the end of our input"));
}

TEST_CASE("TCPecho: --close says how the connection ends", "[TCPecho]") {
    Listener listener;
    std::string how = GENERATE("orderly", "abort", "unread");
    CAPTURE(how);
    Process client("TCPecho", to(listener.port(), {"--close", how}));
    Client server = listener.accept();
    client.write_stdin("hello");
    CHECK(server.receive(5) == "hello");
    server.send("hello");
    if (how != "unread") CHECK(client.wait_for_stdout("hello"));
    client.close_stdin();
    CHECK(server.receive_all() == "");
    CHECK(server.end() == (how == "orderly" ? Client::Fin : Client::Reset));
    server.close();
    CHECK(client.wait_exit() == (how == "unread" ? 1 : 0));
    if (how == "orderly")
        CHECK_THAT(client.err(), ContainsSubstring("fin the server has closed its side: sent=5 received=5"));
    if (how == "abort") CHECK_THAT(client.err(), ContainsSubstring("closed by RST (SO_LINGER 0): sent=5 received=5"));
    if (how == "unread") CHECK_THAT(client.err(), ContainsSubstring("closed with data unread: sent=5 received=0"));
}

TEST_CASE("TCPecho: --local-port", "[TCPecho]") {
    Listener listener, probe;
    int port = probe.port();
    probe.close();
    Process client("TCPecho", to(listener.port(), {"--local-port", number(port)}));
    Client server = listener.accept();
    CHECK(sockets("ESTABLISHED", port, listener.port()) == 1);
    auto second = run("TCPecho", to(listener.port(), {"--local-port", number(port)}));
    CHECK(second.status == 1);
    CHECK_THAT(second.err, ContainsSubstring("TCPecho: bind 0.0.0.0:" + number(port)) &&
                               ContainsSubstring("Address already in use"));
}

TEST_CASE("TCPecho: nobody to connect to is a failure that names the address", "[TCPecho]") {
    Listener gone, full(0);
    gone.close();
    auto refused = run("TCPecho", to(gone.port()));
    CHECK(refused.status == 1);
    CHECK_THAT(refused.err,
               ContainsSubstring("TCPecho: connect 127.0.0.1:" + number(gone.port()) + ": Connection refused"));
    Client occupies(full.port());
    auto silent = run("TCPecho", to(full.port(), {"--connect-timeout", "50ms"}));
    CHECK(silent.status == 1);
    CHECK_THAT(silent.err,
               ContainsSubstring("TCPecho: connect 127.0.0.1:" + number(full.port()) + ": Connection timed out"));
    auto unknown = run("TCPecho", {"no.such.host.invalid"});
    CHECK(unknown.status == 2);
    CHECK_THAT(unknown.err, ContainsSubstring("TCPecho: no host \"no.such.host.invalid\""));
}

TEST_CASE("TCPecho: closed stdout or stdin end it with status 1", "[TCPecho]") {
    Process server("TCPechod", {"0"});
    SECTION("stdout is closed") {
        Process client("TCPecho", to(server.port()), [] { close(1); });
        client.write_stdin("hello\n");
        CHECK(client.wait_exit() == 1);
        CHECK_THAT(client.err(), ContainsSubstring("write stdout: Bad file descriptor"));
    }
    SECTION("nobody reads stdout") {
        Process client("TCPecho", to(server.port()), [] {
            int ends[2];
            if (pipe(ends) == 0) dup2(ends[1], 1), close(ends[0]);
        });
        client.write_stdin("hello\n");
        CHECK(client.wait_exit() != 0);
    }
    SECTION("stdin is closed") {
        Process client("TCPecho", to(server.port()), [] { close(0); });
        CHECK(client.wait_exit() == 1);
        CHECK_THAT(client.err(), ContainsSubstring("read stdin: Bad file descriptor"));
    }
    CHECK(eventually([&] { return children_of(server.pid()).empty(); }));
}

TEST_CASE("TCPecho: signals do not disturb it", "[TCPecho]") {
    Process server("seqserver", {"0"}), client("TCPecho", to(server.port()));
    std::string input = lines(8 << 20);
    std::thread typing([&] { client.write_stdin(input), client.close_stdin(); });
    for (int i = 0; i < 200; ++i) client.signal(SIGSTOP), client.signal(SIGCONT);
    CHECK(client.wait_exit(6 * patience) == 0);
    typing.join();
    CHECK((client.out() == input));
}

TEST_CASE("TCPecho: a wrong command line is one clear line and exit status 2", "[TCPecho]") {
    struct Wrong {
        std::vector<std::string> args;
        std::string says;
    };
    for (auto& wrong :
         std::vector<Wrong>{{{}, "usage: TCPecho [options] host [port]"},
                            {{"127.0.0.1", "1", "2"}, "usage: TCPecho [options] host [port]"},
                            {{"127.0.0.1", "0"}, "port must be 1..65535, not \"0\""},
                            {{"127.0.0.1", "echo"}, "port must be 1..65535, not \"echo\""},
                            {{"--close", "softly", "127.0.0.1"}, "--close must be orderly, abort or unread"},
                            {{"--local-port", "0", "127.0.0.1"}, "--local-port must be 1..65535, not \"0\""},
                            {{"--connect-timeout", "0", "127.0.0.1"}, "--connect-timeout must be 1ms..10m, not \"0\""},
                            {{"--option", "nagle", "127.0.0.1"}, "--option: no socket option \"nagle\""},
                            {{"a b\x1b"}, "no host \"a b\\x1b\""}}) {
        CAPTURE(wrong.says);
        auto result = run("TCPecho", wrong.args);
        CHECK(result.status == 2);
        CHECK(result.out == "");
        CHECK_THAT(result.err, ContainsSubstring("TCPecho: " + wrong.says));
        CHECK(result.err.find('\x1b') == result.err.npos);
    }
}
