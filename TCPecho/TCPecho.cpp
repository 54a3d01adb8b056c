// TCPecho - the echo client: stdin goes to the server and what comes back to stdout, both directions at once.
//
//   TCPecho [options] host [port]       default port 8990; exit status 0 only if every byte came back
//
// Look for: at the end of stdin (Ctrl-D) our FIN leaves and netstat shows FIN_WAIT2 here, CLOSE_WAIT there, for as long
// as replies are in flight; after the server's FIN, TIME_WAIT stays here, because we closed first.
#include "show.hpp"

enum class Close { orderly, abort, unread };

// What went one way: how much, and a sum (FNV-1a) that shows whether it came back unchanged.
struct Flow {
    uint64_t bytes = 0, sum = 14695981039346656037u;
    void add(const char* data, size_t size) {
        bytes += size;
        for (size_t i = 0; i < size; ++i) sum = (sum ^ (unsigned char)data[i]) * 1099511628211u;
    }
};

static std::string host;
static int port = 8990, local_port = 0;
static tcp::Duration connect_timeout{};
static std::vector<tcp::Socket_option> options;
static Close how = Close::orderly;
static bool verbose = false;

static tcp::Connection server;
static bool input_open = true;  // stdin has not ended
static std::string unsent;      // read from stdin, not yet taken by the kernel
static Flow sent, received;

static void read_input() {
    char buffer[64 * 1024];
    ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
    if (n < 0) tcp::fail("read stdin");
    unsent.assign(buffer, n);
    if (n > 0) return;
    input_open = false;
    if (how != Close::orderly) return;
    shutdown(server.socket.fd(), SHUT_WR);  // our FIN leaves here: nothing more to send, but still reading
    tcp::log("half-closed", "sent=%lu", sent.bytes);
}

// As much as the kernel has room for: whoever waits here cannot read, and a server that waits too never would.
static void write_some() {
    ssize_t n = send(server.socket.fd(), unsent.data(), unsent.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) tcp::fail("write " + server.peer);
    if (verbose) tcp::log("wrote", "bytes=%zd data=%s", n, tcp::printable(unsent.data(), n).c_str());
    sent.add(unsent.data(), n);
    unsent.erase(0, n);
}

// False when the server's FIN is here.
static bool read_echo() {
    static char buffer[256 * 1024];
    size_t n = tcp::read(server, buffer, sizeof buffer);
    if (n == 0) {
        tcp::log("fin", "the server has closed its side: sent=%lu received=%lu%s", sent.bytes, received.bytes,
                 input_open ? " before the end of our input" : "");
        return false;
    }
    if (verbose) tcp::log("read", "bytes=%zu data=%s", n, tcp::printable(buffer, n).c_str());
    received.add(buffer, n);
    tcp::show(buffer, n);
    return true;
}

// SO_LINGER with time 0: close() throws away what is queued and sends RST instead of FIN; no TIME_WAIT (socket(7)).
static void abort_connection() {
    tcp::set_option(server.socket, {"linger", SOL_SOCKET, SO_LINGER, 0});
    server.socket.close();
    tcp::log("closed", "by RST (SO_LINGER 0): sent=%lu received=%lu", sent.bytes, received.bytes);
}

// Bytes wait in our receive queue and nobody will read them: close() sends RST, so that the server knows (RFC 1122,
// 4.2.2.13).
static void close_unread() {
    server.socket.close();
    tcp::log("closed", "with data unread: sent=%lu received=0", sent.bytes);
}

// Both directions, until the connection is over.
static void converse() {
    bool reads = how != Close::unread;  // who never reads leaves the echo in the receive queue
    for (;;) {
        bool waits = !unsent.empty(), done = !input_open && !waits;
        if (done && how == Close::abort && received.bytes == sent.bytes) return abort_connection();
        short network = short((reads || done ? POLLIN : 0) | (waits ? POLLOUT : 0));
        pollfd ready[] = {{input_open && !waits ? STDIN_FILENO : -1, POLLIN, 0}, {server.socket.fd(), network, 0}};
        if (poll(ready, 2, -1) < 0) continue;  // a signal
        if (ready[1].revents && done && !reads) return close_unread();
        if (ready[0].revents) read_input();
        if (ready[1].revents & POLLOUT) write_some();
        if (ready[1].revents & ~POLLOUT && !read_echo()) return;
    }
}

static Close close_named(const std::string& word) {
    if (word == "orderly") return Close::orderly;
    if (word == "abort") return Close::abort;
    if (word == "unread") return Close::unread;
    throw tcp::Usage_error("--close must be orderly, abort or unread");
}

static void parse(int argc, char** argv) {
    auto operands = tcp::parse_options(
        argc, argv, "[options] host [port]",
        {{'l', "local-port", "PORT", "connect from this port (the kernel's choice)",
          [](auto v) { local_port = tcp::number("--local-port", v, "1", "65535"); }},
         {'t', "connect-timeout", "D", "give up connecting after D (the kernel: 2m)",
          [](auto v) { connect_timeout = tcp::duration("--connect-timeout", v, "1ms", "10m"); }},
         {0, "close", "HOW", "orderly (FIN), abort (RST) or unread (RST)", [](auto v) { how = close_named(v); }},
         {'v', "verbose", nullptr, "log the data too", [](auto) { verbose = true; }},
         tcp::socket_options_go_to(options)},
        1, 2);
    host = operands[0];
    if (operands.size() > 1) port = tcp::number("port", operands[1], "1", "65535");
}

int main(int argc, char** argv) try {
    parse(argc, argv);
    tcp::open_standard_descriptors();

    server = tcp::connected_socket(tcp::server_addresses(host, port), local_port, connect_timeout, options);
    tcp::log("connected", "peer=%s local=%s", server.peer.c_str(), tcp::local_address(server.socket).text().c_str());
    converse();
    bool all_back = !input_open && sent.bytes == received.bytes && sent.sum == received.sum;
    return all_back ? 0 : 1;
} catch (const std::system_error& error) {
    if (error.code().value() == ECONNRESET) tcp::log("reset", "the server sent RST");
    return tcp::report(error);
} catch (const std::exception& error) { return tcp::report(error); }
