// TCPechod - the concurrent echo server: fork() gives every connection a process of its own.
//
//   TCPechod [options] [port]           default port 8990
//
// Look for: netstat -p shows one listening socket owned by the parent and a connected socket for each child; ps shows
// the children, and none of them as a zombie (Z). When a client's FIN arrives its child answers with the server's FIN.
#include "../tcp.hpp"

#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>

// What the children add up, in memory that fork() shares instead of copying.
struct Totals {
    std::atomic<uint64_t> completed, bytes, microseconds;
};
static Totals* totals;
static std::vector<pid_t> children;
static volatile sig_atomic_t stopping = 0;

// What arrives goes back, until the peer's FIN.
static size_t echo(const tcp::Connection& connection, bool verbose) {
    static char buffer[256 * 1024];
    size_t total = 0;
    while (size_t n = tcp::read(connection, buffer, sizeof buffer)) {
        if (verbose) tcp::log("read", "peer=%s bytes=%zu data=%s", connection.peer.text().c_str(), n, tcp::printable(buffer, n).c_str());
        tcp::write_all(connection, buffer, n);
        total += n;
        totals->bytes += n;
    }
    return total;  // read() returned 0: the peer's FIN is here, our socket is in CLOSE_WAIT
}

static void serve(tcp::Connection connection, bool verbose) {
    auto start = std::chrono::steady_clock::now();
    try {
        size_t total = echo(connection, verbose);
        connection.socket.close();  // the last copy of this descriptor: our FIN leaves here
        tcp::log("closed", "peer=%s bytes=%zu", connection.peer.text().c_str(), total);
    } catch (const std::system_error& error) {
        tcp::log(error.code().value() == ECONNRESET ? "reset" : "failed", "%s", error.what());
    }
    totals->microseconds += std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start).count();
    ++totals->completed;
}

// Several children may end before one SIGCHLD is delivered: signals are not queued, so wait for all there are.
static void reap(int) {
    for (pid_t pid; (pid = waitpid(-1, nullptr, WNOHANG)) > 0;)
        children.erase(std::remove(children.begin(), children.end(), pid), children.end());
}

static void report_totals(int) {
    double n = std::max<double>(1, totals->completed);
    tcp::log("stats", "current=%zu completed=%lu mean-time=%.6fs mean-bytes=%.0f total-bytes=%lu", children.size(), totals->completed.load(),
             totals->microseconds / n / 1e6, totals->bytes / n, totals->bytes.load());
}

static void stop_children(const tcp::Signals& signals, tcp::Duration grace) {
    auto end = std::chrono::steady_clock::now() + grace;
    for (auto left = grace; !children.empty() && left.count() > 0; left = end - std::chrono::steady_clock::now()) signals.wait(-1, left);
    for (pid_t pid : children) kill(pid, SIGTERM);
    while (waitpid(-1, nullptr, 0) > 0) {}
}

int main(int argc, char** argv) try {
    tcp::Server_options server{8990};
    size_t max_children = 4096;
    tcp::Duration stats{}, grace{};
    server.parse(argc, argv,
                 {{'m', "max-children", "N", "at most N at once, the backlog holds the rest (4096)",
                   [&](auto v) { max_children = tcp::number("--max-children", v, "1", "100000"); }},
                  {'g', "grace", "D", "SIGTERM leaves the clients in service D to end (0)",
                   [&](auto v) { grace = tcp::duration("--grace", v, "0", "1h"); }},
                  {'s', "stats", "D", "log the totals every D (SIGUSR1: now)",
                   [&](auto v) { stats = tcp::duration("--stats", v, "10ms", "24h"); }}});

    void* shared = mmap(nullptr, sizeof *totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) tcp::fail("mmap");
    totals = new (shared) Totals{};
    auto stop = [](int) { stopping = 1; };
    tcp::Signals signals{{SIGCHLD, reap}, {SIGUSR1, report_totals}, {SIGTERM, stop}, {SIGINT, stop}};
    tcp::Descriptor listener = server.listen();
    auto next_stats = std::chrono::steady_clock::now() + stats;
    for (bool fork_failed = false;;) {
        bool room = children.size() < max_children;
        bool incoming = signals.wait(room ? listener.fd() : -1, stats);  // signals are handled here and nowhere else
        if (stopping) break;
        if (stats.count() && std::chrono::steady_clock::now() >= next_stats) report_totals(0), next_stats += stats;
        if (!incoming) continue;
        auto connection = tcp::accept(listener, server.idle_timeout);
        if (!connection) continue;
        pid_t pid;
        while ((pid = fork()) < 0 && !stopping) {  // no process to be had: the client waits, the others are served
            if (!std::exchange(fork_failed, true)) tcp::log("waiting", "fork: %s", strerror(errno));
            signals.wait(-1, std::chrono::milliseconds(100));
        }
        if (pid == 0) {
            signal(SIGTERM, SIG_DFL);
            signal(SIGINT, SIG_DFL);
            signals.let_in();
            listener.close();  // else the port stays in use for as long as this child lives
            serve(std::move(*connection), server.verbose);
            _exit(0);  // not exit(): what the parent registered to run at its end is not ours to run
        }
        if (pid < 0) break;
        fork_failed = false;
        children.push_back(pid);
        tcp::log("accepted", "peer=%s child=%d", connection->peer.text().c_str(), pid);
        // The parent's copy closes here, at the end of the pass. No FIN leaves: the child still holds the socket.
    }
    listener.close();  // whoever is still in the accept queue is reset
    stop_children(signals, grace);
    report_totals(0);
    tcp::log("stopped", "port=%d", server.port);
} catch (const std::exception& error) {
    return tcp::report(error);
}
