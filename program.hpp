// program.hpp - what surrounds a program and no lab is about: the command line with its units, the socket options' table,
// and the log. Sockets stand in tcp.hpp, what only servers have to bear in seqserver/server.hpp.
#pragma once
#include "tcp.hpp"

#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdarg>
#include <functional>

namespace tcp {

using std::string;

// ---- errors and text ----------------------------------------------------------------------------------------------

/// The command line asks for what cannot be: exit status 2.
struct Usage_error : std::runtime_error {
    using runtime_error::runtime_error;
};

/// For main's catch: one line to stderr; returns the exit status, 2 for usage and 1 for failures.
inline int report(const std::exception& error) {
    dprintf(STDERR_FILENO, "%s: %s\n", program_invocation_short_name, error.what());
    return dynamic_cast<const Usage_error*>(&error) ? 2 : 1;
}

/// Bytes from the network, or from the command line, made safe to print: quoted, escaped, cut after `limit` bytes.
inline string printable(const char* data, size_t size, size_t limit = 60) {
    string text = "\"";
    for (char c : string(data, std::min(size, limit))) {
        char hex[8];
        snprintf(hex, sizeof hex, "\\x%02x", c & 0xff);
        if (c == '\n') text += "\\n";
        else if (c == '\r') text += "\\r";
        else if (c >= ' ' && c <= '~' && c != '"' && c != '\\') text += c;
        else text += hex;
    }
    return text + (size > limit ? "\"..." : "\"");
}
inline string printable(const string& text) { return printable(text.data(), text.size()); }

/// Started without stdin, stdout or stderr? The next socket would get that number, and a client our log: opens them.
inline void open_standard_descriptors() {
    int fd;
    do fd = open("/", O_PATH);
    while (fd >= 0 && fd <= STDERR_FILENO);
    close(fd);
}

// ---- numbers on the command line ----------------------------------------------------------------------------------

using Units = std::vector<std::pair<string, double>>;  // each with its worth in the smallest
inline const Units plain{{"", 1}}, sizes{{"", 1}, {"k", 1024}, {"m", 1 << 20}, {"g", 1 << 30}};
inline const Units times{{"ns", 1}, {"us", 1e3}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
// for options of which a seed's program has the number alone
inline const Units bare_seconds{{"", 1e9}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};

/// "12", "64k", "1m30s", "1.5s": the sum of number and unit pairs; NAN for anything else. "0" needs no unit.
inline double amount(const char* text, const Units& units) {
    if (strcmp(text, "0") == 0) return 0;
    double sum = *text ? 0 : NAN;
    while (*text) {
        size_t digits = strspn(text, "0123456789."), letters = strcspn(text + digits, "0123456789.");
        string number(text, digits), name(text + digits, letters);
        auto unit = std::find_if(units.begin(), units.end(), [&](auto& each) { return name == each.first; });
        char* end = number.data();
        double value = strtod(number.c_str(), &end);
        if (digits == 0 || *end || unit == units.end()) return NAN;
        sum += value * unit->second;
        text += digits + letters;
    }
    return sum;
}
/// The amount in `text` if it is within low..high; else a Usage_error that names option, range and what was given.
inline int64_t quantity(const string& option, const char* text, const char* low, const char* high,
                        const Units& units = plain) {
    double value = amount(text, units);
    bool whole = value == std::floor(value);
    if (whole && value >= amount(low, units) && value <= amount(high, units)) return int64_t(value);
    throw Usage_error(option + " must be " + low + ".." + high + ", not " + printable(text));
}
inline int number(const string& option, const char* text, const char* low, const char* high) {
    return int(quantity(option, text, low, high));
}
inline size_t bytes(const string& option, const char* text, const char* low, const char* high) {
    return quantity(option, text, low, high, sizes);
}
inline Duration duration(const string& option, const char* text, const char* low, const char* high) {
    return Duration(quantity(option, text, low, high, times));
}

// ---- the log ------------------------------------------------------------------------------------------------------

/// Local time minus UTC, in seconds, when the program started: localtime_r(3) costs a forked child more than all the rest.
inline const long utc_offset = [] {
    time_t now = time(nullptr);
    tm local{};
    localtime_r(&now, &local);
    return local.tm_gmtoff;
}();

/// Lines that nobody had room for since the last one that was written; null: nobody counts (log_without_waiting()).
inline std::atomic<uint64_t>* lost_lines = nullptr;

/// One write(2), so that lines of processes never mix. False if there was no room for `patience` ms; no reader at all is no loss.
inline bool write_line(int fd, const char* data, size_t size, int patience) {
    pollfd room{fd, POLLOUT, 0};
    for (int tries = 0; tries < 100; ++tries) {
        if (lost_lines && poll(&room, 1, patience) == 0) return false;  // a terminal has no room while others write
        if (write(fd, data, size) >= 0 || errno != EAGAIN) return true;
    }
    return false;
}

/// For a program that keeps its log in another form: gets verb and text of each line instead of stderr.
inline void (*log_elsewhere)(const char* verb, const char* text) = nullptr;

/// "NAME[pid]: hh:mm:ss.uuuuuu VERB key=value ..." to stderr; " lost=N" at its end says how many came to nothing before.
[[gnu::format(printf, 2, 3)]] inline void log(const char* verb, const char* format, ...) {
    char line[512];
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    long seconds = now.tv_sec + utc_offset;
    int head = snprintf(line, sizeof line, "%s[%d]: %02ld:%02ld:%02ld.%06ld %s ", program_invocation_short_name,
                        getpid(), seconds / 3600 % 24, seconds / 60 % 60, seconds % 60, now.tv_nsec / 1000, verb);
    va_list values;
    va_start(values, format);
    int size = head + vsnprintf(line + head, sizeof line - head, format, values);
    va_end(values);
    if (log_elsewhere) return log_elsewhere(verb, line + head);
    uint64_t lost = lost_lines && *lost_lines ? lost_lines->exchange(0) : 0;
    size = std::min<int>(size, sizeof line - 32);
    if (lost) size += snprintf(line + size, sizeof line - size, " lost=%lu", lost);
    line[size] = '\n';
    int patience = lost ? 0 : 10;  // where lines are lost already nobody waits
    if (!write_line(STDERR_FILENO, line, size + 1, patience) && lost_lines) *lost_lines += lost + 1;
}

// ---- options ------------------------------------------------------------------------------------------------------

/// An option: its letter (0: none), long name, argument (null: none), help, and what it does. --help prints the table.
struct Option {
    char letter;
    const char *name, *argument, *help;
    std::function<void(const char*)> apply;
};

/// getopt_long(3) over the table; -h and -V are added. Returns the operands, `least` to `most` of them.
inline std::vector<const char*> parse_options(int argc, char** argv, const char* usage, std::vector<Option> table,
                                              int least, int most) {
    auto show_help = [&](auto) {
        printf("Usage: %s %s\n", program_invocation_short_name, usage);
        for (auto& o : table) {
            string name = o.letter ? string("-") + o.letter + ", --" + o.name : string("    --") + o.name;
            if (o.argument) name += string(" ") + o.argument;
            printf("  %-28s %s\n", name.c_str(), o.help);
        }
        exit(fflush(stdout) ? 1 : 0);
    };
    table.push_back({'h', "help", nullptr, "this text", show_help});
    auto show_version = [](auto) { exit(printf("%s 1.0\n", program_invocation_short_name) < 0); };
    table.push_back({'V', "version", nullptr, "the version", show_version});
    std::vector<option> longs;
    string letters = ":";  // getopt's own messages are not ours
    for (auto& o : table) {
        longs.push_back({o.name, o.argument ? required_argument : no_argument, nullptr, 256 + int(longs.size())});
        if (o.letter) letters += string(1, o.letter) + (o.argument ? ":" : "");
    }
    longs.push_back({});
    for (;;) {
        int found = getopt_long(argc, argv, letters.c_str(), longs.data(), nullptr);
        if (found == -1) break;
        if (found == '?' || found == ':') {
            bool is_letter = optopt > 0 && optopt < 256;
            string word = printable(is_letter ? string("-") + char(optopt) : argv[optind - 1]);
            throw Usage_error(found == '?' ? "no option " + word + "; --help shows the options"
                                           : word + " needs an argument");
        }
        auto by_letter = [&](auto& o) { return o.letter == found; };
        auto which = found >= 256 ? table.begin() + (found - 256) : std::find_if(table.begin(), table.end(), by_letter);
        which->apply(optarg);
    }
    if (argc - optind < least || argc - optind > most)
        throw Usage_error(string("usage: ") + program_invocation_short_name + " " + usage);
    return {argv + optind, argv + argc};
}

/// The options of a socket that --option NAME[=VALUE] sets, and --option list shows (socket(7), tcp(7)).
struct Known_option {
    const char* name;
    int level, id;
    const char *unit, *help;
};
inline const Known_option known_options[] = {
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

/// "NAME[=VALUE]", a bare NAME means 1; "list" prints the table and ends the program.
inline Socket_option socket_option(const string& text) {
    string name = text.substr(0, text.find('='));
    for (auto& option : known_options) {
        if (text == "list") printf("%-12s %-8s %s\n", option.name, option.unit, option.help);
        if (name != option.name) continue;
        const char* value = name == text ? "1" : text.c_str() + name.size() + 1;
        return {option.name, option.level, option.id, int(bytes("--option " + name, value, "0", "1g"))};
    }
    if (text == "list") exit(fflush(stdout) ? 1 : 0);
    throw Usage_error("--option: no socket option " + printable(name) + "; --option list shows them");
}
/// For the table of a program that has sockets to set.
inline Option socket_options_go_to(std::vector<Socket_option>& asked) {
    return {'o', "option", "NAME[=N]", "set a socket option; 'list' shows them",
            [&](auto v) { asked.push_back(socket_option(v)); }};
}

// ---- addresses on the command line --------------------------------------------------------------------------------

/// Takes ":PORT" off the end of HOST:PORT or [IPV6]:PORT, and the brackets too; returns PORT, or `otherwise`.
inline int take_port(string& host, int otherwise) {
    size_t bracket = host.rfind(']'), colon = host.find(':', bracket == host.npos ? 0 : bracket);
    bool is_ipv6 = bracket == host.npos && colon != host.rfind(':');  // two colons, no brackets: no port
    if (colon != host.npos && !is_ipv6) {
        otherwise = number("port", host.c_str() + colon + 1, "0", "65535");
        host.erase(colon);
    }
    if (host.size() > 1 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    return otherwise;
}
/// The addresses of a server that a client is told. Throws Usage_error for a name that nobody knows.
inline std::vector<Address> server_addresses(string host, int port) {
    port = take_port(host, port);
    if (host.find_first_not_of("0123456789") == host.npos)
        throw Usage_error("no host " + printable(host) + ": a host has a name or an address");
    try {
        return resolve(host, port);
    } catch (const std::runtime_error& error) { throw Usage_error("no host " + printable(host) + ": " + error.what()); }
}

}  // namespace tcp
