// faults.hpp - what faultserver does to a client that asks for it: a command is a function, and a line of the table.
#pragma once
#include "../program.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>

namespace faults {

using tcp::Duration, std::string, std::chrono::milliseconds;

/// What all workers are told.
struct Settings {
    Duration max_busy = std::chrono::seconds(60);  // of waiting and holding, until the client's input is used up
    bool silent = false, verbose = false;
};

/// One client's connection, and what it has said so far.
struct Worker {
    const Settings& settings;
    tcp::Connection connection;
    Duration busy_left = settings.max_busy;
    string input{}, line_end{};
    bool skipping = false;  // the rest of a line that is too long
    bool closed = false;
    pid_t holder = 0;

    void say(const string& text) const {
        tcp::write_all(connection, text.data(), text.size());
        if (settings.verbose) tcp::log("wrote", "peer=%s bytes=%zu", connection.peer.c_str(), text.size());
    }
    /// To what cannot be obeyed.
    void complain(const string& text) const {
        if (!settings.silent) say("? " + text + "\n");
    }
    void wait(Duration time) {
        busy_left -= time;
        poll(nullptr, 0, int(time / milliseconds(1)));
    }
};

// ---- the commands -------------------------------------------------------------------------------------------------

using Text = const string&;
inline void ping(Worker& w, Text rest, Duration) { w.say("pong" + rest + w.line_end); }
inline void big(Worker& w, Text, Duration) { w.say("bog" + string(8192 - 3, '.')); }
inline void close_now(Worker& w, Text, Duration) { w.closed = true; }
inline void reset(Worker& w, Text, Duration) {
    tcp::set_option(w.connection.socket, {"linger", SOL_SOCKET, SO_LINGER, 0});
    w.closed = true;
}
inline void half(Worker& w, Text, Duration) {
    shutdown(w.connection.socket.fd(), SHUT_WR);  // our FIN; commands are still read
}
inline void bug(Worker& w, Text, Duration time) {
    w.wait(time);
    w.closed = true;
}
inline void busy(Worker& w, Text argument, Duration time) {
    w.wait(time);
    w.say(argument + "\n");
}
inline void drip(Worker& w, Text, Duration time) {
    for (; time.count() > 0; time -= milliseconds(20)) {
        w.say(".");
        w.wait(milliseconds(20));
    }
    w.say("\n");
}
inline void fork_one(Worker& w, Text, Duration) {
    pid_t pid = fork();
    if (pid < 0) return w.complain("fork: " + string(strerror(errno)));
    if (pid == 0) _exit(send(w.connection.socket.fd(), "ok\n", 3, MSG_NOSIGNAL) != 3);
    waitpid(pid, nullptr, 0);
}
// A grandchild that inherits the connected socket and does nothing: as long as it lives, close() here sends no FIN. A
// worker has one at a time, waits for it at its own end and takes it along when it is killed: --max-workers bounds them
// too.
inline void hold(Worker& w, Text, Duration time) {
    if (w.holder > 0 && kill(w.holder, 0) == 0) {
        return w.complain("hold: " + std::to_string(w.holder) + " does it already");
    }
    w.busy_left -= time;
    pid_t worker = getpid();
    w.holder = fork();
    if (w.holder < 0) return w.complain("fork: " + string(strerror(errno)));
    if (w.holder == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == worker) poll(nullptr, 0, int(time / milliseconds(1)));
        _exit(0);
    }
    w.say("held by " + std::to_string(w.holder) + "\n");
}
inline void die(Worker&, Text, Duration) { raise(SIGKILL); }
inline void help(Worker& w, Text, Duration);

struct Command {
    const char *name, *argument;
    void (*run)(Worker&, Text, Duration);
    const char* help;
};
inline const Command commands[] = {
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
inline void help(Worker& w, Text, Duration) {
    for (auto& c : commands) w.say(c.name + string(c.argument ? " D" : "  ") + "\t" + c.help + "\n");
}

// ---- what was asked -----------------------------------------------------------------------------------------------

constexpr size_t longest = 4096;  // of a line

/// As the seed's client asks for "big": 4096 times "a".
inline bool many_a(Text text) { return text.compare(0, 8, "aaaaaaaa") == 0; }

/// Takes the next command that is there as a whole line, without its line end. The seed's big has none.
inline std::optional<string> next_command(Worker& w) {
    size_t end = w.input.find('\n'), next = end + 1;
    if (many_a(w.input) && w.input.size() >= longest && end >= longest && !w.skipping) {
        end = next = longest;
        w.line_end = "";
    } else if (end == string::npos) {
        return {};
    } else if (end > 0 && w.input[end - 1] == '\r') {
        --end;
        w.line_end = "\r\n";
    } else {
        w.line_end = "\n";
    }
    string text = w.input.substr(0, end);
    w.input.erase(0, next);
    return text;
}

/// Obeys one command, without its line end. What cannot be obeyed gets a line that begins with "?".
inline void obey(Worker& w, Text text) {
    tcp::log("read", "peer=%s bytes=%zu data=%s", w.connection.peer.c_str(), text.size() + w.line_end.size(),
             tcp::printable(text).c_str());
    if (text.empty()) return;
    string name = many_a(text) ? "big" : text.substr(0, strspn(text.c_str(), "abcdefghijklmnopqrstuvwxyz"));
    auto command = std::find_if(std::begin(commands), std::end(commands), [&](auto& c) { return name == c.name; });
    if (command == std::end(commands)) {
        return w.complain("no command " + tcp::printable(text) + "; help lists them");
    }
    string rest = text.substr(name.size());
    Duration time{};
    if (command->argument) {
        rest.erase(0, rest.find_first_not_of(' '));
        try {
            time = Duration(tcp::quantity(name, rest.c_str(), "0", "24h", tcp::bare_seconds));
        } catch (const tcp::Usage_error& error) { return w.complain(error.what()); }
        if (time > w.busy_left) {
            string left = std::to_string(w.busy_left / milliseconds(1));
            return w.complain(name + ": --max-busy allows " + left + "ms now");
        }
    }
    command->run(w, rest, time);
}

}  // namespace faults
