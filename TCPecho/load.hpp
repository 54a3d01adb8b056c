// load.hpp - many echo clients at once, from one thread: connect, ask, check the echo, hold, close, each in its own time.
#pragma once
#include "histogram.hpp"

#include <sys/epoll.h>

#include <csignal>

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

enum class Mode { connect, request, stream, idle };

/// What is asked for.
struct Plan {
    Mode mode = Mode::connect;
    std::string mode_name = "connect";
    tcp::Address server = *tcp::numeric_address("0.0.0.0", 0);  // none yet
    uint64_t clients = 1, requests = UINT64_MAX, size = 0;
    tcp::Duration length{}, hold{}, warm_up{}, deadline = std::chrono::seconds(10);
    std::vector<tcp::Socket_option> options;
    bool each = false;  // keep what times each connection had
};

struct Client {
    enum { closed, connecting, waiting, holding } state = closed;
    tcp::Descriptor socket;
    uint64_t sent = 0, received = 0;
    Time began, asked, answered;  // at connect(), or at the request; at send(); with the last byte
    size_t pattern = 0;           // where its bytes start in the pattern: no two neighbours send the same
    Time alarm{};                 // holds, or pauses after a failure, until then
    bool asks() const { return state == connecting || state == waiting; }
};

class Load {
    // All send lines, since there are servers that read lines: of 64 bytes, each of one letter.
    static constexpr size_t line = 64, first_letter = '!', letters = '~' - '!' + 1, period = line * letters;
    const Plan& plan_;
    Results& results_;
    const bool loopback_ = plan_.server.any.sa_family == AF_INET && ntohl(plan_.server.v4.sin_addr.s_addr) >> 24 == 127;
    std::vector<Client> clients_;
    std::multimap<Time, Client*> alarms_;
    tcp::Descriptor epoll_{epoll_create1(EPOLL_CLOEXEC)};
    std::string pattern_, buffer_ = std::string(256 * 1024, '\0');
    uint64_t started_ = 0, connects_ = 0;
    Time start_, counts_from_, now_;

public:
    Load(const Plan& plan, Results& results)
        : plan_(plan), results_(results), clients_(std::min(plan.clients, plan.requests)) {
        for (size_t i = 0; i < buffer_.size() + period; ++i)
            pattern_ += (i + 1) % line ? char(first_letter + i / line % letters) : '\n';
        for (size_t i = 0; i < clients_.size(); ++i) clients_[i].pattern = i % letters * line;
    }

    /// To the end of the plan, or until *stop. `progress` is called ten times a second.
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
            if (client.asks() && plan_.requests != UINT64_MAX) count_failure("unanswered");  // so many were wanted
        }
        results_.elapsed = std::chrono::duration<double>(now_ - std::min(now_, counts_from_)).count();
    }

