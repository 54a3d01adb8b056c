// sockcalls_test.cpp - sockcalls: what a call returned, and the state in which it has left each socket.
#include "catch.hpp"
#include "support.hpp"

using namespace test;

TEST_CASE("sockcalls: each call with its result, each socket in the kernel's state", "[sockcalls]") {
    Process calls("sockcalls", {"--log"});
    auto call = [&](const std::string& line, const std::string& result) {
        INFO(line);
        calls.write_stdin(line + "\n");
        CHECK(calls.wait_for_stdout(result));
    };
    call("socket inet", "socket(inet) = 3\n    fd 3    CLOSED       0.0.0.0:0\n");
    call("bind 3 127.0.0.1 0", "bind(3, 127.0.0.1, 0) = 0\n    fd 3    CLOSED       127.0.0.1:");
    std::string out = calls.out();
    std::string port = out.substr(out.rfind(':') + 1, out.rfind('\n') - out.rfind(':') - 1);
    call("socket inet", "socket(inet) = 4\n");
    call("connect 4 127.0.0.1 " + port, port + ") = -1 ECONNREFUSED (Connection refused)\n");
    call("listen 3 5", "listen(3, 5) = 0\n    fd 3    LISTEN       127.0.0.1:" + port + "  waiting for accept: 0\n");
    call("connect 4 127.0.0.1 " + port, port + ") = 0\n    fd 3    LISTEN       127.0.0.1:" + port +
                                            "  waiting for accept: 1\n    fd 4    ESTABLISHED  127.0.0.1:");
    call("connect 4 127.0.0.1 " + port, port + ") = -1 EISCONN (");
    call("send 4  two words ", "send(4, two words ) = 10\n");
    call("accept 3", "accept(3) = 5\n");
    call("recv 5 3", "recv(5, 3) = 3 \"two\"\n");
    call("recv 5 100", "recv(5, 100) = 7 \" words \"\n");
    call("send 4 two\\nlines\\n", "= 10\n");
    call("recv 5 100", R"(= 10 "two\nlines\n")");
    call("send 5 \x1b[2J", "= 4\n");
    call("recv 4 100", R"(= 4 "\x1b[2J")");
    CHECK(calls.out().find('\x1b') == std::string::npos);
    call("shutdown 4 wr", "shutdown(4, wr) = 0\n");
    call("recv 5 100", "recv(5, 100) = 0 \"\"\n");
    call("close 5", "close(5) = 0\n");
    call("", "fd 4    TIME_WAIT    127.0.0.1:");
    call("close 4", "    closed  TIME_WAIT    127.0.0.1:");
    call("send 4 more", "= -1 EBADF (");
    call("close 3", "    closed  (gone)       127.0.0.1:" + port + "\n");
    calls.close_stdin();
    CHECK(calls.wait_exit() == 0);
    for (auto verb : {" connected peer=", " accepted peer=", " wrote peer=", " half-closed peer=", " fin peer="})
        CHECK_THAT(calls.err(), ContainsSubstring(verb));
}

TEST_CASE("sockcalls: what is no call is said and harms nothing", "[sockcalls]") {
    auto result = run("sockcalls", {},
                      "\nhelp\nbind\nbind 3 127.0.0.1\nbind x 127.0.0.1 1\nbind 1 127.0.0.1 1\nbind 3 127.0.0.1 65536\n"
                      "recv 3 0\nconnect 3 8990 1\nsocket inet6\n");
    CHECK(result.status == 0);
    CHECK(result.err.empty());
    for (auto text : {"no call: the calls are\n    socket inet|inet6\n", "no call: it is bind FD ADDRESS PORT\n",
                      "FD must be 3..65535, not \"x\"", "FD must be 3..65535, not \"1\"",
                      "PORT must be 0..65535, not \"65536\"", "BYTES must be 1..64k, not \"0\"", "no host \"8990\"",
                      "socket(inet6) = 3\n    fd 3    CLOSED       [::]:0\n"})
        CHECK_THAT(result.out, ContainsSubstring(text));
    CHECK(run("sockcalls", {"3"}).status == 2);
}

TEST_CASE("sockcalls: a signal ends a call that waits, with EINTR", "[sockcalls]") {
    Process calls("sockcalls", {});
    calls.write_stdin("socket inet\nbind 3 127.0.0.1 0\nlisten 3 5\naccept 3\n");
    REQUIRE(calls.wait_for_stdout("accept(3)"));
    CHECK(eventually([&] {  // the name stands there before it waits: it may not wait yet
        calls.signal(SIGINT);
        return calls.out().find("accept(3) = -1 EINTR (") != std::string::npos;
    }));
}
