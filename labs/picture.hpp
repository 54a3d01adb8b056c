// picture.hpp - one connection as rows from top to bottom: time, the states and calls at both ends, the segment between
// them. Here the three sources meet: the packets, what RFC 9293 says must follow from them, and what was observed.
#pragma once
#include "observed.hpp"

namespace lab {

enum class Claim { none, inferred, observed, contradicting };

/// What a row says about one end.
struct Cell {
    Claim claim = Claim::none;
    State state = State::closed;
    string call;
};

struct Row {
    int64_t time = 0, until = 0;       // `until`: of the last segment, where several are folded into the row
    Cell cell[2];
    size_t segment = no_segment;       // whose arrow starts here
    size_t arrives = no_segment;       // whose arrow ends here, when that is another row
    bool received = true;              // false: the arrow is lost on its way
    bool wrong = false;                // nobody may send this segment now
    size_t folded = 0;                 // so many segments in one row, described by `note`
    string note;
    static constexpr size_t no_segment = SIZE_MAX;
};

struct Picture {
    const Connection* connection = nullptr;
    std::vector<Row> rows;
    std::vector<string> remarks;       // below the rows: what contradicts, in words
};

/// How far the clock of each host is ahead of the capture's. A kernel's state follows its segment within milliseconds; when
/// most of them are earlier, or much later, that is the clock's doing. A program may be late for reasons of its own, but not
/// earlier than what it reacts to: only that, or hours, are taken for a clock.
class Clocks {
    struct Lags { std::vector<int64_t> states, calls; };
    std::map<string, Lags> lags_;

public:
    void note(const string& host, const Observation& o, int64_t lag) { (o.state ? lags_[host].states : lags_[host].calls).push_back(lag); }
    int64_t ahead(const string& host) const {
        auto at = lags_.find(host);
        if (at == lags_.end()) return 0;
        auto [states, calls] = at->second;
        if (!states.empty()) {
            std::nth_element(states.begin(), states.begin() + states.size() / 2, states.end());
            int64_t median = states[states.size() / 2];
            return median < -2000 || median > 50000 ? median : 0;
        }
        int64_t least = *std::min_element(calls.begin(), calls.end());
        return least < -2000 || least > 600000000 ? least : 0;
    }
};

/// Builds the rows of one connection.
class Painter {
    const Capture& capture_;
    const Connection& connection_;
    std::vector<const Observation*> observed_;
    Picture picture_;
    std::vector<size_t> row_of_;       // segment -> row
    struct Mark { size_t row; State state; };
    std::vector<Mark> inferred_[2];    // each end's states in their order, and where they stand

    Row& row(size_t i) { return picture_.rows[i]; }

    void draw_segments() {
        Receipts receipts(connection_);
        State initial[2];
        std::map<size_t, string> complaints;
        auto all = transitions(connection_, initial, &complaints);
        auto next = all.begin();
        if (connection_.whole) {
            picture_.rows.emplace_back().time = connection_.segments[0].time;
            for (int side : {client, server}) row(0).cell[side] = {Claim::inferred, initial[side], ""}, inferred_[side].push_back({0, initial[side]});
        }
        for (auto& [i, why] : complaints)
            if (picture_.remarks.size() < 10) picture_.remarks.push_back("!! " + connection_.segments[i].text() + ": " + (connection_.segments[i].side == client ? "the client " : "the server ") + why);
        for (size_t i = 0; i < connection_.segments.size(); ++i) {
            row_of_.push_back(picture_.rows.size());
            Row& r = picture_.rows.emplace_back();
            r.time = connection_.segments[i].time, r.segment = i, r.received = receipts[i] != Receipts::lost, r.wrong = complaints.count(i);
            for (; next != all.end() && next->position == i; ++next) put(*next);
        }
    }
    // A state goes beside the arrow that leads to it; an arrow that was overtaken ends in a row of its own.
    void put(const Transition& t) {
        bool late = t.segment != t.position;
        if (late || picture_.rows.back().cell[t.side].claim != Claim::none) {
            Row extra;
            extra.time = connection_.segments[t.position].time;
            if (late) extra.arrives = t.segment, extra.note = connection_.segments[t.segment].text() + " arrives";
            picture_.rows.push_back(extra);
        }
        picture_.rows.back().cell[t.side] = {Claim::inferred, t.to, ""};
        inferred_[t.side].push_back({picture_.rows.size() - 1, t.to});
    }

