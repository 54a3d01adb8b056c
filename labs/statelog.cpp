// statelog - a live netstat: every change of a TCP state on this host, as a line with its time.
//
//   statelog [options]          until interrupted, or --for D
//
// The kernel lets everybody read its table of sockets, /proc/net/tcp (proc(5)): looking again and again shows the
// states come and go, TIME_WAIT too, which belongs to no process. What lasts less than the pause between two looks is
// missed: FIN_WAIT2 often does. A row may be skipped while the table changes under us, so a socket is gone when two
// looks miss it.
#include "../tcp.hpp"

using Clock = std::chrono::system_clock;
using std::string;

static const char* const state_names[] = {"?",         "ESTABLISHED", "SYN_SENT", "SYN_RECV",   "FIN_WAIT1",
                                          "FIN_WAIT2", "TIME_WAIT",   "CLOSED",   "CLOSE_WAIT", "LAST_ACK",
                                          "LISTEN",    "CLOSING",     "SYN_RECV"};
static const int gone = 0;
static volatile sig_atomic_t stopping = 0;

struct Options {
    std::vector<int> ports;  // none: all
    tcp::Duration every = std::chrono::milliseconds(2), limit{};
    bool json = false, time_of_day = false;
};

struct Socket {
    int state = gone, missed = 0;
    bool seen = false;
};
static std::map<std::pair<string, string>, Socket> sockets;  // local and remote address, as the table writes them

// "0100007F:1F90", or 32 digits for IPv6: the address is printed as words in host byte order, the port as a number.
static string address(const string& hex) {
    size_t colon = hex.find(':');
    tcp::Address a;
    a.any.sa_family = colon == 8 ? AF_INET : AF_INET6;
    auto* words = colon == 8 ? &a.v4.sin_addr.s_addr : a.v6.sin6_addr.s6_addr32;
    for (size_t i = 0; i + 8 <= colon; i += 8) words[i / 8] = uint32_t(strtoul(hex.substr(i, 8).c_str(), nullptr, 16));
    a.set_port(int(strtol(hex.c_str() + colon + 1, nullptr, 16)));
    return a.text();
}

static void print(Clock::time_point now, const string& local, const string& remote, int from, int to,
                  const Options& options) {
    long us = long(std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count());
    time_t seconds = us / 1000000;
    tm clock;
    char time[40], line[300];
    localtime_r(&seconds, &clock);
    if (options.time_of_day)
        snprintf(time, sizeof time, "%02d:%02d:%02d.%06ld", clock.tm_hour, clock.tm_min, clock.tm_sec, us % 1000000);
    else
        snprintf(time, sizeof time, "%ld.%06ld", long(seconds), us % 1000000);
    const char* format = options.json
                             ? "{\"time\":\"%s\",\"local\":\"%s\",\"remote\":\"%s\",\"from\":\"%s\",\"to\":\"%s\"}\n"
                             : "%s %s %s %s -> %s\n";
    int size = snprintf(line, sizeof line, format, time, address(local).c_str(), address(remote).c_str(),
                        from == gone ? "-" : state_names[from], to == gone ? "-" : state_names[to]);
    if (write(STDOUT_FILENO, line, size) != size) tcp::fail("write");
}

static bool wanted(const char* local, const char* remote, const Options& options) {
    auto port = [](const char* hex) { return int(strtol(strchr(hex, ':') + 1, nullptr, 16)); };
    for (int p : options.ports)
        if (port(local) == p || port(remote) == p) return true;
    return options.ports.empty();
}

// One look at one table; a table that is not there (no IPv6) is empty.
static void look(const char* path, const Options& options) {
    FILE* table = fopen(path, "re");
    char line[512], local[48], remote[48];
    static char buffer[64 * 1024];  // few reads, each a moment of its own
    unsigned state;
    if (table) setvbuf(table, buffer, _IOFBF, sizeof buffer);
    while (table && fgets(line, sizeof line, table)) {
        if (sscanf(line, " %*u: %40[0-9A-F:] %40[0-9A-F:] %x", local, remote, &state) != 3 || state > 12) continue;
        if (!strchr(local, ':') || !strchr(remote, ':') || !wanted(local, remote, options)) continue;
        Socket& socket = sockets[{local, remote}];
        if (std::exchange(socket.seen, true))
            continue;  // a second row: an old TIME_WAIT beside its successor, or the same again
        if (socket.state != int(state)) print(Clock::now(), local, remote, socket.state, int(state), options);
        socket.state = int(state);
    }
    if (table) fclose(table);
}

static void look_at_all(const Options& options) {
    for (auto& [key, socket] : sockets) socket.seen = false;
    look("/proc/net/tcp", options);
    look("/proc/net/tcp6", options);
    for (auto it = sockets.begin(); it != sockets.end();) {
        auto& [key, socket] = *it;
        socket.missed = socket.seen ? 0 : socket.missed + 1;
        if (socket.missed == 2) print(Clock::now(), key.first, key.second, socket.state, gone, options);
        it = socket.missed == 2 ? sockets.erase(it) : std::next(it);
    }
}

int main(int argc, char** argv) try {
    Options options;
    tcp::parse_options(argc, argv, "[options]",
                       {{'p', "port", "N", "sockets with this port at either end; several times: any of them",
                         [&](auto v) { options.ports.push_back(tcp::number("--port", v, "1", "65535")); }},
                        {'e', "every", "D", "look every D (2ms)",
                         [&](auto v) { options.every = tcp::duration("--every", v, "100us", "1m"); }},
                        {'f', "for", "D", "end after D (0: when interrupted)",
                         [&](auto v) { options.limit = tcp::duration("--for", v, "0", "24h"); }},
                        {'j', "json", nullptr, "a JSON object a line", [&](auto) { options.json = true; }},
                        {'t', "time-of-day", nullptr, "hh:mm:ss.uuuuuu instead of seconds since 1970",
                         [&](auto) { options.time_of_day = true; }}},
                       0, 0);
    auto stop = [](int) { stopping = 1; };
    tcp::Signals signals{{SIGINT, stop}, {SIGTERM, stop}};
    if (access("/proc/net/tcp", R_OK)) tcp::fail("/proc/net/tcp");
    auto start = std::chrono::steady_clock::now(), before = start;
    for (bool first = true, last = false; !last; first = false) {
        last = stopping || (options.limit.count() && before - start >= options.limit);
        look_at_all(options);
        if (first)
            tcp::log("watching", "every=%gms", double(options.every.count()) / 1e6);  // scripts wait for this line
        auto cost = std::chrono::steady_clock::now() - before;  // on a host whose table is long a look is dear:
        signals.wait(-1, std::max<tcp::Duration>(options.every, 4 * cost));  // a fifth of a processor at the most
        before = std::chrono::steady_clock::now();
    }
} catch (const std::exception& error) { return tcp::report(error); }
