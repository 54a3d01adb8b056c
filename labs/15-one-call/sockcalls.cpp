// sockcalls - one call at a time: each line of stdin is a call of the sockets API. Shows what it returned, and then every
// socket that was made here, in the state that the kernel has it in.
//
//   sockcalls [--log]            then: socket, bind 3 0.0.0.0 8990, listen 3 5, accept 3, recv 4 100, close 4; help
//
// Look for: which calls return at once and which wait (Ctrl-C ends the waiting: EINTR); which of them let a segment leave
// (tcpdump); that a state changes without a call, when the peer does something. netstat has a row for a socket from
// listen() or connect() on, and keeps it after close() for as long as the kernel has something to do for it.
#include "../../program.hpp"
#include "../../seqserver/states.hpp"

#include <csignal>
#include <fstream>
#include <iostream>
#include <sstream>

using std::string, tcp::State;

struct Socket {
    int fd;  // -1 after close()
    tcp::Address local{}, peer{};
    bool connected = false;
};
static std::vector<Socket> sockets;  // all that were made here, until the kernel has forgotten them
static char received[64 * 1024];
static bool logs = false;

// ---- the state that the kernel has a socket in ----------------------------------------------------------------------

// What goes on without a descriptor is in the table that netstat reads; closed: the kernel has forgotten it.
static State state_in_table(const Socket& socket) {
    unsigned local, peer, state;
    for (const char* path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
        std::ifstream table(path);
        for (string line; std::getline(table, line);) {
            if (sscanf(line.c_str(), " %*d: %*[^:]:%x %*[^:]:%x %x", &local, &peer, &state) != 3) continue;
            if (int(local) == socket.local.port() && int(peer) == socket.peer.port()) return State(state);
        }
    }
    return State::closed;
}

