// TCPpechod - the preforked echo server: a pool of children, forked before the first client comes, that accept themselves.
//
//   TCPpechod [options] [port]          default port 8990
//
// Look for: ps shows the children before there is a client; netstat -p shows one listening socket for all of them, and
// with --reuseport as many as there are children. The client that finds them all busy waits in the accept queue.
#include "forking.hpp"

static tcp::Concurrent_options server{{8990}};
static tcp::Totals* totals;  // in memory that fork() shares: the children add to it
static std::vector<pid_t> children;
static size_t max_children = 8;
static volatile sig_atomic_t stopping = 0;  // how often we were told to

// Each child has a place in `children`; 0 is one to be filled. Shared as well: has the child in that place a client?
static std::atomic<bool>* serving;
// One, or with --reuseport one for each place: a socket that its last owner closes resets all who wait in its queue, so the
// parent has them too, and they wait for the next child.
static std::vector<tcp::Descriptor> listeners;
static bool each_listens = false;

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

// The accept loop is in every child: the kernel gives a new connection to one of those that sleep in accept().
[[noreturn]] static void child(size_t place, pid_t parent, const tcp::Signals& signals) {
    signals.let_in();
    tcp::end_with_parent(parent);  // else the pool outlives a parent that is killed, and keeps the port
    try {
        for (;;) {
            auto connection = server.accept(listeners[place % listeners.size()]);
            if (!connection) continue;
            serving[place] = true;
            tcp::log("accepted", "peer=%s", connection->peer.c_str());
            serve(std::move(*connection));
            serving[place] = false;
        }
    } catch (const std::system_error& error) {
        if (error.code().value() != EINVAL) tcp::log_failure(error);  // EINVAL: the parent has shut the listener down
    }
    _exit(0);  // not exit(): what the parent registered to run at its end is not ours to run
}

// Several children may end before one SIGCHLD is delivered: signals are not queued, so wait for all there are. One that
// we never forked, left to us by a shell that became this program, is none of them.
static void reap(int) {
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) break;
        auto place = std::find(children.begin(), children.end(), pid);
        if (place == children.end()) continue;
        *place = 0;
        serving[place - children.begin()] = false;
        int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        if (!stopping) tcp::log("child", "%d ended by signal %d, another takes its place", pid, number);
    }
}

static void report_totals(int) { totals->log(std::count(serving, serving + max_children, true)); }
static void stop(int) { stopping = stopping + 1; }

int main(int argc, char** argv) try {
    auto set_most = [](auto v) { max_children = tcp::number("--max-children", v, "1", "1024"); };
    server.parse(argc, argv,
                 {{'m', "max-children", "N", "N children from the start, for N clients (8)", set_most},
                  {0, "reuseport", nullptr, "a listening socket for each child", [](auto) { each_listens = true; }}});
    tcp::open_standard_descriptors();
    tcp::log_without_waiting();
    signal(SIGPIPE, SIG_IGN);  // whoever reads our log may be gone: write() says EPIPE then, instead of ending us

    totals = &tcp::shared_with_children<tcp::Totals>();
    serving = tcp::shared_with_children<std::array<std::atomic<bool>, 1024>>().data();
    children.resize(max_children);
    pid_t parent = getpid();
    tcp::start_timer(server.stats);
    tcp::Signals signals{
        {SIGCHLD, reap}, {SIGUSR1, report_totals}, {SIGALRM, report_totals}, {SIGTERM, stop}, {SIGINT, stop}};
    if (each_listens) server.socket_options.push_back(tcp::socket_option("reuseport"));
    while (listeners.size() < (each_listens ? max_children : 1)) listeners.push_back(server.listen());
    while (!stopping) {
        size_t place = std::find(children.begin(), children.end(), 0) - children.begin();
        if (place == max_children) signals.wait(-1);  // signals are handled here and nowhere else
        for (int attempt = 0; place < max_children && children[place] == 0 && !stopping; ++attempt) {
            switch (pid_t pid = fork()) {
                case -1:  // no process to be had
                    tcp::wait_and_try_again(signals, attempt, "fork", strerror(errno));
                    break;
                case 0:
                    child(place, parent, signals);
                default:
                    children[place] = pid;
            }
        }
    }
    for (auto& listener : listeners) shutdown(listener.fd(), SHUT_RD);  // whoever is idle has EINVAL from accept() now
    tcp::end_children(signals, server.grace, children, [] { return stopping > 1; });
    report_totals(0);
    tcp::log("stopped", "port=%d", server.port);
} catch (const std::exception& error) { return tcp::report(error); }
