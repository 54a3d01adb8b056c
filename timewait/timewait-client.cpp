// timewait-client - the other end of timewait-server: when and how it closes is its own policy; then the port again.
//
//   timewait-client [options] host [port]     default port 6666; --list shows the cases, --case 0 takes one
//
// Look for: the first FIN. When the server sent it, the second connection from the same port works at once; when we
// did, our TIME_WAIT holds the port: bind() says EADDRINUSE for 60 s, or until both sockets have SO_REUSEADDR (lab 08).
// What a connection does is in policy.hpp.
#include "cases.hpp"

static const std::vector<policy::Case> cases = {
    {"close-on-fin", {"--nbrequest=2", "--close=fin"}, "S:FIN C:FIN, nothing stays here"},
    {"read-late", {"--nbrequest=2", "--readwait=10s", "--close=fin"}, "S:FIN while data is unread: C:RST"},
    {"half",
     {"--nbrequest=2", "--readwait=10s", "--close=fin", "--how=half"},
     "C:FIN, but the descriptor keeps the port"},
    {"half-pause",
     {"--nbrequest=2", "--readwait=10s", "--close=fin", "--how=half", "--pause=15s"},
     "the same, 15 s later"},
    {"shutdown",
     {"--nbrequest=2", "--readwait=10s", "--close=fin", "--how=shutdown"},
     "S:FIN C:FIN, and nothing is lost"},
    {"close-late", {"--nbrequest=2", "--readwait=10s", "--close=read"}, "CLOSE_WAIT up to 10 s, then C:FIN"},
    {"close", {"--nbrequest=2", "--close=connect"}, "C:FIN, TIME_WAIT here: EADDRINUSE; server 0, 1: either"},
    {"close-on-read", {"--nbrequest=2", "--close=read"}, "C:FIN after the first data; server 1: either"},
    {"http", {"--http=close", "--close=fin"}, "C:PSH(58+host), then waits for S:FIN"},
    {"http-close",
     {"--http=close", "--close=reply", "--closewait=100us"},
     "C:PSH(58+host), C:FIN 100us after the reply; server 7, 9: either"},
    {"http-keep-alive", {"--http=keep-alive", "--close=fin"}, "C:PSH(63+host), then waits for S:FIN"},
};

struct Settings {
    policy::Policy policy;
    std::string host;
    int port = 6666, from_port = -1;
    std::vector<tcp::Socket_option> socket_options;
    int connections = 1;
    tcp::Duration pause{};
};
static Settings settings;
static std::string wanted;  // a case by its name or number

// ---- HTTP ---------------------------------------------------------------------------------------------------------

static void send_request(const tcp::Connection& to) {
    std::string request = "GET / HTTP/1.1\r\nHost: " + settings.host +
                          "\r\nAccept: */*\r\nConnection: " + (settings.policy.keep_alive ? "keep-alive" : "close") +
                          "\r\n\r\n";
    tcp::write_all(to, request.data(), request.size());
    tcp::log("wrote", "peer=%s bytes=%zu", to.peer.c_str(), request.size());
}

// Is all of the HTTP reply here, as far as its Content-Length tells?
static bool complete(std::string& reply, const char* data, size_t size) {
    if (reply.size() < 1024 * 1024) reply.append(data, size);  // one that never ends does not fill our memory
    size_t body = reply.find("\r\n\r\n");
    const char *start = reply.c_str(), *length = strcasestr(start, "\r\nContent-Length:");
    return body != reply.npos && length && length < start + body &&
           reply.size() - body - 4 >= strtoul(length + 17, nullptr, 10);
}

// ---- the client ---------------------------------------------------------------------------------------------------

// What ends a connection does not end us: the next one is tried. True if nothing went wrong.
static bool serve(policy::Conversation& conversation, const std::vector<tcp::Address>& server) try {
    std::string reply;
    settings.policy.http_side = [&](auto&, auto data, auto size) { return complete(reply, data, size); };
    auto& connection = conversation.connection;
    connection = tcp::connected_socket(server, settings.from_port, {}, settings.socket_options);
    tcp::set_idle_timeout(connection.socket, settings.policy.idle_timeout);
    std::string local = tcp::local_address(connection.socket).text();
    tcp::log("connected", "peer=%s local=%s", connection.peer.c_str(), local.c_str());
    if (settings.policy.http) send_request(connection);
    conversation.serve();
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

static std::vector<tcp::Option> options() {
    auto verbose = [](auto) { settings.policy.verbose = true; };
    auto reuseaddr = [](auto) { settings.socket_options.push_back({"reuseaddr", SOL_SOCKET, SO_REUSEADDR, 1}); };
    return policy::option_table(
        cases, wanted, settings.policy,
        {{'n', "nbrequest", "N", "N connections in a row, from the same port (1)",
          [](auto v) { settings.connections = tcp::number("--nbrequest", v, "1", "1000000"); }},
         {0, "pause", "D", "wait D before each but the first",
          [](auto v) { settings.pause = tcp::duration("--pause", v, "0", "1h"); }},
         {'t', "target", "HOST", "the server, instead of the operand", [](auto v) { settings.host = v; }},
         {'c', "dstport", "PORT", "its port, instead of the operand",
          [](auto v) { settings.port = tcp::number("--dstport", v, "1", "65535"); }},
         {'f', "fromport", "PORT", "bind to PORT (a free one); 0: no bind()",
          [](auto v) { settings.from_port = tcp::number("--fromport", v, "0", "65535"); }},
         {0, "reuseaddr", nullptr, "bind with SO_REUSEADDR (lab 08)", reuseaddr},
         {'i', "idle-timeout", "D", "give up a server silent for D (0: never)",
          [](auto v) { settings.policy.idle_timeout = tcp::duration("--idle-timeout", v, "0", "24h"); }},
         {'v', "verbose", nullptr, "log the data too", verbose},
         {'d', "debug", nullptr, "as --verbose", verbose},
         tcp::socket_options_go_to(settings.socket_options)});
}

static void parse(int argc, char** argv) {
    settings = {};
    auto operands = tcp::parse_options(argc, argv, "[options] host [port]", options(), 0, 2);
    if (settings.host.empty() && !operands.empty()) {
        settings.host = operands[0];
        operands.erase(operands.begin());
    }
    if (settings.host.empty() || operands.size() > 1) {
        throw tcp::Usage_error("usage: timewait-client [options] host [port]");
    }
    if (!operands.empty()) settings.port = tcp::number("port", operands[0], "1", "65535");
}

int main(int argc, char** argv) try {
    policy::parse_with_case(argc, argv, cases, wanted, parse);
    policy::check(settings.policy);
    if (settings.pause.count() && settings.connections == 1) throw tcp::Usage_error("--pause needs --nbrequest");
    tcp::open_standard_descriptors();
    auto server = tcp::server_addresses(settings.host, settings.port);
    if (settings.from_port < 0) settings.from_port = free_port();

    bool good = true;
    policy::Clock::time_point next{};  // readwait after the last event of the connection before
    for (int i = 0; i < settings.connections; ++i) {
        if (i > 0) {
            std::this_thread::sleep_until(next);
            std::this_thread::sleep_for(settings.pause);
        }
        policy::Conversation conversation{settings.policy};
        good = serve(conversation, server) && good;
        next = conversation.last_event + settings.policy.readwait;
    }
    return good ? 0 : 1;
} catch (const std::exception& error) { return tcp::report(error); }
