// enter - a command on a host of a lab that `labs/run --keep` holds, with every right over the three hosts and no
// other.
//
//   enter -- PID HOST COMMAND...    PID: the process that holds the hosts; `labs/run --enter HOST` knows it
//
// A host here is a network namespace, made by an ordinary user inside a user namespace (namespaces(7)). nsenter(1) gets
// there too, but loses the capabilities on the way: they have to be made ambient before exec (capabilities(7)).
#include "../tcp.hpp"

#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static tcp::Descriptor namespace_file(const std::string& path) {
    tcp::Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.fd() < 0) tcp::fail("open " + path);
    return file;
}

static bool same_file(const char* left, const std::string& right) {
    struct stat l {
    }, r{};
    return !stat(left, &l) && !stat(right.c_str(), &r) && l.st_dev == r.st_dev && l.st_ino == r.st_ino;
}

// What exec would take away from everybody but root: all capabilities of this user namespace.
static void keep_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[2]{};
    if (syscall(SYS_capget, &header, sets)) tcp::fail("capget");
    for (auto& set : sets) set.inheritable = set.permitted;
    if (syscall(SYS_capset, &header, sets)) tcp::fail("capset");
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}

int main(int argc, char** argv) try {
    auto operands = tcp::parse_options(argc, argv, "-- PID HOST COMMAND...", {}, 3, INT_MAX);
    std::string process = "/proc/" + std::to_string(tcp::number("PID", operands[0], "1", "4194304")),
                host = operands[1];
    if (host.find('/') != host.npos)
        throw tcp::Usage_error("HOST must be a name, not " + tcp::printable(host.data(), host.size()));
    tcp::Descriptor user = namespace_file(process + "/ns/user"), mounts = namespace_file(process + "/ns/mnt"),
                    pids = namespace_file(process + "/ns/pid_for_children"),
                    network = namespace_file(process + "/root/run/netns/" + host), here = namespace_file(".");
    if (!same_file("/proc/self/ns/user", process + "/ns/user")) {
        if (setns(user.fd(), CLONE_NEWUSER)) tcp::fail("setns user");
        keep_capabilities();
    }
    if (setns(network.fd(), CLONE_NEWNET)) tcp::fail("setns " + host);
    if (setns(pids.fd(), CLONE_NEWPID)) tcp::fail("setns pid");
    if (setns(mounts.fd(), CLONE_NEWNS)) tcp::fail("setns mount");
    if (fchdir(here.fd())) tcp::fail("fchdir");  // a new mount namespace starts at its root directory
    pid_t child = fork();                        // the pid namespace is for children only
    if (child < 0) tcp::fail("fork");
    if (child == 0) {
        execvp(operands[2], argv + argc - operands.size() + 2);
        dprintf(STDERR_FILENO, "enter: %s: %s\n", operands[2], strerror(errno));
        _exit(127);
    }
    signal(SIGINT, SIG_IGN);  // Ctrl-C is for the command
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
} catch (const std::exception& error) { return tcp::report(error); }
