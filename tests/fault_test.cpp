// faultserver and faultclient: every command, however it is cut up; bounds; leaks seen through /proc; random bytes.
#include "catch.hpp"
#include "support.hpp"

#include <random>

using namespace test;
using std::string;

namespace {

Process fault_server(std::vector<string> args = {}) {
    args.push_back("0");
    return Process("faultserver", args);
}
// Does it answer a new client?
bool answers(int port) {
    Client client(port);
    client.send("ping\n");
    return client.receive(5) == "pong\n";
}
const auto moment = std::chrono::milliseconds(300);

}  // namespace

TEST_CASE("faultserver: commands, with every line end, split and merged", "[fault]") {
    Process server("faultserver", {"0"});
    Client client(server.port());
    SECTION("line ends") {
        client.send("ping\n");
        CHECK(client.receive(5) == "pong\n");
        client.send("ping\r\n");
        CHECK(client.receive(6) == "pong\r\n");
        client.send("ping");  // none: understood after a moment of silence
        CHECK(client.receive(4) == "pong");
        client.send("ping!");
        CHECK(client.receive(5) == "pong!");
    }
    SECTION("split") {
        for (char c : string("ping\r\n")) client.send(string(1, c));
        CHECK(client.receive(6) == "pong\r\n");
    }
    SECTION("merged, in order") {
        client.send("ping\nbusy 10ms\nfork\nping\r\nclose\nping\n");
        CHECK(client.receive_all() == "pong\n10ms\nok\npong\r\n");
    }
    SECTION("no line end, and then a FIN") {
        client.send("ping");
        client.shutdown_write();
        CHECK(client.receive_all() == "pong");
        CHECK(client.end() == Client::Fin);
    }
    SECTION("big, also as 4096 times a") {
        client.send("big\n");
        CHECK(client.receive(8192).substr(0, 4) == "bog.");
        client.send(string(4096, 'a'));
        CHECK(client.receive(8192).size() == 8192);
        client.send("ping\n");
        CHECK(client.receive(5) == "pong\n");
    }
    SECTION("ways to end") {
        string how = GENERATE("close\n", "reset\n", "bug 10ms\n", "die\n");
        client.send(how);
        CHECK(client.receive_all() == "");
        CHECK(client.end() == (how == "reset\n" ? Client::Reset : Client::Fin));
    }
    SECTION("a half-close still obeys") {
        client.send("half\n");
        CHECK(client.receive_all() == "");
        client.send("close\n");
        CHECK(server.wait_for_stderr("data=\"close\""));
        CHECK(server.wait_for_stderr("closed"));
    }
    SECTION("a grandchild that holds the socket holds back the FIN") {
        client.send("hold 400ms\nclose\n");
        CHECK(client.receive(8) == "held by ");
        REQUIRE(server.wait_for_stderr("closed"));
        client.receive_all();  // until the grandchild ends
        CHECK(client.end() == Client::Fin);
    }
    SECTION("a grandchild at a time, and none outlives its worker") {
        client.send("hold 20s\n");
        REQUIRE(client.receive(8) == "held by ");
        auto workers = children_of(server.pid());
        REQUIRE(workers.size() == 1);
        auto held = children_of(workers[0]);
        REQUIRE(held.size() == 1);
        string pid = std::to_string(held[0]) + "\n";
        CHECK(client.receive(pid.size()) == pid);
        client.send("hold 1s\n");
        CHECK_THAT(client.receive(9), ContainsSubstring("? hold: "));
        bool dies = GENERATE(true, false);
        client.send(dies ? "die\n" : "close\n");
        if (dies) {
            CHECK(eventually([&] { return waitpid(held[0], nullptr, WNOHANG) != 0; }));  // orphans are ours (main.cpp)
        } else {
            REQUIRE(server.wait_for_stderr("closed"));
            CHECK(children_of(server.pid()) == workers);  // it counts until its grandchild is gone
            kill(held[0], SIGTERM);
        }
        CHECK(eventually([&] { return children_of(server.pid()).empty(); }));
    }
    SECTION("the bytes of a command are those that came") {
        client.send("ping\r\nping\n");
        CHECK(server.wait_for_stderr("bytes=6 data=\"ping\""));
        CHECK(server.wait_for_stderr("bytes=5 data=\"ping\""));
    }
    SECTION("drip") {
        client.send("drip 60ms\n");
        CHECK(client.receive(4) == "...\n");
    }
    CHECK(answers(server.port()));
}

