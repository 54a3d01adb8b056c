// enter - a command on a host of a lab that `labs/run --keep` holds, with every right over the three hosts and no other.
//
//   enter -- PID HOST COMMAND...    PID: the process that holds the hosts; `labs/run --enter HOST` knows it
//
// Who has made a namespace decides what is run there, under any name; so the process and its user namespace have to be the
// caller's own. /proc/PID is opened once: whoever gets that pid later, it goes on meaning the process that was looked at.
//
// A host here is a network namespace, made by an ordinary user inside a user namespace (namespaces(7)). nsenter(1) gets
// there too, but loses the capabilities on the way: they have to be made ambient before exec (capabilities(7)).
#include "../../program.hpp"

#include <linux/capability.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <climits>
#include <csignal>

static tcp::Descriptor open_in(int directory, const std::string& path) {
    tcp::Descriptor file(openat(directory, path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.fd() < 0) tcp::fail("open " + tcp::printable(path));
    return file;
}

// Real, effective, saved and file system user of the process. The owner of /proc/PID is not that: it is root for a program
// that its user may run and not read.
static bool is_ours(int process) {
    tcp::Descriptor file = open_in(process, "status");
    char text[4096];
    ssize_t size = read(file.fd(), text, sizeof text - 1);
    if (size < 0) tcp::fail("read status");
    text[size] = 0;
    const char* line = strstr(text, "\nUid:");
    unsigned uid[4];
    if (!line || sscanf(line, "\nUid: %u %u %u %u", &uid[0], &uid[1], &uid[2], &uid[3]) != 4) return false;
    return std::all_of(uid, uid + 4, [](unsigned id) { return id == geteuid(); });
}

static bool is_our_own_namespace(int user_namespace) {
    struct stat here, there;
    if (stat("/proc/self/ns/user", &here) || fstat(user_namespace, &there)) tcp::fail("stat ns/user");
    return here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

static bool made_by_us(int user_namespace) {
    uid_t owner = 0;
    if (ioctl(user_namespace, NS_GET_OWNER_UID, &owner)) tcp::fail("ioctl NS_GET_OWNER_UID");
    return owner == geteuid();
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
    if (host.find('/') != host.npos) throw tcp::Usage_error("HOST must be a name, not " + tcp::printable(host));
    tcp::Descriptor here = open_in(AT_FDCWD, "."), holder = open_in(AT_FDCWD, process);
    if (!is_ours(holder.fd())) throw std::runtime_error("process " + std::string(operands[0]) + " is not yours");
    tcp::Descriptor user = open_in(holder.fd(), "ns/user"), mounts = open_in(holder.fd(), "ns/mnt"),
                    pids = open_in(holder.fd(), "ns/pid_for_children"),
                    network = open_in(holder.fd(), "root/run/netns/" + host);
    if (!is_our_own_namespace(user.fd())) {
        if (!made_by_us(user.fd()))
            throw std::runtime_error("the user namespace of process " + std::string(operands[0]) + " is not yours");
        if (setns(user.fd(), CLONE_NEWUSER)) tcp::fail("setns user");
        keep_capabilities();
    }
    if (setns(network.fd(), CLONE_NEWNET)) tcp::fail("setns " + tcp::printable(host));
    if (setns(pids.fd(), CLONE_NEWPID)) tcp::fail("setns pid");
    if (setns(mounts.fd(), CLONE_NEWNS)) tcp::fail("setns mount");
    if (fchdir(here.fd())) tcp::fail("fchdir");  // a new mount namespace starts at its root directory
    pid_t child = fork();                        // the pid namespace is for children only
    if (child < 0) tcp::fail("fork");
    if (child == 0) {
        execvp(operands[2], argv + argc - operands.size() + 2);
        dprintf(STDERR_FILENO, "enter: %s: %s\n", tcp::printable(operands[2]).c_str(), strerror(errno));
        _exit(127);
    }
    signal(SIGINT, SIG_IGN);  // Ctrl-C is for the command
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
} catch (const std::exception& error) { return tcp::report(error); }
