// connect-unchecked - a thread reads; nobody looks at what connect() returned.
// Asked as: "write: Broken pipe, already at the first byte?"
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

// A connected socket, or so one hopes.
int connected(const char* host, const char* port) {
    addrinfo *list, hints{};
    hints.ai_socktype = SOCK_STREAM;
    if (int error = getaddrinfo(host, port, &hints, &list)) fail(host, gai_strerror(error));
    int fd = socket(list->ai_family, list->ai_socktype, 0);
    connect(fd, list->ai_addr, list->ai_addrlen);  // NOLINT: the mistake
    return fd;
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
    input_open = false;
    shutdown(server, SHUT_WR);
    reader.join();
}
