// seqserver - the sequential echo server: one client at a time, the others wait in the accept queue.
//
//   seqserver [options] [port]          default port 8990
//
// Look for: netstat shows the second client ESTABLISHED, with its bytes in Recv-Q and no process beside it, although
// nobody has called accept() for it; tcpdump shows its data acknowledged, by the kernel. With --bug no-close every
// served client leaves a CLOSE_WAIT behind that stays until the server ends.
#include "../tcp.hpp"

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
    }
    return total;  // read() returned 0: the peer's FIN is here, our socket is in CLOSE_WAIT
}

static void serve(tcp::Connection connection, bool verbose, bool no_close) {
    try {
        size_t total = echo(connection, verbose);
        if (!no_close) connection.socket.close();  // our FIN leaves here
        tcp::log(no_close ? "fin" : "closed", "peer=%s bytes=%zu", connection.peer.text().c_str(), total);
    } catch (const std::system_error& error) {  // this client's trouble is not the server's
        tcp::log(error.code().value() == ECONNRESET ? "reset" : "failed", "%s", error.what());
    }
    if (no_close) connection.socket.release();  // the bug: the descriptor is forgotten, our FIN never leaves
}

int main(int argc, char** argv) try {
    tcp::Server_options server{8990};
    bool no_close = false;
    tcp::Duration pause_accept{};
    server.parse(argc, argv,
                 {{'p', "pause-accept", "D", "wait D before each accept (lab 04)",
                   [&](auto v) { pause_accept = tcp::duration("--pause-accept", v, "0", "10m"); }},
                  {0, "bug", "no-close", "never close the connected socket (lab 03)", [&](auto v) {
                       if (!(no_close = !strcmp(v, "no-close"))) throw tcp::Usage_error("--bug must be no-close");
                   }}});

    auto end = [](int) { _exit(0); };  // the kernel closes what is open
    signal(SIGTERM, end);
    signal(SIGINT, end);
    tcp::Descriptor listener = server.listen();
    for (;;) {
        if (pause_accept.count()) usleep(unsigned(pause_accept.count() / 1000));
        auto connection = tcp::accept(listener, server.idle_timeout);  // the oldest connection of the accept queue
        if (!connection) continue;
        tcp::log("accepted", "peer=%s", connection->peer.text().c_str());
        serve(std::move(*connection), server.verbose, no_close);  // and nobody else until this client is done
    }
} catch (const std::exception& error) { return tcp::report(error); }
