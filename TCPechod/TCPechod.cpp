// TCPechod - the concurrent echo server: fork() gives every connection a process of its own.
//
//   TCPechod [options] [port]           default port 8990
//
// Look for: netstat -p shows one listening socket owned by the parent and a connected socket for each child; ps shows
// the children, and none of them as a zombie (Z). When a client's FIN arrives its child answers with the server's FIN.
#include "concurrent.hpp"

#include <sys/wait.h>

// In memory that fork() shares instead of copying.
struct Shared {
    Totals totals;
};
static Shared& shared = shared_with_children<Shared>();
static std::vector<pid_t> children;
static volatile sig_atomic_t stopping = 0;  // how often we were told to

// What arrives goes back, until the peer's FIN.
static size_t echo(const tcp::Connection& connection, bool verbose) {
    static char buffer[256 * 1024];
    size_t total = 0;
    while (size_t n = tcp::read(connection, buffer, sizeof buffer)) {
        if (verbose)
            tcp::log("read", "peer=%s bytes=%zu data=%s", connection.peer.text().c_str(), n,
                     tcp::printable(buffer, n).c_str());
        tcp::write_all(connection, buffer, n);
        total += n;
        shared.totals.bytes += n;
    }
    return total;  // read() returned 0: the peer's FIN is here, our socket is in CLOSE_WAIT
}

static void serve(tcp::Connection connection, bool verbose) {
    auto start = Clock::now();
    try {
        size_t total = echo(connection, verbose);
        connection.socket.close();  // the last copy of this descriptor: our FIN leaves here
        tcp::log("closed", "peer=%s bytes=%zu", connection.peer.text().c_str(), total);
    } catch (const std::system_error& error) {
        tcp::log(error.code().value() == ECONNRESET ? "reset" : "failed", "%s", error.what());
    }
    shared.totals.add(start);
}

// Several children may end before one SIGCHLD is delivered: signals are not queued, so wait for all there are. One
// that we never forked, left to us by a shell that called exec(), is in no list.
static void reap(int) {
    for (pid_t pid; (pid = waitpid(-1, nullptr, WNOHANG)) > 0;)
        children.erase(std::remove(children.begin(), children.end(), pid), children.end());
}

static void report_totals(int) { shared.totals.log(children.size()); }

int main(int argc, char** argv) try {
    Concurrent_options server{{8990}};
    size_t max_children = 4096;
    server.parse(argc, argv,
                 {{'m', "max-children", "N", "at most N at once, the backlog holds the rest (4096)",
                   [&](auto v) { max_children = tcp::number("--max-children", v, "1", "100000"); }}});

    auto stop = [](int) { stopping = stopping + 1; };
    tcp::Signals signals{
        {SIGCHLD, reap}, {SIGUSR1, report_totals}, {SIGALRM, report_totals}, {SIGTERM, stop}, {SIGINT, stop}};
    tcp::Descriptor listener = server.listen();
    for (bool fork_failed = false; !stopping;) {
        bool room = children.size() < max_children;
        if (!signals.wait(room ? listener.fd() : -1) || stopping)
            continue;  // signals are handled here and nowhere else
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
    tcp::end_children(
        signals, server.grace, [] { return children; }, [] { return stopping > 1; });
    report_totals(0);
    tcp::log("stopped", "port=%d", server.port);
} catch (const std::exception& error) { return tcp::report(error); }
