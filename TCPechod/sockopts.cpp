// sockopts - socket options, asked and got: default, what was asked for, what the kernel made of it, what accept()
// inherits.
//
//   sockopts [NAME[=VALUE]...]          e.g. sockopts keepalive rcvbuf=64k maxseg=1000
//
// Look for: the kernel doubles buffer sizes, rounds seconds to SYN retries, and keeps a request in its own bounds;
// strace shows setsockopt return 0 all the same. Most options of a listening socket are there again on every socket
// accepted from it (linger too: RST where FIN was promised), but O_NONBLOCK, which belongs to the descriptor, is not.
#include "../tcp.hpp"

using Values = std::vector<std::string>;  // one for each row of the table

static std::string value_of(const tcp::Descriptor& socket, const tcp::Socket_option& option) {
    bool lingers = option.level == SOL_SOCKET && option.id == SO_LINGER;
    linger value{};  // else an int, which stands at the same place
    socklen_t size = lingers ? sizeof value : sizeof value.l_onoff;
    if (getsockopt(socket.fd(), option.level, option.id, &value, &size)) return strerror(errno);
    if (lingers) return value.l_onoff ? std::to_string(value.l_linger) : "off";
    return std::to_string(value.l_onoff);
}

static Values values_of(const tcp::Descriptor& socket) {
    Values values;
    for (auto& option : tcp::socket_options) values.push_back(value_of(socket, option));
    values.push_back(value_of(socket, {"", SOL_SOCKET, SO_REUSEADDR, "", ""}));
    values.push_back(fcntl(socket.fd(), F_GETFL) & O_NONBLOCK ? "1" : "0");
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
    tcp::Socket_options asked;
    auto list = [&](auto) { tcp::add_socket_option(asked, "list"); };
    auto names = tcp::parse_options(argc, argv, "[NAME[=VALUE]...]",
                                    {{'l', "list", nullptr, "what each option does", list}}, 0, 100);
    for (auto name : names) tcp::add_socket_option(asked, name);

    auto defaults = values_of(tcp::Descriptor(socket(AF_INET, SOCK_STREAM, 0)));
    tcp::Descriptor listener = tcp::listening_socket(*tcp::numeric_address("127.0.0.1", 0), 1, true, asked);
    fcntl(listener.fd(), F_SETFL, O_NONBLOCK);
    auto set = values_of(listener), inherited = values_of(accepted_from(listener).socket);

    printf("%-14s %-8s %10s %10s %10s %10s\n", "option", "unit", "default", "asked", "listening", "accepted");
    size_t row = 0;
    auto print = [&](const char* name, const char* unit, const std::string& wish) {
        printf("%-14s %-8s %10s %10s %10s %10s\n", name, unit, defaults[row].c_str(), wish.c_str(), set[row].c_str(),
               inherited[row].c_str());
        ++row;
    };
    for (auto& option : tcp::socket_options) {
        std::string wish = "-";
        for (auto& [wanted, value] : asked)
            if (wanted == &option) wish = std::to_string(value);
        print(option.name, option.unit, wish);
    }
    print("reuseaddr", "0|1", "1");
    print("O_NONBLOCK", "0|1", "1");
    return fflush(stdout) ? 1 : 0;
} catch (const std::exception& error) { return tcp::report(error); }
