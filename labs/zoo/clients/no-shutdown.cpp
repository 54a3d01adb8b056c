// no-shutdown - a thread reads until the server closes; at the end of the input nobody tells the server.
// Asked as: "My client prints every answer and then hangs after Ctrl-D. netstat says ESTABLISHED on both sides."
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace {
std::atomic<bool> input_open{true};

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

// In a thread of its own, until the server's FIN.
void show(int server) {
    char buffer[4096];
    ssize_t n;
    while ((n = read(server, buffer, sizeof buffer)) > 0) fwrite(buffer, 1, size_t(n), stdout);
    if (n < 0) fail("read");
    exit(input_open ? 1 : 0);
}
}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    signal(SIGPIPE, SIG_IGN);
    int server = connected(argv[1], argv[2]);
    std::thread reader(show, server);
    char buffer[4096];
    ssize_t n;
    while ((n = read(0, buffer, sizeof buffer)) > 0) {
        if (write(server, buffer, size_t(n)) != n) fail("write");
    }
    input_open = false;  // missing: shutdown(server, SHUT_WR), for which the server waits as we wait for it
    reader.join();
}
