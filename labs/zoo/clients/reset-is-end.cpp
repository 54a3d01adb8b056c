// reset-is-end - a thread reads; whatever read() returns that is not data is the end.
// Asked as: "How do I tell a server that has crashed from one that was done?"
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

// In a thread of its own.
void show(int server) {
    char buffer[4096];
    ssize_t n;
    while ((n = read(server, buffer, sizeof buffer)) > 0) fwrite(buffer, 1, size_t(n), stdout);
    exit(0);  // n is 0 after a FIN, and -1 after a RST
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
    shutdown(server, SHUT_WR);
    reader.join();
}
