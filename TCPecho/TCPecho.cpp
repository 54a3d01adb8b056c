// TCPecho - the echo client: stdin goes to the server and what comes back to stdout, both directions at once.
//
//   TCPecho [options] host [port]       default port 8990; exit status 0 only if every byte came back
//
// Look for: at the end of stdin (Ctrl-D) our FIN leaves and netstat shows FIN_WAIT2 here, CLOSE_WAIT there, for as long
// as replies are in flight; after the server's FIN, TIME_WAIT stays here, because we closed first.
#include "../tcp.hpp"

enum class Close { orderly, abort, unread };

// What went one way: how much, and a sum (FNV-1a) that shows whether it came back unchanged.
struct Flow {
    uint64_t bytes = 0, sum = 14695981039346656037u;
    void add(const char* data, size_t size) {
        bytes += size;
        for (size_t i = 0; i < size; ++i) sum = (sum ^ (unsigned char)data[i]) * 1099511628211u;
    }
    bool operator==(const Flow& other) const { return bytes == other.bytes && sum == other.sum; }
};

// To a terminal the network's bytes go escaped: no server may move our cursor. To a file or pipe they go as they came.
static void show(const char* data, size_t size) {
    static const bool terminal = isatty(STDOUT_FILENO);
    std::string text(data, terminal ? 0 : size);
    for (size_t i = 0; terminal && i < size; ++i) {
        char hex[8];
        snprintf(hex, sizeof hex, "\\x%02x", data[i] & 0xff);
        bool plain = isprint((unsigned char)data[i]) || data[i] == '\n' || data[i] == '\t';
        text += plain ? std::string(1, data[i]) : hex;
    }
    for (const char *next = text.data(), *end = next + text.size(); next < end;) {
        ssize_t n = write(STDOUT_FILENO, next, end - next);
        if (n < 0 && errno != EINTR) tcp::fail("write stdout");
        if (n > 0) next += n;
    }
}

class Client {
    tcp::Connection server_;
    Close how_;
    bool verbose_, framed_;
    bool input_open_ = true;  // stdin has not ended
    char line_[64 * 1024];    // read from stdin, not yet taken by the kernel: [next_, end_)
    size_t next_ = 0, end_ = 0;
    Flow sent_, received_;
    char length_[4];                              // framed: the next message's length as far as it has come, or
    size_t length_bytes_ = 0, message_left_ = 0;  // how much of this one is still to come

public:
    Client(tcp::Connection server, Close how, bool verbose, bool framed)
        : server_(std::move(server)), how_(how), verbose_(verbose), framed_(framed) {}