TEST_CASE("faultserver: what cannot be obeyed gets a line that begins with ?", "[fault]") {
    Process server("faultserver", {"--max-busy", "300ms", "0"});
    Client client(server.port());
    auto reply = [&](const string& text) {
        client.send(text);
        string line;
        while (line.empty() || line.back() != '\n') {
            string c = client.receive(1);
            if (c.empty()) break;
            line += c;
        }
        return line;
    };
    CHECK(reply("nonsense\n") == "? no command \"nonsense\"; help lists them\n");
    CHECK_THAT(reply("\x1b[2J\x01\n"), ContainsSubstring("\\x1b[2J\\x01"));
    CHECK_THAT(reply("busy\n"), ContainsSubstring("must be"));
    CHECK_THAT(reply("busy -1\n"), ContainsSubstring("must be"));
    CHECK_THAT(reply("bug 99999999999999999999999\n"), ContainsSubstring("must be"));
    CHECK_THAT(reply("busy 301ms\n"), ContainsSubstring("--max-busy allows"));
    CHECK_THAT(reply(string(5000, 'x') + "\n"), ContainsSubstring("longer than 4096"));
    CHECK(reply("ping\n") == "pong\n");
    SECTION("without a line end silence ends it too, and the next command is another") {
        CHECK(reply("nonsense") == "? no command \"nonsense\"; help lists them\n");
        CHECK(reply("ping\n") == "pong\n");
        CHECK_THAT(server.err(), ContainsSubstring("bytes=8 data=\"nonsense\""));
    }
    SECTION("or a FIN") {
        client.send("pi");
        client.shutdown_write();
        CHECK(client.receive_all() == "? no command \"pi\"; help lists them\n");
        CHECK(client.end() == Client::Fin);
        CHECK(server.wait_for_stderr("bytes=2 data=\"pi\""));
    }
    SECTION("nor is the rest of a line that is too long a command") {
        client.send(string(5000, 'x'));
        CHECK_THAT(client.receive(3 + 23), ContainsSubstring("longer than 4096"));
        client.send("ping" + string(3 * 4096, 'a') + "\nping\n");
        CHECK(client.receive(5) == "pong\n");
    }
    SECTION("with --silent nothing comes back") {
        Process silent("faultserver", {"--silent", "0"});
        Client other(silent.port());
        other.send("nonsense\nbusy x\n" + string(5000, 'x') + "\nping\n");
        other.shutdown_write();
        CHECK(other.receive_all() == "pong\n");
    }
    SECTION("commands in a row share the bound") {
        client.send("busy 200ms\nbusy 200ms\nping\n");
        string all = client.receive(6 + 1) + client.receive(1, moment);
        CHECK_THAT(all + reply(""), ContainsSubstring("--max-busy allows"));
    }
    SECTION("a client that never reads is given up") {
        Client deaf(server.port(), 4096);
        std::thread writer([&] {
            for (int i = 0; i < 4000 && deaf.send("big\n"); ++i) {}
        });
        CHECK(server.wait_for_stderr("failed write"));
        writer.join();
    }
}

