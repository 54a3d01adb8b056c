// tcp.hpp - sockets, and nothing else: one connection between two hosts, as a textbook draws it. Header only: a program
// that includes it builds with `g++ -std=c++17 FILE.cpp`. What surrounds a program stands in program.hpp.
#pragma once
#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace tcp {

// ---- errors, time, descriptors ------------------------------------------------------------------------------------

/// Throws std::system_error "CALL: what the error means"; `call` names the call and the address.
[[noreturn]] inline void fail(const std::string& call, int error = errno) {
    throw std::system_error(error, std::generic_category(), call);
}

using Duration = std::chrono::nanoseconds;
/// For ppoll(2) and its like.
inline timespec to_timespec(Duration time) { return {time.count() / 1000000000, time.count() % 1000000000}; }
/// For SO_RCVTIMEO (socket(7)) and setitimer(2): microseconds.
inline timeval to_timeval(Duration time) { return {time.count() / 1000000000, time.count() % 1000000000 / 1000}; }

/// Owns one descriptor: moved, never copied, so that everybody can say when close(2) is called.
class Descriptor {
    int fd_ = -1;

public:
    Descriptor() = default;
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Descriptor() { close(); }
    int fd() const { return fd_; }
    /// Gives the descriptor up without closing it.
    int release() { return std::exchange(fd_, -1); }
    /// Never repeated on EINTR: Linux has given the number back already (close(2)).
    void close() {
        if (fd_ >= 0) ::close(release());
    }
};

// ---- addresses ----------------------------------------------------------------------------------------------------

/// An IPv4 or IPv6 socket address (ip(7), ipv6(7)).
struct Address {
    union {
        sockaddr any;
        sockaddr_in v4;
        sockaddr_in6 v6{};
    };
    socklen_t size() const { return any.sa_family == AF_INET6 ? sizeof v6 : sizeof v4; }
    int port() const { return ntohs(v4.sin_port); }  // stands at the same place in both
    void set_port(int port) { v4.sin_port = htons(uint16_t(port)); }
    /// "10.98.0.1:8990" or "[::1]:8990". Numbers: no name server can delay an accept loop.
    std::string text() const {
        char host[INET6_ADDRSTRLEN];
        const void* bytes = &v4.sin_addr;
        if (any.sa_family == AF_INET6) bytes = &v6.sin6_addr;
        std::string text = inet_ntop(any.sa_family, bytes, host, sizeof host);
        if (any.sa_family == AF_INET6) text = "[" + text + "]";
        return text + ":" + std::to_string(port());
    }
};

/// "10.98.0.1", "::1", "fe80::1%eth0": an address written in numbers; nothing for a name (inet_pton(3)).
inline std::optional<Address> numeric_address(const std::string& host, int port) {
    Address address;
    size_t zone = host.find('%');
    if (inet_pton(AF_INET, host.c_str(), &address.v4.sin_addr) == 1) address.any.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, host.substr(0, zone).c_str(), &address.v6.sin6_addr) == 1)
        address.any.sa_family = AF_INET6;
    else return {};
    if (zone != host.npos) {
        address.v6.sin6_scope_id = if_nametoindex(host.c_str() + zone + 1);
        if (address.v6.sin6_scope_id == 0) return {};  // there is no such interface
    }
    address.set_port(port);
    return address;
}

/// All addresses of a host, in the order to try them (getaddrinfo(3)). Throws std::runtime_error for a name without.
inline std::vector<Address> resolve(const std::string& host, int port) {
    addrinfo hints{}, *list = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    int error = getaddrinfo(host.c_str(), nullptr, &hints, &list);
    if (error) throw std::runtime_error(gai_strerror(error));
    std::vector<Address> found;
    for (addrinfo* each = list; each; each = each->ai_next) {
        Address address;
        memcpy(&address.v6, each->ai_addr, each->ai_addrlen);
        address.set_port(port);
        found.push_back(address);
    }
    freeaddrinfo(list);
    return found;
}

// ---- sockets ------------------------------------------------------------------------------------------------------

/// A socket option and the value that is wanted, an int; for SO_LINGER the seconds (socket(7), tcp(7)).
struct Socket_option {
    const char* name;
    int level, id, value;
};
inline void set_option(const Descriptor& socket, const Socket_option& option) {
    linger on{1, option.value};
    bool lingers = option.level == SOL_SOCKET && option.id == SO_LINGER;
    int error = lingers ? setsockopt(socket.fd(), SOL_SOCKET, SO_LINGER, &on, sizeof on)
                        : setsockopt(socket.fd(), option.level, option.id, &option.value, sizeof option.value);
    if (error) fail("setsockopt " + std::string(option.name) + "=" + std::to_string(option.value));
}