// One row. False for a socket that is gone: that is shown once.
static bool show(Socket& socket) {
    tcp_info info{};  // of a listening socket: how many wait in its accept queue
    socklen_t size = sizeof info;
    info.tcpi_state = unsigned(State::closed);
    if (socket.fd >= 0) getsockopt(socket.fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    auto state = State(info.tcpi_state);
    if (state == State::closed && socket.connected) state = state_in_table(socket);
    bool gone = socket.fd < 0 && state == State::closed;
    string name = socket.fd < 0 ? "closed" : "fd " + std::to_string(socket.fd), ends = socket.local.text();
    if (socket.connected) ends += " - " + socket.peer.text();
    if (state == State::listen) ends += "  waiting for accept: " + std::to_string(info.tcpi_unacked);
    printf("    %-6s  %-11s  %s\n", name.c_str(), gone ? "(gone)" : tcp::state_name(state), ends.c_str());
    return !gone;
}

// ---- the calls ------------------------------------------------------------------------------------------------------

static Socket* find(int fd) {
    auto found = std::find_if(sockets.begin(), sockets.end(), [&](auto& each) { return each.fd == fd; });
    return found == sockets.end() ? nullptr : &*found;
}
static int add(const Socket& socket) {
    if (socket.fd >= 0) sockets.push_back(socket);
    return socket.fd;
}

static int accept_one(int fd) {
    tcp::Address peer;
    socklen_t size = sizeof peer;
    return add({accept(fd, &peer.any, &size), peer, peer, true});
}
static int connect_to(int fd, const tcp::Address& peer) {
    int status = connect(fd, &peer.any, peer.size());
    if (Socket* socket = find(fd); socket && (status == 0 || errno == EINTR)) *socket = {fd, {}, peer, true};
    return status;
}

// The verb is the one that the suite's programs have in their logs. `last` is the last word that was typed.
static const struct Call {
    const char *name, *operands, *verb;
    std::function<ssize_t(int fd, const tcp::Address& address, const string& last)> make;
} calls[] = {
    {"socket", "inet|inet6", "",
     [](int, auto&, auto& last) { return add({socket(last == "inet6" ? AF_INET6 : AF_INET, SOCK_STREAM, 0)}); }},
    {"bind", "FD ADDRESS PORT", "",
     [](int fd, auto& address, auto&) { return bind(fd, &address.any, address.size()); }},
    {"listen", "FD BACKLOG", "",
     [](int fd, auto&, auto& last) { return listen(fd, tcp::number("BACKLOG", last.c_str(), "0", "65535")); }},
    {"accept", "FD", "accepted", [](int fd, auto&, auto&) { return accept_one(fd); }},
    {"connect", "FD ADDRESS PORT", "connected", [](int fd, auto& address, auto&) { return connect_to(fd, address); }},
    {"send", "FD TEXT", "wrote",
     [](int fd, auto&, auto last) {
         for (size_t at = last.find("\\n"); at != last.npos; at = last.find("\\n")) last.replace(at, 2, "\n");
         return send(fd, last.data(), last.size(), MSG_NOSIGNAL);
     }},
    {"recv", "FD BYTES", "read",
     [](int fd, auto&, auto& last) { return recv(fd, received, tcp::bytes("BYTES", last.c_str(), "1", "64k"), 0); }},
    {"shutdown", "FD rd|wr|rdwr", "half-closed",
     [](int fd, auto&, auto& last) {
         return shutdown(fd, last == "rd" ? SHUT_RD : last == "wr" ? SHUT_WR : SHUT_RDWR);
     }},
    {"close", "FD", "closed", [](int fd, auto&, auto&) { return close(fd); }}};

// "EADDRINUSE (Address already in use)"
static string error_text() {
    static const int numbers[] = {EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EBADF,    ECONNREFUSED, ECONNRESET,
                                  EINTR,      EINVAL,        EISCONN,      ENOTCONN, EPIPE,        ETIMEDOUT};
    static const char* const names[] = {"EADDRINUSE",   "EADDRNOTAVAIL", "EAFNOSUPPORT", "EBADF",
                                        "ECONNREFUSED", "ECONNRESET",    "EINTR",        "EINVAL",
                                        "EISCONN",      "ENOTCONN",      "EPIPE",        "ETIMEDOUT"};
    size_t which = std::find(std::begin(numbers), std::end(numbers), errno) - std::begin(numbers);
    return (which < std::size(names) ? names[which] : std::to_string(errno)) + " (" + strerror(errno) + ")";
}

// Makes the call. What is called stands there first: a call that waits is seen to wait.
static void make(const Call& call, const std::vector<string>& words) {
    string text = call.name + ("(" + words[0]), verb = call.verb, result;
    for (size_t i = 1; i < words.size(); ++i) text += ", " + words[i];
    for (char& c : text) c = isprint((unsigned char)c) ? c : '?';
    printf("%s)", text.c_str());
    fflush(stdout);
    int fd = call.operands[0] == 'F' ? tcp::number("FD", words[0].c_str(), "3", "65535") : -1;
    tcp::Address address;
    if (words.size() == 3)
        address = tcp::server_addresses(words[1], tcp::number("PORT", words[2].c_str(), "0", "65535")).front();
    ssize_t n = call.make(fd, address, words.back());
    if (n < 0) result = " " + error_text();
    else if (verb == "read") result = " " + tcp::printable(received, n);
    printf(" = %zd%s\n", n, result.c_str());
    Socket* socket = find(verb == "accepted" || call.name == string("socket") ? int(n) : fd);
    if (!socket) return;
    socklen_t size = sizeof socket->local;
    getsockname(socket->fd, &socket->local.any, &size);
    if (n < 0) return;
    if (n == 0 && verb == "read") verb = "fin";
    if (logs && socket->connected)
        tcp::log(verb.c_str(), "peer=%s bytes=%zd local=%s", socket->peer.text().c_str(), n,
                 socket->local.text().c_str());
    if (verb == "closed") socket->fd = -1;
}

// "bind 3 0.0.0.0 8990": as many words as the call has operands, the last to the end of the line.
static void read_and_make(const string& line) {
    std::istringstream in(line);
    string name, rest;
    in >> name;
    for (auto& call : calls) {
        if (call.name != name) continue;
        std::vector<string> words;
        for (const char* at = call.operands; at; at = strchr(at + 1, ' ')) in >> words.emplace_back();
        std::getline(in, rest);
        words.back() += rest;
        if (words.back().empty()) throw tcp::Usage_error("it is " + name + " " + call.operands);
        return make(call, words);
    }
    string known;
    for (auto& call : calls) known += string("\n    ") + call.name + " " + call.operands;
    if (!name.empty()) throw tcp::Usage_error("the calls are" + known);
}

int main(int argc, char** argv) try {
    auto log_too = [](auto) { logs = true; };
    tcp::parse_options(argc, argv, "[options]",
                       {{0, "log", nullptr, "log calls to stderr, as servers and clients do", log_too}}, 0, 0);
    tcp::open_standard_descriptors();
    struct sigaction interrupt {};  // without SA_RESTART: a call that waits returns EINTR
    interrupt.sa_handler = [](int) {};
    sigaction(SIGINT, &interrupt, nullptr);
    for (string line; std::getline(std::cin, line);) {
        try {
            read_and_make(line);
        } catch (const std::exception& error) { printf(" no call: %s\n", error.what()); }
        auto gone = std::remove_if(sockets.begin(), sockets.end(), [](auto& socket) { return !show(socket); });
        sockets.erase(gone, sockets.end());
        fflush(stdout);
    }
} catch (const std::exception& error) { return tcp::report(error); }
