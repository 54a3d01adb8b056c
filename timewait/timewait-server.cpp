// timewait-server - who closes, when and how is a policy: options that can be combined, with ten known cases by name.
//
//   timewait-server [options] [port]     default port 6666; --list shows the cases, --case 1 takes one
//
// Look for: the first FIN in tcpdump. Whoever sent it has TIME_WAIT in netstat for 60 s; a peer that does not answer
// it keeps us in FIN_WAIT2 and itself in CLOSE_WAIT; after a RST nobody has anything. What a connection does is in
// policy.hpp.
#include "policy.hpp"

#include <sys/wait.h>

using policy::Policy, policy::Settings;

static const std::vector<policy::Case> cases = {
    {"close", "--close=connect", "S:FIN first, TIME_WAIT on the server"},
    {"bip-close", "--send-bip --close=connect", "S:PSH(17) S:FIN, TIME_WAIT on the server"},
    {"bip-wait-close", "--send-bip --close=connect --closewait=5s", "S:PSH(17), S:FIN after 5 s"},
    {"close-on-fin", "--close=fin", "C:FIN S:FIN, TIME_WAIT on the client"},
    {"never-close", "--close=never", "C:FIN, then CLOSE_WAIT until the server ends"},
    {"bip-on-fin", "--send-bip-on-close --close=never", "C:FIN S:PSH(17), and C:RST if the client is gone"},
    {"http", "--http=close --close=fin", "S:PSH(154), open until C:FIN"},
    {"http-close", "--http=close --close=reply", "S:PSH(154) S:FIN, TIME_WAIT on the server"},
    {"http-keep-alive", "--http=keep-alive --close=fin", "S:PSH(159) for each request, open until C:FIN"},
    {"http-wait-close", "--http=close --close=reply --closewait=200us",
     "S:PSH(154), then a race that the client may win"},
};

static char reply[256];
static size_t reply_size;

// Written anew when the second has changed, by the parent when it can: what a child need not do costs it no page
// faults.
static void write_reply(const Policy& policy) {
    static time_t written = 0;
    time_t now = time(nullptr);
    if (now == std::exchange(written, now)) return;
    char date[64];
    tm utc;
    strftime(date, sizeof date, "%a, %d %b %Y %T GMT", gmtime_r(&now, &utc));
    reply_size =
        snprintf(reply, sizeof reply,
                 "HTTP/1.1 200 OK\r\nDate: %s\r\nServer: fast\r\nContent-Type: application/json\r\nConnection: %s\r\n"
                 "Content-Length: 13\r\n\r\n{ 'event':0 }",
                 date, policy.keep_alive ? "keep-alive" : "close");
}

// A reply for each request, which is for each blank line that follows something. True if there was one.
static bool answer(const tcp::Connection& connection, const Policy& policy, const char* data, size_t size) {
    static size_t line = 0, request = 0, replies = 0;  // bytes of the unfinished line, and of the request before it
    bool replied = false;
    for (size_t i = 0; i < size && !(replied && policy.close == policy::When::reply); ++i) {
        if (data[i] != '\n') {
            line += data[i] != '\r';
            continue;
        }
        request += line;
        if (std::exchange(line, 0) || !std::exchange(request, 0)) continue;
        if (replies++) write_reply(policy);  // the first is as new as this process
        tcp::write_all(connection, reply, reply_size);
        replied = true;
    }
    return replied;
}

[[noreturn]] static void child(tcp::Connection connection, const Policy& policy, const Settings& settings) {
    try {
        serve(connection, policy, settings);
        if (policy.how == policy::How::half) pause();  // the descriptor stays open as long as we live
    } catch (const std::system_error& error) {
        tcp::log(error.code().value() == ECONNRESET ? "reset" : "failed", "%s", error.what());
    }
    _exit(0);
}

static std::vector<pid_t> children;
static volatile sig_atomic_t stopping = 0;

// Several children may end before one SIGCHLD is delivered.
static void reap(int) {
    for (pid_t pid; (pid = waitpid(-1, nullptr, WNOHANG)) > 0;)
        children.erase(std::remove(children.begin(), children.end(), pid), children.end());
}

int main(int argc, char** argv) try {
    tcp::Server_options server{6666};
    Policy policy;
    Settings settings;
    size_t max_children = 4096;
    auto table = policy::options(policy);
    table.erase(table.end() - 2, table.end());  // --nbrequest and --pause are a client's
    table.insert(table.begin(), {{'s', "case", "N", "a case by number or name: the options that --list shows for it",
                                  [&](auto v) { take_case(policy, cases, v); }},
                                 {'l', "list", nullptr, "the cases", [](auto) { policy::list(cases); }},
                                 {'p', "port", "PORT", "listen on PORT (6666)",
                                  [&](auto v) { server.port = tcp::number("--port", v, "0", "65535"); }},
                                 {'m', "max-children", "N", "at most N at once, the backlog holds the rest (4096)",
                                  [&](auto v) { max_children = tcp::number("--max-children", v, "1", "100000"); }}});
    server.parse(argc, argv, table);
    check(policy);
    settings.http = [&](auto& connection, auto data, auto size) { return answer(connection, policy, data, size); };
    settings.idle = server.idle_timeout, settings.verbose = server.verbose;
    settings.logs = !policy.http || server.verbose;  // two lines for a connection cost more than an HTTP reply

    auto stop = [](int) { stopping = 1; };
    tcp::Signals signals{{SIGCHLD, reap}, {SIGTERM, stop}, {SIGINT, stop}};
    tcp::Descriptor listener = server.listen();
    for (bool fork_failed = false;;) {
        bool incoming = signals.wait(children.size() < max_children ? listener.fd() : -1);
        if (stopping) break;
        if (!incoming) continue;
        auto connection = tcp::accept(listener, server.idle_timeout);
        if (!connection) continue;
        if (policy.http) write_reply(policy);
        pid_t pid;
        while ((pid = fork()) < 0 && !stopping) {
            if (!std::exchange(fork_failed, true)) tcp::log("waiting", "fork: %s", strerror(errno));
            signals.wait(-1, std::chrono::milliseconds(100));
        }
        if (pid == 0) {
            signal(SIGTERM, SIG_DFL);
            signal(SIGINT, SIG_DFL);
            signals.let_in();
            listener.close();
            child(std::move(*connection), policy, settings);
        }
        if (pid < 0) break;
        fork_failed = false;
        children.push_back(pid);
        if (settings.logs) tcp::log("accepted", "peer=%s child=%d", connection->peer.text().c_str(), pid);
    }
    tcp::end_children(
        signals, {}, [] { return children; }, [] { return false; });  // the kernel closes what they have open
    tcp::log("stopped", "port=%d", server.port);
} catch (const std::exception& error) { return tcp::report(error); }
