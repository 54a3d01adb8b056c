// no-bind - threads; listen() without bind(): the kernel chooses the port.
// Asked as: "Connection refused, although listen() succeeded."
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
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

int main(int argc, char**) {
    if (argc != 2) return 2;
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    listen(listener, 128);
    for (;;) {
        int connection = accept(listener, nullptr, nullptr);
        if (connection < 0) {
            sleep(1);  // no descriptor is left: perhaps later
            continue;
        }
        std::thread([connection] {
            serve(connection);
            close(connection);
        }).detach();
    }
}
