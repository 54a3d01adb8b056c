// name-unchecked - a thread reads; nobody looks at what gethostbyname() returned.
// Asked as: "Segmentation fault when I mistype the name of the host."
#include <netdb.h>
#include <netinet/in.h>
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

int connected(const char* host, const char* port) {
    hostent* found = gethostbyname(host);  // NULL for a name that has no address
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(uint16_t(strtol(port, nullptr, 10)));
    memcpy(&address.sin_addr, found->h_addr, sizeof address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
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
    input_open = false;
    shutdown(server, SHUT_WR);
    reader.join();
}
