// TCPmtechod - the multithreaded echo server: every connection has a thread, and all threads are in one process.
//
//   TCPmtechod [options] [port]         default port 8990
//
// Look for: netstat -p shows one process that owns the listening socket and every connected socket; ps -T shows its
// threads. What fork() copied is shared here, and one crash ends them all.
#include "concurrent.hpp"

#include <thread>

static tcp::Concurrent_options server{{8990}};
static tcp::Totals all, *totals = &all;  // threads share all memory
static std::atomic<size_t> current;      // connections in service, a thread each
static size_t max_threads = 4096;
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
    bool was_full = current-- == max_threads;
    if (was_full || stopping) kill(getpid(), SIGCHLD);  // main waits for one of us, as for a child
}

static void thread(int fd, const std::string& peer) { serve({tcp::Descriptor(fd), peer}); }
static void thread_ended(int) {}  // wakes main

static void report_totals(int) { totals->log(current); }
static void stop(int) { stopping = stopping + 1; }

int main(int argc, char** argv) try {
    auto set_most = [](auto v) { max_threads = tcp::number("--max-threads", v, "1", "100000"); };
    server.parse(argc, argv, {{'m', "max-threads", "N", "at most N at once, the queue has the rest (4096)", set_most}});
    tcp::open_standard_descriptors();
    tcp::log_without_waiting();
    signal(SIGPIPE, SIG_IGN);  // whoever reads our log may be gone: write() says EPIPE then, instead of ending us

    tcp::raise_descriptor_limit();
    tcp::set_stack_size(64 * 1024);
    tcp::start_timer(server.stats);
    tcp::Signals signals{
        {SIGCHLD, thread_ended}, {SIGUSR1, report_totals}, {SIGALRM, report_totals}, {SIGTERM, stop}, {SIGINT, stop}};
    tcp::Descriptor listener = server.listen();
    while (!stopping) {
        bool room = current < max_threads;
        if (!signals.wait(room ? listener.fd() : -1) || stopping) continue;  // signals are handled here, nowhere else
        auto connection = server.accept(listener);
        for (int attempt = 0; connection && !stopping; ++attempt) {
            try {
                ++current;
                std::thread(thread, connection->socket.fd(), connection->peer).detach();
                tcp::log("accepted", "peer=%s", connection->peer.c_str());
                connection->socket.release();  // its thread owns it now
                connection.reset();
            } catch (const std::exception& error) {  // no thread to be had
                --current;
                tcp::wait_and_try_again(signals, attempt, "pthread_create", error.what());
            }
        }
    }
    listener.close();  // whoever is still in the accept queue is reset
    tcp::wait_for_the_last(signals, server.grace, [] { return current == 0 || stopping > 1; });
    report_totals(0);
    tcp::log("stopped", "port=%d", server.port);
    _exit(0);  // the threads that are left go with the process, and the kernel closes their sockets
} catch (const std::exception& error) { return tcp::report(error); }
