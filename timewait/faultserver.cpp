// faultserver - a server that misbehaves on request: each line from the client is a command that goes wrong in its
// own way.
//
//   faultserver [options] [port]         default port 7777; "help" lists the commands: nc, telnet or faultclient will do
//
// Look for: ss -tanp, who owns what. With --leak connected the parent's copy keeps the worker's FIN from leaving;
// with --leak listening a worker keeps the port, and its accept queue, beyond the server's death: clients connect,
// and hang.
#include "../tcp.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>

using tcp::Duration, std::chrono::milliseconds, std::chrono::steady_clock;

static Duration max_busy = std::chrono::seconds(60);

// One client's connection, and what it has said so far.
struct Worker {
    tcp::Connection connection;
    Duration busy_left = max_busy;  // of waiting and holding, until the client's input is used up
    std::string input{}, line_end{};
    bool closed = false, skipping = false;
    pid_t holder = 0;
    void say(const std::string& text) { tcp::write_all(connection, text.data(), text.size()); }
    void pause(Duration time) { busy_left -= time, poll(nullptr, 0, int(time / milliseconds(1))); }
};

// ---- the commands -------------------------------------------------------------------------------------------------

using Text = const std::string&;
static void ping(Worker& w, Text rest, Duration) { w.say("pong" + rest + w.line_end); }
static void big(Worker& w, Text, Duration) { w.say("bog" + std::string(8192 - 3, '.')); }
static void close_now(Worker& w, Text, Duration) { w.closed = true; }
static void reset(Worker& w, Text, Duration) {
    linger now{1, 0};
    setsockopt(w.connection.socket.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    w.closed = true;
}
static void half(Worker& w, Text, Duration) {
    shutdown(w.connection.socket.fd(), SHUT_WR);
}  // our FIN; commands are still read
static void bug(Worker& w, Text, Duration time) { w.pause(time), w.closed = true; }
static void busy(Worker& w, Text argument, Duration time) { w.pause(time), w.say(argument + "\n"); }
static void drip(Worker& w, Text, Duration time) {
    for (; time > milliseconds(0); time -= milliseconds(20)) w.say("."), w.pause(milliseconds(20));
    w.say("\n");
}
static void fork_one(Worker& w, Text, Duration) {
    pid_t pid = fork();
    if (pid < 0) return w.say("? fork: " + std::string(strerror(errno)) + "\n");
    if (pid == 0) _exit(send(w.connection.socket.fd(), "ok\n", 3, MSG_NOSIGNAL) != 3);
    waitpid(pid, nullptr, 0);
}
// A grandchild that inherits the connected socket and does nothing: as long as it lives, close() here sends no FIN. A
// worker has one at a time, waits for it at its own end and takes it along when it is killed: --max-workers bounds
// them too.
static void hold(Worker& w, Text, Duration time) {
    if (w.holder > 0 && kill(w.holder, 0) == 0)
        return w.say("? hold: " + std::to_string(w.holder) + " does it already\n");
    w.busy_left -= time;
    pid_t worker = getpid();
    w.holder = fork();
    if (w.holder < 0) return w.say("? fork: " + std::string(strerror(errno)) + "\n");
    if (w.holder == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == worker) poll(nullptr, 0, int(time / milliseconds(1)));
        _exit(0);
    }
    w.say("held by " + std::to_string(w.holder) + "\n");
}
static void die(Worker&, Text, Duration) { raise(SIGKILL); }
static void help(Worker& w, Text, Duration);

struct Command {
    const char *name, *argument;
    void (*run)(Worker&, Text, Duration);
    const char* help;
};
static const Command commands[] = {
    {"ping", nullptr, ping, "pong, with the same line end"},
    {"big", nullptr, big, "8192 bytes"},
    {"close", nullptr, close_now, "close at once"},
    {"reset", nullptr, reset, "close with a RST"},
    {"half", nullptr, half, "half-close: a FIN, and commands are still obeyed as far as that goes"},
    {"bug", "D", bug, "silence for D, then close"},
    {"busy", "D", busy, "the answer comes after D"},
    {"drip", "D", drip, "a byte every 20 ms, for D"},
    {"fork", nullptr, fork_one, "a grandchild says ok"},
    {"hold", "D", hold, "a grandchild keeps the connected socket for D: close sends nothing"},
    {"die", nullptr, die, "the worker is killed"},
    {"help", nullptr, help, "this text"},
};
static void help(Worker& w, Text, Duration) {
    for (auto& c : commands) w.say(c.name + std::string(c.argument ? " D" : "  ") + "\t" + c.help + "\n");
}

