// forking.hpp - what the servers that fork share: how their children end, with them or by them. A server whose lesson is
// not the accept loop takes the whole loop from here.
#pragma once
#include "concurrent.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>

namespace tcp {

/// The first throw of a process sorts the tables that say how to unwind: 0.5 ms of processor time where the program is
/// static. Here the server does it before it forks; otherwise each child whose client resets would do it for itself.
struct First_throw {
    First_throw() {
        try {
            throw std::runtime_error("");
        } catch (const std::exception&) {}
    }
};
inline const First_throw first_throw;

/// For a child: ends it when its parent ends, however (prctl(2), PR_SET_PDEATHSIG); also if that has happened already.
inline void end_with_parent(pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(0);
}

/// The end of a forking server: `children`, of which its SIGCHLD handler takes away those that have ended, get `grace` to
/// serve their clients to the end, or until we are `told_again`. Then SIGKILL, which ends a stopped child too. Nobody
/// else's child is waited for: a shell that became this program by exec may have left us some.
template <typename Children, typename Told_again>
void end_children(const Signals& signals, Duration grace, const Children& children, Told_again told_again) {
    auto is_child = [](pid_t pid) { return pid > 0; };  // kill(0) and kill(-1) would signal others (kill(2))
    wait_for_the_last(signals, grace,
                      [&] { return told_again() || std::none_of(children.begin(), children.end(), is_child); });
    for (pid_t pid : children) {
        if (is_child(pid)) kill(pid, SIGKILL);
    }
    for (pid_t pid : children) {
        if (is_child(pid)) waitpid(pid, nullptr, 0);
    }
}

/// The accept loop that TCPechod shows, for servers whose lesson is another: a process for each connection.
class Forking_server {
    static inline std::vector<pid_t> children_;
    static inline volatile sig_atomic_t stopping_ = 0;  // how often we were told to

    static void reap(int) {
        for (;;) {
            pid_t pid = waitpid(-1, nullptr, WNOHANG);
            if (pid <= 0) break;
            children_.erase(std::remove(children_.begin(), children_.end(), pid), children_.end());
        }
    }
    static void stop(int) { stopping_ = stopping_ + 1; }

    Signals signals_{{SIGCHLD, reap}, {SIGTERM, stop}, {SIGINT, stop}};

public:
    size_t max_children = 4096;
    Duration idle_timeout{};  // of a connection, 0: never
    Duration tick{};          // how often `on_tick` is called while there are children, 0: never
    std::function<void()> on_tick{};
    std::function<void()> before_fork{};               // in the parent
    std::function<void(Connection)> child{};           // in the child; does not return
    std::function<void(Connection&, pid_t)> parent{};  // in the parent; its copy of the connection closes then

    /// In a worker that becomes a server itself: it has forked nobody yet.
    Forking_server() { children_.clear(); }
    const Signals& signals() const { return signals_; }
    size_t children() const { return children_.size(); }
    bool stopping() const { return stopping_ > 0; }

    /// Until SIGTERM or SIGINT. A child has the listening socket too, and closes it.
    void run(const Descriptor& listener) {
        while (!stopping_) {
            bool room = children_.size() < max_children, ticks = tick.count() && !children_.empty();
            bool incoming = signals_.wait(room ? listener.fd() : -1, ticks ? tick : Duration{});
            if (ticks) on_tick();
            auto connection = incoming && !stopping_ ? accept_or_wait(listener) : std::nullopt;
            if (connection && idle_timeout.count()) set_idle_timeout(connection->socket, idle_timeout);
            if (connection && before_fork) before_fork();
            for (int attempt = 0; connection && !stopping_; ++attempt) {
                switch (pid_t pid = fork()) {
                    case -1:
                        wait_and_try_again(signals_, attempt, "fork", strerror(errno));
                        break;
                    case 0:
                        signals_.let_in();
                        child(std::move(*connection));
                        _exit(0);
                    default:
                        children_.push_back(pid);
                        parent(*connection, pid);
                        connection.reset();
                }
            }
        }
    }
    /// Ends the children: the kernel closes what they have open.
    void end() {
        end_children(signals_, {}, children_, [] { return stopping_ > 1; });
    }
};

}  // namespace tcp
