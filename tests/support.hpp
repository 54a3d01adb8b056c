// support.hpp - what the tests of the programs stand on: a process, a TCP client, a TCP server, and what /proc says.
//
//     Process server("TCPechod", {"0"});                       // bin/TCPechod on a port of the kernel's choice
//     Client client(server.port());                            // waits for "listening on", then connects
//     client.send("hello");
//     CHECK(client.receive(5) == "hello");
//     client.shutdown_write();                                 // our FIN
//     CHECK(client.receive_all() == "");                       // the server's FIN
//     CHECK(client.end() == Client::Fin);
//     CHECK(eventually([&] { return children_of(server.pid()).empty(); }));
//
// Nothing here sleeps and hopes: every wait is for a fact, with a deadline. BIN=DIR says where the programs are (bin);
// UNDER="valgrind -q" puts a command before each of them.
#pragma once
#include "../seqserver/states.hpp"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace test {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Time = std::chrono::milliseconds;

/// How long to wait for what ought to happen at once: only a failing test is ever that slow.
inline const Time patience = getenv("UNDER") ? 60s : 10s;

/// True as soon as `fact` is; false when it still is not after `deadline`.
inline bool eventually(const std::function<bool()>& fact, Time deadline = patience) {
    for (auto end = Clock::now() + deadline; !fact(); poll(nullptr, 0, 2))
        if (Clock::now() > end) return fact();
    return true;
}

inline std::string bin(const std::string& name) { return (getenv("BIN") ? getenv("BIN") : "bin") + ("/" + name); }
/// How often `word` is in the text.
inline size_t count(const std::string& text, const std::string& word) {
    size_t n = 0;
    for (size_t at = 0; (at = text.find(word, at)) != text.npos; at += word.size()) ++n;
    return n;
}

[[noreturn]] inline void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

/// A directory of its own, which others may enter; it goes with all that is in it.
struct Directory {
    std::string path = "/tmp/tcp-test-XXXXXX";
    Directory() {
        if (!mkdtemp(path.data()) || chmod(path.c_str(), 0755)) fail("mkdtemp");
    }
    Directory(const Directory&) = delete;
    ~Directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    std::string operator/(const std::string& name) const { return path + "/" + name; }
    /// Writes a file, and returns its path.
    std::string write(const std::string& name, const std::string& text) const {
        return std::ofstream(*this / name, std::ios::binary) << text, *this / name;
    }
};

