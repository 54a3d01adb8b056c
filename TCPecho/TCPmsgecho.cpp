// TCPmsgecho - TCP has no messages: it carries bytes, and one read may bring half of what was written, or three writes at
// once. Here both sides make messages of them: 4 bytes of length in network byte order, then so many bytes; length 0 ends.
//
//   TCPmsgecho [options] host [port]       each line of stdin is a message; shows those that come back (port 8990)
//   TCPmsgecho --listen [options] [port]   the sequential server: complete messages go back
//
// Look for: with --split 1 and --verbose the server logs more reads than messages, with --merge fewer. tcpdump shows that
// segments follow neither: with --split 4 the text waits for the ACK of its length (Nagle), that ACK for a reply (delayed).
#include "../seqserver/server.hpp"
#include "messages.hpp"
#include "show.hpp"

static tcp::Server_options server{8990};
static bool listens = false;
static size_t max_message = 64 * 1024, split = SIZE_MAX;
static int merge = 1;
static std::string host;
static char buffer[256 * 1024];

// ---- the server -----------------------------------------------------------------------------------------------------

// Complete messages go back, until length 0 or the peer's FIN. Returns how many.
static size_t echo(const tcp::Connection& connection) {
    tcp::Messages messages(max_message);
    size_t count = 0;
    bool over = false;
    while (size_t n = tcp::read(connection, buffer, sizeof buffer)) {
        if (server.verbose) tcp::log_data("read", connection, buffer, n);
        if (over) continue;  // what comes after length 0; left unread it would make close() send RST
        messages.add(buffer, n);
        std::string message, replies;
        while (messages.next(message)) {
            over = message.empty();
            if (over) break;
            if (server.verbose) tcp::log_data("message", connection, message.data(), message.size());
            replies += tcp::framed(message);
            ++count;
        }
        tcp::write_all(connection, replies.data(), replies.size());
        if (over) shutdown(connection.socket.fd(), SHUT_WR);  // our FIN leaves here
        else messages.refuse_too_long();
    }
    return count;
}

static void serve(tcp::Connection connection) {
    try {
        size_t count = echo(connection);
        connection.socket.close();  // our FIN leaves here, if it has not before
        tcp::log("closed", "peer=%s messages=%zu", connection.peer.c_str(), count);
    } catch (const std::length_error& error) {
        tcp::log("refused", "peer=%s %s", connection.peer.c_str(), error.what());
    } catch (const std::exception& error) {  // this client's trouble is not the server's
        tcp::log_failure(error);
    }
}

[[noreturn]] static void serve_all() {
    tcp::log_without_waiting();
    signal(SIGPIPE, SIG_IGN);  // whoever reads our log may be gone: write() says EPIPE then, instead of ending us
    auto stop = [](int) { _exit(0); };  // the kernel closes what is open
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    tcp::Descriptor listener = server.listen();
    for (;;) {
        auto connection = server.accept(listener);
        if (!connection) continue;
        tcp::log("accepted", "peer=%s", connection->peer.c_str());
        serve(std::move(*connection));
    }
}

// ---- the client -----------------------------------------------------------------------------------------------------

// The next line of stdin as a message; with --merge several. Nothing at the end.
static std::string next_messages() {
    static char* line = nullptr;
    static size_t room = 0;
    std::string bytes;
    for (int i = 0; i < merge; ++i) {
        ssize_t size = getline(&line, &room, stdin);
        if (size < 0 && ferror(stdin)) tcp::fail("read stdin");
        if (size < 0) break;
        bytes += tcp::framed({line, size_t(size)});
    }
    return bytes;
}

// Shows the messages that have come, which must be what `bytes` has from `back` on.
static void take_replies(tcp::Messages& messages, const std::string& bytes, size_t& back) {
    std::string message;
    while (messages.next(message)) {
        std::string reply = tcp::framed(message);
        if (bytes.compare(back, reply.size(), reply))
            throw std::runtime_error("another message came back than was sent");
        tcp::show(message.data(), message.size());
        back += reply.size();
    }
    messages.refuse_too_long();
}

