// halfclose-server - streams a file to every client, and goes on after the client's FIN: only the client's half of the
// connection is closed then, ours still works.
//
//   halfclose-server [options] [FILE [PORT]]      default port 4000
//
// Look for: netstat shows CLOSE_WAIT here and FIN_WAIT2 at the client for as long as data flows; tcpdump shows the
// client's FIN, then data, data, data, and our FIN last. A client that does not read makes its Send-Q here grow.
#include "../TCPechod/forking.hpp"
#include "file.hpp"
#include "server_settings.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <climits>

static constexpr size_t look_every = 64 * 1024;  // bytes between two looks at a client that keeps up with us
static constexpr tcp::Duration goodbye = std::chrono::seconds(5);

static Server_settings server{{4000}};
static Totals* totals;  // in memory that fork() shares: the children add to it

struct Stream {
    tcp::Connection client;
    std::optional<File> file{};
    size_t sent = 0, received = 0, reported = 0;
    bool fin = false;  // the client's half is closed
};

// What the client says meanwhile. Its FIN closes its half: it will say no more, but it listens.
static void hear(Stream& stream) {
    char data[16 * 1024];
    size_t n = tcp::read(stream.client, data, sizeof data);  // throws ECONNRESET for the client's RST
    if (n == 0 && stream.fin) tcp::fail("write " + stream.client.peer, EPIPE);  // a RST after its FIN
    stream.received += n;
    const char* peer = stream.client.peer.c_str();
    if (n > 0) {
        journal.line(DEBUG, "read", "peer=%s bytes=%zu total=%zu", peer, n, stream.received);
        journal.record(DEBUG, "read data", {{"size", n}});
        return;
    }
    stream.fin = true;  // we are in CLOSE_WAIT, and go on
    ++totals->half_closed;
    journal.line(INFO, "fin", "peer=%s total=%zu", peer, stream.received);
    journal.record(INFO, "got EOF in reader", {{"total", stream.received}});
}

// Sleeps until the client can take more (if `events` asks for it) or the time is over (then it returns false), and
// hears meanwhile what the client says: one ppoll(2) watches both directions.
static bool watch(Stream& stream, short events, tcp::Duration limit) {
    pollfd socket{stream.client.socket.fd(), short(events | (stream.fin ? 0 : POLLIN)), 0};
    timespec time = tcp::to_timespec(limit);
    totals->sent += stream.sent - stream.reported;
    stream.reported = stream.sent;
    if (ppoll(&socket, 1, limit == for_ever ? nullptr : &time, nullptr) == 0) return false;
    if (socket.revents & ~POLLOUT) hear(stream);
    return true;
}

// Our Send-Q is full: we wait until the client has read. Fails when nothing moves for the idle timeout.
static void wait_for_room(Stream& stream) {
    int before = INT_MAX, queued = 0;
    for (; !watch(stream, POLLOUT, server.idle_timeout); before = queued) {
        if (ioctl(stream.client.socket.fd(), SIOCOUTQ, &queued) || queued >= before)
            tcp::fail("write " + stream.client.peer, ETIMEDOUT);
    }
    stream.file->check_size();  // much may have happened meanwhile
}

static void send_until(Stream& stream, size_t end) {
    while (stream.sent < end) {
        std::string_view next = stream.file->bytes(stream.sent, end - stream.sent);
        ssize_t n = send(stream.client.socket.fd(), next.data(), next.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) stream.sent += n;
        else if (errno == EAGAIN) wait_for_room(stream);
        else if (errno != EINTR) tcp::fail("write " + stream.client.peer);
    }
}

static void send_file(Stream& stream) {
    size_t size = stream.file->size(), step = server.step(size);
    bool slowly = server.slowly();
    stream.file->read_chunks_of(step, !slowly);
    auto start = Clock::now();
    for (size_t look = 0, before = 0; stream.sent < size; before = stream.sent) {
        send_until(stream, std::min(size, stream.sent + step));
        if (stream.sent < look) continue;  // one system call for each chunk, and nothing else
        look = stream.sent + (slowly ? 0 : look_every);
        watch(stream, 0, {});
        if (!slowly) continue;
        journal.line(DEBUG, "wrote", "peer=%s bytes=%zu total=%zu", stream.client.peer.c_str(), stream.sent - before,
                     stream.sent);
        journal.record(DEBUG, "streaming data", {{"size", stream.sent - before}, {"total", stream.sent}});
        auto next = server.next_chunk(start, stream.sent);
        for (auto left = next - Clock::now(); left.count() > 0; left = next - Clock::now()) watch(stream, 0, left);
    }
}