TEST_CASE("faultserver: leaks, as /proc shows them", "[fault]") {
    SECTION("none: the parent has what it had, and the client gets its FIN") {
        Process server = fault_server();
        int port = server.port();
        REQUIRE(answers(port));
        REQUIRE(eventually([&] { return children_of(server.pid()).empty(); }));
        size_t before = open_descriptors(server.pid());
        for (int i = 0; i < 5; ++i) REQUIRE(answers(port));
        CHECK(eventually([&] { return open_descriptors(server.pid()) == before; }));
    }
    SECTION("connected: the parent keeps each socket, no FIN leaves, CLOSE_WAIT stays") {
        Process server = fault_server({"--leak", "connected"});
        int port = server.port();
        size_t before = open_descriptors(server.pid());
        Client client(port);
        client.send("close\n");
        REQUIRE(server.wait_for_stderr("closed"));
        CHECK(client.receive(1, moment) == "");
        CHECK(client.end() == Client::Timeout);
        CHECK(open_descriptors(server.pid()) == before + 1);
        CHECK(sockets("ESTABLISHED", port) == 1);
        client.shutdown_write();
        CHECK(eventually([&] { return sockets("CLOSE_WAIT", port) == 1 && children_of(server.pid()).empty(); }));
        server.signal(SIGTERM);
        CHECK(server.wait_exit() == 0);
        CHECK(client.receive_all() == "");
        CHECK(client.end() == Client::Fin);
    }
    SECTION("connected, until the descriptors are used up: said once, and SIGTERM is still heard") {
        Process server("faultserver", {"--leak", "connected", "0"}, [] { limit(RLIMIT_NOFILE, 16); });
        int port = server.port();
        std::vector<Client> clients;
        for (int i = 0; i < 16; ++i) clients.emplace_back(port);
        REQUIRE(server.wait_for_stderr("waiting accept"));
        server.signal(SIGTERM);
        CHECK(server.wait_exit() == 0);
    }
    SECTION("both, by the seed's bare -L") {
        auto args = GENERATE(values<std::vector<string>>({{"0", "-L"}, {"--leak", "--linger=-1", "0"}}));
        Process server("faultserver", args);
        int port = server.port();
        size_t before = open_descriptors(server.pid());
        Client client(port);
        client.send("close\n");
        REQUIRE(server.wait_for_stderr("closed"));
        CHECK(open_descriptors(server.pid()) == before + 1);
        auto workers = children_of(server.pid());
        CHECK(workers.size() == 1);
        server.signal(SIGTERM);
        CHECK(server.wait_exit() == 0);
        CHECK_THAT(server.err(), ContainsSubstring("workers-left=1"));
        CHECK(sockets("LISTEN", port) == 1);
        for (pid_t pid : workers) {
            kill(pid, SIGTERM);
            CHECK(eventually([&] { return waitpid(pid, nullptr, WNOHANG) != 0; }));  // orphans are ours (main.cpp)
        }
    }
    SECTION("listening: the worker listens on after the server's end") {
        Process server = fault_server({"--leak", "listening"});
        int port = server.port();
        {
            Client client(port);
            client.send("ping\n");
            REQUIRE(client.receive(5) == "pong\n");
            auto workers = children_of(server.pid());
            REQUIRE(workers.size() == 1);
            server.signal(SIGKILL);
            REQUIRE(server.wait_exit() >= 0);
            CHECK(sockets("LISTEN", port) == 1);
            Client second(port);  // connects to a process that does not accept
            second.send("ping\n");
            CHECK(second.receive(5, moment) == "");
            client.close();  // now the worker accepts
            CHECK(second.receive(5) == "pong\n");
            second.close();
            for (size_t i = 0; i < workers.size(); ++i)  // it has children by now that listen as well, and so may they
                for (pid_t child : children_of(workers[i])) workers.push_back(child);
            for (pid_t pid : workers) kill(pid, SIGTERM);
            CHECK(eventually([&] { return sockets("LISTEN", port) == 0; }));
            for (pid_t pid : workers)
                eventually([&] { return waitpid(pid, nullptr, WNOHANG) != 0; });  // orphans are ours (main.cpp)
        }
    }
}

