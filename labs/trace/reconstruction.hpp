// reconstruction.hpp - what happened in a connection, row by row. Here the three witnesses meet: the packets, what follows from them
// by RFC 9293, and what was observed in the kernel and by the programs.
#pragma once
#include "picture.hpp"

namespace lab {

/// How far the clock of each host is ahead of the capture's. A kernel's state follows its segment within
/// milliseconds; when most of them are earlier, or even the quickest is much later, that is the clock's doing (on a
/// busy host statelog looks late, but not always). A program may be late for reasons of its own, but not earlier than
/// what it reacts to: only that, or hours, are taken for a clock.
class Clocks {
    struct Lags {
        std::vector<int64_t> states, calls;
    };
    std::map<string, Lags> lags_;

public:
    void note(const string& host, const Observation& o, int64_t lag) {
        (o.state ? lags_[host].states : lags_[host].calls).push_back(lag);
    }
    int64_t ahead(const string& host) const {
        auto at = lags_.find(host);
        if (at == lags_.end()) return 0;
        auto [states, calls] = at->second;
        if (!states.empty()) {
            std::sort(states.begin(), states.end());
            int64_t least = states[0], median = states[states.size() / 2];
            return median < -2000 ? median : least > 50000 ? least : 0;
        }
        int64_t least = *std::min_element(calls.begin(), calls.end());
        return least < -2000 || least > 600000000 ? least : 0;
    }
};

/// Builds the rows of one connection.
class Reconstruction {
    const Capture& capture_;
    const Connection& connection_;
    std::vector<const Observation*> observed_;
    Picture picture_;
    struct Mark {
        size_t row;
        State state;
    };
    std::vector<Mark> inferred_[2];                    // each end's states in their order, and where they stand
    size_t seen_[2] = {0, 0};                          // how many of these have been observed, or passed over
    std::map<std::pair<int, string>, size_t> called_;  // side and verb -> the row to look from
    std::vector<Row> own_;                             // what stands beside no segment

    Row& row(size_t i) { return picture_.rows[i]; }

    void draw_segments() {
        Receipts receipts(connection_);
        State initial[2];
        std::map<size_t, string> complaints;
        auto all = transitions(connection_, initial, &complaints);
        auto next = all.begin();
        if (connection_.whole) {
            picture_.rows.emplace_back().time = connection_.segments[0].time;
            for (int side : {client, server}) {
                row(0).cell[side] = {Claim::inferred, initial[side], ""};
                inferred_[side].push_back({0, initial[side]});
            }
        }
        for (auto& [i, why] : complaints)
            if (picture_.remarks.size() < 10)
                picture_.remarks.push_back("!! " + connection_.segments[i].text() + ": " +
                                           (connection_.segments[i].side == client ? "the client " : "the server ") +
                                           why);
        for (size_t i = 0; i < connection_.segments.size(); ++i) {
            Row& r = picture_.rows.emplace_back();
            r.time = connection_.segments[i].time;
            r.segment = i;
            r.received = receipts[i] != Receipts::lost;
            r.wrong = complaints.count(i);
            for (; next != all.end() && next->position == i; ++next) put(*next);
        }
    }
    // A state goes beside the arrow that leads to it; an arrow that was overtaken ends in a row of its own.
    void put(const Transition& t) {
        bool late = t.segment != t.position;
        if (late || picture_.rows.back().cell[t.side].claim != Claim::none) {
            Row extra;
            extra.time = connection_.segments[t.position].time;
            if (late) {
                extra.arrives = t.segment;
                extra.note = connection_.segments[t.segment].text() + " arrives";
            }
            picture_.rows.push_back(extra);
        }
        picture_.rows.back().cell[t.side] = {Claim::inferred, t.to, ""};
        inferred_[t.side].push_back({picture_.rows.size() - 1, t.to});
    }

    // Is this row the cause or the effect of what was observed?
    bool suits(const Row& r, const Observation& o, int side) const {
        const Cell& cell = r.cell[side];
        if (o.state) return cell.claim == Claim::inferred && cell.state == *o.state;
        if (o.verb == "accepted" || o.verb == "connected")
            return cell.claim != Claim::none && cell.state == State::established;
        size_t shown = r.segment != Row::no_segment ? r.segment : r.arrives;
        if (shown == Row::no_segment) return false;
        const Segment& s = connection_.segments[shown];
        bool mine = s.side == side, theirs = !mine && r.received, data = s.length > 0 && s.fresh > 0;
        if (o.verb == "closed" || o.verb == "half-closed") return mine && (s.rst || (s.fin && s.fresh > 0));
        if (o.verb == "fin") return theirs && s.fin;
        if (o.verb == "reset" || o.verb == "refused") return theirs && s.rst;
        return (o.verb == "read" && theirs && data) || (o.verb == "wrote" && mine && data);
    }
    // Its segment leaves later where data or another process' copy of the socket holds it back, or never:
    // shutdown(SHUT_RD).
    static bool causes(const Observation& o) {
        return o.verb == "closed" || o.verb == "half-closed" || o.verb == "wrote";
    }
    // The first such row from `from` on; the number of rows if there is none.
    size_t anchor(const Observation& o, int side, size_t from) const {
        while (from < picture_.rows.size() && !suits(picture_.rows[from], o, side)) ++from;
        return from;
    }

