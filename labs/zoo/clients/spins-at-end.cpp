// spins-at-end - a line, its answer, the next line; read() has returned 0, and it waits for the rest of the answer.
// Asked as: "After the server has crashed my client uses 100 % of the processor."
#include <netdb.h>
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
    signal(SIGPIPE, SIG_IGN);
    int server = connected(argv[1], argv[2]);
    char* line = nullptr;
    size_t room = 0;
    ssize_t size, n;
    while ((size = getline(&line, &room, stdin)) > 0) {
        if (write(server, line, size_t(size)) != size) fail("write");
        for (ssize_t got = 0; got < size; got += n) {
            n = read(server, line, size_t(size - got));
            if (n < 0) fail("read");  // and 0, the server's FIN, comes for ever
            fwrite(line, 1, size_t(n), stdout);
        }
    }
}
