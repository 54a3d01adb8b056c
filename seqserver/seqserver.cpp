// seqserver - the sequential echo server: one client at a time, the others wait in the accept queue.
//
//   seqserver [options] [port]          default port 8990
//
// Look for: netstat shows the second client ESTABLISHED, its bytes in Recv-Q and no process beside it; tcpdump shows them
// acknowledged, by the kernel. With --bug no-close every client that was served leaves a CLOSE_WAIT until the server ends.
#include "server.hpp"

static tcp::Server_options server{8990};
static bool no_close = false;  // the bug of lab 03: the descriptor is forgotten, not closed, and our FIN never leaves

// What arrives goes back, until the peer's FIN.
static size_t echo(const tcp::Connection& connection) {
    static char buffer[256 * 1024];
    size_t total = 0;
    while (size_t n = tcp::read(connection, buffer, sizeof buffer)) {
        if (server.verbose) tcp::log_data("read", connection, buffer, n);
        tcp::write_all(connection, buffer, n);
        total += n;
    }
    return total;  // read() returned 0: the peer's FIN is here, our socket is in CLOSE_WAIT
}

static void serve(tcp::Connection connection) {
    try {
        size_t total = echo(connection);
        if (no_close) connection.socket.release();
        connection.socket.close();  // our FIN leaves here
        tcp::log(no_close ? "fin" : "closed", "peer=%s bytes=%zu", connection.peer.c_str(), total);
    } catch (const std::exception& error) {  // this client's trouble is not the server's
        tcp::log_failure(error);
    }
}

static void set_bug(const char* name) {
    if (strcmp(name, "no-close") != 0) throw tcp::Usage_error("--bug must be no-close, not " + tcp::printable(name));
    no_close = true;
}

static void stop(int) { _exit(0); }  // the kernel closes what is open

int main(int argc, char** argv) try {
    server.parse(argc, argv, {{0, "bug", "no-close", "never close the connected socket (lab 03)", set_bug}});
    tcp::open_standard_descriptors();
    tcp::log_without_waiting();
    signal(SIGPIPE, SIG_IGN);  // whoever reads our log may be gone: write() says EPIPE then, instead of ending us

    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    tcp::Descriptor listener = server.listen();
    for (;;) {
        auto connection = server.accept(listener);
        if (!connection) continue;
        tcp::log("accepted", "peer=%s", connection->peer.c_str());
        serve(std::move(*connection));  // and nobody else until this client is done
    }
} catch (const std::exception& error) { return tcp::report(error); }
