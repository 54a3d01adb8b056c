// faultclient - drives faultserver, and itself: some lines of its input are commands to the server, some to its own
// socket.
//
//   faultclient [options] host [port]    default port 7777; the lines come from stdin, "help" asks the server for its own
//
//   shutdown rd|wr|both    shutdown(2) now           timeout D    how long to wait for an answer (5s)
//   linger N               SO_LINGER: 0 is a RST     short N      read only N bytes of the next answer, leave the rest unread
//   cork                   hold the next command     bye, die     close and end; end without closing (the kernel closes)
//
// Look for: what the server's socket becomes when a client gives up: "timeout 1s", "busy 3", and netstat in between.
#include "../tcp.hpp"

#include <sys/ioctl.h>

using tcp::Duration, std::chrono::milliseconds, std::string;

struct Client {
    tcp::Connection server;
    string line_end = "\n";
    Duration timeout = std::chrono::seconds(5);
    size_t read_only = 0;  // of the next answer; 0: all
    bool corked = false;

    bool readable(Duration limit) const {
        pollfd socket{server.socket.fd(), POLLIN, 0};
        int n;
        while ((n = poll(&socket, 1, int(limit / milliseconds(1)))) < 0 && errno == EINTR) {}
        return n > 0;
    }
    void set(int level, int id, int value) const { setsockopt(server.socket.fd(), level, id, &value, sizeof value); }

    // Waits for an answer; what follows within 50 ms belongs to it. False when there will be no more: FIN or no answer.
    bool answer() {
        char buffer[4096];
        string text;
        if (!readable(timeout)) return puts("timeout!"), false;
        do {
            size_t want = read_only ? read_only - text.size() : sizeof buffer,
                   n = tcp::read(server, buffer, std::min(want, sizeof buffer));
            if (n == 0) {
                if (!text.empty()) show(text);
                return tcp::log("fin", "the server has closed its side"), false;
            }
            text.append(buffer, n);
        } while (text.size() < 1048576 && (!read_only || text.size() < read_only) && readable(milliseconds(50)));
        read_only = 0;
        return show(text), true;
    }
    static void show(const string& text) {
        size_t start = 0;
        if (text.size() > 2000) return void(printf("%zu bytes\n", text.size()));
        for (size_t end; (end = text.find('\n', start)) != string::npos; start = end + 1)
            show_line(text.substr(start, end - start));
        if (start < text.size()) show_line(text.substr(start));
    }
    static void show_line(string line) {
        if (!line.empty() && line.back() == '\r') line.pop_back();  // half of a line end that --eol crlf asked for
        for (char& c : line)
            if ((c < ' ' && c != '\t') || c > '~') c = '?';  // no server moves our cursor
        puts(line.c_str());
    }

    void shut(const string& which) const {
        const std::pair<const char*, int> halves[] = {
            {"", SHUT_WR}, {"rd", SHUT_RD}, {"wr", SHUT_WR}, {"both", SHUT_RDWR}};
        for (auto& [name, how] : halves)
            if (which == name)
                return (void)shutdown(server.socket.fd(), how),
                       tcp::log("half-closed", "direction=%s", *name ? name : "wr");
        throw tcp::Usage_error("shutdown must be rd, wr or both, not " + tcp::printable(which.data(), which.size()));
    }

    // One line of input. False: that was the last.
    bool obey(const string& line) {
        string word = line.substr(0, line.find(' ')), argument = line.substr(std::min(line.size(), word.size() + 1));
        int fd = server.socket.fd();
        if (line.empty()) return true;
        if (word == "bye") return false;
        if (word == "die") _exit(1);
        if (word == "shutdown") return shut(argument), true;
        if (word == "timeout")
            return timeout = tcp::duration(word, argument.c_str(), "1ms", "1h", tcp::second_units), true;
        if (word == "short") return read_only = tcp::number(word, argument.c_str(), "1", "1000000"), true;
        if (word == "cork") return set(IPPROTO_TCP, TCP_CORK, 1), corked = true;
        linger time{1, word == "linger" ? tcp::number(word, argument.c_str(), "0", "3600") : 0};
        if (word == "linger") return setsockopt(fd, SOL_SOCKET, SO_LINGER, &time, sizeof time), true;
        tcp::write_all(server, (line + line_end).data(), line.size() + line_end.size());
        if (std::exchange(corked, false)) set(IPPROTO_TCP, TCP_CORK, 0);
        return answer();
    }
};

int main(int argc, char** argv) try {
    string eol = "lf";
    tcp::Socket_options options;
    Duration connect_timeout{}, read_timeout = std::chrono::seconds(5);
    auto operands = tcp::parse_options(
        argc, argv, "[options] host [port]",
        {{'e', "eol", "WHICH", "what ends a command: lf (default), crlf, none", [&](auto v) { eol = v; }},
         {'t', "timeout", "D", "how long to wait for an answer (5s)",
          [&](auto v) { read_timeout = tcp::duration("--timeout", v, "1ms", "1h"); }},
         {'c', "connect-timeout", "D", "give up connecting after D",
          [&](auto v) { connect_timeout = tcp::duration("--connect-timeout", v, "1ms", "10m"); }}},
        1, 2, &options);
    if (eol != "lf" && eol != "crlf" && eol != "none")
        throw tcp::Usage_error("--eol must be lf, crlf or none, not " + tcp::printable(eol.data(), eol.size()));
    int port = operands.size() > 1 ? tcp::number("port", operands[1], "1", "65535") : 7777;
    setvbuf(stdout, nullptr, _IOLBF, 0);

    Client client{tcp::connected_socket(tcp::resolve(operands[0], port), 0, connect_timeout, options),
                  eol == "lf"     ? "\n"
                  : eol == "crlf" ? "\r\n"
                                  : "",
                  read_timeout};
    tcp::log("connected", "peer=%s local=%s", client.server.peer.text().c_str(),
             tcp::local_address(client.server.socket).text().c_str());
    bool more = true;
    char* line = nullptr;
    size_t room = 0;
    for (ssize_t n; more && (n = getline(&line, &room, stdin)) > 0;) {
        if (line[n - 1] == '\n') line[--n] = 0;
        try {
            more = client.obey(string(line, n));
        } catch (const tcp::Usage_error& error) {
            tcp::report(error);  // a bad local command; the next may be better
        }
    }
    free(line);
    int unread = 0;
    ioctl(client.server.socket.fd(), FIONREAD, &unread);
    client.server.socket.close();
    tcp::log("closed", "unread=%d", unread);
} catch (const std::system_error& error) {
    if (error.code().value() == ECONNRESET) tcp::log("reset", "the server sent RST");
    return tcp::report(error);
} catch (const std::exception& error) { return tcp::report(error); }