/// getsockname(2): the address and port that a socket has on this side.
inline Address local_address(const Descriptor& socket) {
    Address address;
    socklen_t size = sizeof address;
    if (getsockname(socket.fd(), &address.any, &size)) fail("getsockname");
    return address;
}

/// One side of a TCP connection: the connected (active) socket, and the peer's address and port for messages.
struct Connection {
    Descriptor socket;
    std::string peer;
};

/// read(2): bytes read; 0 is the peer's FIN. Throws ECONNRESET after its RST, ETIMEDOUT after the idle timeout.
inline size_t read(const Connection& from, void* data, size_t size) {
    for (;;) {
        ssize_t n = ::read(from.socket.fd(), data, size);
        if (n >= 0) return n;
        if (errno != EINTR) fail("read " + from.peer, errno == EAGAIN ? ETIMEDOUT : errno);
    }
}

/// send(2) until all is with the kernel. A peer that is gone is an exception here (EPIPE), never a SIGPIPE.
inline void write_all(const Connection& to, const void* data, size_t size) {
    const char* next = static_cast<const char*>(data);
    while (size > 0) {
        ssize_t n = send(to.socket.fd(), next, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail("write " + to.peer, errno == EAGAIN ? ETIMEDOUT : errno);
        next += n;
        size -= n;
    }
}

/// SO_RCVTIMEO and SO_SNDTIMEO: read() and write_all() throw ETIMEDOUT when nothing moves for that long; 0: never.
/// connect(2) obeys the second too, and says EINPROGRESS then.
inline void set_idle_timeout(const Descriptor& socket, Duration idle) {
    timeval limit = to_timeval(idle);
    for (int id : {SO_RCVTIMEO, SO_SNDTIMEO}) {
        if (setsockopt(socket.fd(), SOL_SOCKET, id, &limit, sizeof limit)) fail("setsockopt timeout");
    }
}

/// socket(2), bind(2), listen(2): the listening (passive) socket. Port 0: the kernel chooses one. SO_REUSEADDR lets
/// bind() succeed beside old connections whose server had it on too, never beside a listener.
inline Descriptor listening_socket(const Address& address, int backlog, bool reuseaddr,
                                   const std::vector<Socket_option>& options = {}) {
    Descriptor listener(socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (listener.fd() < 0) fail("socket");
    set_option(listener, {"reuseaddr", SOL_SOCKET, SO_REUSEADDR, reuseaddr});
    for (auto& option : options) set_option(listener, option);
    if (bind(listener.fd(), &address.any, address.size())) fail("bind " + address.text());
    if (listen(listener.fd(), backlog)) fail("listen " + address.text());
    return listener;
}

/// accept4(2), the peer's address with it: getpeername() fails when the peer has reset already. Nothing for a signal and
/// for a connection that died in the queue; throws when none can be accepted, for want of descriptors (EMFILE) too.
inline std::optional<Connection> accept(const Descriptor& listener) {
    Address peer;
    socklen_t size = sizeof peer;
    Descriptor socket(accept4(listener.fd(), &peer.any, &size, SOCK_CLOEXEC));
    if (socket.fd() >= 0) return Connection{std::move(socket), peer.text()};
    for (int ours : {EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP, EFAULT, EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
        if (errno == ours) fail("accept");
    }
    return {};
}

/// socket(2), bind(2) if a local port is given, connect(2): the connected (active) socket. Tries one address after the
/// other; each has `limit` to answer (0: as long as the kernel repeats the SYN).
inline Connection connected_socket(const std::vector<Address>& peers, int local_port, Duration limit,
                                   const std::vector<Socket_option>& options = {}) {
    int error = EADDRNOTAVAIL;
    for (auto& peer : peers) {
        Connection connection{Descriptor(socket(peer.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)), peer.text()};
        if (connection.socket.fd() < 0) fail("socket");
        for (auto& option : options) set_option(connection.socket, option);
        Address local;  // any address of ours
        local.any.sa_family = peer.any.sa_family;
        local.set_port(local_port);
        if (local_port && bind(connection.socket.fd(), &local.any, local.size())) fail("bind " + local.text());
        set_idle_timeout(connection.socket, limit);
        do error = connect(connection.socket.fd(), &peer.any, peer.size()) ? errno : 0;
        while (error == EINTR);  // a signal: Linux goes on with the same handshake
        set_idle_timeout(connection.socket, {});
        if (error == 0) return connection;
    }
    if (error == EINPROGRESS || error == EALREADY) error = ETIMEDOUT;  // the second after a signal
    fail(peers.empty() ? "connect" : "connect " + peers.back().text(), error);
}

}  // namespace tcp