/// A shell's command to its end: what it printed, and its exit status, 128 + the signal that ended it.
inline int finish(FILE* pipe, std::string& output) {
    output.clear();
    for (char part[4096]; size_t n = fread(part, 1, sizeof part, pipe);) output.append(part, n);
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// ---- what /proc says ----------------------------------------------------------------------------------------------

/// Fields of /proc/PID/stat counted as in proc(5), from 3 (state) on; empty for a process that is gone.
inline std::vector<std::string> stat_fields(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string line, field;
    if (!std::getline(file, line)) return {};
    std::vector<std::string> fields(3);
    for (std::istringstream rest(line.substr(line.rfind(')') + 1)); rest >> field;) fields.push_back(field);
    return fields;
}

/// The numbered entries of a directory: pids of /proc, descriptors of /proc/PID/fd.
inline std::vector<int> numbers_in(const std::string& directory) {
    std::vector<int> found;
    DIR* dir = opendir(directory.c_str());
    while (dirent* entry = dir ? readdir(dir) : nullptr)
        if (isdigit(entry->d_name[0])) found.push_back(atoi(entry->d_name));
    if (dir) closedir(dir);
    return found;
}

/// Living children and zombies of the process; state 'Z': only its zombies.
inline std::vector<pid_t> children_of(pid_t parent, char state = 0) {
    std::vector<pid_t> found;
    for (pid_t pid : numbers_in("/proc"))
        if (auto fields = stat_fields(pid);
            !fields.empty() && fields[4] == std::to_string(parent) && (!state || fields[3][0] == state))
            found.push_back(pid);
    return found;
}
inline std::vector<pid_t> zombies_of(pid_t parent) { return children_of(parent, 'Z'); }

inline size_t open_descriptors(pid_t pid) { return numbers_in("/proc/" + std::to_string(pid) + "/fd").size(); }

/// User and system time the process has used.
inline Time cpu_time(pid_t pid) {
    auto fields = stat_fields(pid);
    return fields.empty() ? 0ms : Time((std::stol(fields[14]) + std::stol(fields[15])) * 1000 / sysconf(_SC_CLK_TCK));
}

/// How many TCP sockets of this network namespace are in the state ("TIME_WAIT", as netstat spells it) on the local
/// port; with `remote`, only those connected to that port.
inline size_t sockets(const std::string& state, int local, int remote = 0) {
    size_t found = 0;
    for (const char* path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
        std::ifstream table(path);
        unsigned from, to, number;
        for (std::string line; std::getline(table, line);)
            found += sscanf(line.c_str(), " %*d: %*[^:]:%x %*[^:]:%x %x", &from, &to, &number) == 3 &&
                     int(from) == local && (!remote || int(to) == remote) && tcp::state_name(number) == state;
    }
    return found;
}

// ---- a program ----------------------------------------------------------------------------------------------------

/// A running program with pipes on its stdin, stdout and stderr; a thread collects what it prints, so it never blocks
/// on us. The destructor kills it and its children, by pid, and reaps them. Start it from a thread that lives on: it
/// dies with it.
class Process {
public:
    /// `prepare` runs in the child before exec(), for limits and identity: [] { limit(RLIMIT_NOFILE, 20); }
    Process(const std::string& name, const std::vector<std::string>& args, const std::function<void()>& prepare = {})
        : name_(name) {
        std::string path = bin(name);
        std::vector<std::string> words;
        std::istringstream under(getenv("UNDER") ? getenv("UNDER") : "");
        for (std::string word; under >> word;) words.push_back(word);
        words.push_back(path);
        words.insert(words.end(), args.begin(), args.end());
        std::vector<char*> argv;
        for (auto& word : words) argv.push_back(word.data());
        argv.push_back(nullptr);
        int in[2], out[2], err[2];
        if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) || pipe2(quit_, O_CLOEXEC))
            fail("pipe");
        int program = open(path.c_str(), O_RDONLY | O_CLOEXEC);  // `prepare` may make us a user who cannot walk to it
        pid_ = fork();
        if (pid_ < 0) fail("fork");
        if (pid_ == 0) {
            dup2(in[0], 0), dup2(out[1], 1), dup2(err[1], 2);
            ::signal(SIGPIPE, SIG_DFL);
            if (prepare) prepare();
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            execvp(argv[0], argv.data());
            fexecve(program, argv.data(), environ);
            dprintf(2, "%s: %s\n", argv[0], strerror(errno));
            _exit(127);
        }
        for (int fd : {in[0], out[1], err[1], program}) close(fd);
        in_ = in[1], out_ = out[0], err_ = err[0];
        for (int fd : {out_, err_}) fcntl(fd, F_SETFL, O_NONBLOCK);
        fcntl(err_, F_SETPIPE_SZ, 1 << 20);  // servers do not wait for a reader, and a busy machine lets us read late
        collector_ = std::thread([this] { collect(); });
    }
    Process(const Process&) = delete;
    ~Process() {
        auto children = children_of(pid_);
        if (status_ < 0) kill(pid_, SIGKILL), waitpid(pid_, nullptr, 0);
        for (pid_t child : children)  // ours now (main.cpp), so the pid cannot have become somebody else's
            if (auto fields = stat_fields(child); !fields.empty() && fields[4] == std::to_string(getpid()))
                kill(child, SIGKILL), waitpid(child, nullptr, 0);
        close(quit_[1]);
        collector_.join();
        for (int fd : {in_, out_, err_, quit_[0]})
            if (fd >= 0) close(fd);
    }

    pid_t pid() const { return pid_; }
    /// Everything printed so far.
    std::string out() const { return printed(0); }
    std::string err() const { return printed(1); }
    /// Until the text has been printed; false when it has not after `deadline`.
    bool wait_for_stdout(const std::string& text, Time deadline = patience) const {
        return wait_for(0, text, deadline);
    }
    bool wait_for_stderr(const std::string& text, Time deadline = patience) const {
        return wait_for(1, text, deadline);
    }
    /// The port in "listening on ADDR:PORT"; waits for it, throws what was printed instead.
    int port() const {
        bool listens = eventually([&] {
            std::string s = err();
            size_t at = s.find("listening on ");
            return at != s.npos && s.find('\n', at) != s.npos;
        });
        std::string text = err();
        if (!listens) throw std::runtime_error(name_ + " is not listening; it says: " + text);
        size_t start = text.find("listening on ") + 13;
        std::string address = text.substr(start, text.find_first_of(" \n", start) - start);
        return std::stoi(address.substr(address.rfind(':') + 1));
    }
    void write_stdin(const std::string& text) {
        for (size_t done = 0; done < text.size();) {
            ssize_t n = ::write(in_, text.data() + done, text.size() - done);
            if (n < 0 && errno != EINTR) return;  // it reads no more: EPIPE
            done += std::max<ssize_t>(n, 0);
        }
    }
    void close_stdin() {
        if (in_ >= 0) close(std::exchange(in_, -1));
    }
    void signal(int number) const {
        if (status_ < 0) kill(pid_, number);
    }
    bool running() { return wait_exit(0ms) < 0; }
    /// The exit status; 128 + the signal that killed it; -1: still running after `deadline`. All it printed is in
    /// out() and err() then.
    int wait_exit(Time deadline = patience) {
        int status = 0;
        if (status_ < 0 && eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; }, deadline)) {
            status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
        return status_;
    }