TEST_CASE("faultserver: its other options", "[fault]") {
    SECTION("linger 0: every close is a RST") {
        Process server = fault_server({"--linger", "0"});
        Client client(server.port());
        client.send("close\n");
        client.receive_all();
        CHECK(client.end() == Client::Reset);
    }
    SECTION("linger -1 is the default") {
        Process server = fault_server({"--linger=-1"});
        Client client(server.port());
        client.send("close\n");
        client.receive_all();
        CHECK(client.end() == Client::Fin);
    }
    SECTION("max-workers: one more waits in the queue") {
        Process server = fault_server({"--max-workers", "1"});
        Client first(server.port()), second(server.port());
        first.send("ping\n");
        REQUIRE(first.receive(5) == "pong\n");
        second.send("ping\n");
        CHECK(second.receive(5, moment) == "");
        first.close();
        CHECK(second.receive(5) == "pong\n");
    }
    SECTION("listen-queue 0: one connection waits") {
        Process server = fault_server({"--listen-queue", "0"});
        CHECK(server.port() > 0);
        CHECK_THAT(server.err(), ContainsSubstring("backlog=0"));
    }
    SECTION("slow: the second client waits for the first one's pause") {
        auto [slow, least] =
            GENERATE(table<string, int>({{"400ms", 400}, {"1", 1000}}));  // the seed's numbers are seconds
        Process server = fault_server({"--slow", slow});
        int port = server.port();
        auto start = Clock::now();
        CHECK(answers(port));
        CHECK(answers(port));
        CHECK(Clock::now() - start >= std::chrono::milliseconds(least));
    }
    SECTION("slow: the parent's copy of the socket does not wait with it") {
        Process server = fault_server({"--slow", "1h"});
        Client client(server.port());
        client.send("close\n");
        CHECK(client.receive_all() == "");
        CHECK(client.end() == Client::Fin);
    }
    SECTION("verbose, and the seed's -D: the answers too") {
        string option = GENERATE("-v", "-D", "--debug");
        Process server = fault_server({option});
        CHECK(answers(server.port()));
        CHECK(server.wait_for_stderr(" wrote peer="));
    }
    SECTION("wrong options") {
        for (auto& args : std::vector<std::vector<string>>{{"--leak", "some"},
                                                           {"--max-busy", "1ms"},
                                                           {"--linger", "x"},
                                                           {"--slow", "2x"},
                                                           {"--max-workers", "0"}}) {
            auto result = run("faultserver", args);
            CHECK(result.status == 2);
            CHECK(result.err.rfind("faultserver: " + args[0] + " must be", 0) == 0);
            CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
        }
    }
}

TEST_CASE("faultserver: random bytes", "[fault]") {
    Process server("faultserver", {"--max-busy", "100ms", "--idle-timeout", "200ms", "0"});
    int port = server.port();
    std::mt19937 random(20261121);
    const string words[] = {
        "ping",          "big",      "busy 1ms", "bug 5ms",     "half", "fork", "drip 20ms",     "hold 1ms",
        "reset",         "help",     "\n",       "\r\n",        "\r",   " ",    "999999999999s", string(5000, 'a'),
        string(1, '\0'), "\xff\xfe", "%n%s",     "\x1b]0;x\x07"};
    for (int i = 0; i < 300; ++i) {
        string text;
        for (int n = int(random() % 12); n > 0; --n)
            text += random() % 3 ? words[random() % std::size(words)] : string(1, char(random()));
        Client client(port);
        for (size_t at = 0; at < text.size();) {
            size_t size = std::min<size_t>(text.size() - at, 1 + random() % 200);
            if (!client.send(text.substr(at, size))) break;
            at += size;
        }
        if (random() % 2) client.shutdown_write();
        if (random() % 2) client.reset();
    }
    CHECK(answers(port));
    CHECK(server.running());
    CHECK(eventually([&] { return children_of(server.pid()).empty(); }));
    for (string trouble : {"runtime error", "Sanitizer", "terminate"})
        CHECK(server.err().find(trouble) == string::npos);
    for (char c : server.err())
        if ((c < ' ' && c != '\n') || c > '~') {
            CHECK(false);
            break;
        }
}

