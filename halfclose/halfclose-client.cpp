// halfclose-client - reads from a server, and after a while closes its own half: our FIN leaves, reading goes on.
//
//   halfclose-client [options] [HOST [PORT]]      default 127.0.0.1:4000
//
// Look for: our FIN in the midst of the server's data; FIN_WAIT2 here and CLOSE_WAIT there for as long as data flows,
// with no timer in `ss -o`; TIME_WAIT here at the end. With --end close the server's data is answered by our RST.
#include "client_settings.hpp"
#include "progress.hpp"

#include <csignal>

using std::string;
static constexpr auto never = Clock::time_point::max();

static Client_settings settings;

class Client {
    tcp::Connection server_;
    tcp::Descriptor output_;
    Clock::time_point end_at_, stop_at_;  // both run from the start of the program, whatever happens in between
    std::vector<char> buffer_ = std::vector<char>(settings.buffer);
    size_t total_ = 0, echoed_ = 0;
    std::optional<size_t> before_fin_;  // how many bytes had come when our half was closed
    bool open_ = true, reading_ = true;
    const char* first_ = "client";  // who closes first
    Progress progress_;

public:
    Client(tcp::Connection server, tcp::Descriptor output, Clock::time_point start)
        : server_(std::move(server)),
          output_(std::move(output)),
          end_at_(settings.end == "none" ? never : start + settings.write_timeout),
          stop_at_(start + settings.read_timeout) {}

    // Until the server's FIN, or until we leave. Returns the bytes read.
    size_t run() {
        while (open_) {
            auto now = Clock::now();
            if (now >= progress_.due()) progress_.show(before_fin_ ? "half-closed, read" : "read", total_);
            if (now >= end_at_) end_writing();
            else if (now >= stop_at_) stop_reading();
            else if (!read_some()) wait(std::min({end_at_, stop_at_, progress_.due()}) - now);
        }
        return total_;
    }

private:
    // We have no more to say.
    void end_writing() {
        journal.record(INFO, "write timeout is expired", {{"timeout", uint64_t(settings.write_timeout.count())}});
        end_at_ = never;
        before_fin_ = total_;
        bool server_was_first = first_ != string("client");
        if (settings.end == "close" || server_was_first) return leave();  // nobody is here for what still comes
        reading_ = settings.end != "shut-rd";
        shutdown(server_.socket.fd(), reading_ ? SHUT_WR : SHUT_RD);  // our FIN leaves; with SHUT_RD no segment at all
        journal.line(INFO, "half-closed", "direction=%s total=%zu", reading_ ? "write" : "read", total_);
    }
    void stop_reading() {
        uint64_t timeout = settings.read_timeout.count();
        journal.line(INFO, "stopped", "timeout=%lu", timeout);
        journal.record(INFO, "read timeout is expired", {{"timeout", timeout}});
        journal.record(INFO, "got EOF in reader", {{"total", total_}});
        leave();
    }
    // What has come; false: nothing.
    bool read_some() {
        if (!reading_) return false;
        ssize_t n = recv(server_.socket.fd(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
        if (n > 0) take(n);
        else if (n == 0) fin();
        else if (errno == EAGAIN) return false;
        else if (errno != EINTR) tcp::fail("read " + server_.peer);
        return true;
    }
    // read() returned 0: the server has no more to say. Whether we have is our business: until we close, CLOSE_WAIT.
    void fin() {
        journal.line(INFO, "fin", "total=%zu", total_);
        journal.record(INFO, "got EOF in reader", {{"total", total_}});
        if (!before_fin_) first_ = "server";
        reading_ = false;
        if (!settings.stay || before_fin_) leave();
    }
    void leave() {
        server_.socket.close();  // a FIN, if none has left; a RST, if bytes lie unread in the socket
        open_ = false;
        size_t before = before_fin_.value_or(total_);
        journal.line(INFO, "closed", "total=%zu before-fin=%zu after-fin=%zu first=%s", total_, before, total_ - before,
                     first_);
    }
    void take(size_t size) {
        total_ += size;
        if (journal.level == DEBUG) {
            journal.line(DEBUG, "read", "bytes=%zu total=%zu", size, total_);
            journal.record(DEBUG, "read data", {{"size", size}, {"total", total_}});
        }
        for (size_t done = 0; output_.fd() >= 0 && done < size;) {
            ssize_t n = write(output_.fd(), buffer_.data() + done, size - done);
            if (n < 0) tcp::fail("write " + settings.output);
            done += n;
        }
        if (settings.echo && !before_fin_) echo(size);
    }
    void echo(size_t size) try {
        tcp::write_all(server_, buffer_.data(), size);
        echoed_ += size;
        if (journal.level != DEBUG) return;
        journal.line(DEBUG, "wrote", "bytes=%zu total=%zu", size, echoed_);
        journal.record(DEBUG, "write back data", {{"size", size}, {"total", echoed_}});
    } catch (const std::system_error& error) {  // the server is gone; what it has sent is still here to be read
        journal.line(ERROR, "failed", "error=%s", quoted(error.what()).c_str());
        journal.record(ERROR, "failed to write data", {{"error", error.what()}});
        settings.echo = false;
    }
    void wait(tcp::Duration limit) const {
        pollfd socket{server_.socket.fd(), short(reading_ ? POLLIN : 0), 0};
        timespec time = tcp::to_timespec(limit);
        if (ppoll(&socket, 1, &time, nullptr) > 0 && !reading_) tcp::fail("poll " + server_.peer, ECONNRESET);
    }
};

static size_t run(Clock::time_point start) {
    tcp::Descriptor output;
    if (!settings.output.empty()) {
        output = tcp::Descriptor(open(settings.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
        if (output.fd() < 0) tcp::fail("open " + settings.output);
    }
    auto addresses = tcp::server_addresses(settings.server, settings.port);
    tcp::Connection server = tcp::connected_socket(addresses, 0, {}, settings.options);
    string local = tcp::local_address(server.socket).text();
    journal.line(INFO, "connected", "peer=%s local=%s", server.peer.c_str(), local.c_str());
    journal.record(INFO, "start to read");
    try {
        size_t total = Client(std::move(server), std::move(output), start).run();
        journal.record(INFO, "finish handling");
        return total;
    } catch (const std::system_error& error) {
        const char* verb = error.code().value() == ECONNRESET ? "reset" : "failed";
        journal.line(ERROR, verb, "error=%s", quoted(error.what()).c_str());
        journal.record(ERROR, "failed to read data", {{"error", error.what()}});
        journal.record(INFO, "finish handling");
        throw;
    }
}

int main(int argc, char** argv) try {
    auto start = Clock::now();
    journal.group = "client";
    settings.parse(argc, argv);
    tcp::open_standard_descriptors();
    signal(SIGPIPE, SIG_IGN);  // nobody reads our log? go on

    journal.begin_with({"server", with_port(settings.server, settings.port)});
    uint64_t read_timeout = settings.read_timeout.count(), write_timeout = settings.write_timeout.count();
    journal.record(INFO, "new client", {{"read-timeout", read_timeout}, {"write-timeout", write_timeout}});
    size_t total = run(start);
    if (total != settings.expected.value_or(total)) {
        string expected = std::to_string(*settings.expected), got = std::to_string(total);
        throw std::runtime_error("expected " + expected + " bytes, got " + got);
    }
} catch (const std::exception& error) { return journal.report("client run failed", error); }
