// TCPmechod - the event-driven echo server: one process, one thread, all clients; epoll(7) tells who is ready (Linux
// only).
//
//   TCPmechod [options] [port]          default port 8990
//
// Look for: netstat -p shows one process that owns every connected socket, ps -T its one thread, strace no call that
// blocks but epoll_wait. A client that sends and never reads fills its own receive queue, then our Send-Q, then our
// Recv-Q, because we read no more from it; then its send() blocks, and nobody else's.
#include "concurrent.hpp"

#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <list>

static const auto never = Clock::time_point::max();

// What fork() and threads keep on a stack of its own for each client: where we are with it.
struct Client {
    tcp::Connection connection;
    Clock::time_point start, active;
    std::list<Client>::iterator self{};
    std::string input{};   // --framed: a message that has not come completely
    std::string unsent{};  // what the kernel had no room for; while there is any, we do not read
    uint64_t total = 0;
    bool ending = false;  // our FIN leaves after `unsent`; what the client still sends is thrown away
};
static std::list<Client> clients;  // whoever is silent for the longest time is first
static Concurrent_options server{{8990}};
static size_t max_clients = 100000, max_message = 0;  // 0: not framed
static tcp::Descriptor epoll;
static Clock::time_point now;
static Totals totals;

// Edge-triggered: told once when it becomes true (now, if it is true), not for as long as it is.
static void interest(Client& client, uint32_t events, int operation = EPOLL_CTL_MOD) {
    epoll_event event{events | EPOLLET, {&client}};
    if (epoll_ctl(epoll.fd(), operation, client.connection.socket.fd(), &event)) tcp::fail("epoll_ctl");
}

// The kernel takes what it has room for, the rest stays in `unsent`.
static void write_some(Client& client, const char* data, size_t size) {
    for (ssize_t n; size > 0; data += n, size -= n)
        if ((n = send(client.connection.socket.fd(), data, size, MSG_NOSIGNAL)) < 0) {
            if (errno == EAGAIN) break;
            tcp::fail("write " + client.connection.peer.text());
        }
    client.unsent = std::string(data, size);
    if (size == 0 && client.ending) shutdown(client.connection.socket.fd(), SHUT_WR);  // our FIN leaves here
}

// TCP has no messages: a read may bring half a header or three requests at once. We make them: 4 bytes length in
// network byte order, then so many bytes. Every complete one goes back as it is; length 0 ends. False: no length we
// can take.
static bool take_messages(Client& client, const char* data, size_t size) {
    std::string& input = client.input.append(data, size);
    size_t complete = 0;
    uint32_t length = 0;
    for (; input.size() - complete >= sizeof length; complete += sizeof length + length) {
        memcpy(&length, &input[complete], sizeof length);
        length = ntohl(length);  // unsigned: -1 is 4294967295
        client.ending = length == 0;
        if (client.ending || length > max_message || input.size() - complete - sizeof length < length) break;
    }
    write_some(client, input.data(), complete);
    input.erase(0, complete);
    if (length > max_message)
        tcp::log("refused", "peer=%s message of %u bytes, at most %zu", client.connection.peer.text().c_str(), length,
                 max_message);
    return length <= max_message;
}

// False when the connection is over. Reads until EAGAIN: an edge is reported once.
static bool serve(Client& client) {
    static char buffer[256 * 1024];
    if (!client.unsent.empty()) {
        write_some(client, client.unsent.data(), client.unsent.size());
        if (client.unsent.empty()) interest(client, EPOLLIN);  // more came in the meantime? then we are told at once
        return true;
    }
    for (int turn = 0; turn < 16; ++turn) {
        ssize_t n = recv(client.connection.socket.fd(), buffer, sizeof buffer, 0);
        if (n == 0) return false;  // the peer's FIN is here, our socket is in CLOSE_WAIT
        if (n < 0 && errno == EAGAIN) return true;
        if (n < 0) tcp::fail("read " + client.connection.peer.text());
        if (client.ending) continue;
        if (server.verbose)
            tcp::log("read", "peer=%s bytes=%zd data=%s", client.connection.peer.text().c_str(), n,
                     tcp::printable(buffer, n).c_str());
        client.total += n, totals.bytes += n;
        if (!max_message)
            write_some(client, buffer, n);
        else if (!take_messages(client, buffer, n))
            return false;
        if (!client.unsent.empty()) return interest(client, EPOLLOUT), true;
    }
    interest(client, EPOLLIN);  // enough: the others first, then we are told of the rest
    return true;
}

static void drop(Client& client, const char* verb, const char* text) {
    tcp::log(verb, "%s", text);
    totals.add(client.start);
    clients.erase(client.self);  // closes the socket, which takes it out of epoll
}

static void serve_or_drop(Client& client) try {
    if (server.idle_timeout.count()) client.active = now, clients.splice(clients.end(), clients, client.self);
    if (serve(client)) return;
    client.connection.socket.close();  // our FIN leaves here
    drop(client, "closed",
         ("peer=" + client.connection.peer.text() + " bytes=" + std::to_string(client.total)).c_str());
} catch (const std::system_error& error) {
    drop(client, error.code().value() == ECONNRESET ? "reset" : "failed", error.what());
} catch (const std::bad_alloc&) {  // no memory for what this client sends; the others are served on
    drop(client, "failed", "no memory for a client");
}