    // States between two observed ones that would have lasted long enough to be observed: they were not, so what led
    // to them did not arrive.
    void disprove(int side, size_t from, size_t to) {
        for (size_t i = from; i < to; ++i) {
            Row& r = row(inferred_[side][i].row);
            if (row(inferred_[side][i + 1].row).time - r.time < 100000) continue;
            r.cell[side].claim = Claim::none;
            if (r.segment != Row::no_segment && connection_.segments[r.segment].side != side) r.received = false;
        }
    }
    // A state that was observed stands where it was inferred, if it was; else in a row of its own.
    void observe_state(const Observation& o, int side, int64_t time) {
        auto& marks = inferred_[side];
        for (size_t i = seen_[side]; i < marks.size(); ++i) {
            if (marks[i].state != *o.state || row(marks[i].row).time >= time + 2000) continue;
            if (seen_[side] > 0) disprove(side, seen_[side], i);
            row(marks[i].row).cell[side].claim = Claim::observed;
            seen_[side] = i + 1;
            return;
        }
        // Gone, after a minute of TIME_WAIT, say: no segment tells that. Nor does any once the capture is over.
        bool untold = *o.state == State::closed || time > capture_.end;
        Row& r = own_.emplace_back();
        r.time = time;
        r.cell[side] = {untold ? Claim::observed : Claim::contradicting, *o.state, ""};
        if (!untold)
            picture_.remarks.push_back(string("!! the kernel's ") + state_name(*o.state) +
                                       " does not follow from the segments: are some missing in the capture?");
    }
    // A call stands beside the segment it belongs to, if that was just then; else at its own time, which is the lesson.
    void observe_call(const Observation& o, int side, int64_t time) {
        size_t& from = called_[{side, o.verb}];
        size_t at = anchor(o, side, from);
        bool transfer = o.verb == "read" || o.verb == "wrote";  // one of many: the last that suits until now
        for (size_t next = at; transfer && next < picture_.rows.size() && row(next).time <= time;) {
            from = at = next;
            next = anchor(o, side, next + 1);
        }
        bool found = at < picture_.rows.size();
        if (found && row(at).cell[side].call.empty() && std::llabs(row(at).time - time) < 20000) {
            row(at).cell[side].call = o.call;
            from = at + 1;
        } else {
            Row& r = own_.emplace_back();
            r.time = found && !causes(o) ? std::max(time, row(at).time) : time;
            r.cell[side].call = o.call;
        }
    }

public:
    Reconstruction(const Capture& capture, const Connection& connection, const std::vector<Observation>& all)
        : capture_(capture), connection_(connection), observed_(observed_of(capture, connection, all)) {
        picture_.connection = &connection;
        draw_segments();
    }
    /// Compares the times of what was observed with those of the segments that must have come first.
    void measure(Clocks& clocks) const {
        for (auto* o : observed_) {
            // a socket may be gone for many reasons, and there are many reads and writes
            bool tells = o->verb != "read" && !causes(*o) && o->state != State::closed;
            int side = tells ? side_of(connection_, *o) : -1;
            size_t at = side < 0 ? 0 : anchor(*o, side, 1);
            if (at > 0 && at < picture_.rows.size())
                clocks.note(connection_.end[side].host, *o,
                            on_the_clock_of(capture_, connection_.segments[0].time, *o) - picture_.rows[at].time);
        }
    }
    /// Adds what was observed of this connection.
    void observe(const Clocks& clocks) {
        const int64_t ahead[2] = {clocks.ahead(connection_.end[client].host),
                                  clocks.ahead(connection_.end[server].host)};
        for (auto* o : observed_) {
            int side = side_of(connection_, *o);
            int64_t time = on_the_clock_of(capture_, connection_.segments[0].time, *o) - (side < 0 ? 0 : ahead[side]);
            if (side >= 0 && o->state) observe_state(*o, side, time);
            else if (side >= 0) observe_call(*o, side, time);
            else if (connection_.whole && row(0).cell[server].state == State::listen)
                row(0).cell[server].claim = Claim::observed;
        }
        auto earlier = [](const Row& a, const Row& b) { return a.time < b.time; };
        std::stable_sort(own_.begin(), own_.end(), earlier);
        std::vector<Row> merged;
        std::merge(picture_.rows.begin(), picture_.rows.end(), own_.begin(), own_.end(), std::back_inserter(merged),
                   earlier);
        picture_.rows.swap(merged);
    }
    Picture finish() { return std::move(picture_); }
};

}  // namespace lab
