// progress.hpp - a line of progress each second, for somebody who watches a terminal.
#pragma once
#include "journal.hpp"

using Clock = std::chrono::steady_clock;

class Progress {
    Clock::time_point shown_at_ = Clock::now();
    uint64_t shown_ = 0;

public:
    /// Of two lines; 0: nobody watches, or records are wanted.
    const std::chrono::seconds interval{!journal.json && isatty(STDERR_FILENO)};
    /// When the next line is due.
    Clock::time_point due() const { return interval.count() ? shown_at_ + interval : Clock::time_point::max(); }

    /// The cursor goes back: the next line of the log replaces this one. `all`: bytes that there are to come, 0: unknown.
    void show(const std::string& what, uint64_t bytes, uint64_t all = 0) {
        std::chrono::duration<double> past = Clock::now() - shown_at_;
        char of_all[64] = "";
        if (all) snprintf(of_all, sizeof of_all, " of %.1f", all / 1e6);
        dprintf(STDERR_FILENO, "\x1b[K%s: %.1f%s MB, %.1f MB/s\r", what.c_str(), bytes / 1e6, of_all,
                (bytes - shown_) / 1e6 / past.count());
        shown_ = bytes;
        shown_at_ = Clock::now();
    }
};

/// What the clients of halfclose-server add up to.
struct Totals {
    std::atomic<uint64_t> sent, size, half_closed;

    void show(Progress& progress, size_t clients) const {
        if (Clock::now() < progress.due()) return;
        progress.show("clients " + std::to_string(clients) + ", half-closed " + std::to_string(half_closed), sent,
                      size);
    }
};