private:
    void collect() const {
        pollfd ends[] = {{quit_[0], POLLIN, 0}, {out_, POLLIN, 0}, {err_, POLLIN, 0}};
        while (ends[1].fd >= 0 || ends[2].fd >= 0) {
            poll(ends, 3, -1);
            if (ends[0].revents) return;
            for (int i : {1, 2})
                if (ends[i].revents && !take(i - 1)) ends[i].fd = -1;
        }
    }
    std::string printed(int which) const {
        take(which);
        std::lock_guard lock(mutex_);
        return text_[which];
    }
    /// What is in the pipe now, which holds no more than the buffer; false at its end.
    bool take(int which) const {
        std::lock_guard lock(mutex_);
        char buffer[65536];
        ssize_t n = ::read(which ? err_ : out_, buffer, sizeof buffer);
        if (n > 0) text_[which].append(buffer, n), news_.notify_all();
        return n != 0;
    }
    bool wait_for(int which, const std::string& text, Time deadline) const {
        std::unique_lock lock(mutex_);
        return news_.wait_for(lock, deadline, [&] { return text_[which].find(text) != std::string::npos; });
    }

    std::string name_;
    mutable std::string text_[2];
    pid_t pid_ = -1;
    int in_ = -1, out_ = -1, err_ = -1, quit_[2]{}, status_ = -1;
    mutable std::mutex mutex_;
    mutable std::condition_variable news_;
    std::thread collector_;
};

/// For `prepare`: an ordinary user whom nobody else is, where we may choose; else who we are.
inline void become_somebody(uid_t uid) {
    if (geteuid() == 0 && (setgroups(0, nullptr) || setgid(uid) || setuid(uid))) _exit(126);
}

/// For `prepare`: setrlimit(2), soft and hard.
inline void limit(int resource, rlim_t value) {
    rlimit both{value, value};
    setrlimit(resource, &both);
}

/// Runs a program to its end with the given stdin.
struct Result {
    int status;
    std::string out, err;
};
inline Result run(const std::string& name, const std::vector<std::string>& args, const std::string& input = "",
                  Time deadline = patience) {
    Process process(name, args);
    process.write_stdin(input);
    process.close_stdin();
    int status = process.wait_exit(deadline);
    return {status, process.out(), process.err()};
}

