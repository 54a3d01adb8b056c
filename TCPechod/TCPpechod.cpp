// TCPpechod - the preforked echo server: a pool of children, forked before the first client comes, that accept
// themselves.
//
//   TCPpechod [options] [port]          default port 8990
//
// Look for: ps shows the children before there is a client; netstat -p shows one listening socket for all of them, and
// with --accept reuseport as many as there are children. The client that finds them all busy waits in the accept queue.
#include "concurrent.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>

// In memory that fork() shares instead of copying.
struct Shared {
    Totals totals;
    std::atomic<bool> serving[1024];  // the child in this place has a client
};
static Shared& shared = shared_with_children<Shared>();
static std::map<pid_t, size_t> children;  // which place in the pool each has
static std::vector<size_t> empty_places;
static Concurrent_options server{{8990}};
static std::vector<tcp::Descriptor> listeners;  // one, or one for each place
static tcp::Descriptor lock;                    // --accept locked: who holds it may call accept()
static volatile sig_atomic_t stopping = 0;      // how often we were told to

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

// The accept loop, in every child. The kernel gives a new connection to one of those that sleep in accept(), and wakes
// only that one; with `lock` the others sleep in lockf() instead, as they had to where accept() woke them all (UNP
// 30.6).
[[noreturn]] static void child(size_t place, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);   // else the pool outlives a parent that is killed, and keeps the port
    if (getppid() != parent) _exit(0);  // it has been, before we said so
    try {
        for (;;) {
            if (lock.fd() >= 0 && lockf(lock.fd(), F_LOCK, 0))
                tcp::fail("lockf");  // unlocked by the kernel if we are killed
            auto connection = tcp::accept(listeners[place % listeners.size()], server.idle_timeout);
            if (lock.fd() >= 0 && lockf(lock.fd(), F_ULOCK, 0)) tcp::fail("lockf");
            if (!connection) continue;
            shared.serving[place] = true;
            tcp::log("accepted", "peer=%s", connection->peer.text().c_str());
            serve(std::move(*connection), server.verbose);
            shared.serving[place] = false;
        }
    } catch (const std::system_error& error) {
        if (error.code().value() != EINVAL) tcp::log("failed", "%s", error.what());  // EINVAL: shut down by the parent
    }
    _exit(0);  // not exit(): what the parent registered to run at its end is not ours to run
}

// Several children may end before one SIGCHLD is delivered: signals are not queued, so wait for all there are. One
// that we never forked, left to us by a shell that called exec(), had no place here.
static void reap(int) {
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        auto child = children.find(pid);
        if (child == children.end()) continue;
        empty_places.push_back(child->second);
        shared.serving[child->second] = false;
        children.erase(child);
        if (!stopping)
            tcp::log("child", "%d ended by signal %d, another takes its place", pid,
                     WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    }
}

static void report_totals(int) {
    shared.totals.log(std::count(std::begin(shared.serving), std::end(shared.serving), true));
}

// The parent keeps all of them open and never accepts: whoever waits in the queue of a child that is killed waits for
// the next child. A listening socket that is closed by its last owner resets everybody in its queue.
static void open_listeners(size_t count) {
    if (count > 1) tcp::add_socket_option(server.socket_options, "reuseport");
    while (listeners.size() < count) {
        listeners.push_back(server.listen());
        server.address = tcp::local_address(listeners[0]).text();  // port 0: the others get the port that the first got
    }
}

// Until every place is taken; false if there is no process to be had.
static bool fill_places(const tcp::Signals& signals) {
    for (; !empty_places.empty(); empty_places.pop_back()) {
        size_t place = empty_places.back();
        pid_t parent = getpid(), pid = fork();
        if (pid < 0) return false;
        if (pid == 0) {
            signal(SIGTERM, SIG_DFL);
            signal(SIGINT, SIG_DFL);
            signals.let_in();
            child(place, parent);
        }
        children[pid] = place;
    }
    return true;
}

static std::vector<pid_t> pids() {
    std::vector<pid_t> all;
    for (auto& [pid, place] : children) all.push_back(pid);
    return all;
}

int main(int argc, char** argv) try {
    size_t max_children = 8;
    std::string way = "shared";
    server.parse(
        argc, argv,
        {{'m', "max-children", "N", "N children from the start, so N clients at once (8)",
          [&](auto v) { max_children = tcp::number("--max-children", v, "1", "1024"); }},
         {0, "accept", "WAY", "shared, locked, or reuseport: a listening socket each", [&](auto v) { way = v; }}});
    if (way != "shared" && way != "locked" && way != "reuseport")
        throw tcp::Usage_error("--accept must be shared, locked or reuseport");

    auto stop = [](int) { stopping = stopping + 1; };
    tcp::Signals signals{
        {SIGCHLD, reap}, {SIGUSR1, report_totals}, {SIGALRM, report_totals}, {SIGTERM, stop}, {SIGINT, stop}};
    open_listeners(way == "reuseport" ? max_children : 1);
    if (way == "locked") lock = tcp::Descriptor(memfd_create("accept lock", MFD_CLOEXEC));
    while (empty_places.size() < max_children) empty_places.push_back(empty_places.size());
    for (bool fork_failed = false; !stopping;) {
        bool complete = fill_places(signals);
        if (!complete && !fork_failed) tcp::log("waiting", "fork: %s", strerror(errno));
        fork_failed = !complete;
        signals.wait(-1, std::chrono::milliseconds(complete ? 0 : 100));  // signals are handled here and nowhere else
    }
    for (auto& listener : listeners) shutdown(listener.fd(), SHUT_RD);  // whoever is idle has EINVAL from accept() now
    tcp::end_children(signals, server.grace, pids, [] { return stopping > 1; });
    report_totals(0);
    tcp::log("stopped", "port=%d", server.port);
} catch (const std::exception& error) { return tcp::report(error); }
