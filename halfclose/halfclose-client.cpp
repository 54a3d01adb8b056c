// halfclose-client - reads from a server, and after a while closes its own half: our FIN leaves, reading goes on.
//
//   halfclose-client [options] [HOST [PORT]]      default 127.0.0.1:4000
//
// Look for: our FIN in the midst of the server's data; FIN_WAIT2 here and CLOSE_WAIT there for as long as data flows,
// with no timer in `ss -o`; TIME_WAIT here at the end. With --end close the server's data is answered by our RST.
#include "journal.hpp"

using std::string;
using Clock = std::chrono::steady_clock;
static constexpr auto never = Clock::time_point::max();

static struct {
    string server = "127.0.0.1", output, end = "half-close";
    tcp::Duration write_timeout = std::chrono::minutes(10), read_timeout = std::chrono::minutes(10);
    size_t buffer = 1024;
    bool echo = false, stay = false;
    std::optional<size_t> expected;
    tcp::Socket_options options;
} settings;
static Journal say{"client"};

class Client {
    tcp::Connection server_;
    tcp::Descriptor output_;
    const Clock::time_point start_;     // of the program: both timeouts run from there, whatever happens in between
    size_t total_ = 0, shown_ = 0;      // bytes read, and how many there were when progress was last shown
    std::optional<size_t> before_fin_;  // how many when our half was closed
    bool open_ = true, reading_ = true;
    const char* first_ = "client";  // who closes first

public:
    Client(tcp::Connection server, tcp::Descriptor output, Clock::time_point start)
        : server_(std::move(server)), output_(std::move(output)), start_(start) {}

    // Until the server's FIN, or until we leave. Returns the bytes read.
    size_t run() {
        std::vector<char> buffer(settings.buffer);
        auto end_at = settings.end == "none" ? never : start_ + settings.write_timeout,
             stop_at = start_ + settings.read_timeout;
        auto show_at = isatty(STDERR_FILENO) ? start_ + std::chrono::seconds(1) : never;
        while (open_) {
            auto now = Clock::now();
            if (now >= show_at) show_progress(), show_at += std::chrono::seconds(1);
            if (now >= end_at)
                end_at = never, end_writing();
            else if (now >= stop_at)
                stop_reading();
            else if (ssize_t n = reading_ ? recv(server_.socket.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT) : -1;
                     n > 0)
                take(buffer.data(), n);
            else if (n == 0)
                fin();
            else if (!reading_ || errno == EAGAIN)
                wait(std::min({end_at, stop_at, show_at}) - now);
            else if (errno != EINTR)
                tcp::fail("read " + server_.peer.text());
        }
        return total_;
    }

private:
    // We have no more to say.
    void end_writing() {
        say(INFO, nullptr, "write timeout is expired", {{"timeout", uint64_t(settings.write_timeout.count())}});
        before_fin_ = total_;
        if (settings.end == "close" || first_ != string("client"))
            return leave();  // nobody is here for what still comes
        reading_ = settings.end != "shut-rd";
        shutdown(server_.socket.fd(),
                 reading_ ? SHUT_WR : SHUT_RD);  // SHUT_WR: our FIN leaves. SHUT_RD: no segment at all
        say(INFO, "half-closed", nullptr, {{"direction", reading_ ? "write" : "read"}, {"total", total_}});
    }
    void stop_reading() {
        say(INFO, "stopped", "read timeout is expired", {{"timeout", uint64_t(settings.read_timeout.count())}});
        say(INFO, nullptr, "got EOF in reader", {{"total", total_}});
        leave();
    }
    // read() returned 0: the server has no more to say. Whether we have is our business: until we close, CLOSE_WAIT.
    void fin() {
        say(INFO, "fin", "got EOF in reader", {{"total", total_}});
        if (!before_fin_) first_ = "server";
        reading_ = false;
        if (!settings.stay || before_fin_) leave();
    }
    void leave() {
        server_.socket.close();  // a FIN, if none has left; a RST, if bytes lie unread in the socket
        open_ = false;
        size_t before = before_fin_.value_or(total_);
        say(INFO, "closed", nullptr,
            {{"total", total_}, {"before-fin", before}, {"after-fin", total_ - before}, {"first", first_}});
    }
    void take(const char* data, size_t size) {
        total_ += size;
        if (say.level == DEBUG) say(DEBUG, "read", "read data", {{"size", size}, {"total", total_}});
        for (size_t done = 0; output_.fd() >= 0 && done < size;) {
            ssize_t n = write(output_.fd(), data + done, size - done);
            if (n < 0) tcp::fail("write " + settings.output);
            done += n;
        }
        if (!settings.echo || before_fin_) return;
        try {
            tcp::write_all(server_, data, size);
            if (say.level == DEBUG) say(DEBUG, "wrote", "write back data", {{"size", size}});
        } catch (const std::system_error& error) {  // the server is gone; what it has sent is still here to be read
            say(ERROR, "failed", "failed to write data", {{"error", quoted(error.what())}});
            settings.echo = false;
        }
    }
    void wait(tcp::Duration limit) const {
        pollfd socket{server_.socket.fd(), short(reading_ ? POLLIN : 0), 0};
        timespec time{limit.count() / 1000000000, limit.count() % 1000000000};
        if (ppoll(&socket, 1, &time, nullptr) > 0 && !reading_) tcp::fail("poll " + server_.peer.text(), ECONNRESET);
    }
    void show_progress() {
        dprintf(STDERR_FILENO, "\x1b[K%.1f MB read, %.1f MB/s%s\r", total_ / 1e6, (total_ - shown_) / 1e6,
                before_fin_ ? ", half-closed" : "");
        shown_ = total_;
    }
};

