// echoload - many echo clients at once, from one process and one thread: how much does a server do, and who waits how
// long?
//
//   echoload [options] host [port]      default port 8990; exit status 0 only if every request was answered
//
// Look for: ss -ltn shows who waits in the server's accept queue. A SYN that finds it full is dropped and comes again
// after 1 s, then 2, then 4: that is the jump between p95 and max, and the count of retried SYNs says so. In connect
// mode the client closes first and every connection leaves a TIME_WAIT here, on its port, for a minute.
#include "../tcp.hpp"

#include <sys/epoll.h>
#include <sys/resource.h>

#include <fstream>
#include <memory>
#include <numeric>

using std::string;
using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

// ---- how long things took -----------------------------------------------------------------------------------------

// A log-linear histogram: 64 buckets to every power of two of nanoseconds, so that a value is known within 1.6 %. Added
// bucket by bucket, the histograms of several hosts are the histogram of all; percentiles cannot be added.
class Histogram {
    static constexpr size_t last = 64 * 37 - 1;
    std::vector<uint64_t> counts_ = std::vector<uint64_t>(last + 1);
    uint64_t max_ = 0;

    static size_t bucket(uint64_t value) {
        int power = value < 64 ? 0 : 57 - __builtin_clzll(value);  // value >> power has 7 binary digits
        return std::min(last, size_t(64 * power + (value >> power)));
    }

public:
    static uint64_t lowest(size_t i) { return i < 64 ? i : (64 + i % 64) << (i / 64 - 1); }
    const std::vector<uint64_t>& counts() const { return counts_; }
    uint64_t max() const { return max_; }
    uint64_t count() const { return std::accumulate(counts_.begin(), counts_.end(), uint64_t(0)); }
    void add(uint64_t value, uint64_t count) { counts_[bucket(value)] += count, max_ = std::max(max_, value); }
    void add(tcp::Duration time) { add(uint64_t(std::max<int64_t>(0, time.count())), 1); }
    // What a share of `part` of the values does not exceed, in nanoseconds.
    uint64_t quantile(double part) const {
        uint64_t below = 0, wanted = uint64_t(std::ceil(part * double(count())));
        for (size_t i = 0; i <= last; ++i)
            if ((below += counts_[i]) >= wanted && below) return std::min(max_, (lowest(i) + lowest(i + 1)) / 2);
        return 0;
    }
};

struct Results {
    std::vector<std::pair<string, Histogram>> times{{"connect", {}}, {"wait", {}}, {"total", {}}};
    Histogram &connect = times[0].second, &wait = times[1].second, &total = times[2].second;
    uint64_t requests = 0, bytes = 0, retried_syns = 0, failed = 0;
    size_t open = 0, most_open = 0;
    std::map<string, uint64_t> errors;
    double elapsed = 0, processor = 0;  // seconds; share of one processor
    double per_second(uint64_t n) const { return elapsed > 0 ? double(n) / elapsed : 0; }
};

// ---- what is asked for --------------------------------------------------------------------------------------------

enum class Mode { connect, request, stream, idle };

struct Plan {
    Mode mode = Mode::connect;
    string mode_name = "connect";
    tcp::Address server;
    uint64_t clients = 1, requests = UINT64_MAX, size = 0;
    tcp::Duration length{}, hold{}, warm_up{}, deadline = std::chrono::seconds(10);
    bool framed = false;  // for TCPmechod --framed: 4 bytes length, then the rest, in two writes
    tcp::Socket_options options;
};

// ---- the clients --------------------------------------------------------------------------------------------------

struct Client {
    enum { closed, connecting, waiting, holding } state = closed;
    tcp::Descriptor socket;
    uint64_t sent = 0, received = 0;
    Time began, asked;   // of connect(), or of the request; of send()
    size_t pattern = 0;  // where its bytes start in the pattern: no two neighbours send the same
    Time alarm{};        // holds, or pauses after a failure, until then
};

class Load {
    const Plan& plan_;
    Results& results_;
    const bool loopback_ = plan_.server.any.sa_family == AF_INET && ntohl(plan_.server.v4.sin_addr.s_addr) >> 24 == 127;
    std::vector<Client> clients_;
    std::multimap<Time, Client*> alarms_;
    tcp::Descriptor epoll_{epoll_create1(EPOLL_CLOEXEC)};
    string pattern_, message_, buffer_ = string(256 * 1024, '\0');
    uint64_t started_ = 0, connects_ = 0;
    Time start_, counts_from_, end_, now_;