// Sends, at most `split` bytes in a write, and takes replies meanwhile: a server that cannot get rid of them reads no more.
// False if the connection is over before all are back.
static bool send_and_receive(const tcp::Connection& connection, const std::string& bytes) {
    tcp::Messages messages(bytes.size());
    for (size_t sent = 0, back = 0; back < bytes.size();) {
        pollfd ready{connection.socket.fd(), short(sent < bytes.size() ? POLLIN | POLLOUT : POLLIN), 0};
        if (poll(&ready, 1, -1) < 0) continue;  // a signal
        if (ready.revents & POLLOUT) {
            size_t size = std::min(bytes.size() - sent, split);
            ssize_t n = send(connection.socket.fd(), &bytes[sent], size, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN) tcp::fail("write " + connection.peer);
            if (server.verbose && n > 0) tcp::log_data("wrote", connection, &bytes[sent], n);
            sent += std::max<ssize_t>(n, 0);
        } else {
            size_t n = tcp::read(connection, buffer, sizeof buffer);
            if (n == 0) return false;
            if (server.verbose) tcp::log_data("read", connection, buffer, n);
            messages.add(buffer, n);
            take_replies(messages, bytes, back);
        }
    }
    return true;
}

// True if every message came back.
static bool converse(const tcp::Connection& connection) {
    int rounds = 0;
    tcp::Duration waited{};
    for (auto bytes = next_messages(); !bytes.empty(); bytes = next_messages()) {
        auto asked = std::chrono::steady_clock::now();
        if (!send_and_receive(connection, bytes)) {
            tcp::log("fin", "the server has closed its side before it has answered");
            return false;
        }
        waited += std::chrono::steady_clock::now() - asked;
        ++rounds;
    }
    std::string end = tcp::framed("");
    tcp::write_all(connection, end.data(), end.size());
    double seconds = std::chrono::duration<double>(waited).count();
    if (tcp::read(connection, end.data(), end.size()) > 0) throw std::runtime_error("more came back than was sent");
    tcp::log("fin", "the server has closed its side: rounds=%d mean-time=%.6fs", rounds, seconds / std::max(1, rounds));
    return true;
}

static void parse(int argc, char** argv) {
    auto operands =
        tcp::parse_options(argc, argv, "[options] host [port]; or --listen [options] [port]",
                           server.options({{0, "listen", nullptr, "be the server", [](auto) { listens = true; }},
                                           {0, "max-message", "N", "server: refuse longer messages (64k)",
                                            [](auto v) { max_message = tcp::bytes("--max-message", v, "1", "16m"); }},
                                           {0, "split", "N", "client: at most N bytes in a write",
                                            [](auto v) { split = tcp::bytes("--split", v, "1", "1m"); }},
                                           {0, "merge", "N", "client: N messages in a write (1)",
                                            [](auto v) { merge = tcp::number("--merge", v, "1", "1000"); }}}),
                           0, 2);
    if (!listens && operands.empty()) throw tcp::Usage_error("a host is missing; --help shows the options");
    if (listens && operands.size() > 1) throw tcp::Usage_error("--listen takes a port, and no host: --address has it");
    if (!listens) host = operands[0];
    size_t port_at = listens ? 0 : 1;
    if (operands.size() > port_at) server.port = tcp::number("port", operands[port_at], listens ? "0" : "1", "65535");
    server.port = tcp::take_port(server.address, server.port);
}

int main(int argc, char** argv) try {
    parse(argc, argv);
    tcp::open_standard_descriptors();
    if (listens) serve_all();

    auto connection = tcp::connected_socket(tcp::server_addresses(host, server.port), 0, {}, server.socket_options);
    std::string local = tcp::local_address(connection.socket).text();
    tcp::log("connected", "peer=%s local=%s", connection.peer.c_str(), local.c_str());
    return converse(connection) ? 0 : 1;
} catch (const std::exception& error) { return tcp::report(error); }