// True when the accept queue is empty; false when some stay there, because we are at our bound or out of descriptors.
static bool accept_all(const tcp::Descriptor& listener) {
    static bool starved = false;
    while (clients.size() < max_clients) {
        tcp::Address peer;
        socklen_t size = sizeof peer;
        tcp::Descriptor socket(accept4(listener.fd(), &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (socket.fd() < 0 && errno == EAGAIN) return starved = false, true;
        if (socket.fd() < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            if (!std::exchange(starved, true)) tcp::log("waiting", "accept: %s", strerror(errno));
            return false;
        }
        if (socket.fd() < 0) continue;  // this one died in the queue
        tcp::log("accepted", "peer=%s", peer.text().c_str());
        try {
            clients.emplace_back(Client{{std::move(socket), peer}, now, now});
        } catch (const std::bad_alloc&) {
            tcp::log("failed", "no memory for a client");
            continue;
        }
        Client& client = clients.back();
        client.self = std::prev(clients.end());
        try {
            interest(client, EPOLLIN, EPOLL_CTL_ADD);
        } catch (const std::system_error& error) { drop(client, "failed", error.what()); }
    }
    return false;
}

static void report_totals() { totals.log(clients.size()); }

// The longest silent are first in the list.
static void drop_idle() {
    while (!clients.empty() && clients.front().active + server.idle_timeout <= now)
        drop(clients.front(), "failed",
             ("read " + clients.front().connection.peer.text() + ": " + strerror(ETIMEDOUT)).c_str());
}

// Signals become a descriptor like everything else, so that there is one place to wait.
static tcp::Descriptor signal_descriptor(std::initializer_list<int> numbers) {
    sigset_t caught;
    sigemptyset(&caught);
    for (int number : numbers) sigaddset(&caught, number);
    sigprocmask(SIG_BLOCK, &caught, nullptr);
    return tcp::Descriptor(signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK));
}

static bool told_to_stop(const tcp::Descriptor& signals) {
    bool stop = false;
    for (signalfd_siginfo signal; ::read(signals.fd(), &signal, sizeof signal) > 0;)
        if (signal.ssi_signo == SIGUSR1 || signal.ssi_signo == SIGALRM)
            report_totals();
        else
            stop = true;
    return stop;
}

// epoll_wait(2), until `end` at the latest.
static int wait_until(Clock::time_point end, epoll_event* events, int size) {
    auto left =
        end == never ? 0 : std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count() + 1;
    int ready = epoll_wait(epoll.fd(), events, size, end == never ? -1 : int(std::max<int64_t>(left, 0)));
    now = Clock::now();
    return ready;
}

int main(int argc, char** argv) try {
    bool framed = false;
    size_t longest = 64 * 1024;
    server.parse(argc, argv,
                 {{'m', "max-clients", "N", "at most N at once, the backlog holds the rest (100000)",
                   [&](auto v) { max_clients = tcp::number("--max-clients", v, "1", "1000000"); }},
                  {'f', "framed", nullptr, "messages: 4 bytes length, big-endian, then the bytes; 0 ends",
                   [&](auto) { framed = true; }},
                  {0, "max-message", "N", "refuse longer messages (64k)",
                   [&](auto v) { longest = tcp::bytes("--max-message", v, "1", "16m"); }}});
    max_message = framed ? longest : 0;

    raise_descriptor_limit();
    epoll = tcp::Descriptor(epoll_create1(EPOLL_CLOEXEC));
    tcp::Descriptor signals = signal_descriptor({SIGTERM, SIGINT, SIGUSR1, SIGALRM}), listener = server.listen();
    fcntl(listener.fd(), F_SETFL,
          O_NONBLOCK);  // whoever epoll announced may be gone at accept(): do not wait for the next
    for (auto* source : {&signals, &listener}) {
        epoll_event event{EPOLLIN | EPOLLET, {source}};
        if (epoll_ctl(epoll.fd(), EPOLL_CTL_ADD, source->fd(), &event)) tcp::fail("epoll_ctl");
    }
    auto next_accept = never, stop_at = never;
    while (stop_at == never || (!clients.empty() && now < stop_at)) {
        epoll_event events[256];
        auto next_idle =
            server.idle_timeout.count() && !clients.empty() ? clients.front().active + server.idle_timeout : never;
        int ready = wait_until(std::min({next_accept, next_idle, stop_at}), events, 256);
        for (int i = 0; i < ready; ++i) {
            if (events[i].data.ptr == &listener)
                next_accept = now;
            else if (events[i].data.ptr != &signals)
                serve_or_drop(*static_cast<Client*>(events[i].data.ptr));
            else if (told_to_stop(signals))
                stop_at = stop_at == never ? now + server.grace : now, listener.close();
        }
        if (listener.fd() < 0) next_accept = never;
        if (next_accept != never) next_accept = accept_all(listener) ? never : now + std::chrono::milliseconds(100);
        if (now >= next_idle) drop_idle();
    }
    report_totals();
    tcp::log("stopped", "port=%d", server.port);
} catch (const std::exception& error) { return tcp::report(error); }
