// halfclose-server - streams a file to every client, and goes on after the client's FIN: only the client's half of the
// connection is closed then, ours still works.
//
//   halfclose-server [options] [FILE [PORT]]      default port 4000
//
// Look for: netstat shows CLOSE_WAIT here and FIN_WAIT2 at the client for as long as data flows; tcpdump shows the
// client's FIN, then data, data, data, and our FIN last. A client that does not read lets our Send-Q grow, and no
// other.
#include "journal.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <atomic>

using std::string;
using Clock = std::chrono::steady_clock;
static constexpr size_t look_every = 64 * 1024;  // bytes between two looks at a client that keeps up with us
static constexpr tcp::Duration for_ever = tcp::Duration::max(), goodbye = std::chrono::seconds(5);

static struct {
    string file, listen;
    size_t chunk = 1024, rate = 0, max_children = 4096;
    tcp::Duration interval{}, idle_timeout = for_ever;
    bool half_close = false;
    tcp::Socket_options options;
} settings;
static Journal say{"server"};

// What the children add up, in memory that fork() shares instead of copying.
struct Totals {
    std::atomic<uint64_t> sent, size, half_closed;
};
static Totals* totals;
static std::vector<pid_t> children;
static volatile sig_atomic_t stopping = 0;

struct Stream {
    tcp::Connection client;
    const char* data = nullptr;  // the file, mapped: only the kernel ever looks at these bytes
    size_t size = 0, sent = 0, received = 0, reported = 0;
    bool fin = false;  // the client's half is closed
    linger orderly{};  // what close() is to do once all is sent
};

