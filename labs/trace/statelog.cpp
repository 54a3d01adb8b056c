// statelog - a live netstat: every change of a TCP state on this host, as a line with its time.
//
//   statelog [options]          until interrupted, or --for D
//
// The kernel lets everybody read its table of sockets, /proc/net/tcp (proc(5)): looking again and again shows the
// states come and go, TIME_WAIT too, which belongs to no process. What lasts less than the pause between two looks is
// missed: FIN_WAIT2 often does. A row may be skipped while the table changes under us, so a socket is gone when two
// looks miss it.
#include "../../program.hpp"
#include "../../seqserver/states.hpp"

#include <csignal>
#include <map>

using std::string;
using tcp::State;
using Clock = std::chrono::steady_clock;

struct Options {
    std::vector<int> ports;  // none: all
    tcp::Duration every = std::chrono::milliseconds(2), limit{};
    bool json = false, time_of_day = false;
};

struct Socket {
    State state = State::closed;
    bool seen = false;
    int missed = 0;
};
static std::map<std::pair<string, string>, Socket> sockets;  // local and remote address, as the table writes them

// "0100007F:1F90", or 32 digits for IPv6: the address is printed as words in host byte order, the port as a number.
static string address(const string& hex) {
    size_t colon = hex.find(':');
    tcp::Address found;
    uint32_t* words = found.v6.sin6_addr.s6_addr32;
    found.any.sa_family = AF_INET6;
    if (colon == 8) {
        words = &found.v4.sin_addr.s_addr;
        found.any.sa_family = AF_INET;
    }
    for (size_t i = 0; i + 8 <= colon; i += 8) words[i / 8] = uint32_t(strtoul(hex.substr(i, 8).c_str(), nullptr, 16));
    found.set_port(int(strtol(hex.c_str() + colon + 1, nullptr, 16)));
    return found.text();
}

// "1795242576.252525", or "06:29:36.252525".
static string now(bool time_of_day) {
    timespec time;
    tm clock;
    char text[40];
    clock_gettime(CLOCK_REALTIME, &time);
    localtime_r(&time.tv_sec, &clock);
    long us = time.tv_nsec / 1000;
    if (!time_of_day) snprintf(text, sizeof text, "%ld.%06ld", long(time.tv_sec), us);
    else snprintf(text, sizeof text, "%02d:%02d:%02d.%06ld", clock.tm_hour, clock.tm_min, clock.tm_sec, us);
    return text;
}

static void print(const std::pair<string, string>& ends, State from, State to, const Options& options) {
    auto name = [](State state) { return state == State::closed ? "-" : tcp::state_name(state); };
    string line = now(options.time_of_day), local = address(ends.first), remote = address(ends.second);
    if (options.json) {
        line = "{\"time\":\"" + line + "\",\"local\":\"" + local + "\",\"remote\":\"" + remote + "\",\"from\":\"" +
               name(from) + "\",\"to\":\"" + name(to) + "\"}\n";
    } else {
        line += " " + local + " " + remote + " " + name(from) + " -> " + name(to) + "\n";
    }
    if (write(STDOUT_FILENO, line.data(), line.size()) != ssize_t(line.size())) tcp::fail("write");
}

static bool wanted(const char* local, const char* remote, const Options& options) {
    auto port = [](const char* hex) { return int(strtol(strchr(hex, ':') + 1, nullptr, 16)); };
    for (int each : options.ports) {
        if (port(local) == each || port(remote) == each) return true;
    }
    return options.ports.empty();
}

// One look at one table; a table that is not there (no IPv6) is empty.
static void look(const char* path, const Options& options) {
    FILE* table = fopen(path, "re");
    if (!table) return;
    static char buffer[64 * 1024];  // few reads, each a moment of its own
    setvbuf(table, buffer, _IOFBF, sizeof buffer);
    char line[512], local[48], remote[48];
    unsigned number;
    while (fgets(line, sizeof line, table)) {
        if (sscanf(line, " %*u: %40[0-9A-F:] %40[0-9A-F:] %x", local, remote, &number) != 3) continue;
        if (!strchr(local, ':') || !strchr(remote, ':') || !wanted(local, remote, options)) continue;
        auto& [ends, socket] = *sockets.try_emplace({local, remote}).first;
        // a second row is an old TIME_WAIT beside its successor, or the same again
        if (std::exchange(socket.seen, true)) continue;
        State before = std::exchange(socket.state, State(number));
        if (before != socket.state) print(ends, before, socket.state, options);
    }
    fclose(table);
}

static void look_at_all(const Options& options) {
    for (auto& [ends, socket] : sockets) socket.seen = false;
    look("/proc/net/tcp", options);
    look("/proc/net/tcp6", options);
    for (auto each = sockets.begin(); each != sockets.end();) {
        auto& [ends, socket] = *each;
        if (socket.seen) socket.missed = 0;
        else ++socket.missed;
        bool gone = socket.missed == 2;
        if (gone) print(ends, socket.state, State::closed, options);
        if (gone) each = sockets.erase(each);
        else ++each;
    }
}

int main(int argc, char** argv) try {
    Options options;
    tcp::parse_options(argc, argv, "[options]",
                       {{'p', "port", "N", "sockets with this port; or one of several",
                         [&](auto v) { options.ports.push_back(tcp::number("--port", v, "1", "65535")); }},
                        {'e', "every", "D", "look every D (2ms)",
                         [&](auto v) { options.every = tcp::duration("--every", v, "100us", "1m"); }},
                        {0, "for", "D", "end after D (0: when interrupted)",
                         [&](auto v) { options.limit = tcp::duration("--for", v, "0", "24h"); }},
                        {'j', "json", nullptr, "a JSON object a line", [&](auto) { options.json = true; }},
                        {0, "time-of-day", nullptr, "hh:mm:ss.uuuuuu instead of seconds since 1970",
                         [&](auto) { options.time_of_day = true; }}},
                       0, 0);
    tcp::open_standard_descriptors();
    if (access("/proc/net/tcp", R_OK)) tcp::fail("/proc/net/tcp");
    sigset_t end;  // held back, and asked for between two looks: the last look is always a whole one
    sigemptyset(&end);
    sigaddset(&end, SIGINT);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, nullptr);
    auto start = Clock::now();
    look_at_all(options);
    tcp::log("watching", "every=%gms", double(options.every.count()) / 1e6);  // scripts wait for this line
    for (tcp::Duration cost = Clock::now() - start;;) {
        // on a host whose table is long a look is dear: a fifth of a processor at the most
        timespec pause = tcp::to_timespec(std::max(options.every, 4 * cost));
        bool last = sigtimedwait(&end, nullptr, &pause) > 0;
        auto before = Clock::now();
        last |= options.limit.count() && before - start >= options.limit;
        look_at_all(options);
        if (last) return 0;
        cost = Clock::now() - before;
    }
} catch (const std::exception& error) { return tcp::report(error); }