// ---- both ends of a connection ------------------------------------------------------------------------------------

inline sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET, address.sin_port = htons(uint16_t(port)),
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/// One end of a TCP connection over 127.0.0.1, with every way to end it.
class Client {
public:
    enum End { Open, Fin, Reset, Timeout };

    /// connect(2); throws if nobody listens. receive_buffer: a small one (4096) for a client that shall block the
    /// server soon.
    explicit Client(int port, int receive_buffer = 0) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in server = loopback(port);
        if (receive_buffer) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
        if (connect(fd_, reinterpret_cast<sockaddr*>(&server), sizeof server)) {
            int e = errno;
            close();
            errno = e;
            fail("connect");
        }
    }
    /// A connected socket from elsewhere; see Listener::accept().
    struct From {
        int fd;
    };
    explicit Client(From from) : fd_(from.fd) {}
    Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)), end_(other.end_) {}
    Client& operator=(Client&& other) noexcept {
        std::swap(fd_, other.fd_), std::swap(end_, other.end_);
        return *this;
    }
    ~Client() { close(); }

    int fd() const { return fd_; }
    int local_port() const {
        sockaddr_in address{};
        socklen_t size = sizeof address;
        getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
        return ntohs(address.sin_port);
    }
    /// All of it, or false when the peer is gone.
    bool send(const std::string& data) {
        for (size_t done = 0; done < data.size();) {
            ssize_t n = ::send(fd_, data.data() + done, data.size() - done, MSG_NOSIGNAL);
            if (n < 0 && errno != EINTR) return false;
            done += std::max<ssize_t>(n, 0);
        }
        return true;
    }
    /// `size` bytes; fewer if the peer ended the connection or nothing came until `deadline`: end() says which.
    std::string receive(size_t size, Time deadline = patience) {
        std::string data;
        char buffer[65536];
        auto until = Clock::now() + deadline;
        for (end_ = Open; data.size() < size && end_ == Open;) {
            pollfd readable{fd_, POLLIN, 0};
            auto left = std::chrono::duration_cast<Time>(until - Clock::now()).count();
            if (poll(&readable, 1, int(std::max<long>(left, 0))) == 0) {
                end_ = Timeout;
                break;
            }
            ssize_t n = recv(fd_, buffer, std::min(sizeof buffer, size - data.size()), 0);
            if (n > 0) data.append(buffer, n);
            else if (n == 0) end_ = Fin;
            else if (errno != EINTR) end_ = Reset;
        }
        return data;
    }
    /// Everything up to the end of the connection.
    std::string receive_all(Time deadline = patience) { return receive(SIZE_MAX, deadline); }
    /// What the last receive met: Fin, Reset, Timeout, or Open when all came that was asked for.
    End end() const { return end_; }
    void shutdown_write() { ::shutdown(fd_, SHUT_WR); }  ///< our FIN, and we go on reading
    void close() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    /// Abortive release: RST instead of FIN.
    void reset() {
        linger now{1, 0};
        setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close();
    }

private:
    int fd_ = -1;
    End end_ = Open;
};

/// A listening socket on 127.0.0.1 and a port of the kernel's choice: the server for tests of client programs.
class Listener {
public:
    explicit Listener(int backlog = 16) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address = loopback(0);
        if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) || listen(fd_, backlog)) fail("listen");
        socklen_t size = sizeof address;
        getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
    }
    Listener(const Listener&) = delete;
    ~Listener() { close(); }
    int port() const { return port_; }
    int fd() const { return fd_; }
    void close() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    /// The next connection; throws when none comes until `deadline`.
    Client accept(Time deadline = patience) {
        pollfd readable{fd_, POLLIN, 0};
        if (poll(&readable, 1, int(deadline.count())) != 1) throw std::runtime_error("nobody connected");
        return Client(Client::From{accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC)});
    }

private:
    int fd_, port_ = 0;
};

}  // namespace test
