// concurrent.hpp - what TCPechod, TCPpechod, TCPmtechod and TCPmechod share and no lab is about: the totals that they
// log (Comer's), and the options --grace and --stats.
#pragma once
#include "../tcp.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <atomic>

using Clock = std::chrono::steady_clock;

/// What all connections add up to, whichever process or thread has served them.
struct Totals {
    std::atomic<uint64_t> completed, bytes, microseconds;

    /// A connection is over that began at `start`.
    void add(Clock::time_point start) {
        microseconds += std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
        ++completed;
    }
    /// Logs "stats ..."; `current`: connections in service.
    void log(size_t current) const {
        double n = std::max<double>(1, completed);
        tcp::log("stats", "current=%zu completed=%lu mean-time=%.6fs mean-bytes=%.0f total-bytes=%lu", current,
                 completed.load(), microseconds / n / 1e6, bytes / n, bytes.load());
    }
};

/// A zeroed T in memory that fork() shares instead of copying (mmap(2)). For static variables: ends the program if
/// there is none.
template <typename T>
T& shared_with_children() {
    void* memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) exit(tcp::report(std::system_error(errno, std::generic_category(), "mmap")));
    return *new (memory) T;
}

struct Concurrent_options : tcp::Server_options {
    tcp::Duration grace{}, stats{};

    void parse(int argc, char** argv, std::vector<tcp::Option> table) {
        table.push_back({'g', "grace", "D", "SIGTERM leaves the clients in service D to end (0)",
                         [&](auto v) { grace = tcp::duration("--grace", v, "0", "1h"); }});
        table.push_back({'s', "stats", "D", "log the totals every D (SIGUSR1: now)",
                         [&](auto v) { stats = tcp::duration("--stats", v, "10ms", "24h"); }});
        Server_options::parse(argc, argv, table);
    }
    /// The listening socket; and from here on SIGALRM every --stats (setitimer(2), which a forked child does not
    /// inherit).
    tcp::Descriptor listen() {
        timeval interval{stats.count() / 1000000000, stats.count() % 1000000000 / 1000};
        itimerval timer{interval, interval};
        setitimer(ITIMER_REAL, &timer, nullptr);
        return Server_options::listen();
    }
};

/// Lets signals in until `over()`, for --grace at most.
template <typename Condition>
void wait_for_the_last(const tcp::Signals& signals, tcp::Duration grace, Condition over) {
    auto end = Clock::now() + grace;
    for (auto left = grace; !over() && left.count() > 0; left = end - Clock::now()) signals.wait(-1, left);
}

/// Where every client is a descriptor of one process: as many as we may have (getrlimit(2)).
inline void raise_descriptor_limit() {
    rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}
