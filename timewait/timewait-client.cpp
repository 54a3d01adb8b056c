// timewait-client - the other end of timewait-server: when and how it closes is its own policy; then the same port
// again.
//
//   timewait-client [options] host [port]     default port 6666; --list shows the cases, --case 0 takes one
//
// Look for: the first FIN. When the server sent it, the second connection from the same port works at once; when we
// did, our TIME_WAIT holds the port: bind() says EADDRINUSE for 60 s, or until both sockets have SO_REUSEADDR
// (policy.hpp, lab 08).
#include "policy.hpp"

using policy::Policy, policy::Settings;

static const std::vector<policy::Case> cases = {
    {"close-on-fin", "--nbrequest=2 --close=fin", "S:FIN C:FIN, nothing stays here"},
    {"read-late", "--nbrequest=2 --readwait=10s --close=fin", "S:FIN while data is unread: C:RST"},
    {"half", "--nbrequest=2 --readwait=10s --close=fin --how=half", "C:FIN, but the descriptor keeps the port"},
    {"half-pause", "--nbrequest=2 --readwait=10s --close=fin --how=half --pause=15s", "the same, 15 s later"},
    {"shutdown", "--nbrequest=2 --readwait=10s --close=fin --how=shutdown", "S:FIN C:FIN, and nothing is lost"},
    {"close-late", "--nbrequest=2 --readwait=10s --close=read", "CLOSE_WAIT up to 10 s, then C:FIN"},
    {"close", "--nbrequest=2 --close=connect", "C:FIN first, TIME_WAIT here: EADDRINUSE"},
    {"close-on-read", "--nbrequest=2 --close=read", "C:FIN after the first data: a race"},
    {"http", "--http=close --close=fin", "C:PSH(58+host), then waits for S:FIN"},
    {"http-close", "--http=close --close=reply --closewait=100us",
     "C:PSH(58+host), C:FIN if S:FIN does not follow its reply"},
    {"http-keep-alive", "--http=keep-alive --close=fin", "C:PSH(63+host), then waits for S:FIN"},
};

static void send_request(const tcp::Connection& to, const std::string& host, bool keep_alive) {
    std::string request = "GET / HTTP/1.1\r\nHost: " + host +
                          "\r\nAccept: */*\r\nConnection: " + (keep_alive ? "keep-alive" : "close") + "\r\n\r\n";
    tcp::write_all(to, request.data(), request.size());
    tcp::log("wrote", "peer=%s bytes=%zu", to.peer.text().c_str(), request.size());
}

// Is all of the HTTP reply here, as far as its Content-Length tells?
static bool complete(std::string& reply, const char* data, size_t size) {
    if (reply.size() < 1024 * 1024)
        reply.append(data, size);  // a server that never ends its reply does not fill our memory
    size_t body = reply.find("\r\n\r\n");
    const char *start = reply.c_str(), *length = strcasestr(start, "\r\nContent-Length:");
    return body != reply.npos && length && length < start + body &&
           reply.size() - body - 4 >= strtoul(length + 17, nullptr, 10);
}

// What ends a connection does not end us: the next one is tried. True if nothing went wrong.
static bool one_connection(const std::vector<tcp::Address>& server, int from_port, const tcp::Socket_options& options,
                           const std::string& host, const Policy& policy, Settings settings) try {
    std::string reply;
    settings.http = [&](auto&, auto data, auto size) { return complete(reply, data, size); };
    tcp::Connection connection = tcp::connected_socket(server, from_port, {}, options);
    if (settings.idle.count()) tcp::set_idle_timeout(connection.socket, settings.idle);
    tcp::log("connected", "peer=%s local=%s", connection.peer.text().c_str(),
             tcp::local_address(connection.socket).text().c_str());
    if (policy.http) send_request(connection, host, policy.keep_alive);
    serve(connection, policy, settings);
    return true;
} catch (const std::system_error& error) {
    tcp::log(error.code().value() == ECONNRESET ? "reset" : "failed", "%s", error.what());
    return false;
}

// A port that nobody has now.
static int free_port() {
    tcp::Descriptor probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    tcp::Address any = *tcp::numeric_address("0.0.0.0", 0);
    if (bind(probe.fd(), &any.any, any.size())) tcp::fail("bind " + any.text());
    return tcp::local_address(probe).port();
}

int main(int argc, char** argv) try {
    Policy policy;
    Settings settings;
    std::string host;
    int port = 6666, from_port = -1;
    tcp::Socket_options options;
    static const tcp::Socket_option reuseaddr{"reuseaddr", SOL_SOCKET, SO_REUSEADDR, "0|1", ""};
    auto table = policy::options(policy);
    table.insert(table.begin(),
                 {{'s', "case", "N", "a case by number or name: the options that --list shows for it",
                   [&](auto v) { take_case(policy, cases, v); }},
                  {'l', "list", nullptr, "the cases", [](auto) { policy::list(cases); }},
                  {'t', "target", "HOST", "the server, instead of the operand", [&](auto v) { host = v; }},
                  {'c', "dstport", "PORT", "its port, instead of the operand",
                   [&](auto v) { port = tcp::number("--dstport", v, "1", "65535"); }},
                  {'f', "fromport", "PORT", "connect from PORT (a free one); 0: no bind(), connect() chooses",
                   [&](auto v) { from_port = tcp::number("--fromport", v, "0", "65535"); }},
                  {'r', "reuseaddr", nullptr, "bind with SO_REUSEADDR (lab 08)",
                   [&](auto) { options.emplace_back(&reuseaddr, 1); }},
                  {'i', "idle-timeout", "D", "give up a server silent for D (0: never)",
                   [&](auto v) { settings.idle = tcp::duration("--idle-timeout", v, "0", "24h"); }},
                  {'v', "verbose", nullptr, "log the data too", [&](auto) { settings.verbose = true; }}});
    auto operands = tcp::parse_options(argc, argv, "[options] host [port]", table, 0, 2, &options);
    if (host.empty() && !operands.empty()) host = operands[0], operands.erase(operands.begin());
    if (host.empty() || operands.size() > 1) throw tcp::Usage_error("usage: timewait-client [options] host [port]");
    if (!operands.empty()) port = tcp::number("port", operands[0], "1", "65535");
    check(policy);
    auto server = tcp::resolve(host, port);
    if (from_port < 0) from_port = free_port();

    bool good = true;
    for (int i = 0; i < policy.connections; ++i) {
        if (i)
            std::this_thread::sleep_until(policy::last_event + policy.readwait),
                std::this_thread::sleep_for(policy.pause);
        good = one_connection(server, from_port, options, host, policy, settings) && good;
    }
    return good ? 0 : 1;
} catch (const std::exception& error) { return tcp::report(error); }
