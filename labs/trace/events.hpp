// events.hpp - what happens once in a connection: each SYN, FIN, RST and byte of data. What TCP leaves to chance is
// taken away here: retransmissions, pure ACKs, the order of arrival where the sequence numbers know better.
#pragma once
#include <algorithm>
#include "capture.hpp"

namespace lab {

enum class Kind { syn, syn_ack, data, fin, rst, ack, anything };

/// What no ACK and no retransmission is: one of these happens once.
struct Event {
    int side;
    Kind kind;
    int64_t bytes;       // of data
    size_t segment;      // where in the connection
    bool again = false;  // sent more than once
    string text() const {
        static const char* const names[] = {"SYN", "SYN+ACK", "", "FIN", "RST"};
        return string(side == client ? "C:" : "S:") +
               (kind == Kind::data ? "PSH(" + std::to_string(bytes) + ")" : names[int(kind)]) + (again ? "*" : "");
    }
};

/// How far the sides have come after each segment: what an ACK must reach, and what is acknowledged from there on.
struct Progress {
    std::vector<int64_t> sent[2], acked_later[2];
    explicit Progress(const Connection& c) {
        size_t n = c.segments.size();
        for (int side : {client, server}) {
            sent[side].resize(n);
            acked_later[side].resize(n + 1, INT64_MIN);
            for (size_t i = 0; i < n; ++i) {
                const Segment& s = c.segments[i];
                sent[side][i] = std::max(i ? sent[side][i - 1] : 0, s.side == side && !s.rst ? s.end() : 0);
            }
            for (size_t i = n; i-- > 0;) {
                const Segment& s = c.segments[i];
                acked_later[side][i] = std::max(acked_later[side][i + 1], s.side == side && s.acks ? s.ack : INT64_MIN);
            }
        }
    }
    /// Does `side` acknowledge, with segment `at` or later, everything its peer has sent until then?
    bool acknowledges(int side, size_t at) const { return acked_later[side][at] >= sent[other(side)][at]; }
};

/// The events of a connection. A FIN that overtook data on the way comes after that data.
class Events {
    const Connection& connection_;
    std::vector<Event> events_;
    Coverage coverage_[2];
    std::map<int64_t, size_t> data_[2];  // sequence number -> event that was sent once
    size_t first_[2][int(Kind::anything)], held_fin_[2] = {SIZE_MAX, SIZE_MAX};

    void once(const Segment& s, size_t at, Kind kind) {  // the second time it is the same event again
        size_t& event = first_[s.side][int(kind)];
        if (event != SIZE_MAX) {
            events_[event].again = true;
        } else {
            event = events_.size();
            events_.push_back({s.side, kind, 0, at});
        }
    }
    bool gap_is_filled(const Segment& fin, size_t at) const {
        Coverage coverage = coverage_[fin.side];
        for (; at < connection_.segments.size(); ++at)
            if (const Segment& s = connection_.segments[at]; s.side == fin.side && !s.rst) coverage.add(s.seq, s.end());
        return coverage.contiguous() >= fin.end();
    }
    void add(const Segment& s, size_t at) {
        if (s.rst) return once(s, at, Kind::rst);
        if (s.syn) once(s, at, s.acks ? Kind::syn_ack : Kind::syn);
        int64_t from = s.seq + s.syn, fresh = coverage_[s.side].add(from, from + s.length);
        if (auto& data = data_[s.side]; fresh < s.length)  // some or all of it is sent again
            for (auto it = data.lower_bound(from + s.length);
                 it != data.begin() && (--it)->first + events_[it->second].bytes > from; it = data.erase(it))
                events_[it->second].again = true;  // and need not be found another time
        if (fresh > 0) {
            data_[s.side][from] = events_.size();
            events_.push_back({s.side, Kind::data, fresh, at});
        }
        size_t& held = held_fin_[s.side];
        bool overtook =
            s.fin && coverage_[s.side].contiguous() < s.end() - 1 && first_[s.side][int(Kind::fin)] == SIZE_MAX;
        if (s.fin && held == SIZE_MAX) {
            if (overtook && gap_is_filled(s, at)) held = at;
            else once(s, at, Kind::fin);
        }
        if (held != SIZE_MAX && coverage_[s.side].contiguous() >= connection_.segments[held].end() - 1) {
            once(connection_.segments[held], at, Kind::fin);
            held = SIZE_MAX;
        }
    }

public:
    explicit Events(const Connection& connection) : connection_(connection) {
        for (auto& row : first_) std::fill(std::begin(row), std::end(row), SIZE_MAX);
        for (auto& coverage : coverage_) coverage.add(-1, 1);
        for (size_t i = 0; i < connection.segments.size(); ++i) add(connection.segments[i], i);
    }
    const std::vector<Event>& all() const { return events_; }
};

}  // namespace lab
