// faultserver - a server that misbehaves on request: each line from the client is a command that goes wrong in its way.
//
//   faultserver [options] [port]         default port 7777; "help" lists the commands; nc, telnet or faultclient do
//
// Look for: ss -tanp, who owns what. With --leak connected the parent's copy keeps the worker's FIN from leaving; with
// --leak listening a worker keeps the port, and its accept queue, beyond the server's death: clients connect, and hang.
// The commands stand in faults.hpp.
#include "faults.hpp"
#include "../TCPechod/forking.hpp"

using tcp::Duration, faults::Worker, std::string, std::chrono::milliseconds;

static constexpr Duration silence = milliseconds(100);  // ends a line, too

static tcp::Server_options server{7777};
static faults::Settings settings;
static bool leak_connected = false, leak_listening = false;
static std::vector<tcp::Connection> forgotten;  // by --leak connected
static size_t max_workers = 0;                  // 0: not given
static Duration slow{};

// ---- the lines ----------------------------------------------------------------------------------------------------

static void obey_lines(Worker& worker) {
    const string complaint = "longer than " + std::to_string(faults::longest) + " bytes";
    while (auto text = faults::next_command(worker)) {
        bool is_rest = std::exchange(worker.skipping, false);
        if (is_rest) continue;
        if (text->size() <= faults::longest) faults::obey(worker, *text);
        else worker.complain(complaint);
        if (worker.closed) return;
    }
    bool too_long = worker.input.size() > faults::longest;
    if (too_long && !worker.skipping) worker.complain(complaint);
    if (too_long) worker.skipping = true;
    if (worker.skipping) worker.input.clear();
}

// A command without a line end (nc -N, a script): silence has ended it, or a FIN.
static void obey_rest(Worker& worker) {
    worker.line_end = "";
    if (!worker.input.empty()) faults::obey(worker, std::exchange(worker.input, ""));
}

static bool readable(const Worker& worker, Duration limit) {
    pollfd socket{worker.connection.socket.fd(), POLLIN, 0};
    return poll(&socket, 1, int(limit / milliseconds(1))) > 0;
}

// Reads commands until the client's FIN, or until one of them closes.
static void converse(Worker& worker) {
    static char buffer[faults::longest];
    Duration idle = server.idle_timeout.count() ? server.idle_timeout : milliseconds(-1);  // poll(2): never
    while (!worker.closed) {
        bool between = worker.input.empty();  // two commands
        if (between && !readable(worker, {})) worker.busy_left = settings.max_busy;
        if (!readable(worker, between ? idle : silence)) {
            if (between) return tcp::log("waiting", "peer=%s for nothing: silent", worker.connection.peer.c_str());
            obey_rest(worker);
            continue;
        }
        size_t n = tcp::read(worker.connection, buffer, sizeof buffer);
        if (n == 0) {
            tcp::log("fin", "peer=%s", worker.connection.peer.c_str());
            return obey_rest(worker);
        }
        worker.input.append(buffer, n);
        obey_lines(worker);
    }
}

static void serve(tcp::Connection connection) try {
    tcp::set_idle_timeout(connection.socket, settings.max_busy);  // for a client that takes no answer
    Worker worker{settings, std::move(connection)};
    converse(worker);
    worker.connection.socket.close();
    tcp::log("closed", "peer=%s", worker.connection.peer.c_str());
} catch (const std::exception& error) { tcp::log_failure(error); }

// ---- the server ---------------------------------------------------------------------------------------------------

static void accept_clients(tcp::Forking_server& acceptor, tcp::Descriptor& listener);

[[noreturn]] static void child(tcp::Connection connection, tcp::Descriptor& listener) try {
    signal(SIGCHLD, SIG_IGN);  // grandchildren need no wait()
    if (!leak_listening) listener.close();
    forgotten.clear();
    serve(std::move(connection));
    if (leak_listening) {  // the bug: this process has the listening socket too, and accepts from it
        tcp::Forking_server acceptor;
        accept_clients(acceptor, listener);
    } else {
        waitpid(-1, nullptr, 0);  // SIGCHLD is ignored: returns when there is no grandchild
    }
    _exit(0);
} catch (const std::exception& error) { _exit(tcp::report(error)); }

