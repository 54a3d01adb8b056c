// TCPmtechod - the multithreaded echo server: every connection has a thread, and all threads are in one process.
//
//   TCPmtechod [options] [port]         default port 8990
//
// Look for: netstat -p shows one process that owns the listening socket and every connected socket; ps -T shows its
// threads. What fork() copied is shared here: a buffer for each connection, and one crash ends them all. With --pool N
// the threads are there before the clients, and each accepts for itself, as the children of TCPpechod do.
#include "concurrent.hpp"

#include <pthread.h>

#include <memory>

// Threads share all memory anyway.
struct Shared {
    Totals totals;
    std::atomic<size_t> current;
};
static Shared shared;
static std::atomic<int> stopping;  // how often we were told to: set by a handler in one thread, read by all
static Concurrent_options server{{8990}};
static size_t max_threads = 4096;
static pthread_t main_thread;

// What arrives goes back, until the peer's FIN.
static size_t echo(const tcp::Connection& connection, bool verbose) {
    char small[8 * 1024];  // each its own: a static buffer would mix up the clients. Memory is what a thread costs,
    std::unique_ptr<char[]> large;  // so only who sends much gets much
    char* buffer = small;
    size_t size = sizeof small, total = 0;
    while (size_t n = tcp::read(connection, buffer, size)) {
        if (verbose)
            tcp::log("read", "peer=%s bytes=%zu data=%s", connection.peer.text().c_str(), n,
                     tcp::printable(buffer, n).c_str());
        tcp::write_all(connection, buffer, n);
        total += n;
        shared.totals.bytes += n;
        if (n == size && !large) large.reset(buffer = new char[size = 256 * 1024]);
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
    } catch (const std::bad_alloc&) {  // no memory for this client; in one process that is no reason to end all others
        tcp::log("failed", "no memory for a client");
    }
    shared.totals.add(start);
    // A parent gets SIGCHLD; main is told in the same way, when it waits for room or for the last of us.
    if (shared.current-- == max_threads || stopping) pthread_kill(main_thread, SIGCHLD);
}

static void* thread(void* connection) {
    std::unique_ptr<tcp::Connection> mine(static_cast<tcp::Connection*>(connection));
    serve(std::move(*mine), server.verbose);
    return nullptr;
}

// A thread of the pool: the kernel gives a new connection to one of those that sleep in accept().
static void* pool_thread(void* listener) {
    try {
        for (;;) {
            auto connection = tcp::accept(*static_cast<tcp::Descriptor*>(listener), server.idle_timeout);
            if (!connection) continue;
            ++shared.current;
            tcp::log("accepted", "peer=%s", connection->peer.text().c_str());
            serve(std::move(*connection), server.verbose);
        }
    } catch (const std::exception& error) {
        if (!stopping) tcp::log("failed", "%s", error.what());
    }
    return nullptr;
}

static void report_totals(int) { shared.totals.log(shared.current); }

// Detached: nobody waits for its result. The stack is small, and glibc keeps it for the next thread (8 MB it would
// unmap).
static int start_thread(void* (*function)(void*), void* argument) {
    pthread_t id;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    return pthread_create(&id, &attributes, function, argument);
}

int main(int argc, char** argv) try {
    size_t pool = 0;
    server.parse(argc, argv,
                 {{'m', "max-threads", "N", "at most N at once, the backlog holds the rest (4096)",
                   [&](auto v) { max_threads = tcp::number("--max-threads", v, "1", "100000"); }},
                  {'p', "pool", "N", "N threads from the start, so N clients at once",
                   [&](auto v) { pool = tcp::number("--pool", v, "1", "10000"); }}});

    raise_descriptor_limit();
    main_thread = pthread_self();
    auto stop = [](int) { ++stopping; };
    tcp::Signals signals{
        {SIGCHLD, [](int) {}}, {SIGUSR1, report_totals}, {SIGALRM, report_totals}, {SIGTERM, stop}, {SIGINT, stop}};
    tcp::Descriptor listener = server.listen();
    for (size_t i = 0; i < pool; ++i)
        if (int error = start_thread(pool_thread, &listener)) tcp::fail("pthread_create", error);
    for (bool thread_failed = false; !stopping;) {
        bool room = !pool && shared.current < max_threads;
        if (!signals.wait(room ? listener.fd() : -1) || stopping)
            continue;  // signals are handled here and nowhere else
        auto connection = tcp::accept(listener, server.idle_timeout);
        if (!connection) continue;
        ++shared.current;
        tcp::log("accepted", "peer=%s", connection->peer.text().c_str());
        auto* task = new (std::nothrow) tcp::Connection(std::move(*connection));
        if (!task) {
            tcp::log("failed", "no memory for a client");
            --shared.current;
            continue;
        }
        while (int error =
                   stopping
                       ? 0
                       : start_thread(thread, task)) {  // no thread to be had: the client waits, the others are served
            if (!std::exchange(thread_failed, true)) tcp::log("waiting", "pthread_create: %s", strerror(error));
            signals.wait(-1, std::chrono::milliseconds(100));
        }
        thread_failed = false;
    }
    shutdown(listener.fd(), SHUT_RD);
    wait_for_the_last(signals, server.grace, [] { return shared.current == 0 || stopping > 1; });
    report_totals(0);
    tcp::log("stopped", "port=%d", server.port);
    _exit(0);  // the threads that are left go with the process, and the kernel closes their sockets
} catch (const std::exception& error) { return tcp::report(error); }
