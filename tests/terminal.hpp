// terminal.hpp - a pseudo-terminal in which a program runs and the test types.
#pragma once
#include "support.hpp"

#include <sys/ioctl.h>

namespace test {

/// A command in a terminal of its own, 80 by 24. What it shows is collected when somebody looks.
class Terminal {
public:
    explicit Terminal(const std::vector<std::string>& command) {
        fd_ = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (fd_ < 0 || grantpt(fd_) || unlockpt(fd_)) fail("posix_openpt");
        std::string name = ptsname(fd_);
        winsize size{24, 80, 0, 0};
        ioctl(fd_, TIOCSWINSZ, &size);
        fcntl(fd_, F_SETFL, O_NONBLOCK);
        std::vector<char*> argv;
        for (auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
        argv.push_back(nullptr);
        pid_ = fork();
        if (pid_ < 0) fail("fork");
        if (pid_ > 0) return;
        setsid();
        int tty = open(name.c_str(), O_RDWR);  // the first terminal that a session opens is its own
        for (int fd : {0, 1, 2}) dup2(tty, fd);
        prctl(PR_SET_PDEATHSIG, SIGHUP);
        execvp(argv[0], argv.data());
        _exit(127);
    }
    Terminal(const Terminal&) = delete;
    ~Terminal() {
        close(fd_);  // a hangup, as when a window is closed
        if (pid_ < 0 || eventually([&] { return waitpid(pid_, nullptr, WNOHANG) != 0; }, 5s)) return;
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    void type(const std::string& keys) const {
        if (getenv("TRACE"))
            std::ofstream(getenv("TRACE"), std::ios::app) << "TYPED[" << fd_ << "] " << keys << std::endl;
        if (write(fd_, keys.data(), keys.size()) < 0) return;  // its window is closed
    }
    const std::string& text() {
        char part[4096];
        for (ssize_t n; (n = read(fd_, part, sizeof part)) > 0;)
            for (ssize_t i = 0; i < n; ++i) {
                if (part[i] == 27) escape_ = true;  // bold, and such
                else if (escape_) escape_ = !isalpha(part[i]);
                else if (part[i] != '\r') text_ += part[i];
            }
        return text_;
    }
    /// Its exit status, or -1 when a signal ended it or it has not ended in time.
    int ends() {
        int status = -1;
        if (!eventually([&] { return text(), waitpid(pid_, &status, WNOHANG) == pid_; })) return -1;
        pid_ = -1;
        text();
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    bool shows(const std::string& what, size_t from = 0, Time deadline = patience) {
        return eventually([&] { return text().find(what, from) != text_.npos; }, deadline);
    }

private:
    int fd_ = -1;
    pid_t pid_ = -1;
    bool escape_ = false;
    std::string text_;
};

}  // namespace test
