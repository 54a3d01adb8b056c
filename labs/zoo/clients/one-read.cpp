// one-read - a thread reads; it takes one read() for one answer, and shows its first line.
// Asked as: "recv() sometimes returns half of the line, sometimes two: what is wrong with the network?"
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

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

// In a thread of its own, until the server's FIN.
void show(int server) {
    char buffer[4096];
    ssize_t n;
    while ((n = read(server, buffer, sizeof buffer)) > 0) {
        auto end = static_cast<char*>(memchr(buffer, '\n', size_t(n)));
        fwrite(buffer, 1, size_t(end ? end - buffer : n), stdout);  // the rest is forgotten
        putchar('\n');
    }
    if (n < 0) fail("read");
    exit(0);
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
