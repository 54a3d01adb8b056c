// TCPechod - the concurrent echo server: fork() gives every connection a process of its own.
//
//   TCPechod [options] [port]           default port 8990
//
// Look for: netstat -p shows one listening socket owned by the parent and a connected socket for each child; ps shows
// the children, and none of them as a zombie (Z). When a client's FIN arrives its child answers with the server's FIN.
#include "forking.hpp"

static tcp::Concurrent_options server{{8990}};
static tcp::Totals* totals;  // in memory that fork() shares: the children add to it
static std::vector<pid_t> children;
static size_t max_children = 4096;
static volatile sig_atomic_t stopping = 0;  // how often we were told to

// What arrives goes back, until the peer's FIN.
static size_t echo(const tcp::Connection& connection) {
    static char buffer[256 * 1024];
    size_t total = 0;
    while (size_t n = tcp::read(connection, buffer, sizeof buffer)) {
        if (server.verbose) tcp::log_data("read", connection, buffer, n);
        tcp::write_all(connection, buffer, n);
        total += n;
        totals->bytes += n;
    }
    return total;  // read() returned 0: the peer's FIN is here, our socket is in CLOSE_WAIT
}

static void serve(tcp::Connection connection) {
    auto start = tcp::Clock::now();
    try {
        size_t total = echo(connection);
        connection.socket.close();  // our FIN leaves here
        tcp::log("closed", "peer=%s bytes=%zu", connection.peer.c_str(), total);
    } catch (const std::exception& error) {  // this client's trouble is not the server's
        tcp::log_failure(error);
    }
    totals->add(start);
}

[[noreturn]] static void child(tcp::Connection connection, tcp::Descriptor& listener, const tcp::Signals& signals) {
    signals.let_in();
    listener.close();  // else the port stays in use for as long as this child lives
    serve(std::move(connection));
    _exit(0);  // not exit(): what the parent registered to run at its end is not ours to run
}

// Several children may end before one SIGCHLD is delivered: signals are not queued, so wait for all there are. One that
// we never forked, left to us by a shell that became this program, is none of them.
static void reap(int) {
    for (;;) {
        pid_t pid = waitpid(-1, nullptr, WNOHANG);
        if (pid <= 0) break;
        children.erase(std::remove(children.begin(), children.end(), pid), children.end());
    }
}

static void report_totals(int) { totals->log(children.size()); }
static void stop(int) { stopping = stopping + 1; }

int main(int argc, char** argv) try {
    auto set_most = [](auto v) { max_children = tcp::number("--max-children", v, "1", "100000"); };
    server.parse(argc, argv,
                 {{'m', "max-children", "N", "at most N at once, the queue has the rest (4096)", set_most}});
    tcp::open_standard_descriptors();
    tcp::log_without_waiting();
    signal(SIGPIPE, SIG_IGN);  // whoever reads our log may be gone: write() says EPIPE then, instead of ending us

    totals = &tcp::shared_with_children<tcp::Totals>();
    tcp::start_timer(server.stats);
    tcp::Signals signals{
        {SIGCHLD, reap}, {SIGUSR1, report_totals}, {SIGALRM, report_totals}, {SIGTERM, stop}, {SIGINT, stop}};
    tcp::Descriptor listener = server.listen();
    while (!stopping) {
        bool room = children.size() < max_children;
        if (!signals.wait(room ? listener.fd() : -1) || stopping) continue;  // signals are handled here, nowhere else
        auto connection = server.accept(listener);
        for (int attempt = 0; connection && !stopping; ++attempt) {
            switch (pid_t pid = fork()) {
                case -1:  // no process to be had
                    tcp::wait_and_try_again(signals, attempt, "fork", strerror(errno));
                    break;
                case 0:
                    child(std::move(*connection), listener, signals);
                default:
                    children.push_back(pid);
                    tcp::log("accepted", "peer=%s child=%d", connection->peer.c_str(), pid);
                    connection.reset();  // closes the parent's copy. No FIN leaves: the child still holds the socket
            }
        }
    }
    listener.close();  // whoever is still in the accept queue is reset
    tcp::end_children(signals, server.grace, children, [] { return stopping > 1; });
    report_totals(0);
    tcp::log("stopped", "port=%d", server.port);
} catch (const std::exception& error) { return tcp::report(error); }
