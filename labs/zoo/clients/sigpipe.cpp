// sigpipe - one loop over keyboard and server; SIGPIPE has its default.
// Asked as: "My client just ends. No message, nothing in the log."
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {
[[noreturn]] void fail(const char* what, const char* why = strerror(errno)) {
    fprintf(stderr, "%s: %s\n", what, why);
    _exit(1);
}

// A connected socket, of the first address that takes it.
int connected(const char* host, const char* port) {
    addrinfo *list, *at, hints{};
    hints.ai_socktype = SOCK_STREAM;
    if (int error = getaddrinfo(host, port, &hints, &list)) fail(host, gai_strerror(error));
    for (at = list; at; at = at->ai_next) {
        int fd = socket(at->ai_family, at->ai_socktype, 0);
        if (connect(fd, at->ai_addr, at->ai_addrlen) == 0) return fd;
    }
    fail("connect");
}
}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    int server = connected(argv[1], argv[2]);
    char input[4096], output[4096];
    ssize_t unsent = 0, n;
    bool open = true;
    for (;;) {
        pollfd ready[] = {{open && unsent == 0 ? 0 : -1, POLLIN, 0},
                          {server, short(unsent ? POLLIN | POLLOUT : POLLIN), 0}};
        poll(ready, 2, -1);
        if (ready[0].revents) {
            unsent = read(0, input, sizeof input);
            open = unsent > 0;
            if (!open) shutdown(server, SHUT_WR);
        }
        if (unsent > 0) {
            n = send(server, input, size_t(unsent), MSG_DONTWAIT);
            if (n < 0 && errno != EAGAIN) fail("send");
            if (n > 0) memmove(input, input + n, size_t(unsent -= n));
        }
        if (ready[1].revents == POLLOUT || !ready[1].revents) continue;
        n = read(server, output, sizeof output);
        if (n > 0) fwrite(output, 1, size_t(n), stdout);
        if (n == 0) return open ? 1 : 0;
        if (n < 0) fail("read");
    }
}