    // The row that a call or a state belongs to because it is its cause or its effect; the number of rows if there is none.
    size_t anchor(const Observation& o, int side, size_t from) const {
        auto suits = [&](const Row& r) {
            if (o.state) return r.cell[side].claim == Claim::inferred && r.cell[side].state == *o.state;
            if (o.verb == "accepted" || o.verb == "connected") return r.cell[side].claim != Claim::none && r.cell[side].state == State::established;
            size_t shown = r.segment != Row::no_segment ? r.segment : r.arrives;
            if (shown == Row::no_segment) return false;
            const Segment& s = connection_.segments[shown];
            bool mine = s.side == side, fresh = s.fresh > 0;
            return o.verb == "closed" || o.verb == "half-closed" ? mine && (s.rst || (s.fin && fresh)) : o.verb == "fin" ? !mine && s.fin && r.received :
                   o.verb == "reset" || o.verb == "refused" ? !mine && s.rst : o.verb == "read" ? !mine && s.length > 0 && fresh : o.verb == "wrote" && mine && s.length > 0 && fresh;
        };
        for (; from < picture_.rows.size(); ++from)
            if (suits(row_const(from))) return from;
        return picture_.rows.size();
    }
    const Row& row_const(size_t i) const { return picture_.rows[i]; }

    // States between two observed ones that would have lasted long enough to be observed: they were not, so what led to them
    // did not arrive.
    void disprove(int side, size_t from, size_t to) {
        for (size_t i = from; i < to; ++i) {
            Row& r = row(inferred_[side][i].row);
            if (row(inferred_[side][i + 1].row).time - r.time < 100000) continue;
            r.cell[side].claim = Claim::none;
            if (r.segment != Row::no_segment && connection_.segments[r.segment].side != side) r.received = false;
        }
    }
    void observe(const Observation& o, int64_t time, std::vector<Row>& own, size_t (&seen)[2], std::map<std::pair<int, string>, size_t>& used) {
        int side = side_of(connection_, o);
        if (o.state) {
            auto& marks = inferred_[side];
            for (size_t i = seen[side]; i < marks.size(); ++i) {
                if (marks[i].state != *o.state || row(marks[i].row).time >= time + 2000) continue;
                if (seen[side] > 0) disprove(side, seen[side], i);
                row(marks[i].row).cell[side].claim = Claim::observed, seen[side] = i + 1;
                return;
            }
            Row& r = own.emplace_back();
            r.time = time;
            r.cell[side] = {*o.state == State::closed ? Claim::observed : Claim::contradicting, *o.state, ""};
            if (*o.state == State::closed) return;
            picture_.remarks.push_back(string("!! the kernel's ") + name(*o.state) + " does not follow from the segments: are some missing in the capture?");
            return;
        }
        bool counts = o.verb == "read" || o.verb == "wrote";  // many of them: from the one before on
        size_t at = anchor(o, side, used[{side, o.verb}]);
        for (size_t next = at; counts && next < picture_.rows.size() && row(next).time <= time;) used[{side, o.verb}] = at = next, next = anchor(o, side, next + 1);
        if (at < picture_.rows.size() && row(at).cell[side].call.empty() && std::llabs(row(at).time - time) < 20000) {
            row(at).cell[side].call = o.call, used[{side, o.verb}] = at + 1;
        } else {
            Row& r = own.emplace_back();
            r.time = at < picture_.rows.size() ? std::max(time, row(at).time) : time;
            r.cell[side].call = o.call;
        }
    }

public:
    Painter(const Capture& capture, const Connection& connection, const std::vector<Observation>& all)
        : capture_(capture), connection_(connection), observed_(observed_of(capture, connection, all)) {
        picture_.connection = &connection;
        draw_segments();
    }
    /// Compares the times of what was observed with those of the segments that must have come first.
    void measure(Clocks& clocks) const {
        for (auto* o : observed_) {
            // a socket may be gone for many reasons, and there are many reads and writes
            bool tells = o->verb != "read" && o->verb != "wrote" && o->state != State::closed;
            int side = tells ? side_of(connection_, *o) : -1;
            size_t at = side < 0 ? 0 : anchor(*o, side, 1);
            if (at > 0 && at < picture_.rows.size()) clocks.note(connection_.end[side].host, *o, on_the_clock_of(capture_, connection_.segments[0].time, *o) - row_const(at).time);
        }
    }
    /// Adds what was observed of this connection.
    void observe(const Clocks& clocks) {
        std::vector<Row> own;
        size_t seen[2] = {0, 0};
        std::map<std::pair<int, string>, size_t> used;
        const int64_t ahead[2] = {clocks.ahead(connection_.end[client].host), clocks.ahead(connection_.end[server].host)};
        for (auto* o : observed_) {
            int side = side_of(connection_, *o);
            if (side >= 0) observe(*o, on_the_clock_of(capture_, connection_.segments[0].time, *o) - ahead[side], own, seen, used);
            else if (connection_.whole && row(0).cell[server].state == State::listen) row(0).cell[server].claim = Claim::observed;
        }
        auto earlier = [](const Row& a, const Row& b) { return a.time < b.time; };
        std::stable_sort(own.begin(), own.end(), earlier);
        std::vector<Row> merged;
        std::merge(picture_.rows.begin(), picture_.rows.end(), own.begin(), own.end(), std::back_inserter(merged), earlier);
        picture_.rows.swap(merged);
    }
    Picture finish() { return std::move(picture_); }
};

/// Many rows of data and ACKs, and nothing else, become one row between the first two and the last two.
inline void fold(Picture& picture) {
    const auto& segments = picture.connection->segments;
    auto plain = [&](const Row& r) {
        bool calls = (!r.cell[0].call.empty() && r.segment == Row::no_segment) || (!r.cell[1].call.empty() && r.segment == Row::no_segment);
        if (calls) return r.cell[0].call.compare(0, 5, "read(") == 0 || r.cell[0].call.compare(0, 5, "write") == 0 || r.cell[1].call.compare(0, 5, "read(") == 0 || r.cell[1].call.compare(0, 5, "write") == 0;
        return r.cell[0].claim == Claim::none && r.cell[1].claim == Claim::none && r.segment != Row::no_segment && r.received && !r.wrong &&
               !segments[r.segment].syn && !segments[r.segment].fin && !segments[r.segment].rst;
    };
    std::vector<Row> rows;
    for (size_t i = 0, end; i < picture.rows.size(); i = end) {
        for (end = i; end < picture.rows.size() && plain(picture.rows[end]); ++end) {}
        if (end == i) { rows.push_back(picture.rows[end++]); continue; }
        size_t first = i + 2, last = end - i > 8 ? end - 2 : first;
        rows.insert(rows.end(), picture.rows.begin() + i, picture.rows.begin() + std::min(first, end));
        if (last > first) {
            Row& r = rows.emplace_back();
            r.time = picture.rows[first].time, r.until = picture.rows[last - 1].time;
            int64_t bytes[2] = {}, again = 0;
            for (size_t k = first; k < last; ++k)
                if (size_t s = picture.rows[k].segment; s != Row::no_segment) ++r.folded, bytes[segments[s].side] += segments[s].length, again += segments[s].again;
            r.note = std::to_string(r.folded) + " segments";
            for (int side : {client, server})
                if (bytes[side]) r.note += string(side == client ? ", C:(" : ", S:(") + std::to_string(bytes[side]) + ")";
            if (again) r.note += ", " + std::to_string(again) + " again";
        }
        rows.insert(rows.end(), picture.rows.begin() + std::min(last, end), picture.rows.begin() + end);
    }
    picture.rows.swap(rows);
}

/// The arrow's words: "PSH(6) seq 1 ack 1".
inline string label(const Segment& s) {
    string text = s.text().substr(2);
    if (s.fin && s.acks && !s.length) text = "FIN+ACK";
    if (s.space() || (s.rst && !s.acks)) text += " seq " + std::to_string(s.seq);
    return text + (s.acks ? " ack " + std::to_string(s.ack) : "");
}

}  // namespace lab
