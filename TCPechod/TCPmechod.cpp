// TCPmechod - the event-driven echo server: one process, one thread, all clients; epoll(7) says who is ready (Linux only).
//
//   TCPmechod [options] [port]          default port 8990
//
// Look for: netstat -p shows one process that owns every connected socket, ps -T its one thread, strace no call that
// blocks but ppoll. A client that sends and never reads fills its own receive queue, then our Send-Q, then our Recv-Q,
// because we read no more from it; then its send() blocks, and nobody else's.
#include "concurrent.hpp"

#include <sys/epoll.h>

#include <list>

using tcp::Clock;

// What a process or a thread of its own keeps on its stack for each client: where we are with it.
struct Client {
    tcp::Connection connection;
    Clock::time_point start, active;
    std::list<Client>::iterator self{};
    std::string unsent{};  // what the kernel had no room for; while there is any, we do not read
    size_t total = 0;
};

static const auto never = Clock::time_point::max();
static tcp::Concurrent_options server{{8990}};
static tcp::Totals all, *totals = &all;
static std::list<Client> clients;  // whoever is silent for the longest time is first
static size_t max_clients = 100000;
static tcp::Descriptor epoll;
static volatile sig_atomic_t stopping = 0;  // how often we were told to

// Level-triggered: epoll_wait() reports the events for as long as they are true, not only when they become true.
static void watch(const tcp::Descriptor& socket, uint32_t events, Client* client, int operation = EPOLL_CTL_MOD) {
    epoll_event event{events, {client}};
    if (epoll_ctl(epoll.fd(), operation, socket.fd(), &event)) tcp::fail("epoll_ctl");
}

// The kernel takes what it has room for. The rest waits in `unsent` until it has some again.
static void write_some(Client& client, const char* data, size_t size) {
    auto& [socket, peer] = client.connection;
    ssize_t n = send(socket.fd(), data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) tcp::fail("write " + peer);
    size_t sent = std::max<ssize_t>(n, 0);
    bool waited = !client.unsent.empty(), waits = sent < size;
    client.unsent = std::string(data + sent, size - sent);
    if (waits != waited) watch(socket, waits ? EPOLLOUT : EPOLLIN, &client);
}

// What has arrived goes back: one read, then it is the others' turn. False at the peer's FIN.
static bool echo(Client& client) {
    static char buffer[256 * 1024];
    auto& [socket, peer] = client.connection;
    if (!client.unsent.empty()) {
        write_some(client, client.unsent.data(), client.unsent.size());
        return true;
    }
    ssize_t n = recv(socket.fd(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return true;
    if (n < 0) tcp::fail("read " + peer);
    if (n == 0) return false;  // the peer's FIN is here, our socket is in CLOSE_WAIT
    if (server.verbose) tcp::log_data("read", client.connection, buffer, n);
    client.total += n;
    totals->bytes += n;
    write_some(client, buffer, n);
    return true;
}

static void drop(Client& client) {
    totals->add(client.start);
    clients.erase(client.self);  // closes the socket, which takes it out of epoll
}

static void serve(Client& client) {
    client.active = Clock::now();
    clients.splice(clients.end(), clients, client.self);
    try {
        if (echo(client)) return;
        client.connection.socket.close();  // our FIN leaves here
        tcp::log("closed", "peer=%s bytes=%zu", client.connection.peer.c_str(), client.total);
    } catch (const std::exception& error) {  // this client's trouble is not the server's
        tcp::log_failure(error);
    }
    drop(client);
}

static void add(tcp::Connection connection) try {
    tcp::log("accepted", "peer=%s", connection.peer.c_str());
    auto now = Clock::now();
    std::list<Client> added;
    added.push_back({std::move(connection), now, now});
    added.back().self = added.begin();
    watch(added.back().connection.socket, EPOLLIN, &added.back(), EPOLL_CTL_ADD);
    clients.splice(clients.end(), added);
} catch (const std::exception& error) { tcp::log_failure(error); }

// Whoever waits in the accept queue, as far as there is room. False: there is no descriptor or no memory to be had now.
static bool accept_waiting(const tcp::Descriptor& listener) {
    static bool starved = false;
    try {
        while (clients.size() < max_clients) {
            auto connection = tcp::accept(listener);
            if (!connection) {  // the queue is empty
                starved = false;
                break;
            }
            add(std::move(*connection));
        }
        return true;
    } catch (const std::exception& error) {
        if (!starved) tcp::log("waiting", "%s", error.what());
        starved = true;
        return false;
    }
}

static void drop_idle() {
    auto limit = Clock::now() - server.idle_timeout;
    while (server.idle_timeout.count() && !clients.empty() && clients.front().active <= limit) {
        tcp::log("failed", "read %s: %s", clients.front().connection.peer.c_str(), strerror(ETIMEDOUT));
        drop(clients.front());
    }
}

// Waits until somebody is ready or `end` is reached, and serves whoever is ready. True if a connection can be accepted.
static bool serve_ready(const tcp::Signals& signals, Clock::time_point end) {
    if (server.idle_timeout.count() && !clients.empty())
        end = std::min(end, clients.front().active + server.idle_timeout);
    auto limit = end == never ? tcp::Duration{} : std::max<tcp::Duration>(tcp::Duration(1), end - Clock::now());
    bool incoming = false;
    epoll_event events[256];
    int ready = signals.wait(epoll.fd(), limit) ? epoll_wait(epoll.fd(), events, 256, 0) : 0;
    for (int i = 0; i < ready; ++i) {
        if (auto client = static_cast<Client*>(events[i].data.ptr)) serve(*client);
        else incoming = true;
    }
    drop_idle();
    return incoming;
}

static void report_totals(int) { totals->log(clients.size()); }
static void stop(int) { stopping = stopping + 1; }

int main(int argc, char** argv) try {
    server.parse(argc, argv, {{'m', "max-clients", "N", "N at once (100000), the backlog holds the rest", [](auto v) {
                                   max_clients = tcp::number("--max-clients", v, "1", "1000000");
                               }}});
    tcp::open_standard_descriptors();
    tcp::log_without_waiting();
    signal(SIGPIPE, SIG_IGN);  // whoever reads our log may be gone: write() says EPIPE then, instead of ending us

    tcp::raise_descriptor_limit();
    tcp::start_timer(server.stats);
    tcp::Signals signals{{SIGUSR1, report_totals}, {SIGALRM, report_totals}, {SIGTERM, stop}, {SIGINT, stop}};
    tcp::Descriptor listener = server.listen();
    fcntl(listener.fd(), F_SETFL, O_NONBLOCK);  // accept() says EAGAIN when the queue is empty
    epoll = tcp::Descriptor(epoll_create1(EPOLL_CLOEXEC));
    watch(listener, EPOLLIN, nullptr, EPOLL_CTL_ADD);
    bool watched = true;
    auto pause = never;  // out of descriptors: until then
    while (!stopping) {
        bool incoming = serve_ready(signals, pause);
        if (pause <= Clock::now()) pause = never;
        if (incoming && !stopping && !accept_waiting(listener)) pause = Clock::now() + std::chrono::milliseconds(100);
        bool room = clients.size() < max_clients && pause == never;
        if (room != watched) watch(listener, room ? uint32_t(EPOLLIN) : 0, nullptr);
        watched = room;
    }
    listener.close();  // whoever is still in the accept queue is reset
    auto end = Clock::now() + server.grace;
    while (stopping == 1 && !clients.empty() && Clock::now() < end) serve_ready(signals, end);
    report_totals(0);
    tcp::log("stopped", "port=%d", server.port);
} catch (const std::exception& error) { return tcp::report(error); }
