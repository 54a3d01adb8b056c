// readiness_test.cpp - readiness: how often epoll_wait() returns for what has come.
#include "catch.hpp"
#include "support.hpp"

using namespace test;

// The log without names and times: "ready unread=6", "read bytes=3", ...
static std::string events(const Process& server) {
    std::string all;
    std::istringstream lines(server.err());
    for (std::string line; std::getline(lines, line);) {
        size_t verb = line.find(' ', line.find(": ") + 2), peer = line.find(" peer="), rest = line.find(' ', peer + 1);
        if (peer != line.npos)
            all += line.substr(verb + 1, peer - verb - 1) + (rest == line.npos ? "" : line.substr(rest)) + "\n";
    }
    return all;
}

TEST_CASE("readiness: level-triggered tells of what is left, edge-triggered only of what comes", "[readiness]") {
    bool edge = GENERATE(false, true);
    Process server("readiness", edge ? std::vector<std::string>{"--edge", "0"} : std::vector<std::string>{"0"});
    Client client(server.port());
    REQUIRE(client.send("six..."));
    std::string seen = "accepted\nready unread=6\nread bytes=3\n";
    if (!edge) seen += "ready unread=3\nread bytes=3\n";
    CHECK(eventually([&] { return events(server) == seen; }));
    REQUIRE(client.send("more.."));
    seen += edge ? "ready unread=9\nread bytes=3\n" : "ready unread=6\nread bytes=3\nready unread=3\nread bytes=3\n";
    CHECK(eventually([&] { return events(server) == seen; }));
    client.close();
    if (edge) CHECK(eventually([&] { return sockets("CLOSE_WAIT", server.port()) == 1; }));
    seen += edge ? "ready unread=6\nread bytes=3\n" : "ready unread=0\nfin\n";
    CHECK(eventually([&] { return events(server) == seen; }));
    CHECK(sockets("CLOSE_WAIT", server.port()) == size_t(edge));
}

TEST_CASE("readiness: --drain reads until EAGAIN, and serves the next client", "[readiness]") {
    Process server("readiness", {"--edge", "--drain", "--bytes", "4", "0"});
    for (int clients : {1, 2}) {
        Client client(server.port());
        REQUIRE(client.send("six..."));
        auto of_each = "accepted\nready unread=6\nread bytes=4\nread bytes=2\n";
        CHECK(eventually([&] { return count(events(server), of_each) == size_t(clients); }));
        client.shutdown_write();
        CHECK(client.receive_all() == "");
        CHECK(client.end() == Client::Fin);
    }
    CHECK(run("readiness", {"--bytes", "0"}).status == 2);
    CHECK(run("readiness", {"65536"}).status == 2);
}
