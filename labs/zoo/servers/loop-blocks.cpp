// loop-blocks - an event loop with poll(), and a send() that may wait for one client while all others do.
// Asked as: "One slow client freezes my select() server."
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <vector>

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(uint16_t(strtol(argv[1], nullptr, 10)));
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
        perror("bind");
        return 1;
    }
    listen(listener, 128);
    std::vector<pollfd> all{{listener, POLLIN, 0}};
    for (;;) {
        poll(all.data(), all.size(), -1);
        if (all[0].revents) {
            int connection = accept(listener, nullptr, nullptr);
            if (connection >= 0) all.push_back({connection, POLLIN, 0});
            else sleep(1);  // no descriptor is left: perhaps later
        }
        for (size_t i = 1; i < all.size(); ++i) {
            if (!all[i].revents) continue;
            char buffer[4096];
            ssize_t n = read(all[i].fd, buffer, sizeof buffer);
            if (n <= 0 || write(all[i].fd, buffer, size_t(n)) < 0) {
                close(all[i].fd);
                all.erase(all.begin() + long(i--));
            }
        }
    }
}
