// concurrent.hpp - what TCPechod, TCPpechod, TCPmtechod and TCPmechod share and no lab is about: the totals that they log
// (Comer's), and the options --grace and --stats.
#pragma once
#include "../seqserver/server.hpp"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>

namespace tcp {

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
        double each = completed ? 1.0 / completed : 0;  // before the first is over there is no mean
        tcp::log("stats", "current=%zu completed=%lu mean-time=%.6fs mean-bytes=%.0f total-bytes=%lu", current,
                 completed.load(), microseconds * each / 1e6, bytes * each, bytes.load());
    }
};

struct Concurrent_options : Server_options {
    Duration grace{}, stats{};

    void parse(int argc, char** argv, std::vector<Option> table) {
        table.push_back({'g', "grace", "D", "after SIGTERM clients have D to end (0)",
                         [&](auto v) { grace = duration("--grace", v, "0", "1h"); }});
        table.push_back({'s', "stats", "D", "log the totals every D (SIGUSR1: now)",
                         [&](auto v) { stats = duration("--stats", v, "10ms", "24h"); }});
        Server_options::parse(argc, argv, table);
    }
};

/// SIGALRM every `interval`, 0: never (setitimer(2)). A forked child does not inherit it.
inline void start_timer(Duration interval) {
    itimerval timer{to_timeval(interval), to_timeval(interval)};
    if (setitimer(ITIMER_REAL, &timer, nullptr)) fail("setitimer");
}

/// No process or thread to be had: says so at the first of many attempts, and waits 100 ms. The client waits with us, the
/// others are served; one that ends may leave room.
inline void wait_and_try_again(const Signals& signals, int attempt, const char* call, const char* reason) {
    if (attempt == 0) log("waiting", "%s: %s", call, reason);
    signals.wait(-1, std::chrono::milliseconds(100));
}

/// Where every client is a descriptor of one process: as many as we may have (getrlimit(2)).
inline void raise_descriptor_limit() {
    rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/// For threads to come. 8 MB is the default: only what is touched takes memory, but address space is not endless either.
inline void set_stack_size(size_t size) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, size);
    pthread_setattr_default_np(&attributes);
}

/// After SIGTERM: lets signals in until `over()`, for `grace` at most.
template <typename Condition>
void wait_for_the_last(const Signals& signals, Duration grace, Condition over) {
    auto end = Clock::now() + grace;
    for (auto left = grace; !over() && left.count() > 0; left = end - Clock::now()) signals.wait(-1, left);
}

}  // namespace tcp
