// faultclient - drives faultserver, and itself: some lines of its input are for the server, some for its own socket.
//
//   faultclient [options] host [port]    default port 7777; the lines come from stdin; the server knows "help"
//
//   shutdown rd|wr|both    shutdown(2) now           timeout D    how long to wait for an answer (5s)
//   linger N               SO_LINGER: 0 is a RST     short N      read only N bytes of the next answer
//   cork                   hold the next command     passive      our FIN right behind the next command, the last one
//   bye                    close and end             die          end without closing: the kernel closes
//
// Look for: what the server's socket becomes when a client gives up: "timeout 1s", "busy 3", and netstat in between.
#include "../program.hpp"

#include <sys/ioctl.h>

using tcp::Duration, std::chrono::milliseconds, std::string;

static string line_end = "\n", at_connect;
static bool big = false, verbose = false;
static Duration timeout = std::chrono::seconds(5), connect_timeout{};
static std::vector<tcp::Socket_option> socket_options;

// ---- what the server says -----------------------------------------------------------------------------------------

static void show(const string& text) {
    if (text.size() > 2000) {
        printf("%zu bytes\n", text.size());
        return;
    }
    string shown;
    for (char c : text) {
        bool plain = c == '\n' || c == '\t' || (c >= ' ' && c <= '~');
        if (c != '\r') shown += plain ? c : '?';  // no server moves our cursor
    }
    if (!shown.empty() && shown.back() != '\n') shown += '\n';
    fputs(shown.c_str(), stdout);
}

// ---- the client ---------------------------------------------------------------------------------------------------

struct Client {
    tcp::Connection server;
    size_t read_only = 0;  // of the next answer; 0: all
    bool corked = false, passive = false;

    void set(const char* name, int level, int id, int value) const {
        tcp::set_option(server.socket, {name, level, id, value});
    }
    bool readable(Duration limit) const {
        pollfd socket{server.socket.fd(), POLLIN, 0};
        return poll(&socket, 1, int(limit / milliseconds(1))) > 0;
    }

    // Waits for an answer; what follows within 50 ms belongs to it. False when there will be no more: FIN or no answer.
    bool answer() {
        char buffer[4096];
        string text;
        size_t most = read_only ? read_only : 1024 * 1024;
        read_only = 0;
        bool more = readable(timeout), fin = false;
        if (!more) puts("timeout!");
        while (more) {
            size_t n = tcp::read(server, buffer, std::min(sizeof buffer, most - text.size()));
            if (verbose) tcp::log("read", "peer=%s bytes=%zu", server.peer.c_str(), n);
            text.append(buffer, n);
            fin = n == 0;
            more = !fin && text.size() < most && readable(milliseconds(50));
        }
        show(text);
        if (fin) tcp::log("fin", "the server has closed its side");
        return !fin && !text.empty();
    }

    void shut(const string& which) const {
        int how = which == "rd" ? SHUT_RD : which == "wr" ? SHUT_WR : which == "both" ? SHUT_RDWR : -1;
        if (how < 0) throw tcp::Usage_error("shutdown must be rd, wr or both, not " + tcp::printable(which));
        shutdown(server.socket.fd(), how);
        tcp::log("half-closed", "direction=%s", which.c_str());
    }

    // Sends a question and waits for the answer. False: that was the last.
    bool ask(const string& text) {
        if (corked) set("cork", IPPROTO_TCP, TCP_CORK, 1);
        tcp::write_all(server, text.data(), text.size());
        if (std::exchange(corked, false)) set("cork", IPPROTO_TCP, TCP_CORK, 0);
        if (passive) shut("wr");
        return answer() && !passive;
    }

    // --connect and --big: the first question. Without an answer we close, the way that --connect says.
    bool greet() {
        if (at_connect.empty() && !big) return true;
        bool answered = ask(big ? string(4096, 'a') : "ping" + line_end);
        if (!answered && at_connect == "reset") set("linger", SOL_SOCKET, SO_LINGER, 0);
        return answered;
    }

