// tcp.hpp - what every program of this suite repeats and no lab is about: errors, addresses, the log, sockets, signals,
// the command line. Header only: `g++ -std=c++17 -I. seqserver/seqserver.cpp` builds a program. What the labs are
// about (the accept loop, fork, the echo loop, the order of closes) stands in the programs.
#pragma once
#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cmath>
#include <csignal>
#include <cstdarg>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace tcp {

using std::string;
using Duration = std::chrono::nanoseconds;
inline const char* const version = "1.0";

// ---- errors and descriptors ---------------------------------------------------------------------------------------

/// The command line asks for what cannot be: exit status 2.
struct Usage_error : std::runtime_error {
    using runtime_error::runtime_error;
};

/// Throws std::system_error "CALL: what the error means"; `call` names the call and the address.
[[noreturn]] inline void fail(const string& call, int error = errno) {
    throw std::system_error(error, std::generic_category(), call);
}

/// For main's catch: one line to stderr; returns the exit status, 2 for usage and 1 for failures.
inline int report(const std::exception& error) {
    dprintf(STDERR_FILENO, "%s: %s\n", program_invocation_short_name, error.what());
    return dynamic_cast<const Usage_error*>(&error) ? 2 : 1;
}

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

/// Bytes from the network made safe to print: quoted, escaped, cut after `limit` bytes.
inline string printable(const char* data, size_t size, size_t limit = 60) {
    string text = "\"";
    for (size_t i = 0; i < std::min(size, limit); ++i) {
        char escaped[8], c = data[i];
        bool plain = c >= ' ' && c <= '~' && c != '"' && c != '\\';
        snprintf(escaped, sizeof escaped, c == '\n' ? "\\n" : c == '\r' ? "\\r" : plain ? "%c" : "\\x%02x", c & 0xff);
        text += escaped;
    }
    return text + (size > limit ? "\"..." : "\"");
}

// ---- numbers on the command line ----------------------------------------------------------------------------------

using Units = std::map<string, double>;
inline const Units plain_units{{"", 1}}, size_units{{"", 1}, {"k", 1024}, {"m", 1048576}, {"g", 1073741824}};
inline const Units time_units{{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
inline const Units second_units{{"", 1e9},  {"ns", 1},   {"us", 1e3},  {"ms", 1e6},
                                {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};  // a bare number means seconds

/// "12", "64k", "1m30s": the sum of number and unit pairs; NAN for anything else. "0" needs no unit.
inline double amount(const char* text, const Units& units) {
    double sum = *text ? 0 : NAN;
    while (*text) {
        size_t digits = strspn(text, "0123456789"), letters = strcspn(text + digits, "0123456789");
        auto unit = units.find(string(text + digits, letters));
        if (digits == 0 || (unit == units.end() && (letters || strcmp(text, "0")))) return NAN;
        sum += strtod(string(text, digits).c_str(), nullptr) * (unit == units.end() ? 0 : unit->second);
        text += digits + letters;
    }
    return sum;
}
/// The amount in `text` if it is within low..high; else a Usage_error that names option, range and what was given.
inline int64_t quantity(const string& option, const char* text, const char* low, const char* high,
                        const Units& units = plain_units) {
    double value = amount(text, units);
    if (value >= amount(low, units) && value <= amount(high, units)) return int64_t(value);
    throw Usage_error(option + " must be " + low + ".." + high + ", not " + printable(text, strlen(text)));
}
inline int number(const string& option, const char* text, const char* low, const char* high) {
    return int(quantity(option, text, low, high));
}
inline size_t bytes(const string& option, const char* text, const char* low, const char* high) {
    return quantity(option, text, low, high, size_units);
}
inline Duration duration(const string& option, const char* text, const char* low, const char* high,
                         const Units& units = time_units) {
    return Duration(quantity(option, text, low, high, units));
}

/// A log line: what does not fit is left out, with room for the '\n' kept.
struct Line {
    char text[512];
    size_t size = 0;
    size_t room() const { return sizeof text - 1 - size; }
    void operator+=(char c) {
        if (room()) text[size++] = c;
    }
    void operator+=(const char* s) {
        while (*s) *this += *s++;
    }
};
/// Appends n in decimal, with at least `width` digits, to a Line or a std::string.
template <typename Text>
void put(Text& to, int64_t n, int width = 1) {
    if (n < 0) to += '-', n = -n;
    if (n > 9 || width > 1) put(to, n / 10, width - 1);
    to += char('0' + n % 10);
}

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
    string text() const {
        char host[INET6_ADDRSTRLEN];
        string text;
        if (any.sa_family == AF_INET6)
            text = string("[") + inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof host) + "]:";
        else
            for (int shift = 24; shift >= 0; shift -= 8)
                put(text, ntohl(v4.sin_addr.s_addr) >> shift & 255), text += shift ? '.' : ':';
        put(text, port());
        return text;
    }
};

/// "10.98.0.1", "::1", "fe80::1%eth0"; nothing for a name.
inline std::optional<Address> numeric_address(const string& host, int port) {
    Address address;
    size_t zone = host.find('%');
    if (inet_pton(AF_INET, host.c_str(), &address.v4.sin_addr) == 1)
        address.any.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, host.substr(0, zone).c_str(), &address.v6.sin6_addr) == 1)
        address.any.sa_family = AF_INET6;
    else
        return {};
    if (zone != host.npos && !(address.v6.sin6_scope_id = if_nametoindex(host.c_str() + zone + 1))) return {};
    address.set_port(port);
    return address;
}

