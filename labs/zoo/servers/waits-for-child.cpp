// waits-for-child - forks, and waits for the child before it accepts the next client.
// Asked as: "I fork for every client, why can only one connect at a time?"
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

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
    for (;;) {
        int connection = accept(listener, nullptr, nullptr);
        if (connection < 0) continue;
        if (fork() == 0) {
            close(listener);
            serve(connection);
            _exit(0);
        }
        close(connection);
        wait(nullptr);
    }
}
