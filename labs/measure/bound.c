// bound.c - what halfclose-server is measured against: write(2) for each chunk of a file, from memory, to one client, and
// nothing else. bound FILE CHUNK [nodelay]; chunk 0 is the whole file.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int argc, char** argv) {
    struct sockaddr_in at = {0};
    socklen_t length = sizeof at;
    struct stat file;
    int in = open(argv[1], O_RDONLY), nodelay = argc > 3, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (fstat(in, &file) || listen(listener, 1) || getsockname(listener, (struct sockaddr*)&at, &length)) return 1;
    char* data = mmap(0, file.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, in, 0);
    long chunk = atol(argv[2]) ? atol(argv[2]) : file.st_size;
    fprintf(stderr, "listening on 127.0.0.1:%d\n", ntohs(at.sin_port));
    signal(SIGPIPE, SIG_IGN);
    int client = accept(listener, 0, 0);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &nodelay, sizeof nodelay);
    for (long sent = 0, n = 1; sent < file.st_size && n > 0; sent += n)
        n = write(client, data + sent, sent + chunk < file.st_size ? chunk : file.st_size - sent);
    close(client);
    return 0;
}
