// messages_test.cpp - TCPmsgecho: messages come back whole, whatever the stream did to them.
#include "catch.hpp"
#include "support.hpp"

using namespace test;

static std::string message(const std::string& text, long length = -1) {
    uint32_t n = htonl(uint32_t(length < 0 ? long(text.size()) : length));
    return std::string(reinterpret_cast<char*>(&n), sizeof n) + text;
}
static const std::string end_of_messages = message("");

static bool echoes(Client& client, const std::string& text) {
    return client.send(text) && client.receive(text.size()) == text;
}

TEST_CASE("messages: one split at every byte comes back when it is complete", "[messages]") {
    Process server("TCPmsgecho", {"--listen", "-v", "0"});
    Client client(server.port());
    std::string text = message("hello");
    for (size_t i = 0; i < text.size(); ++i) {
        REQUIRE(client.send(text.substr(i, 1)));
        REQUIRE(eventually([&] { return count(server.err(), " read ") == i + 1; }));  // one byte has been read, alone
        pollfd readable{client.fd(), POLLIN, 0};
        if (i + 1 < text.size()) CHECK(poll(&readable, 1, 0) == 0);  // and nothing has come back
    }
    CHECK(client.receive(text.size()) == text);
    CHECK(count(server.err(), " message ") == 1);
}

TEST_CASE("messages: many in one segment, and a half one at the end", "[messages]") {
    Process server("TCPmsgecho", {"--listen", "0"});
    Client client(server.port());
    std::string whole, half = message("the rest follows");
    for (int i = 0; i < 1000; ++i) whole += message(std::string(size_t(i % 7) + 1, char('a' + i % 26)));
    REQUIRE(client.send(whole + half.substr(0, 2)));
    CHECK(client.receive(whole.size()) == whole);
    REQUIRE(client.send(half.substr(2)));
    CHECK(client.receive(half.size()) == half);
}