static void parse(int argc, char** argv) {
    auto end = [](const char* how) {
        settings.end = how;
        for (const char* known : {"half-close", "close", "shut-rd", "none"})
            if (settings.end == known) return;
        throw tcp::Usage_error("--end must be half-close, close, shut-rd or none, not " +
                               tcp::printable(how, strlen(how)));
    };
    std::vector<tcp::Option> table = {
        {'s', "server", "HOST:PORT", "connect to it (127.0.0.1:4000)", [](auto v) { settings.server = v; }},
        {'w', "write-timeout", "D", "close our half D after the start (10m)",
         [](auto v) { settings.write_timeout = tcp::duration("--write-timeout", v, "0", "24h"); }},
        {'r', "read-timeout", "D", "stop reading D after the start, and leave (10m)",
         [](auto v) { settings.read_timeout = tcp::duration("--read-timeout", v, "0", "24h"); }},
        {'b', "buf-size", "SIZE", "bytes for each recv(2) (1024)",
         [](auto v) { settings.buffer = tcp::bytes("--buf-size", v, "1", "1g"); }},
        {0, "echo", nullptr, "send back what comes, until our FIN", [](auto) { settings.echo = true; }},
        {'e', "end", "HOW", "at -w: half-close, close, shut-rd or none (half-close)", end},
        {0, "stay", nullptr, "after the server's FIN stay, and close at -w", [](auto) { settings.stay = true; }},
        {0, "expect-size", "SIZE", "it is a failure if not SIZE bytes come",
         [](auto v) { settings.expected = tcp::bytes("--expect-size", v, "0", "1000000g"); }},
        {0, "output", "FILE", "write what comes there", [](auto v) { settings.output = v; }},
        {0, "json", nullptr, "log JSON records, to standard output", [](auto) { say.json = true; }},
        {0, "log-level", "LEVEL", "debug, info, warn or error (info)", [](auto v) { say.set_level(v); }}};
    auto operands = tcp::parse_options(argc, argv, "[options] [HOST [PORT]]", table, 0, 2, &settings.options);
    if (operands.size() > 0) settings.server = operands[0];
    settings.server =
        with_port(settings.server, operands.size() > 1 ? tcp::number("port", operands[1], "1", "65535") : 4000);
    if (say.json) say.first = "\"server\":" + quoted(settings.server);
}

static void run(Clock::time_point start) {
    say(INFO, nullptr, "new client",
        {{"read-timeout", uint64_t(settings.read_timeout.count())},
         {"write-timeout", uint64_t(settings.write_timeout.count())}});
    tcp::Descriptor output;
    if (!settings.output.empty())
        output = tcp::Descriptor(open(settings.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (!settings.output.empty() && output.fd() < 0) tcp::fail("open " + settings.output);
    tcp::Connection server = tcp::connected_socket(tcp::resolve(settings.server, 4000), 0, {}, settings.options);
    say(INFO, "connected", nullptr,
        {{"peer", server.peer.text()}, {"local", tcp::local_address(server.socket).text()}});
    say(INFO, nullptr, "start to read");
    size_t total;
    try {
        total = Client(std::move(server), std::move(output), start).run();
    } catch (const std::system_error& error) {
        say(ERROR, error.code().value() == ECONNRESET ? "reset" : "failed", "failed to read data",
            {{"error", quoted(error.what())}});
        say(INFO, nullptr, "finish handling");
        throw;
    }
    say(INFO, nullptr, "finish handling");
    if (settings.expected && *settings.expected != total)
        throw std::runtime_error("expected " + std::to_string(*settings.expected) + " bytes, got " +
                                 std::to_string(total));
}

int main(int argc, char** argv) try {
    auto start = Clock::now();
    signal(SIGPIPE, SIG_IGN);  // nobody reads our records? go on
    parse(argc, argv);
    run(start);
} catch (const std::exception& error) {
    if (say.json) say(ERROR, nullptr, "client run failed", {{"error", quoted(error.what())}}, false);
    return tcp::report(error);
}