/// All addresses of HOST, HOST:PORT or [IPV6]:PORT, IPv4 first. Names are asked of getent(1), because getaddrinfo(3)
/// in a static program loads shared libraries at run time. Throws Usage_error for a host that nobody knows.
inline std::vector<Address> resolve(string host, int port) {
    if (size_t end = host.rfind(']'), colon = host.find(':', end == host.npos ? 0 : end);
        colon != host.npos && (end != host.npos || host.find(':', colon + 1) == host.npos)) {
        port = number("port", host.c_str() + colon + 1, "0", "65535");
        host.erase(colon);
    }
    if (host.size() > 1 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    if (auto address = numeric_address(host, port)) return {*address};
    std::vector<Address> found;
    bool sane =
        std::all_of(host.begin(), host.end(), [](unsigned char c) { return isalnum(c) || strchr("._-", c); }) &&
        host.find_first_not_of("0123456789") != host.npos;  // "8990" is a port: getent would make 0.0.35.30 of it
    FILE* answer = sane ? popen(("getent ahosts -- " + host).c_str(), "re") : nullptr;
    for (char line[512], text[256]; answer && fgets(line, sizeof line, answer);)
        if (auto address = sscanf(line, "%255s STREAM", text) ? numeric_address(text, port) : std::nullopt;
            address && strstr(line, "STREAM"))
            found.insert(address->any.sa_family == AF_INET6 ? found.end() : found.begin(), *address);
    if (answer) pclose(answer);
    if (found.empty()) throw Usage_error("no host " + printable(host.data(), host.size()));
    return found;
}

// ---- log ----------------------------------------------------------------------------------------------------------

/// Local time minus UTC, in seconds, when the program started.
inline const long utc_offset = [] {
    time_t now = time(nullptr);
    tm local{};
    localtime_r(&now, &local);
    return local.tm_gmtoff;
}();

/// Lines that were thrown away since the last one that was written; forked children count in the same place.
inline std::atomic<uint64_t>* lost_lines = nullptr;
inline bool log_may_block = false;

/// Whoever reads our log may stop (a full pipe, Ctrl-S). From here on that stops nobody here: lines that have no room
/// are lost, and counted. A pipe or terminal gets an open file description of our own, because O_NONBLOCK on the one
/// that we were given would be everybody's who has it; where we may not have one, and for a socket, poll(2) is asked
/// before each line.
inline void never_wait_for_reader(int fd) {
    struct stat status;
    if (fstat(fd, &status) || S_ISREG(status.st_mode)) return;
    void* shared = lost_lines
                       ? lost_lines
                       : mmap(nullptr, sizeof *lost_lines, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) fail("mmap");
    if (!lost_lines) lost_lines = new (shared) std::atomic<uint64_t>{0};
    Descriptor own(open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (own.fd() < 0 || dup2(own.fd(), fd) < 0) log_may_block = true;
}

/// One write(2), so that lines of processes never mix. False if the line is lost for want of room; no reader at all
/// is no loss.
inline bool write_line(int fd, const char* data, size_t size) {
    pollfd room{fd, POLLOUT, 0};
    bool full = log_may_block && poll(&room, 1, 0) == 0;
    if (!full) full = write(fd, data, size) < 0 && errno == EAGAIN;
    if (full && lost_lines) ++*lost_lines;
    return !full;
}
/// How many lines have been lost since this was asked.
inline uint64_t take_lost_lines() { return lost_lines && *lost_lines ? lost_lines->exchange(0) : 0; }

/// "NAME[pid]: hh:mm:ss.uuuuuu VERB TEXT" to stderr. False if it is lost.
inline bool write_log(const char* verb, const char* text) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    long seconds = now.tv_sec + utc_offset;
    Line line;
    line += program_invocation_short_name, line += '[', put(line, getpid()), line += "]: ";
    put(line, seconds / 3600 % 24, 2), line += ':', put(line, seconds / 60 % 60, 2), line += ':',
        put(line, seconds % 60, 2);
    line += '.', put(line, now.tv_nsec / 1000, 6), line += ' ', line += verb, line += ' ', line += text;
    line.text[line.size++] = '\n';
    return write_line(STDERR_FILENO, line.text, line.size);
}

/// A line of the log: VERB key=value ... First, if lines were lost before and there is room again, "log lost=N".
/// A forked child pays a page fault for each page that it is the first to use, ten for snprintf(3) and
/// localtime_r(3): here are the %s %d %zu %lu that most lines have, and only who wants more calls vsnprintf(3), for
/// the rest of the line.
[[gnu::format(printf, 2, 3)]] inline void log(const char* verb, const char* format, ...) {
    Line line;
    va_list values;
    va_start(values, format);
    for (; *format; ++format) {
        if (*format != '%')
            line += *format;
        else if (format[1] == 's')
            line += va_arg(values, const char*), format += 1;
        else if (format[1] == 'd')
            put(line, va_arg(values, int)), format += 1;
        else if ((format[1] == 'z' || format[1] == 'l') && format[2] == 'u')
            put(line, va_arg(values, unsigned long)), format += 2;
        else {
            line.size +=
                std::min<size_t>(vsnprintf(line.text + line.size, line.room() + 1, format, values), line.room());
            break;
        }
    }
    va_end(values);
    line.text[line.size] = 0;
    if (uint64_t lost = take_lost_lines(); lost && !write_log("log", ("lost=" + std::to_string(lost)).c_str()))
        *lost_lines += lost;
    write_log(verb, line.text);
}

// ---- sockets ------------------------------------------------------------------------------------------------------

/// A socket option for the command line, --option NAME[=VALUE] (socket(7), tcp(7)).
struct Socket_option {
    const char* name;
    int level, id;
    const char *unit, *help;
};
inline const Socket_option socket_options[] = {
    {"nodelay", IPPROTO_TCP, TCP_NODELAY, "0|1", "small segments leave at once (no Nagle algorithm)"},
    {"cork", IPPROTO_TCP, TCP_CORK, "0|1", "only full segments leave, until uncorked or for 200 ms"},
    {"quickack", IPPROTO_TCP, TCP_QUICKACK, "0|1", "no delayed ACK, for the moment"},
    {"defer-accept", IPPROTO_TCP, TCP_DEFER_ACCEPT, "seconds", "accept() returns when data has come"},
    {"keepalive", SOL_SOCKET, SO_KEEPALIVE, "0|1", "probe an idle peer"},
    {"keepidle", IPPROTO_TCP, TCP_KEEPIDLE, "seconds", "idle time before the first probe"},
    {"keepintvl", IPPROTO_TCP, TCP_KEEPINTVL, "seconds", "time between probes"},
    {"keepcnt", IPPROTO_TCP, TCP_KEEPCNT, "probes", "unanswered probes before the connection is given up"},
    {"reuseport", SOL_SOCKET, SO_REUSEPORT, "0|1", "several listening sockets share the port"},
    {"rcvbuf", SOL_SOCKET, SO_RCVBUF, "bytes", "receive buffer; the kernel doubles it"},
    {"sndbuf", SOL_SOCKET, SO_SNDBUF, "bytes", "send buffer; the kernel doubles it"},
    {"maxseg", IPPROTO_TCP, TCP_MAXSEG, "bytes", "largest segment"},
    {"linger", SOL_SOCKET, SO_LINGER, "seconds", "close() waits for the last ACK; 0: close() sends RST"},
    {"linger2", IPPROTO_TCP, TCP_LINGER2, "seconds", "how long an orphan stays in FIN_WAIT2"},
    {"user-timeout", IPPROTO_TCP, TCP_USER_TIMEOUT, "ms", "give up when data stays unacknowledged that long"},
};
using Socket_options = std::vector<std::pair<const Socket_option*, int>>;  // what was asked for, with its value

inline void set_option(const Descriptor& socket, const Socket_option& option, int value) {
    linger on{1, value};
    bool lingers = option.id == SO_LINGER && option.level == SOL_SOCKET;
    if (setsockopt(socket.fd(), option.level, option.id, lingers ? (void*)&on : &value,
                   lingers ? sizeof on : sizeof value))
        fail("setsockopt " + string(option.name) + "=" + std::to_string(value));
}

/// "NAME[=VALUE]" from the command line, added to what was asked for; "list" prints the table and ends the program.
inline void add_socket_option(Socket_options& asked, const string& text) {
    string name = text.substr(0, text.find('='));
    for (auto& option : socket_options) {
        if (text == "list") printf("%-12s %-8s %s\n", option.name, option.unit, option.help);
        if (name != option.name) continue;
        const char* value = name == text ? "1" : text.c_str() + name.size() + 1;
        return void(asked.emplace_back(&option, bytes("--option " + name, value, "0", "1g")));
    }
    if (text == "list") exit(fflush(stdout) ? 1 : 0);
    throw Usage_error("--option: no socket option " + printable(name.data(), name.size()) +
                      "; --option list shows them");
}

/// One side of a TCP connection: the connected (active) socket, and the peer it is connected to.
struct Connection {
    Descriptor socket;
    Address peer;
};

/// read(2): bytes read; 0 is the peer's FIN. Throws ECONNRESET after its RST, ETIMEDOUT after the idle timeout.
inline size_t read(const Connection& from, void* data, size_t size) {
    for (;;) {
        ssize_t n = ::read(from.socket.fd(), data, size);
        if (n >= 0) return n;
        if (errno != EINTR) fail("read " + from.peer.text(), errno == EAGAIN ? ETIMEDOUT : errno);
    }
}

/// send(2) until all is with the kernel. A peer that is gone is an exception here (EPIPE), never a SIGPIPE.
inline void write_all(const Connection& to, const void* data, size_t size) {
    for (auto* next = static_cast<const char*>(data); size > 0;) {
        ssize_t n = send(to.socket.fd(), next, size, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) fail("write " + to.peer.text(), errno == EAGAIN ? ETIMEDOUT : errno);
        if (n > 0) next += n, size -= n;
    }
}

/// setsockopt(2) SO_RCVTIMEO and SO_SNDTIMEO: read() and write_all() throw ETIMEDOUT when nothing moves for that long.
inline void set_idle_timeout(const Descriptor& socket, Duration idle) {
    timeval limit{idle.count() / 1000000000, idle.count() % 1000000000 / 1000};
    for (int id : {SO_RCVTIMEO, SO_SNDTIMEO})
        if (setsockopt(socket.fd(), SOL_SOCKET, id, &limit, sizeof limit)) fail("setsockopt timeout");
}

/// getsockname(2): the address and port that a socket has on this side.
inline Address local_address(const Descriptor& socket) {
    Address address;
    socklen_t size = sizeof address;
    if (getsockname(socket.fd(), &address.any, &size)) fail("getsockname");
    return address;
}

/// " (1 LISTEN)": which sockets on the port make bind(2) or listen(2) say EADDRINUSE, read from /proc/net/tcp.
inline string port_holders(int wanted) {
    static const char* const names[] = {"?",         "ESTABLISHED", "SYN_SENT", "SYN_RECV",   "FIN_WAIT1",
                                        "FIN_WAIT2", "TIME_WAIT",   "CLOSE",    "CLOSE_WAIT", "LAST_ACK",
                                        "LISTEN",    "CLOSING",     "SYN_RECV"};
    std::map<string, const char*>
        states;  // by addresses and inode: a busy table, read piece by piece, shows sockets twice
    std::map<string, int> held;
    string text;
    for (const char* path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
        FILE* table = fopen(path, "re");
        unsigned port = 0, state = 0;
        for (char line[512], local[64], remote[64], inode[32]; table && fgets(line, sizeof line, table);)
            if (sscanf(line, " %*d: %63s %63s %x %*s %*s %*s %*s %*s %31s", local, remote, &state, inode) == 4 &&
                sscanf(local, "%*[^:]:%x", &port) == 1 && int(port) == wanted)
                states[string(local) + remote + inode] = names[state % 13];
        if (table) fclose(table);
    }
    for (auto& [ends, state] : states) ++held[state];
    for (auto& [state, count] : held)
        text += (text.empty() ? " (the port has " : ", ") + std::to_string(count) + " " + state;
    return text.empty() ? text
                        : text + (held.count("LISTEN") ? ": ss -ltnp shows whose)" : ": old connections hold it)");
}

/// socket, bind, listen; then, and not before, logs "listening on ADDR:PORT". Port 0: the kernel chooses.
/// SO_REUSEADDR lets bind(2) succeed beside old connections whose server had it on too, never beside a listener.
inline Descriptor listening_socket(Address address, int backlog, bool reuseaddr, const Socket_options& options = {}) {
    Descriptor listener(socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (listener.fd() < 0) fail("socket");
    set_option(listener, {"reuseaddr", SOL_SOCKET, SO_REUSEADDR, "0|1", ""}, reuseaddr);
    for (auto& [option, value] : options) set_option(listener, *option, value);
    auto in_use = [&] { return errno == EADDRINUSE ? port_holders(address.port()) : ""; };
    if (bind(listener.fd(), &address.any, address.size())) {
        int e = errno;
        fail("bind " + address.text() + in_use(), e);
    }
    if (listen(listener.fd(), backlog)) {
        int e = errno;
        fail("listen " + address.text() + in_use(), e);
    }
    log("listening", "on %s backlog=%d", local_address(listener).text().c_str(), backlog);
    return listener;
}

/// accept4(2), the peer's address with it: getpeername() fails when the peer has reset already. Returns nothing for a
/// signal, for a connection that died in the queue, and, after saying so once and 100 ms, while descriptors or memory
/// are out.
inline std::optional<Connection> accept(const Descriptor& listener, Duration idle_timeout = {}) {
    static thread_local bool starved = false;
    Connection connection;
    socklen_t size = sizeof connection.peer;
    connection.socket = Descriptor(accept4(listener.fd(), &connection.peer.any, &size, SOCK_CLOEXEC));
    if (connection.socket.fd() >= 0) {
        if (starved) starved = false;  // written only where it changes: a write after a fork copies the page
        if (idle_timeout.count()) set_idle_timeout(connection.socket, idle_timeout);
        return connection;
    }
    if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK || errno == EOPNOTSUPP || errno == EFAULT)
        fail("accept");
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        if (!std::exchange(starved, true)) log("waiting", "accept: %s", strerror(errno));
        poll(nullptr, 0, 100);
    }
    return {};
}

