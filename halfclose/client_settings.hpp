// client_settings.hpp - what halfclose-client is told on its command line.
#pragma once
#include "journal.hpp"

struct Client_settings {
    std::string server = "127.0.0.1", output, end = "half-close";
    int port = 4000;
    tcp::Duration write_timeout = std::chrono::minutes(10), read_timeout = std::chrono::minutes(10);
    size_t buffer = 1024;
    bool echo = false, stay = false;
    std::optional<size_t> expected;
    std::vector<tcp::Socket_option> options;

    void set_end(const char* how) {
        end = how;
        for (const char* known : {"half-close", "close", "shut-rd", "none"}) {
            if (end == known) return;
        }
        throw tcp::Usage_error("--end must be half-close, close, shut-rd or none, not " + tcp::printable(how));
    }
    void parse(int argc, char** argv) {
        std::vector<tcp::Option> table = {
            {'s', "server", "HOST:PORT", "connect to it (127.0.0.1:4000)", [&](auto v) { server = v; }},
            {'w', "write-timeout", "D", "close our half D after the start (10m)",
             [&](auto v) { write_timeout = tcp::duration("--write-timeout", v, "0", "24h"); }},
            {'r', "read-timeout", "D", "stop reading D after the start, and leave (10m)",
             [&](auto v) { read_timeout = tcp::duration("--read-timeout", v, "0", "24h"); }},
            {'b', "buf-size", "SIZE", "bytes for each recv(2) (1024)",
             [&](auto v) { buffer = tcp::bytes("--buf-size", v, "1", "1g"); }},
            {0, "echo", nullptr, "send back what comes, until our FIN", [&](auto) { echo = true; }},
            {0, "end", "HOW", "at -w: half-close (default), close, shut-rd, none", [&](auto v) { set_end(v); }},
            {0, "stay", nullptr, "after the server's FIN stay, and close at -w", [&](auto) { stay = true; }},
            {0, "expect-size", "SIZE", "it is a failure if not SIZE bytes come",
             [&](auto v) { expected = tcp::bytes("--expect-size", v, "0", "1000000g"); }},
            {0, "output", "FILE", "write what comes there", [&](auto v) { output = v; }},
            tcp::socket_options_go_to(options)};
        journal.add_options(table);
        auto operands = tcp::parse_options(argc, argv, "[options] [HOST [PORT]]", table, 0, 2);
        if (operands.size() > 0) server = operands[0];
        if (operands.size() > 1) port = tcp::number("port", operands[1], "1", "65535");
        port = tcp::take_port(server, port);
        if (server.empty()) server = "0.0.0.0";
    }
};