    // Counted after the warm-up only.
    void measure(Histogram& histogram, tcp::Duration time) {
        if (now_ >= counts_from_) histogram.add(time);
    }

    void interest(Client& client, bool write, int operation = EPOLL_CTL_MOD) {
        epoll_event event{write ? EPOLLIN | EPOLLOUT : EPOLLIN, {&client}};
        if (epoll_ctl(epoll_.fd(), operation, client.socket.fd(), &event)) tcp::fail("epoll_ctl");
    }
    void close(Client& client) {
        if (client.state != Client::closed) --results_.open;
        client.socket.close();
        client.state = Client::closed;
    }
    void later(Client& client, tcp::Duration pause) { alarms_.emplace(client.alarm = now_ + pause, &client); }

    // How often the kernel repeated the SYN. Its first repetition comes after a second, so nobody else need be asked.
    void count_retried_syns(Client& client) {
        tcp_info info{};
        socklen_t size = sizeof info;
        if (now_ - client.began > std::chrono::milliseconds(500) &&
            !getsockopt(client.socket.fd(), IPPROTO_TCP, TCP_INFO, &info, &size))
            results_.retried_syns += info.tcpi_total_retrans;
    }

    void fail(Client& client, const string& kind) {
        if (client.state == Client::connecting) count_retried_syns(client);
        ++results_.errors[kind], ++results_.failed;
        close(client);
        later(client, std::chrono::milliseconds(10));  // a server that refuses is not asked in a loop
    }
    void fail(Client& client, int error) {
        fail(client, error == ECONNREFUSED                   ? "refused"
                     : error == ECONNRESET || error == EPIPE ? "reset"
                     : error == ETIMEDOUT                    ? "timeout"
                     : error == EADDRNOTAVAIL                ? "no port left"
                     : error == EMFILE || error == ENFILE    ? "no descriptor left"
                                                             : strerror(error));
    }

