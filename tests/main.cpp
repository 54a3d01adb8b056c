// main.cpp - the one main of all tests.
#define CATCH_CONFIG_RUNNER
#include "catch.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>

int main(int argc, char** argv) {
    int fd;
    while ((fd = open("/dev/null", O_RDWR)) < 3) {}  // started with closed stdin? then no pipe of ours becomes number 0
    close_range(3, ~0U, 0);  // what the caller's shell had open would be everybody's, and 3 nobody's first socket
    for (int each : {SIGINT, SIGQUIT})
        signal(each, SIG_DFL);         // a shell's background ignores them, and so would all we start
    signal(SIGPIPE, SIG_IGN);          // a peer or a program that is gone is a return value here
    prctl(PR_SET_CHILD_SUBREAPER, 1);  // a killed server's children become ours: support.hpp ends and reaps them
    rlimit descriptors{};
    getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
    return Catch::Session().run(argc, argv);
}
