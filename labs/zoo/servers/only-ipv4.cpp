// only-ipv4 - threads; listens on IPv6 and IPv4, and a filter for "our network" knows addresses of IPv4 only.
// Asked as: "It works with 127.0.0.1, and not with localhost."
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {
void serve(int connection) {
    char buffer[4096];
    ssize_t n;
    while ((n = read(connection, buffer, sizeof buffer)) > 0)
        if (write(connection, buffer, size_t(n)) < 0) break;
}
}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET6, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(uint16_t(strtol(argv[1], nullptr, 10)));
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
        perror("bind");
        return 1;
    }
    listen(listener, 128);
    for (;;) {
        sockaddr_in6 peer{};
        socklen_t size = sizeof peer;
        int connection = accept(listener, reinterpret_cast<sockaddr*>(&peer), &size);
        if (connection < 0) {
            sleep(1);  // no descriptor is left: perhaps later
            continue;
        }
        if (!IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr)) {
            close(connection);
            continue;
        }
        std::thread([connection] {
            serve(connection);
            close(connection);
        }).detach();
    }
}