TEST_CASE("faultclient drives the server and itself", "[fault]") {
    Process server("faultserver", {"0"});
    string port = std::to_string(server.port());
    auto client = [&](const string& input, std::vector<string> args = {}) {
        args.insert(args.end(), {"127.0.0.1", port});
        return run("faultclient", args, input);
    };
    SECTION("an ordinary session") {
        auto result = client("ping\nbig\nbusy 10ms\nbye\n");
        CHECK(result.status == 0);
        CHECK(result.out == "pong\n8192 bytes\n10ms\n");
    }
    SECTION("line ends") {
        CHECK(client("ping\nbye\n", {"--eol", "crlf"}).out == "pong\n");
        CHECK(client("ping\nbye\n", {"--eol", "none"}).out == "pong\n");
    }
    SECTION("a timeout, and then the FIN: the server's late answer meets nobody") {
        auto [timeout, busy] = GENERATE(table<string, string>({{"50ms", "300ms"}, {"1", "2"}}));
        auto result = client("timeout " + timeout + "\nbusy " + busy + "\n");
        CHECK(result.out == "timeout!\n");
        CHECK(result.status == 0);
        CHECK(eventually([&] { return sockets("CLOSE_WAIT", server.port()) <= 1; }));
    }
    SECTION("a short read leaves the rest unread, and close() resets") {
        auto result = client("short 10\nbig\nbye\n");
        CHECK(result.out == "bog.......\n");
        CHECK_THAT(result.err, !ContainsSubstring("unread=0"));
        CHECK(server.wait_for_stderr("reset"));
    }
    SECTION("linger 0 resets; shutdown half-closes; die ends without a word") {
        client("linger 0\nbye\n");
        CHECK(server.wait_for_stderr("reset"));
        CHECK(client("shutdown wr\nping\n").status == 1);
        CHECK(client("die\n").status == 1);
    }
    SECTION("big at connect, as the seed asks for it") {
        CHECK(client("ping\nbye\n", {"--big"}).out == "8192 bytes\npong\n");
    }
    SECTION("debug: each read") {
        CHECK_THAT(client("ping\nbye\n", {"--debug"}).err,
                   ContainsSubstring(" read peer=") && ContainsSubstring("bytes=5"));
    }
    SECTION("bad local commands are said and survived") {
        auto result = client("timeout soon\nshort 0\nshutdown all\n\nping\nbye\n");
        CHECK(result.out == "pong\n");
        CHECK_THAT(result.err, ContainsSubstring("timeout must be") && ContainsSubstring("short must be") &&
                                   ContainsSubstring("shutdown must be"));
    }
}

TEST_CASE("faultclient, with a server of the test", "[fault]") {
    Listener listener;
    std::vector<string> server = {"127.0.0.1", std::to_string(listener.port())};
    auto with = [&](std::vector<string> args) {
        args.insert(args.end(), server.begin(), server.end());
        return args;
    };
    SECTION("passive: its FIN comes right behind the command, and the answer after it is the last") {
        Process client("faultclient", with({}));
        Client connection = listener.accept();
        client.write_stdin("passive\nping\nping\n");
        CHECK(connection.receive_all() == "ping\n");
        CHECK(connection.end() == Client::Fin);
        connection.send("pong\n");
        CHECK(client.wait_exit() == 0);
        CHECK(client.out() == "pong\n");
    }
    SECTION("--connect: the server that does not answer is left with a FIN or a RST") {
        auto [how, end] = GENERATE(
            table<string, Client::End>({{"--connect=close", Client::Fin}, {"--connect=reset", Client::Reset}}));
        Process client("faultclient", with({how, "--timeout", "100ms"}));
        Client connection = listener.accept();
        CHECK(connection.receive_all() == "ping\n");
        CHECK(connection.end() == end);
        CHECK(client.wait_exit() == 1);
        CHECK(client.out() == "timeout!\n");
    }
    SECTION("--connect: with an answer the session goes on") {
        Process client("faultclient", with({"--connect=reset", "--eol", "none"}));
        Client connection = listener.accept();
        CHECK(connection.receive(4) == "ping");
        connection.send("pong");
        client.write_stdin("bye\n");
        CHECK(client.wait_exit() == 0);
        CHECK(connection.receive_all() == "");
        CHECK(connection.end() == Client::Fin);
    }
    SECTION("--big: 4096 times a, without a line end") {
        Process client("faultclient", with({"--big", "--connect", "close", "--timeout", "100ms"}));
        Client connection = listener.accept();
        CHECK(connection.receive_all() == string(4096, 'a'));
        CHECK(client.wait_exit() == 1);
    }
    SECTION("what cannot be meant") {
        CHECK_THAT(run("faultclient", with({"--connect", "often"})).err,
                   ContainsSubstring("--connect must be close or"));
        CHECK(run("faultclient", with({"--eol", "cr"})).status == 2);
    }
}
