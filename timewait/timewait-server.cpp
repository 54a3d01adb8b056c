// timewait-server - who closes, when and how is a policy: options that can be combined, with ten known cases by name.
//
//   timewait-server [options] [port]     default port 6666; --list shows the cases, --case 1 takes one
//
// Look for: the first FIN in tcpdump. Whoever sent it has TIME_WAIT in netstat for 60 s; a peer that does not answer it
// keeps us in FIN_WAIT2 and itself in CLOSE_WAIT; after a RST nobody has anything. policy.hpp has the rest.
#include "cases.hpp"
#include "../TCPechod/forking.hpp"

static const std::vector<policy::Case> cases = {
    {"close", {"--close=connect"}, "S:FIN, TIME_WAIT on the server; client 6: either is first"},
    {"bip-close", {"--send-bip", "--close=connect"}, "S:PSH(17) S:FIN, TIME_WAIT here; client 6, 7: either"},
    {"bip-wait-close", {"--send-bip", "--close=connect", "--closewait=5s"}, "S:PSH(17), S:FIN after 5 s"},
    {"close-on-fin", {"--close=fin"}, "C:FIN S:FIN, TIME_WAIT on the client"},
    {"never-close", {"--close=never"}, "C:FIN, then CLOSE_WAIT until the server ends"},
    {"bip-on-fin", {"--send-bip-on-close", "--close=never"}, "C:FIN S:PSH(17), and C:RST if the client is gone"},
    {"http", {"--http=close", "--close=fin"}, "S:PSH(154), open until C:FIN"},
    {"http-close", {"--http=close", "--close=reply"}, "S:PSH(154) S:FIN, TIME_WAIT here; client 9: either is first"},
    {"http-keep-alive", {"--http=keep-alive", "--close=fin"}, "S:PSH(159) for each request, open until C:FIN"},
    {"http-wait-close",
     {"--http=close", "--close=reply", "--closewait=200us"},
     "S:PSH(154), S:FIN after 200 us; client 9: either is first"},
};

struct Settings {
    tcp::Server_options server{6666};
    policy::Policy policy;
    size_t max_children = 4096;
};
static Settings settings;
static std::string wanted;  // a case by its name or number

// ---- HTTP ---------------------------------------------------------------------------------------------------------

static char reply[256];
static size_t reply_size;

// Written anew when the second has changed, by the parent when it can: what a child need not do costs it no faults.
static void write_reply() {
    static time_t written = 0;
    time_t now = time(nullptr);
    if (now == written) return;
    written = now;
    char date[64];
    tm utc;
    strftime(date, sizeof date, "%a, %d %b %Y %T GMT", gmtime_r(&now, &utc));
    reply_size =
        snprintf(reply, sizeof reply,
                 "HTTP/1.1 200 OK\r\nDate: %s\r\nServer: fast\r\nContent-Type: application/json\r\nConnection: %s\r\n"
                 "Content-Length: 13\r\n\r\n{ 'event':0 }",
                 date, settings.policy.keep_alive ? "keep-alive" : "close");
}

// A reply for each request, which is for each blank line that follows something. True if there was one.
static bool answer(const tcp::Connection& connection, const char* data, size_t size) {
    static size_t line = 0, request = 0, replies = 0;  // bytes of the unfinished line, and of the request before it
    bool replied = false;
    for (const char* c = data; c < data + size; ++c) {
        if (*c != '\n') {
            if (*c != '\r') ++line;
            continue;
        }
        bool request_ends = line == 0 && request > 0;
        request += line;
        line = 0;
        if (!request_ends) continue;
        request = 0;
        if (replies > 0) write_reply();  // the first is as new as this process
        ++replies;
        tcp::write_all(connection, reply, reply_size);
        replied = true;
        if (settings.policy.close == policy::When::reply) break;
    }
    return replied;
}

// ---- the server ---------------------------------------------------------------------------------------------------

[[noreturn]] static void child(tcp::Connection connection, tcp::Descriptor& listener) {
    listener.close();
    try {
        policy::Conversation conversation{settings.policy, std::move(connection)};
        conversation.serve();
        if (settings.policy.how == policy::How::half) pause();  // what was not closed stays open as long as we live
    } catch (const std::exception& error) {                     // this client's trouble is not the server's
        tcp::log_failure(error);
    }
    _exit(0);
}

static void parse(int argc, char** argv) {
    settings = {};
    auto& server = settings.server;
    auto& policy = settings.policy;
    server.parse(
        argc, argv,
        policy::option_table(cases, wanted, policy,
                             {{'p', "port", "PORT", "listen on PORT (6666)",
                               [](auto v) { settings.server.port = tcp::number("--port", v, "0", "65535"); }},
                              {'m', "max-children", "N", "at most N, the backlog holds the rest (4096)",
                               [](auto v) { settings.max_children = tcp::number("--max-children", v, "1", "100000"); }},
                              {'d', "debug", nullptr, "as --verbose", [](auto) { settings.server.verbose = true; }}}));
    policy.http_side = answer;
    policy.idle_timeout = server.idle_timeout;
    policy.verbose = server.verbose;
    policy.logs = !policy.http || server.verbose;  // two lines for a connection cost more than an HTTP reply
}

int main(int argc, char** argv) try {
    policy::parse_with_case(argc, argv, cases, wanted, parse);
    policy::check(settings.policy);
    tcp::open_standard_descriptors();
    tcp::log_without_waiting();
    signal(SIGPIPE, SIG_IGN);  // whoever reads our log may be gone: write() says EPIPE then, instead of ending us

    tcp::Forking_server acceptor;
    tcp::Descriptor listener = settings.server.listen();
    acceptor.max_children = settings.max_children;
    acceptor.idle_timeout = settings.server.idle_timeout;
    if (settings.policy.http) acceptor.before_fork = write_reply;
    acceptor.child = [&](tcp::Connection connection) { child(std::move(connection), listener); };
    acceptor.parent = [](tcp::Connection& connection, pid_t pid) {
        if (settings.policy.logs) tcp::log("accepted", "peer=%s child=%d", connection.peer.c_str(), pid);
    };
    acceptor.run(listener);
    listener.close();  // whoever is still in the accept queue is reset
    acceptor.end();
    tcp::log("stopped", "port=%d", settings.server.port);
} catch (const std::exception& error) { return tcp::report(error); }