static tcp::Descriptor open_file(size_t& size) {
    struct stat status;
    tcp::Descriptor file(open(settings.file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a FIFO would make us wait
    if (file.fd() < 0 || fstat(file.fd(), &status)) tcp::fail("open " + settings.file);
    if (!S_ISREG(status.st_mode)) throw std::runtime_error("open " + settings.file + ": not a regular file");
    size = status.st_size;
    return file;
}

// Sleeps until the client can take more (if `events` asks for it) or the time is over (then it returns false), and
// hears meanwhile what the client says: one ppoll(2) watches both directions.
static bool watch(Stream& stream, short events, tcp::Duration limit) {
    pollfd socket{stream.client.socket.fd(), short(events | (stream.fin ? 0 : POLLIN)), 0};
    timespec time{limit.count() / 1000000000, limit.count() % 1000000000};
    totals->sent += stream.sent - std::exchange(stream.reported, stream.sent);
    if (ppoll(&socket, 1, limit == for_ever ? nullptr : &time, nullptr) == 0) return false;
    if ((socket.revents & ~POLLOUT) == 0) return true;
    char data[16 * 1024];
    size_t n = tcp::read(stream.client, data, sizeof data);  // throws ECONNRESET for the client's RST
    if (n == 0 && stream.fin) tcp::fail("write " + stream.client.peer.text(), EPIPE);  // a RST after its FIN
    stream.received += n;
    if (n > 0) return say(DEBUG, "read", "read from client", {{"size", n}, {"total", stream.received}}), true;
    stream.fin = true;  // the client's FIN: it will say no more, but it listens. We are in CLOSE_WAIT, and go on
    ++totals->half_closed;
    say(INFO, "fin", "got EOF in reader", {{"total", stream.received}});
    return true;
}

// The kernel's buffer is full: what we have waits for the client to read. Fails when nothing moves for the idle
// timeout.
static void wait_for_room(Stream& stream) {
    int before = INT_MAX, queued = 0;
    for (; !watch(stream, POLLOUT, settings.idle_timeout); before = queued)
        if (ioctl(stream.client.socket.fd(), SIOCOUTQ, &queued) || queued >= before)
            tcp::fail("write " + stream.client.peer.text(), ETIMEDOUT);
}

static void send_until(Stream& stream, size_t end) {
    while (stream.sent < end) {
        ssize_t n =
            send(stream.client.socket.fd(), stream.data + stream.sent, end - stream.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            stream.sent += n;
        else if (errno == EAGAIN)
            wait_for_room(stream);
        else if (errno == EFAULT)
            throw std::runtime_error("read " + settings.file + ": it has shrunk, or the disk fails");
        else if (errno != EINTR)
            tcp::fail("write " + stream.client.peer.text());
    }
}

static void send_file(Stream& stream) {
    bool slowly = settings.rate || settings.interval.count() || say.level == DEBUG;
    size_t step = settings.chunk  ? settings.chunk
                  : settings.rate ? std::min(settings.rate / 10 + 1, look_every)
                                  : stream.size;
    auto start = Clock::now();
    for (size_t look = 0, before = 0; stream.sent < stream.size; before = stream.sent) {
        send_until(stream, std::min(stream.size, stream.sent + step));
        if (stream.sent < look) continue;  // one system call for each chunk, and nothing else
        look = stream.sent + (slowly ? 0 : look_every);
        watch(stream, 0, {});
        if (!slowly) continue;
        say(DEBUG, "wrote", "streaming data", {{"size", stream.sent - before}, {"total", stream.sent}});
        auto next = settings.interval.count() ? Clock::now() + settings.interval : start;
        if (settings.rate)
            next = std::max(next, start + std::chrono::nanoseconds(int64_t(1e9 * stream.sent / settings.rate)));
        for (Clock::time_point now; (now = Clock::now()) < next;) watch(stream, 0, next - now);
    }
}

static void serve(Stream& stream, const tcp::Descriptor& file) {
    struct stat now;
    int fd = stream.client.socket.fd();
    void* data = stream.size ? mmap(nullptr, stream.size, PROT_READ, MAP_SHARED, file.fd(), 0) : nullptr;
    if (data == MAP_FAILED) tcp::fail("mmap " + settings.file);
    stream.data = static_cast<const char*>(data);
    if (settings.chunk)
        say(INFO, nullptr, "start to stream with chunk", {{"chunk", settings.chunk}});
    else
        say(INFO, nullptr, "start to stream");
    send_file(stream);
    if (fstat(file.fd(), &now) || size_t(now.st_size) < stream.size)  // its last page was sent with zeros
        throw std::runtime_error("read " + settings.file + ": it has shrunk");
    say(INFO, "wrote", settings.chunk ? "finish streaming with chunk" : "finish streaming", {{"size", stream.sent}});
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &stream.orderly, sizeof stream.orderly);
    shutdown(fd, SHUT_WR);  // our FIN leaves here
    // To close while bytes of the client's are unread, or still come, would be a RST: it could lose the end of the
    // file.
    if (!stream.fin) say(INFO, "half-closed", nullptr);
    while (!stream.fin && watch(stream, 0, settings.half_close ? settings.idle_timeout : goodbye)) {}
    stream.client.socket.close();
    say(INFO, "closed", "close server side connection");
}

[[noreturn]] static void child(tcp::Connection connection) {
    if (!say.json) say.first = "peer=" + connection.peer.text();
    Stream stream{std::move(connection)};
    tcp::Descriptor file;
    try {
        // A FIN says "this was all". Until it was, whatever ends this process must send a RST instead.
        linger abort{1, 0};
        socklen_t size = sizeof stream.orderly;
        getsockopt(stream.client.socket.fd(), SOL_SOCKET, SO_LINGER, &stream.orderly, &size);
        setsockopt(stream.client.socket.fd(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
        file = open_file(stream.size);
        totals->size += stream.size;
        serve(stream, file);
    } catch (const std::exception& error) {
        auto* system = dynamic_cast<const std::system_error*>(&error);
        bool reset = system && (system->code().value() == ECONNRESET || system->code().value() == EPIPE);
        if (file.fd() >= 0)
            say(ERROR, reset ? "reset" : "failed", "failed to stream data", {{"error", quoted(error.what())}});
        else
            say(ERROR, "failed", "failed to open file",
                {{"error", quoted(error.what())}, {"file", quoted(settings.file)}});
    }
    totals->half_closed -= stream.fin;
    _exit(0);
}

// Several children may end before one SIGCHLD is delivered: signals are not queued, so wait for all there are.
static void reap(int) {
    for (pid_t pid; (pid = waitpid(-1, nullptr, WNOHANG)) > 0;)
        children.erase(std::remove(children.begin(), children.end(), pid), children.end());
}

// Once a second, one line for somebody who watches; the cursor goes back, so that the next line of the log replaces it.
static void show_progress() {
    static auto shown_at = Clock::now();
    static uint64_t shown = totals->sent;
    std::chrono::duration<double> past = Clock::now() - shown_at;
    if (past.count() < 1) return;
    uint64_t sent = totals->sent, size = std::max<uint64_t>(1, totals->size);
    dprintf(STDERR_FILENO, "\x1b[Kclients %zu, half-closed %lu: %.1f MB sent, %.0f %%, %.1f MB/s\r", children.size(),
            totals->half_closed.load(), sent / 1e6, 100.0 * sent / size, (sent - shown) / 1e6 / past.count());
    shown_at = Clock::now(), shown = sent;
}

static void parse(int argc, char** argv) {
    std::vector<tcp::Option> table = {
        {'f', "file", "FILE", "the file to send", [](auto v) { settings.file = v; }},
        {'c', "chunk", "SIZE", "bytes for each send(2), 0: the whole file (1024)",
         [](auto v) { settings.chunk = tcp::bytes("--chunk", v, "0", "1g"); }},
        {'i', "interval", "D", "wait D after each chunk (0)",
         [](auto v) { settings.interval = tcp::duration("--interval", v, "0", "24h"); }},
        {0, "rate", "SIZE", "at most SIZE bytes a second (0: any)",
         [](auto v) { settings.rate = tcp::bytes("--rate", v, "0", "100g"); }},
        {'l', "listen", "ADDR:PORT", "listen there (0.0.0.0:4000)", [](auto v) { settings.listen = v; }},
        {'a', "address", "ADDR", "the same, for those who know the other servers", [](auto v) { settings.listen = v; }},
        {0, "half-close", nullptr, "after the file read on, until the client's FIN",
         [](auto) { settings.half_close = true; }},
        {0, "idle-timeout", "D", "give up a client when nothing moves for D (0: never)",
         [](auto v) { settings.idle_timeout = tcp::duration("--idle-timeout", v, "0", "24h"); }},
        {'m', "max-children", "N", "at most N at once, the backlog holds the rest (4096)",
         [](auto v) { settings.max_children = tcp::number("--max-children", v, "1", "100000"); }},
        {0, "json", nullptr, "log JSON records, to standard output", [](auto) { say.json = true; }},
        {0, "log-level", "LEVEL", "debug, info, warn or error (info)", [](auto v) { say.set_level(v); }}};
    auto operands = tcp::parse_options(argc, argv, "[options] [FILE [PORT]]", table, 0, 2, &settings.options);
    if (operands.size() > 0) settings.file = operands[0];
    settings.listen =
        with_port(settings.listen, operands.size() > 1 ? tcp::number("port", operands[1], "0", "65535") : 4000);
    if (settings.file.empty()) throw tcp::Usage_error("which file? -f FILE");
    if (settings.idle_timeout.count() == 0) settings.idle_timeout = for_ever;
    if (say.json) say.first = "\"listen\":" + quoted(settings.listen);
}

// Until a signal says stop. A client's child is the only process that knows its socket.
static void serve_all(const tcp::Signals& signals, tcp::Descriptor listener) {
    for (bool terminal = isatty(STDERR_FILENO), fork_failed = false; !stopping;) {
        bool room = children.size() < settings.max_children, watched = terminal && !children.empty();
        bool incoming = signals.wait(room ? listener.fd() : -1, std::chrono::seconds(watched));
        if (watched) show_progress();
        auto connection = incoming && !stopping ? tcp::accept(listener) : std::nullopt;
        if (!connection) continue;
        pid_t pid;
        while ((pid = fork()) < 0 && !stopping) {  // no process to be had: the client waits, the others are served
            if (!std::exchange(fork_failed, true))
                say(WARN, "waiting", "failed to fork", {{"error", quoted(strerror(errno))}});
            signals.wait(-1, std::chrono::milliseconds(100));
        }
        if (pid == 0) {
            for (int number : {SIGTERM, SIGINT}) signal(number, SIG_DFL);
            signals.let_in();
            listener.close();  // else the port stays in use for as long as this child lives
            child(std::move(*connection));
        }
        if (pid < 0) break;
        fork_failed = false;
        children.push_back(pid);
        say(INFO, "accepted", nullptr, {{"peer", connection->peer.text()}, {"child", uint64_t(pid)}});
    }
}

int main(int argc, char** argv) try {
    parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);  // nobody reads our records? serve on
    for (int fd : {STDOUT_FILENO, STDERR_FILENO}) tcp::never_wait_for_reader(fd);
    say(INFO, nullptr, "new server", {{"file", quoted(settings.file)}, {"chunk", settings.chunk}});
    size_t size;
    open_file(size);  // the children open it again: a client gets the file that there is when it comes
    say(INFO, nullptr, "ready to send data", {{"size", size}});
    void* shared = mmap(nullptr, sizeof *totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) tcp::fail("mmap");
    totals = new (shared) Totals{};
    auto stop = [](int) { stopping = 1; };
    tcp::Signals signals{{SIGCHLD, reap}, {SIGTERM, stop}, {SIGINT, stop}};
    auto listener =
        tcp::listening_socket(tcp::resolve(settings.listen, 4000).front(), SOMAXCONN, true, settings.options);
    string address = tcp::local_address(listener).text();
    say(INFO, nullptr, "start the server");
    serve_all(signals, std::move(listener));
    tcp::end_children(
        signals, {}, [] { return children; }, [] { return false; });
    say(INFO, "stopped", nullptr, {{"listen", address}});
    say(INFO, nullptr, "Signal received. The server is stopped.", {}, false);
} catch (const std::exception& error) {
    if (say.json) say(ERROR, nullptr, "server run failed", {{"error", quoted(error.what())}}, false);
    return tcp::report(error);
}