    // Until the connection is over. True if stdin ended and every byte came back.
    bool run() {
        enum { input, network };
        bool reading = how_ != Close::unread;  // who never reads leaves the echo in the receive queue
        for (bool open = true; open;) {
            bool waiting = next_ < end_, done = !input_open_ && !waiting;
            if (done && how_ == Close::abort && received_.bytes == sent_.bytes) return abort();
            pollfd ready[] = {
                {input_open_ && !waiting ? STDIN_FILENO : -1, POLLIN, 0},
                {server_.socket.fd(), short((reading || done ? POLLIN : 0) | (waiting ? POLLOUT : 0)), 0}};
            if (poll(ready, 2, -1) < 0) continue;  // a signal
            if (ready[network].revents && done && !reading) return close_unread();
            if (ready[input].revents) read_input();
            if (ready[network].revents & POLLOUT) write_some();
            if (ready[network].revents & ~POLLOUT) open = read_echo();
        }
        return !input_open_ && sent_ == received_;
    }

private:
    void read_input() {
        uint32_t length = 0,
                 before = framed_ ? sizeof length : 0;  // of a message: what one read brings, a line that is typed
        ssize_t n = ::read(STDIN_FILENO, line_ + before, sizeof line_ - before);
        if (n < 0) tcp::fail("read stdin");
        length = htonl(uint32_t(n));
        memcpy(line_, &length, before);
        next_ = 0, end_ = n ? before + n : 0;
        if (n > 0) return;
        input_open_ = false;
        if (how_ != Close::orderly) return;
        shutdown(server_.socket.fd(), SHUT_WR);  // our FIN leaves here: nothing more to send, but still reading
        tcp::log("half-closed", "sent=%lu", sent_.bytes);
    }
    void write_some() {
        ssize_t n = send(server_.socket.fd(), line_ + next_, end_ - next_, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) tcp::fail("write " + server_.peer.text());
        if (verbose_) tcp::log("wrote", "bytes=%zd data=%s", n, tcp::printable(line_ + next_, n).c_str());
        sent_.add(line_ + next_, n);
        next_ += n;
    }
    // False when the server's FIN is here.
    bool read_echo() {
        static char buffer[256 * 1024];
        size_t n = tcp::read(server_, buffer, sizeof buffer);
        if (n == 0) {
            tcp::log("fin", "the server has closed its side: sent=%lu received=%lu%s", sent_.bytes, received_.bytes,
                     input_open_ ? " before the end of our input" : "");
            return false;
        }
        if (verbose_) tcp::log("read", "bytes=%zu data=%s", n, tcp::printable(buffer, n).c_str());
        received_.add(buffer, n);
        if (framed_)
            show_messages(buffer, n);
        else
            show(buffer, n);
        return true;
    }
    // Without their lengths. A read may end anywhere, also within a length.
    void show_messages(const char* data, size_t size) {
        for (size_t n; size > 0; data += n, size -= n) {
            n = std::min(size, message_left_ ? message_left_ : sizeof length_ - length_bytes_);
            if (message_left_)
                show(data, n), message_left_ -= n;
            else
                memcpy(length_ + length_bytes_, data, n), length_bytes_ += n;
            if (length_bytes_ < sizeof length_) continue;
            uint32_t length;
            memcpy(&length, length_, sizeof length);
            message_left_ = ntohl(length), length_bytes_ = 0;
        }
    }
    // SO_LINGER with time 0: close() throws away what is queued and sends RST instead of FIN; no TIME_WAIT (socket(7)).
    bool abort() {
        linger now{1, 0};
        setsockopt(server_.socket.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
        server_.socket.close();
        tcp::log("closed", "by RST (SO_LINGER 0): sent=%lu received=%lu", sent_.bytes, received_.bytes);
        return sent_ == received_;
    }
    // Bytes wait in our receive queue and nobody will read them: close() sends RST, so that the server knows (RFC
    // 1122, 4.2.2.13).
    bool close_unread() {
        server_.socket.close();
        tcp::log("closed", "with data unread: sent=%lu received=0", sent_.bytes);
        return sent_.bytes == 0;
    }
};

int main(int argc, char** argv) try {
    Close how = Close::orderly;
    bool verbose = false, framed = false;
    int local_port = 0;
    tcp::Duration limit{};
    tcp::Socket_options options;
    auto close_as = [&](const std::string& word) {
        if (word == "orderly")
            how = Close::orderly;
        else if (word == "abort")
            how = Close::abort;
        else if (word == "unread")
            how = Close::unread;
        else
            throw tcp::Usage_error("--close must be orderly, abort or unread");
    };
    auto operands = tcp::parse_options(
        argc, argv, "[options] host [port]",
        {{'l', "local-port", "PORT", "connect from this port (the kernel's choice)",
          [&](auto v) { local_port = tcp::number("--local-port", v, "1", "65535"); }},
         {'t', "connect-timeout", "D", "give up connecting after D (2 minutes, the kernel's)",
          [&](auto v) { limit = tcp::duration("--connect-timeout", v, "1ms", "10m"); }},
         {'c', "close", "HOW", "orderly: FIN; abort: RST; unread: leave the echo unread", close_as},
         {'f', "framed", nullptr, "messages for TCPmechod --framed: what a read of stdin brings, with its length",
          [&](auto) { framed = true; }},
         {'v', "verbose", nullptr, "log the data too", [&](auto) { verbose = true; }}},
        1, 2, &options);
    int port = operands.size() > 1 ? tcp::number("port", operands[1], "1", "65535") : 8990;

    tcp::Connection server = tcp::connected_socket(tcp::resolve(operands[0], port), local_port, limit, options);
    tcp::log("connected", "peer=%s local=%s", server.peer.text().c_str(),
             tcp::local_address(server.socket).text().c_str());
    Client client(std::move(server), how, verbose, framed);
    return client.run() ? 0 : 1;
} catch (const std::system_error& error) {
    if (error.code().value() == ECONNRESET) tcp::log("reset", "the server sent RST");
    return tcp::report(error);
} catch (const std::exception& error) { return tcp::report(error); }
