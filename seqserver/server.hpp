// server.hpp - what every server of this suite is told on its command line, and has to bear: who holds the port, signals
// while it waits, a kernel that is out of descriptors. The accept loop and what it is about stand in the programs.
#pragma once
#include "../program.hpp"
#include "states.hpp"

#include <sys/mman.h>
#include <sys/stat.h>

#include <csignal>
#include <map>

namespace tcp {

// ---- the log of a server ------------------------------------------------------------------------------------------

/// A zeroed T in memory that fork() shares instead of copying (mmap(2)). All lie side by side, 16 KiB at most together:
/// a forked child pays for each page that it is the first to touch.
inline void* shared_with_children(size_t size) {
    static char* next =
        static_cast<char*>(mmap(nullptr, 16384, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    if (next == MAP_FAILED) fail("mmap");
    return std::exchange(next, next + (size + 63) / 64 * 64);
}
template <typename T>
T& shared_with_children() {
    return *new (shared_with_children(sizeof(T))) T;
}

/// Whoever reads our log may stop (a full pipe, Ctrl-S). From here on that stops nobody here: lines without room are lost,
/// and counted: poll(2) is asked before each. Between that and the write others may fill a pipe or terminal, so it gets an open
/// file description of our own; O_NONBLOCK on the one that we were given would be everybody's who has it.
inline void log_without_waiting(int fd = STDERR_FILENO) {
    struct stat status;
    if (fstat(fd, &status) || S_ISREG(status.st_mode)) return;
    if (!lost_lines) lost_lines = &shared_with_children<std::atomic<uint64_t>>();
    string path = "/proc/self/fd/" + std::to_string(fd);
    Descriptor own(open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (own.fd() >= 0) dup2(own.fd(), fd);
}

/// For --verbose: "read peer=... bytes=... data=...".
inline void log_data(const char* verb, const Connection& connection, const char* data, size_t size) {
    log(verb, "peer=%s bytes=%zu data=%s", connection.peer.c_str(), size, printable(data, size).c_str());
}
/// What ended one connection and no more than that: "reset ..." after the peer's RST, "failed ..." for the rest.
inline void log_failure(const std::exception& error) {
    auto* system = dynamic_cast<const std::system_error*>(&error);
    log(system && system->code().value() == ECONNRESET ? "reset" : "failed", "%s", error.what());
}

// ---- the listening socket -----------------------------------------------------------------------------------------

/// " (the port has 1 LISTEN: ss -ltnp shows whose)": the sockets that make bind(2) or listen(2) say EADDRINUSE.
inline string port_holders(int wanted) {
    // by addresses and inode: a busy table, read piece by piece, shows rows twice
    std::map<string, const char*> states;
    for (const char* path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
        FILE* table = fopen(path, "re");
        char line[512], local[64], remote[64], inode[32];
        while (table && fgets(line, sizeof line, table)) {
            unsigned port = 0, state = 0;
            sscanf(line, " %*d: %*[^:]:%x", &port);
            if (int(port) != wanted) continue;
            if (sscanf(line, " %*d: %63s %63s %x %*s %*s %*s %*s %*s %31s", local, remote, &state, inode) < 4) continue;
            states[string(local) + remote + inode] = state_name(state);
        }
        if (table) fclose(table);
    }
    std::map<string, int> held;
    for (auto& [ends, state] : states) ++held[state];
    string text;
    for (auto& [state, count] : held)
        text += (text.empty() ? " (the port has " : ", ") + std::to_string(count) + " " + state;
    if (held.empty()) return "";
    return text + (held.count("LISTEN") ? ": ss -ltnp shows whose)" : ": old connections hold it)");
}

/// tcp::accept for a server that goes on whatever comes: out of descriptors or memory it says so, once, and waits 100 ms,
/// since the connection stays in the queue and would be offered again at once.
inline std::optional<Connection> accept_or_wait(const Descriptor& listener) {
    static std::atomic<bool> starved{false};
    try {
        auto connection = accept(listener);
        if (starved) starved = false;  // written only where it changes: after a fork() a write copies the page
        return connection;
    } catch (const std::system_error& error) {
        int reason = error.code().value();
        if (reason != EMFILE && reason != ENFILE && reason != ENOBUFS && reason != ENOMEM) throw;
        if (!starved.exchange(true)) log("waiting", "%s", error.what());
        poll(nullptr, 0, 100);
        return {};
    } catch (const std::bad_alloc&) {
        log("failed", "accept: no memory for a client");
        return {};
    }
}

/// What every server is told on its command line.
struct Server_options {
    int port;  // set it to the program's default
    string address = "0.0.0.0";
    int backlog = SOMAXCONN;
    bool reuseaddr = true, verbose = false;
    Duration idle_timeout{};
    std::vector<Socket_option> socket_options{};

    /// The common options, and the program's own after them.
    std::vector<Option> options(const std::vector<Option>& own) {
        std::vector<Option> table = {
            {'a', "address", "ADDR", "listen on ADDR, ADDR:PORT, [IPV6]:PORT (0.0.0.0)", [&](auto v) { address = v; }},
            {'b', "backlog", "N", "accept queue: N and one more (4096)",
             [&](auto v) { backlog = number("--backlog", v, "0", "65535"); }},
            {'i', "idle-timeout", "D", "give up a client silent for D (0: never)",
             [&](auto v) { idle_timeout = duration("--idle-timeout", v, "0", "24h"); }},
            {0, "no-reuseaddr", nullptr, "bind without SO_REUSEADDR (lab 03)", [&](auto) { reuseaddr = false; }},
            {'v', "verbose", nullptr, "log the data too", [&](auto) { verbose = true; }},
            socket_options_go_to(socket_options)};
        table.insert(table.end(), own.begin(), own.end());
        return table;
    }
    /// Reads "[options] [port]".
    void parse(int argc, char** argv, const std::vector<Option>& own = {}) {
        auto operands = parse_options(argc, argv, "[options] [port]", options(own), 0, 1);
        if (!operands.empty()) port = number("port", operands[0], "0", "65535");
        port = take_port(address, port);
    }
    /// The address to listen on: numbers, so that a server needs no resolver, or "localhost".
    Address listen_address() const {
        auto found = numeric_address(address == "localhost" ? "127.0.0.1" : address, port);
        if (!found)
            throw Usage_error("--address must be numbers, as 10.98.0.1 or ::1, or localhost, not " +
                              printable(address));
        return *found;
    }
    /// The listening socket; then, and not before, logs "listening on ADDR:PORT". `port` is what it got, and
    /// another call listens there too.
    Descriptor listen() try {
        Descriptor listener = listening_socket(listen_address(), backlog, reuseaddr, socket_options);
        Address local = local_address(listener);
        port = local.port();
        log("listening", "on %s backlog=%d", local.text().c_str(), backlog);
        return listener;
    } catch (const std::system_error& error) {
        if (error.code().value() != EADDRINUSE) throw;
        throw std::runtime_error(error.what() + port_holders(listen_address().port()));
    }
    /// The next connection, as accept_or_wait() gives it, with the idle timeout.
    std::optional<Connection> accept(const Descriptor& listener) const {
        auto connection = accept_or_wait(listener);
        if (connection && idle_timeout.count()) set_idle_timeout(connection->socket, idle_timeout);
        return connection;
    }
};

// ---- signals ------------------------------------------------------------------------------------------------------

/// The signals given are held back everywhere but in wait(): none is lost between a look at a flag and going to sleep, and
/// a handler may touch whatever the loop touches (ppoll(2); Kerrisk, TLPI 63.5).
class Signals {
    sigset_t outside_{};

public:
    Signals(std::initializer_list<std::pair<int, void (*)(int)>> handlers) {
        sigset_t held;
        sigemptyset(&held);
        for (auto& [number, handler] : handlers) {
            signal(number, handler);
            sigaddset(&held, number);
        }
        sigprocmask(SIG_BLOCK, &held, &outside_);
    }
    /// Until fd is readable (fd < 0: only a signal will do) or the time is over (0: never). True if it is readable.
    bool wait(int fd, Duration limit = {}) const {
        pollfd readable{fd, POLLIN, 0};
        timespec time = to_timespec(limit);
        if (ppoll(&readable, 1, limit.count() ? &time : nullptr, &outside_) <= 0) return false;
        time = {};  // with something to read ppoll() has let no signal in: a busy server would never hear one
        ppoll(nullptr, 0, &time, &outside_);
        return true;
    }
    /// For a forked child: TERM and INT end it, as they would end any program, and all signals come when they come.
    void let_in() const {
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        sigprocmask(SIG_SETMASK, &outside_, nullptr);
    }
};

}  // namespace tcp
