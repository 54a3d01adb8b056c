// TCPptechod - the prethreaded echo server: a pool of threads, made before the first client comes, that accept themselves.
//
//   TCPptechod [options] [port]         default port 8990
//
// Look for: ps -T shows the threads before there is a client; netstat -p shows one process that owns the listening socket
// and every connected socket. The client that finds all threads busy waits in the accept queue.
#include "concurrent.hpp"

#include <thread>

static tcp::Concurrent_options server{{8990}};
static tcp::Totals all, *totals = &all;  // threads share all memory
static std::atomic<size_t> current;      // connections in service
static size_t max_threads = 8;
static std::atomic<int> stopping = 0;  // how often we were told to

// What arrives goes back, until the peer's FIN.
static size_t echo(const tcp::Connection& connection) {
    char buffer[16 * 1024];  // on this thread's stack: a static one would mix up the clients
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
    --current;
    if (stopping) kill(getpid(), SIGCHLD);  // main waits for the last of us, as for a child
}

// The accept loop is in every thread: the kernel gives a new connection to one of those that sleep in accept().
static void thread(const tcp::Descriptor& listener) try {
    for (;;) {
        auto connection = server.accept(listener);
        if (!connection) continue;
        ++current;
        tcp::log("accepted", "peer=%s", connection->peer.c_str());
        serve(std::move(*connection));
    }
} catch (const std::exception& error) {
    if (!stopping) tcp::log_failure(error);  // else main has shut the listener down
}
static void thread_ended(int) {}  // wakes main

static void report_totals(int) { totals->log(current); }
static void stop(int) { stopping = stopping + 1; }

int main(int argc, char** argv) try {
    auto set_most = [](auto v) { max_threads = tcp::number("--max-threads", v, "1", "10000"); };
    server.parse(argc, argv, {{'m', "max-threads", "N", "N threads from the start, for N clients (8)", set_most}});
    tcp::open_standard_descriptors();
    tcp::log_without_waiting();
    signal(SIGPIPE, SIG_IGN);  // whoever reads our log may be gone: write() says EPIPE then, instead of ending us

    tcp::raise_descriptor_limit();
    tcp::set_stack_size(64 * 1024);
    tcp::start_timer(server.stats);
    tcp::Signals signals{
        {SIGCHLD, thread_ended}, {SIGUSR1, report_totals}, {SIGALRM, report_totals}, {SIGTERM, stop}, {SIGINT, stop}};
    tcp::Descriptor listener = server.listen();
    for (size_t i = 0; i < max_threads; ++i) std::thread(thread, std::cref(listener)).detach();
    while (!stopping) signals.wait(-1);  // signals are handled here and nowhere else
    shutdown(listener.fd(), SHUT_RD);    // whoever is idle has EINVAL from accept() now
    tcp::wait_for_the_last(signals, server.grace, [] { return current == 0 || stopping > 1; });
    report_totals(0);
    tcp::log("stopped", "port=%d", server.port);
    _exit(0);  // the threads that are left go with the process, and the kernel closes their sockets
} catch (const std::exception& error) { return tcp::report(error); }