    // A word for our own socket. False: it is none.
    bool obey(const string& word, const string& argument) {
        const char* value = argument.c_str();
        if (word == "shutdown") shut(argument.empty() ? "wr" : argument);
        else if (word == "timeout") timeout = Duration(tcp::quantity(word, value, "1ms", "1h", tcp::bare_seconds));
        else if (word == "linger") set("linger", SOL_SOCKET, SO_LINGER, tcp::number(word, value, "0", "3600"));
        else if (word == "short") read_only = tcp::number(word, value, "1", "1000000");
        else if (word == "passive") passive = true;
        else if (word == "cork") corked = true;
        else return false;
        return true;
    }

    // Lines of stdin until one of them is the last.
    void converse() {
        char* line = nullptr;
        size_t room = 0;
        ssize_t n;
        bool more = true;
        while (more && (n = getline(&line, &room, stdin)) > 0) {
            string text(line, line[n - 1] == '\n' ? n - 1 : n), word = text.substr(0, text.find(' '));
            string argument = text.substr(std::min(text.size(), word.size() + 1));
            if (word == "die") _exit(1);
            try {
                if (word == "bye") more = false;
                else if (!text.empty() && !obey(word, argument)) more = ask(text + line_end);
            } catch (const tcp::Usage_error& error) {
                tcp::report(error);  // a bad line for ourselves; the next may be better
            }
        }
        free(line);
    }
};

static std::vector<const char*> parse(int argc, char** argv) {
    auto set_eol = [](const string& v) {
        if (v == "lf") line_end = "\n";
        else if (v == "crlf") line_end = "\r\n";
        else if (v == "none") line_end = "";
        else throw tcp::Usage_error("--eol must be lf, crlf or none, not " + tcp::printable(v));
    };
    auto set_at_connect = [](const string& v) {
        if (v == "close" || v == "reset") at_connect = v;
        else throw tcp::Usage_error("--connect must be close or reset, not " + tcp::printable(v));
    };
    auto be_verbose = [](auto) { verbose = true; };
    return tcp::parse_options(
        argc, argv, "[options] host [port]",
        {{0, "eol", "WHICH", "what ends a command: lf (default), crlf, none", set_eol},
         {0, "timeout", "D", "how long to wait for an answer (5s)",
          [](auto v) { timeout = tcp::duration("--timeout", v, "1ms", "1h"); }},
         {0, "connect", "HOW", "ping first; without pong, close: FIN, reset: RST", set_at_connect},
         {0, "big", nullptr, "begin with 4096 times a, which asks for big", [](auto) { big = true; }},
         {'t', "connect-timeout", "D", "give up connecting after D",
          [](auto v) { connect_timeout = tcp::duration("--connect-timeout", v, "1ms", "10m"); }},
         {'v', "verbose", nullptr, "log each read", be_verbose},
         {'D', "debug", nullptr, "as --verbose", be_verbose},
         tcp::socket_options_go_to(socket_options)},
        1, 2);
}

int main(int argc, char** argv) try {
    auto operands = parse(argc, argv);
    int port = operands.size() > 1 ? tcp::number("port", operands[1], "1", "65535") : 7777;
    tcp::open_standard_descriptors();
    setvbuf(stdout, nullptr, _IOLBF, 0);

    auto addresses = tcp::server_addresses(operands[0], port);
    Client client{tcp::connected_socket(addresses, 0, connect_timeout, socket_options)};
    string local = tcp::local_address(client.server.socket).text();
    tcp::log("connected", "peer=%s local=%s", client.server.peer.c_str(), local.c_str());
    bool greeted = client.greet();
    if (greeted) client.converse();
    int unread = 0;
    ioctl(client.server.socket.fd(), FIONREAD, &unread);
    client.server.socket.close();
    tcp::log("closed", "unread=%d", unread);
    return greeted ? 0 : 1;
} catch (const std::system_error& error) {
    if (error.code().value() == ECONNRESET) tcp::log("reset", "the server sent RST");
    return tcp::report(error);
} catch (const std::exception& error) { return tcp::report(error); }