static const Command* find_command(Text text) {
    std::string name = text.substr(0, std::min(text.size(), strspn(text.c_str(), "abcdefghijklmnopqrstuvwxyz")));
    for (auto& command : commands)
        if (name == command.name) return &command;
    return nullptr;
}

// One command, without its line end. What cannot be obeyed gets a line that begins with "?".
static void obey(Worker& w, Text text) {
    tcp::log("read", "peer=%s bytes=%zu data=%s", w.connection.peer.text().c_str(), text.size() + w.line_end.size(),
             tcp::printable(text.data(), text.size()).c_str());
    if (text.empty()) return;
    auto* command = text.compare(0, 8, "aaaaaaaa") ? find_command(text) : &commands[1];  // 4096 times a: the seed's big
    if (!command) return w.say("? no command " + tcp::printable(text.data(), text.size()) + "; help lists them\n");
    std::string rest = text.substr(strlen(command->name));
    Duration time{};
    if (command->argument) try {
            rest.erase(0, std::min(rest.find_first_not_of(' '), rest.size()));
            time = tcp::duration(command->name, rest.c_str(), "0", "24h", tcp::second_units);
            if (time > w.busy_left)
                return w.say("? " + std::string(command->name) + ": --max-busy allows " +
                             std::to_string(w.busy_left / milliseconds(1)) + "ms now\n");
        } catch (const tcp::Usage_error& error) { return w.say("? " + std::string(error.what()) + "\n"); }
    command->run(w, rest, time);
}

// ---- the lines ----------------------------------------------------------------------------------------------------

static constexpr size_t longest = 4096;
static const std::string too_long = "? longer than 4096 bytes\n";

static bool readable(const Worker& w, int limit) {
    pollfd socket{w.connection.socket.fd(), POLLIN, 0};
    int n;
    while ((n = poll(&socket, 1, limit)) < 0 && errno == EINTR) {}
    return n > 0;
}

// The commands in w.input that are there as a whole line.
static void obey_lines(Worker& w) {
    for (size_t end; !w.closed && (end = w.input.find('\n')) != std::string::npos;) {
        bool crlf = end > 0 && w.input[end - 1] == '\r';
        std::string text = w.input.substr(0, end - crlf);
        w.input.erase(0, end + 1), w.line_end = crlf ? "\r\n" : "\n";
        if (std::exchange(w.skipping, false)) continue;
        text.size() <= longest ? obey(w, text) : w.say(too_long);
    }
    bool seeds_big = w.input.compare(0, 8, "aaaaaaaa") == 0;
    if (w.closed || w.input.size() < longest + !seeds_big) return;
    if (!w.skipping && seeds_big)
        return w.line_end = "", obey(w, std::exchange(w.input, w.input.substr(longest)).substr(0, longest));
    if (!std::exchange(w.skipping, true)) w.say(too_long);
    w.input.clear();
}

// Reads commands until the client's FIN or until one of them closes. A client without line ends (nc -N, a script) is
// understood when a known command is followed by 100 ms of nothing.
static void converse(Worker& w, Duration idle) {
    static char buffer[longest];
    while (!w.closed) {
        bool whole = find_command(w.input) && !w.skipping, more = readable(w, 0);
        if (!more && w.input.empty()) w.busy_left = max_busy;
        Duration limit = w.input.empty() ? idle : whole ? Duration(milliseconds(100)) : max_busy;
        if (!more && !readable(w, limit.count() ? int(limit / milliseconds(1)) : -1)) {
            if (whole) {
                w.line_end = "", obey(w, std::exchange(w.input, ""));
                continue;
            }
            if (!w.input.empty()) w.say("? half a command, and then silence\n");
            return tcp::log("waiting", "peer=%s for nothing: silent", w.connection.peer.text().c_str());
        }
        size_t n = tcp::read(w.connection, buffer, sizeof buffer);
        if (n == 0) {
            tcp::log("fin", "peer=%s", w.connection.peer.text().c_str());
            if (whole) w.line_end = "", obey(w, w.input);
            return;
        }
        w.input.append(buffer, n);
        obey_lines(w);
    }
}