TEST_CASE("messages: length zero ends, after the replies, by FIN even if more follows", "[messages]") {
    Process server("TCPmsgecho", {"--listen", "0"});
    for (auto& after : {std::string(), std::string(300'000, 'x')}) {
        Client client(server.port());
        std::string replies = message(std::string(60'000, 'r'));
        std::thread writer([&, after_zero = after] { client.send(replies + end_of_messages + after_zero); });
        CHECK(client.receive_all() == replies);
        CHECK(client.end() == Client::Fin);
        writer.join();
        CHECK(eventually([&] {
            return sockets("FIN_WAIT2", server.port(), client.local_port()) == 1;
        }));  // no RST: it reads what comes
    }
    CHECK(eventually([&] { return count(server.err(), " closed ") == 2; }));
    CHECK(count(server.err(), " messages=1\n") == 2);
}

TEST_CASE("messages: huge and negative lengths are refused, and the next client is served", "[messages]") {
    Process server("TCPmsgecho", {"--listen", "--max-message", "1000", "0"});
    for (long length : {1001L, 0x7fffffffL, 0x80000000L, 0xffffffffL}) {
        CAPTURE(length);
        Client bad(server.port());
        REQUIRE(bad.send(message("ok") + message("", length)));
        CHECK(bad.receive(6) == message("ok"));
        CHECK(bad.receive_all() == "");
        CHECK(bad.end() == Client::Fin);
        CHECK(server.wait_for_stderr("refused peer=127.0.0.1:" + std::to_string(bad.local_port()) + " message of " +
                                     std::to_string(length) + " bytes, at most 1000"));
        Client good(server.port());
        CHECK(echoes(good, message("still here")));
    }
    {
        Client whole(server.port());  // it is there completely, and too long all the same
        REQUIRE(whole.send(message(std::string(5000, 'w'))));
        CHECK(whole.receive_all() == "");
    }
    Client just(server.port());
    CHECK(echoes(just, message(std::string(1000, 'j'))));
}

TEST_CASE("messages: larger than the socket buffers, both directions at once", "[messages]") {
    Process server("TCPmsgecho", {"--listen", "--max-message", "8m", "0"});
    Client client(server.port());
    std::string data;
    for (int i = 0; i < 4; ++i) data += message(std::string(8 << 20, char('0' + i)));
    std::thread writer([&] { client.send(data + end_of_messages); });
    CHECK((client.receive_all() == data));
    CHECK(client.end() == Client::Fin);
    writer.join();
}

TEST_CASE("messages: no memory for one is that client's trouble alone", "[messages]") {
    if (getenv("UNDER") || (getenv("BIN") && strstr(getenv("BIN"), "san")))
        return;  // they need more address space than the limit leaves
    Process server("TCPmsgecho", {"--listen", "--max-message", "16m", "0"}, [] { limit(RLIMIT_AS, 24 << 20); });
    Client bad(server.port());
    std::thread writer([&] { bad.send(message(std::string(16 << 20, 'h'))); });
    CHECK(server.wait_for_stderr(" failed "));
    bad.receive_all();
    CHECK((bad.end() == Client::Fin || bad.end() == Client::Reset));
    writer.join();
    Client good(server.port());
    CHECK(echoes(good, message("good")));
}

TEST_CASE("messages: the client sends a line, and shows it before the next is typed", "[messages]") {
    Process server("TCPmsgecho", {"--listen", "-v", "0"});
    Process client("TCPmsgecho", {"127.0.0.1", std::to_string(server.port())});
    client.write_stdin("hello\n");
    REQUIRE(client.wait_for_stdout("hello\n"));
    client.write_stdin("world\n");
    REQUIRE(client.wait_for_stdout("hello\nworld\n"));
    client.close_stdin();
    CHECK(client.wait_exit() == 0);
    CHECK(client.out() == "hello\nworld\n");
    CHECK_THAT(client.err(), ContainsSubstring("fin the server has closed its side: rounds=2 mean-time=0."));
    CHECK_THAT(server.err(), ContainsSubstring("bytes=10 data=\"\\x00\\x00\\x00\\x06hello\\n\""));
    CHECK(eventually([&] { return count(server.err(), " messages=2\n") == 1; }));
}

TEST_CASE("messages: --split and --merge change the writes, and no message", "[messages]") {
    Process server("TCPmsgecho", {"--listen", "-v", "0"});
    std::string port = std::to_string(server.port());
    auto split = run("TCPmsgecho", {"-v", "--split", "1", "-o", "nodelay", "127.0.0.1", port}, "hello\n");
    CHECK(split.status == 0);
    CHECK(split.out == "hello\n");
    CHECK(count(split.err, " wrote ") == 10);
    CHECK(count(split.err, " bytes=1 data=") >= 10);
    CHECK(eventually([&] { return count(server.err(), " closed ") == 1; }));
    CHECK(count(server.err(), " message ") == 1);

    auto merged = run("TCPmsgecho", {"-v", "--merge", "3", "127.0.0.1", port}, "a\nb\nc\nd\n");
    CHECK(merged.status == 0);
    CHECK(merged.out == "a\nb\nc\nd\n");
    CHECK(count(merged.err, " wrote ") == 2);
    CHECK_THAT(merged.err, ContainsSubstring("wrote peer=127.0.0.1:" + port + " bytes=18 data="));
    CHECK(eventually([&] { return count(server.err(), " closed ") == 2; }));
    CHECK(count(server.err(), " message ") == 5);
    CHECK_THAT(server.err(), ContainsSubstring("bytes=18 data=\"\\x00\\x00\\x00\\x02a\\n\\x00\\x00\\x00\\x02b\\n"));
}

TEST_CASE("messages: length and text in two writes wait for each other's kernel, unless nodelay", "[messages]") {
    Process server("TCPmsgecho", {"--listen", "0"});
    std::string port = std::to_string(server.port()), input;
    for (int i = 0; i < 10; ++i) input += "line " + std::to_string(i) + "\n";
    auto mean = [&](std::vector<std::string> args) {
        args.insert(args.end(), {"127.0.0.1", port});
        auto result = run("TCPmsgecho", args, input);
        size_t at = result.err.find("mean-time=");
        REQUIRE(at != result.err.npos);
        CHECK(result.out == input);
        return std::stod(result.err.substr(at + 10));
    };
    double nagle = mean({"--split", "4"});
    CHECK(nagle > 0.015);  // 40 ms, but for some at the beginning
    CHECK(mean({"--split", "4", "-o", "nodelay"}) < nagle / 3);
    CHECK(mean({}) < nagle / 3);
}

TEST_CASE("messages: the client takes replies while it sends", "[messages]") {
    Process server("TCPmsgecho", {"--listen", "0"});
    std::string much;
    for (int i = 0; i < 600; ++i) much += std::string(60'000, char('a' + i % 26)) + "\n";
    auto result =
        run("TCPmsgecho", {"--merge", "1000", "127.0.0.1", std::to_string(server.port())}, much, 3 * patience);
    CHECK(result.status == 0);
    CHECK((result.out == much));
}

TEST_CASE("messages: what does not come back, or is another, is a failure", "[messages]") {
    Listener listener;
    Process client("TCPmsgecho", {"127.0.0.1", std::to_string(listener.port())});
    Client server = listener.accept();
    client.write_stdin("hello\n");
    CHECK(server.receive(10) == message("hello\n"));
    SECTION("FIN in the middle") {
        server.send(message("hello\n").substr(0, 7));
        server.close();
        CHECK(client.wait_exit() == 1);
        CHECK_THAT(client.err(), ContainsSubstring("fin the server has closed its side before it has answered"));
    }
    SECTION("RST") {
        server.reset();
        CHECK(client.wait_exit() == 1);
        CHECK_THAT(client.err(), ContainsSubstring("Connection reset by peer"));
    }
    SECTION("another message") {
        server.send(message("jello\n"));
        CHECK(client.wait_exit() == 1);
        CHECK_THAT(client.err(), ContainsSubstring("another message came back than was sent"));
    }
    SECTION("a longer message") {
        server.send(message("", 0x7fffffff));
        CHECK(client.wait_exit() == 1);
        CHECK_THAT(client.err(), ContainsSubstring("message of 2147483647 bytes"));
    }
    SECTION("more than was sent") {
        server.send(message("hello\n") + message("world\n"));
        CHECK(client.wait_exit() == 1);
    }
    CHECK_THAT(client.out(), !ContainsSubstring("jello"));
}

TEST_CASE("messages: a wrong command line is one clear line and exit status 2", "[messages]") {
    for (auto& [args, says] : std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{}, "a host is missing"},
             {{"127.0.0.1", "0"}, "port must be 1..65535, not \"0\""},
             {{"--split", "0", "127.0.0.1"}, "--split must be 1..1m, not \"0\""},
             {{"--merge", "0", "127.0.0.1"}, "--merge must be 1..1000, not \"0\""},
             {{"--listen", "127.0.0.1", "0"}, "--listen takes a port"},
             {{"--listen", "--max-message", "17m"}, "--max-message must be 1..16m, not \"17m\""},
             {{"--listen", "localhost"}, "port must be 0..65535, not \"localhost\""}}) {
        CAPTURE(says);
        auto result = run("TCPmsgecho", args);
        CHECK(result.status == 2);
        CHECK_THAT(result.err, ContainsSubstring("TCPmsgecho: " + says));
        CHECK(count(result.err, "\n") == 1);
    }
}
