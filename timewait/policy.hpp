// policy.hpp - who closes, when and how: the options of timewait-server and timewait-client, and the worker both run.
// What is one host's active close is the other's passive close, so there is one worker, and "the peer" is the other
// end.
#pragma once
#include "../tcp.hpp"

#include <sys/ioctl.h>

#include <thread>

namespace policy {

using tcp::Connection, tcp::Duration, std::string, std::chrono::steady_clock;

enum class When { connect, unread, read, reply, fin, never };
enum class How { close, shutdown, half, rst };

struct Policy {
    bool send_bip = false, bip_on_fin = false, http = false, keep_alive = false;
    When close = When::fin;
    How how = How::close;
    Duration readwait{}, closewait{};
    int connections = 1;  // of a client: so many in a row,
    Duration pause{};     // with a pause before each but the first
    bool changed = false;
};

/// A case is a name for options. To add one, add its line to the program's table.
struct Case {
    const char *name, *options, *wire;
};

/// What the program adds: its side of HTTP (true: a reply has been sent, or is complete), and how it wants to be seen.
struct Settings {
    std::function<bool(const Connection&, const char*, size_t)> http{};
    Duration idle{};
    bool logs = true, verbose = false;
};

// When the last event came, data or FIN; and readwait after the one that can be read.
inline steady_clock::time_point last_event, read_at;

// ---- the worker ---------------------------------------------------------------------------------------------------

/// "BIP:" and the time in 13 digits: 17 bytes of data.
inline void send_bip(const Connection& to) {
    char bip[32];
    auto now = std::chrono::system_clock::now().time_since_epoch();
    int size = snprintf(bip, sizeof bip, "BIP:%013lld",
                        (long long)std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
    tcp::write_all(to, bip, size);
    tcp::log("wrote", "peer=%s bytes=%d", to.peer.text().c_str(), size);
}

/// ppoll(2): until one of the events is there or the time is over (0: never). What is there; POLLERR tells of a RST,
/// always.
inline short wait_for(const Connection& connection, short events, Duration limit) {
    pollfd socket{connection.socket.fd(), events, 0};
    timespec time{limit.count() / 1000000000, limit.count() % 1000000000};
    while (ppoll(&socket, 1, limit.count() ? &time : nullptr, nullptr) < 0 && errno == EINTR) {}
    return socket.revents;
}

// Data is there and readwait begins. True if meanwhile the FIN came, and the policy closes on a FIN: read or not.
inline bool fin_overtakes(const Connection& connection, const Policy& policy) {
    last_event = steady_clock::now(), read_at = last_event + policy.readwait;
    if (!policy.readwait.count()) return false;
    if (wait_for(connection, POLLRDHUP, policy.readwait) == POLLRDHUP) {
        last_event = steady_clock::now();
        if (policy.close == When::fin) return true;
    }
    std::this_thread::sleep_until(read_at);
    return false;
}

// Reads until the policy says: close now. True if the peer's FIN has been read.
inline bool converse(const Connection& connection, const Policy& policy, const Settings& settings) {
    static char buffer[16 * 1024];
    for (;;) {
        if (policy.close == When::unread || policy.readwait.count()) {
            if (!wait_for(connection, POLLIN, settings.idle)) tcp::fail("read " + connection.peer.text(), ETIMEDOUT);
            if (policy.close == When::unread || fin_overtakes(connection, policy)) return false;
        }
        size_t n = tcp::read(connection, buffer, sizeof buffer);
        if (n == 0) return true;
        if (settings.logs)
            tcp::log("read", "peer=%s bytes=%zu%s", connection.peer.text().c_str(), n,
                     settings.verbose ? (" data=" + tcp::printable(buffer, n)).c_str() : "");
        bool replied = policy.http && settings.http(connection, buffer, n);
        if (policy.close == When::read || (replied && policy.close == When::reply)) return false;
    }
}

// Lets closewait pass; a FIN that comes meanwhile ends it, and data does not disturb it.
inline void wait_before_close(const Connection& connection, const Policy& policy, bool fin) {
    static char rest[4096];
    bool reads = !fin && policy.close != When::unread;
    for (auto end = steady_clock::now() + policy.closewait, now = end - policy.closewait; now < end;
         now = steady_clock::now())
        if (wait_for(connection, reads ? POLLIN : 0, end - now) &&
            (!reads || !tcp::read(connection, rest, sizeof rest)))
            return;
}

// Only here something leaves this host: a FIN; or, when bytes wait unread in our receive queue or linger says so, a
// RST.
inline void release(Connection& connection, const Policy& policy, const Settings& settings) {
    int fd = connection.socket.fd(), unread = 0;
    static char rest[4096];
    linger now{1, 0};
    if (policy.how == How::rst) setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    if (policy.how == How::shutdown || policy.how == How::half) {
        shutdown(fd, SHUT_WR);
        tcp::log("half-closed", "peer=%s", connection.peer.text().c_str());
        std::this_thread::sleep_until(read_at);
        while (size_t n = tcp::read(connection, rest, sizeof rest))
            tcp::log("read", "peer=%s bytes=%zu", connection.peer.text().c_str(), n);
        if (policy.how == How::half) return void(connection.socket.release());  // forgotten, not closed
    }
    if (settings.logs) ioctl(fd, FIONREAD, &unread);
    connection.socket.close();
    if (settings.logs)
        tcp::log("closed", "peer=%s by=%s unread=%d", connection.peer.text().c_str(),
                 unread || policy.how == How::rst ? "RST" : "FIN", unread);
}

/// One connection, from the moment it is established to the moment the policy lets go of it.
inline void serve(Connection& connection, const Policy& policy, const Settings& settings) {
    bool fin = false;
    if (policy.send_bip) send_bip(connection);
    if (policy.close != When::connect) fin = converse(connection, policy, settings);
    if (fin && settings.logs) tcp::log("fin", "peer=%s", connection.peer.text().c_str());
    if (fin && policy.bip_on_fin) send_bip(connection);
    if (policy.close == When::never) {  // CLOSE_WAIT, until a RST comes or the program ends
        int error = wait_for(connection, 0, settings.idle) ? ECONNRESET : ETIMEDOUT;
        tcp::fail("wait " + connection.peer.text(), error);
    }
    if (policy.closewait.count()) wait_before_close(connection, policy, fin);
    release(connection, policy, settings);
}

// ---- the words ----------------------------------------------------------------------------------------------------

// Which of the words `text` is; the words stand in the order of their enum.
inline int word(const string& option, const string& text, std::initializer_list<const char*> words) {
    auto found = std::find(words.begin(), words.end(), text);
    string all;
    for (auto each : words) all += (all.empty() ? "" : ", ") + string(each);
    if (found == words.end())
        throw tcp::Usage_error(option + " must be one of " + all + ", not " + tcp::printable(text.data(), text.size()));
    return int(found - words.begin());
}

/// The options that make a policy; the cases use them as the command line does.
inline std::vector<tcp::Option> options(Policy& policy) {
    std::vector<tcp::Option> all = {
        {0, "send-bip", nullptr, "send BIP:<ms>, 17 bytes, when connected", [&](auto) { policy.send_bip = true; }},
        {0, "http", "KEEP", "speak HTTP and say Connection: close or keep-alive",
         [&](auto v) {
             policy.http = true, policy.keep_alive = word("--http", v, {"close", "keep-alive"});
         }},
        {0, "readwait", "D", "when data is there, wait D before reading it",
         [&](auto v) { policy.readwait = tcp::duration("--readwait", v, "0", "1h"); }},
        {0, "close", "WHEN",
         "connect: at once; unread: when data is there; read: after reading some; reply: after\n"
         "                               the HTTP reply; fin: on the peer's FIN (default); never",
         [&](auto v) {
             policy.close = When(word("--close", v, {"connect", "unread", "read", "reply", "fin", "never"}));
         }},
        {0, "closewait", "D", "then wait D before closing, or until the peer's FIN",
         [&](auto v) { policy.closewait = tcp::duration("--closewait", v, "0", "1h"); }},
        {0, "send-bip-on-close", nullptr, "answer the peer's FIN with a bip", [&](auto) { policy.bip_on_fin = true; }},
        {0, "how", "HOW",
         "close (default): close(); shutdown: shutdown(), read up to the FIN, close(); half: the\n"
         "                               same without close(); rst: close() with SO_LINGER 0",
         [&](auto v) {
             policy.how = How(word("--how", v, {"close", "shutdown", "half", "rst"}));
         }},
        {'n', "nbrequest", "N", "N connections, one after the other, from the same port (1)",
         [&](auto v) { policy.connections = tcp::number("--nbrequest", v, "1", "1000000"); }},
        {0, "pause", "D", "wait D before each but the first",
         [&](auto v) { policy.pause = tcp::duration("--pause", v, "0", "1h"); }}};
    for (auto& option : all) option.apply = [&, apply = option.apply](auto v) { policy.changed = true, apply(v); };
    return all;
}

/// --case 1 or --case bip-close: the options of its line, as if they had been typed.
inline void take_case(Policy& policy, const std::vector<Case>& cases, const string& wanted) {
    auto found = std::find_if(cases.begin(), cases.end(), [&](auto& each) {
        return wanted == each.name || wanted == std::to_string(&each - &cases[0]);
    });
    if (found == cases.end())
        throw tcp::Usage_error("--case must be 0.." + std::to_string(cases.size() - 1) +
                               " or a name from --list, not " + tcp::printable(wanted.data(), wanted.size()));
    if (std::exchange(policy, {}).changed) throw tcp::Usage_error("--case comes before the options that change it");
    for (const char *option = found->options, *end; *option; option = end + (*end == ' ')) {
        end = option + strcspn(option, " ");
        string text(option + strlen("--"), end), name = text.substr(0, text.find('='));
        for (auto& each : options(policy))
            if (each.name == name) each.apply(text.c_str() + std::min(text.size(), name.size() + 1));
    }
    policy.changed = false;
}

/// --list: number, name, what it does, what to expect.
[[noreturn]] inline void list(const std::vector<Case>& cases) {
    int width = 0;
    for (auto& each : cases) width = std::max(width, int(strlen(each.options)));
    printf(" N  %-16s %-*s  %s\n", "NAME", width, "OPTIONS", "WHAT TO EXPECT (S: server, C: client)");
    for (auto& each : cases)
        printf("%2d  %-16s %-*s  %s\n", int(&each - &cases[0]), each.name, width, each.options, each.wire);
    exit(fflush(stdout) ? 1 : 0);
}

/// Throws for what cannot be meant.
inline void check(const Policy& policy) {
    auto contradiction = [](bool is_one, const char* text) {
        if (is_one) throw tcp::Usage_error(text);
    };
    contradiction(policy.close == When::reply && !policy.http, "--close reply needs --http");
    contradiction(policy.close <= When::unread && policy.readwait.count(),
                  "--readwait contradicts --close connect and unread: they read nothing");
    contradiction(policy.close <= When::unread && policy.http,
                  "--http contradicts --close connect and unread: they read nothing");
    contradiction(policy.close < When::fin && policy.bip_on_fin, "--send-bip-on-close needs --close fin or never");
    contradiction(policy.close == When::never && policy.closewait.count(), "--closewait contradicts --close never");
    contradiction(policy.close == When::never && policy.how != How::close, "--how contradicts --close never");
    contradiction(policy.pause.count() && policy.connections == 1, "--pause needs --nbrequest");
}

}  // namespace policy
