// policy.hpp - who closes, when and how: what timewait-server and timewait-client make of a connection. What is one
// host's active close is the other's passive close, so both do the same, and "the peer" is the other end.
#pragma once
#include "../program.hpp"

#include <sys/ioctl.h>

#include <thread>

namespace policy {

using tcp::Connection, tcp::Duration, std::string;
using Clock = std::chrono::steady_clock;

enum class When { connect, unread, read, reply, fin, never };
enum class How { close, shutdown, half, rst };

struct Policy {
    bool send_bip = false, bip_on_fin = false, http = false, keep_alive = false;
    When close = When::fin;
    How how = How::close;
    Duration readwait{}, closewait{};
    // What the program adds: its side of HTTP (true: a reply has been sent, or is complete), how it wants to be seen.
    std::function<bool(const Connection&, const char*, size_t)> http_side{};
    Duration idle_timeout{};
    bool logs = true, verbose = false;
};

/// One connection, and the policy that ends it.
struct Conversation {
    const Policy& policy;
    Connection connection{};
    Clock::time_point last_event{};  // when data or the FIN came last
    Clock::time_point read_at{};     // readwait after the data came

    /// "BIP:" and the time in 13 digits: 17 bytes of data.
    void send_bip() const {
        char bip[32];
        auto now = std::chrono::system_clock::now().time_since_epoch();
        long milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
        int size = snprintf(bip, sizeof bip, "BIP:%013ld", milliseconds);
        tcp::write_all(connection, bip, size);
        tcp::log("wrote", "peer=%s bytes=%d", connection.peer.c_str(), size);
    }

    /// ppoll(2): until one of the events is there or the time is over (0: never). What is there; POLLERR, for a RST, is
    /// always among the events.
    short wait_for(short events, Duration limit) const {
        pollfd socket{connection.socket.fd(), events, 0};
        timespec time = tcp::to_timespec(limit);
        while (ppoll(&socket, 1, limit.count() ? &time : nullptr, nullptr) < 0 && errno == EINTR) {}
        return socket.revents;
    }

    /// Data is there, and readwait begins. True if meanwhile the FIN came and the policy closes on a FIN, read or not.
    bool fin_overtakes() {
        last_event = Clock::now();
        read_at = last_event + policy.readwait;
        if (wait_for(POLLRDHUP, policy.readwait) == POLLRDHUP) {
            last_event = Clock::now();
            if (policy.close == When::fin) return true;
        }
        std::this_thread::sleep_until(read_at);
        return false;
    }

    /// Reads until the policy says: close now. True if the peer's FIN has been read.
    bool converse() {
        static char buffer[16 * 1024];
        for (;;) {
            if (policy.close == When::unread || policy.readwait.count()) {
                if (!wait_for(POLLIN, policy.idle_timeout)) tcp::fail("read " + connection.peer, ETIMEDOUT);
                if (policy.close == When::unread || fin_overtakes()) return false;
            }
            size_t n = tcp::read(connection, buffer, sizeof buffer);
            if (n == 0) return true;
            string data = policy.verbose ? " data=" + tcp::printable(buffer, n) : "";
            if (policy.logs) tcp::log("read", "peer=%s bytes=%zu%s", connection.peer.c_str(), n, data.c_str());
            bool replied = policy.http && policy.http_side(connection, buffer, n);
            if (policy.close == When::read || (replied && policy.close == When::reply)) return false;
        }
    }

    /// Lets closewait pass. The peer's FIN or RST ends it, data does not.
    void wait_before_close(bool fin) const {
        static char rest[4096];
        bool reads = !fin && policy.close != When::unread;
        auto end = Clock::now() + policy.closewait;
        for (auto left = policy.closewait; left.count() > 0; left = end - Clock::now()) {
            bool event = wait_for(reads ? POLLIN : 0, left);
            if (event && (!reads || tcp::read(connection, rest, sizeof rest) == 0)) return;
        }
    }

    /// Our FIN leaves, and what the peer still has to say is read.
    void half_close() const {
        static char rest[4096];
        shutdown(connection.socket.fd(), SHUT_WR);
        tcp::log("half-closed", "peer=%s", connection.peer.c_str());
        std::this_thread::sleep_until(read_at);
        while (size_t n = tcp::read(connection, rest, sizeof rest)) {
            tcp::log("read", "peer=%s bytes=%zu", connection.peer.c_str(), n);
        }
    }

    /// close(2), which sends our FIN; or a RST, when bytes wait unread in our receive queue or linger says so.
    void release() {
        int unread = 0;
        if (policy.how == How::rst) tcp::set_option(connection.socket, {"linger", SOL_SOCKET, SO_LINGER, 0});
        if (policy.logs) ioctl(connection.socket.fd(), FIONREAD, &unread);
        connection.socket.close();
        const char* by = unread || policy.how == How::rst ? "RST" : "FIN";
        if (policy.logs) tcp::log("closed", "peer=%s by=%s unread=%d", connection.peer.c_str(), by, unread);
    }

    /// From the moment the connection is established to the moment the policy lets go of it.
    void serve() {
        bool fin = false;
        if (policy.send_bip) send_bip();
        if (policy.close != When::connect) fin = converse();
        if (fin && policy.logs) tcp::log("fin", "peer=%s", connection.peer.c_str());
        if (fin && policy.bip_on_fin) send_bip();
        if (policy.close == When::never) {  // CLOSE_WAIT, until a RST comes or the program ends
            int error = wait_for(0, policy.idle_timeout) ? ECONNRESET : ETIMEDOUT;
            tcp::fail("wait " + connection.peer, error);
        }
        wait_before_close(fin);
        if (policy.how == How::shutdown || policy.how == How::half) half_close();
        if (policy.how != How::half) release();
        else connection.socket.release();  // forgotten, not closed: open for as long as this process lives
    }
};

}  // namespace policy