static void serve(Stream& stream) {
    int fd = stream.client.socket.fd();
    const char* peer = stream.client.peer.c_str();
    // A FIN says "this was all". Until it was, whatever ends this process must send a RST instead.
    linger orderly{}, abort{1, 0};
    socklen_t size = sizeof orderly;
    getsockopt(fd, SOL_SOCKET, SO_LINGER, &orderly, &size);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    stream.file.emplace(server.file);
    totals->size += stream.file->size();
    if (server.chunk) journal.record(INFO, "start to stream with chunk", {{"chunk", server.chunk}});
    else journal.record(INFO, "start to stream");
    send_file(stream);
    stream.file->check_size();
    journal.line(INFO, "wrote", "peer=%s bytes=%zu", peer, stream.sent);
    const char* finished = server.chunk ? "finish streaming with chunk" : "finish streaming";
    journal.record(INFO, finished, {{"size", stream.sent}});
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &orderly, sizeof orderly);
    shutdown(fd, SHUT_WR);  // our FIN leaves here
    if (!stream.fin) journal.line(INFO, "half-closed", "peer=%s", peer);
    // To close while the client's bytes are unread, or still come, is a RST: it could lose the end of the file.
    while (!stream.fin && watch(stream, 0, server.half_close ? server.idle_timeout : goodbye)) {}
}

static void report_failure(const Stream& stream, const std::exception& error) {
    auto* system = dynamic_cast<const std::system_error*>(&error);
    bool reset = system && (system->code().value() == ECONNRESET || system->code().value() == EPIPE);
    journal.line(ERROR, reset ? "reset" : "failed", "peer=%s error=%s", stream.client.peer.c_str(),
                 quoted(error.what()).c_str());
    if (stream.file) journal.record(ERROR, "failed to stream data", {{"error", error.what()}});
    else journal.record(ERROR, "failed to open file", {{"error", error.what()}, {"file", server.file}});
}

[[noreturn]] static void child(tcp::Connection connection) {
    Stream stream{std::move(connection)};
    try {
        serve(stream);
        stream.client.socket.close();
        journal.line(INFO, "closed", "peer=%s", stream.client.peer.c_str());
    } catch (const std::exception& error) {
        report_failure(stream, error);
        stream.client.socket.close();
    }
    journal.record(INFO, "close server side connection");
    totals->half_closed -= stream.fin;
    _exit(0);
}

int main(int argc, char** argv) try {
    journal.group = "server";
    server.parse(argc, argv);
    tcp::open_standard_descriptors();
    tcp::log_without_waiting(journal.fd());
    signal(SIGPIPE, SIG_IGN);  // nobody reads our log? serve on

    journal.begin_with({"listen", with_port(server.address, server.port)});
    journal.record(INFO, "new server", {{"file", server.file}, {"chunk", server.chunk}});
    size_t size = File(server.file).size();  // opened again for each client, who gets the file that there is then
    journal.record(INFO, "ready to send data", {{"size", size}});
    totals = &tcp::shared_with_children<Totals>();
    Progress progress;
    tcp::Forking_server forking;
    forking.max_children = server.max_children;
    forking.tick = progress.interval;
    forking.on_tick = [&] { totals->show(progress, forking.children()); };
    tcp::Descriptor listener = server.listen();
    forking.child = [&](tcp::Connection connection) {
        listener.close();  // else the port stays in use for as long as this child lives
        child(std::move(connection));
    };
    forking.parent = [](tcp::Connection& connection, pid_t pid) {
        journal.line(INFO, "accepted", "peer=%s child=%d", connection.peer.c_str(), pid);
    };
    journal.begin_with({"listen", with_port(server.address, server.port)});  // the port that the kernel chose
    journal.record(INFO, "start the server");
    forking.run(listener);
    forking.end();
    journal.line(INFO, "stopped", "listen=%s", tcp::local_address(listener).text().c_str());
    journal.record_without_group(INFO, "Signal received. The server is stopped.");
} catch (const std::exception& error) { return journal.report("server run failed", error); }
