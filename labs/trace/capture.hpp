// capture.hpp - what a capture has: the TCP connections, and in each the segments with relative numbers and what is new in
// them. tcpdump.hpp reads it; `wire` checks with it, `ladder` draws with it: one reading for both.
#pragma once
#include <sys/wait.h>
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace lab {

using std::string;

enum Side { client = 0, server = 1 };
inline Side other(int side) { return side == client ? server : client; }

/// One end of a connection, as the capture names it: "10.98.0.1" and "8990", or "localhost" and "http".
struct Endpoint {
    string host, port;
    string text() const { return (host.find(':') == host.npos ? host : "[" + host + "]") + ":" + port; }
    bool operator<(const Endpoint& o) const { return std::tie(host, port) < std::tie(o.host, o.port); }
    bool operator==(const Endpoint& o) const { return host == o.host && port == o.port; }
};

struct Segment {
    int64_t time = 0;  // microseconds
    Endpoint from, to;
    bool syn = false, fin = false, rst = false, push = false, acks = false, has_seq = false;
    uint32_t raw_seq = 0, raw_ack = 0;
    int64_t length = 0, window = -1;
    int64_t clock = -1;  // its sender's timestamp; -1: it has none
    // Found out when the segment is put into its connection:
    int side = client;
    int64_t seq = 0, ack = 0;  // relative: a SYN has 0, the first byte of data 1
    int64_t fresh = 0;         // sequence numbers (bytes, SYN, FIN) never seen before
    bool fills_gap = false;    // fresh, and something later came first: reordered on the way
    bool again = false;        // all of it has been sent before
    int64_t space() const { return length + syn + fin; }
    int64_t end() const { return seq + space(); }
    /// "C:PSH(6)": the sender and, in the textbook's notation, what is sent.
    string text() const {
        string what = syn ? "SYN" : "";
        if (length) what += (what.empty() ? "PSH(" : "+PSH(") + std::to_string(length) + ")";
        if (fin) what += what.empty() ? "FIN" : "+FIN";
        if (rst) what += what.empty() ? "RST" : "+RST";
        if (acks && (what.empty() || syn || rst)) what += what.empty() ? "ACK" : "+ACK";
        return string(side == client ? "C:" : "S:") + (what.empty() ? "none" : what);
    }
};

/// Which sequence numbers of one sender have been seen.
class Coverage {
    std::map<int64_t, int64_t> seen_{{-(int64_t(1) << 40), 0}};  // start -> end, apart from each other

public:
    int64_t top() const { return seen_.rbegin()->second; }        // after the highest
    int64_t contiguous() const { return seen_.begin()->second; }  // after the last before the first gap
    int64_t add(int64_t from, int64_t to) {                       // how many of them are new
        if (from >= to) return 0;
        int64_t fresh = to - from;
        auto it = seen_.upper_bound(from);
        if (it != seen_.begin() && std::prev(it)->second >= from) --it;
        while (it != seen_.end() && it->first <= to) {
            fresh -= std::max<int64_t>(0, std::min(to, it->second) - std::max(from, it->first));
            from = std::min(from, it->first);
            to = std::max(to, it->second);
            it = seen_.erase(it);
        }
        seen_[from] = to;
        return fresh;
    }
};

/// What is known about one sender while its segments are read.
struct Sender {
    bool syn_acked = false;    // it has sent a SYN+ACK
    bool known = false;        // the sequence number that counts as 0 is known
    uint32_t base = 0;         // that number
    int64_t printed_base = 0;  // what tcpdump without -S subtracts less than we do: 1 after a start without SYN
    Coverage coverage;
    int64_t acked = 0;  // highest acknowledgement number it sent
    void begin(uint32_t first, int64_t from) {
        known = true;
        base = first;
        coverage = {};
        coverage.add(-1, from);
    }
};

/// How tcpdump printed sequence numbers: as they are (-S), or counted from the SYN's.
enum class Printed { absolute, relative, unknown };

struct Connection {
    Endpoint end[2];     // end[client], end[server]
    bool whole = false;  // begins with a SYN
    bool acked = false;  // has a segment with an ACK
    std::vector<Segment> segments;
    Sender sender[2];

    /// The relative number of a printed number of `side`; if nobody knows how it was printed, what is nearer to where
    /// it is at.
    int64_t relative(int side, uint32_t number, Printed printed) const {
        const Sender& s = sender[side];
        int64_t at = s.coverage.top();
        int64_t as_absolute = at + int32_t(number - s.base - uint32_t(at));
        int64_t as_relative = at + int32_t(number + uint32_t(s.printed_base) - uint32_t(at));
        if (printed == Printed::relative && whole) return as_relative;
        return printed == Printed::absolute || std::llabs(as_absolute - at) <= std::llabs(as_relative - at)
                   ? as_absolute
                   : as_relative;
    }
    /// A SYN of somebody who has already sent another one: the port pair begins again. The answer to a SYN is not that,
    /// nor is the peer's own first SYN (simultaneous open).
    bool begins_again(const Segment& s) const {
        if (!s.syn || s.acks) return false;
        int side = s.from == end[client] ? client : server;
        if (sender[side].known && whole) return s.raw_seq != sender[side].base;
        return !whole || side == client || sender[client].acked > 0;
    }
    void add(Segment s, Printed printed) {
        s.side = s.from == end[client] ? client : server;
        Sender &me = sender[s.side], &peer = sender[other(s.side)];
        // tcpdump makes only segments with an ACK relative, and not the first of them.
        if (s.syn || !s.acks) printed = Printed::absolute;
        else if (!std::exchange(acked, true) && printed == Printed::relative) printed = Printed::unknown;
        if (s.syn) {
            if (!me.known || me.base != s.raw_seq) me.begin(s.raw_seq, 0);
            acked |= s.acks;
        } else if (!me.known && s.has_seq) {
            me.begin(s.raw_seq - 1, 1);
            me.printed_base = whole ? 0 : 1;
        }
        if (s.acks && !peer.known) peer.begin(s.raw_ack - 1, 1);
        s.seq = s.syn ? 0 : s.has_seq ? relative(s.side, s.raw_seq, printed) : me.coverage.top();
        if (s.acks) s.ack = relative(other(s.side), s.raw_ack, printed);
        bool late = s.end() <= me.coverage.top();  // else something before it may be sent again, cut otherwise
        if (!s.rst) s.fresh = me.coverage.add(s.seq, s.end());
        s.fills_gap = late && s.fresh > 0;
        bool answers_syn =
            s.syn && s.acks && !std::exchange(me.syn_acked, true);  // new, although the SYN was there before
        s.again = s.space() > 0 && s.fresh == 0 && !s.rst && !answers_syn;
        if (s.acks) me.acked = std::max(me.acked, s.ack);
        segments.push_back(std::move(s));
    }
};

/// Thrown for a file that cannot be read as a capture.
struct Unreadable : std::runtime_error {
    using runtime_error::runtime_error;
};

struct Capture {
    std::vector<Connection> connections;
    string note;         // what tcpdump said about the file, such as that it is cut off
    bool epoch = false;  // times count from 1970, not from midnight or from the first packet
    size_t segments = 0;
    int64_t end = INT64_MIN;  // time of the last segment
};

}  // namespace lab
