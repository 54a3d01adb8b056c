// server_settings.hpp - what halfclose-server is told on its command line: which file, and how fast.
#pragma once
#include "../seqserver/server.hpp"
#include "progress.hpp"

inline constexpr tcp::Duration for_ever = tcp::Duration::max();

struct Server_settings : tcp::Server_options {
    std::string file{};
    size_t chunk = 1024, rate = 0, max_children = 4096;
    tcp::Duration interval{};
    bool half_close = false;

    void parse(int argc, char** argv) {
        std::vector<tcp::Option> table = {
            {'f', "file", "FILE", "the file to send", [&](auto v) { file = v; }},
            {'c', "chunk", "SIZE", "bytes for each send(2), 0: the whole file (1024)",
             [&](auto v) { chunk = tcp::bytes("--chunk", v, "0", "1g"); }},
            {'i', "interval", "D", "wait D after each chunk (0)",
             [&](auto v) { interval = tcp::duration("--interval", v, "0", "24h"); }},
            {0, "rate", "SIZE", "at most SIZE bytes a second (0: any)",
             [&](auto v) { rate = tcp::bytes("--rate", v, "0", "100g"); }},
            {'l', "listen", "ADDR:PORT", "listen there (0.0.0.0:4000)", [&](auto v) { address = v; }},
            {'a', "address", "ADDR", "the same, for those who know the other servers", [&](auto v) { address = v; }},
            {0, "half-close", nullptr, "after the file read on, until the client's FIN",
             [&](auto) { half_close = true; }},
            {0, "idle-timeout", "D", "give up a client that is stuck for D (0: never)",
             [&](auto v) { idle_timeout = tcp::duration("--idle-timeout", v, "0", "24h"); }},
            {'m', "max-children", "N", "at most N at once, the queue has the rest (4096)",
             [&](auto v) { max_children = tcp::number("--max-children", v, "1", "100000"); }},
            tcp::socket_options_go_to(socket_options)};
        journal.add_options(table);
        auto operands = tcp::parse_options(argc, argv, "[options] [FILE [PORT]]", table, 0, 2);
        if (operands.size() > 0) file = operands[0];
        if (operands.size() > 1) port = tcp::number("port", operands[1], "0", "65535");
        port = tcp::take_port(address, port);
        if (address.empty()) address = "0.0.0.0";
        if (file.empty()) throw tcp::Usage_error("which file? -f FILE");
        if (idle_timeout.count() == 0) idle_timeout = for_ever;
    }

    /// Is there anything to do between two chunks?
    bool slowly() const { return rate || interval.count() || journal.level == DEBUG; }
    /// Bytes from one look at the clock to the next: a chunk.
    size_t step(size_t file_size) const {
        if (chunk) return chunk;
        if (rate) return std::min<size_t>(rate / 10 + 1, 64 * 1024);
        return std::max<size_t>(file_size, 1);
    }
    /// When the next chunk may leave, if the first one has left at `start`.
    Clock::time_point next_chunk(Clock::time_point start, size_t sent) const {
        auto next = start;
        if (rate) next += std::chrono::nanoseconds(int64_t(1e9 * sent / rate));
        if (interval.count()) next = std::max(next, Clock::now() + interval);
        return next;
    }
};
