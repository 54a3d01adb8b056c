// drawtext.hpp - a picture as text: time | state | call | segment | call | state.
#pragma once
#include "picture.hpp"

namespace lab {

/// Names of hosts for their addresses.
using Names = std::map<string, string>;
inline string host_name(const Names& names, const Endpoint& end) {
    return names.count(end.host) ? names.at(end.host) : end.host;
}

class Text {
    static constexpr int time_width = 11, state_width = 13, call_width = 11;
    int arrow_width_;
    const char *line_, *dotted_, *bar_;

    // Pads to `width` columns; what is longer is cut.
    static string left(string text, int width) {
        text.resize(std::max(width, 0), ' ');
        return text;
    }
    static string right(const string& text, int width) {
        return string(std::max(0, width - int(text.size())), ' ') + text.substr(0, width);
    }
    static string centred(const string& text, int width) {
        return left(string(std::max(0, (width - int(text.size())) / 2), ' ') + text, width);
    }
    static string state(const Cell& cell) {
        switch (cell.claim) {
            case Claim::none:
                return "";
            case Claim::inferred:
                return string("(") + state_name(cell.state) + ")";
            case Claim::observed:
                return state_name(cell.state);
            default:
                return string("!!") + state_name(cell.state);
        }
    }
    string repeated(const char* piece, int times) const {
        string text;
        for (; times > 0; --times) text += piece;
        return text;
    }
    // "-- SYN seq 0 ----->": an arrow as long as the column, dotted when sent again, with an X when it is lost.
    string arrow(const Row& row, const Segment& s) const {
        string words = (row.wrong ? "!!" : "") + label(s), again = s.again ? " again" : s.fills_gap ? " late" : "";
        int room = arrow_width_ - 6 - (row.received ? 0 : 6) - int(again.size());
        if (int(words.size()) > room) words = words.substr(0, words.find(" ack "));
        words = words.substr(0, room) + again;
        const char* piece = s.again ? dotted_ : line_;
        int rest = arrow_width_ - 5 - int(words.size());
        bool right_going = s.side == client;
        string head = row.received ? (right_going ? ">" : "<") : "X";
        if (!row.received) rest -= 6;
        string gap = row.received ? "" : "      ";
        string shaft = repeated(piece, rest), tail = repeated(piece, 2);
        return right_going ? tail + " " + words + " " + shaft + head + gap
                           : gap + head + shaft + " " + words + " " + tail;
    }
    // What does not fit is left out from the end, never cut in two.
    string folded(string note) const {
        for (size_t part; int(note.size()) > arrow_width_ && (part = note.rfind(", ")) != note.npos;) note.erase(part);
        return centred(int(note.size()) + 4 > arrow_width_ ? note : ": " + note + " :", arrow_width_);
    }
    string middle(const Row& row, const Connection& c) const {
        if (row.folded) return folded(row.note);
        if (row.segment != Row::no_segment) return arrow(row, c.segments[row.segment]);
        return centred(row.note, arrow_width_);
    }

public:
    Text(int width, bool ascii)
        : arrow_width_(width - time_width - 2 * state_width - 2 * call_width - 7),
          line_(ascii ? "-" : "\u2500"),
          dotted_(ascii ? "." : "\u2504"),
          bar_(ascii ? "|" : "\u2502") {}

    void draw(const Picture& picture, int64_t zero, const Names& names) const {
        const Connection& c = *picture.connection;
        int side_width = state_width + call_width + 1;
        string host[2] = {host_name(names, c.end[client]), host_name(names, c.end[server])},
               address[2] = {c.end[client].text(), c.end[server].text()};
        auto heading = [&](const string& a, const string& b, const char* time) {
            int start = std::max(int(a.size()) + 2, std::min(side_width + arrow_width_ + 2,
                                                             side_width * 2 + arrow_width_ + 2 - int(b.size())));
            printf("%s %s%s\n", right(time, time_width).c_str(), left(a, start).c_str(), b.c_str());
        };
        heading("client" + (host[0] == c.end[0].host ? "" : " " + host[0]),
                "server" + (host[1] == c.end[1].host ? "" : " " + host[1]), "");
        heading(address[0], address[1], "seconds");
        int64_t before = picture.rows.empty() ? 0 : picture.rows[0].time;
        for (auto& row : picture.rows) {
            if (row.time - before >= 500000)
                printf("%*s %*s\n", time_width, "", side_width + 1 + arrow_width_ / 2 + 4,
                       (": " + std::to_string((row.time - before) / 1000) + " ms :").c_str());
            before = std::max(row.time, row.until);
            char time[32];
            snprintf(time, sizeof time, "%.6f", double(row.time - zero) / 1e6);
            bool start = &row == &picture.rows[0] && row.segment == Row::no_segment;
            string text = right(start ? "" : time, time_width) + " " + left(state(row.cell[client]), state_width) +
                          " " + right(row.cell[client].call, call_width) + bar_ + middle(row, c) + bar_ +
                          left(row.cell[server].call, call_width) + " " + state(row.cell[server]);
            while (!text.empty() && text.back() == ' ') text.pop_back();
            printf("%s\n", text.c_str());
        }
        for (auto& remark : picture.remarks) printf("%s\n", remark.c_str());
    }
    static void legend() {
        printf("\n  STATE observed in the kernel   (STATE) follows from the segments   !!STATE contradicts them\n");
    }
};

}  // namespace lab
