// picture.hpp - one connection as rows from top to bottom: time, the states and calls at both ends, the segment between
// them. reconstruction.hpp makes them, drawtext.hpp and drawsvg.hpp draw them.
#pragma once
#include "observations.hpp"

namespace lab {

enum class Claim { none, inferred, observed, contradicting };

/// What a row says about one end.
struct Cell {
    Claim claim = Claim::none;
    State state = State::closed;
    string call;
};

struct Row {
    int64_t time = 0, until = 0;  // `until`: of the last segment, where several are folded into the row
    Cell cell[2];
    size_t segment = no_segment;  // whose arrow starts here
    size_t arrives = no_segment;  // whose arrow ends here, when that is another row
    bool received = true;         // false: the arrow is lost on its way
    bool wrong = false;           // nobody may send this segment now
    size_t folded = 0;            // so many segments in one row, described by `note`
    string note;
    static constexpr size_t no_segment = SIZE_MAX;
};

struct Picture {
    const Connection* connection = nullptr;
    std::vector<Row> rows;
    std::vector<string> remarks;  // below the rows: what contradicts, in words
};

/// The arrow's words: "PSH(6) seq 1 ack 1".
inline string label(const Segment& s) {
    string text = s.text().substr(2);
    if (s.fin && s.acks && !s.length) text = "FIN+ACK";
    if (s.space() || (s.rst && !s.acks)) text += " seq " + std::to_string(s.seq);
    return text + (s.acks ? " ack " + std::to_string(s.ack) : "");
}

/// A row of data, an ACK, a read or a write, and nothing else: many of them are folded into one.
inline bool is_plain(const Row& r, const std::vector<Segment>& segments) {
    auto transfer = [](const string& call) {
        return call.empty() || call.compare(0, 6, "read()") == 0 || call.compare(0, 6, "write(") == 0;
    };
    if (r.cell[client].claim != Claim::none || r.cell[server].claim != Claim::none) return false;
    if (!transfer(r.cell[client].call) || !transfer(r.cell[server].call) || r.cell[client].call == "read()=0" ||
        r.cell[server].call == "read()=0")
        return false;
    if (r.segment == Row::no_segment) return r.arrives == Row::no_segment;
    const Segment& s = segments[r.segment];
    return r.received && !r.wrong && !s.syn && !s.fin && !s.rst;
}

/// Rows from..to as one.
inline Row folded(const std::vector<Row>& rows, size_t from, size_t to, const std::vector<Segment>& segments) {
    Row r;
    r.time = rows[from].time;
    r.until = rows[to - 1].time;
    r.folded = to - from;
    int64_t bytes[2] = {}, again = 0;
    size_t count = 0;
    for (size_t i = from; i < to; ++i) {
        if (rows[i].segment == Row::no_segment) continue;
        const Segment& s = segments[rows[i].segment];
        bytes[s.side] += s.length;
        again += s.again;
        ++count;
    }
    r.note = count ? std::to_string(count) + " segments" : std::to_string(r.folded) + " calls";
    for (int side : {client, server})
        if (bytes[side]) r.note += string(side == client ? ", C:(" : ", S:(") + std::to_string(bytes[side]) + ")";
    if (again) r.note += ", " + std::to_string(again) + " again";
    return r;
}

/// Of more than eight plain rows in a row only the first two and the last two stay.
inline void fold(Picture& picture) {
    const auto& segments = picture.connection->segments;
    std::vector<Row> rows;
    for (size_t i = 0, end; i < picture.rows.size(); i = end) {
        for (end = i; end < picture.rows.size() && is_plain(picture.rows[end], segments); ++end) {}
        bool many = end - i > 8;
        if (end == i) ++end;
        for (size_t k = i; k < (many ? i + 2 : end); ++k) rows.push_back(picture.rows[k]);
        if (!many) continue;
        rows.push_back(folded(picture.rows, i + 2, end - 2, segments));
        rows.push_back(picture.rows[end - 2]);
        rows.push_back(picture.rows[end - 1]);
    }
    picture.rows.swap(rows);
}

}  // namespace lab
