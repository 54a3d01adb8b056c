// echoload - many echo clients at once, from one process and one thread (load.hpp): how much does a server do, and who
// waits how long?
//
//   echoload [options] host [port]      default port 8990; exit status 0 only if every request was answered
//
// Look for: ss -ltn shows who waits in the server's accept queue. A SYN that finds it full is dropped and comes again
// after 1 s, then 2, then 4: that is the jump between p95 and max, and the count of retried SYNs says so. In connect
// mode the client closes first and every connection leaves a TIME_WAIT here, on its port, for a minute.
#include "report.hpp"

#include <sys/resource.h>

static Plan plan;
static Results results;
static bool somebody_elses = false;
static std::string format = "text", histogram, each;
static std::vector<std::string> merged;
static volatile sig_atomic_t stopped = 0;

// Loopback, private, link-local: whoever aims at another by a slip of the keyboard has attacked somebody.
static bool is_ours(const tcp::Address& address) {
    if (address.any.sa_family == AF_INET6) {
        auto* b = address.v6.sin6_addr.s6_addr;
        return IN6_IS_ADDR_LOOPBACK(&address.v6.sin6_addr) || (b[0] & 0xfe) == 0xfc ||
               (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
    }
    uint32_t ip = ntohl(address.v4.sin_addr.s_addr);
    return ip >> 24 == 127 || ip >> 24 == 10 || ip >> 20 == (172 << 4 | 1) || ip >> 16 == (192 << 8 | 168) ||
           ip >> 16 == (169 << 8 | 254);
}

// The first IPv4 address if there is one: on loopback only there is a choice of sources.
static tcp::Address server_address(const std::string& host, int port) {
    auto found = tcp::server_addresses(host, port);
    auto is_v4 = [](auto& address) { return address.any.sa_family == AF_INET; };
    auto best = std::find_if(found.begin(), found.end(), is_v4);
    auto address = best == found.end() ? found.front() : *best;
    if (somebody_elses || is_ours(address)) return address;
    throw tcp::Usage_error(address.text() + " is neither loopback nor private: --yes if you may put load on it");
}

static void need_descriptors(uint64_t clients) {
    rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (clients + 16 > limit.rlim_max)
        throw tcp::Usage_error("--clients: the limit of open files (ulimit -Hn) is " + std::to_string(limit.rlim_max));
}

static double processor_time() {
    rusage used;
    getrusage(RUSAGE_SELF, &used);
    return double(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           double(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

// Ten times a second.
static void progress(tcp::Duration elapsed) {
    static const bool terminal = isatty(STDERR_FILENO);
    static bool all_answered = false;
    if (plan.mode == Mode::idle && !all_answered && results.wait.count() == plan.clients) {
        all_answered = true;
        tcp::log("waiting", "connections=%zu all answered", results.open);
    }
    if (!terminal) return;
    dprintf(STDERR_FILENO, "\r%.1f s: %lu requests, %zu connections open, %lu failed\033[K\r",
            double(elapsed.count()) / 1e9, results.requests, results.open, results.failed);
}

static void run() {
    for (int number : {SIGINT, SIGTERM}) signal(number, [](int) { stopped = 1; });
    Load(plan, results).run(stopped, progress);
    if (isatty(STDERR_FILENO)) dprintf(STDERR_FILENO, "\033[K");
    results.processor = processor_time() / results.elapsed;
}

static void set_mode(const std::string& name) {
    static const std::map<std::string, Mode> modes = {
        {"connect", Mode::connect}, {"request", Mode::request}, {"stream", Mode::stream}, {"idle", Mode::idle}};
    auto found = modes.find(name);
    if (found == modes.end())
        throw tcp::Usage_error("--mode must be connect, request, stream or idle, not " + tcp::printable(name));
    plan.mode = found->second;
    plan.mode_name = name;
}

static std::vector<tcp::Option> option_table() {
    return {
        {0, "mode", "MODE", "connect, request, stream or idle (connect)", set_mode},
        {0, "clients", "N", "so many at once (1)",
         [](auto v) { plan.clients = tcp::number("--clients", v, "1", "100000"); }},
        {0, "requests", "N", "end after so many, all clients together",
         [](auto v) { plan.requests = tcp::quantity("--requests", v, "1", "1000000000"); }},
        {0, "for", "D", "end after D (5s; with --requests 10m)",
         [](auto v) { plan.length = tcp::duration("--for", v, "10ms", "1h"); }},
        {0, "size", "N", "bytes of a request (64; stream 64m)",
         [](auto v) { plan.size = tcp::bytes("--size", v, "1", "100g"); }},
        {0, "hold", "D", "stay connected for D after each echo (0)",
         [](auto v) { plan.hold = tcp::duration("--hold", v, "0", "10m"); }},
        {0, "warm-up", "D", "count nothing in the first D (0)",
         [](auto v) { plan.warm_up = tcp::duration("--warm-up", v, "0", "10m"); }},
        {0, "deadline", "D", "a request not answered after D failed (10s)",
         [](auto v) { plan.deadline = tcp::duration("--deadline", v, "1ms", "10m"); }},
        {0, "format", "F", "text, json or csv", [](auto v) { format = v; }},
        {0, "histogram", "FILE", "write the histograms to FILE", [](auto v) { histogram = v; }},
        {0, "each", "FILE", "write the times of each connection", [](auto v) { each = v; }},
        {0, "merge", "FILE", "add FILE's histograms; without host: print them", [](auto v) { merged.push_back(v); }},
        tcp::socket_options_go_to(plan.options),
        {0, "yes", nullptr, "the address is not ours, and I may", [](auto) { somebody_elses = true; }},
    };
}

// True if there is a server to put load on.
static bool parse(int argc, char** argv) {
    auto operands = tcp::parse_options(argc, argv, "[options] host [port]", option_table(), 0, 2);
    if (operands.empty() && merged.empty()) throw tcp::Usage_error("a host is missing; --help shows the options");
    if (format != "text" && format != "json" && format != "csv")
        throw tcp::Usage_error("--format must be text, json or csv");
    if (plan.size == 0) plan.size = plan.mode == Mode::stream ? 64 << 20 : 64;
    if (plan.length.count() == 0) plan.length = std::chrono::seconds(plan.requests == UINT64_MAX ? 5 : 600);
    if (plan.mode == Mode::idle) plan.requests = plan.clients;
    plan.each = !each.empty();
    if (operands.empty()) return false;
    int port = operands.size() > 1 ? tcp::number("port", operands[1], "1", "65535") : 8990;
    plan.server = server_address(operands[0], port);
    return true;
}

int main(int argc, char** argv) try {
    bool measures = parse(argc, argv);
    tcp::open_standard_descriptors();
    if (measures) {
        need_descriptors(plan.clients);
        run();
    }
    for (auto& path : merged) merge(results, path);
    if (!histogram.empty()) save(results, histogram);
    if (!each.empty()) save_each(results, each);
    if (format == "text") print_text(plan, results);
    if (format == "json") print_json(plan, results);
    if (format == "csv") print_csv(plan, results);
    if (fflush(stdout)) tcp::fail("write stdout");
    return results.failed ? 1 : 0;
} catch (const std::exception& error) { return tcp::report(error); }