private:
    // Until something happens, at most until `end`. epoll_wait() counts in milliseconds, a hold may be shorter.
    int wait(Time end, epoll_event* events, int size) {
        if (!alarms_.empty()) end = std::min(end, alarms_.begin()->first);
        auto left = std::max(tcp::Duration(0), tcp::Duration(end - Clock::now()));
        timespec time = tcp::to_timespec(left);
        pollfd readable{epoll_.fd(), POLLIN, 0};
        if (!alarms_.empty()) ppoll(&readable, 1, &time, nullptr);
        int ready = epoll_wait(epoll_.fd(), events, size, alarms_.empty() ? int(left.count() / 1000000 + 1) : 0);
        now_ = Clock::now();
        return ready;
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
        for (auto& client : clients_) {
            if (client.asks() && now_ - client.began > plan_.deadline) fail(client, ETIMEDOUT);
        }
    }

    // ---- the steps of a client --------------------------------------------------------------------------------------

    // The next one after what took its time, or the end of this client.
    void go_on(Client& client) {
        if (client.state == Client::holding && plan_.mode != Mode::request) close(client);
        if (started_ >= plan_.requests) return close(client);
        if (client.state == Client::closed) begin(client);
        else ask_again(client);
    }
    void begin(Client& client) {
        ++started_;
        now_ = client.began = Clock::now();
        for (int sources = 9; sources > 0; --sources) {
            client.socket =
                tcp::Descriptor(socket(plan_.server.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
            if (client.socket.fd() < 0) return fail(client, errno);
            for (auto& option : plan_.options) tcp::set_option(client.socket, option);
            bind_source(client);
            if (!::connect(client.socket.fd(), &plan_.server.any, plan_.server.size()) || errno == EINPROGRESS) break;
            if (errno != EADDRNOTAVAIL || !loopback_ || sources == 1) return fail(client, errno);
            connects_ += 999;  // the next source
        }
        client.state = Client::connecting;
        results_.most_open = std::max(results_.most_open, ++results_.open);
        client.sent = client.received = 0;
        write(client);  // over loopback the handshake is over before connect() returns
        if (client.state != Client::closed) interest(client, client.sent < plan_.size, EPOLL_CTL_ADD);
    }
    // connect() tries every even port before the first odd one. With all 14,000 even ones in TIME_WAIT, from a fast
    // server after half a second, the search takes longer than the echo. So on loopback the source address goes
    // round, .1 to .9.
    void bind_source(Client& client) {
        int source = int(connects_++ / 1000 % 9) + 1;
        if (source == 1 || !loopback_) return;  // the kernel's choice
        tcp::set_option(client.socket, {"bind-address-no-port", IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1});
        auto address = *tcp::numeric_address("127.0.0." + std::to_string(source), 0);  // connect() finds the port
        if (bind(client.socket.fd(), &address.any, address.size())) tcp::fail("bind " + address.text());
    }
    void connected(Client& client) {
        client.state = Client::waiting;
        now_ = client.asked = Clock::now();
        measure(results_.connect, now_ - client.began);
        count_retried_syns(client);
    }
    void ask_again(Client& client) {
        ++started_;
        client.state = Client::waiting;
        client.sent = client.received = 0;
        now_ = client.began = client.asked = Clock::now();
        write(client);
        if (client.sent < plan_.size && client.state == Client::waiting) interest(client, true);
    }
    // What the kernel takes. In stream mode, our FIN after the last byte.
    void write(Client& client) {
        while (client.sent < plan_.size) {
            uint64_t size = std::min<uint64_t>(plan_.size - client.sent, buffer_.size());
            ssize_t n = send(client.socket.fd(), bytes(client, client.sent), size, MSG_NOSIGNAL);
            if (n < 0 && errno == EAGAIN) return;
            if (n < 0) return fail(client, errno);
            if (client.state == Client::connecting) connected(client);
            client.sent += n;
            if (plan_.mode == Mode::stream) break;  // and read before the next
        }
        if (plan_.mode == Mode::stream && client.sent == plan_.size) shutdown(client.socket.fd(), SHUT_WR);
    }
    void read(Client& client) {
        ssize_t n = recv(client.socket.fd(), buffer_.data(), buffer_.size(), 0);
        bool complete = client.received == plan_.size;
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n < 0) return fail(client, errno);
        if (n == 0 && plan_.mode == Mode::stream && complete) return answered(client);
        if (n == 0) return fail(client, "closed early");
        if (client.received + n > client.sent || memcmp(buffer_.data(), bytes(client, client.received), n) != 0)
            return fail(client, "wrong bytes");
        client.received += n;
        if (now_ >= counts_from_) results_.bytes += n;
        if (client.received == plan_.size && plan_.mode != Mode::stream) answered(client);
    }
    void answered(Client& client) {
        now_ = Clock::now();
        measure(results_.wait, now_ - client.asked);
        measure(results_.total, now_ - client.began);
        if (now_ >= counts_from_) ++results_.requests;
        client.answered = now_;
        client.state = Client::holding;
        if (plan_.mode == Mode::idle) return;  // until the end of the run
        if (plan_.hold.count()) later(client, plan_.hold);
        else go_on(client);
    }

    // ---- what the steps need ----------------------------------------------------------------------------------------

    // The bytes of the client's request from `at` on, at most a buffer full.
    const char* bytes(const Client& client, uint64_t at) const { return &pattern_[(client.pattern + at) % period]; }
    // Counted after the warm-up only.
    void measure(Histogram& histogram, tcp::Duration time) const {
        if (now_ >= counts_from_) histogram.add(time);
    }
    void interest(Client& client, bool write, int operation = EPOLL_CTL_MOD) {
        epoll_event event{write ? EPOLLIN | EPOLLOUT : EPOLLIN, {&client}};
        if (epoll_ctl(epoll_.fd(), operation, client.socket.fd(), &event)) tcp::fail("epoll_ctl");
    }
    void later(Client& client, tcp::Duration pause) {
        client.alarm = now_ + pause;
        alarms_.emplace(client.alarm, &client);
    }
    void close(Client& client) {
        if (client.state != Client::closed) --results_.open;
        if (client.state == Client::holding && plan_.each)
            results_.each.push_back({client.began - start_, client.answered - start_, Clock::now() - start_});
        client.socket.close();
        client.state = Client::closed;
    }
    // How often the kernel repeated the SYN. Its first repetition comes after a second, so nobody else need be asked.
    void count_retried_syns(Client& client) {
        tcp_info info{};
        socklen_t size = sizeof info;
        if (now_ - client.began < std::chrono::milliseconds(500)) return;
        if (getsockopt(client.socket.fd(), IPPROTO_TCP, TCP_INFO, &info, &size)) return;
        results_.retried_syns += info.tcpi_total_retrans;
    }
    void count_failure(const std::string& kind) {
        ++results_.errors[kind];
        ++results_.failed;
    }
    void fail(Client& client, const std::string& kind) {
        if (client.state == Client::connecting) count_retried_syns(client);
        count_failure(kind);
        close(client);
        later(client, std::chrono::milliseconds(10));  // a server that refuses is not asked in a loop
    }
    void fail(Client& client, int error) {
        static const std::map<int, const char*> kinds = {
            {ECONNREFUSED, "refused"},     {ECONNRESET, "reset"},           {EPIPE, "reset"},
            {ETIMEDOUT, "timeout"},        {EADDRNOTAVAIL, "no port left"}, {EMFILE, "no descriptor left"},
            {ENFILE, "no descriptor left"}};
        auto known = kinds.find(error);
        fail(client, known == kinds.end() ? strerror(error) : known->second);
    }
};
