// observations.hpp - what was observed beside the packets: statelog's lines (the kernel's states) and the programs' own log
// (the application's calls). `ladder` merges both into the picture.
#pragma once
#include <algorithm>
#include <optional>
#include <tuple>
#include "machine.hpp"
#include "tcpdump.hpp"

namespace lab {

/// One line of either: at this time, on the host with this end of a connection.
struct Observation {
    int64_t time = 0;  // microseconds; of the day if not `epoch`
    bool epoch = false;
    string local, remote;        // "10.98.0.1:8990"; local is empty where a server's log does not say it
    std::optional<State> state;  // what statelog saw; State::closed: the socket is gone
    string verb, call;           // what the program logged, and the call behind it: "closed" and "close()"
    bool damaged = false;        // a line of ours as it seems, with an end that is none
    string port;                 // the server's, where its log has said on which it listens
    int file = 0;
};

inline int64_t time_of_day(int64_t epoch_time) {
    time_t seconds = time_t(epoch_time / 1000000);
    tm local{};
    localtime_r(&seconds, &local);
    return (int64_t(local.tm_hour) * 3600 + local.tm_min * 60 + local.tm_sec) * 1000000 + epoch_time % 1000000;
}
/// A time as the capture counts, near `base`, the time of its first segment.
inline int64_t on_the_clock_of(const Capture& capture, int64_t base, const Observation& o) {
    if (o.epoch && capture.epoch) return o.time;
    const int64_t day = 86400000000;
    int64_t apart = (o.epoch ? time_of_day(o.time) : o.time) - (capture.epoch ? time_of_day(base) : base % day);
    return base + apart - (apart > day / 2 ? day : apart < -day / 2 ? -day : 0);
}

/// "[::ffff:10.98.0.1]:8990" is the host that the capture calls 10.98.0.1.
inline string plain_address(string text) {
    const string mapped = "[::ffff:";
    if (text.compare(0, mapped.size(), mapped) || text.find('.') == text.npos || text.find(']') == text.npos)
        return text;
    text.erase(0, mapped.size());
    return text.erase(text.find(']'), 1);
}
/// "HOST:PORT" or "[HOST]:PORT"; nothing is an end that is not said.
inline bool is_end(const string& text) {
    size_t colon = text.rfind(':');
    if (text.empty()) return true;
    return colon != text.npos && colon > 0 && colon + 1 < text.size() &&
           text.find_first_not_of("0123456789", colon + 1) == text.npos && (text[0] == '[') == (text[colon - 1] == ']');
}

inline std::optional<State> state_named(const string& word) {
    if (word == "-") return State::closed;
    for (int i = int(State::established); i <= int(State::closing); ++i)
        if (word == state_name(State(i))) return State(i);
    return {};
}

/// The value of `key=` in a line, or a JSON member's.
inline string value_of(const string& line, const string& key, const string& ends = " \t") {
    size_t at = line.find(key);
    if (at == line.npos) return "";
    return line.substr(at + key.size(),
                       std::min(line.find_first_of(ends, at + key.size()), line.size()) - at - key.size());
}

/// "1795242576.252525" or "06:29:36.675331"
inline bool read_time(const string& text, Observation& o) {
    int h = 0, m = 0;
    double s = 0;
    if (sscanf(text.c_str(), "%2d:%2d:%lf", &h, &m, &s) == 3 && s >= 0 && s < 61) {
        o.time = (int64_t(h) * 3600 + m * 60) * 1000000 + std::llround(s * 1e6);
        return true;
    }
    long long seconds = 0, us = 0;
    if (sscanf(text.c_str(), "%12lld.%6lld", &seconds, &us) != 2 || seconds < 0 || us < 0) return false;
    o.epoch = true;
    o.time = seconds * 1000000 + us;
    return true;
}

/// A line of statelog: "TIME LOCAL REMOTE FROM -> TO", or the same as JSON.
inline bool parse_state(const string& line, Observation& o) {
    char time[64], local[80], remote[80], from[20], to[20];
    if (line[0] == '{') {
        auto member = [&](const char* key) { return value_of(line, string("\"") + key + "\":\"", "\""); };
        o.local = member("local");
        o.remote = member("remote");
        o.state = state_named(member("to"));
        if (!read_time(member("time"), o)) return false;
    } else {
        if (sscanf(line.c_str(), "%63s %79s %79s %19s -> %19s", time, local, remote, from, to) != 5 ||
            !read_time(time, o))
            return false;
        o.local = local;
        o.remote = remote;
        o.state = state_named(to);
    }
    o.local = plain_address(o.local);
    o.remote = plain_address(o.remote);
    return o.state.has_value();
}

/// What the application called, for a verb of the log.
inline string call_for(const string& verb, const string& line) {
    static const std::map<string, string> calls{
        {"accepted", "accept()"},      {"connected", "connect()"}, {"fin", "read()=0"},   {"closed", "close()"},
        {"half-closed", "shutdown()"}, {"reset", "ECONNRESET"},    {"refused", "refused"}};
    if (verb != "read" && verb != "wrote") return calls.count(verb) ? calls.at(verb) : verb.substr(0, 11);
    long long bytes = atoll(value_of(line, "bytes=").c_str());
    string size = bytes >= 10000 ? std::to_string(bytes / 1000) + "k" : std::to_string(bytes);
    return (verb == "read" ? "read()=" : "write(") + size + (verb == "read" ? "" : ")");
}

/// Which connection a process has said it is a client of: its own lines after that do not repeat it.
struct Client {
    string local, remote;
};

/// A line of a program's log: "NAME[pid]: hh:mm:ss.uuuuuu VERB key=value ...".
inline bool parse_log(const string& line, Observation& o, std::map<string, Client>& clients) {
    char program[80], time[40], verb[24];
    if (sscanf(line.c_str(), "%79[^] ]]: %39s %23s", program, time, verb) != 3 || !read_time(time, o) || o.epoch)
        return false;
    o.verb = verb;
    for (char c : o.verb)
        if (!islower((unsigned char)c) && c != '-') return false;
    o.remote = value_of(line, " peer=");
    if (size_t at = line.find(" reset read "); o.remote.empty() && at != line.npos)
        o.remote = line.substr(at + 12, line.find(": ", at) - at - 12);
    if (string local = value_of(line, " local="); !local.empty()) clients[program] = {local, o.remote};
    if (auto client = clients.find(program); client != clients.end()) {
        o.local = client->second.local;
        o.remote = client->second.remote;
    }
    o.local = plain_address(o.local);
    o.remote = plain_address(o.remote);
    o.call = call_for(o.verb, line);
    o.damaged = !is_end(o.remote) || !is_end(o.local);
    return !o.remote.empty();
}

/// Adds what the file says, in statelog's or in the log's format; other lines are none of ours. Returns how many lines are
/// damaged and skipped.
inline int read_observations(const string& path, int file, std::vector<Observation>& all) {
    FILE* lines = fopen(path.c_str(), "re");
    if (!lines) throw Unreadable(tcp::printable(path) + ": " + strerror(errno));
    std::map<string, Client> clients;
    string port;
    int damaged = 0;
    for (string line; next_line(lines, line);) {
        Observation o;
        if (string on = value_of(line, " listening on "); !on.empty()) port = on.substr(on.rfind(':') + 1);
        if (!parse_state(line, o) && !parse_log(line, o = {}, clients)) continue;
        if (o.damaged) {
            ++damaged;
            continue;
        }
        o.file = file;
        if (o.local.empty()) o.port = port;
        all.push_back(std::move(o));
    }
    bool failed = ferror(lines);
    fclose(lines);
    if (failed) throw Unreadable(tcp::printable(path) + ": cannot be read");
    return damaged;
}

/// The end of the connection that the observation is about; -1: another connection's.
inline int side_of(const Connection& c, const Observation& o) {
    for (int side : {client, server})
        if (o.remote == c.end[other(side)].text() &&
            (o.local.empty() ? side == server && (o.port.empty() || o.port == c.end[server].port)
                             : o.local == c.end[side].text()))
            return side;
    return -1;
}
/// The server's port is listened on, before the connection.
inline bool is_listener(const Capture& capture, const Connection& c, const Observation& o) {
    int64_t start = c.segments[0].time;
    return o.state == State::listen && o.local.substr(o.local.rfind(':') + 1) == c.end[server].port &&
           on_the_clock_of(capture, start, o) <= start;
}
inline bool begins(const Observation& o, const Observation* before) {
    if (!o.state) return o.verb == "accepted" || o.verb == "connected";
    auto opened = [](State s) { return s == State::syn_sent || s == State::syn_recv || s == State::established; };
    return opened(*o.state) && (!before || !opened(*before->state));
}

/// What was observed of one connection of the capture. Where others have used the same pair of ports before or after
/// it, the order tells whose it is, if as many were observed as captured; else the time does.
inline std::vector<const Observation*> observed_of(const Capture& capture, const Connection& c,
                                                   const std::vector<Observation>& all) {
    std::vector<const Connection*> alike;
    for (auto& k : capture.connections)
        if (std::minmax(k.end[client], k.end[server]) == std::minmax(c.end[client], c.end[server])) alike.push_back(&k);
    size_t number = std::find(alike.begin(), alike.end(), &c) - alike.begin();
    std::map<std::tuple<int, int, bool>, std::vector<std::vector<const Observation*>>>
        witnesses;  // of a file, for one side
    std::vector<const Observation*> mine;
    for (auto& o : all) {
        int side = side_of(c, o);
        if (is_listener(capture, c, o)) mine.push_back(&o);
        if (side < 0) continue;
        auto& groups = witnesses[{o.file, side, o.state.has_value()}];
        if (groups.empty() || begins(o, groups.back().empty() ? nullptr : groups.back().back())) groups.emplace_back();
        groups.back().push_back(&o);
    }
    for (auto& [witness, groups] : witnesses)
        for (size_t g = 0; g < groups.size(); ++g)
            for (auto* o : groups[g]) {
                int64_t time = on_the_clock_of(capture, c.segments[0].time, *o);
                bool then = (number == 0 || time >= c.segments[0].time - 1000) &&
                            (number + 1 == alike.size() || time < alike[number + 1]->segments[0].time);
                if (alike.size() == 1 || (groups.size() == alike.size() ? g == number : then)) mine.push_back(o);
            }
    return mine;
}

}  // namespace lab
