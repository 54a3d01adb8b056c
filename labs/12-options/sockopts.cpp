// sockopts - socket options, asked and got: default, what was asked for, what the kernel made of it, what accept()
// inherits.
//
//   sockopts [NAME[=VALUE]...]          e.g. sockopts keepalive rcvbuf=64k maxseg=1000
//
// Look for: the kernel doubles buffer sizes, rounds seconds to SYN retries, and keeps a request in its own bounds;
// strace shows setsockopt return 0 all the same. Most options of a listening socket are there again on every socket
// accepted from it (linger too: RST where FIN was promised), but O_NONBLOCK, a flag of the open file, is not.
#include "../../program.hpp"

using Values = std::vector<std::string>;  // one for each row of the table

static std::string value_of(const tcp::Descriptor& socket, int level, int id) {
    bool lingers = level == SOL_SOCKET && id == SO_LINGER;
    linger value{};  // else an int, which stands at the same place
    socklen_t size = lingers ? sizeof value : sizeof value.l_onoff;
    if (getsockopt(socket.fd(), level, id, &value, &size)) return strerror(errno);
    if (!lingers) return std::to_string(value.l_onoff);
    return value.l_onoff ? std::to_string(value.l_linger) : "off";
}

static Values values_of(const tcp::Descriptor& socket) {
    Values values;
    for (auto& option : tcp::known_options) values.push_back(value_of(socket, option.level, option.id));
    values.push_back(value_of(socket, SOL_SOCKET, SO_REUSEADDR));
    values.push_back(fcntl(socket.fd(), F_GETFL) & O_NONBLOCK ? "1" : "0");
    return values;
}

// What was asked for; the last two are what every server does.
static Values wishes(const std::vector<tcp::Socket_option>& asked) {
    Values values;
    for (auto& option : tcp::known_options) {
        std::string wish = "-";
        for (auto& one : asked) {
            if (one.level == option.level && one.id == option.id) wish = std::to_string(one.value);
        }
        values.push_back(wish);
    }
    values.insert(values.end(), {"1", "1"});
    return values;
}

// A connection from ourselves; with a byte, because of defer-accept. It keeps what the listening socket had.
static tcp::Connection accepted_from(const tcp::Descriptor& listener) {
    tcp::Connection client = tcp::connected_socket({tcp::local_address(listener)}, 0, {});
    tcp::write_all(client, "x", 1);
    for (;;) {
        pollfd readable{listener.fd(), POLLIN, 0};
        if (poll(&readable, 1, 5000) == 0) tcp::fail("accept", ETIMEDOUT);
        if (auto connection = tcp::accept(listener)) return std::move(*connection);
    }
}

int main(int argc, char** argv) try {
    auto list = [](auto) { tcp::socket_option("list"); };
    auto names = tcp::parse_options(argc, argv, "[NAME[=VALUE]...]",
                                    {{0, "list", nullptr, "what each option does", list}}, 0, 100);
    std::vector<tcp::Socket_option> asked;
    for (auto name : names) asked.push_back(tcp::socket_option(name));
    tcp::open_standard_descriptors();

    Values defaults = values_of(tcp::Descriptor(socket(AF_INET, SOCK_STREAM, 0))), wished = wishes(asked);
    tcp::Descriptor listener = tcp::listening_socket(*tcp::numeric_address("127.0.0.1", 0), 1, true, asked);
    fcntl(listener.fd(), F_SETFL, O_NONBLOCK);
    Values set = values_of(listener), inherited = values_of(accepted_from(listener).socket);

    std::vector<std::pair<const char*, const char*>> rows;
    for (auto& option : tcp::known_options) rows.push_back({option.name, option.unit});
    rows.insert(rows.end(), {{"reuseaddr", "0|1"}, {"O_NONBLOCK", "0|1"}});
    printf("%-14s %-8s %10s %10s %10s %10s\n", "option", "unit", "default", "asked", "listening", "accepted");
    for (size_t i = 0; i < rows.size(); ++i) {
        printf("%-14s %-8s %10s %10s %10s %10s\n", rows[i].first, rows[i].second, defaults[i].c_str(),
               wished[i].c_str(), set[i].c_str(), inherited[i].c_str());
    }
    return fflush(stdout) ? 1 : 0;
} catch (const std::exception& error) { return tcp::report(error); }