    // connect() tries every even port before the first odd one. With all 14,000 even ones in TIME_WAIT, from a fast
    // server after half a second, the search takes longer than the echo. So on loopback the source address goes
    // round, .1 to .9.
    void bind_source(Client& client) {
        int source = int(connects_++ / 1000 % 9) + 1, one = 1;
        if (source == 1 || !loopback_) return;  // the kernel's choice
        setsockopt(client.socket.fd(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
                   sizeof one);  // connect() finds the port
        auto address = *tcp::numeric_address("127.0.0." + std::to_string(source), 0);
        if (bind(client.socket.fd(), &address.any, address.size())) tcp::fail("bind " + address.text());
    }

    void begin(Client& client, int sources = 9) {
        now_ = client.began = Clock::now();
        if (sources == 9) ++started_;
        client.socket =
            tcp::Descriptor(socket(plan_.server.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (client.socket.fd() < 0) return fail(client, errno);
        for (auto& [option, value] : plan_.options) tcp::set_option(client.socket, *option, value);
        bind_source(client);
        if (::connect(client.socket.fd(), &plan_.server.any, plan_.server.size()) && errno != EINPROGRESS) {
            if (errno == EADDRNOTAVAIL && loopback_ && sources > 1) return connects_ += 999, begin(client, sources - 1);
            return fail(client, errno);
        }
        client.state = Client::connecting;
        results_.most_open = std::max(results_.most_open, ++results_.open);
        client.sent = client.received = 0;
        write(client);  // over loopback the handshake is over before connect() returns
        if (client.state != Client::closed) interest(client, client.sent < plan_.size, EPOLL_CTL_ADD);
    }
    void ask_again(Client& client) {
        ++started_;
        client.state = Client::waiting;
        client.sent = client.received = 0;
        now_ = client.began = client.asked = Clock::now();
        write(client);
        if (client.sent < plan_.size && client.state == Client::waiting) interest(client, true);
    }

    // The next step after what took its time, or the end of this client.
    void go_on(Client& client) {
        if (client.state == Client::holding && plan_.mode != Mode::request) close(client);
        if (started_ >= plan_.requests) return close(client);
        if (client.state == Client::closed)
            begin(client);
        else
            ask_again(client);
    }
    void answered(Client& client) {
        now_ = Clock::now();
        measure(results_.wait, now_ - client.asked);
        measure(results_.total, now_ - client.began);
        if (now_ >= counts_from_) ++results_.requests;
        client.state = Client::holding;
        if (plan_.mode == Mode::idle) return;  // until the end of the run
        if (plan_.hold.count())
            later(client, plan_.hold);
        else
            go_on(client);
    }

    // The bytes of the client's request from `at` on, at most a buffer full.
    const char* bytes(const Client& client, uint64_t at) const {
        return plan_.framed ? &message_[at] : &pattern_[(client.pattern + at) % 251];
    }
    // What the kernel takes. In stream mode, our FIN after the last byte.
    void write(Client& client) {
        while (client.sent < plan_.size) {
            uint64_t most = plan_.framed && client.sent < 4 ? 4 - client.sent : buffer_.size();
            ssize_t n = send(client.socket.fd(), bytes(client, client.sent), std::min(plan_.size - client.sent, most),
                             MSG_NOSIGNAL);
            if (n < 0 && errno == EAGAIN) return;
            if (n < 0) return fail(client, errno);
            if (client.state == Client::connecting) connected(client);
            client.sent += n;
            if (plan_.mode == Mode::stream) break;  // and read before the next
        }
        if (plan_.mode == Mode::stream && client.sent == plan_.size) shutdown(client.socket.fd(), SHUT_WR);
    }
    void connected(Client& client) {
        client.state = Client::waiting;
        now_ = client.asked = Clock::now();
        measure(results_.connect, now_ - client.began);
        count_retried_syns(client);
    }
    void read(Client& client) {
        ssize_t n = recv(client.socket.fd(), buffer_.data(), buffer_.size(), 0);
        if (n < 0) return errno == EAGAIN || errno == EINTR ? void() : fail(client, errno);
        if (n == 0)
            return client.received == plan_.size && plan_.mode == Mode::stream ? answered(client)
                                                                               : fail(client, "closed early");
        if (client.received + n > client.sent || memcmp(buffer_.data(), bytes(client, client.received), n))
            return fail(client, "wrong bytes");
        client.received += n;
        if (now_ >= counts_from_) results_.bytes += n;
        if (client.received == plan_.size && plan_.mode != Mode::stream) answered(client);
    }

    void event(Client& client, uint32_t events) {
        if (client.state == Client::closed) return;
        if (client.state == Client::connecting && events & (EPOLLERR | EPOLLHUP)) {
            int error = 0;
            socklen_t size = sizeof error;
            getsockopt(client.socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
            return fail(client, error);
        }
        if (events & EPOLLOUT) {
            write(client);
            if (client.state != Client::closed && client.sent == plan_.size) interest(client, false);
        }
        if (client.state != Client::closed && events & ~EPOLLOUT) read(client);
    }

    void fire_alarms() {
        while (!alarms_.empty() && alarms_.begin()->first <= now_) {
            auto [time, client] = *alarms_.begin();
            alarms_.erase(alarms_.begin());
            if (client->alarm == time) go_on(*client);  // else it failed while it held, and has a later one
        }
    }
    void fail_late() {
        for (auto& client : clients_)
            if ((client.state == Client::connecting || client.state == Client::waiting) &&
                now_ - client.began > plan_.deadline)
                fail(client, ETIMEDOUT);
    }
    // Until something happens, at most until `end`. epoll_wait() counts in milliseconds, a hold may be shorter.
    int wait(Time end, epoll_event* events, int size) {
        if (!alarms_.empty()) end = std::min(end, alarms_.begin()->first);
        auto left = std::max(tcp::Duration(0), tcp::Duration(end - Clock::now()));
        timespec time{left.count() / 1000000000, left.count() % 1000000000};
        pollfd readable{epoll_.fd(), POLLIN, 0};
        if (!alarms_.empty()) ppoll(&readable, 1, &time, nullptr);
        int ready = epoll_wait(epoll_.fd(), events, size, alarms_.empty() ? int(left.count() / 1000000 + 1) : 0);
        now_ = Clock::now();
        return ready;
    }

public:
    Load(const Plan& plan, Results& results)
        : plan_(plan), results_(results), clients_(std::min(plan.clients, plan.requests)) {
        for (size_t i = 0; i < buffer_.size() + 251; ++i) pattern_ += char(i % 251);
        uint32_t length = htonl(uint32_t(plan.size - 4));
        if (plan.framed) message_ = string((char*)&length, 4) + string(plan.size - 4, 'm');
        for (size_t i = 0; i < clients_.size(); ++i) clients_[i].pattern = i % 251;
    }

    // To the end of the plan, or until *stop. `progress` is called ten times a second.
    void run(const volatile sig_atomic_t& stop, const std::function<void(tcp::Duration)>& progress) {
        start_ = now_ = Clock::now();
        counts_from_ = start_ + plan_.warm_up;
        Time end = start_ + plan_.length, tick = start_;
        for (auto& client : clients_) begin(client);
        for (bool last = false; !last && now_ < end && (results_.open > 0 || !alarms_.empty());) {
            epoll_event events[256];
            last = stop;  // once more, for what has come already
            int ready = wait(last ? now_ : std::min(end, tick), events, 256);
            for (int i = 0; i < ready; ++i) event(*static_cast<Client*>(events[i].data.ptr), events[i].events);
            fire_alarms();
            if (now_ < tick) continue;
            tick = now_ + std::chrono::milliseconds(100);
            fail_late();
            progress(now_ - start_);
        }
        for (auto& client : clients_) {
            if (client.state == Client::connecting) count_retried_syns(client);
            bool asked = client.state == Client::connecting || client.state == Client::waiting;
            if (asked && plan_.requests != UINT64_MAX)
                ++results_.errors["unanswered"], ++results_.failed;  // so many were wanted
        }
        results_.elapsed = std::chrono::duration<double>(now_ - std::min(now_, counts_from_)).count();
    }
};

// ---- what comes out -----------------------------------------------------------------------------------------------

static string human(uint64_t ns) {
    char text[32];
    const char* how = ns < 10'000'000 ? "%.1f us" : ns < 10'000'000'000 ? "%.1f ms" : "%.2f s";
    snprintf(text, sizeof text, how, double(ns) / (ns < 10'000'000 ? 1e3 : ns < 10'000'000'000 ? 1e6 : 1e9));
    return text;
}

static void print_text(const Plan& plan, const Results& r) {
    if (r.elapsed > 0) {
        printf("%s: %lu clients, %lu bytes, hold %s, server %s\n", plan.mode_name.c_str(), plan.clients, plan.size,
               human(plan.hold.count()).c_str(), plan.server.text().c_str());
        printf("%lu requests in %.3f s: %.1f per second, %.1f MB/s each way; at most %zu connections open\n",
               r.requests, r.elapsed, r.per_second(r.requests), r.per_second(r.bytes) / 1e6, r.most_open);
    }
    printf("%-8s %10s %11s %11s %11s %11s\n", "", "count", "p50", "p95", "p99", "max");
    for (auto& [name, h] : r.times)
        printf("%-8s %10lu %11s %11s %11s %11s\n", name.c_str(), h.count(), human(h.quantile(0.5)).c_str(),
               human(h.quantile(0.95)).c_str(), human(h.quantile(0.99)).c_str(), human(h.max()).c_str());
    for (auto& [kind, count] : r.errors) printf("failed: %lu %s\n", count, kind.c_str());
    printf("retried SYNs: %lu\n", r.retried_syns);
    if (r.processor > 0)
        printf("echoload used %.0f %% of one processor%s\n", 100 * r.processor,
               r.processor > 0.9 ? ": it may be what limits" : "");
}

static void print_json(const Plan& plan, const Results& r) {
    printf(
        "{\"mode\":\"%s\",\"server\":\"%s\",\"clients\":%lu,\"size\":%lu,\"hold_s\":%.6f,\"elapsed_s\":%.6f,"
        "\"requests\":%lu,\"per_s\":%.1f,\"MBps\":%.2f,"
        "\"most_open\":%zu,\"retried_syns\":%lu,\"client_cpu\":%.3f,\"failed\":%lu,\"errors\":{",
        plan.mode_name.c_str(), plan.server.text().c_str(), plan.clients, plan.size, double(plan.hold.count()) / 1e9,
        r.elapsed, r.requests, r.per_second(r.requests), r.per_second(r.bytes) / 1e6, r.most_open, r.retried_syns,
        r.processor, r.failed);
    const char* comma = "";
    for (auto& [kind, count] : r.errors) printf("%s\"%s\":%lu", std::exchange(comma, ","), kind.c_str(), count);
    printf("}");
    for (auto& [name, h] : r.times) {
        printf(
            ",\"%s\":{\"count\":%lu,\"p50_us\":%.1f,\"p95_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"buckets_ns\":[",
            name.c_str(), h.count(), double(h.quantile(0.5)) / 1e3, double(h.quantile(0.95)) / 1e3,
            double(h.quantile(0.99)) / 1e3, double(h.max()) / 1e3);
        comma = "";
        for (size_t i = 0; i < h.counts().size(); ++i)
            if (h.counts()[i]) printf("%s[%lu,%lu]", std::exchange(comma, ","), Histogram::lowest(i), h.counts()[i]);
        printf("]}");
    }
    printf("}\n");
}

static void print_csv(const Plan& plan, const Results& r) {
    printf("mode,clients,size,hold_s,elapsed_s,requests,per_s,MBps,failed,retried_syns,client_cpu");
    for (auto& [name, h] : r.times)
        printf(",%s_p50_us,%s_p95_us,%s_p99_us,%s_max_us", name.c_str(), name.c_str(), name.c_str(), name.c_str());
    printf("\n%s,%lu,%lu,%.6f,%.6f,%lu,%.1f,%.2f,%lu,%lu,%.3f", plan.mode_name.c_str(), plan.clients, plan.size,
           double(plan.hold.count()) / 1e9, r.elapsed, r.requests, r.per_second(r.requests),
           r.per_second(r.bytes) / 1e6, r.failed, r.retried_syns, r.processor);
    for (auto& [name, h] : r.times)
        printf(",%.1f,%.1f,%.1f,%.1f", double(h.quantile(0.5)) / 1e3, double(h.quantile(0.95)) / 1e3,
               double(h.quantile(0.99)) / 1e3, double(h.max()) / 1e3);
    printf("\n");
}

// A line "NAME LOWEST-NS COUNT" for each bucket, the greatest value with count 0: so files can be put together with
// cat.
static void save(const Results& results, const string& path) {
    std::ofstream file(path);
    for (auto& [name, h] : results.times) {
        for (size_t i = 0; i < h.counts().size(); ++i)
            if (h.counts()[i]) file << name << ' ' << Histogram::lowest(i) << ' ' << h.counts()[i] << '\n';
        file << name << ' ' << h.max() << " 0\n";
    }
    if (!file.flush()) tcp::fail("write " + path);
}
static void merge(Results& results, const string& path) {
    std::ifstream file(path);
    if (!file) tcp::fail("open " + path);
    string name;
    for (uint64_t value, count; file >> name;) {
        auto is_it = [&](auto& named) { return named.first == name; };
        auto found = std::find_if(results.times.begin(), results.times.end(), is_it);
        if (found == results.times.end() || !(file >> value >> count))
            throw std::runtime_error(path + " is not a histogram that --histogram wrote");
        found->second.add(value, count);
    }
}

// ---- the command line ---------------------------------------------------------------------------------------------

// A load generator aimed at somebody else's server by a slip of the keyboard is an attack. Loopback, private,
// link-local.
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

static Mode mode_of(const string& name) {
    for (auto& [mode, text] : {std::pair(Mode::connect, "connect"),
                               {Mode::request, "request"},
                               {Mode::stream, "stream"},
                               {Mode::idle, "idle"}})
        if (name == text) return mode;
    throw tcp::Usage_error("--mode must be connect, request, stream or idle, not " +
                           tcp::printable(name.data(), name.size()));
}

static void need_descriptors(uint64_t clients) {
    rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (clients + 16 > limit.rlim_max)
        throw tcp::Usage_error("--clients: the limit of open files (ulimit -Hn) is " + std::to_string(limit.rlim_max));
}

static volatile sig_atomic_t stopped = 0;

static void run(const Plan& plan, Results& results) {
    for (int number : {SIGINT, SIGTERM}) signal(number, [](int) { stopped = 1; });
    bool terminal = isatty(STDERR_FILENO), full = false;
    Load load(plan, results);
    load.run(stopped, [&](tcp::Duration elapsed) {
        if (plan.mode == Mode::idle && !std::exchange(full, full || results.wait.count() == plan.clients) && full)
            tcp::log("waiting", "connections=%zu all answered", results.open);
        if (terminal)
            dprintf(STDERR_FILENO, "\r%.1f s: %lu requests, %zu connections open, %lu failed ",
                    double(elapsed.count()) / 1e9, results.requests, results.open, results.failed);
    });
    if (terminal) dprintf(STDERR_FILENO, "\r\033[K");
    rusage used;
    getrusage(RUSAGE_SELF, &used);
    results.processor = (double(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                         double(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6) /
                        results.elapsed;
}

int main(int argc, char** argv) try {
    Plan plan;
    Results results;
    bool anybody = false;
    string format = "text", histogram;
    std::vector<string> merged;
    auto operands = tcp::parse_options(
        argc, argv, "[options] host [port]",
        {{0, "mode", "MODE", "connect, request, stream or idle (connect)",
          [&](auto v) { plan.mode = mode_of(plan.mode_name = v); }},
         {0, "clients", "N", "so many at once (1)",
          [&](auto v) { plan.clients = tcp::number("--clients", v, "1", "100000"); }},
         {0, "requests", "N", "end after so many, all clients together",
          [&](auto v) { plan.requests = tcp::quantity("--requests", v, "1", "1000000000"); }},
         {0, "for", "D", "end after D (5s; with --requests 10m)",
          [&](auto v) { plan.length = tcp::duration("--for", v, "10ms", "1h"); }},
         {0, "size", "N", "bytes of a request (64; stream 64m)",
          [&](auto v) { plan.size = tcp::bytes("--size", v, "1", "100g"); }},
         {0, "framed", nullptr, "messages for TCPmechod --framed, length and bytes in two writes",
          [&](auto) { plan.framed = true; }},
         {0, "hold", "D", "stay connected for D after each echo (0)",
          [&](auto v) { plan.hold = tcp::duration("--hold", v, "0", "10m"); }},
         {0, "warm-up", "D", "count nothing in the first D (0)",
          [&](auto v) { plan.warm_up = tcp::duration("--warm-up", v, "0", "10m"); }},
         {0, "deadline", "D", "a request not answered after D failed (10s)",
          [&](auto v) { plan.deadline = tcp::duration("--deadline", v, "1ms", "10m"); }},
         {0, "format", "F", "text, json or csv", [&](auto v) { format = v; }},
         {0, "histogram", "FILE", "write the histograms to FILE", [&](auto v) { histogram = v; }},
         {0, "merge", "FILE", "add FILE's histograms to ours; without host: print them",
          [&](auto v) { merged.push_back(v); }},
         {0, "yes", nullptr, "the address is neither loopback nor private, and I may", [&](auto) { anybody = true; }}},
        0, 2, &plan.options);
    if (operands.empty() && merged.empty()) throw tcp::Usage_error("a host is missing; --help shows the options");
    if (plan.size == 0) plan.size = plan.mode == Mode::stream ? 64 << 20 : 64;
    if (plan.length.count() == 0) plan.length = std::chrono::seconds(plan.requests == UINT64_MAX ? 5 : 600);
    if (plan.mode == Mode::idle) plan.requests = plan.clients;
    if (plan.framed && (plan.mode == Mode::stream || plan.size > 16 << 20))
        throw tcp::Usage_error("--framed is for messages of at most 16m, and not for stream mode");
    if (plan.framed) plan.size += 4;
    if (format != "text" && format != "json" && format != "csv")
        throw tcp::Usage_error("--format must be text, json or csv");
    if (!operands.empty()) {
        plan.server =
            tcp::resolve(operands[0], operands.size() > 1 ? tcp::number("port", operands[1], "1", "65535") : 8990)
                .front();
        if (!anybody && !is_ours(plan.server))
            throw tcp::Usage_error(plan.server.text() +
                                   " is neither loopback nor private: --yes if you may put load on it");
        need_descriptors(plan.clients);
        run(plan, results);
    }
    for (auto& path : merged) merge(results, path);
    if (!histogram.empty()) save(results, histogram);
    (format == "json" ? print_json : format == "csv" ? print_csv : print_text)(plan, results);
    if (fflush(stdout)) tcp::fail("write stdout");
    return results.failed ? 1 : 0;
} catch (const std::exception& error) { return tcp::report(error); }