/// socket, bind if a local port is given, connect(2) to the first address that answers within `limit` (0: the
/// kernel's own).
inline Connection connected_socket(const std::vector<Address>& peers, int local_port, Duration limit,
                                   const Socket_options& options = {}) {
    for (auto& peer : peers) {
        Connection connection{Descriptor(socket(peer.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
                              peer};
        int fd = connection.socket.fd(), error = 0;
        socklen_t size = sizeof error;
        if (fd < 0) fail("socket");
        for (auto& [option, value] : options) set_option(connection.socket, *option, value);
        Address local = *numeric_address(peer.any.sa_family == AF_INET6 ? "::" : "0.0.0.0", local_port);
        if (local_port && bind(fd, &local.any, local.size())) fail("bind " + local.text());
        if (connect(fd, &peer.any, peer.size())) error = errno;
        pollfd writable{fd, POLLOUT, 0};
        int answered = -1;
        while (error == EINPROGRESS && answered < 0)
            answered = poll(&writable, 1, limit.count() ? int(limit.count() / 1000000) : -1);
        if (answered == 0)
            error = ETIMEDOUT;
        else if (error == EINPROGRESS)
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
        if (!error) return connection;
        if (&peer == &peers.back()) fail("connect " + peer.text(), error);
    }
    throw Usage_error("no address to connect to");
}

// ---- signals ------------------------------------------------------------------------------------------------------

/// The signals given are held back everywhere but in wait(): none is lost between a look at a flag and going to sleep
/// (select(2), "The self-pipe trick" and ppoll), and a handler may touch whatever the loop touches.
class Signals {
    sigset_t outside_{};
    mutable unsigned passes_ = 0;

public:
    Signals(std::initializer_list<std::pair<int, void (*)(int)>> handlers) {
        sigset_t held;
        sigemptyset(&held);
        for (auto& [number, handler] : handlers) signal(number, handler), sigaddset(&held, number);
        sigprocmask(SIG_BLOCK, &held, &outside_);
    }
    /// Until fd is readable (fd < 0: only a signal will do) or the time is over (0: never). True if readable. While
    /// one client comes within 10 ms of the other, signals wait for the 16th of them: else the end of each child
    /// would wake us by itself.
    bool wait(int fd, Duration limit = {}) const {
        pollfd readable{fd, POLLIN, 0};
        if (fd >= 0 && ++passes_ % 16 && poll(&readable, 1, 10) > 0) return true;
        timespec time{limit.count() / 1000000000, limit.count() % 1000000000};
        if (ppoll(&readable, 1, limit.count() ? &time : nullptr, &outside_) <= 0) return false;
        time = {};  // with something to read ppoll(2) has let no signal in: a busy server would never hear one
        ppoll(nullptr, 0, &time, &outside_);
        return true;
    }
    /// For a forked child: as before the constructor. Set the actions first, a signal that was held back comes now.
    void let_in() const { sigprocmask(SIG_SETMASK, &outside_, nullptr); }
};

/// The end of a server that forks: its children, `pids()` of those that its SIGCHLD handler has not reaped, have
/// `grace` to come to their end, or until `hurry()`. Then they are killed: SIGKILL ends those too that are stopped.
/// Nobody else's child is waited for: a shell that was replaced by exec(3) may have left us some.
template <typename Pids, typename Hurry>
void end_children(const Signals& signals, Duration grace, Pids pids, Hurry hurry) {
    using Clock = std::chrono::steady_clock;
    auto end = Clock::now() + grace;
    for (auto left = grace; !pids().empty() && !hurry() && left.count() > 0; left = end - Clock::now())
        signals.wait(-1, left);
    for (pid_t pid : pids()) kill(pid, SIGKILL);
    for (pid_t pid : pids()) waitpid(pid, nullptr, 0);
}

// ---- command line -------------------------------------------------------------------------------------------------

/// An option: its letter (0: none), long name, argument (null: none), help, and what it does. --help prints the same
/// table.
struct Option {
    char letter;
    const char *name, *argument, *help;
    std::function<void(const char*)> apply;
};

/// --show-options: what the kernel makes of the options asked for, as sockopts(1), which stands beside this program,
/// tells it.
[[noreturn]] inline void show_options(const Socket_options& asked) {
    char self[PATH_MAX];
    string path(self, std::max<ssize_t>(readlink("/proc/self/exe", self, sizeof self), 0));
    std::vector<string> words{path.substr(0, path.rfind('/') + 1) + "sockopts"};
    for (auto& [option, value] : asked)
        for (auto& known : socket_options)
            if (option == &known) words.push_back(option->name + ("=" + std::to_string(value)));
    std::vector<char*> pointers;
    for (auto& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    execv(pointers[0], pointers.data());
    fail("exec " + words[0]);
}

/// getopt_long(3) over the table; -h and -V are added, and the socket options if they go anywhere. Returns the
/// operands, at most `most`.
inline std::vector<const char*> parse_options(int argc, char** argv, const char* usage, std::vector<Option> table,
                                              int least, int most, Socket_options* asked = nullptr) {
    // Started without stdin, stdout or stderr? The next socket would get that number, and a client our log.
    for (int fd = 0; fd >= 0 && fd <= STDERR_FILENO;)
        if ((fd = open("/", O_PATH)) > STDERR_FILENO) close(fd);
    if (asked) {
        table.push_back({'o', "option", "NAME[=N]", "set a socket option; 'list' shows them",
                         [=](auto v) { add_socket_option(*asked, v); }});
        table.push_back({0, "show-options", nullptr, "what the kernel makes of those given so far",
                         [=](auto) { show_options(*asked); }});
    }
    table.push_back({'h', "help", nullptr, "this text", [&](auto) {
                         printf("Usage: %s %s\n", program_invocation_short_name, usage);
                         for (auto& o : table) {
                             string name = (o.letter ? "-" + string(1, o.letter) + ", --" : "    --") + o.name +
                                           (o.argument ? " " + string(o.argument) : "");
                             printf("  %-28s %s\n", name.c_str(), o.help);
                         }
                         exit(fflush(stdout) ? 1 : 0);
                     }});
    table.push_back({'V', "version", nullptr, "the version",
                     [](auto) { exit(printf("%s %s\n", program_invocation_short_name, version) < 0); }});
    std::vector<option> longs;
    string letters = ":";  // getopt's own messages are not ours
    for (auto& o : table) {
        longs.push_back({o.name, o.argument ? required_argument : no_argument, nullptr, 256 + int(longs.size())});
        if (o.letter) letters += string(1, o.letter) + (o.argument ? ":" : "");
    }
    longs.push_back({});
    for (int found; (found = getopt_long(argc, argv, letters.c_str(), longs.data(), nullptr)) != -1;) {
        if (found == '?' || found == ':') {
            string word = optopt > 0 && optopt < 256 ? string("-") + char(optopt) : argv[optind - 1];
            word = printable(word.data(), word.size());
            throw Usage_error((found == '?' ? "no option " + word : word + " needs an argument") +
                              "; --help shows the options");
        }
        auto by_letter = [&](auto& o) { return o.letter == found; };
        (found >= 256 ? table.begin() + (found - 256) : std::find_if(table.begin(), table.end(), by_letter))
            ->apply(optarg);
    }
    if (argc - optind < least || argc - optind > most)
        throw Usage_error(string("usage: ") + program_invocation_short_name + " " + usage);
    return {argv + optind, argv + argc};
}

/// What every server is told on its command line.
struct Server_options {
    int port;  // set it to the program's default
    string address = "0.0.0.0";
    int backlog = SOMAXCONN;
    bool reuseaddr = true, verbose = false;
    Duration idle_timeout{};
    Socket_options socket_options{};

    /// Reads "[options] [port]"; `table` has the program's own options, the common ones are added.
    void parse(int argc, char** argv, std::vector<Option> table = {}) {
        std::vector<Option> common = {
            {'a', "address", "ADDR", "listen on ADDR, ADDR:PORT or [IPV6]:PORT (0.0.0.0)",
             [&](auto v) { address = v; }},
            {'b', "backlog", "N", "accept queue: N and one more (4096)",
             [&](auto v) { backlog = number("--backlog", v, "0", "65535"); }},
            {'i', "idle-timeout", "D", "give up a client silent for D (0: never)",
             [&](auto v) { idle_timeout = duration("--idle-timeout", v, "0", "24h"); }},
            {0, "no-reuseaddr", nullptr, "bind without SO_REUSEADDR (lab 03)", [&](auto) { reuseaddr = false; }},
            {'v', "verbose", nullptr, "log the data too", [&](auto) { verbose = true; }}};
        table.insert(table.begin(), common.begin(), common.end());
        auto operands = parse_options(argc, argv, "[options] [port]", table, 0, 1, &socket_options);
        if (!operands.empty()) port = number("port", operands[0], "0", "65535");
    }
    /// The listening socket; `port` is what it got. From here on whoever reads our log may stop reading, or end
    /// before us.
    Descriptor listen() {
        signal(SIGPIPE, SIG_IGN);
        never_wait_for_reader(STDERR_FILENO);
        Descriptor listener = listening_socket(resolve(address, port).front(), backlog, reuseaddr, socket_options);
        port = local_address(listener).port();
        return listener;
    }
};

}  // namespace tcp