static void accept_clients(tcp::Forking_server& acceptor, tcp::Descriptor& listener) {
    if (max_workers && !slow.count()) acceptor.max_children = max_workers;
    acceptor.child = [&](tcp::Connection connection) { child(std::move(connection), listener); };
    acceptor.parent = [&](tcp::Connection& connection, pid_t pid) {
        tcp::log("accepted", "peer=%s child=%d", connection.peer.c_str(), pid);
        if (leak_connected) forgotten.push_back(std::move(connection));  // the bug: no FIN leaves before we end
        else connection.socket.close();
        if (acceptor.children() <= max_workers) return;  // a fast one
        auto end = tcp::Clock::now() + slow;
        for (auto left = slow; left.count() > 0 && !acceptor.stopping(); left = end - tcp::Clock::now()) {
            acceptor.signals().wait(-1, left);
        }
    };
    acceptor.run(listener);
    if (leak_listening) {  // part of the bug: they are left
        tcp::log("stopped", "port=%d workers-left=%zu", server.port, acceptor.children());
    } else {
        listener.close();
        acceptor.end();
        tcp::log("stopped", "port=%d", server.port);
    }
}

static void set_leak(const char* word) {
    const char* const words[] = {"none", "connected", "listening", "both"};  // the numbers are the seed's
    int which = 0;
    while (which < 4 && string(word) != words[which] && string(word) != std::to_string(which)) ++which;
    if (which == 4) {
        throw tcp::Usage_error("--leak must be connected, listening or both, not " + tcp::printable(word));
    }
    leak_connected = which & 1;
    leak_listening = which & 2;
}

static void set_linger(const char* seconds) {
    if (strcmp(seconds, "-1") == 0) return;
    int value = tcp::number("--linger", seconds, "0", "3600");
    server.socket_options.push_back({"linger", SOL_SOCKET, SO_LINGER, value});
}

static void parse(int argc, char** argv) {
    static char both[] = "--leak=both";
    for (int i = 1; i < argc; ++i) {  // the seed's -L may stand alone
        bool alone = i + 1 == argc || argv[i + 1][0] == '-';
        if (alone && (string(argv[i]) == "-L" || string(argv[i]) == "--leak")) argv[i] = both;
    }
    auto set_slow = [](const char* v) { slow = Duration(tcp::quantity("--slow", v, "0", "1h", tcp::bare_seconds)); };
    server.parse(argc, argv,
                 {{'L', "leak", "WHAT",
                   "connected: the parent keeps each client's socket;\n"
                   "                               listening: the workers the listening one; both",
                   set_leak},
                  {0, "linger", "SECONDS", "SO_LINGER of each connection; 0: RST; -1: off", set_linger},
                  {'s', "slow", "D", "wait D after each accept() beyond --max-workers", set_slow},
                  {'m', "max-workers", "N", "at most N (4096); with --slow: N fast ones",
                   [](auto v) { max_workers = tcp::number("--max-workers", v, "1", "100000"); }},
                  {'l', "listen-queue", "N", "as --backlog",
                   [](auto v) { server.backlog = tcp::number("--listen-queue", v, "0", "65535"); }},
                  {0, "max-busy", "D", "no command holds a worker longer (60s)",
                   [](auto v) { settings.max_busy = tcp::duration("--max-busy", v, "100ms", "24h"); }},
                  {0, "silent", nullptr, "no answer to what cannot be obeyed", [](auto) { settings.silent = true; }},
                  {'D', "debug", nullptr, "as --verbose", [](auto) { server.verbose = true; }}});
    settings.verbose = server.verbose;
}

int main(int argc, char** argv) try {
    parse(argc, argv);
    tcp::open_standard_descriptors();
    tcp::log_without_waiting();
    signal(SIGPIPE, SIG_IGN);  // whoever reads our log may be gone: write() says EPIPE then, instead of ending us

    tcp::Forking_server acceptor;
    tcp::Descriptor listener = server.listen();
    accept_clients(acceptor, listener);
} catch (const std::exception& error) { return tcp::report(error); }
