// readiness - what "ready" means: reads a few bytes at each event, and shows when epoll(7) tells of the rest (Linux only).
//
//   readiness [options] [port]          default port 8990; one client at a time, nothing is sent back
//
// Look for: level-triggered, which is epoll's default and what poll(2) always is, epoll_wait() returns for as long as
// there is something to read. With --edge it returns when something has come: what is left then waits, in netstat's
// Recv-Q, until more comes, and if the peer waits for an answer, for ever. --drain is the cure: read until EAGAIN.
#include "../../program.hpp"

#include <sys/epoll.h>
#include <sys/ioctl.h>

static bool edge = false, drain = false;
static size_t bytes = 3;

// One event after the other, until the peer's FIN has been read.
static void watch(const tcp::Connection& connection) {
    tcp::Descriptor epoll(epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{EPOLLIN, {}};
    if (edge) event.events |= EPOLLET;
    int fd = connection.socket.fd();
    if (epoll_ctl(epoll.fd(), EPOLL_CTL_ADD, fd, &event)) tcp::fail("epoll_ctl");
    static char buffer[64 * 1024];
    for (ssize_t n = 1; n != 0;) {
        if (epoll_wait(epoll.fd(), &event, 1, -1) < 1) continue;  // a signal
        int unread = 0;
        ioctl(fd, FIONREAD, &unread);
        tcp::log("ready", "peer=%s unread=%d", connection.peer.c_str(), unread);
        do {
            n = recv(fd, buffer, bytes, MSG_DONTWAIT);
            if (n < 0 && errno != EAGAIN) tcp::fail("read " + connection.peer);
            if (n > 0) tcp::log("read", "peer=%s bytes=%zd", connection.peer.c_str(), n);
        } while (drain && n > 0);
    }
    tcp::log("fin", "peer=%s", connection.peer.c_str());
}

int main(int argc, char** argv) try {
    auto operands = tcp::parse_options(
        argc, argv, "[options] [port]",
        {{0, "edge", nullptr, "edge-triggered: EPOLLET", [](auto) { edge = true; }},
         {0, "bytes", "N", "read at most N at once (3)", [](auto v) { bytes = tcp::bytes("--bytes", v, "1", "64k"); }},
         {'d', "drain", nullptr, "at each event read until EAGAIN", [](auto) { drain = true; }}},
        0, 1);
    int port = operands.empty() ? 8990 : tcp::number("port", operands[0], "0", "65535");
    tcp::open_standard_descriptors();
    tcp::Descriptor listener = tcp::listening_socket(*tcp::numeric_address("0.0.0.0", port), SOMAXCONN, true);
    tcp::log("listening", "on %s", tcp::local_address(listener).text().c_str());
    for (;;) {
        auto connection = tcp::accept(listener);
        if (!connection) continue;
        tcp::log("accepted", "peer=%s", connection->peer.c_str());
        try {
            watch(*connection);
        } catch (const std::exception& error) { tcp::log("failed", "%s", error.what()); }
    }
} catch (const std::exception& error) { return tcp::report(error); }