static void serve(tcp::Connection connection, Duration idle) try {
    std::string peer = connection.peer.text();
    timeval limit{max_busy.count() / 1000000000,
                  max_busy.count() % 1000000000 / 1000};  // for a client that does not read
    setsockopt(connection.socket.fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    Worker worker{std::move(connection)};
    converse(worker, idle);
    worker.connection.socket.close();
    tcp::log("closed", "peer=%s", peer.c_str());
} catch (const std::system_error& error) {
    tcp::log(error.code().value() == ECONNRESET ? "reset" : "failed", "%s", error.what());
}

// ---- the server ---------------------------------------------------------------------------------------------------

static std::vector<pid_t> workers;
static volatile sig_atomic_t stopping = 0;

static void reap(int) {
    for (pid_t pid; (pid = waitpid(-1, nullptr, WNOHANG)) > 0;)
        workers.erase(std::remove(workers.begin(), workers.end(), pid), workers.end());
}

struct Leaks {
    bool connected = false, listening = false;
};

static Leaks leaks(const std::string& word) {
    const char* const words[] = {"none", "connected", "listening", "both"};  // the numbers are the seed's
    for (int i = 0; i < 4; ++i)
        if (word == words[i] || word == std::to_string(i)) return {(i & 1) != 0, (i & 2) != 0};
    throw tcp::Usage_error("--leak must be connected, listening or both, not " +
                           tcp::printable(word.data(), word.size()));
}

int main(int argc, char** argv) try {
    tcp::Server_options server{7777};
    Leaks leak;
    size_t max_workers = 3000;
    bool workers_given = false;
    Duration slow{};
    server.parse(
        argc, argv,
        {{'L', "leak", "WHAT", "connected: the parent forgets to close its copy; listening: the workers, theirs; both",
          [&](auto v) { leak = leaks(v); }},
         {0, "linger", "SECONDS", "SO_LINGER for every connection; 0: close() sends RST; -1: off (default)",
          [&](auto v) {
              if (strcmp(v, "-1"))
                  tcp::add_socket_option(server.socket_options,
                                         "linger=" + std::to_string(tcp::number("--linger", v, "0", "3600")));
          }},
         {'s', "slow", "D", "wait D after each accept() beyond --max-workers, or after each",
          [&](auto v) { slow = tcp::duration("--slow", v, "0", "1h", tcp::second_units); }},
         {'m', "max-workers", "N", "at most N, the backlog holds the rest; with --slow: N fast ones (3000)",
          [&](auto v) { max_workers = tcp::number("--max-workers", v, "1", "100000"), workers_given = true; }},
         {'l', "listen-queue", "N", "the backlog by its other name",
          [&](auto v) { server.backlog = tcp::number("--listen-queue", v, "0", "65535"); }},
         {'B', "max-busy", "D", "no command holds a worker longer (60s)",
          [&](auto v) { max_busy = tcp::duration("--max-busy", v, "100ms", "24h"); }}});

    auto stop = [](int) { stopping = 1; };
    tcp::Signals signals{{SIGCHLD, reap}, {SIGTERM, stop}, {SIGINT, stop}};
    tcp::Descriptor listener = server.listen();
    std::vector<tcp::Connection> forgotten;
    while (!stopping) {
        bool room = slow.count() || workers.size() < max_workers;
        if (!signals.wait(room ? listener.fd() : -1) || stopping) continue;
        auto connection = tcp::accept(listener);
        if (!connection) continue;
        bool is_slow = slow.count() && (!workers_given || workers.size() >= max_workers);
        pid_t pid;
        while ((pid = fork()) < 0 && !stopping)
            tcp::log("waiting", "fork: %s", strerror(errno)), signals.wait(-1, milliseconds(500));
        if (pid == 0) {
            signal(SIGTERM, SIG_DFL), signal(SIGINT, SIG_DFL),
                signal(SIGCHLD, SIG_IGN);  // grandchildren need no wait()
            signals.let_in();
            if (!leak.listening) listener.close();
            forgotten.clear();
            serve(std::move(*connection), server.idle_timeout);
            if (!leak.listening)
                waitpid(-1, nullptr, 0), _exit(0);  // SIGCHLD is ignored: returns when there is no grandchild
            signals = tcp::Signals{{SIGCHLD, reap}, {SIGTERM, stop}, {SIGINT, stop}};
            workers.clear();
            continue;  // the bug: this process has the listening socket too, and accepts from it
        }
        if (pid < 0) break;
        workers.push_back(pid);
        tcp::log("accepted", "peer=%s child=%d", connection->peer.text().c_str(), pid);
        if (leak.connected) forgotten.push_back(std::move(*connection));  // the bug: no FIN leaves before we end
        for (auto end = steady_clock::now() + slow; is_slow && !stopping && steady_clock::now() < end;)
            signals.wait(-1, end - steady_clock::now());
    }
    if (leak.listening)
        return tcp::log("stopped", "port=%d workers-left=%zu", server.port, workers.size()), 0;  // part of the bug
    tcp::end_children(
        signals, {}, [] { return workers; }, [] { return false; });
    tcp::log("stopped", "port=%d", server.port);
} catch (const std::exception& error) { return tcp::report(error); }
